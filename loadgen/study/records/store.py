"""The format of a results directory: what is kept of a study, how it is written and read.

    manifest.json            the plan, the order of runs, the environment, when and by which command
    runs/<id>.json           a run: its cell, its figures, its audit, what it used
    runs/<id>.raw.json.gz    its recording, the histograms and sampled orders that its figures come
                             from, and its services' resources over time
    runs/discarded/          runs that were made again, or whose search was: kept, and no part of it

Every file is written beside its place and renamed into it, so that one that is there is whole; of a
run the raw data come first, so that `<id>.json` means that both are there. Whoever reads results
does it through this module.
"""

from __future__ import annotations

import gzip
import shlex
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from loadgen.results.recorder import Recording
from loadgen.study.records.record import FORMAT, Manifest, RunRecord, Series

MANIFEST: Final = "manifest.json"
RUNS: Final = "runs"
DISCARDED: Final = "discarded"
# How the names of a run's two files end.
_RUN: Final = ".json"
_RAW: Final = ".raw.json.gz"
S = TypeVar("S", bound=Struct)


class ResultsError(Exception):
    """Results that cannot be read; the message is one line with the file and what to do."""


class _Raw(Struct, frozen=True):
    format: int
    id: str
    recording: Recording
    resources: dict[str, Series]


class _Head(Struct):
    format: int


class _Brief(Struct):
    result: Any


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
    """Set a run aside, so that it is made again; what was measured is never erased. Raises OSError."""
    aside = directory / RUNS / DISCARDED
    aside.mkdir(exist_ok=True)
    times = len(list(aside.glob(f"{run_id}.[0-9]*{_RUN}")))
    # The record first: without it the run is not complete, whatever comes between.
    for path, suffix in (
        (_run_file(directory, run_id), _RUN),
        (_raw_file(directory, run_id), _RAW),
    ):
        if path.exists():
            path.replace(aside / f"{run_id}.{times + 1}{suffix}")


def discarded(directory: Path) -> tuple[str, ...]:
    """The ids of the runs that were set aside, as often as they were, sorted."""
    names = (path.name for path in (directory / RUNS / DISCARDED).glob(f"*{_RUN}"))
    return tuple(sorted(name.removesuffix(_RUN).rpartition(".")[0] for name in names))


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
    """The ids of the runs that are complete: record and raw data, but where nothing was measured."""
    names = {path.name for path in (directory / RUNS).glob("*.json*")}
    ids = (
        name.removesuffix(_RUN)
        for name in names
        if name.endswith(_RUN) and not name.startswith(".")
    )
    return {each for each in ids if each + _RAW in names or _stands_alone(directory, each)}


def _stands_alone(directory: Path, run_id: str) -> bool:
    """Whether a run needs no raw data: it failed, or cannot be read, which its reader is to say."""
    try:
        return (
            msgspec.json.decode(_run_file(directory, run_id).read_bytes(), type=_Brief).result
            is None
        )
    except (OSError, msgspec.DecodeError):
        return True


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
    if path.name == MANIFEST:
        return ResultsError(
            f"{path} is truncated or damaged ({error}); put back a copy of it, or begin the study in"
            " another directory: without its manifest this one cannot be read"
        )
    record = path.with_name(path.name.removesuffix(_RAW).removesuffix(_RUN) + _RUN)
    resume = shlex.join(["python", "-m", "loadgen.study", "--resume", str(path.parent.parent)])
    return ResultsError(
        f"{path} is truncated or damaged ({error}); delete {record} and make the run again with"
        f" {resume}"
    )


def _run_file(directory: Path, run_id: str) -> Path:
    return directory / RUNS / f"{run_id}{_RUN}"


def _raw_file(directory: Path, run_id: str) -> Path:
    return directory / RUNS / f"{run_id}{_RAW}"
