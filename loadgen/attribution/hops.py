"""One order's time, hop by hop, from the timing record of its answer.

In each order the parts sum to the latency; what no instrument accounts for is a part of its own,
`residuo`. `loadgen.attribution.bands` averages them into a median and a slow order.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Final, NamedTuple

from msgspec import Struct

from common.servicos.protocolo.record import Hop, decode, figures
from loadgen.attribution.earlier import earlier

# One order in so many is asked to tell its time in full. That costs the order itself 10 to 15 % of its
# processor time (measured), which is below 1 % over all of them.
SAMPLE_EVERY: Final = 16
# Orders whose records a process keeps, drawn evenly from all that it sampled; 700 bytes each.
SAMPLES_MAX: Final = 1_000
# Sampled orders that a run wants, so that its median band has ten of them without being widened.
SAMPLES_WANTED: Final = 100

CLIENT: Final = "cliente"
RESIDUAL: Final = "residuo"
# The use of each part's time, in the order of an order's way: the generator sent late; the
# queue for admission; ready but not running; own work; storage up to the commit, and the commit;
# the simulated payment; the way to the next hop and back; earlier attempts at it; a next hop that
# told nothing; asking again after an order that was accepted only; and what is left. `loadgen.attribution.bands`
# splits `ida` and `volta` before they are shown.
MEASURED: Final = (
    "atraso", "fila", "espera", "trabalho", "banco", "commit", "gateway", "ida", "volta",
    "tentativas", "proximo", "consultas", RESIDUAL,
)  # fmt: skip
# Instants in a record, not durations.
_INSTANTS: Final = frozenset({"em", "saida"})
# Parts that a hop measures by itself.
_OWN: Final = ("fila", "espera", "trabalho", "gateway", "tentativas")

# Milliseconds by hop and part.
Parts = dict[str, dict[str, float]]


class Hops:
    """Sums over sampled orders, per service and field; `n` is how many orders they are of."""

    def __init__(self) -> None:
        self._sums: Parts = {}

    def note(self, record: Iterable[Hop]) -> None:
        """Add an order's timing record."""
        for hop in record:
            sums = self._sums.setdefault(hop.service, {"n": 0.0})
            sums["n"] += 1
            for key, value in figures(hop).items():
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
    """One sampled order: its instants (monotonic nanoseconds) and the record of its answer, as text.

    Meant to be sent, sent, first answered, and known to have ended. One that was not answered has
    ended at its timeout. Results keep samples, so `timing` may be of the earlier form.
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

    def hops(self) -> tuple[Hop, ...]:
        """The hops of its record."""
        return decode(self.timing) or earlier(self.timing)

    def lost(self, timeout_ns: int) -> Sample:
        """The same order without an answer: it ended at its timeout, and has no record."""
        end_ns = self.sent_ns + timeout_ns
        return Sample(self.intended_ns, self.sent_ns, end_ns, end_ns, "", answered=False)


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


class Told(NamedTuple):
    """One order's latency by hop and part; `unaccounted_ms` sums pieces without their sign."""

    latency_ms: float
    hops: Parts
    unaccounted_ms: float


def told(sample: Sample) -> Told | None:
    """Where one order spent its time; None when its record does not tell it in full."""
    record = sample.hops()
    if not record or any(hop.inside is None for hop in record):
        return None
    each = [(hop.service, figures(hop)) for hop in record]
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
    """The way to the next hop and back: the wait for that hop less its own time.

    A way cannot be shorter than nothing. The part below nought is not accounted for, and is returned
    in pieces.
    """
    there = below["em"] - left_ms
    back = waited_ms - below["dur"] - there
    pieces = [min(0.0, there), min(0.0, back)]
    return {"ida": max(0.0, there), "volta": max(0.0, back), RESIDUAL: sum(pieces)}, pieces


def _ms(nanoseconds: int) -> float:
    return nanoseconds / 1e6
