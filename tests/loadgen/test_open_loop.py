"""The open loop: when orders are sent, what latency means, and what is never skipped in silence."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest

from common import contratos as c
from common.servicos.protocolo.contexto import Contexto
from loadgen import options
from loadgen.calibration.pacing import (
    chi_square,
    poisson_check,
    rate_check,
    stall_checks,
    windows_check,
)
from loadgen.cli import exit_code
from loadgen.driver.open_loop import OpenLoop
from loadgen.results.histograms import Tally, lag_histogram
from loadgen.results.merge import merge
from loadgen.results.objectives import parse_objective
from loadgen.results.recorder import Recorder, Recording
from loadgen.results.result import Result, make_result, without_goodput
from loadgen.workload.outcomes import SENT, Outcome
from loadgen.workload.plan import Share
from loadgen.workload.schedule import Schedule, instants, ramp, steady
from tests.support.loadgen_support import FakePedidos, order, plan, run, share_run

STALL_S = 2.0


def open_plan(schedule: Schedule, **changes: Any):
    return plan(concurrency=0, checkouts=None, schedule=schedule, sample_every=0, **changes)


def result_of(given, recording: Recording) -> Result:
    return make_result(given, recording, {})


class StandsStill(FakePedidos):
    """Answers at once, but for a while in which it answers nobody."""

    def __init__(self, from_s: float, to_s: float) -> None:
        super().__init__()
        self._begin = time.monotonic()
        self._from_s, self._to_s = from_s, to_s

    async def criar_pedido(self, ctx: Contexto, req: c.CriarPedidoRequest) -> c.PedidoResponse:
        """Place an order."""
        at = time.monotonic() - self._begin
        await asyncio.sleep(self._to_s - at if self._from_s <= at < self._to_s else 0.001)
        return order(1)


async def test_uma_parada_de_dois_segundos_aparece_so_no_laco_aberto() -> None:
    """A server that stalls two seconds: the open loop's p99 shows it, a naive caller's does not.

    One order in a hundred of the open loop waits nearly all of the stall; the naive caller asks
    nothing meanwhile, so that the stall is one order among its thousand.
    """
    length_s = 4.0
    opened_plan = open_plan(steady(100, length_s))
    naive_plan = plan(concurrency=1, checkouts=None, duration_s=length_s, sample_every=0)
    opened, naive = await asyncio.gather(
        run(opened_plan, StandsStill(1.0, 1.0 + STALL_S)),
        run(naive_plan, StandsStill(1.0, 1.0 + STALL_S)),
    )
    shown, unseen = result_of(opened_plan, opened), result_of(naive_plan, naive)
    assert 0.9 * STALL_S * 1e3 <= shown.latency_ms.p99 <= 1.1 * STALL_S * 1e3
    assert unseen.latency_ms.p99 < 0.1 * STALL_S * 1e3
    assert unseen.completed > 200
    assert unseen.latency_ms.max >= 0.9 * STALL_S * 1e3
    checks = stall_checks(shown, unseen, STALL_S, length_s)
    assert [check.passed for check in checks] == [True, True]
    # And the checks can fail: a naive measurement does not pass for an open one.
    assert not stall_checks(unseen, unseen, STALL_S, length_s)[0].passed
    assert not stall_checks(shown, shown, STALL_S, length_s)[1].passed


class Clock:
    """Time that passes only where somebody sleeps or works."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def now_ns(self) -> int:
        """Nanoseconds."""
        return round(self.now * 1e9)

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


async def test_cada_pedido_sai_no_seu_instante_e_nunca_antes() -> None:
    """Orders are sent at their instants whatever the others take; a late one says when it was due."""
    clock, sent = Clock(), []
    times = [0.0, 0.010, 0.011, 0.9, 0.9]

    async def place(caller: int, number: int, intended_ns: int):
        sent.append((number, intended_ns, clock.now_ns()))
        if number == 1:
            clock.now += 0.5  # the generator itself is busy
        return SENT

    await OpenLoop(
        place, list(enumerate(times)), start_ns=0, under_way_max=9, unsent=pytest.fail,
        sleep=clock.sleep, now_ns=clock.now_ns,
    ).run()  # fmt: skip
    assert [number for number, _, _ in sent] == [0, 1, 2, 3, 4]
    assert [due for _, due, _ in sent] == [round(at * 1e9) for at in times]
    assert all(at >= due for _, due, at in sent)
    assert sent[2][2] - sent[2][1] >= 0.4e9
    assert sent[4][2] - sent[4][1] < 0.01e9
    # Event loops count in whole milliseconds: it asks for those, and looks up often enough to stop.
    assert all(seconds * 1e3 == pytest.approx(round(seconds * 1e3)) for seconds in clock.slept)
    assert max(clock.slept) <= 0.25


