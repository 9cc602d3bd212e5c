"""Where the time of an order went, hop by hop, from the one timing record of its answer.

Percentiles do not add up, so the parts of "the median order" are those of real orders: the sampled
ones in a narrow band around that percentile of latency, averaged. In each of them, and so in the
average, the parts sum to the latency; what no instrument accounts for is a part of its own,
`residuo`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec import Struct

# One order in so many is asked to tell its time in full. That costs the order itself 10 to 15 % of its
# processor time (measured), which is below 1 % over all of them.
SAMPLE_EVERY: Final = 16
# Orders whose records a process keeps, drawn evenly from all that it sampled; 700 bytes each.
SAMPLES_MAX: Final = 1_000
# Percentiles between which an order counts as a median or as a slow one.
MEDIAN_BAND: Final = (45.0, 55.0)
SLOW_BAND: Final = (98.5, 99.5)
# Orders. Fewer have no such band.
SAMPLES_MIN: Final = 10
SLOW_SAMPLES_MIN: Final = 100

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

    Meant to be sent, sent, first answered, and known to have ended.
    """

    intended_ns: int
    sent_ns: int
    replied_ns: int
    end_ns: int
    timing: str


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

    def by_part(self) -> dict[str, float]:
        """Milliseconds of each part over all hops, in the order of PARTS."""
        return {
            part: sum(values.get(part, 0.0) for values in self.hops.values())
            for part in PARTS
            if any(part in values for values in self.hops.values())
        }


class Attribution(Struct, frozen=True):
    """The median and a slow order; `sampled` orders were looked at, `told` told their time in full."""

    sampled: int
    told: int
    median: Where | None
    slow: Where | None


def attribution(samples: Sequence[Sample], sampled: int) -> Attribution | None:
    """Where sampled orders spent their time; None when none was sampled."""
    if not sampled:
        return None
    orders = sorted(
        (order for each in samples if (order := told(each))), key=lambda order: order.latency_ms
    )
    return Attribution(
        sampled=sampled,
        told=len(orders),
        median=_where(orders, MEDIAN_BAND) if len(orders) >= SAMPLES_MIN else None,
        slow=_where(orders, SLOW_BAND) if len(orders) >= SLOW_SAMPLES_MIN else None,
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


def _where(ranked: Sequence[Told], band: tuple[float, float]) -> Where:
    """The average of the orders in a band; `ranked` is sorted by latency."""
    first = int(len(ranked) * band[0] / 100)
    last = max(first + 1, int(len(ranked) * band[1] / 100))
    orders = ranked[first:last]
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
        percentiles=band,
        n=n,
        latency_ms=round(latency, 4),
        hops={
            name: {part: round(values[part] / n, 4) for part in PARTS if part in values}
            for name, values in sums.items()
        },
        residual_ms=round(residual / n, 4),
        residual_share=round(residual / n / latency, 6) if latency else 0.0,
    )


def _ms(nanoseconds: int) -> float:
    return nanoseconds / 1e6
