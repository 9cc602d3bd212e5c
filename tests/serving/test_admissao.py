"""Admission: a bound at the edge, an order of arrival, and early refusals without effect."""

from __future__ import annotations

import asyncio
import time
from math import inf
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.erros import Categoria, ErroServico
from common.runtime.execution import AsyncTasks
from common.servicos.pedidos.retentativa import DRIVE_CALLS_MAX
from common.servicos.protocolo.contexto import Contexto
from common.serving import pipeline
from common.serving.admission import Slots
from tests.support.chain import CANCEL, FORWARD, step

if TYPE_CHECKING:
    from tests.conftest import OpenCluster
    from tests.support.cluster import Cluster

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _queued(cluster: Cluster, number: int) -> None:
    """Wait until so many orders wait for a place."""
    while cluster.apps["pedidos"].slots.waiting != number:
        await asyncio.sleep(0.002)


async def test_o_pedido_alem_do_limite_e_recusado_sem_efeito(open_fresh: OpenCluster) -> None:
    """Up to the bound orders are admitted; the next is refused at once, before any effect."""
    async with open_fresh(in_flight_max=3, active_max=2) as cluster:
        gate = cluster.gateway.hold("before")
        running = [asyncio.create_task(cluster.create(key=str(n))) for n in range(3)]
        await gate.reached()
        await gate.reached()
        await _queued(cluster, 1)
        shed = await cluster.create(key="alem")
        assert shed.category is Categoria.SOBRECARGA
        assert shed.code in {503, "RESOURCE_EXHAUSTED"}
        assert shed.retry_after_s is not None
        assert cluster.orders() == 2
        gate.open()
        assert {(await task).body["status"] for task in running} == {"enviado"}
        assert cluster.orders() == 3
        # The key that was shed is as good as new.
        assert (await cluster.create(key="alem")).body["status"] == "enviado"


async def test_quem_espera_e_atendido_por_ordem_de_chegada(open_fresh: OpenCluster) -> None:
    """Orders that wait for a place get it in the order in which they came."""
    async with open_fresh(in_flight_max=10, active_max=1) as cluster:
        gate = cluster.gateway.hold("before")
        tasks = [asyncio.create_task(cluster.create(key="0"))]
        await gate.reached()
        for n in range(1, 6):
            tasks.append(asyncio.create_task(cluster.create(key=str(n))))
            await _queued(cluster, n)
        gate.open()
        await asyncio.gather(*tasks)
        keys = cluster.rows(
            "pedidos", "SELECT chave_idempotencia FROM pedidos WHERE origem = 'loja' ORDER BY id"
        )
        assert [key for (key,) in keys] == [str(n) for n in range(6)]


async def test_o_que_nao_termina_no_prazo_e_recusado_cedo(open_fresh: OpenCluster) -> None:
    """An order whose turn would come after its deadline is refused without waiting for it."""
    latency = {"payment_latency": (0.3, 0.3)}
    async with open_fresh(in_flight_max=10, active_max=1, **latency) as cluster:
        await cluster.create()
        running = asyncio.create_task(cluster.create())
        while cluster.apps["pedidos"].slots.free():
            await asyncio.sleep(0.002)
        start = time.monotonic()
        shed = await cluster.create(timeout_s=0.4)
        assert shed.category is Categoria.SOBRECARGA
        assert shed.retry_after_s is not None
        assert time.monotonic() - start < 0.3
        assert (await running).body["status"] == "enviado"
        assert cluster.orders() == 2


async def test_consultar_e_cancelar_passam_com_a_casa_cheia(open_fresh: OpenCluster) -> None:
    """Lookups and cancelling need no place; cancelling even gives one back."""
    async with open_fresh(in_flight_max=1) as cluster:
        gate = cluster.gateway.hold("before", times=1)
        running = asyncio.create_task(cluster.create())
        await gate.reached()
        assert (await cluster.create()).category is Categoria.SOBRECARGA
        pedido_id = cluster.last()
        assert (await cluster.look(pedido_id))["status"] == "pendente"
        assert (await cluster.edge.call("listar_clientes", {})).category is None
        assert (await cluster.cancel(pedido_id)).body["status"] == "cancelado"
        assert (await running).body["status"] == "cancelado"
        assert (await cluster.create()).body["status"] == "enviado"
        gate.open()


async def test_a_recuperacao_passa_com_a_casa_cheia(open_fresh: OpenCluster) -> None:
    """Recovering an open order needs no place at the edge."""
    async with open_fresh(in_flight_max=2, active_max=1, circuit_breaker=False) as cluster:
        cluster.link("pagamentos").cut(times=DRIVE_CALLS_MAX)
        pedido_id = (await cluster.create()).body["pedido_id"]
        gate = cluster.gateway.hold("before", times=1)
        running = asyncio.create_task(cluster.create())
        await gate.reached()
        assert await cluster.sweep() == 1
        while (await cluster.look(pedido_id))["status"] == "pendente":
            await asyncio.sleep(0.005)
        cluster.check_shipped(pedido_id)
        gate.open()
        assert (await running).body["status"] == "enviado"


