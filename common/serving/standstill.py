"""Noticing that this process stood still: a beat that comes late.

A process that was stopped, or whose loop was held up, reads what came meanwhile as if it came now. So
an event loop notes the time at each beat; where there is none a thread does. A call that is read soon
after a gap between two beats counts from the beginning of the gap. A loop that is busy but turns in
time costs callers nothing. One that does not turn for half a second is taken for one that stood still:
for a second after it a fresh call with less time than the gap is refused too, without effect.
"""

from __future__ import annotations

from math import inf
from typing import Final

# Seconds between two beats.
BEAT_S: Final = 0.2
# Seconds between two beats that are a standstill: a loop that merely has much to do turns sooner.
STOOD_STILL_S: Final = 0.5
# Seconds after a standstill in which what came meanwhile is read, also by a machine that is busy.
READING_S: Final = 1.0
# Standstills that are remembered: a busy machine may stop again before all is read.
REMEMBERED: Final = 8


class Standstill:
    """The last times that this process stood still; instants are monotonic seconds.

    One thread beats, any thread may ask.
    """

    def __init__(self, now: float) -> None:
        self._last = now
        # When each began, and until when what came meanwhile is read; and the last of those.
        self._gaps: tuple[tuple[float, float], ...] = ()
        self._read = -inf

    def beat(self, now: float) -> None:
        """It is alive at this instant."""
        if now - self._last > STOOD_STILL_S:
            self._gaps = (*self._gaps[1 - REMEMBERED :], (self._last, now + READING_S))
            self._read = now + READING_S
        self._last = now

    def since(self, arrived: float) -> float:
        """The instant since which a call that was read at `arrived` may have been waiting."""
        since = self._last if arrived - self._last > STOOD_STILL_S else arrived
        if arrived < self._read:
            since = min([since, *(begun for begun, read in self._gaps if arrived < read)])
        return since
