"""Results directories, read and reduced to what the report needs: groups of repeated runs.

Recordings stay on the disk once a run's percentiles were taken from them, so that memory grows with
the number of runs and not with that of orders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
from hdrh.histogram import HdrHistogram

from loadgen.results.histograms import decoded
from loadgen.results.percentiles import P999_SAMPLES
from loadgen.study.analysis.statistics import carried
from loadgen.study.records.plan import Curve, Experiment, Ladder, Timeline
from loadgen.study.records.record import Cell, Manifest, RunRecord
from loadgen.study.records.store import ResultsError, discarded, finished, read_manifest, read_run

# What two studies must share for their runs to be compared: the machine, the code, the way of
# storing. Each is the path of a field of the manifest.
SHARED: Final = (
    ("a versão do código", ("environment", "commit")),
    ("o processador", ("environment", "processor")),
    ("o número de processadores", ("environment", "cpu_count")),
    ("a memória", ("environment", "memory_mb")),
    ("o sistema", ("environment", "platform")),
    ("o sistema de arquivos", ("environment", "filesystem")),
    ("a versão do Python", ("environment", "python")),
    ("as versões dos pacotes", ("environment", "packages")),
    ("o conjunto de experimentos", ("preset",)),
    ("o modo de durabilidade", ("durability",)),
)
# Shares of orders at which the spectrum is drawn: each nine has as much room as the one before.
SPECTRUM: Final = (
    5, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 96, 97, 98, 99, 99.5, 99.9, 99.95, 99.99,
)  # fmt: skip


class MixedResultsError(Exception):
    """Directories whose runs must not be compared; the message is one line."""


@dataclass
class Group:
    """The repetitions of one cell, and their latencies merged exactly into one histogram."""

    cell: Cell
    runs: list[RunRecord] = field(default_factory=list)
    latency: HdrHistogram | None = None
    # Where each run was read from.
    directories: list[Path] = field(default_factory=list)

    @property
    def believed_in(self) -> list[tuple[Path, RunRecord]]:
        """The runs whose figures may be believed, with the results directory of each."""
        pairs = zip(self.directories, self.runs, strict=True)
        return [(directory, run) for directory, run in pairs if run.status == "ok"]

    @property
    def believed(self) -> list[RunRecord]:
        """The runs whose figures may be believed."""
        return [run for run in self.runs if run.status == "ok"]

    @property
    def samples(self) -> int:
        """Latencies in the merged histogram."""
        return self.latency.get_total_count() if self.latency is not None else 0

    @property
    def latencies(self) -> int:
        """Latencies of all runs that may be believed."""
        return sum(run.result.latency_ms.samples for run in self.believed if run.result)

    def spectrum(self) -> list[tuple[float, float]]:
        """(percentile, milliseconds) as far as the number of samples carries.

        A percentile needs ten samples beyond it; none past the 99th under P999_SAMPLES.
        """
        if self.latency is None or not self.samples:
            return []
        shares = [
            share
            for share in SPECTRUM
            if carried(share, self.samples) and (share <= 99.5 or self.samples >= P999_SAMPLES)
        ]
        return [(share, self.latency.get_value_at_percentile(share) / 1e3) for share in shares]


@dataclass(frozen=True)
class Source:
    """One results directory: its manifest, and what of its runs is there."""

    directory: Path
    manifest: Manifest
    missing: int
    statuses: dict[str, int]
    # Runs that were made again, or whose search was.
    discarded: int = 0


@dataclass(frozen=True)
class Gathered:
    """Everything that a report is made from. `differences` are words on what does not agree."""

    sources: tuple[Source, ...]
    groups: tuple[Group, ...]
    differences: tuple[str, ...]

    @property
    def manifest(self) -> Manifest:
        """The first directory's."""
        return self.sources[0].manifest

    @property
    def runs(self) -> list[RunRecord]:
        """Every run that is there, whatever became of it."""
        return [run for group in self.groups for run in group.runs]

    @property
    def orders(self) -> int:
        """Orders that ended in the measured windows of runs that may be believed."""
        return sum(
            run.result.completed
            for run in self.runs
            if run.status == "ok" and run.result is not None
        )

    @property
    def commits(self) -> list[str]:
        """The versions of the code that runs were made with."""
        return sorted({run.commit for run in self.runs if run.commit})

    def experiments(self, kind: type[Experiment] | None = None) -> list[Experiment]:
        """The experiments of the plans, each name once."""
        every = [each for source in self.sources for each in source.manifest.plan.experiments]
        named = {each.name: each for each in every}
        return [each for each in named.values() if kind is None or isinstance(each, kind)]

    def curves(self) -> list[Curve]:
        """The closed-loop experiments."""
        return [each for each in self.experiments() if isinstance(each, Curve)]

    def ladders(self) -> list[Ladder]:
        """The open-loop ladders."""
        return [each for each in self.experiments() if isinstance(each, Ladder)]

    def timelines(self) -> list[Timeline]:
        """The fault timelines."""
        return [each for each in self.experiments() if isinstance(each, Timeline)]

    def select(self, **wanted: Any) -> list[Group]:
        """The groups whose cell has these values."""
        return [
            group
            for group in self.groups
            if all(getattr(group.cell, name) == value for name, value in wanted.items())
        ]


