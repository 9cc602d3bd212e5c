"""What runs on a data directory: `run.json`, and the lock that says whether it is still true.

The supervisor holds a lock for its life and keeps the file true while it lives. A file that a
killed supervisor left behind is recognised by the lock that nobody holds any more, which no reuse
of process numbers can fake.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

RUN_FILE: Final = "run.json"
RUN_LOCK: Final = "run.lock"
# Seconds. A reader looks at the lock for microseconds; an owner stays. This tells them apart.
_LOCK_PATIENCE_S: Final = 0.2
_LOCK_PAUSE_S: Final = 0.02


class ServiceRun(Struct, frozen=True, kw_only=True):
    """Where one service listens; `pid` is null while no process of it lives."""

    address: str
    pid: int | None
    ready: bool


class Run(Struct, frozen=True, kw_only=True):
    """An arm that runs, and the options that a result must be read with."""

    mode: str
    supervisor: int
    shop: str
    seed: int
    payment_latency: tuple[float, float]
    payment_approval: float
    stock: int | None
    in_flight_max: int
    active_max: int
    loop: str
    services: dict[str, ServiceRun] = {}


class NotRunningError(FileNotFoundError):
    """No arm runs on a data directory; the message is one sentence that names the way out."""


class InUseError(Exception):
    """A data directory cannot be had; the message is one sentence that names the way out."""


def read_run(data_dir: Path) -> Run:
    """The arm that runs on `data_dir`, ready to be called.

    Raises NotRunningError, also when the file was left by a supervisor that died; ValueError when
    the file is damaged, OSError when it cannot be read.
    """
    path = data_dir / RUN_FILE
    try:
        content = path.read_bytes()
        alive = _is_held(data_dir / RUN_LOCK)
    except FileNotFoundError:
        alive = False
    if not alive:
        msg = (
            f"nothing runs on {data_dir}; start it with: "
            f"python run_all.py --mode grpc --data-dir {data_dir}"
        )
        raise NotRunningError(msg)
    return msgspec.json.decode(content, type=Run)


def write_run(data_dir: Path, run: Run) -> None:
    """Replace run.json whole, so that no reader ever sees half of it."""
    path = data_dir / RUN_FILE
    temporary = path.with_name(f".{RUN_FILE}.tmp")
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")
    temporary.replace(path)


def remove_run(data_dir: Path) -> None:
    """Say that nothing runs on `data_dir`."""
    (data_dir / RUN_FILE).unlink(missing_ok=True)


@contextmanager
def supervising(data_dir: Path) -> Iterator[None]:
    """Be the one supervisor of a data directory, which is made when missing, for the block.

    Raises InUseError when there is one already or the directory cannot be used. A run.json found
    here was left by a dead supervisor, and goes.
    """
    with ExitStack() as stack:
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            stack.enter_context(held(data_dir / RUN_LOCK))
            remove_run(data_dir)
        except OSError as error:
            msg = f"cannot use the data directory {data_dir}: {error.strerror}"
            raise InUseError(msg) from error
        yield


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock file `path` for the block; raises InUseError, naming its owner, or OSError.

    The file stays when the lock is released: removing it would let two processes lock two files
    of one name.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _lock(descriptor):
            owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            msg = (
                f"{path.parent} is in use by process {owner}: "
                "stop that instance, or choose another --data-dir"
            )
            raise InUseError(msg)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    give_up = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                return False
            time.sleep(_LOCK_PAUSE_S)
        else:
            return True


def _is_held(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
