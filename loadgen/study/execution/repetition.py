"""One run of a study made again by itself: the exact command behind any single figure."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from loadgen.machine.environment import environment
from loadgen.study.design.cells import Task
from loadgen.study.execution.campaign import Perform, begin, bench_of, make_shop
from loadgen.study.execution.run import Bench, perform
from loadgen.study.records.plan import Study
from loadgen.study.records.record import RunRecord
from loadgen.study.records.store import (
    ResultsError,
    finished,
    read_manifest,
    read_run,
    write_manifest,
    write_run,
)


def read_only(source: Path, run_id: str) -> RunRecord:
    """The run that is to be made again. Raises ResultsError, also when there is none of that name."""
    read_manifest(source)
    if run_id not in finished(source):
        raise ResultsError(
            f"{source} has no complete run {run_id!r}; its runs are the files of {source / 'runs'}"
        )
    return read_run(source, run_id)


def _made_ready(directory: Path) -> Bench:
    directory.mkdir(parents=True, exist_ok=True)
    bench = bench_of(directory, environment(directory)["commit"])
    make_shop(bench.shop)
    return bench


async def repeat(
    source: Path, first: RunRecord, directory: Path, command: str, make: Perform = perform
) -> RunRecord:
    """Make a run of a results directory again, into another one. Raises OSError.

    Nothing that looks like a study is left where it is cut off.
    """
    bench = _made_ready(directory)
    try:
        run = await make(Task(first.id, first.cell, first.repetition, first.seed), bench)
    finally:
        shutil.rmtree(bench.work, ignore_errors=True)
    plan = read_manifest(source).plan
    study = Study(
        name="only",
        experiments=tuple(each for each in plan.experiments if each.name == first.cell.experiment),
        seed=plan.seed,
        limits=(f"one run, made again: {first.id}",),
    )
    manifest = begin(directory, study, command)
    write_run(directory, run)
    write_manifest(directory, msgspec.structs.replace(manifest, order=(run.id,), complete=True))
    return run
