"""Counts of values by size, in bounded memory; raw data in HdrHistogram's own form.

Values are microseconds. A value is kept to its leading bits only, which is how an HdrHistogram puts
it into a bucket: counting so and filling the histogram at the end gives the same histogram as
recording each value, for a fifth of the processor time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hdrh.histogram import HdrHistogram

# Significant decimal digits of a run's histograms: a value is off by at most a thousandth.
PRECISION: Final = 3
# The same of each second's: a hundredth is enough for a line that is drawn, in a fifth of the room.
PRECISION_SECOND: Final = 2
# Leading bits that so many digits need: twice ten to their power, as a power of two.
_BITS: Final = {2: 8, 3: 11}
# Microseconds. A loop that is later than this has stopped, not slowed.
LAG_MAX_US: Final = 60_000_000


class Tally:
    """How often each value occurred, up to `largest`; larger ones count as it, less than 1 as 1.

    It holds at most one number a bucket: some 18,000 for an hour's latencies and three digits.
    """

    def __init__(self, largest: int, precision: int = PRECISION) -> None:
        self._largest = largest
        self._precision = precision
        self._bits = _BITS[precision]
        self._counts: dict[int, int] = {}

    def note(self, value: int) -> None:
        """Count a value."""
        if value > self._largest:
            value = self._largest
        elif value < 1:
            value = 1
        extra = value.bit_length() - self._bits
        if extra > 0:
            value = value >> extra << extra
        counts = self._counts
        counts[value] = counts.get(value, 0) + 1

    def histogram(self) -> HdrHistogram:
        """The values as a histogram."""
        histogram = HdrHistogram(1, self._largest, self._precision)
        for value, count in self._counts.items():
            histogram.record_value(value, count)
        return histogram

    def __bool__(self) -> bool:
        return bool(self._counts)

    def encoded(self) -> str:
        """The values as raw data."""
        return encoded(self.histogram())

    def clear(self) -> None:
        """Forget everything."""
        self._counts.clear()


def latency_max_us(timeout_s: float) -> int:
    """Microseconds: well over every latency that a run with this timeout can see."""
    return max(1_000_000, int(timeout_s * 2e6))


def latency_histogram(timeout_s: float) -> HdrHistogram:
    """An empty histogram in microseconds that holds every latency up to well over the timeout."""
    return HdrHistogram(1, latency_max_us(timeout_s), PRECISION)


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


def added(texts: Iterable[str]) -> str:
    """The histogram that holds what all of these hold, exactly; empty texts hold nothing."""
    kept = [text for text in texts if text]
    if len(kept) < 2:
        return kept[0] if kept else ""
    total = decoded(kept[0])
    for text in kept[1:]:
        total.add(decoded(text))
    return encoded(total)