async def test_o_que_nao_coube_e_contado_e_falta_no_enviado() -> None:
    """Orders beyond the bound are not sent but counted: offered is sent and unsent together."""
    schedule = steady(100, 0.5, "constant")
    given = open_plan(schedule, under_way_max=3)
    pedidos = FakePedidos(delay_s=10.0)
    running = share_run(Share(plan=given), pedidos)
    task = asyncio.create_task(running.run())
    async with asyncio.timeout(10):
        while running.live().unsent < 47:
            await asyncio.sleep(0.01)
    running.abort()
    result = result_of(given, await task)
    assert pedidos.most_under_way == len(pedidos.placed) == 3
    assert (result.offered, result.sent, result.unsent) == (50, 3, 47)
    assert sum(second.offered for second in result.timeline) == 50
    assert sum(second.unsent for second in result.timeline) == 47


async def test_processos_de_um_laco_aberto_juntam_se_sem_sobra() -> None:
    """Two processes' parts are the orders of one, each at its instant, and merge to one recording."""
    given = open_plan(ramp(50, 150, 0.5), warmup_s=0.1)
    recordings = []
    keys = []
    for index in range(2):
        pedidos = FakePedidos()
        recordings.append(await share_run(Share(plan=given, index=index, of=2), pedidos).run())
        # The second ran later; in a crew both begin at one instant.
        keys += [key for key, _ in pedidos.placed]
    assert sorted(keys) == sorted(f"run-{number}" for number in range(given.orders))
    whole = merge(recordings)
    times = list(instants(given.schedule, given.seed))
    cells = [0] * len(whole.offered)
    for at in times:
        cells[int(at * 10)] += 1
    assert whole.offered == cells
    result = result_of(given, whole)
    assert result.sent + result.warmup.total() == len(times)
    assert result.warmup.total() == sum(at < 0.1 for at in times)
    assert result.open_loop.late_ms.samples == result.sent


async def test_tempo_de_servico_conta_do_envio() -> None:
    """An order that was sent late is slow for its customer, not for the service."""
    given = open_plan(steady(10, 0.3, "constant"))
    running = share_run(Share(plan=given), FakePedidos(delay_s=0.001))
    time.sleep(0.2)  # as a generator would that is stopped
    result = result_of(given, await running.run())
    assert result.latency_ms.max >= 199
    assert result.service_ms.max < 150
    assert result.open_loop.late_ms.max >= 199


def kept(**changes: Any) -> Result:
    """A run of 100 a second for ten seconds, as good as it gets but for `changes`."""
    given = open_plan(steady(100, 10, "constant"))
    recorder = asyncio.run(_recorded(given))
    return make_result(given, msgspec.structs.replace(recorder, **changes), {})


async def _recorded(given) -> Recording:
    recorder = Recorder(0, 0.0, 60.0)
    recorder.open_loop()
    for at in instants(given.schedule, 0):
        due = int(at * 1e9)
        recorder.sent(due + 1_000_000, due)
        recorder.ended(due, due + 1_000_000, due + 20_000_000, SENT)
    lag = lag_histogram()
    lag.record_value(100)
    recording = recorder.recording(lag)
    recording.cpu_s = [0.5]
    return recording


@pytest.mark.parametrize("straggles_s", [0.0, 60.0])
def test_um_pedido_tardio_nao_divide_a_taxa(straggles_s: float) -> None:
    """One order in two thousand that fails at once or by its timeout: the rate is the same.

    The rate over the whole run is not; the objective, the study and the table take the steady one.
    """
    given = open_plan(steady(100, 22, "constant"), warmup_s=2.0)
    recorder = Recorder(0, 2.0, 60.0)
    recorder.open_loop()
    times = [int(at * 1e9) for at in instants(given.schedule, 0)]
    for due in times[:-1]:
        recorder.sent(due, due)
        recorder.ended(due, due, due + 20_000_000, SENT)
    recorder.sent(times[-1], times[-1])
    end = times[-1] + int(straggles_s * 1e9)
    recorder.ended(times[-1], times[-1], end, Outcome("erro", "prazo_esgotado"))
    recording = recorder.recording(lag_histogram())
    asked = [parse_objective("throughput>=99/s"), parse_objective("goodput>=99/s")]
    result = make_result(given, recording, {}, asked)
    assert result.completed == 1_999
    assert result.steady.to_s == 22.0
    assert result.sustained_per_s == pytest.approx(100, abs=0.2)
    assert result.sustained_goodput_per_s == result.sustained_per_s
    assert [judged.met for judged in result.objectives] == [True, True]
    assert result.throughput_per_s == pytest.approx(1_999 / result.duration_s, rel=1e-3)
    assert (result.throughput_per_s < 30) == (straggles_s > 0)


