"""Deadlines of many calls at the price of one timer.

Nearly every call ends before its deadline, so that a timer of its own is set and taken back at
every hop: some 15 microseconds of a client's processor time (measured), a tenth of what a call
costs. Deadlines that are far are only noted, and looked through once a second; those that have come
near get a timer of their own. So each rings at its own instant, and few ever have a timer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import count
from typing import Final

# Seconds between looks at the deadlines that are far. A look takes about a millisecond where ten
# thousand calls are under way.
GLANCE_S: Final = 1.0
# Seconds. A nearer deadline has a timer: more than one look away, so that none is seen too late by
# a loop that is busy.
NEAR_S: Final = 2.0

Ring = Callable[[], object]


class Alarms:
    """Deadlines of one client's calls, on the loop in which it is used."""

    def __init__(self) -> None:
        self._numbers = count()
        self._near: dict[int, asyncio.TimerHandle] = {}
        self._far: dict[int, tuple[float, Ring]] = {}
        self._look: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Ring no more."""
        if self._look is not None:
            self._look.cancel()
            self._look = None
        for timer in self._near.values():
            timer.cancel()
        self._near.clear()
        self._far.clear()

    def after(self, seconds: float, ring: Ring) -> int:
        """Have `ring` called in so many seconds; returns the number to take that back by."""
        number = next(self._numbers)
        if seconds < NEAR_S:
            self._set(number, seconds, ring)
        else:
            self._far[number] = time.monotonic() + seconds, ring
            if self._look is None:
                self._look = asyncio.get_running_loop().call_later(GLANCE_S, self._look_through)
        return number

    def forget(self, number: int) -> None:
        """Take an alarm back; one that has rung already is no mistake."""
        if self._far.pop(number, None) is None:
            timer = self._near.pop(number, None)
            if timer is not None:
                timer.cancel()

    def _set(self, number: int, seconds: float, ring: Ring) -> None:
        loop = asyncio.get_running_loop()
        self._near[number] = loop.call_later(max(0.0, seconds), self._ring, number, ring)

    def _ring(self, number: int, ring: Ring) -> None:
        del self._near[number]
        ring()

    def _look_through(self) -> None:
        now = time.monotonic()
        come_near = [number for number, (at, _) in self._far.items() if at - now < NEAR_S]
        for number in come_near:
            at, ring = self._far.pop(number)
            self._set(number, at - now, ring)
        # Nothing is looked through while nothing is far: an idle client wakes nobody.
        self._look = None
        if self._far:
            self._look = asyncio.get_running_loop().call_later(GLANCE_S, self._look_through)


class Limit:
    """What `asyncio.timeout` does, by such an alarm and without a coroutine at either end.

    `with Limit(alarms, seconds):` cancels the task inside it after so many seconds (None for never)
    and then raises TimeoutError, unless somebody else cancelled the task too.
    """

    __slots__ = ("_alarms", "_cancelling", "_number", "_rung", "_seconds", "_task")

    def __init__(self, alarms: Alarms, seconds: float | None) -> None:
        self._alarms, self._seconds, self._rung = alarms, seconds, False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a limit is set inside a task")
        self._task, self._cancelling = task, task.cancelling()
        seconds = self._seconds
        self._number = None if seconds is None else self._alarms.after(seconds, self._ring)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if self._number is not None:
            self._alarms.forget(self._number)
        alone = self._rung and self._task.uncancel() <= self._cancelling
        if alone and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _ring(self) -> None:
        self._rung = True
        self._task.cancel()
