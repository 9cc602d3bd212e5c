"""A whole study from its plan to its end: what comes next, what is there already, what is kept.

Everything that is decided follows from the plan, its seed and the runs that are complete, so a
study that was interrupted goes on as if it had not been.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from common.shop.generator import Opcoes, gerar
from loadgen.machine.disk import memory_disk
from loadgen.machine.environment import environment
from loadgen.study.analysis.ladder import sustained
from loadgen.study.design.cells import Hunt, Task, climbs, hunts, step, tasks
from loadgen.study.design.commands import SHOP_DAY, SHOP_PRODUCTS, SHOP_SEED
from loadgen.study.design.duration import climb_seconds, hunt_seconds, seconds_of
from loadgen.study.design.knee import Search
from loadgen.study.execution.progress import Progress
from loadgen.study.execution.run import Bench, perform
from loadgen.study.records.plan import Study, Wait
from loadgen.study.records.record import FORMAT, Cell, Found, Manifest, RunRecord, Sitting
from loadgen.study.records.store import (
    ResultsError,
    discard,
    finished,
    read_manifest,
    read_run,
    write_manifest,
    write_run,
)

SHOP: Final = "shop.db"
# Below the results while a run is made: its databases, which go with it.
WORK: Final = "work"
DURABILITY: Final = (
    "SQLite, write-ahead log, synchronous=FULL: every answer comes after a flushed commit; commits"
    " are shared by those that wait together, but where a cell's storage is plain"
)

# Fields of the environment that must be the same for runs to be compared. The commit is not among
# them: each run keeps its own.
FIGURES_REST_ON: Final = (
    "processor", "cpu_count", "memory_mb", "platform", "filesystem", "python", "packages",
)  # fmt: skip
# Runs of a rate in a search until it is taken as not sustained.
ATTEMPTS: Final = 2

Perform = Callable[[Task, Bench], Awaitable[RunRecord]]


class Campaign:
    """One study in one results directory; `run` may be cancelled and begun again."""

    def __init__(
        self, directory: Path, manifest: Manifest, progress: Progress, make: Perform = perform
    ) -> None:
        self._directory = directory
        self._manifest = manifest
        self._progress = progress
        self._perform = make
        self._done = finished(directory)
        self.statuses: Counter[str] = Counter()
        self._bench = bench_of(directory, manifest.sittings[-1].commit)

    async def run(self) -> None:
        """Make every run that is not there yet. What was made is kept, however this is left."""
        study = self._manifest.plan
        make_shop(self._bench.shop)
        units = _first_part(study)
        searches: list[Found] = []
        # Which rungs a ladder has is known only after its search; about how long it takes, before.
        climbing_s = sum(climb_seconds(study, hunt) for hunt in hunts(study))
        self._expect(units, hunts(study), climbing_s)
        try:
            for unit in units:
                if isinstance(unit, Hunt):
                    searches.append(await self._hunt(unit))
                else:
                    await self._one(unit)
            self._note(searches=tuple(searches))
            ladders = climbs(study, searches)
            self._expect(ladders, more_s=-climbing_s)
            for task in ladders:
                await self._one(task)
            self._note(complete=True)
        finally:
            self._note(sittings=_ended(self._manifest.sittings))
            shutil.rmtree(self._bench.work, ignore_errors=True)

    def _expect(
        self, units: Sequence[Task | Hunt], searching: Sequence[Hunt] = (), more_s: float = 0.0
    ) -> None:
        """Have the manifest name these runs, and the progress their time and `more_s`."""
        fixed = [unit for unit in units if isinstance(unit, Task)]
        known = set(self._manifest.order)
        more = tuple(task.id for task in fixed if task.id not in known)
        if more:
            self._note(order=self._manifest.order + more)
        todo = [task for task in fixed if task.id not in self._done]
        seconds = sum(seconds_of(task.cell) for task in todo)
        seconds += sum(hunt_seconds(self._manifest.plan, hunt) for hunt in searching)
        self._progress.expect(len(fixed), len(fixed) - len(todo), seconds + more_s)

    async def _hunt(self, hunt: Hunt) -> Found:
        """Look for where the rungs go, run by run; those that are there are not repeated."""
        ladder = hunt.ladder
        search = Search(ladder.first_per_s, ladder.most_per_s, ladder.growth, ladder.resolution)
        doubts: dict[float, tuple[str, ...]] = {}
        while (rate := search.next()) is not None:
            # A run that cannot be believed is asked once more before it bounds the search.
            for attempt in range(1, ATTEMPTS + 1):
                run = await self._step(step(self._manifest.plan, hunt, rate, attempt))
                if run.status == "ok":
                    break
            else:
                doubts[rate] = run.reasons
            search.note(rate, sustained=sustained(run))
        beyond = search.beyond
        return Found(
            ladder.name, hunt.arm, hunt.payment_wait_s, search.sustained, beyond,
            () if beyond is None else doubts.get(beyond, ()),
        )  # fmt: skip

    async def _step(self, task: Task) -> RunRecord:
        """A run of a search: which there are is not known before."""
        if task.id not in self._manifest.order:
            self._note(order=(*self._manifest.order, task.id))
        if task.id not in self._done:
            self._progress.add(1)
        return await self._one(task)

    async def _one(self, task: Task) -> RunRecord:
        """Make a run, or read the one that is there. Raises ResultsError when that is another."""
        if task.id in self._done:
            run = read_run(self._directory, task.id)
            if (run.cell, run.seed) != (task.cell, task.seed):
                raise ResultsError(
                    f"{self._directory}: {task.id} was made from another plan than that of the"
                    " manifest; begin the study in another directory"
                )
            self.statuses[run.status] += 1
            return run
        self._progress.begin(task.id)
        run = await self._perform(task, self._bench)
        write_run(self._directory, run)
        self._done.add(task.id)
        self.statuses[run.status] += 1
        self._progress.end(run, seconds_of(task.cell))
        return run

    def _note(self, **changes: Any) -> None:
        self._manifest = msgspec.structs.replace(self._manifest, **changes)
        write_manifest(self._directory, self._manifest)


def bench_of(directory: Path, commit: str | None) -> Bench:
    """Where the runs of a directory are made."""
    return Bench(directory / WORK, directory / SHOP, memory_disk(directory), commit)


def make_shop(path: Path) -> None:
    """Make the one shop of every run, unless it is there."""
    if not path.exists():
        day = date.fromisoformat(SHOP_DAY)
        gerar(path, Opcoes(produtos=SHOP_PRODUCTS, semente=SHOP_SEED, data=day))


def _first_part(study: Study) -> list[Task | Hunt]:
    """All runs but those that need a search's result, with the searches strewn among them."""
    units: list[Task | Hunt] = list(tasks(study))
    draw = Random(f"searches {study.seed}")
    for hunt in hunts(study):
        units.insert(draw.randint(0, len(units)), hunt)
    return units


