"""The queue for a worker, in the arms on threads: admission at its begin, answers at its end."""

from __future__ import annotations

import asyncio
import threading
import time
from math import inf
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocking.entrance import Entrance
from blocking.execution import ThreadTasks
from blocking.http_threads.workers import Workers, wait_until
from common.arms import THREAD_ARMS
from common.erros import ENCERRANDO, Categoria
from common.option_types import WORKERS_MAX
from common.serving.admission import Slots
from tests.support.chain import FORWARD, step
from tests.support.cluster import NEVER_S, Cluster, open_cluster

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.edges import Reply

on_threads = pytest.mark.parametrize("arm", THREAD_ARMS)

# Seconds. Far more than anything here takes; a hang fails by name.
PATIENCE_S = 10.0
# Seconds. Of two stops that wait for nothing but the drain of a test.
STOP_S = 3.0
# Idle threads; beginning them takes longest.
IDLE = 1_000


async def _refused(tasks: list[asyncio.Task[Reply]], number: int) -> None:
    """Wait until so many of the calls have been answered, each with a refusal in words."""
    async with asyncio.timeout(PATIENCE_S):
        while sum(task.done() for task in tasks) < number:
            await asyncio.sleep(0.002)
    for shed in [task.result() for task in tasks if task.done()]:
        assert shed.category is Categoria.SOBRECARGA
        assert shed.code in {503, "RESOURCE_EXHAUSTED"}
        assert shed.retry_after_s is not None


@on_threads
async def test_o_que_nao_cabe_na_fila_e_recusado_sem_trabalhador(
    arm: str, shop: Path, tmp_path: Path
) -> None:
    """With every worker held the bound holds as on the loops: the rest is refused at once."""
    async with open_cluster(arm, tmp_path, shop, workers=2, in_flight_max=5) as cluster:
        assert (await cluster.create()).body["status"] == "enviado"
        gate = cluster.gateway.hold("before")
        tasks = [asyncio.create_task(cluster.create(key=str(n))) for n in range(20)]
        await _refused(tasks, 15)
        await gate.reached()
        await gate.reached()
        assert cluster.orders() == 1 + 2
        gate.open()
        replies = await asyncio.gather(*tasks)
        ended = [reply for reply in replies if reply.category is None]
        assert [reply.body["status"] for reply in ended] == ["enviado"] * 5
        assert cluster.orders() == 1 + 5
        # A key that was shed is as good as new.
        shed = next(n for n, reply in enumerate(replies) if reply.category is not None)
        assert (await cluster.create(key=str(shed))).body["status"] == "enviado"


@on_threads
async def test_a_fila_que_nao_termina_no_prazo_e_recusada_cedo(
    arm: str, shop: Path, tmp_path: Path
) -> None:
    """An order whose worker would come too late is told so now, not when its time has run out."""
    latency = {"payment_latency": (0.3, 0.3)}
    async with open_cluster(arm, tmp_path, shop, workers=1, **latency) as cluster:
        await cluster.create()
        running = asyncio.create_task(cluster.create())
        while cluster.apps["pedidos"].slots.driven == 0:
            await asyncio.sleep(0.002)
        start = time.monotonic()
        shed = await cluster.create(timeout_s=0.4)
        assert time.monotonic() - start < 0.3
        assert shed.category is Categoria.SOBRECARGA
        assert shed.retry_after_s is not None
        # One that has the time waits.
        assert (await cluster.create(timeout_s=PATIENCE_S)).body["status"] == "enviado"
        assert (await running).body["status"] == "enviado"
        assert cluster.orders() == 3


@on_threads
async def test_consultas_e_cancelamentos_nao_sao_recusados_na_fila(
    arm: str, shop: Path, tmp_path: Path
) -> None:
    """The bound is for new orders: all else waits for a worker and is served."""
    async with open_cluster(arm, tmp_path, shop, workers=1, in_flight_max=1) as cluster:
        gate = cluster.gateway.hold("before", times=1)
        running = asyncio.create_task(cluster.create())
        await gate.reached()
        pedido_id = cluster.last()
        others = [
            asyncio.create_task(cluster.edge.call("listar_clientes", {})),
            asyncio.create_task(cluster.edge.call("consultar_pedido", {"pedido_id": pedido_id})),
            asyncio.create_task(cluster.cancel(pedido_id)),
        ]
        await _refused([asyncio.create_task(cluster.create())], 1)
        gate.open()
        assert (await running).body["status"] == "enviado"
        assert [(await task).category for task in others] == [None, None, Categoria.PRECONDICAO]


# --- its end -------------------------------------------------------------------------------------


