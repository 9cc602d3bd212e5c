"""Where a median and a slow order spent their time: whole orders between two percentiles, averaged.

Percentiles do not add up, so the parts of "the median order" are those of real orders: the sampled
ones in a narrow band around that percentile of latency, averaged: of all sampled orders, those
without an answer counted at their timeout. In each of them, and so in the average, the parts sum to
the latency; what no instrument accounts for is a part of its own, `residuo`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, floor
from typing import Final, NamedTuple

from msgspec import Struct

from loadgen.attribution.hops import MEASURED, RESIDUAL, Parts, Sample, Told, told

# Orders of a band that are averaged, at least: fewer and one odd order decides.
BAND_MIN: Final = 10

# The same as it is shown, with `ida` and `volta` split in two: the turn of the process that
# receives, and the cost of the way without a wait. See `Where.shown`.
PARTS: Final = (
    "atraso", "fila", "espera", "vez", "trabalho", "banco", "commit", "gateway", "caminho",
    "tentativas", "proximo", "consultas", RESIDUAL,
)  # fmt: skip
# Parts in which an order could have run, and others did: what compares between loops and threads.
WAITS_TO_RUN: Final = ("espera", "vez")
# Percentile of a way, over the sampled orders of a run, that counts as one without a wait:
# low, and not the least, which one odd reading of a clock would decide.
_LIGHT: Final = 5.0


class Band(NamedTuple):
    """The percentiles of latency between which an order counts as one of its kind.

    `width` holds where orders abound; with fewer it grows until it holds BAND_MIN of them,
    to `widest` at most, and stays below 100.
    """

    centre: float
    width: float
    widest: float

    def edges(self, width: float) -> tuple[float, float]:
        """The lowest and the highest percentile of a band that is so wide."""
        high = min(100.0, self.centre + width / 2)
        return high - width, high


MEDIAN: Final = Band(50.0, 10.0, 50.0)
SLOW: Final = Band(99.0, 1.0, 10.0)
# Percentiles by which a band grows at a time.
_STEP: Final = 0.5


class Way(Struct, frozen=True):
    """The time of the way from a hop to the next and back when few wait, in milliseconds."""

    ida_ms: float
    volta_ms: float


# By the hop that calls.
Ways = dict[str, Way]


def lightest(each: Iterable[Ways]) -> Ways:
    """Of several runs of one arm the shortest way at each hop: that on which least was waited."""
    found: Ways = {}
    for ways in each:
        for hop, way in ways.items():
            best = found.get(hop, way)
            found[hop] = Way(min(best.ida_ms, way.ida_ms), min(best.volta_ms, way.volta_ms))
    return found


class Where(Struct, frozen=True):
    """Where the `n` orders between two percentiles of latency spent their time, on average.

    The percentiles are those of all sampled orders with a latency, as in a table of latencies;
    `unanswered` of them in that band got no answer and are not in the average.
    `hops` are milliseconds by hop and part as MEASURED, from the client down; all of them sum to
    `latency_ms`. `calls` says how many of the orders went on from a hop to the next.
    `residual_ms` is the mean over orders of the time not accounted for, its share of the latency is
    `residual_share`. Each piece of it counts without its sign: a way that would be negative at one
    hop makes up for nothing that is missing there or elsewhere.
    """

    percentiles: tuple[float, float]
    n: int
    latency_ms: float
    hops: Parts
    residual_ms: float
    residual_share: float
    unanswered: int = 0
    calls: dict[str, int] = {}

    def shown(self, ways: Ways) -> Parts:
        """Milliseconds by hop and part, the parts of PARTS; they sum to the latency, too.

        No instrument of ours sees a message between the socket and the first step of the code that
        takes it up. So of each way as much as it takes when few wait (`ways`) is `caminho`, at the
        hop that calls; what is beyond it is `vez`, waiting for the turn of the process that takes
        the message up, at that hop: the next one on the way there, the caller on the way back. On
        threads the pool's queue is not in it but in `espera`, so that the two together compare.
        Where `ways` are of a loaded run they hold some waiting, and `vez` is too small, not too
        large.
        """
        names = list(self.hops)
        made = {name: dict(values) for name, values in self.hops.items()}
        for name, taker in zip(names, [*names[1:], names[-1]], strict=True):
            if "ida" not in made[name]:
                continue
            there, back = made[name].pop("ida"), made[name].pop("volta")
            light = ways.get(name, Way(there, back))
            share = self.calls.get(name, self.n) / self.n
            light_there = min(there, light.ida_ms * share)
            light_back = min(back, light.volta_ms * share)
            made[name]["caminho"] = light_there + light_back
            made[taker]["vez"] = made[taker].get("vez", 0.0) + there - light_there
            made[name]["vez"] = made[name].get("vez", 0.0) + back - light_back
        return {
            name: {part: values[part] for part in PARTS if part in values}
            for name, values in made.items()
        }

    def by_part(self, ways: Ways) -> dict[str, float]:
        """Milliseconds of each part over all hops, in the order of PARTS."""
        hops = self.shown(ways).values()
        return {
            part: sum(values.get(part, 0.0) for values in hops)
            for part in PARTS
            if any(part in values for values in hops)
        }


class Attribution(Struct, frozen=True):
    """The median and a slow order.

    Of `sampled` orders `kept` were kept, drawn evenly; of these `told` told their time in full and
    `unanswered` got no answer within their timeout. Where most of a band got none there is no
    order to tell of, and `median_unanswered` or `slow_unanswered` says so. `ways` are those of this
    run: the 5th percentile over the orders that told their time.
    """

    sampled: int
    kept: int
    told: int
    unanswered: int
    median: Where | None
    slow: Where | None
    median_unanswered: bool = False
    slow_unanswered: bool = False
    ways: Ways = {}


def attribution(samples: Sequence[Sample], sampled: int) -> Attribution | None:
    """Where sampled orders spent their time; None when none was sampled."""
    if not sampled:
        return None
    ranked = [(each, told(each)) for each in sorted(samples, key=lambda each: each.latency_ms)]
    median, median_unanswered = _where(ranked, MEDIAN)
    slow, slow_unanswered = _where(ranked, SLOW)
    return Attribution(
        sampled=sampled,
        kept=len(ranked),
        told=sum(1 for _, order in ranked if order is not None),
        unanswered=sum(1 for sample, _ in ranked if not sample.answered),
        median=median,
        slow=slow,
        median_unanswered=median_unanswered,
        slow_unanswered=slow_unanswered,
        ways=_ways([order for _, order in ranked if order is not None]),
    )


def _ways(orders: Sequence[Told]) -> Ways:
    """The light way from each hop to the next, there and back apart."""
    found: dict[str, list[dict[str, float]]] = {}
    for order in orders:
        for name, values in order.hops.items():
            if "ida" in values:
                found.setdefault(name, []).append(values)
    return {
        name: Way(*(_low([values[part] for values in each]) for part in ("ida", "volta")))
        for name, each in found.items()
    }


def _low(values: Sequence[float]) -> float:
    return round(sorted(values)[int(len(values) * _LIGHT / 100)], 4)


_Ranked = Sequence[tuple[Sample, Told | None]]


def _where(ranked: _Ranked, band: Band) -> tuple[Where | None, bool]:
    """The average of the orders in a band, and whether most of them got no answer.

    `ranked` is sorted by latency. The band grows until it holds enough orders that told their time.
    """
    width = band.width
    while True:
        low, high = edges = band.edges(width)
        within = ranked[ceil(len(ranked) * low / 100) : floor(len(ranked) * high / 100)]
        orders = [order for _, order in within if order is not None]
        unanswered = sum(1 for sample, _ in within if not sample.answered)
        if unanswered * 2 > len(within):
            return None, True
        if len(orders) >= BAND_MIN:
            return _average(orders, edges, unanswered), False
        if width >= band.widest:
            return None, False
        width = min(band.widest, width + _STEP)


def _average(orders: Sequence[Told], edges: tuple[float, float], unanswered: int) -> Where:
    n = len(orders)
    sums: Parts = {}
    calls: dict[str, int] = {}
    for order in orders:
        for name, values in order.hops.items():
            calls[name] = calls.get(name, 0) + ("ida" in values)
            into = sums.setdefault(name, {})
            for part, value in values.items():
                into[part] = into.get(part, 0.0) + value
    residual = sum(order.unaccounted_ms for order in orders)
    latency = sum(order.latency_ms for order in orders) / n
    return Where(
        percentiles=edges,
        n=n,
        latency_ms=round(latency, 4),
        hops={
            name: {part: round(values[part] / n, 4) for part in MEASURED if part in values}
            for name, values in sums.items()
        },
        residual_ms=round(residual / n, 4),
        residual_share=round(residual / n / latency, 6) if latency else 0.0,
        unanswered=unanswered,
        calls=calls,
    )
