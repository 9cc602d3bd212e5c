"""A task or a thread that cannot be started leaves nothing behind."""

from __future__ import annotations

import asyncio
import threading
import time
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any

import pytest

from blocking.execution import ThreadTasks, run_to_end
from common.arms import THREAD_ARMS
from common.audit import audit
from common.erros import Categoria, ErroServico, sem_recursos
from common.servicos.catalogo import IDADE_SALDOS_MAX_S
from common.servicos.pedidos.conducao import Direcao
from tests.support.arms import ARMS
from tests.support.cluster import open_cluster

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from common.runtime.app import App
    from tests.conftest import OpenCluster
    from tests.support.cluster import Cluster
    from tests.support.edges import Reply

# How Python says that the system gives no more threads.
NO_THREAD = "can't start new thread"
# Attempts of a client that tries again with its key.
ATTEMPTS = 5


class Starts:
    """Counts the tasks that a service starts; the one with the number `failing` cannot be."""

    def __init__(self, cluster: Cluster, servico: str) -> None:
        self._execution = cluster.apps[servico].execution
        self._start = self._execution.start
        self._execution.start = self._counted
        self.failing = 0
        self.made = 0

    def _counted(self, coroutine: Coroutine[Any, Any, None]) -> Any:
        self.made += 1
        if self.made == self.failing:
            coroutine.close()
            raise sem_recursos()
        return self._start(coroutine)


async def _insist(cluster: Cluster, key: str) -> Reply:
    """Ask with one key until the service takes the order."""
    for _ in range(ATTEMPTS):
        reply = await cluster.create(key=key)
        if reply.category is None:
            return reply
        assert reply.category is Categoria.INDISPONIVEL
    raise AssertionError(reply)


async def _left_open(cluster: Cluster, key: str) -> int:
    """An order that came to nothing at first, asked for again."""
    link = cluster.link("pagamentos")
    link.cut()
    first = await _insist(cluster, key)
    assert first.body["status"] == "pendente"
    await cluster.idle()
    link.heal()
    return int((await _insist(cluster, key)).body["pedido_id"])


async def _cancelled(cluster: Cluster, key: str) -> int:
    """An order that is cancelled while it stands at the gateway."""
    gate = cluster.gateway.hold("before", "cobrar")
    creating = asyncio.create_task(_insist(cluster, key))
    await gate.reached()
    pedido_id = cluster.last()
    for _ in range(ATTEMPTS):
        reply = await cluster.cancel(pedido_id, timeout_s=5.0)
        if reply.category is None:
            break
        assert reply.category is Categoria.INDISPONIVEL
    assert reply.body["status"] in {"cancelando", "cancelado"}
    assert (await cluster.terminal(pedido_id))["status"] == "cancelado"
    gate.open()
    await creating
    return pedido_id


async def test_each_start_at_pedidos_may_fail_once(open_fresh: OpenCluster) -> None:
    """Whichever task cannot be started, every order ends, and nothing stays behind in memory."""
    async with open_fresh(circuit_breaker=False, stock=10_000) as cluster:
        starts = Starts(cluster, "pedidos")
        app = cluster.apps["pedidos"]
        condutor = cluster.condutor
        for number in count(1):
            # Prices are old enough to be fetched anew.
            app.service._precos._instante = -inf
            starts.made, starts.failing = 0, number
            bought = (await _insist(cluster, f"buy {number}")).body["pedido_id"]
            retried = await _left_open(cluster, f"again {number}")
            cancelled = await _cancelled(cluster, f"cancel {number}")
            for pedido_id in (bought, retried):
                assert (await cluster.terminal(pedido_id))["status"] == "enviado"
            cluster.check_cancelled(cancelled, "solicitado")
            await cluster.quiet()
            assert (app.slots.driven, app.slots.waiting, app.slots._por_abrir) == (0, 0, 0)
            assert (condutor._vivas, condutor._abertas) == ({}, set())
            assert condutor._reivindicando == condutor._recuperacao._em_curso == set()
            assert condutor._recuperacao._tentadas == {}
            if starts.made < starts.failing:
                break
        # A fetch of prices, claims, drives of retries, and what a cancel takes.
        assert number > 6
        assert [
            check.id for check in audit(cluster.data_dir, settled=True).checks if check.total
        ] == []


