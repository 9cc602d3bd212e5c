"""Where the time of an order went, hop by hop, from the one timing record of its answer.

Percentiles do not add up, so the parts of "the median order" are those of real orders: the sampled
ones in a narrow band around that percentile of latency, averaged: of all sampled orders, those
without an answer counted at their timeout. In each of them, and so in the
average, the parts sum to the latency; what no instrument accounts for is a part of its own,
`residuo`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import ceil, floor
from typing import Final, NamedTuple

from msgspec import Struct

# One order in so many is asked to tell its time in full. That costs the order itself 10 to 15 % of its
# processor time (measured), which is below 1 % over all of them.
SAMPLE_EVERY: Final = 16
# Orders whose records a process keeps, drawn evenly from all that it sampled; 700 bytes each.
SAMPLES_MAX: Final = 1_000
# Sampled orders that a run wants, so that its median band has ten of them without being widened.
SAMPLES_WANTED: Final = 100
# Orders of a band that are averaged, at least: fewer and one odd order decides.
BAND_MIN: Final = 10

CLIENT: Final = "cliente"
RESIDUAL: Final = "residuo"
# What a part's time was spent on, in the order in which it is shown: the generator sent late; the
# queue for admission; ready but not running; own work; storage up to the commit, and the commit;
# the simulated payment; the way to the next hop and back; earlier attempts at it; a next hop that
# told nothing; asking again after an order that was accepted only; and what is left.
PARTS: Final = (
    "atraso", "fila", "espera", "trabalho", "banco", "commit", "gateway", "ida", "volta",
    "tentativas", "proximo", "consultas", RESIDUAL,
)  # fmt: skip
# Instants in a record, not durations.
_INSTANTS: Final = frozenset({"em", "saida"})
# Parts that a hop measures by itself.
_OWN: Final = ("fila", "espera", "trabalho", "gateway", "tentativas")

# Milliseconds by hop and part.
Parts = dict[str, dict[str, float]]


def parse(timing: str) -> Parts:
    """A Server-Timing text as {service: {field: milliseconds}}; what is not a number is left out."""
    hops: Parts = {}
    for entry in timing.split(","):
        name, *fields = entry.strip().split(";")
        values: dict[str, float] = {}
        for text in fields:
            key, _, value = text.partition("=")
            try:
                values[key] = float(value)
            except ValueError:
                continue
        if name and values:
            hops[name] = values
    return hops


class Hops:
    """Sums over sampled orders, per service and field; `n` is how many orders they are of."""

    def __init__(self) -> None:
        self._sums: Parts = {}

    def note(self, timing: str) -> None:
        """Add an order's timing record."""
        for name, values in parse(timing).items():
            sums = self._sums.setdefault(name, {"n": 0.0})
            sums["n"] += 1
            for key, value in values.items():
                if key not in _INSTANTS:
                    sums[key] = sums.get(key, 0.0) + value

    def sums(self) -> Parts:
        """The sums so far."""
        return {name: dict(values) for name, values in self._sums.items()}


def means(sums: Parts) -> Parts:
    """Mean milliseconds per service and field."""
    return {
        name: {key: round(value / values["n"], 4) for key, value in values.items() if key != "n"}
        for name, values in sums.items()
        if values["n"]
    }


class Sample(Struct, frozen=True, array_like=True):
    """One sampled order: its instants (monotonic nanoseconds) and the record of its answer.

    Meant to be sent, sent, first answered, and known to have ended. One that was not answered has
    ended at its timeout.
    """

    intended_ns: int
    sent_ns: int
    replied_ns: int
    end_ns: int
    timing: str
    answered: bool = True

    @property
    def latency_ms(self) -> float:
        """From the intended instant."""
        return _ms(self.end_ns - self.intended_ns)

    def lost(self, timeout_ns: int) -> Sample:
        """The same order without an answer: it ended at its timeout, and tells nothing."""
        end_ns = self.sent_ns + timeout_ns
        return Sample(self.intended_ns, self.sent_ns, end_ns, end_ns, "", answered=False)


