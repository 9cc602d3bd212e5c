"""Where the time of an order went, hop by hop, from the one timing record of its answer."""

from __future__ import annotations

from typing import Final

# One order in so many is looked at: reading every record would cost more than the order itself.
SAMPLE_EVERY: Final = 8


def parse(timing: str) -> dict[str, dict[str, float]]:
    """A Server-Timing text as {service: {field: milliseconds}}; what is not a number is left out."""
    hops: dict[str, dict[str, float]] = {}
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
        self._sums: dict[str, dict[str, float]] = {}
        self._countdown = 1

    def note(self, timing: str) -> None:
        """Add an order's timing record, if its turn to be sampled has come."""
        self._countdown -= 1
        if self._countdown or not timing:
            self._countdown = max(self._countdown, 1)
            return
        self._countdown = SAMPLE_EVERY
        for name, values in parse(timing).items():
            sums = self._sums.setdefault(name, {"n": 0.0})
            sums["n"] += 1
            for key, value in values.items():
                sums[key] = sums.get(key, 0.0) + value

    def sums(self) -> dict[str, dict[str, float]]:
        """The sums so far."""
        return {name: dict(values) for name, values in self._sums.items()}


def means(sums: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Mean milliseconds per service and field."""
    return {
        name: {key: round(value / values["n"], 4) for key, value in values.items() if key != "n"}
        for name, values in sums.items()
        if values["n"]
    }
