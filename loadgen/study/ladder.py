"""Whether an arm sustained a rate: the one question that a ladder asks of each of its runs."""

from __future__ import annotations

from loadgen.recorder import CELL_NS
from loadgen.study.knee import COMPLETED_MIN, backlog, grows
from loadgen.study.record import RunRecord


def sustained(run: RunRecord) -> bool:
    """True when a run met its objectives, completed what was offered and let no backlog grow.

    A run that is not valid has shown nothing, and so did not sustain its rate.
    """
    result = run.result
    if result is None or run.status != "ok":
        return False
    if not all(objective.met for objective in result.objectives):
        return False
    if result.offered == 0 or result.completed / result.offered < COMPLETED_MIN:
        return False
    first, last = (
        int(at_s * 1e9 / CELL_NS)
        for at_s in (run.cell.warmup_s, run.cell.warmup_s + run.cell.seconds)
    )
    return not grows(backlog(result.recording)[first:last], result.offered)
