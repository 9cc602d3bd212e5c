"""Latency in figures: a mean, percentiles and the largest, each from one merged histogram."""

from __future__ import annotations

from typing import Final

from hdrh.histogram import HdrHistogram
from msgspec import Struct

# Samples. Below it the slowest thousandth is a handful of orders, and no statistic.
P999_SAMPLES: Final = 10_000


class Latency(Struct, frozen=True):
    """Milliseconds; None where there are too few samples to say."""

    mean: float | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    p999: float | None
    max: float | None
    samples: int


NO_LATENCY: Final = Latency(None, None, None, None, None, None, None, 0)


def latency(histogram: HdrHistogram) -> Latency:
    """Percentiles of a histogram in microseconds."""
    samples = histogram.get_total_count()
    if samples == 0:
        return NO_LATENCY
    values = histogram.get_percentile_to_value_dict([50, 90, 95, 99, 99.9])
    p999 = values[99.9] / 1e3 if samples >= P999_SAMPLES else None
    return Latency(
        mean=round(histogram.get_mean_value() / 1e3, 3),
        p50=values[50] / 1e3,
        p90=values[90] / 1e3,
        p95=values[95] / 1e3,
        p99=values[99] / 1e3,
        p999=p999,
        max=histogram.get_max_value() / 1e3,
        samples=samples,
    )


def percentile_ms(histogram: HdrHistogram | None, percentile: float) -> float | None:
    """One percentile of a histogram in microseconds; None for none."""
    if histogram is None:
        return None
    return float(histogram.get_value_at_percentile(percentile)) / 1e3