@on_threads
async def test_parar_responde_a_quem_espera_por_trabalhador(
    arm: str, shop: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A stop answers everybody in words and in time, with workers held by payments or waiting."""
    latency = {"payment_latency": (NEVER_S, NEVER_S)}
    async with open_cluster(arm, tmp_path, shop, workers=2, **latency) as cluster:
        calls = [asyncio.create_task(cluster.create(key=str(n))) for n in range(12)]
        await _in_flight(cluster, "pagamentos", 2)
        start = time.monotonic()
        await cluster.stop("pedidos")
        replies = await asyncio.wait_for(asyncio.gather(*calls), PATIENCE_S)
        await cluster.stop("pagamentos")
        assert time.monotonic() - start < STOP_S
    assert [reply.body["status"] for reply in replies if reply.category is None] == ["pendente"] * 2
    refused = [reply for reply in replies if reply.category is not None]
    assert {reply.category for reply in refused} == {Categoria.INDISPONIVEL}
    assert all(ENCERRANDO in str(reply.body) for reply in refused)
    assert not [record.getMessage() for record in caplog.records if record.name != "asyncio"]


@on_threads
async def test_o_pagamento_que_nao_terminaria_e_acordado(
    arm: str, shop: Path, tmp_path: Path
) -> None:
    """A service that stops answers whoever waits for its sleeping worker, and charges nobody."""
    latency = {"payment_latency": (NEVER_S, NEVER_S)}
    async with open_cluster(arm, tmp_path, shop, workers=1, **latency) as cluster:
        call = cluster.edge.call(FORWARD["pagamentos"], step("pagamentos", 500_000))
        paying = asyncio.create_task(call)
        await _in_flight(cluster, "pagamentos", 1)
        await cluster.stop("pagamentos")
        reply = await asyncio.wait_for(paying, PATIENCE_S)
        assert reply.category is Categoria.INDISPONIVEL
        assert ENCERRANDO in str(reply.body)
        assert cluster.situation(500_000).cobrado == 0


def test_muitos_trabalhadores_parados_terminam_logo(caplog: pytest.LogCaptureFixture) -> None:
    """Threads are begun as calls need them; a thousand idle ones end without being waited for."""
    workers = Workers(WORKERS_MAX, Entrance(WORKERS_MAX, None))
    assert not workers.threads
    held, released = threading.Semaphore(0), threading.Event()

    class Held:
        requests = (SimpleNamespace(error="unread"),)

        def service(self) -> None:
            held.release()
            assert released.wait(PATIENCE_S)

    for _ in range(IDLE):
        workers.add_task(Held())
    for _ in range(IDLE):
        assert held.acquire(timeout=PATIENCE_S)
    assert len(workers.threads) == IDLE
    released.set()
    wait_until(lambda: workers.active_count == 0, time.monotonic() + PATIENCE_S)
    # Idle threads are used again.
    workers.add_task(Held())
    assert held.acquire(timeout=PATIENCE_S)
    assert len(workers.threads) == IDLE
    start = time.monotonic()
    workers.close_line()
    workers.end(start + PATIENCE_S)
    assert time.monotonic() - start < STOP_S
    wait_until(lambda: not workers.threads, time.monotonic() + PATIENCE_S)
    assert not workers.threads
    assert not caplog.records


async def _in_flight(cluster: Cluster, servico: str, number: int) -> None:
    """Wait until a service works on so many calls."""
    async with asyncio.timeout(PATIENCE_S):
        while cluster.apps[servico].in_flight.total != number:
            await asyncio.sleep(0.002)


# --- its count -----------------------------------------------------------------------------------


@given(
    workers=st.integers(1, 3),
    bound=st.integers(1, 6),
    steps=st.lists(st.sampled_from(["order", "call", "begin", "end"]), max_size=60),
)
def test_a_entrada_conta_como_um_modelo(workers: int, bound: int, steps: list[str]) -> None:
    """Whoever comes and goes: an order is refused when no worker is free and the bound is met."""
    entrance = Entrance(workers, Slots(bound, bound, ThreadTasks()))
    waiting: list[bool] = []
    served: list[bool] = []
    for move in steps:
        if move in {"order", "call"}:
            order = move == "order"
            full = len(waiting) + len(served) >= workers and sum(waiting + served) >= bound
            refusal = entrance.join((lambda: inf) if order else None)
            assert (refusal is not None) == (order and full)
            if refusal is None:
                waiting.append(order)
            else:
                assert refusal.categoria is Categoria.SOBRECARGA
        elif move == "begin" and waiting and len(served) < workers:
            served.append(waiting.pop(0))
            entrance.begin(order=served[-1])
        elif move == "end" and served:
            entrance.end(order=served.pop(0))
