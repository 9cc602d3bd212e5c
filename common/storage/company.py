"""Company: the units of work that wait for a connection, and when their batch begins.

Every arm shares commits by these rules. Only the way in which a caller waits for its unit differs.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from common.storage.batches import Batches, Commit
from common.storage.overlay import Outcome, Unit
from common.storage.pressure import Pressure

# Units. Bounds the time that the first of a batch waits for the last.
BATCH_MAX: Final = 256
# Seconds. The longest that a unit waits for company before its batch begins, when the processors
# are the bottleneck: then one flush and two thread switches for many are worth the wait.
COMPANY_WAIT_S: Final = 0.02
# Units. A batch begins at once when it holds so many: sharing among more saves little.
BATCH_ENOUGH: Final = 24
# Units. A batch begins at once when fewer than this may be expected to join it in that time.
COMPANY_MIN: Final = 4
# Seconds over which the rate of units is taken.
_RATE_OVER_S: Final = 0.25
# Seconds. A shorter wait is not worth a timer.
_PATIENCE_MIN_S: Final = 0.001


class Company:
    """The units that wait for one connection, and the count of those that it has run.

    A batch waits a little for more units, where that is worth it: only as far as `pressure` says
    that the processors are the bottleneck, and only while units come often enough. On an idle
    machine a batch begins at once, and shares what gathers while another one runs. Instants are
    monotonic seconds.
    """

    def __init__(self, pressure: Pressure) -> None:
        # Since the connection was opened: batches run, units in them, seconds of their commits.
        self.batches = 0
        self.units = 0
        self.commit_s = 0.0
        self._waiting: deque[Unit] = deque()
        self._pressure = pressure
        self._arrived = 0
        self._counted_from = 0.0
        self._per_s = 0.0

    @property
    def queue(self) -> int:
        """Units that wait for their batch to begin."""
        return len(self._waiting)

    @property
    def enough(self) -> bool:
        """True when those that wait need no more company."""
        return len(self._waiting) >= BATCH_ENOUGH

    def join(self, unit: Unit) -> None:
        """Have a unit wait for its batch."""
        self._waiting.append(unit)
        self._arrived += 1

    def patience(self, now: float) -> float:
        """Seconds that those who wait should wait for more; 0 when a batch begins at once."""
        if self.enough:
            return 0.0
        patience_s = COMPANY_WAIT_S * self._pressure.read()
        expected = self._rate(now) * patience_s
        return patience_s if patience_s >= _PATIENCE_MIN_S and expected >= COMPANY_MIN else 0.0

    def run(self, batches: Batches) -> tuple[list[Unit], list[Outcome], Commit]:
        """Run those that wait, first come first, in the connection's thread."""
        waiting = self._waiting
        batch = [waiting.popleft() for _ in range(min(len(waiting), BATCH_MAX))]
        outcomes, commit = batches.run(batch)
        self.batches += 1
        self.units += len(batch)
        self.commit_s += commit.seconds
        return batch, outcomes, commit

    def _rate(self, now: float) -> float:
        """Units per second, of the last interval that is over."""
        passed = now - self._counted_from
        if passed >= _RATE_OVER_S:
            self._per_s = self._arrived / passed
            self._arrived, self._counted_from = 0, now
        return self._per_s