async def test_the_bound_counts_what_is_open_in_the_book(open_fresh: OpenCluster) -> None:
    """Orders that wait for the sweep count like those that are driven, also after a restart."""
    async with open_fresh(in_flight_max=3, circuit_breaker=False) as cluster:
        cluster.link("pagamentos").cut()
        for number in range(3):
            assert (await cluster.create(key=str(number))).body["status"] == "pendente"
        for _ in range(2):
            shed = await cluster.create(key="one more")
            assert shed.category is Categoria.SOBRECARGA
            assert shed.retry_after_s is not None
            # A key that is known is answered all the same.
            assert (await cluster.create(key="2")).body["status"] == "pendente"
            assert cluster.orders() == 3
            await cluster.stop("pedidos")
            await cluster.start("pedidos")
        cluster.link("pagamentos").heal()
        for pedido_id in range(cluster.last() - 2, cluster.last() + 1):
            await cluster.end_of(pedido_id)
        assert (await cluster.create(key="one more")).body["status"] == "enviado"


async def test_nobody_stands_in_line_while_there_are_places() -> None:
    """Orders in the book may end between two looks at them: a place is taken or refused at once."""
    book = iter([5, 4, 0, 0, 0, 0, 0, 0])
    slots = Slots(5, 5, AsyncTasks(), abertas=lambda: next(book))
    with pytest.raises(ErroServico):
        await slots.take(Contexto(inf))
    assert slots.waiting == 0
    place = await asyncio.wait_for(slots.take(Contexto(inf)), 1.0)
    assert (slots.driven, slots.waiting) == (1, 0)
    place.release()


async def test_who_waited_too_long_to_finish_is_refused_before_the_claim() -> None:
    """An order whose turn comes with less time left than orders take leaves no trace."""
    slots = Slots(10, 1, AsyncTasks())
    first = await slots.take(Contexto(inf))
    waiting = asyncio.create_task(slots.take(Contexto(time.monotonic() + 0.5)))
    await _turn()
    assert slots.waiting == 1
    # As if orders took longer than what is left by now.
    first.inicio -= 5.0
    first.release()
    with pytest.raises(ErroServico) as caught:
        await waiting
    assert caught.value.categoria is Categoria.SOBRECARGA
    assert (slots.driven, slots.waiting, slots._por_abrir) == (0, 0, 0)
    assert slots.free()


async def test_o_lugar_volta_quando_o_pedido_fica_desconhecido(open_fresh: OpenCluster) -> None:
    """Every end of a drive gives its place back, also an unknown one or a caller's error."""
    async with open_fresh(in_flight_max=2, active_max=1, circuit_breaker=False) as cluster:
        cluster.link("pagamentos").cut(times=DRIVE_CALLS_MAX)
        assert (await cluster.create()).body["status"] == "pendente"
        unknown = await cluster.edge.call(
            "criar_pedido",
            {"cliente_id": 999, "itens": [{"produto_id": 1, "quantidade": 1}],
             "metodo_pagamento": "pix"},
        )  # fmt: skip
        assert unknown.category is Categoria.INVALIDO
        slots = cluster.apps["pedidos"].slots
        assert (slots.driven, slots.waiting) == (0, 0)
        assert (await cluster.create()).body["status"] == "enviado"


