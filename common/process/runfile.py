"""What runs on a data directory: `run.json`, and the lock that says whether it is still true.

The supervisor holds a lock for its life and keeps the file true while it lives. A file that a
killed supervisor left behind is recognised by the lock that nobody holds any more, which no reuse
of process numbers can fake.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from common.storage.lock import InUseError, held, is_held

RUN_FILE: Final = "run.json"
RUN_LOCK: Final = "run.lock"
# What Prometheus reads to find the services (`file_sd_configs`).
TARGETS: Final = "prometheus.json"


class ServiceRun(Struct, frozen=True, kw_only=True):
    """Where one service listens; `pid` is null while no process of it lives.

    `metrics` is where Prometheus finds its metrics, "" where it shows none.
    """

    address: str
    pid: int | None
    ready: bool
    metrics: str = ""


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
    # The event loop; null on threads.
    loop: str | None = None
    stats: bool = False
    telemetry: bool = True
    trace_share: float = 0.0
    # Whether steps are taken from the hop before alone; the token itself stands nowhere.
    chain_token: bool = False
    # Of the arms on threads: threads that serve, in each service, and how commits are made.
    workers: int | None = None
    storage: str = "shared"
    services: dict[str, ServiceRun] = {}


class NotRunningError(FileNotFoundError):
    """No arm runs on a data directory; the message is one sentence that names the way out."""


def read_run(data_dir: Path) -> Run:
    """The arm that runs on `data_dir`, ready to be called.

    Raises NotRunningError, also when the file was left by a supervisor that died; ValueError when
    the file is damaged, OSError when it cannot be read.
    """
    path = data_dir / RUN_FILE
    try:
        content = path.read_bytes()
        alive = is_held(data_dir / RUN_LOCK)
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


def write_targets(data_dir: Path, run: Run) -> None:
    """Write where Prometheus finds the metrics of what runs; nothing where none are shown.

    The format is that of `file_sd_configs`: a file that it reads again whenever it changes.
    """
    targets = [
        {
            "targets": [each.metrics.removeprefix("http://").partition("/")[0]],
            # The service is a label of the metrics themselves.
            "labels": {"arm": run.mode},
        }
        for each in run.services.values()
        if each.metrics
    ]
    if targets:
        path = data_dir / TARGETS
        temporary = path.with_name(f".{TARGETS}.tmp")
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(targets), indent=1) + b"\n")
        temporary.replace(path)


def remove_run(data_dir: Path) -> None:
    """Say that nothing runs on `data_dir`."""
    (data_dir / RUN_FILE).unlink(missing_ok=True)
    (data_dir / TARGETS).unlink(missing_ok=True)


@contextmanager
def supervising(data_dir: Path) -> Iterator[None]:
    """Be the one supervisor of a data directory, which is made when missing, for the block.

    Raises InUseError when there is one already or the directory cannot be used. A run.json found
    here was left by a dead supervisor, and goes.
    """
    with held(data_dir / RUN_LOCK):
        try:
            remove_run(data_dir)
        except OSError as error:
            msg = f"cannot use the data directory {data_dir}: {error.strerror}"
            raise InUseError(msg) from error
        yield
