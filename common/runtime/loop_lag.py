"""How late an event loop wakes a sleeper: its lag."""

from __future__ import annotations

import asyncio
from typing import Final

from common.telemetry.meters import Lag

# Seconds between wake-ups, where each millisecond of a short run counts.
SAMPLE_INTERVAL_S: Final = 0.02
# The same where nobody may ask: it should cost nothing.
LONG_INTERVAL_S: Final = 0.2
# Seconds that a reading of what was lately spans, at least; twice as many at most.
RECENT_S: Final = 1.0


class _Seen:
    """What wake-ups have told: how many were late by how much in all, and at most."""

    __slots__ = ("count", "late_max_s", "late_s")

    def __init__(self) -> None:
        self.count, self.late_s, self.late_max_s = 0, 0.0, 0.0

    def note(self, late_s: float) -> None:
        self.count += 1
        self.late_s += late_s
        self.late_max_s = max(self.late_max_s, late_s)

    def plus(self, other: _Seen) -> _Seen:
        both = _Seen()
        both.count = self.count + other.count
        both.late_s = self.late_s + other.late_s
        both.late_max_s = max(self.late_max_s, other.late_max_s)
        return both


class LoopLag:
    """Watches the running loop until it is closed; what it saw may be asked from any thread."""

    def __init__(self, interval_s: float = SAMPLE_INTERVAL_S) -> None:
        self._loop = asyncio.get_running_loop()
        self._interval_s = interval_s
        # Since the last reading; and for those who read without leaving anything behind, the
        # stretch of this moment and the one before.
        self._unread, self._stretch, self._before = _Seen(), _Seen(), _Seen()
        self._turn = self._loop.time() + RECENT_S
        self._sleep()

    def close(self) -> None:
        """Watch no longer."""
        self._handle.cancel()

    def read(self) -> Lag:
        """The lag since the last reading, a wake-up that is overdue included."""
        seen, self._unread = self._unread, _Seen()
        return self._told(seen)

    def recent(self) -> Lag:
        """The lag of the last second or two, whoever else asks; an overdue wake-up included."""
        return self._told(self._before.plus(self._stretch))

    def _told(self, seen: _Seen) -> Lag:
        overdue_s = self._loop.time() - self._due
        if overdue_s > 0:
            overdue = _Seen()
            overdue.note(overdue_s)
            seen = seen.plus(overdue)
        if not seen.count:
            return Lag(0.0, 0.0)
        return Lag(round(seen.late_s / seen.count * 1e3, 3), round(seen.late_max_s * 1e3, 3))

    def _sleep(self) -> None:
        self._due = self._loop.time() + self._interval_s
        self._handle = self._loop.call_at(self._due, self._woken)

    def _woken(self) -> None:
        now = self._loop.time()
        late_s = max(0.0, now - self._due)
        self._unread.note(late_s)
        self._stretch.note(late_s)
        if now >= self._turn:
            self._before, self._stretch = self._stretch, _Seen()
            self._turn = now + RECENT_S
        self._sleep()
