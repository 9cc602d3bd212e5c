"""The records of a run: histograms and counts, so memory does not grow with the number of orders.

A `Recording` is raw data: it merges exactly with those of other processes, and every figure of a
result is computed from it afterwards.
"""

from __future__ import annotations

from array import array
from random import Random
from typing import Final

from hdrh.histogram import HdrHistogram
from msgspec import Struct, field

from loadgen.attribution.hops import Hops, Parts, Sample, Samples
from loadgen.results.histograms import PRECISION_SECOND, Tally, encoded, latency_max_us
from loadgen.workload.outcomes import Outcome

# Nanoseconds of one cell of the time series: the only thing that grows with the length of a run,
# with one small histogram a second by about 1 MB an hour in all (0.65 to 1.3 MB, measured).
CELL_NS: Final = 100_000_000
SECOND_NS: Final = 1_000_000_000
# Latencies between two looks of the live view, at most, drawn evenly from all of them.
RECENT: Final = 1_000
# Orders that are noted together. One by one, between sockets, each finds the processor's caches
# cold: that took three times as long (measured). So many keep the loop for a quarter millisecond.
TOGETHER: Final = 128

Counts = dict[str, dict[str, int]]
# What `Recorder.ended` is given.
Ended = tuple[int, int, int, Outcome, str | None, int | None]