def gather(
    directories: Sequence[Path],
    *,
    mix: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Gathered:
    """Read every run of the directories, one at a time.

    Raises ResultsError for what cannot be read or holds no run, and MixedResultsError when the
    directories differ in what SHARED names, unless `mix` says that the reader wants that. `on_progress`
    is told how many runs of how many were read.
    """
    manifests = [read_manifest(directory) for directory in directories]
    differences = tuple(_differences(manifests))
    if differences and not mix:
        names = ", ".join(map(str, directories))
        raise MixedResultsError(
            f"{names} cannot be compared: they differ in {'; '.join(differences)};"
            " report each by itself, or give --mix to put them together with a warning"
        )
    complete = [finished(directory) for directory in directories]
    total = sum(map(len, complete))
    groups: dict[tuple[Cell, Path | None], Group] = {}
    sources, done = [], 0
    for directory, manifest, there in zip(directories, manifests, complete, strict=True):
        statuses: dict[str, int] = {}
        for run in _runs(directory, manifest, there):
            # Runs that must not be compared are not repetitions of each other either.
            key = (run.cell, directory if differences else None)
            group = groups.setdefault(key, Group(run.cell))
            _add(group, run)
            group.directories.append(directory)
            statuses[run.status] = statuses.get(run.status, 0) + 1
            done += 1
            if on_progress is not None:
                on_progress(done, total)
        sources.append(
            Source(
                directory,
                manifest,
                len(manifest.order) - sum(statuses.values()),
                statuses,
                len(discarded(directory)),
            )
        )
    if not done:
        raise ResultsError(
            f"{directories[0]} holds no finished run yet; let the study go on with"
            f" python -m loadgen.study --resume {directories[0]}"
        )
    return Gathered(tuple(sources), tuple(groups.values()), differences)


def _runs(directory: Path, manifest: Manifest, there: set[str]) -> Iterator[RunRecord]:
    for run_id in manifest.order:
        if run_id in there:
            yield read_run(directory, run_id)


def _add(group: Group, run: RunRecord) -> None:
    """Put a run into its group: its histogram is merged, its recording is let go of."""
    if run.result is None:
        group.runs.append(run)
        return
    if run.status == "ok":
        histogram = decoded(run.result.recording.latency)
        if group.latency is None:
            group.latency = histogram
        else:
            group.latency.add(histogram)
    # Seconds are asked of runs with faults alone: there they tell what a stretch did.
    seconds = run.result.recording.seconds if run.cell.faults else []
    recording = msgspec.structs.replace(
        run.result.recording, latency="", service="", late="", lag="", seconds=seconds, samples=[]
    )
    result = msgspec.structs.replace(run.result, recording=recording)
    group.runs.append(msgspec.structs.replace(run, result=result))


def _differences(manifests: Sequence[Manifest]) -> Iterator[str]:
    for words, path in SHARED:
        values = []
        for manifest in manifests:
            value: Any = manifest
            for name in path:
                value = value.get(name) if isinstance(value, dict) else getattr(value, name)
            values.append(value)
        if any(value != values[0] for value in values):
            told = [value for value in values if not isinstance(value, dict)]
            yield f"{words} ({' / '.join(map(str, told))})" if told else words
