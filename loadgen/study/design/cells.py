"""What a plan means: its runs, one by one, in an order that spreads every drift over all arms.

Repetitions are blocks: each holds every cell once, shuffled by the seed, so that a study that is
cut off leaves blocks that can be compared, and a machine that grows slow slows all arms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from random import Random
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from common.arms import THREAD_ARMS
from loadgen.study.design.capacity import cycle_s
from loadgen.study.records.plan import (
    BARE_ARMS,
    Curve,
    Experiment,
    Ladder,
    Study,
    Timeline,
    Wait,
)
from loadgen.study.records.record import Cell, Found, Phase

# Orders a second that an arm takes in while all callers come at once.
TAKEN_IN_PER_S: Final = 1_000.0
# Orders that each caller of a closed loop should come to: of a handful no rate can be told.
ORDERS_MIN: Final = 15


class Task(Struct, frozen=True):
    """One run to be made. `seed` is that of its orders: all cells of a repetition share it."""

    id: str
    cell: Cell
    repetition: int
    seed: int


class Hunt(Struct, frozen=True):
    """A ladder's search in one arm: runs that follow from each other."""

    id: str
    ladder: Ladder
    arm: str
    payment_wait_s: Wait


def tasks(study: Study) -> list[Task]:
    """Every run of the curves and timelines, in the order in which they are made."""
    wanted = [
        (cell, repetition)
        for experiment in study.experiments
        if not isinstance(experiment, Ladder)
        for cell in _cells(study, experiment)
        for repetition in range(1, experiment.repetitions + 1)
    ]
    return _in_blocks(study, wanted)


def hunts(study: Study) -> list[Hunt]:
    """Every search of the ladders."""
    found = [
        Hunt(f"{ladder.name}-{arm}-{_wait(wait)}-search", ladder, arm, wait)
        for ladder in _ladders(study)
        for arm, wait in product(ladder.arms, ladder.payment_waits)
    ]
    Random(f"hunts {study.seed}").shuffle(found)
    return found


def step(study: Study, hunt: Hunt, rate: float, attempt: int) -> Task:
    """A run of a search: its rate is in its id, so that no other search takes it for its own."""
    cell = _open(study, hunt.ladder, hunt.arm, hunt.payment_wait_s, phase="search", rate=rate)
    return Task(f"{hunt.id}-{cell.rate_per_s:g}ps-{attempt}", cell, attempt, study.seed + attempt)


def climbs(study: Study, searches: Iterable[Found]) -> list[Task]:
    """The rungs and the overloads of every ladder whose search found where to place them."""
    by_name = {ladder.name: ladder for ladder in _ladders(study)}
    wanted: list[tuple[Cell, int]] = []
    for found in searches:
        middle = found.middle_per_s
        if middle is None:
            continue
        ladder = by_name[found.experiment]
        around = [
            _open(
                study,
                ladder,
                found.arm,
                found.payment_wait_s,
                phase="rung",
                rate=middle * share,
            )
            for share in ladder.rungs
        ]
        wanted += product(around, range(1, ladder.repetitions + 1))
        times = ladder.repetitions if ladder.recoveries is None else ladder.recoveries
        beyond = _recovery(study, ladder, found, middle)
        wanted += product([beyond], range(1, times + 1))
    return _in_blocks(study, wanted)


def _ladders(study: Study) -> Iterator[Ladder]:
    return (each for each in study.experiments if isinstance(each, Ladder))


def _in_blocks(study: Study, wanted: Iterable[tuple[Cell, int]]) -> list[Task]:
    blocks: dict[int, list[Task]] = {}
    for cell, repetition in wanted:
        task = Task(f"{name_of(cell)}-r{repetition}", cell, repetition, study.seed + repetition)
        blocks.setdefault(repetition, []).append(task)
    ordered: list[Task] = []
    for repetition, block in sorted(blocks.items()):
        Random(f"order {study.seed} {repetition}").shuffle(block)
        ordered += block
    return ordered


# --- cells ----------------------------------------------------------------------------------------


def _cells(study: Study, experiment: Curve | Timeline) -> Iterator[Cell]:
    for arm, wait in product(experiment.arms, experiment.payment_waits):
        if isinstance(experiment, Timeline):
            yield _open(
                study, experiment, arm, wait, phase="timeline", rate=experiment.rate_per_s,
                faults=experiment.faults,
            )  # fmt: skip
        else:
            yield from _points(study, experiment, arm, wait)


