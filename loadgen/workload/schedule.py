"""When orders are due in an open loop: a pure function of a schedule and a seed.

A schedule is a rate over time, made of stretches. Both kinds of arrival are drawn in operational
time, the integral of the rate, where the rate is one; its inverse gives the instants. That is exact
for steps and ramps too (Çinlar, Introduction to Stochastic Processes, 1975, section 4.7).

The number of arrivals is the integral of the rate, rounded, whatever the seed: a Poisson process
given its count, which is as many independent uniform instants, in order. A run so offers what it
was asked to offer, while gaps and counts vary as a Poisson process's do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from random import Random
from typing import Final, Literal, get_args

from msgspec import Struct

Arrival = Literal["poisson", "constant"]
ARRIVALS: Final[tuple[Arrival, ...]] = get_args(Arrival)


class Stretch(Struct, frozen=True):
    """Arrivals a second at its begin and at its end, even in between, over so many seconds."""

    from_per_s: float
    to_per_s: float
    length_s: float

    @property
    def expected(self) -> float:
        """Arrivals: the integral of the rate."""
        return (self.from_per_s + self.to_per_s) / 2 * self.length_s

    def after(self, arrivals: float) -> float:
        """Seconds from its begin after which so many are expected to have come."""
        if arrivals <= 0:
            return 0.0
        slope = (self.to_per_s - self.from_per_s) / self.length_s
        # The root of slope/2 t^2 + from t = arrivals, in the form that loses no digits.
        root = math.sqrt(max(0.0, self.from_per_s**2 + 2 * slope * arrivals))
        return min(self.length_s, 2 * arrivals / (self.from_per_s + root))

    def rate(self, after_s: float) -> float:
        """Arrivals a second, so many seconds after its begin."""
        return self.from_per_s + (self.to_per_s - self.from_per_s) * after_s / self.length_s


class Schedule(Struct, frozen=True):
    """Stretches one after the other, and how arrivals are spread within them."""

    stretches: tuple[Stretch, ...]
    arrival: Arrival = "poisson"

    @property
    def length_s(self) -> float:
        """Seconds."""
        return sum(stretch.length_s for stretch in self.stretches)

    @property
    def expected(self) -> float:
        """The integral of the rate."""
        return sum(stretch.expected for stretch in self.stretches)

    @property
    def count(self) -> int:
        """How many arrivals it has, whatever the seed."""
        return round(self.expected)

    @property
    def rate_per_s(self) -> float:
        """The rate that is asked for, on average over its length."""
        return self.expected / self.length_s


def steady(rate_per_s: float, length_s: float, arrival: Arrival = "poisson") -> Schedule:
    """One rate for so many seconds."""
    return Schedule((Stretch(rate_per_s, rate_per_s, length_s),), arrival)


def ramp(
    from_per_s: float, to_per_s: float, length_s: float, arrival: Arrival = "poisson"
) -> Schedule:
    """A rate that grows or falls evenly over so many seconds."""
    return Schedule((Stretch(from_per_s, to_per_s, length_s),), arrival)


def steps(levels: tuple[tuple[float, float], ...], arrival: Arrival = "poisson") -> Schedule:
    """Levels of (arrivals a second, seconds), one after the other."""
    return Schedule(tuple(Stretch(rate, rate, length) for rate, length in levels), arrival)


def instants(schedule: Schedule, seed: int) -> Iterator[float]:
    """The arrivals, in seconds from the begin, in order; drawn one by one, none is kept."""
    count = schedule.count
    operational = _poisson(count, schedule.expected, seed)
    if schedule.arrival == "constant":
        operational = (float(number) for number in range(count))
    return _unfolded(schedule.stretches, operational)


def share_of(schedule: Schedule, seed: int, index: int, of: int) -> Iterator[tuple[int, float]]:
    """The arrivals `index`, `index + of`, ... as (number, seconds): one process's part of all."""
    return islice(enumerate(instants(schedule, seed)), index, None, of)


def _poisson(count: int, expected: float, seed: int) -> Iterator[float]:
    """`count` uniform instants in [0, expected), in order, each drawn given the one before it.

    The least of n uniforms on what is left is at a share 1 - u^(1/n) of it (Devroye, Non-Uniform
    Random Variate Generation, 1986, section V.3.2).
    """
    draw = Random(f"arrivals {seed}").expovariate
    at = 0.0
    for left in range(count, 0, -1):
        at -= (expected - at) * math.expm1(-draw(1.0) / left)
        yield at


def _unfolded(stretches: tuple[Stretch, ...], operational: Iterator[float]) -> Iterator[float]:
    """Operational times as seconds; both in order."""
    begin_s = begin = 0.0
    last = max((n for n, stretch in enumerate(stretches) if stretch.expected > 0), default=0)
    current = 0
    for at in operational:
        # Rounding must not carry the last arrival beyond the end.
        while current < last and at >= begin + stretches[current].expected:
            begin += stretches[current].expected
            begin_s += stretches[current].length_s
            current += 1
        yield begin_s + stretches[current].after(at - begin)
