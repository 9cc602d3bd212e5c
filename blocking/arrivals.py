"""The calls that wait for a worker: how many, since when, and how long those before them waited.

Both servers on threads hand calls to a pool in the order in which they came, so whoever takes one
up takes the oldest.
"""

from __future__ import annotations

import threading
import time
from collections import deque

from common.telemetry.meters import Taken


class Arrivals:
    """Counts the calls in a pool's queue; the gauge `common.telemetry.meters.Pool`."""

    def __init__(self, workers: int) -> None:
        """`workers` is how many threads serve."""
        self.workers = workers
        self._lock = threading.Lock()
        self._since: deque[float] = deque()
        self._taken = 0
        self._waited_s = 0.0

    def come(self) -> float:
        """A call is handed to the pool; returns the monotonic instant."""
        now = time.monotonic()
        with self._lock:
            self._since.append(now)
        return now

    def go(self) -> None:
        """A worker takes the oldest call up, or it is dropped."""
        now = time.monotonic()
        with self._lock:
            self._taken += 1
            self._waited_s += now - self._since.popleft()

    @property
    def waiting(self) -> int:
        """Calls that wait for a worker."""
        return len(self._since)

    def head_s(self) -> float:
        """Seconds that the oldest of them has waited; 0 when there is none."""
        with self._lock:
            return time.monotonic() - self._since[0] if self._since else 0.0

    def taken(self) -> Taken:
        """Calls that waited until a worker took them, and their seconds, since the start."""
        with self._lock:
            return Taken(self._taken, self._waited_s)
