"""Contenders take turns, and each pair of turns gives a ratio.

On a small machine a single run varies by a fifth, and everything drifts. So only ratios within a
pair mean something, and only their middle over several pairs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from statistics import median, quantiles
from typing import Final, TypeVar

from loadgen.study.analysis.statistics import Interval, interval

# Pairs below which a median says nothing: single runs vary by a fifth.
PAIRS_MIN: Final = 5

Run = TypeVar("Run")


async def alternate(
    turns: Mapping[str, Callable[[], Awaitable[Run]]], count: int
) -> AsyncIterator[dict[str, Run]]:
    """Have every contender take its turn `count` times; yields the runs of each pair, by name.

    Each pair reverses the order of the one before (A B, B A, ...), which cancels what drifts. An
    interrupt ends the turn under way and all further ones; the pairs before it stand. In the first
    pair it is raised: CancelledError.
    """
    for number in range(count):
        order = list(turns)[:: -1 if number % 2 else 1]
        try:
            runs = {name: await turns[name]() for name in order}
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not number or task is None:
                raise
            task.uncancel()
            return
        yield runs


def doubts(pairs: Sequence[object], wanted: int) -> list[str]:
    """Why so many pairs cannot be believed, whatever their runs say; empty when they can."""
    done = len(pairs)
    interrupted = [f"interrupted after {done} of {wanted} pairs"] if done < wanted else []
    few = [f"{done} pairs are too few for a median: {PAIRS_MIN} are needed"]
    return interrupted + (few if done < PAIRS_MIN else [])


def ratio(one: float | None, other: float | None) -> float | None:
    """One figure by another; None where either is missing or nought."""
    return one / other if one and other else None


class Ratios:
    """The ratios of all pairs, None for a pair without one.

    `interval` holds their geometric mean with 95 % confidence; None where no pair has a ratio.
    """

    def __init__(self, each: Iterable[float | None]) -> None:
        self.each = list(each)
        self._known = [one for one in self.each if one is not None]
        self.median = median(self._known) if self._known else None
        self.interval: Interval | None = interval(self._known) if self._known else None

    def range(self) -> str:
        """The interval of the mean in figures."""
        if self.interval is None or self.interval.low is None or self.interval.high is None:
            return "-"
        return f"{self.interval.low:.3f} to {self.interval.high:.3f}"

    def words(self) -> str:
        """The median of the pairs, their quartiles, and the interval of their mean."""
        if self.median is None or self.interval is None:
            return "-"
        if len(self._known) == 1:
            return f"{self.median:.3f}"
        low, _, high = quantiles(self._known, n=4, method="inclusive")
        return (
            f"{self.median:.3f} (quartiles {low:.3f} to {high:.3f}), geometric mean"
            f" {self.interval.mean:.3f} (95 %: {self.range()})"
        )
