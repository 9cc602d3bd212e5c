"""The knee: the highest rate that an arm sustains, how to look for it, and how it is left again.

A rate is sustained when the run meets its objectives, nearly everything that was offered was
completed, and what is under way does not grow from second to second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from statistics import fmean, median
from typing import Final

from msgspec import Struct

from loadgen.results.recorder import CELL_NS, Recording

CELL_S: Final = CELL_NS / 1e9
# Of what was offered in the measured window, at least this must be completed in it.
COMPLETED_MIN: Final = 0.99
# A backlog grows when it rises by more than this share of what was offered ...
RISE_MAX: Final = 0.02
# ... and by more standard deviations than chance would make of it.
DEVIATIONS: Final = 3.0
# Orders a second. A rate below it needs minutes for a hundred orders and is not looked for.
LEAST_PER_S: Final = 1.0


def backlog(recording: Recording) -> list[int]:
    """Orders under way at the end of each cell of a tenth of a second."""
    length = max(len(recording.sent), len(recording.completed), len(recording.failed))

    def running(cells: Sequence[int]) -> list[int]:
        return list(accumulate([*cells, *[0] * (length - len(cells))]))

    sent, ended = running(recording.sent), running(recording.completed)
    failed = running(recording.failed)
    return [a - b - c for a, b, c in zip(sent, ended, failed, strict=True)]


def grows(under_way: Sequence[int], offered: int) -> bool:
    """True when a backlog rises over a stretch in which `offered` orders came.

    The rise is that of a straight line through it (least squares), so that a single burst at either
    end does not decide. Chance moves it, too: orders that came together are under way together.
    """
    n = len(under_way)
    if n < 2:
        return False
    middle, mean = (n - 1) / 2, fmean(under_way)
    steep = math.fsum((i - middle) ** 2 for i in range(n)) / (n - 1)
    weights = [(i - middle) / steep for i in range(n)]
    rise = math.fsum(
        weight * (each - mean) for weight, each in zip(weights, under_way, strict=True)
    )
    return rise > max(RISE_MAX * offered, DEVIATIONS * _by_chance(weights, mean, offered))


def _by_chance(weights: Sequence[float], mean: float, offered: int) -> float:
    """The standard deviation of a weighted sum of what is under way where nothing grows.

    Orders come at random and stay for a while: what is under way is a Poisson count, and two such
    counts have in common who is there at both. How long orders stay is told by Little's law; taken
    as the same for all, the correlation falls to nought in a straight line over that time.
    """
    stay = mean * len(weights) / offered if offered else 0.0
    reach = min(len(weights), math.ceil(stay) or 1)
    shared = [
        math.fsum(a * b for a, b in zip(weights, weights[lag:], strict=False))
        * (1 - lag / stay if lag else 1.0)
        for lag in range(reach)
    ]
    variance = max(mean, 1.0) * (shared[0] + 2 * math.fsum(shared[1:]))
    return math.sqrt(max(variance, 0.0))


def kept_up(recording: Recording, first: int, last: int) -> bool:
    """True when, from one cell to another, nearly as much was completed as was offered.

    What is completed later does not count. Of what is completed some was offered before, and of
    what is offered some ends after: the difference of the two is that of the orders under way at
    both instants, which chance moves by DEVIATIONS of a Poisson count each.
    """
    offered = sum((recording.offered or recording.sent)[first:last])
    completed = sum(recording.completed[first:last])
    under_way = max(1, backlog(recording)[max(0, first - 1)])
    return completed >= COMPLETED_MIN * offered - DEVIATIONS * math.sqrt(2 * under_way)


class Search:
    """Looks for the highest rate that is sustained: ask `next`, run it, `note` what came of it.

    From `first` it grows until a rate is not sustained, or shrinks until one is; then it halves the
    distance, in ratio, until it is within `resolution`.
    """

    def __init__(self, first: float, most: float, growth: float, resolution: float) -> None:
        self._next = min(first, most)
        self._most = most
        self._growth = growth
        self._resolution = resolution
        self.sustained: float | None = None
        self.beyond: float | None = None
        self.steps = 0

    def next(self) -> float | None:
        """The rate to try, or None when the search has ended."""
        low, high = self.sustained, self.beyond
        if low is None and high is None:
            return self._next
        if high is None:
            assert low is not None
            return min(low * self._growth, self._most) if low < self._most else None
        if low is None:
            lower = high / self._growth
            return lower if lower >= LEAST_PER_S else None
        return math.sqrt(low * high) if high / low > 1 + self._resolution else None

    def note(self, rate: float, *, sustained: bool) -> None:
        """Take note of the run at the rate that `next` gave."""
        self.steps += 1
        if sustained:
            self.sustained = rate
        else:
            self.beyond = rate


class Knee(Struct, frozen=True, kw_only=True):
    """The highest rung that each of its runs sustained, and all rungs below it too.

    The knee lies from `rate_per_s` up to `beyond_per_s`, the first rung that some run missed; null
    when no rung was sustained, or none missed. `runs` is how many runs that could be believed there
    were at `rate_per_s` (0 for none), `missed` how many of `beyond_runs` missed at `beyond_per_s`.
    Where no run of a rung could be believed nothing is known from `doubted_per_s` on.
    """

    rate_per_s: float | None
    runs: int
    beyond_per_s: float | None
    missed: int
    beyond_runs: int
    doubted_per_s: float | None


def knee(rungs: Mapping[float, Sequence[bool | None]]) -> Knee:
    """The knee on a ladder: by rate, whether each run sustained it; None for one not believed."""
    highest: float | None = None
    runs = 0
    beyond: tuple[float | None, int, int] = (None, 0, 0)
    doubted: float | None = None
    for rate, every in sorted(rungs.items()):
        believed = [one for one in every if one is not None]
        if not believed:
            doubted = rate
            break
        if not all(believed):
            beyond = (rate, believed.count(False), len(believed))
            break
        highest, runs = rate, len(believed)
    return Knee(
        rate_per_s=highest, runs=runs, beyond_per_s=beyond[0], missed=beyond[1],
        beyond_runs=beyond[2], doubted_per_s=doubted,
    )  # fmt: skip


def drained_after_s(recording: Recording, from_s: float, until_s: float) -> float | None:
    """Seconds from an instant until what is under way is what it stays at; None when it never is.

    What it stays at is the median of the last quarter up to `until_s`, when no more orders come:
    from then on it falls in any case. Where even that quarter still falls there was no recovery in
    the time that was given.
    """
    first, end = int(from_s / CELL_S), int(until_s / CELL_S)
    after = backlog(recording)[first:end]
    last = after[-(len(after) // 4) :]
    came = sum(recording.sent[end - len(last) : end])
    if len(last) < 2 or grows(last[::-1], came):
        return None
    level = median(last)
    bound = level + DEVIATIONS * math.sqrt(max(level, 1.0))
    # Half a second below it: a gap between two bursts is no recovery.
    calm = (i for i in range(len(after)) if max(after[i : i + 5]) <= bound)
    index = next(calm, None)
    return None if index is None else index * CELL_S
