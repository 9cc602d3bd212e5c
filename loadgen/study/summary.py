"""A results directory in tables: for the eye, at the end of a study. The report tells the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from loadgen.study.cells import name_of
from loadgen.study.record import Found, RunRecord, read_manifest, read_runs
from loadgen.study.statistics import Interval, interval

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
    for found in manifest.searches:
        console.print(_searched(found), highlight=False, soft_wrap=True)
    if not manifest.complete:
        console.print("this study is not complete", highlight=False)


def _table(experiment: str, cells: dict[str, list[RunRecord]]) -> Table:
    table = Table(title=f"{experiment}: geometric means of runs, with 95 % intervals")
    table.add_column("cell")
    for title in ("valid", "orders/s", "p50 ms", "p99 ms", "CPU ms/order", "bytes/order"):
        table.add_column(title, justify="right")
    for name, runs in sorted(cells.items()):
        valid = [run for run in runs if run.status == "ok"]
        table.add_row(
            name.removeprefix(f"{experiment}-"),
            f"{len(valid)}/{len(runs)}",
            _words(valid, lambda run: run.throughput_per_s),
            _words(valid, lambda run: run.result.latency_ms.p50 if run.result else None),
            _words(valid, lambda run: run.result.latency_ms.p99 if run.result else None),
            _words(valid, lambda run: run.cpu_ms_per_order),
            _words(valid, lambda run: run.bytes_per_order),
        )
    return table


def figures(runs: Iterable[RunRecord], figure: Figure) -> list[float]:
    """A figure of those runs that have a positive one."""
    return [value for run in runs if (value := figure(run)) is not None and value > 0]


def _words(runs: Sequence[RunRecord], figure: Figure) -> str:
    known = figures(runs, figure)
    return told(interval(known)) if known else "-"


def told(found: Interval) -> str:
    """An interval in a few characters; without bounds where there are too few runs."""
    digits = 0 if found.mean >= 100 else 1 if found.mean >= 10 else 2
    if found.low is None or found.high is None:
        return f"{found.mean:,.{digits}f}"
    return f"{found.mean:,.{digits}f} ({found.low:,.{digits}f}-{found.high:,.{digits}f})"


def _searched(found: Found) -> str:
    low, high = found.payment_wait_s
    where = f"{found.experiment}, {found.arm}, payments {low:g} to {high:g} s"
    if found.rate_per_s is None:
        return f"{where}: no rate met the objectives"
    beyond = "" if found.beyond_per_s is None else f", {found.beyond_per_s:.1f} missed one"
    return f"{where}: {found.rate_per_s:.1f} orders a second met the objectives{beyond}"
