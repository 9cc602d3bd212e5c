"""The meter: a call's life in steps and waits, each counted once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.servicos.protocolo.account import Account
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.record import server_timing
from common.telemetry import timing
from common.telemetry.timing import Meter, running


class Clock:
    """The two clocks of the meter, moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.cpu = 5.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now

    def thread_time(self) -> float:
        """Processor seconds."""
        return self.cpu

    def wait(self, seconds: float) -> None:
        """Time passes without work."""
        self.now += seconds

    def work(self, seconds: float) -> None:
        """Time passes at work."""
        self.now += seconds
        self.cpu += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Clocks moved by hand instead of the machine's."""
    hands = Clock()
    monkeypatch.setattr(timing, "time", hands)
    return hands


def _parts(meter: Meter) -> dict[str, float]:
    return {name: round(seconds, 9) for name, seconds in meter.seconds().items()}


def test_um_passo_e_trabalho_e_o_que_faltou_de_processador_e_espera(clock: Clock) -> None:
    """Before its first step a call waits to run; in a step only processor time is its work."""
    meter = Meter(clock.now)
    clock.wait(2)
    meter.resume()
    clock.work(3)
    clock.wait(0.5)
    assert _parts(meter) == {"espera": 2.5, "trabalho": 3.0}


def test_depois_de_pronto_a_espera_e_por_rodar(clock: Clock) -> None:
    """A wait belongs to its section until what was waited for was there, then to `espera`."""
    meter = Meter(clock.now)
    meter.resume()
    before = meter.enter("banco")
    meter.pause()
    clock.wait(4)
    done = clock.now
    clock.wait(3)
    meter.resume()
    meter.ready(done)
    meter.leave(before)
    assert _parts(meter) == {"banco": 4.0, "espera": 3.0, "trabalho": 0.0}


@pytest.mark.parametrize("away", [-1.0, 5.0])
def test_pronto_fora_da_espera_nao_muda_nada(clock: Clock, away: float) -> None:
    """What was there before the wait began, or is said to come after it, moves nothing."""
    meter = Meter(clock.now)
    meter.resume()
    meter.ready(clock.now)
    meter.enter("banco")
    meter.pause()
    begin = clock.now
    clock.wait(4)
    meter.resume()
    meter.ready(begin + away)
    assert _parts(meter)["banco"] == 4.0


def test_a_secao_de_fora_fica_com_a_espera(clock: Clock) -> None:
    """What the gateway does with its own storage is the gateway's time."""
    meter = Meter(clock.now)
    meter.resume()
    outer = meter.enter("gateway")
    inner = meter.enter("banco")
    meter.pause()
    clock.wait(1)
    meter.resume()
    meter.leave(inner)
    meter.pause()
    clock.wait(2)
    meter.resume()
    meter.leave(outer)
    assert _parts(meter)["gateway"] == 3.0
    assert "banco" not in _parts(meter)


def test_espera_sem_dono_nao_e_contada(clock: Clock) -> None:
    """A wait that no port has claimed is missing from the sum, for everybody to see."""
    meter = Meter(clock.now)
    meter.resume()
    meter.pause()
    clock.wait(7)
    meter.resume()
    clock.work(1)
    assert _parts(meter) == {"espera": 0.0, "trabalho": 1.0}


def test_o_que_correu_ao_mesmo_tempo_conta_uma_vez(clock: Clock) -> None:
    """While a task works on the call's behalf its time stands for the call's; the rest is whole."""
    call = Meter(clock.now)
    call.resume()
    clock.work(1)
    task = call.fork()
    call.pause()
    clock.wait(0.25)  # the task waits for the loop
    task.resume()
    clock.work(2)
    task.enter("proximo")
    task.pause()
    assert task.departed == clock.now
    clock.wait(1)
    call.resume()  # beside the way: the call looks after itself while its task waits
    clock.work(1)
    call.pause()
    clock.wait(3)
    task.resume()
    clock.work(0.5)
    task.end()
    clock.wait(0.75)
    call.resume()
    call.take_over(task)
    clock.work(1)
    parts = _parts(call)
    assert parts == {"trabalho": 4.5, "espera": 1.0, "proximo": 5.0}
    assert sum(parts.values()) == clock.now - call.began
    assert call.departed == task.departed


def test_tarefa_na_mesma_linha_de_execucao_conta_uma_vez(clock: Clock) -> None:
    """A task that runs to its end inside a step of the call is not counted beside it."""
    call = Meter(clock.now)
    call.resume()
    clock.work(1)
    task = call.fork()
    task.resume()
    clock.work(2)
    before = task.enter("banco")
    task.pause()
    clock.wait(4)
    task.resume()
    task.leave(before)
    clock.work(1)
    task.end()
    call.take_over(task)
    clock.work(0.5)
    assert _parts(call) == {"trabalho": 4.5, "espera": 0.0, "banco": 4.0}


