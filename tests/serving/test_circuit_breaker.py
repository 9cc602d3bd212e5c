"""The circuit breaker: when it opens, what it lets pass, and that it never decides an order."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import contratos as c
from common.erros import Categoria, ErroServico, conflito, indisponivel, prazo_esgotado, sobrecarga
from common.runtime.execution import AsyncTasks
from common.servicos.protocolo.contexto import Contexto
from common.serving.circuit_breaker import FAILURES, PAUSE_EDGE_S, CircuitBreaker, Timing
from tests.support.breakers import guarded
from tests.support.chain import FORWARD

if TYPE_CHECKING:
    from tests.conftest import OpenCluster
    from tests.support.cluster import Cluster

pytestmark = pytest.mark.asyncio(loop_scope="module")

TIMING = Timing(patience_s=5.0, pause_s=0.2)


class _Neighbour:
    """A service that does as it is told, and counts who came through; time is set by hand."""

    def __init__(self, timing: Timing = TIMING, draw: float = 1.0) -> None:
        self.now = 0.0
        self.error: ErroServico | None = None
        self.calls = 0
        self.trials = 0
        self.breaker = CircuitBreaker(
            "estoque", timing, AsyncTasks(), lambda: draw, lambda: self.now
        )
        self._guarded = guarded(self.breaker, self._call)

    async def _call(self, ctx: Contexto, req: Any) -> Any:
        self.calls += 1
        self.trials += ctx.sondagem
        if self.error is not None:
            raise self.error
        return req

    async def ask(self, times: int = 1) -> list[Categoria | None]:
        """Call so often; the categories of what came back, None for an answer."""
        outcomes: list[Categoria | None] = []
        for _ in range(times):
            try:
                await self._guarded(Contexto(), "?")
            except ErroServico as error:
                outcomes.append(error.categoria)
            else:
                outcomes.append(None)
        return outcomes


async def test_opens_after_failures_in_a_row_and_fails_fast() -> None:
    neighbour = _Neighbour()
    neighbour.error = indisponivel("fora")
    await neighbour.ask(FAILURES - 1)
    assert neighbour.breaker.free()
    outcomes = await neighbour.ask(100)
    assert neighbour.calls == FAILURES
    assert set(outcomes) == {Categoria.INDISPONIVEL}
    assert not neighbour.breaker.free()


async def test_an_answer_in_between_keeps_it_closed() -> None:
    neighbour = _Neighbour()
    for _ in range(3):
        neighbour.error = indisponivel("fora")
        await neighbour.ask(FAILURES - 1)
        neighbour.error = None
        assert await neighbour.ask() == [None]
    assert neighbour.calls == 3 * FAILURES


@pytest.mark.parametrize(
    "error", [conflito("outros valores"), sobrecarga("cheio", 1.0), prazo_esgotado("tarde")]
)
async def test_a_refusal_or_a_lack_of_time_opens_nothing(error: ErroServico) -> None:
    """Only a service that does not answer is failing; the caller's own time says nothing of it."""
    neighbour = _Neighbour()
    neighbour.error = error
    await neighbour.ask(10 * FAILURES)
    assert neighbour.calls == 10 * FAILURES


async def test_one_call_a_pause_tries_and_the_first_answer_closes() -> None:
    neighbour = _Neighbour()
    neighbour.error = indisponivel("fora")
    await neighbour.ask(FAILURES)
    for number in range(1, 4):
        neighbour.now += TIMING.pause_s
        assert neighbour.breaker.free()
        await neighbour.ask(10)
        assert neighbour.calls == FAILURES + number
        assert neighbour.trials == number
    neighbour.now += TIMING.pause_s
    neighbour.error = None
    assert await neighbour.ask(10) == [None] * 10
    assert neighbour.trials == 4


async def test_tells_when_the_next_trial_is() -> None:
    neighbour = _Neighbour()
    neighbour.error = indisponivel("fora")
    await neighbour.ask(FAILURES)
    neighbour.now += 0.05
    with pytest.raises(ErroServico) as caught:
        await neighbour._guarded(Contexto(), "?")
    assert caught.value.repetir_apos_s == pytest.approx(TIMING.pause_s - 0.05)


