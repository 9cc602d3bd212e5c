"""Deadlines of many calls at the price of one timer.

Nearly every call ends before its deadline, so that a timer of its own is set and taken back at
every hop: some 15 microseconds of a client's processor time (measured), a tenth of what a call
costs. Deadlines that are far share one timer instead, and ring up to a tick late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

# Seconds by which a shared deadline may ring late at most: half of what a hop keeps for itself
# (settings.RESERVA_SALTO_S), so that an inner hop's word still reaches the outer caller.
TIQUE_S: Final = 0.01
# Seconds. A nearer deadline has a timer of its own: there a tick matters. So has a farther one, for
# each tick with a deadline is kept until it has passed.
PERTO_S: Final = 2.0
LONGE_S: Final = 600.0

Ring = Callable[[], object]


class Alarms:
    """Deadlines of one client's calls, on the loop in which it is used."""

    def __init__(self) -> None:
        self._ticks: dict[int, set[Ring]] = {}
        self._next: asyncio.TimerHandle | None = None
        self._next_tick = 0

    def close(self) -> None:
        """Ring no more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._ticks.clear()

    def after(self, seconds: float, ring: Ring) -> Callable[[Ring], object]:
        """Have `ring` called in so many seconds; returns what, called with it, takes that back."""
        loop = asyncio.get_running_loop()
        if not PERTO_S <= seconds <= LONGE_S:
            handle = loop.call_later(seconds, ring)
            return lambda _: handle.cancel()
        tick = int((loop.time() + seconds) / TIQUE_S) + 1
        rings = self._ticks.get(tick)
        if rings is None:
            rings = self._ticks[tick] = set()
            if self._next is None or tick < self._next_tick:
                self._wait_for(tick, loop)
        rings.add(ring)
        return rings.discard

    def _wait_for(self, tick: int, loop: asyncio.AbstractEventLoop) -> None:
        if self._next is not None:
            self._next.cancel()
        self._next_tick = tick
        self._next = loop.call_at(tick * TIQUE_S, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._next = None
        # A loop that counts in milliseconds may wake a little early: what it waited for is due.
        now = max(self._next_tick, int(loop.time() / TIQUE_S))
        due = [tick for tick in self._ticks if tick <= now]
        rings = [ring for tick in sorted(due) for ring in self._ticks.pop(tick)]
        if self._ticks:
            self._wait_for(min(self._ticks), loop)
        for ring in rings:
            ring()


class Limit:
    """What `asyncio.timeout` does, by a shared alarm and without a coroutine at either end.

    `with Limit(alarms, seconds):` cancels the task inside it after so many seconds (None for never)
    and then raises TimeoutError, unless somebody else cancelled the task too.
    """

    __slots__ = ("_alarms", "_cancelling", "_forget", "_rung", "_seconds", "_task")

    def __init__(self, alarms: Alarms, seconds: float | None) -> None:
        self._alarms, self._seconds, self._rung = alarms, seconds, False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a limit is set inside a task")
        self._task, self._cancelling = task, task.cancelling()
        seconds = self._seconds
        self._forget = None if seconds is None else self._alarms.after(seconds, self._ring)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if self._forget is not None:
            self._forget(self._ring)
        alone = self._rung and self._task.uncancel() <= self._cancelling
        if alone and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _ring(self) -> None:
        self._rung = True
        self._task.cancel()
