"""The committed results: what the README says of them is what they say."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from common import ROOT
from loadgen.study.analysis.statistics import interval
from loadgen.study.records.record import RunRecord
from loadgen.study.records.store import finished, read_manifest, read_run

RESULTS: Final = ROOT / "results" / "2026-11-23-standard"
SECTION: Final = (
    (ROOT / "README.md").read_text(encoding="utf-8").split("## What came out")[1].split("\n## ")[0]
)
_FIGURE: Final = re.compile(r"[\d.,]+")


def runs_of(experiment: str, arm: str, load: str) -> list[RunRecord]:
    """The valid runs of one cell."""
    begin = f"{experiment}-{arm}-{load}-r"
    found = [
        read_run(RESULTS, name)
        for name in sorted(finished(RESULTS))
        if name.startswith(begin) and name.removeprefix(begin).isdecimal()
    ]
    assert found
    return [run for run in found if run.status == "ok"]


def mean(runs: list[RunRecord], figure: Callable[[RunRecord], float | None]) -> float:
    """The geometric mean of a figure that every run has."""
    values = [figure(run) for run in runs]
    return interval([value for value in values if value is not None]).mean


def median_ms(run: RunRecord) -> float | None:
    """Its median latency."""
    return None if run.result is None else run.result.latency_ms.p50


def said(text: str) -> float:
    """The first number of a cell."""
    found = _FIGURE.search(text)
    assert found is not None, text
    return float(found[0].replace(",", ""))


def agrees(text: str, figure: float) -> bool:
    """Whether a number in a text is this figure, to the digits that it is said with."""
    number = _FIGURE.search(text)
    assert number is not None, text
    digits = len(number[0].partition(".")[2])
    return abs(said(text) - figure) <= 0.5 * 10.0**-digits + 1e-9


def rows() -> list[list[str]]:
    """The README's table, a list of cells a row, without its head."""
    lines = [line for line in SECTION.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_a_row_is_what_its_runs_come_to(row: list[str]) -> None:
    name, rate, median, cpu = row
    arm = name.split("`")[1]
    threads = "-w10" if "10 threads" in name else "-w200" if "threads" in arm else ""
    experiment = "workers" if threads == "-w10" else "grid"
    runs = runs_of(experiment, arm, f"p0.5-1.5-c1000{threads}")
    rates = [run.throughput_per_s for run in runs]
    found = interval([value for value in rates if value is not None])
    assert len(runs) == (3 if "three runs" in name else 5)
    assert agrees(rate, found.mean)
    if "(" in rate:
        low, high = rate.split("(")[1].split(" to ")
        assert found.low is not None
        assert found.high is not None
        assert agrees(low, found.low)
        assert agrees(high, found.high)
    if median != "-":
        assert agrees(median, mean(runs, median_ms) / 1e3)
    assert agrees(cpu, mean(runs, lambda run: run.cpu_ms_per_order))


def test_the_factors_are_those_of_the_runs() -> None:
    """The ratios and single figures in the sentences under the table."""

    def rate(experiment: str, arm: str, load: str) -> float:
        return mean(runs_of(experiment, arm, load), lambda run: run.throughput_per_s)

    def bytes_of(arm: str, load: str) -> float:
        return mean(runs_of("grid-no-wait", arm, load), lambda run: run.bytes_per_order)

    def median_of(arm: str, load: str) -> float:
        return mean(runs_of("grid-no-wait", arm, load), median_ms)

    crowd, ten = "p0.5-1.5-c1000", "p0.5-1.5-c1000-w10"
    most, alone = "p0.5-1.5-c1000-w1000", "p0-c1-w200"
    many, many_threads = "p0-c4000", "p0-c4000-w200"
    figures = {
        r"(\d+) times as much in gRPC": rate("grid", "grpc", crowd)
        / rate("workers", "grpc-threads", ten),
        r"(\d+) times in REST": rate("grid", "http", crowd) / rate("workers", "http-threads", ten),
        r"1,000 threads (\d+) \(gRPC\)": rate("workers-most", "grpc-threads", most),
        r"and (\d+) \(REST\) orders": rate("workers-most", "http-threads", most),
        r"gRPC sends ([\d.]+) times": bytes_of("grpc", many) / bytes_of("http", many),
        r"and ([\d.]+) times on threads": bytes_of("grpc-threads", many_threads)
        / bytes_of("http-threads", many_threads),
        r"REST ends ([\d.]+) times": rate("grid-no-wait", "http", many)
        / rate("grid-no-wait", "grpc", many),
        r"on threads gRPC ([\d.]+) times": rate("grid-no-wait", "grpc-threads", many_threads)
        / rate("grid-no-wait", "http-threads", many_threads),
        r"takes ([\d.]+) ms \(`http`\)": median_of("http", "p0-c1"),
        r"([\d.]+) ms \(`grpc`, `grpc-threads`\)": median_of("grpc", "p0-c1"),
        r"or ([\d.]+) ms \(`http-threads`\)": median_of("http-threads", alone),
    }
    for pattern, figure in figures.items():
        found = re.search(pattern, SECTION)
        assert found is not None, pattern
        assert agrees(found[1], figure), (pattern, figure)


def test_the_counts_are_those_of_the_directory() -> None:
    kept = sorted(finished(RESULTS))
    runs = [read_run(RESULTS, name) for name in kept]
    audited = [run.audit for run in runs if run.audit is not None]
    assert set(kept) == set(read_manifest(RESULTS).order)
    assert all(audit.clean for audit in audited)
    assert said(SECTION.split("standard):")[1]) == len(runs)
    assert f"{len(audited)} of them were audited" in SECTION
    orders = sum(sum(audit.orders.values()) for audit in audited)
    assert f"{orders:,} orders without a violation" in SECTION


def test_what_the_readme_shows_is_there() -> None:
    for path in re.findall(r"\]\((relatorio/[^)]+|results/[^)]+)\)", SECTION):
        assert (ROOT / Path(path)).exists(), path
