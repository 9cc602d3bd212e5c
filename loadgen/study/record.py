"""The format of a results directory: what is kept of a study, how it is written and read.

    manifest.json            the plan, the order of runs, the environment, when and by which command
    runs/<id>.json           a run: its cell, its figures, its audit, what it used
    runs/<id>.raw.json.gz    its recording, the histograms and sampled orders that its figures come
                             from, and its services' resources over time

Every file is written beside its place and renamed into it, so that one that is there is whole; of a
run the raw data come first, so that `<id>.json` means that both are there. Whoever reads results
does it through this module.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec import Struct

from loadgen.recorder import Recording
from loadgen.result import Result
from loadgen.study.plan import EventLoop, Fault, Storage, Study, Wait

# Raised when a reader of the older format would misread or miss something.
FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
RUNS: Final = "runs"

Protocol = Literal["grpc", "http"]
IoModel = Literal["loop", "threads"]
Status = Literal["ok", "invalid", "failed"]
# What a run is for: a point of a curve; of a ladder its search, its rungs, its overload; a timeline.
Phase = Literal["point", "search", "rung", "recovery", "timeline"]
# The generator's name beside those of the services.
GENERATOR: Final = "generator"
S = TypeVar("S", bound=Struct)


class ResultsError(Exception):
    """Results that cannot be read; the message is one line with the file and what to do."""


class Cell(Struct, frozen=True, kw_only=True):
    """What a run measures: everything that another repetition of it has in common with it.

    `rate_per_s` is null in the closed loop and `concurrency` in the open one; `workers` is null
    on event loops and `event_loop` on threads. `steps` are an open loop's (rate, seconds), of
    which the warm-up is a part. `twin` tells the runs of an A/A pair apart.
    """

    experiment: str
    phase: Phase
    arm: str
    protocol: Protocol
    io_model: IoModel
    bare: bool
    payment_wait_s: Wait
    loop: Literal["closed", "open"]
    concurrency: int | None
    rate_per_s: float | None
    steps: tuple[tuple[float, float], ...]
    workers: int | None
    event_loop: EventLoop | None
    items: tuple[int, int]
    storage: Storage
    faults: tuple[Fault, ...]
    objectives: tuple[str, ...]
    twin: Literal["", "A", "B"]
    warmup_s: float
    seconds: float
    timeout_s: float


class Verdict(Struct, frozen=True, kw_only=True):
    """The audit of a run's databases. `violations` are its first sentences, `total` counts all."""

    clean: bool
    orders: dict[str, int]
    rules: int
    total: int
    violations: tuple[str, ...]


class Happened(Struct, frozen=True):
    """Something done to a service, in seconds since the first order: `down`, `up`, `slow`, ..."""

    at_s: float
    what: str
    service: str


class Spent(Struct, frozen=True):
    """What a process used: CPU milliseconds an order, warm-up included, and peak memory."""

    cpu_ms_per_order: float | None
    rss_peak_mb: float | None


class Series(Struct, frozen=True, kw_only=True):
    """One service over time; `t_s` counts from the first order, null where it was not measured.

    `cpu` is in cores since the sample before; `wal_kb` is the size of the write-ahead log,
    `loop_lag_ms` the worst of the quarter second before, null on threads; `writer_queue` units of
    work that wait for the database thread, `in_flight` calls under way, a mean of several looks.
    """

    t_s: tuple[float, ...]
    cpu: tuple[float | None, ...]
    rss_mb: tuple[float | None, ...]
    open_files: tuple[int | None, ...]
    wal_kb: tuple[float | None, ...]
    loop_lag_ms: tuple[float | None, ...]
    writer_queue: tuple[int | None, ...]
    in_flight: tuple[float | None, ...]


class Flow(Struct, frozen=True):
    """The inputs of Little's law at one hop, over the measured window, each by its own means.

    `in_flight` is the mean number of calls under way, by sampling; `arrivals_per_s` and `time_s`
    are of the calls that ended. `looks` and `calls` say how many it rests on, null where that is
    not known.
    """

    in_flight: float
    arrivals_per_s: float
    time_s: float
    looks: int | None = None
    calls: int | None = None


class RunRecord(Struct, frozen=True, kw_only=True):
    """One run in fresh processes.

    `ok` has figures that may be believed; `invalid` has figures and `reasons` not to believe them
    (the generator out of its bounds, or an audit that is not clean, which leaves no throughput);
    `failed` has none, and `reasons` say what happened. `result.attribution` tells where a median
    and a slow order spent their time. `commands` are those of the arm, of the load
    and of the audit, to be given one after the other. `resources` and `spent` are by service,
    `spent` also of the generator. `bytes_per_order` are those on loopback between all processes,
    headers of TCP and IP included, null where the machine does not tell.
    """

    format: int
    id: str
    cell: Cell
    repetition: int
    seed: int
    status: Status
    reasons: tuple[str, ...]
    started: str
    took_s: float
    commands: tuple[str, ...]
    result: Result | None
    audit: Verdict | None
    events: tuple[Happened, ...] = ()
    spent: dict[str, Spent] = {}
    bytes_per_order: float | None = None
    resources: dict[str, Series] = {}
    flows: dict[str, Flow] = {}
    commit: str | None = None

    @property
    def throughput_per_s(self) -> float | None:
        """Terminal answers a second; None when the run has none to tell.

        In the closed loop it is the rate while every caller had a next order, where that was long
        enough to have one.
        """
        if self.result is None or self.status != "ok":
            return None
        steady = self.result.steady
        if self.cell.loop == "closed" and steady is not None:
            return steady.throughput_per_s
        return self.result.throughput_per_s

    @property
    def cpu_ms_per_order(self) -> float | None:
        """Processor milliseconds an order over all services, the generator not counted."""
        each = [spent.cpu_ms_per_order for name, spent in self.spent.items() if name != GENERATOR]
        known = [spent for spent in each if spent is not None]
        return sum(known) if known and len(known) == len(each) else None


