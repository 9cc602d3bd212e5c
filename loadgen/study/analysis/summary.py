"""A results directory in tables: for the eye, at the end of a study. The report tells the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from loadgen.study.analysis.ladder import climbed
from loadgen.study.analysis.statistics import Interval, carried, interval
from loadgen.study.design.cells import name_of
from loadgen.study.design.knee import Knee
from loadgen.study.records.record import Found, RunRecord
from loadgen.study.records.store import discarded, read_manifest, read_runs

Figure = Callable[[RunRecord], float | None]


def show(directory: Path, console: Console) -> None:
    """Print a table of each experiment. Raises ResultsError."""
    manifest = read_manifest(directory)
    by_experiment: dict[str, dict[str, list[RunRecord]]] = {}
    for run in read_runs(directory):
        if run.cell.phase == "search":
            continue
        cells = by_experiment.setdefault(run.cell.experiment, {})
        cells.setdefault(name_of(run.cell), []).append(run)
    for experiment, cells in by_experiment.items():
        console.print(_table(experiment, cells))
        for run in (run for runs in cells.values() for run in runs if run.status != "ok"):
            words = f"{run.id}: {run.status}: {'; '.join(run.reasons)}"
            console.print(words, markup=False, highlight=False, soft_wrap=True)
    for found in manifest.searches:
        own = (
            run
            for runs in by_experiment.get(found.experiment, {}).values()
            for run in runs
            if (run.cell.arm, run.cell.payment_wait_s) == (found.arm, found.payment_wait_s)
        )
        console.print(_searched(found, own), highlight=False, soft_wrap=True)
    if aside := discarded(directory):
        console.print(f"{len(aside)} runs were made again; the first are in runs/discarded")
    if not manifest.complete:
        console.print("this study is not complete", highlight=False)


def _table(experiment: str, cells: dict[str, list[RunRecord]]) -> Table:
    table = Table(
        title=f"{experiment}: geometric means of runs, rates with their 95 % interval",
        box=SIMPLE,
        pad_edge=False,
    )
    table.add_column("cell", overflow="fold")
    for title in ("valid", "orders/s", "p50 ms", "p99 ms", "CPU ms/order", "bytes/order"):
        table.add_column(title, justify="right", no_wrap="/order" not in title)
    for name, runs in sorted(cells.items(), key=_place):
        valid = [run for run in runs if run.status == "ok"]
        rates = figures(valid, lambda run: run.throughput_per_s)
        table.add_row(
            name.removeprefix(f"{experiment}-"),
            f"{len(valid)}/{len(runs)}",
            told(interval(rates)) if rates else "-",
            _mean(valid, lambda run: run.result.latency_ms.p50 if run.result else None),
            _tail(valid),
            _mean(valid, lambda run: run.cpu_ms_per_order),
            _mean(valid, lambda run: run.bytes_per_order),
        )
    return table


def _place(row: tuple[str, list[RunRecord]]) -> tuple[str, int, float, str]:
    """Where a cell's row stands: by arm, by load from the lightest on, then by name."""
    cell = row[1][0].cell
    return cell.arm, cell.concurrency or 0, cell.rate_per_s or 0.0, row[0]


def figures(runs: Iterable[RunRecord], figure: Figure) -> list[float]:
    """A figure of those runs that have a positive one."""
    return [value for run in runs if (value := figure(run)) is not None and value > 0]


def _mean(runs: Sequence[RunRecord], figure: Figure) -> str:
    known = figures(runs, figure)
    return _digits(interval(known).mean) if known else "-"


def _tail(runs: Sequence[RunRecord]) -> str:
    """The 99th percentile, where all runs together have enough orders for one."""
    samples = sum(run.result.latency_ms.samples for run in runs if run.result)
    if not carried(99, samples):
        return "-"
    return _mean(runs, lambda run: run.result.latency_ms.p99 if run.result else None)


def told(found: Interval) -> str:
    """An interval in a few characters; without bounds where there are too few runs.

    It is as wide in ratio to either side: the upper side is told in per cent.
    """
    words = _digits(found.mean)
    return words if found.high is None else f"{words} ±{found.high / found.mean - 1:.0%}"


def _digits(value: float) -> str:
    """Three digits that count, or more before the point."""
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def _searched(found: Found, runs: Iterable[RunRecord]) -> str:
    low, high = found.payment_wait_s
    where = f"{found.experiment}, {found.arm}, payments {low:g} to {high:g} s"
    if found.rate_per_s is None:
        return f"{where}: no rate met the objectives{_doubts(found)}"
    return f"{where}: {_ladder(climbed(runs))}{_doubts(found)}"


def _ladder(knee: Knee) -> str:
    """The knee, with the runs that it rests on."""
    beyond = (
        ""
        if knee.beyond_per_s is None
        else f"; {knee.missed} of {knee.beyond_runs} missed {knee.beyond_per_s:g}"
    )
    if knee.rate_per_s is None:
        return f"no rung was sustained by all its runs{beyond}"
    return f"knee at {knee.rate_per_s:g} orders a second, sustained by {knee.runs} runs{beyond}"


def _doubts(found: Found) -> str:
    """Why the search stopped where it did, when that says nothing of the arm."""
    if not found.doubts:
        return ""
    return f" (at {found.beyond_per_s:g} no run could be believed: {'; '.join(found.doubts)})"
