"""Objectives: what a run is asked to reach, such as `p99<500ms` or `errors<0.1%`.

An objective is a figure, a comparison and a value with its unit. Latencies count from the intended
instant; `service-` before one takes the service time. A figure that a run does not have (a p99.9
under ten thousand samples, a goodput after a failed audit) meets no objective.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

LATENCIES: Final = ("mean", "p50", "p90", "p95", "p99", "p999", "max")
RATES: Final = ("throughput", "goodput")
# Of what was offered: without a terminal answer, unsent ones too, and with one.
SHARES: Final = ("errors", "completed")
_COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
# Factor from each unit to that of the figure: milliseconds, a second, or a share of one.
_LATENCY_UNITS: Final = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_RATE_UNITS: Final = {"/s": 1.0}
_SHARE_UNITS: Final = {"%": 0.01}
UNITS: Final[dict[str, dict[str, float]]] = (
    dict.fromkeys(LATENCIES, _LATENCY_UNITS)
    | {f"service-{name}": _LATENCY_UNITS for name in LATENCIES}
    | dict.fromkeys(RATES, _RATE_UNITS)
    | dict.fromkeys(SHARES, _SHARE_UNITS)
)
_FORM: Final = re.compile(r"\s*([a-z0-9-]+)\s*(<=|>=|<|>)\s*(\d+(?:\.\d+)?)\s*([a-z/%]*)\s*")

GRAMMAR: Final = (
    f"FIGURE<VALUE (or <=, >, >=): {', '.join(LATENCIES)}, or service- before one of these, in us,"
    f" ms or s; {', '.join(RATES)} in /s; {', '.join(SHARES)} in %"
)


class ObjectiveError(ValueError):
    """A text that is no objective; the message says what one is."""


class Objective(Struct, frozen=True):
    """One objective, as it was written and in the unit of its figure."""

    text: str
    figure: str
    comparison: str
    bound: float

    def met_by(self, value: float | None) -> bool:
        """True when a figure is there and within the bound."""
        return value is not None and _COMPARISONS[self.comparison](value, self.bound)


class Judged(Struct, frozen=True):
    """An objective and what came of it; `value` in milliseconds, a second or as a share of one."""

    text: str
    figure: str
    value: float | None
    met: bool


def parse_objective(text: str) -> Objective:
    """Read an objective. Raises ObjectiveError."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise ObjectiveError(f"{text!r} is no objective; expected {GRAMMAR}")
    figure, comparison, number, unit = found.groups()
    if figure not in UNITS:
        raise ObjectiveError(f"{text!r}: there is no figure {figure!r}; expected {GRAMMAR}")
    units = UNITS[figure]
    if unit not in units:
        raise ObjectiveError(f"{text!r}: {figure} is given in {' or '.join(units)}")
    return Objective(text.strip(), figure, comparison, float(number) * units[unit])


def judged(objectives: Sequence[Objective], figures: Mapping[str, float | None]) -> list[Judged]:
    """What came of each objective, by figures in the units that `Judged` says."""
    return [
        Judged(each.text, each.figure, value, each.met_by(value))
        for each in objectives
        for value in [figures[each.figure]]
    ]
