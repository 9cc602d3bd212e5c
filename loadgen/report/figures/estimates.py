"""Figures over repeated runs, and what may be said of two of them.

The statistics themselves are the study's (`loadgen.study.analysis.statistics`); here they are put to groups
of runs, and a comparison becomes one of four verdicts, from which every sentence follows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from loadgen.report.figures.collection import Group
from loadgen.study.analysis.statistics import Interval, carried, interval, shown
from loadgen.study.records.record import GENERATOR, RunRecord

Metric = Callable[[RunRecord], float | None]
# What the intervals of two figures allow to say. `unsure` has too few runs for an interval that may
# be published, `censored` a figure that is only known to be at least so much.
Verdict = Literal["higher", "lower", "none", "unsure", "censored", "missing"]
_VERDICTS: Final[dict[str, Verdict]] = {
    "higher": "higher",
    "lower": "lower",
    "no difference shown": "none",
    "too few runs": "unsure",
}
# An order that timed out counts at its timeout. A histogram keeps that to within a hundredth.
_AT_TIMEOUT: Final = 0.99


class AtLeast(Interval, frozen=True):
    """A latency of which some run only knows that it reached the timeout, `mean` milliseconds."""


def estimate(group: Group | None, metric: Metric) -> Interval | None:
    """The metric over a group's runs that may be believed; None when no run has it."""
    if group is None:
        return None
    if metric is P99 and not carried(99, group.latencies):
        return None
    figures = [metric(run) for run in group.believed]
    if metric in _LATENCIES:
        limit_ms = group.cell.timeout_s * 1e3
        if any(figure is not None and figure >= _AT_TIMEOUT * limit_ms for figure in figures):
            return AtLeast(len(figures), limit_ms, None, None)
    return over(figures)


def over(figures: list[float | None]) -> Interval | None:
    """The interval of the figures that are there and positive: only those have a logarithm."""
    known = [figure for figure in figures if figure is not None and figure > 0]
    return interval(known) if known else None


def verdict(one: Interval | None, other: Interval | None) -> Verdict:
    """How `one` stands to `other`: only intervals that may be published tell two figures apart."""
    if one is None or other is None:
        return "missing"
    if isinstance(one, AtLeast) or isinstance(other, AtLeast):
        return "censored"
    return _VERDICTS[shown(one, other)] if one.published and other.published else "unsure"


def throughput(run: RunRecord) -> float | None:
    """Terminal answers a second."""
    return run.throughput_per_s


def goodput(run: RunRecord) -> float | None:
    """Orders a second that ended in time, of a run with a clean audit."""
    return run.goodput_per_s


def percentile(name: Literal["p50", "p90", "p95", "p99", "p999"]) -> Metric:
    """The latency below which that share of a run's orders ended, in milliseconds."""

    def of(run: RunRecord) -> float | None:
        value: float | None = getattr(run.result.latency_ms, name) if run.result else None
        return value

    return of


P50: Final = percentile("p50")
P99: Final = percentile("p99")
# Metrics that cannot exceed the timeout.
_LATENCIES: Final = (P50, P99)


def cpu_ms(run: RunRecord) -> float | None:
    """Processor milliseconds an order, over all services."""
    return run.cpu_ms_per_order


def kilobytes(run: RunRecord) -> float | None:
    """Kilobytes an order on loopback, between all processes."""
    return None if run.bytes_per_order is None else run.bytes_per_order / 1e3


def memory_mb(run: RunRecord) -> float | None:
    """The sum of the services' peaks of resident memory."""
    peaks = [spent.rss_peak_mb for name, spent in run.spent.items() if name != GENERATOR]
    known = [peak for peak in peaks if peak is not None]
    return sum(known) if known and len(known) == len(peaks) else None


def error_share(run: RunRecord) -> float | None:
    """The share of orders offered that came to no terminal answer, unsent ones among them."""
    if run.result is None or not run.result.offered:
        return None
    return 1 - run.result.completed / run.result.offered