def begin(directory: Path, study: Study, command: str) -> Manifest:
    """Begin a study in an empty directory. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    surroundings = environment(directory) | {"command": command}
    manifest = Manifest(
        format=FORMAT,
        preset=study.name,
        plan=study,
        seed=study.seed,
        durability=DURABILITY,
        environment=surroundings,
        order=(),
        sittings=(_sitting(command, surroundings),),
    )
    write_manifest(directory, manifest)
    return manifest


def resume(
    directory: Path, command: str, *, again: bool = False, elsewhere: bool = False
) -> Manifest:
    """Go on with the study of a directory; `again` sets aside runs that failed or are invalid.

    Raises ResultsError, also where machine or packages are not those of the last time, but with
    `elsewhere`.
    """
    manifest = read_manifest(directory)
    surroundings = environment(directory)
    changed = _changed(manifest.sittings[-1].environment, surroundings)
    if changed and not elsewhere:
        raise ResultsError(
            f"{directory} was made elsewhere: {'; '.join(changed)}; its runs and new ones cannot be"
            " compared. Go on there, or give --elsewhere to have both in one study"
        )
    if again:
        manifest = _set_aside(directory, manifest)
    sitting = _sitting(command, surroundings)
    manifest = msgspec.structs.replace(
        manifest, sittings=(*manifest.sittings, sitting), complete=False
    )
    write_manifest(directory, manifest)
    return manifest


def _set_aside(directory: Path, manifest: Manifest) -> Manifest:
    """Discard what cannot be believed, and with a step of a search all that followed from it.

    A run whose audit found violations stays: it says something of the arm, and is the last thing to
    be lost by being made again.
    """
    cells: dict[str, Cell] = {}
    doubtful, dirty = set(), set()
    for run_id in finished(directory):
        run = read_run(directory, run_id)
        cells[run_id] = run.cell
        if run.audit is not None and not run.audit.clean:
            dirty.add(run_id)
        elif run.status != "ok":
            doubtful.add(run_id)
    begun_anew = {_hunted(cells[run_id]) for run_id in doubtful if cells[run_id].phase == "search"}
    followed = {
        run_id
        for run_id, cell in cells.items()
        if cell.phase in {"search", "rung", "recovery"} and _hunted(cell) in begun_anew
    }
    for run_id in (doubtful | followed) - dirty:
        discard(directory, run_id)
    return msgspec.structs.replace(
        manifest,
        # What a search adds it names again; which that is, is not known before.
        order=tuple(run_id for run_id in manifest.order if run_id not in followed - dirty),
        searches=tuple(
            found
            for found in manifest.searches
            if (found.experiment, found.arm, found.payment_wait_s) not in begun_anew
        ),
    )


def _hunted(cell: Cell) -> tuple[str, str, Wait]:
    """What names the search that a cell of a ladder belongs to."""
    return cell.experiment, cell.arm, cell.payment_wait_s


def _sitting(command: str, surroundings: dict[str, Any]) -> Sitting:
    return Sitting(_now(), None, command, surroundings["commit"], surroundings)


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In what two environments differ that a figure depends on, in words."""
    words = []
    for name in FIGURES_REST_ON:
        one, other = before.get(name), now.get(name)
        if one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            names = sorted(key for key in one | other if one.get(key) != other.get(key))
            words += [f"{key} was {one.get(key)} and is {other.get(key)}" for key in names]
        else:
            words.append(f"{name} was {one} and is {other}")
    return words


def _ended(sittings: tuple[Sitting, ...]) -> tuple[Sitting, ...]:
    return (*sittings[:-1], msgspec.structs.replace(sittings[-1], ended=_now()))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