async def test_opens_when_nobody_answers_for_longer_than_its_patience() -> None:
    """A neighbour that hangs never fails: calls wait, or run out of time."""
    neighbour, gate = _Neighbour(), asyncio.Event()

    async def hang(ctx: Contexto, req: Any) -> Any:
        neighbour.calls += 1
        await gate.wait()
        return req

    hanging = guarded(neighbour.breaker, hang)
    waiting = [asyncio.ensure_future(hanging(Contexto(), "?")) for _ in range(20)]
    await asyncio.sleep(0)
    assert neighbour.calls == 20
    neighbour.now += TIMING.patience_s + 0.1
    trial = asyncio.ensure_future(hanging(Contexto(), "?"))
    await asyncio.sleep(0)
    assert neighbour.calls == 21
    assert await neighbour.ask() == [Categoria.INDISPONIVEL]
    gate.set()
    await asyncio.gather(trial, *waiting)
    assert await neighbour.ask() == [None]


async def test_time_in_which_nobody_waited_is_no_silence() -> None:
    neighbour = _Neighbour()
    neighbour.error = prazo_esgotado("tarde")
    for _ in range(5):
        await neighbour.ask()
        neighbour.now += 10 * TIMING.patience_s
    assert neighbour.calls == 5


async def test_who_waits_is_woken_when_it_closes_and_leaves_at_its_instant() -> None:
    clock = time.monotonic
    breaker = CircuitBreaker("estoque", Timing(5.0, 30.0), AsyncTasks(), lambda: 1.0)
    outcomes: list[ErroServico | None] = [indisponivel("fora")] * FAILURES + [None]

    async def call(ctx: Contexto, req: Any) -> Any:
        if (error := outcomes.pop(0)) is not None:
            raise error
        return req

    late = guarded(breaker, call)
    for _ in range(FAILURES):
        with pytest.raises(ErroServico):
            await late(Contexto(), "?")
    start = clock()
    assert not await breaker.wait(start + 0.05)
    assert 0.04 <= clock() - start < 5
    waiting = [asyncio.create_task(breaker.wait(clock() + 20)) for _ in range(3)]
    await asyncio.sleep(0)
    # A call that was under way when it opened is answered now.
    breaker._answered()
    assert await asyncio.gather(*waiting) == [True, True, True]
    assert clock() - start < 5


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["fails", "answers", "late"]), st.floats(0, 1)), max_size=60
    ),
    draw=st.floats(0, 0.999),
)
async def test_while_it_is_open_never_more_than_one_call_in_half_a_pause(
    steps: list[tuple[str, float]], draw: float
) -> None:
    """And a service that answers is never cut off: after an answer the next call passes."""
    neighbour = _Neighbour(draw=draw)
    trials: list[float] = []
    errors = {"fails": indisponivel("fora"), "answers": None, "late": prazo_esgotado("tarde")}
    for outcome, pause in steps:
        neighbour.now += pause
        neighbour.error = errors[outcome]
        before, trying = neighbour.calls, neighbour.trials
        (category,) = await neighbour.ask()
        if neighbour.trials > trying:
            trials.append(neighbour.now)
        if neighbour.calls > before and outcome == "answers":
            assert category is None
            assert neighbour.breaker.free()
            trials.clear()
        assert all(b - a >= TIMING.pause_s / 2 - 1e-9 for a, b in pairwise(trials))


# --- in the chain -------------------------------------------------------------------------------


async def _open(cluster: Cluster, servico: str, orders: int) -> list[int]:
    """Have orders placed while nothing reaches `servico`."""
    cluster.link(servico).cut(FORWARD[servico])
    tasks = [asyncio.create_task(cluster.create(timeout_s=2.0)) for _ in range(orders)]
    return [(await task).body["pedido_id"] for task in tasks]


