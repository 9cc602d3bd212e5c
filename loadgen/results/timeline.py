"""A run over time: its seconds, its steady phase, and how an open loop kept to its schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from loadgen.results.histograms import decoded
from loadgen.results.percentiles import NO_LATENCY, Latency, latency, percentile_ms
from loadgen.results.recorder import CELL_NS, Recording
from loadgen.workload.plan import Plan
from loadgen.workload.schedule import Arrival

# Cells. A steady phase shorter than a second has no rate.
CONSTANT_CELLS_MIN: Final = 10
_CELLS_PER_S: Final = 1_000_000_000 // CELL_NS


class Steady(Struct, frozen=True):
    """The part of the run after the warm-up in which orders were still being sent.

    In a closed loop every caller had a next order; in an open one the schedule had not ended. Answers
    count by when they came, so that one order that ends long after the others does not stretch it.
    """

    from_s: float
    to_s: float
    completed: int
    throughput_per_s: float
    # Of those in time. None in results of a version that did not tell.
    goodput_per_s: float | None = None


class Second(Struct, frozen=True):
    """One second of the run, warm-up included; milliseconds of what ended in it, None for nothing.

    Offered and unsent by when orders were due, sent by when they were sent, the rest by their ends.
    """

    t: int
    offered: int
    sent: int
    unsent: int
    completed: int
    failed: int
    p50_ms: float | None
    p99_ms: float | None


class OpenLoop(Struct, frozen=True):
    """How the generator kept to its schedule: rates over the whole run, warm-up included.

    `sent_per_s` is what was sent over the schedule's length, or over the time that sending took
    where that is longer. `late_ms` is by how much measured orders were sent after their instant.
    """

    arrival: Arrival
    length_s: float
    asked_per_s: float
    offered_per_s: float
    sent_per_s: float
    under_way_max: int
    unsent: int
    late_ms: Latency


def steady(plan: Plan, recording: Recording) -> Steady | None:
    """The rate while orders were being sent: neither the warm-up nor the wait for the last ones.

    Terminal answers are counted by when they came, whenever they were sent. None when that phase
    is shorter than a second.
    """
    first = -(-int(plan.warmup_s * 1e9) // CELL_NS)
    last = _sending_ns(plan, recording) // CELL_NS
    if last - first < CONSTANT_CELLS_MIN:
        return None
    completed = sum(recording.completed[first:last])
    in_time = completed - sum(recording.overdue[first:last])
    length_s = (last - first) / _CELLS_PER_S
    return Steady(
        from_s=first / _CELLS_PER_S,
        to_s=last / _CELLS_PER_S,
        completed=completed,
        throughput_per_s=rate(completed, length_s),
        goodput_per_s=rate(in_time, length_s),
    )


def _sending_ns(plan: Plan, recording: Recording) -> int:
    """From the start until some caller had nothing left to send, or until the planned end.

    A lone caller sends its last order long before that end, and the wait for its answer is a part of
    its rate as every other.
    """
    if plan.length_s is None or recording.interrupted:
        return recording.last_send_ns - recording.start_ns
    return int(plan.length_s * 1e9)


def timeline(recording: Recording) -> list[Second]:
    """Counts and latencies per second since the start."""
    # In a closed loop an order is due when it is sent.
    offered = recording.offered or recording.sent
    series = (offered, recording.sent, recording.unsent, recording.completed, recording.failed)
    seconds = -(-max(map(len, series)) // _CELLS_PER_S)
    return [_second(recording, series, t) for t in range(seconds)]


def _second(recording: Recording, series: Sequence[list[int]], t: int) -> Second:
    cells = slice(t * _CELLS_PER_S, (t + 1) * _CELLS_PER_S)
    offered, sent, unsent, completed, failed = (sum(each[cells]) for each in series)
    text = recording.seconds[t] if t < len(recording.seconds) else ""
    ended = decoded(text) if text else None
    return Second(
        t=t,
        offered=offered,
        sent=sent,
        unsent=unsent,
        completed=completed,
        failed=failed,
        p50_ms=percentile_ms(ended, 50),
        p99_ms=percentile_ms(ended, 99),
    )


def open_loop(plan: Plan, recording: Recording) -> OpenLoop | None:
    """How the schedule was kept; None for a closed loop."""
    schedule = plan.schedule
    if schedule is None:
        return None
    sending_s = (recording.sending_ended_ns - recording.start_ns) / 1e9
    unsent = sum(recording.unsent)
    return OpenLoop(
        arrival=schedule.arrival,
        length_s=schedule.length_s,
        asked_per_s=round(schedule.rate_per_s, 3),
        offered_per_s=rate(sum(recording.offered), schedule.length_s),
        sent_per_s=rate(sum(recording.sent), max(schedule.length_s, sending_s)),
        under_way_max=plan.under_way_max,
        unsent=unsent,
        late_ms=latency(decoded(recording.late)) if recording.late else NO_LATENCY,
    )


def rate(count: int, duration_s: float) -> float:
    """A second; zero over no time at all."""
    return round(count / duration_s, 3) if duration_s > 0 else 0.0
