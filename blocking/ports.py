"""How the control arm waits: every port holds its thread."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from blocking.execution import ThreadClock, ThreadTasks, run_to_end
from blocking.storage import PlainStorage, SharedStorage
from common.runtime.lifecycle import Serve, announce, leave_at_once_or, watch_parent
from common.runtime.site import OwnStorage
from common.serving.standstill import BEAT_S, Standstill
from common.settings import Settings
from common.storage.connection import Synchronous
from common.storage.database import MakeEngine
from common.storage.pressure import Pressure

_SIGNS: Final = (signal.SIGINT, signal.SIGTERM)


class ThreadPorts:
    """The ports of one service on threads; see common.runtime.site.Ports."""

    def __init__(self, settings: Settings) -> None:
        self.clock = ThreadClock()
        self.execution = ThreadTasks(self.clock)
        self._plain = settings.storage == "plain"

    async def storage(
        self, path: Path, synchronous: Synchronous, pressure: Pressure, engine: MakeEngine
    ) -> OwnStorage:
        """Open an existing database, in the way that the settings choose."""
        if self._plain:
            return PlainStorage(path, synchronous=synchronous, engine=engine)
        return SharedStorage(path, synchronous=synchronous, pressure=pressure, engine=engine)

    def loop_lag(self, *, closely: bool) -> None:
        """There is no loop: who waits for a thread shows in the timing record alone."""

    @contextmanager
    def beating(self) -> Iterator[Standstill]:
        """Have a thread of its own beat for the life of the block: all of them stop together."""
        standstill, told = Standstill(time.monotonic()), threading.Event()

        def beat() -> None:
            while not told.wait(BEAT_S):
                standstill.beat(time.monotonic())

        thread = threading.Thread(target=beat, daemon=True, name="beat")
        thread.start()
        try:
            yield standstill
        finally:
            told.set()
            thread.join()


def run_on_threads(settings: Settings, serve: Serve) -> None:
    """Serve on threads until told to stop."""
    told = threading.Event()
    for sign in _SIGNS:
        signal.signal(sign, lambda _sign, _frame: leave_at_once_or(told))
    # A process that was stopped may be told by any of its threads that takes the signal, and Python
    # heeds it in this one alone, which sleeps. So no thread begun from here on takes it.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNS)
    if settings.exit_with_parent:
        watch_parent(told.set)
    run_to_end(_serve_until(told, settings, serve))


async def _serve_until(told: threading.Event, settings: Settings, serve: Serve) -> None:
    async with serve(settings) as (_, address):
        announce(settings, address)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNS)
        told.wait()
