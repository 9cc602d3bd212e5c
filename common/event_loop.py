"""How the event-loop arms wait: every port suspends, and the loop goes on with something else."""

from __future__ import annotations

from pathlib import Path

from common.connection import Synchronous
from common.execution import AsyncClock, AsyncExecution
from common.load import Load
from common.loop_lag import INTERVALO_LONGO_S, INTERVALO_S, LoopLag
from common.storage import Storage


class EventLoopPorts:
    """The ports of one service on an event loop; see common.app.Ports."""

    def __init__(self) -> None:
        self.clock = AsyncClock()
        self.execution = AsyncExecution()

    async def storage(self, path: Path, synchronous: Synchronous, load: Load) -> Storage:
        """Open an existing database on aiosqlite."""
        return await Storage.open(path, synchronous=synchronous, load=load)

    def loop_lag(self, *, closely: bool) -> LoopLag:
        """Begin to watch the running loop, closely or at next to no cost."""
        return LoopLag(INTERVALO_S if closely else INTERVALO_LONGO_S)
