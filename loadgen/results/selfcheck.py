"""The generator checks itself: a result made by an overloaded generator is worth nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from loadgen.results.histograms import decoded, lag_histogram
from loadgen.results.recorder import CELL_NS, Recording
from loadgen.workload.plan import Plan
from loadgen.workload.schedule import Schedule

# Seconds between looks at the loop.
SAMPLE_INTERVAL_S: Final = 0.02
# Milliseconds at the 99th percentile, and as a share of the median latency: the loop of the
# generator may be late by the larger of the two. On a small machine that the services keep busy,
# a process waits for a core for tens of milliseconds whatever it does; beyond that, one look in a
# hundred may be late by a tenth of what is measured, so that a median hardly moves.
LATE_P99_MAX_MS: Final = 50.0
LATE_P99_MAX_SHARE: Final = 0.1
# Milliseconds at the 99th percentile, and as a share of the same percentile of latency: an open loop
# may send late by the larger of the two. Latency counts from the instant, so that lateness is part
# of it; above this share it would say more about the generator than about the services.
SENDING_P99_MAX_MS: Final = 20.0
SENDING_P99_MAX_SHARE: Final = 0.25
# Share of the asked rate by which the rate of sending, with what was counted as unsent, may differ.
RATE_DIFFERENCE_MAX: Final = 0.01
# Share of the offered orders that may be unsent: so many are missing from the percentiles.
UNSENT_MAX: Final = 0.01
# Share of one core. A process above it has nothing left, and measures itself.
CPU_MAX: Final = 0.95
# Seconds of the stretches of which the busiest counts: the wait for the last orders, in which a
# generator does nothing, must not hide that it was full while it sent. Half as much would take the
# burst in which all callers come at once for it.
TRECHO_CPU_S: Final = 2.0
# Seconds. Deadlines travel as instants of the wall clock: a step moves them all.
CLOCK_STEP_MAX_S: Final = 1.0


class LoopWatch:
    """Measures how late the event loop wakes a sleeper, and whether the wall clock was moved.

    `busiest` is the largest share of a core that the process used over a stretch of TRECHO_CPU_S,
    None before the first one has passed.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        self.lag = lag_histogram()
        self.busiest: float | None = None
        self._now, self._cpu = now, cpu
        self._stretch = (now(), cpu())
        self._difference = time.time() - time.monotonic()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            due = time.monotonic() + SAMPLE_INTERVAL_S
            await asyncio.sleep(SAMPLE_INTERVAL_S)
            late_us = int((time.monotonic() - due) * 1e6)
            self.lag.record_value(max(1, late_us))
            self.look_at_cpu()

    def look_at_cpu(self) -> None:
        """Take note of a stretch that has passed."""
        begin, used = self._stretch
        now = self._now()
        if now - begin < TRECHO_CPU_S:
            return
        self._stretch = (now, self._cpu())
        share = (self._stretch[1] - used) / (now - begin)
        self.busiest = share if self.busiest is None else max(self.busiest, share)

    def clock_step_s(self) -> float:
        """By how much the wall clock ran away from the monotonic one since the start."""
        return time.time() - time.monotonic() - self._difference


def invalid_reasons(plan: Plan, recording: Recording) -> list[str]:
    """Why the run cannot be believed; empty when it can."""
    reasons = list(recording.problems)
    counts = {kind: sum(labels.values()) for kind, labels in recording.outcomes.items()}
    sent = sum(counts.values())
    if recording.interrupted:
        reasons.append("the run was interrupted")
    if sent == 0:
        reasons.append("nothing was measured: every order was sent during the warm-up, or none was")
    elif not _answered(plan, recording, counts):
        reasons.append(f"none of {sent} orders came to a terminal answer")
    reasons += _own_load(recording)
    if plan.schedule is not None:
        reasons += _schedule_kept(plan.schedule, recording)
    if abs(recording.clock_step_s) > CLOCK_STEP_MAX_S:
        reasons.append(f"the wall clock moved by {recording.clock_step_s:+.1f} s during the run")
    return reasons


def _answered(plan: Plan, recording: Recording, counts: dict[str, int]) -> bool:
    """Whether a measured order came to a terminal answer, or any answer came after the warm-up.

    Behind a long queue the answers of the measured time are those of orders sent before it, and every
    measured order times out: the rate is one, and the latencies are at the timeout.
    """
    if counts.get("enviado", 0) + counts.get("cancelado", 0):
        return True
    return sum(recording.completed[int(plan.warmup_s * 1e9 / CELL_NS) :]) > 0


def _own_load(recording: Recording) -> list[str]:
    reasons = []
    wall_s = (recording.end_ns - recording.start_ns) / 1e9
    busiest = max(recording.busiest, default=0.0)
    # The processor time of a run of a moment is that of starting, and says nothing.
    if wall_s >= 1:
        busiest = max(busiest, max(recording.cpu_s, default=0.0) / wall_s)
    if busiest > CPU_MAX:
        reasons.append(
            f"the generator used {busiest:.0%} of a core and was the bottleneck; use --processes"
        )
    median_ms = decoded(recording.latency).get_value_at_percentile(50) / 1e3
    late_ms = decoded(recording.lag).get_value_at_percentile(99) / 1e3
    bound_ms = max(LATE_P99_MAX_MS, LATE_P99_MAX_SHARE * median_ms)
    if late_ms > bound_ms:
        reasons.append(
            f"the generator's loop was late by {late_ms:.0f} ms at its 99th percentile,"
            f" more than {bound_ms:.0f} ms; use --processes or fewer callers"
        )
    return reasons


def _schedule_kept(schedule: Schedule, recording: Recording) -> list[str]:
    """What an open loop did otherwise than its schedule says."""
    reasons = []
    late_ms = _p99_ms(recording.late)
    bound_ms = max(SENDING_P99_MAX_MS, SENDING_P99_MAX_SHARE * _p99_ms(recording.latency))
    if late_ms > bound_ms:
        reasons.append(
            f"orders were sent late by {late_ms:.0f} ms at the 99th percentile, more than"
            f" {bound_ms:.0f} ms; use --processes or a lower rate"
        )
    offered, unsent = sum(recording.offered), sum(recording.unsent)
    length_s = max(schedule.length_s, (recording.sending_ended_ns - recording.start_ns) / 1e9)
    share = offered / length_s / schedule.rate_per_s
    # An interrupted run is invalid for that alone.
    if abs(share - 1) > RATE_DIFFERENCE_MAX and schedule.count and not recording.interrupted:
        reasons.append(
            f"{offered / length_s:,.1f} orders a second were offered, {share:.1%} of the"
            f" {schedule.rate_per_s:,.1f} asked for; use --processes or a lower rate"
        )
    if unsent > UNSENT_MAX * offered:
        reasons.append(
            f"{unsent:,} of {offered:,} orders were not sent, because as many were under way as may"
            " be: the percentiles lack them; raise --under-way-max or lower the rate"
        )
    return reasons


def _p99_ms(text: str) -> float:
    return float(decoded(text).get_value_at_percentile(99)) / 1e3 if text else 0.0
