"""Where and how a run was made, so that its figures can be judged and made again."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import psutil

from common import ROOT

# The packages that a figure depends on.
PACKAGES: Final = (
    "grpcio", "protobuf", "aiohttp", "aiosqlite", "msgspec", "uvloop", "hdrhistogram",
)  # fmt: skip


def environment(data_dir: Path | None = None) -> dict[str, Any]:
    """Versions, machine, commit and command of this run."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cpu_count": os.cpu_count(),
        "memory_mb": psutil.virtual_memory().total // 2**20,
        "filesystem": filesystem(data_dir) if data_dir is not None else None,
        "commit": commit(),
        "command": shlex.join(["python", "-m", "loadgen", *sys.argv[1:]]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def filesystem(path: Path) -> str | None:
    """The type of the file system that holds `path`, or None when the machine does not say."""
    place = path.resolve()
    mounts: dict[Path, str] = {
        Path(each.mountpoint): each.fstype for each in psutil.disk_partitions(all=True)
    }
    for parent in (place, *place.parents):
        if parent in mounts:
            return mounts[parent]
    return None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def commit(checkout: Path = ROOT) -> str | None:
    """The commit of a checkout, marked when files differ from it; None outside a repository."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],  # noqa: S607 - whichever git is installed
            cwd=checkout,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return described.stdout.strip() or None