@pytest.mark.parametrize("servico", ["pagamentos", "logistica"])
async def test_a_service_that_is_gone_is_left_alone_and_no_order_is_decided(
    open_fresh: OpenCluster, servico: str
) -> None:
    """Many orders meet a dead hop: few calls are tried, none is undone, all are sent afterwards."""
    async with open_fresh() as cluster:
        ids = await _open(cluster, servico, 30)
        assert {(await cluster.look(pedido_id))["status"] for pedido_id in ids} == {"pendente"}
        link = cluster.link(servico)
        # As many as were under way when it opened, then a few trials: not thirty times twelve.
        assert link.count(FORWARD[servico]) < 2 * len(ids)
        link.heal()
        for pedido_id in ids:
            assert (await cluster.end_of(pedido_id))["status"] == "enviado"
            cluster.check_shipped(pedido_id)
        cluster.check_books()


async def test_without_it_every_order_insists(open_fresh: OpenCluster) -> None:
    """What the breaker saves, shown by leaving it out."""
    async with open_fresh(circuit_breaker=False) as cluster:
        # Few: with nothing between their attempts they have the loop nearly to themselves.
        ids = await _open(cluster, "logistica", 4)
        assert cluster.link("logistica").count(FORWARD["logistica"]) > 3 * len(ids)


async def test_an_order_that_is_cancelled_behind_it_ends_when_it_closes(
    open_fresh: OpenCluster,
) -> None:
    async with open_fresh() as cluster:
        (pedido_id,) = await _open(cluster, "estoque", 1)
        cluster.link("estoque").cut("cancelar_separacao")
        answer = await cluster.cancel(pedido_id, timeout_s=1.0)
        assert answer.body["status"] == "cancelando"
        cluster.link("estoque").heal()
        assert (await cluster.end_of(pedido_id))["status"] == "cancelado"
        cluster.check_cancelled(pedido_id, "solicitado")


async def test_lookups_and_the_catalogue_do_not_notice_a_step_that_hangs(
    open_fresh: OpenCluster,
) -> None:
    """The bulkhead: every place for orders is held up at one hop, all else goes on."""
    async with open_fresh(in_flight_max=8, active_max=8) as cluster:
        gate = cluster.link("estoque").hold("before", FORWARD["estoque"])
        tasks = [asyncio.create_task(cluster.create()) for _ in range(8)]
        for _ in tasks:
            await gate.reached()
        start = time.monotonic()
        assert (await cluster.create()).category is Categoria.SOBRECARGA
        assert (await cluster.look(cluster.last()))["status"] == "pendente"
        products = await cluster.edge.call("listar_produtos", {})
        assert products.category is None
        lookup = c.ConsultarPassoRequest(cluster.last())
        paid = await cluster.client("pagamentos").consultar_pagamento(Contexto(), lookup)
        assert paid.status == "aprovado"
        assert time.monotonic() - start < PAUSE_EDGE_S * 4
        gate.open()
        assert {(await task).body["status"] for task in tasks} == {"enviado"}


async def test_trials_that_hang_become_rarer() -> None:
    """Each holds what it holds at its caller: they may not pile up one a pause."""
    neighbour, gate = _Neighbour(), asyncio.Event()
    neighbour.error = indisponivel("fora")
    await neighbour.ask(FAILURES)

    async def hang(ctx: Contexto, req: Any) -> Any:
        await gate.wait()
        return req

    hanging = guarded(neighbour.breaker, hang)
    trials = []
    while neighbour.now < 60.0:
        neighbour.now += TIMING.pause_s
        if neighbour.breaker.free():
            trials.append(asyncio.ensure_future(hanging(Contexto(), "?")))
            await asyncio.sleep(0)
    assert 5 < len(trials) < 40
    gate.set()
    await asyncio.gather(*trials)
    assert neighbour.breaker.steady()


async def test_the_sweep_sends_one_order_to_try_an_open_breaker(open_fresh: OpenCluster) -> None:
    async with open_fresh() as cluster:
        await _open(cluster, "pagamentos", 10)
        await cluster.idle()
        passage = cluster.condutor._passage
        assert not passage.steady()
        assert await passage.wait(time.monotonic() + 5)
        assert await cluster.sweep() == 1
        cluster.link("pagamentos").heal()
        assert await passage.wait(time.monotonic() + 5)
        await cluster.idle()
