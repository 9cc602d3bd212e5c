"""What is counted of a service: calls by operation and code as they end.

Everything else is read when somebody asks. Prometheus' library is loaded then, too, by `exposition`: a
service that nobody asks starts without it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from threading import Lock
from typing import Final

from common.telemetry.stats import Gauges, Lag

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
# Seconds. From a step that nothing waits for to the default deadline, each about half as much again:
# a percentile read from them is off by at most that.
BOUNDS_S: Final = (
    0.001, 0.0015, 0.0025, 0.004, 0.006, 0.01, 0.015, 0.025, 0.04, 0.06, 0.1, 0.15, 0.25, 0.4, 0.6,
    0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
# Calls that are counted at once.
COUNTED_AT_ONCE: Final = 256
# The code of a call that was answered as asked, and of one whose caller went away.
OK: Final = "ok"
LEFT_CODE: Final = "cancelled"


class Durations:
    """How many calls took how long: a histogram that is counted at the rate of the load.

    The library's own takes three locks and a walk over the buckets for each call; here a call is put
    on a list, and many are counted at once.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        # The last is for what took longer than every bound.
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self._sum_s = 0.0
        self._waiting: list[float] = []

    def note(self, seconds: float) -> None:
        """Count a call."""
        self._waiting.append(seconds)
        if len(self._waiting) >= COUNTED_AT_ONCE:
            with self._lock:
                self._count()

    def _count(self) -> None:
        # What others put on the list meanwhile comes behind and stays.
        taken = self._waiting[:]
        del self._waiting[: len(taken)]
        for seconds in taken:
            self._counts[bisect_left(BOUNDS_S, seconds)] += 1
        self._sum_s += sum(taken)

    def counts(self) -> tuple[list[int], float]:
        """Calls up to each bound and above the last, each in one place, and the seconds of all."""
        with self._lock:
            self._count()
            return list(self._counts), self._sum_s


class Metrics:
    """The metrics of one service process."""

    def __init__(self, servico: str, gauges: Gauges, loop: Callable[[], Lag] | None = None) -> None:
        """`loop` gives the lag of the event loop of late; None where there is none."""
        self.servico = servico
        self.gauges = gauges
        self.loop = loop
        self._calls: dict[tuple[str, str], Durations] = {}
        self._orders: dict[tuple[str, str], int] = {}
        self._lock = Lock()
        # Of its own: what is loaded takes a while, in which calls are counted.
        self._first = Lock()
        self._render: Callable[[], bytes] | None = None

    def durations(self, operation: str, code: str = OK) -> Durations:
        """Where the answers of an operation with this code are counted."""
        key = (operation, code)
        found = self._calls.get(key)
        if found is None:
            # Two threads may come here at once: both are given the one that stays.
            found = self._calls.setdefault(key, Durations())
        return found

    def answered(self, status: str, reason: str) -> None:
        """An order was answered with this status."""
        key = (status, reason)
        with self._lock:
            self._orders[key] = self._orders.get(key, 0) + 1

    def calls(self) -> dict[tuple[str, str], Durations]:
        """All durations so far, by operation and code."""
        return dict(self._calls)

    def orders(self) -> dict[tuple[str, str], int]:
        """Answers so far, by status and reason."""
        with self._lock:
            return dict(self._orders)

    def page(self) -> bytes:
        """Everything, in Prometheus' text format."""
        with self._first:
            if self._render is None:
                from common.telemetry.exposition import renderer

                self._render = renderer(self)
        return self._render()
