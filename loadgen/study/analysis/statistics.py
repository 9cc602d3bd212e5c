"""What repeated runs say: intervals over runs, comparisons, and two laws that runs must obey.

Rates and times vary by factors, not by amounts, so everything is done on logarithms: an average is
a geometric mean, a difference a ratio.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from random import Random
from typing import Final, Literal

from msgspec import Struct

from loadgen.attribution.little import CALLS_MIN, SEEN_MIN
from loadgen.study.records.record import Flow

# Runs below which a spread says nothing, and below which no interval is published.
RUNS_MIN: Final = 3
RUNS_PUBLISHED: Final = 5
CONFIDENCE: Final = 0.95
# Loads that a fit of three parameters needs, so that as many again are left to contradict it.
LOADS_MIN: Final = 6
# Resamples of a bootstrap: enough that the 2.5th percentile rests on ten of them.
RESAMPLES: Final = 400
# |L - XW| / L. Above it one of the three was measured wrongly.
LITTLE_MAX: Final = 0.05
# Times that a window must be as long as a call: calls that its ends cut are counted on one side only.
LITTLE_WINDOW_MIN: Final = 5.0
# Samples that must lie beyond a percentile.
BEYOND_MIN: Final = 10
# Half a cell of the recording: a time that is read from cells is known no better.
CELL_HALF_S: Final = 0.05


class Interval(Struct, frozen=True):
    """The geometric mean of `n` runs; `low` and `high` hold it with 95 % confidence.

    They are null under three runs. Under five they are there for the eye and are not published.
    """

    n: int
    mean: float
    low: float | None
    high: float | None

    @property
    def published(self) -> bool:
        """True when there are enough runs to claim the interval."""
        return self.n >= RUNS_PUBLISHED and self.low is not None


Shown = Literal["higher", "lower", "no difference shown", "too few runs"]


class Comparison(Struct, frozen=True):
    """One set of runs by another: the ratio of their means, and what may be said of it."""

    ratio: float
    shown: Shown
    first: Interval
    second: Interval


class UslFit(Struct, frozen=True, kw_only=True):
    """The Universal Scalability Law over measured loads, from `loads[0]` to `loads[-1]` only.

    X(N) = gamma N / (1 + alpha (N - 1) + beta N (N - 1)): `gamma` is the rate of one caller,
    `alpha` contention, `beta` crosstalk, each with its interval. `worst` is the largest relative
    distance of the law from the mean of a load: a law that does not fit says so here.
    """

    gamma: Interval
    alpha: Interval
    beta: Interval
    loads: tuple[float, ...]
    worst: float

    def at(self, load: float) -> float:
        """The rate at a load. Raises ValueError beyond the measured ones."""
        if not self.loads[0] <= load <= self.loads[-1]:
            msg = f"{load:g} is beyond the measured loads, {self.loads[0]:g} to {self.loads[-1]:g}"
            raise ValueError(msg)
        return usl(load, self.gamma.mean, self.alpha.mean, self.beta.mean)

    @property
    def peak(self) -> float | None:
        """The load of the highest rate; None when it lies beyond the measured ones."""
        alpha, beta = self.alpha.mean, self.beta.mean
        if beta <= 0 or alpha >= 1:
            return None
        load = math.sqrt((1 - alpha) / beta)
        return load if self.loads[0] <= load <= self.loads[-1] else None


def interval(figures: Sequence[float]) -> Interval:
    """The mean of positive figures of repeated runs, by Student's t on their logarithms.

    Raises ValueError when there are none, or one is not positive.
    """
    if not figures or min(figures) <= 0:
        msg = f"an interval needs positive figures, got {list(figures)}"
        raise ValueError(msg)
    n = len(figures)
    logs = [math.log(figure) for figure in figures]
    middle = math.fsum(logs) / n
    if n < RUNS_MIN:
        return Interval(n, math.exp(middle), None, None)
    from scipy.stats import t

    spread = math.sqrt(math.fsum((each - middle) ** 2 for each in logs) / (n - 1) / n)
    half = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * spread
    return Interval(n, math.exp(middle), math.exp(middle - half), math.exp(middle + half))


def carried(percentile: float, samples: int) -> bool:
    """Whether so many samples carry a percentile: enough of them must lie beyond it."""
    return samples * (100 - percentile) / 100 >= BEYOND_MIN


def recovery(times: Sequence[float | None], half_s: float = CELL_HALF_S) -> Interval | None:
    """The mean time to recover of repeated runs, in seconds; None stands for a run that never did.

    Bounds are given only when every run recovered: without those that did not, the mean is that of
    the survivors. They are no closer than `half_s`, half of what the times were read to. None when
    no run recovered.
    """
    known = [max(time, half_s) for time in times if time is not None]
    if not known:
        return None
    found = interval(known)
    if found.low is None or found.high is None or len(known) < len(times):
        return Interval(found.n, found.mean, None, None)
    low = max(min(found.low, found.mean - half_s), 0.0)
    return Interval(found.n, found.mean, low, max(found.high, found.mean + half_s))


def compare(first: Sequence[float], second: Sequence[float]) -> Comparison:
    """Whether the first set's figures are higher than the second's: intervals must not overlap."""
    one, other = interval(first), interval(second)
    return Comparison(one.mean / other.mean, shown(one, other), one, other)


def shown(one: Interval, other: Interval) -> Shown:
    """What two intervals show."""
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return "too few runs"
    if one.low > other.high:
        return "higher"
    if one.high < other.low:
        return "lower"
    return "no difference shown"


def ranking(sets: Mapping[str, Sequence[float]]) -> list[tuple[str, str]]:
    """The pairs (higher, lower) that the intervals of these sets tell apart."""
    each = {name: interval(figures) for name, figures in sets.items()}
    return sorted(
        (one, other) for one in each for other in each if shown(each[one], each[other]) == "higher"
    )


# --- the Universal Scalability Law ----------------------------------------------------------------


def usl(load: float, gamma: float, alpha: float, beta: float) -> float:
    """The rate at a load (N. J. Gunther, Guerrilla Capacity Planning, Springer 2007)."""
    return gamma * load / (1 + alpha * (load - 1) + beta * load * (load - 1))


def fit_usl(rates: Mapping[float, Sequence[float]], seed: int = 0) -> UslFit:
    """Fit the law to the rates of repeated runs at each load.

    N / X(N) is linear in 1 / gamma, alpha / gamma and beta / gamma, so the fit is one least squares
    of relative errors with no parameter below nought. Intervals are by bootstrap over the runs of
    each load, their spread widened for being few. Raises ValueError under six loads.
    """
    known = {load: figures for load, figures in sorted(rates.items()) if figures}
    if len(known) < LOADS_MIN:
        msg = f"a fit needs {LOADS_MIN} loads or more, there are {len(known)}"
        raise ValueError(msg)
    loads = tuple(known)
    means = {load: interval(figures).mean for load, figures in known.items()}
    best = _fit(list(known.items()))
    draw = Random(seed)
    resampled = [
        _fit([(load, _resample(figures, draw)) for load, figures in known.items()])
        for _ in range(RESAMPLES)
    ]
    runs = min(map(len, known.values()))
    gamma, alpha, beta = (
        _percentile_interval(best[index], sorted(each[index] for each in resampled), runs)
        for index in range(3)
    )
    worst = max(abs(usl(load, *best) / mean - 1) for load, mean in means.items())
    return UslFit(gamma=gamma, alpha=alpha, beta=beta, loads=loads, worst=worst)


def _fit(known: Sequence[tuple[float, Sequence[float]]]) -> tuple[float, float, float]:
    import numpy as np
    from scipy.optimize import nnls

    load = np.array(list(chain.from_iterable([n] * len(rates) for n, rates in known)))
    rate = np.array(list(chain.from_iterable(rates for _, rates in known)))
    share = rate / load
    columns = np.stack([share, share * (load - 1), share * load * (load - 1)], axis=1)
    # Columns differ by the square of the largest load: each is brought to one length first.
    size = np.linalg.norm(columns, axis=0)
    size[size == 0] = 1.0
    found, _ = nnls(columns / size, np.ones(len(load)))
    # The first is nought only where one caller's rate is beyond what the runs can tell.
    first, second, third = (float(each) for each in found / size)
    gamma = 1 / first if first > 0 else float(share.max())
    return gamma, second * gamma, third * gamma


def _resample(figures: Sequence[float], draw: Random) -> list[float]:
    """As many runs drawn with replacement, the spread widened by what a sample of n lacks."""
    n = len(figures)
    if n == 1:
        return list(figures)
    logs = [math.log(figure) for figure in figures]
    middle, wider = math.fsum(logs) / n, math.sqrt(n / (n - 1))
    return [math.exp(middle + wider * (draw.choice(logs) - middle)) for _ in range(n)]


def _percentile_interval(best: float, resampled: Sequence[float], runs: int) -> Interval:
    if runs < RUNS_MIN:
        return Interval(runs, best, None, None)
    tail = (1 - CONFIDENCE) / 2
    last = len(resampled) - 1
    return Interval(runs, best, resampled[round(tail * last)], resampled[round((1 - tail) * last)])


# --- Little's law ---------------------------------------------------------------------------------


class Little(Struct, frozen=True):
    """Little's law at one hop: `off` is |L - XW| / L, null where nothing was under way.

    `short` when the window has too few calls, or too few seen under way, or is too short beside a
    call, for `off` to say anything of the instruments.
    """

    off: float | None
    short: bool


def little(flow: Flow) -> Little:
    """Check one hop (J. D. C. Little, A Proof for the Queuing Formula L = lambda W, 1961)."""
    short = (
        flow.calls < CALLS_MIN
        or flow.looks * flow.in_flight < SEEN_MIN
        or flow.window_s < LITTLE_WINDOW_MIN * flow.time_s
    )
    if flow.in_flight <= 0:
        return Little(None, short)
    off = abs(flow.in_flight - flow.arrivals_per_s * flow.time_s) / flow.in_flight
    return Little(off, short)