def test_tarefa_que_nao_terminou_conta_ate_a_chamada_voltar(clock: Clock) -> None:
    """A call that gives up on its task has of it what was before, and no more."""
    call = Meter(clock.now)
    call.resume()
    task = call.fork()
    call.pause()
    task.resume()
    clock.work(2)
    task.pause()
    clock.wait(5)
    call.resume()
    call.take_over(task)
    assert _parts(call) == {"trabalho": 2.0, "espera": 0.0}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["work", "held", "banco", "gateway", "proximo", "nobody"]),
            st.floats(0.001, 10),
        ),
        max_size=30,
    )
)
def test_as_partes_somam_a_vida_menos_o_que_nao_tem_dono(events: list[tuple[str, float]]) -> None:
    """Whatever happens to a call, its parts sum to its life less the waits that nobody claimed."""
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "time", clock)
        meter = Meter(clock.now)
        meter.resume()
        unclaimed = 0.0
        for kind, seconds in events:
            if kind == "work":
                clock.work(seconds)
            elif kind == "held":
                clock.wait(seconds)
            else:
                before = "" if kind == "nobody" else meter.enter(kind)
                meter.pause()
                clock.wait(seconds)
                meter.resume()
                meter.leave(before)
                unclaimed += seconds if kind == "nobody" else 0.0
        assert sum(meter.seconds().values()) == pytest.approx(clock.now - 100.0 - unclaimed)


_spans = st.floats(0.001, 10)


@given(_spans, _spans, st.lists(st.tuples(_spans, _spans, st.none() | _spans), max_size=10), _spans)
def test_o_caminho_pela_tarefa_soma_a_vida_da_chamada(
    own: float, begun: float, rounds: list[tuple[float, float, float | None]], late: float
) -> None:
    """However call and task take turns, a call that led through a task is accounted for whole."""
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "time", clock)
        call = Meter(clock.now)
        call.resume()
        clock.work(own)
        task = call.fork()
        call.pause()
        clock.wait(begun)
        task.resume()
        for work, wait, beside in rounds:
            clock.work(work)
            before = task.enter("banco")
            task.pause()
            clock.wait(wait)
            if beside is not None:
                call.resume()
                clock.work(beside)
                call.pause()
            task.resume()
            task.leave(before)
        task.end()
        clock.wait(late)
        call.resume()
        call.take_over(task)
        parts = call.seconds()
        assert sum(parts.values()) == pytest.approx(clock.now - 100.0)
        assert parts["trabalho"] == pytest.approx(own + sum(work for work, _, _ in rounds))
        assert parts["espera"] == pytest.approx(begun + late)


async def test_medir_nao_muda_o_que_a_corrotina_faz() -> None:
    """Measured or not, a coroutine gets the same values, errors and cancellation."""
    meter = Meter()
    assert await meter.measure(asyncio.sleep(0, "value")) == "value"

    async def fail() -> None:
        await asyncio.sleep(0)
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        await Meter().measure(fail())

    seen: list[str] = []

    async def hold() -> str:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        return "never"

    task = asyncio.create_task(Meter().measure(hold()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]


async def test_quem_ocupa_o_laco_aparece_como_espera() -> None:
    """While others hold the loop, a call whose storage is done waits to run."""

    async def call(meter: Meter) -> None:
        before = meter.enter("banco")
        due = time.monotonic() + 0.01
        await asyncio.sleep(0.01)
        meter.ready(due)
        meter.leave(before)

    meter = Meter()
    task = asyncio.create_task(meter.measure(call(meter)))
    await asyncio.sleep(0)
    time.sleep(0.06)
    await task
    parts = meter.seconds()
    assert parts["espera"] >= 0.045
    assert 0.009 <= parts["banco"] < 0.03
    assert meter.ended is not None


def test_em_linhas_de_execucao_a_porta_que_bloqueia_marca_a_espera() -> None:
    """On threads the same meter works with a port that blocks, found by the thread it runs in."""
    ready = threading.Event()
    told: list[float] = []

    def supply() -> None:
        time.sleep(0.02)
        told.append(time.monotonic())
        ready.set()

    async def step(ctx: Contexto) -> str:
        meter = running()
        assert meter is ctx.account.meter
        before = ctx.account.enter("banco")
        assert meter is not None
        meter.pause()
        assert running() is None
        ready.wait()
        meter.resume()
        ctx.account.ready(told[0])
        ctx.account.leave(before)
        return "done"

    ctx = Contexto()
    ctx.account.meter = Meter(time.monotonic() - 0.5)  # half a second in the pool's queue
    supplier = threading.Thread(target=supply)
    supplier.start()
    drive: Generator[Any, Any, str] | Any = ctx.account.measured(step(ctx))
    with pytest.raises(StopIteration) as stop:
        drive.send(None)
    supplier.join()
    assert stop.value.value == "done"
    assert running() is None
    parts = ctx.account.meter.seconds()
    assert parts["espera"] >= 0.5
    assert 0.015 <= parts["banco"] < 0.2
    assert sum(parts.values()) == pytest.approx(
        time.monotonic() - ctx.account.meter.began, abs=0.05
    )


@pytest.mark.parametrize("drive", [False, True])
def test_tentativa_perdida_fica_a_parte(clock: Clock, drive: bool) -> None:
    """A first call whose answer was lost is told apart from the last one, also by a drive."""
    meter = Meter(clock.now)
    meter.resume()
    task = meter.fork() if drive else meter
    if drive:
        meter.pause()
        task.resume()
    for waited in (3.0, 0.02):
        before = task.enter("proximo")
        clock.work(0.001)
        task.pause()
        clock.wait(waited)
        task.resume()
        task.leave(before)
    if drive:
        task.end()
        meter.resume()
        meter.take_over(task)
    assert _parts(meter) == {"trabalho": 0.002, "tentativas": 3.0, "proximo": 0.02, "espera": 0.0}
    hop = Account(meter.began, meter).hop("pedidos", clock.now)
    assert "proximo=20.000;tentativas=3000.000;saida=" in server_timing((hop,))