class Band(NamedTuple):
    """The percentiles of latency between which an order counts as one of its kind.

    `width` is what it is where orders abound; with fewer it grows until it holds BAND_MIN of them,
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


def sample_every(expected: float) -> int:
    """One order in how many is to be sampled where so many are expected."""
    return max(1, min(SAMPLE_EVERY, int(expected / SAMPLES_WANTED)))


class Samples:
    """A reservoir: each order that is noted is kept with the same chance (Vitter's algorithm R)."""

    def __init__(self, seed: int, limit: int = SAMPLES_MAX) -> None:
        self._draw = random.Random(seed)
        self._limit = limit
        self.kept: list[Sample] = []
        self.seen = 0

    def note(self, sample: Sample) -> None:
        """Keep it, perhaps in another's place."""
        self.seen += 1
        if len(self.kept) < self._limit:
            self.kept.append(sample)
        elif (place := self._draw.randrange(self.seen)) < self._limit:
            self.kept[place] = sample


class Where(Struct, frozen=True):
    """Where the `n` orders between two percentiles of latency spent their time, on average.

    The percentiles are those of all sampled orders with a latency, as in a table of latencies;
    `unanswered` of them in that band got no answer and are not in the average.
    `hops` are milliseconds by hop and part, from the client down; all of them sum to `latency_ms`.
    `residual_ms` is the mean over orders of what is not accounted for, its share of the latency is
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

    def by_part(self) -> dict[str, float]:
        """Milliseconds of each part over all hops, in the order of PARTS."""
        return {
            part: sum(values.get(part, 0.0) for values in self.hops.values())
            for part in PARTS
            if any(part in values for values in self.hops.values())
        }


class Attribution(Struct, frozen=True):
    """The median and a slow order.

    Of `sampled` orders `kept` were kept, drawn evenly; of these `told` told their time in full and
    `unanswered` got no answer within their timeout. Where most of a band got none there is no
    order to tell of, and `median_unanswered` or `slow_unanswered` says so.
    """

    sampled: int
    kept: int
    told: int
    unanswered: int
    median: Where | None
    slow: Where | None
    median_unanswered: bool = False
    slow_unanswered: bool = False


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
    )


class Told(NamedTuple):
    """One order's latency by hop and part; `unaccounted_ms` sums pieces without their sign."""

    latency_ms: float
    hops: Parts
    unaccounted_ms: float


def told(sample: Sample) -> Told | None:
    """Where one order spent its time; None when its record does not tell it in full."""
    record = parse(sample.timing)
    if not record or not all({"dur", "em", "trabalho"} <= hop.keys() for hop in record.values()):
        return None
    each = list(record.items())
    client = {
        "atraso": _ms(sample.sent_ns - sample.intended_ns),
        "consultas": _ms(sample.end_ns - sample.replied_ns),
    }
    call_ms = _ms(sample.replied_ns - sample.sent_ns)
    way, pieces = _transport(call_ms, _ms(sample.sent_ns), each[0][1])
    hops = {CLIENT: client | way}
    for index, (name, said) in enumerate(each):
        own: dict[str, float] = {part: said[part] for part in _OWN if part in said}
        if "banco" in said:
            # The commit lies within, but for what was over before the caller began to wait.
            own["commit"] = min(said.get("commit", 0.0), said["banco"])
            own["banco"] = said["banco"] - own["commit"]
        waited = said.get("proximo", 0.0)
        left = said["dur"] - sum(own.values()) - waited
        below = each[index + 1][1] if index + 1 < len(each) else None
        if below is not None:
            way, unaccounted = _transport(waited, said.get("saida", below["em"]), below)
            own |= way
            pieces += unaccounted
        elif waited:
            own["proximo"] = waited
        own[RESIDUAL] = own.get(RESIDUAL, 0.0) + left
        pieces.append(left)
        hops[name] = own
    latency_ms = _ms(sample.end_ns - sample.intended_ns)
    return Told(latency_ms, hops, sum(abs(piece) for piece in pieces))


def _transport(
    waited_ms: float, left_ms: float, below: dict[str, float]
) -> tuple[dict[str, float], list[float]]:
    """The way to the next hop and back: what the wait for it was longer than its own time.

    A way cannot be shorter than nothing: what would be is not accounted for, and comes beside it in
    pieces.
    """
    there = below["em"] - left_ms
    back = waited_ms - below["dur"] - there
    pieces = [min(0.0, there), min(0.0, back)]
    return {"ida": max(0.0, there), "volta": max(0.0, back), RESIDUAL: sum(pieces)}, pieces


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
    for order in orders:
        for name, values in order.hops.items():
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
            name: {part: round(values[part] / n, 4) for part in PARTS if part in values}
            for name, values in sums.items()
        },
        residual_ms=round(residual / n, 4),
        residual_share=round(residual / n / latency, 6) if latency else 0.0,
        unanswered=unanswered,
    )


def _ms(nanoseconds: int) -> float:
    return nanoseconds / 1e6
