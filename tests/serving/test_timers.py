"""Deadlines that share a timer: who rings, when, and who does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from common.serving import timers as alarms
from common.serving.timers import Alarms, Limit


@pytest.fixture(autouse=True)
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines of a tenth of a second are far, so that no test waits for seconds."""
    monkeypatch.setattr(alarms, "NEAR_S", 0.1)
    monkeypatch.setattr(alarms, "GLANCE_S", 0.05)


async def test_o_que_nao_foi_retirado_toca_e_nunca_antes_do_prazo() -> None:
    """Each deadline rings once, in their order and never early, whichever was set first."""
    given, loop, rung = Alarms(), asyncio.get_running_loop(), {}
    done = asyncio.Event()
    begin = loop.time()

    def ringer(seconds: float) -> Callable[[], Any]:
        def ring() -> None:
            assert seconds not in rung
            rung[seconds] = loop.time() - begin
            if len(rung) == 4:
                done.set()

        return ring

    # The second is nearer than the first, the third has a timer at once, the fourth comes last.
    for seconds in (0.30, 0.12, 0.02, 0.42):
        given.after(seconds, ringer(seconds))
    # One that is far, one that is near, and one that was far and has come near.
    given.forget(given.after(0.2, ringer(0.2)))
    given.forget(given.after(0.03, ringer(0.03)))
    come_near = given.after(0.18, ringer(0.18))
    loop.call_later(0.15, given.forget, come_near)
    async with asyncio.timeout(10):
        await done.wait()
    assert list(rung) == [0.02, 0.12, 0.30, 0.42]
    # Event loops count in milliseconds.
    assert all(at >= seconds - 0.002 for seconds, at in rung.items())
    given.close()


async def test_fechado_nao_toca() -> None:
    """After close nothing rings."""
    given, rung = Alarms(), []
    given.after(0.1, lambda: rung.append(1))
    given.close()
    await asyncio.sleep(0.2)
    assert rung == []


async def test_mil_prazos_distantes_tem_um_so_relogio(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand far deadlines set one timer, and none is left when they were taken back."""
    loop, timers = asyncio.get_running_loop(), []
    original = loop.call_later

    def spied(*args: Any) -> asyncio.TimerHandle:
        timers.append(original(*args))
        return timers[-1]

    monkeypatch.setattr(loop, "call_later", spied)
    given = Alarms()
    numbers = [given.after(60.0, asyncio.Event().set) for _ in range(1_000)]
    assert len(timers) == 1
    for number in numbers:
        given.forget(number)
        # Also after it has rung, or twice.
        given.forget(number)
    # The look that was under way finds nothing and sets no other; the sleep sets the second.
    await asyncio.sleep(0.15)
    assert len(timers) == 2
    given.close()


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.15])
async def test_limite_termina_o_que_demora(seconds: float) -> None:
    """What is still waiting when the limit comes is cancelled and told TimeoutError; the task lives on."""
    given, task = Alarms(), asyncio.current_task()
    with pytest.raises(TimeoutError), Limit(given, seconds):
        await asyncio.Event().wait()
    assert task is not None
    assert task.cancelling() == 0
    given.close()


@pytest.mark.parametrize("seconds", [0.02, 0.15, None])
async def test_limite_nao_alcanca_o_que_terminou_antes(seconds: float | None) -> None:
    """What ended in time, by an answer or by an error, is not touched later."""
    given = Alarms()
    with Limit(given, seconds):
        await asyncio.sleep(0)
    with pytest.raises(KeyError), Limit(given, seconds):
        raise KeyError
    await asyncio.sleep(0.25)
    given.close()


async def test_quem_foi_cancelado_por_outro_continua_cancelado() -> None:
    """A cancellation from outside is never told as a limit, not even when both come at once."""
    for both in (False, True):
        given, inside = Alarms(), asyncio.Event()

        async def wait(given: Alarms = given, inside: asyncio.Event = inside) -> None:
            with Limit(given, 0.05):
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(wait())
        await inside.wait()
        if both:
            asyncio.get_running_loop().call_later(0.05, task.cancel)
            # The loop is held until both are due, so that they come in one turn.
            time.sleep(0.1)
        else:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        given.close()