async def test_a_cancel_whose_drive_cannot_be_started_is_pursued_by_the_sweep(
    open_fresh: OpenCluster,
) -> None:
    """The forward drive that lives is turned: it does not go on to charge and to ship."""
    async with open_fresh() as cluster:
        gate = cluster.gateway.hold("before", "cobrar")
        creating = asyncio.create_task(cluster.create())
        await gate.reached()
        pedido_id = cluster.last()
        starts = Starts(cluster, "pedidos")
        # The first flips the row, the second would turn the drive.
        starts.failing = 2
        reply = await cluster.cancel(pedido_id)
        assert reply.code in {202, "OK"}
        assert reply.body["status"] == "cancelando"
        condutor = cluster.condutor
        assert condutor._vivas[pedido_id].direcao is Direcao.AVANCAR
        assert await cluster.sweep() == 1
        assert (await creating).body["status"] == "cancelado"
        gate.open()
        await cluster.quiet()
        cluster.check_cancelled(pedido_id, "solicitado")


async def test_a_listing_survives_a_fetch_that_could_not_be_started(
    open_fresh: OpenCluster,
) -> None:
    """Nobody joins a fetch that does not exist: the next caller begins one."""
    async with open_fresh() as cluster:
        starts = Starts(cluster, "catalogo")
        starts.failing = 1
        assert (await cluster.edge.call("listar_produtos", {})).category is Categoria.INDISPONIVEL
        assert (await cluster.edge.call("listar_produtos", {})).category is None
        # Ahead of time, with quantities at hand that are young enough, it is missed by nobody.
        quantities = cluster.apps["catalogo"].service._saldos
        quantities._instante = time.monotonic() - 0.75 * IDADE_SALDOS_MAX_S
        starts.made, starts.failing = 0, 1
        assert (await cluster.edge.call("listar_produtos", {})).category is None
        assert starts.made == 1


# --- threads that the system does not give -------------------------------------------------------


def test_a_task_without_a_thread_is_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller is told, the coroutine is closed, and the service does not wait for it."""
    tasks = ThreadTasks()
    ran: list[int] = []

    async def work() -> None:
        ran.append(1)

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError(NO_THREAD)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(ErroServico) as error:
            tasks.start(work())
    assert error.value.categoria is Categoria.INDISPONIVEL
    assert tasks.running() == 0
    promise = tasks.promise()

    async def later() -> None:
        promise.resolve(2)

    tasks.start(later())
    assert run_to_end(promise.wait(inf)) == 2
    assert ran == []


@pytest.mark.parametrize("arm", THREAD_ARMS)
async def test_workers_that_cannot_be_started_leave_the_calls_to_the_others(
    arm: str, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call is answered by the workers that there are, and none is counted for ever."""
    refused: list[str] = []
    start = threading.Thread.start

    def scarce(thread: threading.Thread) -> None:
        if thread.name.startswith(("worker_", "waitress-")):
            refused.append(thread.name)
            raise RuntimeError(NO_THREAD)
        start(thread)

    transports: list[Any] = []

    class Kept(ARMS[arm].transport):  # type: ignore[misc]
        def __init__(self, app: App) -> None:
            super().__init__(app)
            transports.append(self)

    monkeypatch.setitem(ARMS, arm, ARMS[arm]._replace(transport=Kept))
    async with open_cluster(arm, tmp_path / "dados", shop, in_flight_max=64) as cluster:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", scarce)
            replies = await asyncio.gather(*(cluster.create(key=str(n)) for n in range(12)))
        assert refused, "no service needed another worker: the test shows nothing"
        assert {reply.body["status"] for reply in replies} == {"enviado"}
        await cluster.quiet()
        async with asyncio.timeout(5.0):
            # A call is counted until its worker has sent the answer.
            while any(map(_counted, transports)):
                await asyncio.sleep(0.002)
        # With threads to be had again the pool grows as before.
        before = len(refused)
        replies = await asyncio.gather(*(cluster.create(key=f"then {n}") for n in range(12)))
        assert {reply.body["status"] for reply in replies} == {"enviado"}
        assert len(refused) == before


def _counted(transport: Any) -> int:
    """What a server on threads counts as under way or waiting."""
    workers = transport._workers
    entrance = workers._entrance
    counts = (entrance._calls, entrance._orders, entrance._orders_waiting, workers.arrivals.waiting)
    return sum(map(abs, counts))


async def test_a_grpc_channel_without_its_thread_is_replaced(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Grpcio counts a call before it starts the thread that waits for it, and never tries again."""
    refused: list[str] = []
    start = threading.Thread.start

    def scarce(thread: threading.Thread) -> None:
        target = getattr(thread._target, "__qualname__", "")
        if target.startswith("_run_with_context") and not refused:
            refused.append(thread.name)
            raise RuntimeError(NO_THREAD)
        start(thread)

    async with open_cluster("grpc-threads", tmp_path / "dados", shop) as cluster:
        monkeypatch.setattr(threading.Thread, "start", scarce)
        reply = await _insist(cluster, "again")
        assert refused
        assert (await cluster.end_of(reply.body["pedido_id"]))["status"] == "enviado"