class Recording(Struct, kw_only=True):
    """Raw data of one process, or of several merged. Instants are monotonic nanoseconds.

    `sent`, `completed` and `failed` are counts per cell of CELL_NS since `start_ns`, warm-up
    included; so is `overdue`, of the completed those that ended after their deadline; `outcomes` holds measured orders only, `warmup` those due during the warm-up.
    `latency` counts from the intended instant and `service` from the sending; in a closed loop they
    are one. `seconds` are latencies of each second in which they ended, empty for none. In an open
    loop `offered` and `unsent` are counted by when orders were due, `late` is by how much they were
    sent late, and `unsent_measured` leaves the warm-up out. `samples` are those kept of the `sampled` orders that were asked to tell their time in full.
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
    overdue: list[int] = field(default_factory=list)
    # Empty where it is not apart from latency.
    service: str = ""
    seconds: list[str] = field(default_factory=list)
    offered: list[int] = field(default_factory=list)
    unsent: list[int] = field(default_factory=list)
    unsent_measured: int = 0
    late: str = ""
    # Of all processes the last that sent; `last_send_ns` is the first that had nothing left.
    sending_ended_ns: int = 0
    examples: dict[str, str] = field(default_factory=dict)
    hops: dict[str, dict[str, float]] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    sampled: int = 0
    cpu_s: list[float] = field(default_factory=list)
    # Of each process that ran long enough, the largest share of a core over a stretch.
    busiest: list[float] = field(default_factory=list)
    rss_max_bytes: list[int] = field(default_factory=list)
    clock_step_s: float = 0.0
    interrupted: bool = False
    problems: list[str] = field(default_factory=list)


class Live(Struct, frozen=True):
    """How far a process has come: totals, and latencies of what ended since the last look."""

    sent: int
    completed: int
    failed: int
    recent_ms: list[float]
    unsent: int = 0


class Recorder:
    """Takes note of every order of one process.

    Its work for each order is done at the rate of the load: it does little, and for many at once.
    """

    def __init__(self, start_ns: int, warmup_s: float, timeout_s: float, *, seed: int = 0) -> None:
        """`seed` decides which of the sampled orders are kept."""
        self._start_ns = start_ns
        self._measured_from_ns = start_ns + int(warmup_s * 1e9)
        self._timeout_us = int(timeout_s * 1e6)
        self._timeout_ns = int(timeout_s * 1e9)
        largest = latency_max_us(timeout_s)
        self._latency, self._late = Tally(largest), Tally(largest)
        # A caller of a closed loop sends when it means to: then latency is service time.
        self._service: Tally | None = None
        self._second = Tally(largest, PRECISION_SECOND)
        self._second_ends_ns = start_ns + SECOND_NS
        self._seconds: list[str] = []
        self._outcomes: dict[tuple[str, str], int] = {}
        self._warmup: dict[tuple[str, str], int] = {}
        self._examples: dict[str, str] = {}
        self._sent, self._completed, self._failed = (
            Series(start_ns),
            Series(start_ns),
            Series(start_ns),
        )
        self._offered, self._unsent = Series(start_ns), Series(start_ns)
        self._overdue = Series(start_ns)
        self._recent: list[int] = []
        self._recent_seen = 0
        # For display only: it changes nothing that is kept.
        self._draw = Random(seed).random
        self._in_time = 0
        self._unsent_measured = 0
        self._last_send_ns = self._end_ns = start_ns
        self._samples = Samples(seed)
        # Not noted yet.
        self._sends: list[tuple[int, int | None]] = []
        self._ends: list[Ended] = []

    def open_loop(self) -> None:
        """Orders come on a schedule: latency and service time are two things."""
        self._service = Tally(latency_max_us(self._timeout_us / 1e6))

    def sent(self, now_ns: int, intended_ns: int | None = None) -> None:
        """An order is about to be sent; on a schedule it was due at `intended_ns`."""
        self._sends.append((now_ns, intended_ns))
        if len(self._sends) >= TOGETHER:
            self._note_sends()

    def unsent(self, intended_ns: int) -> None:
        """An order that was due then is not sent: too many are under way."""
        self._offered.note(intended_ns)
        self._unsent.note(intended_ns)
        self._unsent_measured += intended_ns >= self._measured_from_ns

    def ended(
        self,
        intended_ns: int,
        sent_ns: int,
        end_ns: int,
        outcome: Outcome,
        timing: str | None = None,
        *,
        replied_ns: int | None = None,
    ) -> None:
        """An order ended for its caller; latency counts from the instant it was meant to be sent.

        Only orders with a terminal answer, and those that timed out (at their timeout), have a
        latency: how fast an error came says nothing about how long a checkout takes. `timing` is
        the record of a sampled order, which was first answered at `replied_ns` (by default its
        end); None for the others. Every sampled order that has a latency is noted, so that a median
        of them is that of all.
        """
        self._ends.append((intended_ns, sent_ns, end_ns, outcome, timing, replied_ns))
        if len(self._ends) >= TOGETHER:
            self._note_ends()

    def _note_sends(self) -> None:
        sends, self._sends = self._sends, []
        for now_ns, intended_ns in sends:
            self._last_send_ns = now_ns
            self._sent.note(now_ns)
            if intended_ns is not None:
                self._offered.note(intended_ns)
                if intended_ns >= self._measured_from_ns:
                    self._late.note((now_ns - intended_ns) // 1_000)

    def _note_ends(self) -> None:
        ends, self._ends = self._ends, []
        for end in ends:
            self._note_end(end)

    def _note_end(self, end: Ended) -> None:
        intended_ns, sent_ns, end_ns, outcome, timing, replied_ns = end
        self._end_ns = end_ns
        if end_ns >= self._second_ends_ns:
            self._turn_second(end_ns)
        completed = outcome.completed
        measured = intended_ns >= self._measured_from_ns
        if completed:
            self._note_completed(intended_ns, end_ns)
        else:
            self._failed.note(end_ns)
        if outcome.detail:
            self._examples.setdefault(outcome.label or outcome.kind, outcome.detail)
        counts = self._outcomes if measured else self._warmup
        bucket = (outcome.kind, outcome.label)
        counts[bucket] = counts.get(bucket, 0) + 1
        if completed:
            service_us = (end_ns - sent_ns) // 1_000
        elif outcome.timed_out:
            service_us = self._timeout_us
        else:
            return
        latency_us = service_us + (sent_ns - intended_ns) // 1_000
        self._second.note(latency_us)
        self._note_recent(latency_us)
        if not measured:
            return
        self._latency.note(latency_us)
        if self._service is not None:
            self._service.note(service_us)
        if timing is not None:
            replied_ns = end_ns if replied_ns is None else replied_ns
            sample = Sample(intended_ns, sent_ns, replied_ns, end_ns, timing)
            self._samples.note(sample if completed else sample.lost(self._timeout_ns))

    def _note_recent(self, latency_us: int) -> None:
        """Keep each latency since the last look with the same chance (Vitter's algorithm R)."""
        self._recent_seen += 1
        if self._recent_seen <= RECENT:
            self._recent.append(latency_us)
        elif (place := int(self._draw() * self._recent_seen)) < RECENT:
            self._recent[place] = latency_us

    def _note_completed(self, intended_ns: int, end_ns: int) -> None:
        self._completed.note(end_ns)
        if end_ns - intended_ns > self._timeout_ns:
            self._overdue.note(end_ns)
        elif intended_ns >= self._measured_from_ns:
            self._in_time += 1

    def _turn_second(self, now_ns: int) -> None:
        """Keep the second that has passed, and empty ones for those in which nothing ended."""
        self._seconds.append(self._second.encoded() if self._second else "")
        self._second.clear()
        passed = (now_ns - self._start_ns) // SECOND_NS
        self._seconds.extend([""] * (passed - len(self._seconds)))
        self._second_ends_ns = self._start_ns + (passed + 1) * SECOND_NS

    def _hops(self) -> Parts:
        """Sums over the samples that were kept: reading each record as it comes would cost more."""
        hops = Hops()
        for sample in self._samples.kept:
            hops.note(sample.hops())
        return hops.sums()

    def live(self) -> Live:
        """Totals so far, and the latencies since the last look, for display."""
        self._note_sends()
        self._note_ends()
        recent, self._recent, self._recent_seen = self._recent, [], 0
        return Live(
            self._sent.total,
            self._completed.total,
            self._failed.total,
            [value / 1e3 for value in recent],
            self._unsent.total,
        )

    def recording(self, lag: HdrHistogram) -> Recording:
        """Everything recorded so far."""
        self._note_sends()
        self._note_ends()
        last = [self._second.encoded()] if self._second else []
        return Recording(
            start_ns=self._start_ns,
            last_send_ns=self._last_send_ns,
            sending_ended_ns=self._last_send_ns,
            end_ns=self._end_ns,
            outcomes=_nested(self._outcomes),
            warmup=_nested(self._warmup),
            in_time=self._in_time,
            latency=self._latency.encoded(),
            service="" if self._service is None else self._service.encoded(),
            lag=encoded(lag),
            sent=self._sent.cells(),
            completed=self._completed.cells(),
            failed=self._failed.cells(),
            overdue=self._overdue.cells(),
            seconds=self._seconds + last,
            offered=self._offered.cells(),
            unsent=self._unsent.cells(),
            unsent_measured=self._unsent_measured,
            late=self._late.encoded() if self._late else "",
            examples=dict(self._examples),
            hops=self._hops(),
            samples=list(self._samples.kept),
            sampled=self._samples.seen,
        )


class Series:
    """Counts per cell of CELL_NS since a start."""

    def __init__(self, start_ns: int) -> None:
        self._start_ns = start_ns
        self._cells = array("L")
        self.total = 0

    def note(self, at_ns: int) -> None:
        """Count one at this instant."""
        self.total += 1
        cell = (at_ns - self._start_ns) // CELL_NS
        try:
            self._cells[cell] += 1
        except IndexError:
            self._cells.extend([0] * (cell + 1 - len(self._cells)))
            self._cells[cell] += 1

    def cells(self) -> list[int]:
        """The counts so far."""
        return list(self._cells)


def _nested(counts: dict[tuple[str, str], int]) -> Counts:
    nested: Counts = {}
    for (kind, label), number in counts.items():
        nested.setdefault(kind, {})[label] = number
    return nested
