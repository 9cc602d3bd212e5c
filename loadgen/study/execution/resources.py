"""What the services use while a run lasts, looked at from outside: one sample a quarter second.

The operating system tells CPU, memory and open files of each process, the data directory the size
of each write-ahead log. What only a service itself can know is taken from its own statistics.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from common.telemetry.stats import Line
from loadgen.attribution.little import littles_law, under_way
from loadgen.results.recorder import Recording
from loadgen.study.records.record import Flow, Series

# Seconds between samples. Reading six processes takes about two milliseconds of one core.
INTERVAL_S: Final = 0.25

Pids = Callable[[], dict[str, int]]


class Sampler:
    """Takes samples of named processes until it is cancelled. A process may be replaced by another.

    `pids` tells who lives now, `data_dir` holds `<service>.db-wal`; None where nothing is stored.
    """

    def __init__(self, pids: Pids, data_dir: Path | None) -> None:
        self._pids = pids
        self._data_dir = data_dir
        self._processes: dict[str, psutil.Process] = {}
        self._before: dict[str, tuple[int, float, float]] = {}
        self._columns: dict[str, dict[str, list[Any]]] = {}

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            # In a thread: a sample must not hold up what else this process follows.
            await asyncio.to_thread(self.sample)
            await asyncio.sleep(INTERVAL_S)

    def sample(self) -> None:
        """Take one sample of every process that lives."""
        for name, pid in self._pids().items():
            now = time.monotonic()
            cpu, rss, files = self._usage(name, pid, now)
            row = {
                "at": now, "cpu": cpu, "rss_mb": rss, "open_files": files,
                "wal_kb": self._wal_kb(name),
            }  # fmt: skip
            columns = self._columns.setdefault(name, {key: [] for key in row})
            for key, value in row.items():
                columns[key].append(value)

    def _usage(
        self, name: str, pid: int, now: float
    ) -> tuple[float | None, float | None, int | None]:
        """Cores since the sample before, MiB, and open files; None for a process that is gone."""
        process = self._processes.get(name)
        if process is None or process.pid != pid:
            try:
                process = self._processes[name] = psutil.Process(pid)
            except psutil.Error:
                return None, None, None
        try:
            with process.oneshot():
                times = process.cpu_times()
                rss = process.memory_info().rss / 2**20
            files = process.num_fds()
        except psutil.Error:
            return None, None, None
        spent = times.user + times.system
        before = self._before.get(name)
        self._before[name] = (pid, now, spent)
        if before is None or before[0] != pid or now <= before[1]:
            return None, round(rss, 2), files
        return round((spent - before[2]) / (now - before[1]), 4), round(rss, 2), files

    def _wal_kb(self, name: str) -> float | None:
        if self._data_dir is None:
            return None
        try:
            return round((self._data_dir / f"{name}.db-wal").stat().st_size / 1024, 1)
        except OSError:
            return None

    def series(self, start_ns: int, told: Mapping[str, Sequence[Line]]) -> dict[str, Series]:
        """Every sample so far, by service; times count from a monotonic instant.

        `told` is what the services said of themselves: of each the last line before a sample.
        """
        made = {}
        for name, columns in self._columns.items():
            lines = told.get(name, ())
            instants = [line.t for line in lines]
            before = [bisect_right(instants, at) - 1 for at in columns["at"]]
            inside = [lines[index] if index >= 0 else None for index in before]
            made[name] = Series(
                t_s=tuple(round(at - start_ns / 1e9, 3) for at in columns["at"]),
                cpu=tuple(columns["cpu"]),
                rss_mb=tuple(columns["rss_mb"]),
                open_files=tuple(columns["open_files"]),
                wal_kb=tuple(columns["wal_kb"]),
                loop_lag_ms=tuple(
                    line.loop.max_ms if line is not None and line.loop is not None else None
                    for line in inside
                ),
                writer_queue=tuple(None if line is None else line.queue for line in inside),
                in_flight=tuple(None if line is None else under_way(line) for line in inside),
            )
        return made


def flows(
    recording: Recording, warmup_s: float, told: Mapping[str, Sequence[Line]]
) -> dict[str, Flow]:
    """Little's law's inputs at each hop, from the end of the warm-up to the last order sent."""
    from_s, to_s = recording.start_ns / 1e9 + warmup_s, recording.last_send_ns / 1e9
    found = {}
    for name, lines in told.items():
        law = littles_law(lines, from_s, to_s)
        if law is not None:
            found[name] = Flow(
                law.in_flight, law.per_s, law.mean_s, law.seconds, law.looks, law.calls
            )
    return found