def test_goodput_constante_conta_so_os_do_prazo() -> None:
    """Answers after their deadline are in the steady throughput and not in the steady goodput."""
    given = open_plan(steady(100, 10, "constant"))
    recorder = Recorder(0, 0.0, 1.0)
    recorder.open_loop()
    for number, at in enumerate(instants(given.schedule, 0)):
        due = int(at * 1e9)
        sent = due + (500_000_000 if number % 2 else 0)
        recorder.sent(sent, due)
        recorder.ended(due, sent, sent + 600_000_000, SENT)
    result = result_of(given, merge([recorder.recording(lag_histogram())] * 2))
    assert result.steady.throughput_per_s == pytest.approx(183, abs=2)
    assert result.steady.goodput_per_s == pytest.approx(94, abs=1)
    assert without_goodput(result).sustained_goodput_per_s is None


def late(milliseconds: int) -> str:
    tally = Tally(60_000_000)
    tally.note(milliseconds * 1_000)
    return tally.encoded()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"late": late(19)}, None),
        ({"late": late(22)}, "sent late by 22 ms"),
        ({"sending_ended_ns": 10_050_000_000}, None),
        ({"sending_ended_ns": 10_500_000_000}, "were offered, 95.2% of the 100.0 asked for"),
        ({"unsent": [10]}, None),
        ({"unsent": [11]}, "11 of 1,000 orders were not sent"),
    ],
)
def test_laco_aberto_fora_do_horario_e_invalido(changes: Any, words: str | None) -> None:
    """Lateness, rate and unsent orders each have a bound; beyond it the run says why it is invalid."""
    result = kept(**changes)
    if words is None:
        assert result.invalid_reasons == []
    else:
        assert len(result.invalid_reasons) == 1
        assert words in result.invalid_reasons[0]
        assert exit_code(result) == options.EXIT_INVALID


def test_pedidos_nao_enviados_nao_sao_um_exito() -> None:
    """A valid run that could not send every order does not end as one that did."""
    assert exit_code(kept()) == options.EXIT_OK
    assert exit_code(kept(unsent=[1])) == options.EXIT_NOT_ALL_TERMINAL


def test_ritmo_pedido_e_poisson_sao_conferidos() -> None:
    """The checks of pacing pass what keeps to its schedule and fail what does not."""
    sent = [0] * 600
    for at in instants(steady(300, 60), 42):
        sent[int(at * 10)] += 1
    assert poisson_check(sent, 300, 60).passed
    assert not poisson_check([30] * 600, 300, 60).passed
    assert not poisson_check([20, 40] * 300, 300, 60).passed
    assert chi_square([1, 2], 1.0) is None
    assert windows_check(sent, 60).passed
    # The count is right over the whole and wrong in its parts: the rate drifts, or breaks off.
    drifting = [0] * 600
    for at in instants(ramp(250, 350, 60), 42):
        drifting[int(at * 10)] += 1
    assert sum(drifting) == sum(sent)
    assert not windows_check(drifting, 60).passed
    assert not windows_check([0] * 60 + [33] * 540, 60).passed
    assert not windows_check([1] * 40, 60).passed
    opened = kept().open_loop
    assert rate_check(opened).passed
    assert not rate_check(msgspec.structs.replace(opened, sent_per_s=98.9)).passed


def test_a_memoria_nao_cresce_com_os_pedidos() -> None:
    """Ten times the orders in the same time make the same recording, but for longer numbers."""

    def size(orders_per_s: int) -> int:
        recorder = Recorder(0, 0.0, 60.0)
        recorder.open_loop()
        for at in instants(steady(orders_per_s, 60, "constant"), 0):
            due = int(at * 1e9)
            recorder.sent(due + 1_000, due)
            recorder.ended(due, due + 1_000, due + 1_000_000 * (1 + due % 97), SENT, "a;dur=1.0")
        return len(msgspec.json.encode(recorder.recording(lag_histogram())))

    few, many = size(30), size(300)
    assert many < 1.5 * few
