"""How the control arm waits: every port holds its thread."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Final

from blocking.execution import ThreadClock, ThreadExecution, run_to_end
from blocking.storage import PlainStorage, SharedStorage
from common.app import OwnStorage
from common.connection import Synchronous
from common.lifecycle import Serve, announce, leave_at_once_or, watch_parent
from common.load import Load
from common.settings import Settings

_SIGNS: Final = (signal.SIGINT, signal.SIGTERM)


class ThreadPorts:
    """The ports of one service on threads; see common.app.Ports."""

    def __init__(self, settings: Settings) -> None:
        self.clock = ThreadClock()
        self.execution = ThreadExecution(self.clock)
        self._plain = settings.storage == "plain"

    async def storage(self, path: Path, synchronous: Synchronous, load: Load) -> OwnStorage:
        """Open an existing database, in the way that the settings choose."""
        if self._plain:
            return PlainStorage(path, synchronous=synchronous)
        return SharedStorage(path, synchronous=synchronous, load=load)

    def loop_lag(self, *, closely: bool) -> None:
        """There is no loop: who waits for a thread shows in the timing record alone."""


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
