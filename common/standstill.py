"""Noticing that this process stood still: a beat that comes late.

Whoever is stopped, or whose loop is held up, reads what came meanwhile as if it came now. So an event
loop, or a thread where there is none, notes the time at each beat, and a call that is read in the
moment after a gap between two beats counts from the beginning of the gap. A loop that is busy but
turns beats all the time and costs callers nothing.
"""

from __future__ import annotations

from math import inf
from typing import Final

# Seconds between two beats.
BATIDA_S: Final = 0.05
# Seconds between two beats that are a standstill: no loop that merely has much to do stays away so long.
PARADO_S: Final = 0.25
# Seconds after a standstill in which what came meanwhile is read.
LEITURA_S: Final = 0.25
# Seconds that a call which came meanwhile waits before it is served.
RESPIRO_S: Final = 0.02


class Standstill:
    """The last time that this process stood still; instants are monotonic seconds.

    One thread beats, any thread may ask.
    """

    def __init__(self, now: float) -> None:
        self._since = self._read = -inf
        self._last = now

    def beat(self, now: float) -> None:
        """It is alive at this instant."""
        if now - self._last > PARADO_S:
            self._since = self._last
            self._read = now + LEITURA_S
        self._last = now

    def since(self, arrived: float) -> float:
        """The instant since which a call that was read at `arrived` may have been waiting."""
        if arrived - self._last > PARADO_S:
            return self._last
        return min(arrived, self._since) if arrived < self._read else arrived
