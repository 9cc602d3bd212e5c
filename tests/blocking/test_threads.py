"""What threads share: nothing is lost between two of them."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
import time
from math import inf
from typing import TYPE_CHECKING, Any

import pytest

from blocking.execution import (
    ThreadClock,
    ThreadTasks,
    run_to_end,
)
from common import contratos as c
from common.arms import MODES, THREAD_ARMS
from common.erros import Categoria, ErroServico, indisponivel
from common.servicos.pedidos import livro
from common.servicos.pedidos.retentativa import Orcamento
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.memoria import Memoria
from common.serving.admission import Slots
from common.serving.circuit_breaker import FAILURES, CircuitBreaker, Timing
from common.telemetry.in_flight import InFlight
from tests.support.breakers import guarded
from tests.support.cluster import open_cluster
from tests.support.entre_threads import CALLERS, PATIENCE_S, all_at_once, soon
from tests.support.processes import Process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# --- what threads share ---------------------------------------------------------------------------


def test_vagas_nunca_sao_mais_do_que_ha(tasks: ThreadTasks) -> None:
    """Under any interleaving at most so many places are held, and in the end none is."""
    slots = Slots(in_flight_max=6, driven_max=3, tasks=tasks)
    held, peak, lock = 0, 0, threading.Lock()
    outcomes: list[Categoria | None] = []

    def buy(number: int) -> None:
        nonlocal held, peak
        drawn = random.Random(number)
        for _ in range(60):
            patience = drawn.choice((0.0005, 0.005, PATIENCE_S))
            try:
                slot = run_to_end(slots.take(Contexto(time.monotonic() + patience)))
            except ErroServico as error:
                outcomes.append(error.categoria)
                continue
            with lock:
                held += 1
                peak = max(peak, held)
            time.sleep(drawn.random() * 0.001)
            with lock:
                held -= 1
            slot.release()
            slot.release()
            outcomes.append(None)

    all_at_once(buy)
    assert peak == 3
    assert (slots.driven, slots.waiting) == (0, 0)
    assert set(outcomes) == {None, Categoria.SOBRECARGA}


def test_fechar_as_vagas_responde_a_todos(tasks: ThreadTasks) -> None:
    """Whoever waits when the places are closed is told so, also in the moment its time runs out."""
    for _ in range(20):
        slots = Slots(in_flight_max=CALLERS, driven_max=1, tasks=tasks)
        first = run_to_end(slots.take(Contexto()))
        ends = time.monotonic() + 0.005
        seen: list[Categoria] = []

        def wait_in_line(number: int, slots=slots, ends=ends, seen=seen) -> None:
            if number == 0:
                time.sleep(max(0.0, ends - time.monotonic()))
                slots.fechar()
                return
            with pytest.raises(ErroServico) as told:
                run_to_end(slots.take(Contexto(ends)))
            seen.append(told.value.categoria)

        all_at_once(wait_in_line)
        assert set(seen) <= {Categoria.INDISPONIVEL, Categoria.SOBRECARGA}
        assert len(seen) == CALLERS - 1
        first.release()
        assert (slots.driven, slots.waiting) == (0, 0)


def test_o_disjuntor_conta_certo_entre_threads(tasks: ThreadTasks) -> None:
    """However calls interleave none is left counted, and an answer leaves it closed."""
    breaker = CircuitBreaker("estoque", Timing(5.0, 0.001), tasks, random.Random(1).random)
    failing, categories = threading.Event(), set()
    failing.set()

    async def method(ctx: Contexto, req: Any) -> Any:
        time.sleep(0.0002)
        if failing.is_set():
            raise indisponivel("fora")
        return req

    through = guarded(breaker, method)

    def call(number: int) -> None:
        for turn in range(40):
            if number == 0 and turn == 20:
                failing.clear()
            try:
                run_to_end(through(Contexto(), number))
            except ErroServico as error:
                categories.add(error.categoria)
                run_to_end(breaker.wait(time.monotonic() + 0.01))

    all_at_once(call)
    assert categories == {Categoria.INDISPONIVEL}
    assert (breaker._waiting, breaker._trials) == (0, 0)
    run_to_end(breaker.wait(time.monotonic() + PATIENCE_S))
    assert run_to_end(through(Contexto(), 1)) == 1
    assert breaker.steady()
    assert breaker._failures == 0 < FAILURES


def test_a_memoria_busca_uma_so_vez_ao_mesmo_tempo(tasks: ThreadTasks) -> None:
    """Never two fetches at once; nobody is given an older value than asked for, or an older error."""
    under_way, peak, lock = 0, 0, threading.Lock()

    async def fetch(ctx: Contexto) -> float:
        nonlocal under_way, peak
        with lock:
            under_way += 1
            peak = max(peak, under_way)
        begun = time.monotonic()
        time.sleep(0.0005)
        with lock:
            under_way -= 1
        return begun

    memory = Memoria(fetch, ThreadClock(), tasks)

    def ask(number: int) -> None:
        for _ in range(40):
            asked = time.monotonic()
            value = run_to_end(memory.obter(Contexto(), 0.001))
            # From a moment before the fetch's own reading of the clock on.
            assert value >= asked - 0.001
            if number % 2:
                memory._renovar()

    all_at_once(ask)
    assert peak == 1
    soon(lambda: memory._em_curso is None)


def test_uma_busca_que_falhou_nao_e_de_quem_vem_depois(tasks: ThreadTasks) -> None:
    """Who asks after a fetch has failed begins another one."""
    fetches = 0

    async def fetch(ctx: Contexto) -> int:
        nonlocal fetches
        fetches += 1
        raise indisponivel("fora")

    memory = Memoria(fetch, ThreadClock(), tasks)
    for number in range(1, 51):
        with pytest.raises(ErroServico):
            run_to_end(memory.obter(Contexto(), 1.0))
        assert fetches == number


def test_passos_em_voo_nunca_passam_do_limite() -> None:
    """Counted in many threads, steps stay within their bound and come back to nothing."""
    busy = InFlight()
    refused = 0

    def step(number: int) -> None:
        nonlocal refused
        for _ in range(200):
            if busy.enter_step(3):
                assert busy.passos <= 3
                busy.leave_step()
            else:
                refused += 1

    all_at_once(step)
    assert (busy.total, busy.passos) == (0, 0)


class _Shaky:
    """Pagamentos as Pedidos sees it: fails half of the time, and watches who calls it."""

    def __init__(self) -> None:
        self.twice: list[int] = []
        self._under_way: set[int] = set()
        self._lock = threading.Lock()
        self._draw = random.Random(3)

    async def processar_pagamento(
        self, ctx: Contexto, req: c.ProcessarPagamentoRequest
    ) -> c.AndamentoResponse:
        with self._lock:
            if req.pedido_id in self._under_way:
                self.twice.append(req.pedido_id)
            self._under_way.add(req.pedido_id)
            fails = self._draw.random() < 0.5
        time.sleep(0.001)
        with self._lock:
            self._under_way.discard(req.pedido_id)
        if fails:
            raise indisponivel("fora")
        return c.AndamentoResponse(req.pedido_id, "cancelado", "pagamento_rejeitado")


async def test_nunca_duas_conducoes_de_um_pedido_entre_threads(shop: Path, tmp_path: Path) -> None:
    """Claims of one key, retries and sweeps in many threads: one order a key, one drive at a time."""
    orders, shaky = 12, _Shaky()
    async with open_cluster(
        "grpc-threads", tmp_path, shop, "pedidos", circuit_breaker=False
    ) as cluster:
        app = cluster.apps["pedidos"]
        condutor, slots = cluster.condutor, app.slots
        condutor._pagamentos = shaky
        condutor._orcamento = Orcamento(lambda: 0.0)
        ids: dict[str, set[int]] = {f"k{n}": set() for n in range(orders)}

        def buy(number: int) -> None:
            if number < 2:
                for _ in range(40):
                    run_to_end(condutor.varrer())
                return
            for key, seen in ids.items():
                itens = (livro.ItemPrecificado(1, 1, 100),)
                novo = livro.NovoPedido(key, b"resumo", 1, "pix", itens)
                vaga = run_to_end(slots.take(Contexto()))
                conducao = condutor.begin(novo, vaga, Contexto())
                linha = run_to_end(conducao.reivindicada.wait(inf))
                if not conducao.minha and not linha.terminal:
                    conducao = condutor.resume(linha)
                run_to_end(conducao.fim.wait(inf if conducao.minha else time.monotonic()))
                seen.add(linha.pedido_id)

        await cluster.arm.run(_as_coroutine(lambda: all_at_once(buy)))
        for seen in ids.values():
            assert len(seen) == 1
            assert (await cluster.terminal(*seen))["status"] == "cancelado"
        assert shaky.twice == []
        assert cluster.orders() == orders
        await cluster.idle()
        soon(lambda: slots.driven == 0)
        recovery = condutor._recuperacao
        assert (condutor._vivas, condutor._reivindicando) == ({}, set())
        assert (recovery._em_curso, recovery._tentadas) == (set(), {})


async def _as_coroutine(work: Callable[[], object]) -> None:
    work()


@pytest.mark.parametrize("arm", THREAD_ARMS)
async def test_o_ritmo_e_trabalhadores_por_espera(arm: str, shop: Path, tmp_path: Path) -> None:
    """W workers, each held by its payment for p seconds, end W / p orders a second and no more."""
    workers, payment_s, rounds = 4, 0.4, 3
    latency = {"payment_latency": (payment_s, payment_s)}
    async with open_cluster(arm, tmp_path, shop, workers=workers, **latency) as cluster:
        await cluster.create()
        start = time.monotonic()
        replies = await asyncio.gather(*(cluster.create() for _ in range(workers * rounds)))
        took = time.monotonic() - start
    assert {reply.body["status"] for reply in replies} == {"enviado"}
    # One at a time they would take four times as long; the rest is for a busy test machine.
    assert rounds * payment_s <= took < 3 * rounds * payment_s


@pytest.mark.parametrize("arm", MODES)
async def test_a_service_told_to_end_while_it_was_stopped_ends(
    arm: str, shop: Path, tmp_path: Path
) -> None:
    """Whichever of its threads takes the signal once it goes on, the process hears of it."""
    async with open_cluster(arm, tmp_path / "dados", shop) as cluster:
        await cluster.stop("fiscal")
        for _ in range(3):
            process = await Process.start(cluster, "fiscal")
            try:
                for sign in (signal.SIGSTOP, signal.SIGTERM, signal.SIGCONT):
                    os.kill(process.pid, sign)
                assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
            finally:
                await process.kill()
