"""About how long runs, searches and whole studies take: said before they start, never relied on."""

from __future__ import annotations

from typing import Final

from loadgen.study.design.capacity import ceiling_per_s, expected_per_s
from loadgen.study.design.cells import Hunt, climbs, hunts, step, tasks
from loadgen.study.design.knee import Search
from loadgen.study.records.plan import Study
from loadgen.study.records.record import Cell, Found

# Seconds of a start, and of the audit with a stop, on two cores.
START_S: Final = 1.5
END_S: Final = 1.5


def seconds_of(cell: Cell) -> float:
    """About how long a run takes from its start to the end of its audit."""
    return START_S + cell.warmup_s + cell.seconds + _tail_s(cell) + END_S


def _tail_s(cell: Cell) -> float:
    """Until the last orders are answered: all that were waiting when the time was over."""
    slowest_s = cell.payment_wait_s[1]
    if cell.concurrency is None:
        return slowest_s
    return min(cell.timeout_s, max(slowest_s, cell.concurrency / expected_per_s(cell)))


def estimate_s(study: Study) -> float:
    """About how long a study takes, if its searches find what the arms are taken to do."""
    total = sum(seconds_of(task.cell) for task in tasks(study))
    for hunt in hunts(study):
        total += hunt_seconds(study, hunt) + climb_seconds(study, hunt)
    return total


def hunt_seconds(study: Study, hunt: Hunt) -> float:
    """About how long a search takes."""
    run = step(study, hunt, hunt.ladder.first_per_s, 1)
    return _searched(study, hunt).steps * seconds_of(run.cell)


def climb_seconds(study: Study, hunt: Hunt) -> float:
    """About how long the ladder takes that a search is made for."""
    search = _searched(study, hunt)
    found = Found(hunt.ladder.name, hunt.arm, hunt.payment_wait_s, search.sustained, search.beyond)
    return sum(seconds_of(task.cell) for task in climbs(study, [found]))


def _searched(study: Study, hunt: Hunt) -> Search:
    """A search made in thought, in an arm that does what it is taken to."""
    ladder = hunt.ladder
    cell = step(study, hunt, ladder.first_per_s, 1).cell
    ceiling = ceiling_per_s(cell.arm, sum(cell.payment_wait_s) / 2, cell.workers)
    search = Search(ladder.first_per_s, ladder.most_per_s, ladder.growth, ladder.resolution)
    while (rate := search.next()) is not None:
        search.note(rate, sustained=rate <= ceiling)
    return search
