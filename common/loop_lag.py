"""How late an event loop wakes a sleeper: its lag."""

from __future__ import annotations

import asyncio
from typing import Final

from common.stats import Lag

# Seconds between wake-ups.
INTERVALO_S: Final = 0.02


class LoopLag:
    """Watches the running loop until it is closed; `read` may be called from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._late_s: list[float] = []
        self._sleep()

    def close(self) -> None:
        """Watch no longer."""
        self._handle.cancel()

    def read(self) -> Lag:
        """The lag since the last reading, a wake-up that is overdue included."""
        late_s, self._late_s = self._late_s, []
        overdue_s = self._loop.time() - self._due
        if overdue_s > 0:
            late_s = [*late_s, overdue_s]
        if not late_s:
            return Lag(0.0, 0.0)
        return Lag(round(sum(late_s) / len(late_s) * 1e3, 3), round(max(late_s) * 1e3, 3))

    def _sleep(self) -> None:
        self._due = self._loop.time() + INTERVALO_S
        self._handle = self._loop.call_at(self._due, self._woken)

    def _woken(self) -> None:
        self._late_s.append(max(0.0, self._loop.time() - self._due))
        self._sleep()