def _points(study: Study, curve: Curve, arm: str, wait: Wait) -> Iterator[Cell]:
    threads = arm in THREAD_ARMS
    own = curve.concurrency + (() if threads or arm in BARE_ARMS else curve.loop_concurrency)
    # A factor that an arm does not have is one empty choice.
    twins: tuple[Literal["", "A", "B"], ...] = ("A", "B") if curve.twins else ("",)
    for callers, workers, storage, loop, items, twin in product(
        own,
        curve.workers if threads else (None,),
        curve.storages if threads else ("shared",),
        (None,) if threads else curve.event_loops,
        curve.items,
        twins,
    ):
        cell = _cell(
            study, curve, arm, wait, phase="point", loop="closed", concurrency=callers,
            workers=workers, storage=storage, event_loop=loop, items=items, twin=twin,
        )  # fmt: skip
        # A lone caller waits for most of a short run.
        least_s = ORDERS_MIN * sum(wait) / 2 / callers
        yield msgspec.structs.replace(
            cell,
            warmup_s=round(cell.warmup_s + _settling_s(cell), 1),
            seconds=max(cell.seconds, round(least_s, 1)),
        )


def _settling_s(cell: Cell) -> float:
    """Until all callers, who come at once, have been taken in, and each has been answered once.

    Where that would take longer than an order may, it never comes, and is not waited for.
    """
    assert cell.concurrency is not None
    taken_in_s, cycle = cell.concurrency / TAKEN_IN_PER_S, cycle_s(cell)
    return max(taken_in_s, cycle) if cycle < cell.timeout_s else taken_in_s


def _open(
    study: Study,
    experiment: Ladder | Timeline,
    arm: str,
    wait: Wait,
    *,
    phase: Phase,
    rate: float,
    **more: Any,
) -> Cell:
    threads = arm in THREAD_ARMS
    if isinstance(experiment, Ladder):
        more["objectives"] = experiment.objectives
    return _cell(
        study, experiment, arm, wait, phase=phase, loop="open", rate_per_s=_asked(rate),
        workers=experiment.workers if threads else None,
        event_loop=None if threads else "uvloop", **more,
    )  # fmt: skip


def _recovery(study: Study, ladder: Ladder, found: Found, middle: float) -> Cell:
    """Beyond the knee, then at half of it: the warm-up is part of the first."""
    beyond, half = _asked(middle * ladder.overload), _asked(middle / 2)
    first = (beyond, _warmup_s(study, ladder) + ladder.overload_s)
    return _open(
        study, ladder, found.arm, found.payment_wait_s, phase="recovery", rate=beyond,
        steps=(first, (half, ladder.recovery_s)),
        seconds=ladder.overload_s + ladder.recovery_s,
    )  # fmt: skip


def _asked(rate: float) -> float:
    """A rate to three digits that count: it is typed again by whoever repeats the run."""
    return float(f"{rate:.3g}")


def _cell(study: Study, experiment: Experiment, arm: str, wait: Wait, **more: Any) -> Cell:
    values: dict[str, Any] = {
        "experiment": experiment.name,
        "arm": arm,
        "protocol": "grpc" if "grpc" in arm else "http",
        "io_model": "threads" if arm in THREAD_ARMS else "loop",
        "bare": arm in BARE_ARMS,
        "payment_wait_s": wait,
        "concurrency": None,
        "rate_per_s": None,
        "steps": (),
        "items": (1, 5),
        "storage": "shared",
        "faults": (),
        "objectives": (),
        "twin": "",
        "warmup_s": _warmup_s(study, experiment),
        "seconds": study.seconds if experiment.seconds is None else experiment.seconds,
        "timeout_s": study.timeout_s if experiment.timeout_s is None else experiment.timeout_s,
    }
    return Cell(**(values | more))


def _warmup_s(study: Study, experiment: Experiment) -> float:
    return study.warmup_s if experiment.warmup_s is None else experiment.warmup_s


def name_of(cell: Cell) -> str:
    """A cell in a few words that a file can be named by; no two cells of a plan share one."""
    load = f"c{cell.concurrency}" if cell.rate_per_s is None else f"{cell.rate_per_s:g}ps"
    words = [cell.experiment, cell.arm, _wait(cell.payment_wait_s), load]
    if cell.phase in {"rung", "recovery"}:
        words.insert(1, cell.phase)
    if cell.workers is not None:
        words.append(f"w{cell.workers}")
    if cell.storage != "shared":
        words.append(cell.storage)
    if cell.event_loop == "asyncio":
        words.append("asyncio")
    if cell.items != (1, 5):
        words.append("i{}-{}".format(*cell.items))
    if cell.twin:
        words.append(cell.twin)
    return "-".join(words)


def _wait(wait: Wait) -> str:
    return f"p{wait[0]:g}-{wait[1]:g}" if wait[1] else "p0"
