"""What a run recorded: histograms and counts, so memory does not grow with the number of orders.

A `Recording` is raw data: it merges exactly with those of other processes, and every figure of a
result is computed from it afterwards.
"""

from __future__ import annotations

from array import array
from collections import deque
from typing import Final

from hdrh.histogram import HdrHistogram
from msgspec import Struct, field

from loadgen.hops import Hops, Sample, Samples
from loadgen.outcomes import Outcome

# Significant decimal digits of every histogram: a value is off by at most a thousandth.
PRECISION: Final = 3
# Nanoseconds of one cell of the time series.
CELL_NS: Final = 100_000_000
# Latencies kept for the live view only.
RECENT: Final = 1_000
# Microseconds. A loop that is later than this has stopped, not slowed.
LAG_MAX_US: Final = 60_000_000

Counts = dict[str, dict[str, int]]


def latency_histogram(timeout_s: float) -> HdrHistogram:
    """An empty histogram in microseconds that holds every latency up to well over the timeout."""
    return HdrHistogram(1, max(1_000_000, int(timeout_s * 2e6)), PRECISION)


def lag_histogram() -> HdrHistogram:
    """An empty histogram in microseconds for the lateness of the generator's own loop."""
    return HdrHistogram(1, LAG_MAX_US, PRECISION)


def encoded(histogram: HdrHistogram) -> str:
    """A histogram in HdrHistogram's own V2 compressed form, base64."""
    text: bytes = histogram.encode()
    return text.decode()


def decoded(text: str) -> HdrHistogram:
    """The inverse of `encoded`."""
    return HdrHistogram.decode(text.encode())


class Recording(Struct, kw_only=True):
    """Raw data of one process, or of several merged. Instants are monotonic nanoseconds.

    `sent`, `completed` and `failed` are counts per cell of CELL_NS since `start_ns`, warm-up
    included; `outcomes` holds measured orders only, `warmup` those sent during the warm-up.
    `samples` are those kept of the `sampled` orders that were asked to tell their time in full.
    """

    start_ns: int
    last_send_ns: int
    end_ns: int
    outcomes: Counts
    warmup: Counts
    in_time: int
    latency: str
    lag: str
    sent: list[int]
    completed: list[int]
    failed: list[int]
    examples: dict[str, str] = field(default_factory=dict)
    hops: dict[str, dict[str, float]] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    sampled: int = 0
    cpu_s: list[float] = field(default_factory=list)
    rss_max_bytes: list[int] = field(default_factory=list)
    clock_step_s: float = 0.0
    interrupted: bool = False
    problems: list[str] = field(default_factory=list)


class Live(Struct, frozen=True):
    """How far a process has come: totals, and percentiles of its latest orders."""

    sent: int
    completed: int
    failed: int
    recent_ms: list[float]


class Recorder:
    """Takes note of every order of one process."""

    def __init__(self, start_ns: int, warmup_s: float, timeout_s: float, *, seed: int = 0) -> None:
        """`seed` decides which of the sampled orders are kept."""
        self._start_ns = start_ns
        self._measured_from_ns = start_ns + int(warmup_s * 1e9)
        self._timeout_us = int(timeout_s * 1e6)
        self._timeout_ns = int(timeout_s * 1e9)
        self._latency = latency_histogram(timeout_s)
        self._latency_max_us = max(1_000_000, 2 * self._timeout_us)
        self._outcomes: dict[tuple[str, str], int] = {}
        self._warmup: dict[tuple[str, str], int] = {}
        self._examples: dict[str, str] = {}
        self._series = {name: array("L") for name in ("sent", "completed", "failed")}
        self._recent: deque[int] = deque(maxlen=RECENT)
        self._in_time = 0
        self._last_send_ns = self._end_ns = start_ns
        self._totals = [0, 0, 0]
        self._hops = Hops()
        self._samples = Samples(seed)

    def sent(self, now_ns: int) -> None:
        """An order is about to be sent."""
        self._last_send_ns = now_ns
        self._totals[0] += 1
        self._tick("sent", now_ns)

    def ended(
        self,
        intended_ns: int,
        sent_ns: int,
        end_ns: int,
        outcome: Outcome,
        timing: str = "",
        *,
        replied_ns: int | None = None,
    ) -> None:
        """An order ended for its caller; latency counts from the instant it was meant to be sent.

        Only orders with a terminal answer, and those that timed out (at their timeout), have a
        latency: how fast an error came says nothing about how long a checkout takes. `timing` is
        the record of a sampled order, which was first answered at `replied_ns` (by default its end).
        """
        self._end_ns = end_ns
        completed = outcome.completed
        self._totals[1 if completed else 2] += 1
        self._tick("completed" if completed else "failed", end_ns)
        if outcome.detail:
            self._examples.setdefault(outcome.label or outcome.kind, outcome.detail)
        measured = sent_ns >= self._measured_from_ns
        counts = self._outcomes if measured else self._warmup
        bucket = (outcome.kind, outcome.label)
        counts[bucket] = counts.get(bucket, 0) + 1
        latency_us = (end_ns - intended_ns) // 1_000
        if completed:
            self._recent.append(latency_us)
        if not measured:
            return
        if completed:
            self._in_time += end_ns - intended_ns <= self._timeout_ns
            self._latency.record_value(min(max(latency_us, 1), self._latency_max_us))
            if timing:
                replied_ns = end_ns if replied_ns is None else replied_ns
                self._hops.note(timing)
                self._samples.note(Sample(intended_ns, sent_ns, replied_ns, end_ns, timing))
        elif outcome.timed_out:
            self._latency.record_value(self._timeout_us)

    def _tick(self, name: str, now_ns: int) -> None:
        series = self._series[name]
        cell = (now_ns - self._start_ns) // CELL_NS
        while len(series) <= cell:
            series.append(0)
        series[cell] += 1

    def live(self) -> Live:
        """Totals so far and the latest latencies, for display."""
        sent, completed, failed = self._totals
        return Live(sent, completed, failed, [value / 1e3 for value in self._recent])

    def recording(self, lag: HdrHistogram) -> Recording:
        """Everything recorded so far."""
        return Recording(
            start_ns=self._start_ns,
            last_send_ns=self._last_send_ns,
            end_ns=self._end_ns,
            outcomes=_nested(self._outcomes),
            warmup=_nested(self._warmup),
            in_time=self._in_time,
            latency=encoded(self._latency),
            lag=encoded(lag),
            sent=list(self._series["sent"]),
            completed=list(self._series["completed"]),
            failed=list(self._series["failed"]),
            examples=dict(self._examples),
            hops=self._hops.sums(),
            samples=list(self._samples.kept),
            sampled=self._samples.seen,
        )


def _nested(counts: dict[tuple[str, str], int]) -> Counts:
    nested: Counts = {}
    for (kind, label), number in counts.items():
        nested.setdefault(kind, {})[label] = number
    return nested
