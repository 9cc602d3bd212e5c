"""How the event-loop arms wait: every port suspends, and the loop goes on with something else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.runtime.execution import AsyncClock, AsyncTasks
from common.runtime.loop_lag import LONG_INTERVAL_S, SAMPLE_INTERVAL_S, LoopLag
from common.serving.standstill import BEAT_S, Standstill
from common.storage.connection import Synchronous
from common.storage.database import MakeEngine
from common.storage.event_loop import Storage
from common.storage.pressure import Pressure


class EventLoopPorts:
    """The ports of one service on an event loop; see common.runtime.site.Ports."""

    def __init__(self) -> None:
        self.clock = AsyncClock()
        self.execution = AsyncTasks()

    async def storage(
        self, path: Path, synchronous: Synchronous, pressure: Pressure, engine: MakeEngine
    ) -> Storage:
        """Open an existing database on aiosqlite."""
        return await Storage.open(path, synchronous=synchronous, pressure=pressure, engine=engine)

    def loop_lag(self, *, closely: bool) -> LoopLag:
        """Begin to watch the running loop, closely or at next to no cost."""
        return LoopLag(SAMPLE_INTERVAL_S if closely else LONG_INTERVAL_S)

    @contextmanager
    def beating(self) -> Iterator[Standstill]:
        """Have the running loop beat for the life of the block."""
        beat = _Beat()
        try:
            yield beat.standstill
        finally:
            beat.close()


class _Beat:
    """The running loop's, until it is closed."""

    def __init__(self) -> None:
        self.standstill = Standstill(time.monotonic())
        self._loop = asyncio.get_running_loop()
        self._wait()

    def close(self) -> None:
        self._timer.cancel()

    def _wait(self) -> None:
        self._timer = self._loop.call_later(BEAT_S, self._beat)

    def _beat(self) -> None:
        self.standstill.beat(time.monotonic())
        self._wait()
