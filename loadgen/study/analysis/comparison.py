"""Two results of one plan: do they rank the arms alike wherever their intervals do not overlap?"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from loadgen.study.analysis.statistics import ranking
from loadgen.study.analysis.summary import figures
from loadgen.study.design.cells import name_of
from loadgen.study.records.record import RunRecord
from loadgen.study.records.store import ResultsError, read_manifest, read_runs

# For each load and wait, by cell: orders a second of its runs.
Rates = dict[str, dict[str, list[float]]]


def compare_directories(one: Path, other: Path, console: Console) -> int:
    """Print which pairs of arms each result tells apart; returns how many it tells otherwise.

    Raises ResultsError, also when the two have no load in common.
    """
    _warn_of_differences(one, other, console)
    first, second = _rates(one), _rates(other)
    common = sorted(first.keys() & second.keys())
    if not common:
        raise ResultsError(f"{one} and {other} have no load in common")
    contradictions = agreed = 0
    for load in common:
        pairs, others = set(ranking(first[load])), set(ranking(second[load]))
        reversed_pairs = sorted(pair for pair in pairs if (pair[1], pair[0]) in others)
        agreed += len(pairs & others)
        contradictions += len(reversed_pairs)
        for faster, slower in reversed_pairs:
            console.print(
                f"{load}: {faster} is above {slower} in {one} and below it in {other}",
                highlight=False, soft_wrap=True,
            )  # fmt: skip
    console.print(
        f"{len(common)} loads: {agreed} pairs of arms ranked alike, {contradictions} otherwise",
        highlight=False,
    )
    return contradictions


def _warn_of_differences(one: Path, other: Path, console: Console) -> None:
    """Say in what the two were not made alike."""
    first, second = read_manifest(one), read_manifest(other)
    differences = [
        name
        for name, left, right in (
            ("plan", first.plan, second.plan),
            ("commit", first.environment["commit"], second.environment["commit"]),
            ("processor", first.environment["processor"], second.environment["processor"]),
        )
        if left != right
    ]
    if differences:
        console.print(f"note: they differ in {', '.join(differences)}", highlight=False)


def _rates(directory: Path) -> Rates:
    """Closed-loop rates: in the open loop the rate is what was asked for."""
    runs: dict[str, dict[str, list[RunRecord]]] = {}
    for run in read_runs(directory):
        if run.cell.loop == "closed" and not run.cell.twin:
            # By cell: an arm with ten workers is not the same as with a thousand.
            arms = runs.setdefault(_load(run), {})
            arms.setdefault(name_of(run.cell), []).append(run)
    return {
        load: {
            arm: rates
            for arm, each in arms.items()
            if (rates := figures(each, lambda run: run.throughput_per_s))
        }
        for load, arms in runs.items()
    }


def _load(run: RunRecord) -> str:
    """What a run has in common with those of the other arms."""
    cell = run.cell
    low, high = cell.payment_wait_s
    lines = "{} to {}".format(*cell.items)
    return (
        f"{cell.experiment}, {cell.concurrency} callers, payments {low:g}:{high:g} s, {lines} lines"
    )
