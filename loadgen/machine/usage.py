"""What processes used: processor time between two moments, and their peak memory."""

from __future__ import annotations

from pathlib import Path

import psutil
from msgspec import Struct


class Used(Struct, frozen=True):
    """Seconds of processor time and megabytes at the peak; None when the process is gone."""

    cpu_s: float | None
    rss_peak_mb: float | None


def cpu_seconds(pid: int) -> float | None:
    """Processor time so far of a process and its descendants, in seconds, user and system."""
    try:
        process = psutil.Process(pid)
        # The last two fields are those of children that have ended.
        times = [each.cpu_times()[:4] for each in (process, *process.children(recursive=True))]
    except psutil.Error:
        return None
    return float(sum(map(sum, times)))


def peak_rss_mb(pid: int) -> float | None:
    """The most memory that a process has held at any moment, in MiB."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    try:
        # Where the kernel keeps no peak, the present is the best there is.
        return float(psutil.Process(pid).memory_info().rss) / 2**20
    except psutil.Error:
        return None


class Meter:
    """Measures a set of named processes from its making to `read`."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self._before = {name: cpu_seconds(pid) for name, pid in pids.items()}

    def read(self) -> dict[str, Used]:
        """What each has used since."""
        used = {}
        for name, pid in self._pids.items():
            before, now = self._before[name], cpu_seconds(pid)
            spent = None if before is None or now is None else now - before
            used[name] = Used(spent, peak_rss_mb(pid))
        return used
