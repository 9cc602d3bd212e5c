"""Whether an arm sustained a rate: the one question that a ladder asks of each of its runs."""

from __future__ import annotations

from collections.abc import Iterable

from loadgen.results.recorder import CELL_NS
from loadgen.study.design.knee import COMPLETED_MIN, Knee, backlog, grows, kept_up, knee
from loadgen.study.records.record import RunRecord


def sustained(run: RunRecord) -> bool:
    """True when a run met its objectives, completed what was offered and let no backlog grow.

    A run that is not valid has shown nothing, and so did not sustain its rate.
    """
    result = run.result
    if result is None or run.status != "ok" or result.offered == 0:
        return False
    if not all(objective.met for objective in result.objectives):
        return False
    # What never came to a terminal answer was not completed, however short the window.
    if result.completed < COMPLETED_MIN * result.offered:
        return False
    first, last = (
        int(at_s * 1e9 / CELL_NS)
        for at_s in (run.cell.warmup_s, run.cell.warmup_s + run.cell.seconds)
    )
    if not kept_up(result.recording, first, last):
        return False
    return not grows(backlog(result.recording)[first:last], result.offered)


def climbed(runs: Iterable[RunRecord]) -> Knee:
    """The knee of one arm, from all runs of its rungs; other runs are passed over."""
    rungs: dict[float, list[bool | None]] = {}
    for run in runs:
        if run.cell.phase == "rung" and run.cell.rate_per_s is not None:
            answer = sustained(run) if run.status == "ok" else None
            rungs.setdefault(run.cell.rate_per_s, []).append(answer)
    return knee(rungs)
