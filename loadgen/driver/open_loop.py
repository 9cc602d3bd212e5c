"""The open loop: orders sent at the instants of a schedule, however long the ones before them take.

Nothing is skipped in silence. An order that its process could not send in time is sent late, and its
latency counts from its instant; one that finds too many under way is counted as unsent.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Protocol

from loadgen.workload.outcomes import Outcome

# Seconds that it sleeps at a stretch: how long a stop may go unnoticed.
WAIT_MAX_S: Final = 0.25

Sleep = Callable[[float], Awaitable[None]]


class PlaceDue(Protocol):
    """How an order is placed that was due at an instant."""

    async def __call__(self, caller: int, number: int, intended_ns: int) -> Outcome:
        """Place order `number` as `caller`; it was due at `intended_ns`."""


class OpenLoop:
    """Sends each order at its instant unless `under_way_max` are under way; nobody waits for it.

    `arrivals` are (number, seconds after `start_ns`), in order. Each order has a caller of its own,
    with its number. `unsent` is told the instant of each order that is not sent.
    """

    def __init__(
        self,
        place: PlaceDue,
        arrivals: Iterable[tuple[int, float]],
        *,
        start_ns: int,
        under_way_max: int,
        unsent: Callable[[int], None],
        sleep: Sleep = asyncio.sleep,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._place = place
        self._arrivals = arrivals
        self._start_ns = start_ns
        self._under_way_max = under_way_max
        self._unsent = unsent
        self._sleep = sleep
        self._now_ns = now_ns
        self._under_way = 0
        self._stopping = False

    def stop(self) -> None:
        """Send no new order; those under way finish."""
        self._stopping = True

    async def run(self) -> None:
        """Run the schedule to its end, and the orders under way to theirs."""
        async with asyncio.TaskGroup() as group:
            for number, after_s in self._arrivals:
                due_ns = self._start_ns + int(after_s * 1e9)
                await self._until(due_ns)
                if self._stopping:
                    return
                if self._under_way >= self._under_way_max:
                    self._unsent(due_ns)
                    continue
                self._under_way += 1
                group.create_task(self._send(number, due_ns))

    async def _send(self, number: int, due_ns: int) -> None:
        try:
            await self._place(number, number, due_ns)
        finally:
            self._under_way -= 1

    async def _until(self, due_ns: int) -> None:
        """Wait for an instant, never less; when it has passed, let others work and go on."""
        left_ns = due_ns - self._now_ns()
        if left_ns <= 0:
            await self._sleep(0)
        while left_ns > 0 and not self._stopping:
            # Event loops count in milliseconds, and uvloop rounds a part of one down to nothing.
            await self._sleep(min(math.ceil(left_ns / 1e6) / 1e3, WAIT_MAX_S))
            left_ns = due_ns - self._now_ns()
