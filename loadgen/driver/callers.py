"""The closed loop: N callers, each placing its next order after the end of its last.

When an order is due is decided apart from how it is placed: here the answer is "now"; `open_loop`
hands `place` the intended instant of a schedule instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final, Protocol

from loadgen.workload.outcomes import Outcome

# Callers that start at once, callers a wave after that, and seconds between waves. The connections
# of ten thousand would overrun the listening queue (4,096 on many machines) of a service that is
# busy with the first of them, and the kernel resets what it had to forget: so they take 4.5 s.
CALLERS_AT_ONCE: Final = 1_000
CALLERS_PER_WAVE: Final = 100
WAVE_S: Final = 0.05
# Seconds that a caller waits after an order failed; doubles with each failure in a row, up to the
# second. Without it, a refusal in a closed loop is answered by a storm.
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 1.0

Sleep = Callable[[float], Awaitable[None]]


class Place(Protocol):
    """How an order is placed."""

    async def __call__(self, caller: int, number: int) -> Outcome:
        """Place order `number` as `caller`."""


class ClosedLoop:
    """Callers that share one sequence of orders until it ends or they are told to stop."""

    def __init__(
        self,
        place: Place,
        orders: Iterable[int],
        callers: Iterable[int],
        *,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._place = place
        self._orders: Iterator[int] = iter(orders)
        self._callers = callers
        self._sleep = sleep
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Place no new order; those under way finish."""
        self._stopping.set()

    async def run(self) -> None:
        """Run the callers to their end."""
        async with asyncio.TaskGroup() as group:
            for position, caller in enumerate(self._callers, 1):
                if self._stopping.is_set():
                    break
                group.create_task(self._buy(caller))
                later = position - CALLERS_AT_ONCE
                if later >= 0 and later % CALLERS_PER_WAVE == 0:
                    await self._sleep(WAVE_S)

    async def _buy(self, caller: int) -> None:
        failures = 0
        while not self._stopping.is_set():
            number = next(self._orders, None)
            if number is None:
                return
            outcome = await self._place(caller, number)
            if outcome.completed:
                failures = 0
                continue
            pause = min(FIRST_PAUSE_S * 2 ** min(failures, 10), LONGEST_PAUSE_S)
            failures += 1
            await self._sleep(pause)