class Sitting(Struct, frozen=True):
    """One time that the study was started or resumed; `ended` is null when it was cut off."""

    started: str
    ended: str | None
    command: str
    commit: str | None


class Found(Struct, frozen=True):
    """What a ladder's search found: the highest rate that met the objectives, null when none did.

    `beyond` is the lowest rate that missed one, null when the search ended at the plan's most.
    """

    experiment: str
    arm: str
    payment_wait_s: Wait
    rate_per_s: float | None
    beyond_per_s: float | None


class Manifest(Struct, frozen=True, kw_only=True):
    """The study that a results directory holds.

    `order` lists the ids of runs in the order in which they are begun; runs that a search or a
    ladder adds come to its end as they are found. `durability` is how every arm commits.
    """

    format: int
    preset: str
    plan: Study
    seed: int
    durability: str
    environment: dict[str, Any]
    order: tuple[str, ...]
    sittings: tuple[Sitting, ...]
    searches: tuple[Found, ...] = ()
    complete: bool = False


class _Raw(Struct, frozen=True):
    format: int
    id: str
    recording: Recording
    resources: dict[str, Series]


class _Head(Struct):
    format: int


# --- writing --------------------------------------------------------------------------------------


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Replace the manifest whole. Raises OSError."""
    _write(directory / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))


def write_run(directory: Path, run: RunRecord) -> None:
    """Keep a run: its raw data first, so that a run that is there is complete. Raises OSError."""
    fields: dict[str, Any] = msgspec.to_builtins(run)
    if run.result is not None:
        raw = _Raw(run.format, run.id, run.result.recording, run.resources)
        # No date in it: the same run gives the same file.
        packed = gzip.compress(msgspec.json.encode(raw), mtime=0)
        _write(_raw_file(directory, run.id), packed)
        del fields["result"]["recording"], fields["resources"]
    _write(_run_file(directory, run.id), msgspec.json.format(msgspec.json.encode(fields), indent=1))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


def discard(directory: Path, run_id: str) -> None:
    """Forget a run, so that it is made again. Raises OSError."""
    _run_file(directory, run_id).unlink()
    _raw_file(directory, run_id).unlink(missing_ok=True)


# --- reading --------------------------------------------------------------------------------------


def read_manifest(directory: Path) -> Manifest:
    """The manifest of a results directory. Raises ResultsError."""
    path = directory / MANIFEST
    if not path.is_file():
        raise ResultsError(
            f"{directory} is not a results directory: it has no {MANIFEST};"
            " python -m loadgen.study --out makes one"
        )
    return _read(path, Manifest)


def finished(directory: Path) -> set[str]:
    """The ids of the runs that are complete."""
    names = (path.name for path in (directory / RUNS).glob("*.json"))
    return {name.removesuffix(".json") for name in names if not name.startswith(".")}


def read_run(directory: Path, run_id: str) -> RunRecord:
    """One run with its recording. Raises ResultsError."""
    path = _run_file(directory, run_id)
    fields = _checked(path)
    if fields.get("result") is not None:
        raw = _read(_raw_file(directory, run_id), _Raw)
        fields["result"]["recording"] = msgspec.to_builtins(raw.recording)
        fields["resources"] = msgspec.to_builtins(raw.resources)
    try:
        return msgspec.convert(fields, RunRecord)
    except (msgspec.ValidationError, AttributeError, TypeError) as error:
        raise _damaged(path, error) from None


def read_runs(directory: Path) -> Iterator[RunRecord]:
    """Every complete run, in the order of the manifest. Raises ResultsError."""
    manifest = read_manifest(directory)
    there = finished(directory)
    for run_id in manifest.order:
        if run_id in there:
            yield read_run(directory, run_id)


def _read(path: Path, kind: type[S]) -> S:
    try:
        return msgspec.convert(_checked(path), kind)
    except msgspec.ValidationError as error:
        raise _damaged(path, error) from None


def _checked(path: Path) -> dict[str, Any]:
    """The content of a file of this format. Raises ResultsError."""
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        head = msgspec.json.decode(content, type=_Head)
    except (msgspec.DecodeError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _damaged(path, error) from None
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}") from None
    if head.format != FORMAT:
        raise ResultsError(
            f"{path} has format {head.format} and this version reads {FORMAT};"
            " use the version that made it, or run the study again"
        )
    fields: dict[str, Any] = msgspec.json.decode(content)
    return fields


def _damaged(path: Path, error: Exception) -> ResultsError:
    return ResultsError(
        f"{path} is truncated or damaged ({error}); delete it and run"
        " python -m loadgen.study --resume on its directory"
    )


def _run_file(directory: Path, run_id: str) -> Path:
    return directory / RUNS / f"{run_id}.json"


def _raw_file(directory: Path, run_id: str) -> Path:
    return directory / RUNS / f"{run_id}.raw.json.gz"