async def test_um_servico_interno_recusa_o_excesso_mas_cancela(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each hop bounds the steps that it works on; cancelling always passes."""
    body = step("logistica", 500_000)
    monkeypatch.setattr(pipeline, "STEPS_IN_FLIGHT_MAX", 0)
    for servico, operation in FORWARD.items():
        reply = await cluster.edge.call(operation, step(servico, 500_000))
        assert reply.category is Categoria.SOBRECARGA
        assert reply.retry_after_s == 1.0
    assert cluster.situation(500_000).passos == {}
    assert (await cluster.edge.call(CANCEL["pagamentos"], {"pedido_id": 500_000})).category is None
    monkeypatch.setattr(pipeline, "STEPS_IN_FLIGHT_MAX", 1)
    assert (await cluster.edge.call(FORWARD["logistica"], body)).body["status"] == "cancelado"


async def test_quem_desiste_da_fila_nao_segura_lugar() -> None:
    """A caller that leaves the queue, even as its turn comes, holds nothing."""
    slots = Slots(10, 1, AsyncTasks())
    first = await slots.take(Contexto(inf))
    leaving = asyncio.create_task(slots.take(Contexto(inf)))
    staying = asyncio.create_task(slots.take(Contexto(inf)))
    await asyncio.sleep(0)
    assert slots.waiting == 2
    first.release()
    leaving.cancel()
    place = await staying
    with pytest.raises(asyncio.CancelledError):
        await leaving
    place.release()
    assert (slots.driven, slots.waiting) == (0, 0)


async def test_a_vez_que_nao_vem_no_prazo_e_sobrecarga() -> None:
    """Waiting ends with the deadline, as a refusal without effect."""
    slots = Slots(10, 1, AsyncTasks())
    place = await slots.take(Contexto(inf))
    with pytest.raises(ErroServico) as caught:
        await slots.take(Contexto(time.monotonic() + 0.02))
    assert caught.value.categoria is Categoria.SOBRECARGA
    place.release()
    place.release()
    assert (slots.driven, slots.waiting) == (0, 0)


class _Crowd:
    """Callers that come, leave and finish, beside a model of who must be where.

    `opened` are the active ones whose order is in the book, `abandoned` how many orders are open in
    the book and have no place any more.
    """

    def __init__(self, em_voo: int, ativas: int) -> None:
        self.em_voo, self.limit = em_voo, min(ativas, em_voo)
        self.slots = Slots(em_voo, ativas, AsyncTasks(), abertas=self.book)
        self.active: list[asyncio.Task] = []
        self.queue: list[asyncio.Task] = []
        self.opened: set[asyncio.Task] = set()
        self.abandoned = 0

    def book(self) -> int:
        return len(self.opened) + self.abandoned

    def open_orders(self) -> int:
        """All that counts against the bound."""
        return len(self.active) + len(self.queue) + self.abandoned

    async def come(self) -> None:
        full = self.open_orders() >= self.em_voo
        task = asyncio.create_task(self.slots.take(Contexto(inf)))
        await _turn()
        if full:
            assert isinstance(task.exception(), ErroServico)
        elif len(self.active) < self.limit:
            assert task.done()
            self.active.append(task)
        else:
            self.queue.append(task)

    async def claim(self, index: int) -> None:
        """An order is in the book from now on."""
        if self.active:
            task = self.active[index % len(self.active)]
            self.opened.add(task)
            task.result().abrir()

    async def finish(self, index: int) -> None:
        if self.active:
            self._give_back(index)
            self._promote()
            await _turn()

    async def abandon(self, index: int) -> None:
        """A drive ends and leaves its order to the sweep."""
        if self.active and self.active[index % len(self.active)] in self.opened:
            self.abandoned += 1
            await self.finish(index)

    async def sweep(self, index: int) -> None:
        """The sweep ends an order that was left."""
        self.abandoned -= self.abandoned > 0

    def _give_back(self, index: int) -> None:
        task = self.active.pop(index % len(self.active))
        self.opened.discard(task)
        task.result().release()

    async def leave(self, index: int) -> None:
        if self.queue:
            task = self.queue.pop(index % len(self.queue))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def finish_and_leave(self, index: int) -> None:
        """The first in line leaves in the very moment that its turn comes."""
        if self.active and self.queue:
            self._give_back(index)
            gone = self.queue.pop(0)
            gone.cancel()
            self._promote()
            await asyncio.gather(gone, return_exceptions=True)
            await _turn()

    def _promote(self) -> None:
        if self.queue:
            self.active.append(self.queue.pop(0))

    def check(self) -> None:
        assert (self.slots.driven, self.slots.waiting) == (len(self.active), len(self.queue))
        assert self.slots._em_voo() == self.open_orders() <= self.em_voo
        assert all(task.done() for task in self.active)
        assert not any(task.done() for task in self.queue)

    async def disperse(self) -> None:
        while self.active:
            await self.finish(0)
            self.check()
        self.abandoned = 0
        assert self.slots.free()


async def _turn() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["come", "come", "claim", "finish", "abandon", "sweep", "leave", "finish_and_leave"]
        ),
        st.integers(0, 9),
    ),
    max_size=40,
)


@settings(max_examples=80, deadline=None)
@given(em_voo=st.integers(1, 6), ativas=st.integers(1, 6), steps=_STEPS)
async def test_a_fila_nunca_passa_dos_limites_e_atende_por_ordem(
    em_voo: int, ativas: int, steps: list[tuple[str, int]]
) -> None:
    """Whoever comes, finishes or leaves: the bounds hold, the order holds, no place is lost."""
    crowd = _Crowd(em_voo, ativas)
    for name, index in steps:
        await (crowd.come() if name == "come" else getattr(crowd, name)(index))
        crowd.check()
    await crowd.disperse()
