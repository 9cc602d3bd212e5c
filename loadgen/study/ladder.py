"""Whether an arm sustained a rate: the one question that a ladder asks of each of its runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from loadgen.recorder import CELL_NS
from loadgen.result import Result
from loadgen.study.knee import COMPLETED_MIN, backlog, grows
from loadgen.study.plan import PlanError
from loadgen.study.record import RunRecord

_PERCENTILES: Final = ("p50", "p90", "p95", "p99", "p999")
_FORM: Final = re.compile(r"(p50|p90|p95|p99|p999|errors)<(\d+(?:\.\d+)?)(ms|s|%)")


class Objective(Struct, frozen=True):
    """A bound that a run must stay below: a percentile in milliseconds, or a share of orders."""

    figure: str
    below: float


def objective(text: str) -> Objective:
    """Parse `p99<500ms`, `p50<0.2s` or `errors<0.1%`. Raises PlanError."""
    found = _FORM.fullmatch(text.replace(" ", ""))
    if found is None or (found[1] == "errors") != (found[3] == "%"):
        raise PlanError(f"an objective is like p99<500ms or errors<0.1%, not {text!r}")
    scale = {"ms": 1.0, "s": 1_000.0, "%": 0.01}[found[3]]
    return Objective(found[1], float(found[2]) * scale)


def missed(result: Result, texts: Sequence[str]) -> list[str]:
    """Those of the objectives that a result misses; a percentile it cannot tell is missed."""
    return [text for text in texts if not _met(result, objective(text))]


def _met(result: Result, wanted: Objective) -> bool:
    if wanted.figure in _PERCENTILES:
        value: float | None = getattr(result.latency_ms, wanted.figure)
        return value is not None and value < wanted.below
    outcomes = result.outcomes
    wrong = sum(outcomes.erro.values()) + outcomes.recusado + outcomes.pendente
    return result.offered > 0 and wrong / result.offered < wanted.below


def sustained(run: RunRecord) -> bool:
    """True when a run met its objectives, completed what was offered and let no backlog grow.

    A run that is not valid has shown nothing, and so did not sustain its rate.
    """
    result = run.result
    if result is None or run.status != "ok" or missed(result, run.cell.objectives):
        return False
    if result.offered == 0 or result.completed / result.offered < COMPLETED_MIN:
        return False
    first, last = (
        int(at_s * 1e9 / CELL_NS)
        for at_s in (run.cell.warmup_s, run.cell.warmup_s + run.cell.seconds)
    )
    return not grows(backlog(result.recording)[first:last], result.offered)
