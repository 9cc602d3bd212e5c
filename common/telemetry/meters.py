"""The meters of a service: how long its calls took, and whatever it can be asked about itself.

One set for all who read: Prometheus (`exposition`) and the lines of `--stats` (`stats`). Calls are
counted as they end; everything else is read when somebody asks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from threading import Lock
from typing import Final, Protocol

from msgspec import Struct

from common.telemetry.in_flight import InFlight

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


class Lag(Struct, frozen=True):
    """Milliseconds by which the event loop was late in the interval."""

    mean_ms: float
    max_ms: float


class Taken(Struct, frozen=True):
    """Calls that waited until a worker took them up, and the seconds that they waited, summed."""

    calls: int
    waited_s: float


class LagProbe(Protocol):
    """Watches an event loop; `read` may be called from any thread."""

    def read(self) -> Lag:
        """The lag since the last reading."""

    def recent(self) -> Lag:
        """The lag of the last second or two; takes nothing from other readers."""

    def close(self) -> None:
        """Watch no longer."""


class Writer(Protocol):
    """A storage's only writer."""

    @property
    def queue(self) -> int:
        """Units that wait for their batch to begin."""

    @property
    def batches(self) -> int:
        """Batches run."""

    @property
    def units(self) -> int:
        """Units in them."""

    @property
    def commit_s(self) -> float:
        """Seconds of their commits."""


class Pool(Protocol):
    """Threads that serve, and the calls that wait for one."""

    workers: int

    @property
    def waiting(self) -> int:
        """Calls that wait for a worker."""

    def head_s(self) -> float:
        """Seconds that the oldest of them has waited."""

    def taken(self) -> Taken:
        """Calls that waited until a worker took them up, and their seconds."""


class Places(Protocol):
    """Admission at the edge."""

    @property
    def driven(self) -> int:
        """Orders that hold a place."""

    @property
    def waiting(self) -> int:
        """Orders that wait for one."""


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


class Meters:
    """The meters of one service process; its composition root fills in those that it has.

    `closed` says by neighbour whether its circuit breaker lets every call pass, `retries` how many
    steps were asked for again, `lag` watches the event loop.
    """

    def __init__(self, servico: str, in_flight: InFlight) -> None:
        self.servico = servico
        self.in_flight = in_flight
        self.writer: Writer | None = None
        self.places: Places | None = None
        self.closed: dict[str, Callable[[], bool]] = {}
        self.lag: LagProbe | None = None
        self.pool: Pool | None = None
        self.retries: Callable[[], int] | None = None
        self._calls: dict[tuple[str, str], Durations] = {}
        self._orders: dict[tuple[str, str], int] = {}
        self._lock = Lock()

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

    def ended(self) -> dict[str, tuple[int, float]]:
        """Calls ended and their summed seconds, by operation; those without a call are left out."""
        found: dict[str, tuple[int, float]] = {}
        for (operation, _), durations in self.calls().items():
            counts, sum_s = durations.counts()
            if number := sum(counts):
                before, before_s = found.get(operation, (0, 0.0))
                found[operation] = (before + number, before_s + sum_s)
        return found

    def orders(self) -> dict[tuple[str, str], int]:
        """Answers so far, by status and reason."""
        with self._lock:
            return dict(self._orders)
