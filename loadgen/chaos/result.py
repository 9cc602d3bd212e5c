"""What a soak or an attack came to: raw series and the figures computed from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import ceil, inf
from statistics import median
from typing import Final

from msgspec import Struct

from common.audit import AuditReport

# Seconds after the last heal within which every order must have ended.
SETTLE_S: Final = 10.0
# Seconds of one cell of the time series.
CELL_S: Final = 0.25
# Share of the goodput before the attack that counts as recovered, over a window of seconds.
RECOVERED: Final = 0.9
WINDOW_S: Final = 1.0


class Series:
    """When orders ended, and how long each took, as seen by whoever asked for them."""

    def __init__(self) -> None:
        self._completed: Counter[int] = Counter()
        self._latencies: dict[int, list[float]] = {}

    def add(self, ended_s: float, waited_s: float) -> None:
        """One order ended, so many seconds after the run's start."""
        self._completed[int(ended_s / CELL_S)] += 1
        self._latencies.setdefault(int(ended_s), []).append(waited_s * 1e3)

    @property
    def total(self) -> int:
        """Orders that ended."""
        return self._completed.total()

    def last_second(self, now_s: float) -> float:
        """Orders that ended in the second before this instant, by whole cells."""
        now, window = int(now_s / CELL_S), int(1 / CELL_S)
        return float(sum(self._completed[cell] for cell in range(now - window, now)))

    def completed(self, until_s: float) -> tuple[int, ...]:
        """Orders that ended in each cell of CELL_S."""
        return tuple(self._completed[cell] for cell in range(int(until_s / CELL_S) + 1))

    def latency_ms(self, until_s: float) -> tuple[tuple[float, float] | None, ...]:
        """The median and the p99 of each second; None where nothing ended."""
        return tuple(latencies(self._latencies.get(second)) for second in range(int(until_s)))


class Struck(Struct, frozen=True):
    """A strike as it happened: seconds since the start of the run, until all was well again."""

    fault: str
    service: str
    begin_s: float
    healed_s: float


class Recovery(Struct, frozen=True):
    """Seconds from healing until goodput is back, seen after `of` strikes.

    After `unseen` ones it was not: it did not come back, or the next strike, or the end, came first.
    They count as infinitely slow in the median, which is null when it falls among them.
    """

    median: float | None
    slowest: float | None
    of: int
    unseen: int


class SoakResult(Struct, frozen=True, kw_only=True):
    """The outcome of a soak of one arm.

    `rate_per_s` is that of an open loop; without one there were `callers` in a closed one.
    `completed` counts terminal answers a cell of CELL_S since the start; `latency_ms` holds a pair
    (p50, p99) a second, null where nothing ended. `broken` says which service did not come back.
    """

    mode: str
    seed: int
    callers: int
    rate_per_s: float | None
    asked: int
    outcomes: dict[str, int]
    errors: dict[str, int]
    struck: dict[str, int]
    missed: int
    strikes: tuple[Struck, ...]
    completed: tuple[int, ...]
    latency_ms: tuple[tuple[float, float] | None, ...]
    attack_s: tuple[float, float]
    baseline_per_s: float
    goodput_per_s: float
    recovery_s: Recovery | None
    settled_s: float | None
    audit: AuditReport
    broken: tuple[str, ...]
    invalid_reasons: tuple[str, ...]
    environment: dict[str, object]

    @property
    def load(self) -> str:
        """Who bought, in words."""
        if self.rate_per_s is not None:
            return f"{self.rate_per_s:g} orders a second"
        return f"{self.callers} callers"


class AttackResult(Struct, frozen=True, kw_only=True):
    """The outcome of an attack on one arm.

    `moves` counts, for each kind of call, what came of it; `struck` counts strikes by sign and by
    how many services each hit at once. `asked_again` are the ends of orders that their callers had
    left. `not_pursued` are orders that were shipped though their cancel had begun long before.
    """

    mode: str
    seed: int
    attackers: int
    duration_s: float
    asked: int
    outcomes: dict[str, int]
    asked_again: dict[str, int]
    moves: dict[str, dict[str, int]]
    errors: dict[str, int]
    struck: dict[str, dict[int, int]]
    missed: int
    strikes: tuple[Struck, ...]
    completed: tuple[int, ...]
    latency_ms: tuple[tuple[float, float] | None, ...]
    goodput_per_s: float
    settled_s: float | None
    not_pursued: tuple[int, ...]
    audit: AuditReport
    broken: tuple[str, ...]
    invalid_reasons: tuple[str, ...]
    environment: dict[str, object]


def rate(completed: tuple[int, ...], begin_s: float, end_s: float) -> float:
    """Terminal answers a second between two instants, by whole cells."""
    first, last = int(begin_s / CELL_S), max(int(end_s / CELL_S), int(begin_s / CELL_S) + 1)
    return sum(completed[first:last]) / ((last - first) * CELL_S)


def recovery(
    completed: tuple[int, ...], strikes: tuple[Struck, ...], baseline_per_s: float, end_s: float
) -> Recovery | None:
    """How long after each healing the goodput of a window is back; None without strikes."""
    times: list[float] = []
    for number, strike in enumerate(strikes):
        others = [other for place, other in enumerate(strikes) if place != number]
        if any(other.begin_s < strike.healed_s < other.healed_s for other in others):
            continue
        until = min((o.begin_s for o in others if o.begin_s >= strike.healed_s), default=end_s)
        at = strike.healed_s
        while at + WINDOW_S <= until:
            if rate(completed, at, at + WINDOW_S) >= RECOVERED * baseline_per_s:
                times.append(at - strike.healed_s)
                break
            at += CELL_S
    if not strikes:
        return None
    # What was not seen counts as never: a median of the quick ones alone would flatter.
    unseen = len(strikes) - len(times)
    middle = median([*times, *[inf] * unseen])
    return Recovery(None if middle == inf else middle, max(times, default=None), len(times), unseen)


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of some numbers; `share` is in (0, 1]."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]


def latencies(values: list[float] | None) -> tuple[float, float] | None:
    """The median and the p99; None without values."""
    return (median(values), percentile(values, 0.99)) if values else None
