"""Runs a plan in one or more generator processes and merges what they recorded.

Processes are started by exec, never forked: grpc does not survive a fork. Display and bookkeeping
stay in this process, so that they cannot disturb the measuring.
"""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from common import ROOT
from loadgen.driver.worker import LINE_MAX, Report, Start
from loadgen.results.merge import merge
from loadgen.results.recorder import Live, Recording
from loadgen.workload.history import join_histories
from loadgen.workload.plan import Plan, Share

# Seconds between "all are ready" and the common start.
BEFORE_START_S: Final = 0.05
# Seconds that a process may take until it is ready: imports, and baskets for its callers.
CREW_READY_MAX_S: Final = 60.0

OnProgress = Callable[[Live], None]
# Told the monotonic instant, in nanoseconds, at which all processes begin: just before it comes.
OnStart = Callable[[int], None]


class CrewError(Exception):
    """A generator process ended without a recording."""


class Crew:
    """The generator processes of one run; `stop` may be called while it runs."""

    def __init__(
        self,
        plan: Plan,
        *,
        processes: int = 1,
        history: Path | None = None,
        on_progress: OnProgress | None = None,
        on_start: OnStart | None = None,
    ) -> None:
        self._shares = _shares(plan, processes, history)
        self._history = history
        self._on_progress = on_progress
        self._on_start = on_start
        self._processes: list[Process] = []
        self._latest: dict[int, Live] = {}
        self._stopped = False

    def stop(self) -> None:
        """First call: no new orders. Second call: leave those under way."""
        self._stopped = True
        for process in self._processes:
            if process.returncode is None and process.stdin is not None:
                process.stdin.write(b"stop\n")

    async def run(self) -> Recording:
        """Run to the end. Raises CrewError when a process died, or when stopped before it began."""
        try:
            await self._prepare()
            start = Start(time.monotonic_ns() + int(BEFORE_START_S * 1e9))
            for process in self._processes:
                _send(process, start)
            if self._on_start is not None:
                self._on_start(start.start_ns)
            recordings = await asyncio.gather(
                *(self._follow(index, each) for index, each in enumerate(self._processes))
            )
        except TimeoutError:
            msg = f"a generator process was not ready after {CREW_READY_MAX_S:.0f} s"
            raise CrewError(msg) from None
        finally:
            await _end(self._processes)
        parts = [Path(share.history) for share in self._shares if share.history]
        if self._history is not None and len(parts) > 1:
            join_histories(parts, self._history)
        return merge(recordings)

    async def _prepare(self) -> None:
        """Start the processes and wait until all are ready."""
        for share in self._shares:
            self._processes.append(await _start(share))
        async with asyncio.timeout(CREW_READY_MAX_S):
            for process in self._processes:
                await _report(process)
        # From here to the start nothing is awaited: no stop comes in between.
        if self._stopped:
            raise CrewError("the run was interrupted before its first order")

    async def _follow(self, index: int, process: Process) -> Recording:
        while True:
            report = await _report(process)
            if report.recording_bytes:
                return await _recording(process, report.recording_bytes)
            if report.live is not None:
                self._latest[index] = report.live
                complete = len(self._latest) == len(self._processes)
                if self._on_progress is not None and index == 0 and complete:
                    self._on_progress(_total(self._latest.values()))


def _shares(plan: Plan, processes: int, history: Path | None) -> list[Share]:
    count = min(processes, plan.concurrency or plan.under_way_max)
    # The processes run elsewhere than where the command was given.
    history = history.absolute() if history is not None else None
    if history is None:
        paths: list[str | None] = [None] * count
    elif count == 1:
        paths = [str(history)]
    else:
        paths = [f"{history}.{index}" for index in range(count)]
    return [
        Share(plan=plan, index=index, of=count, history=path) for index, path in enumerate(paths)
    ]


async def _start(share: Share) -> Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "loadgen.driver.worker",
        stdin=PIPE,
        stdout=PIPE,
        cwd=ROOT,
        limit=LINE_MAX,
        # An interrupt at the terminal is for this process, which passes it on in order.
        start_new_session=True,
    )
    _send(process, share)
    return process


def _send(process: Process, message: msgspec.Struct) -> None:
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(message) + b"\n")


async def _report(process: Process) -> Report:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise await _ended_early(process)
    return msgspec.json.decode(line, type=Report)


async def _recording(process: Process, length: int) -> Recording:
    assert process.stdout is not None
    try:
        content = await process.stdout.readexactly(length)
    except asyncio.IncompleteReadError:
        raise await _ended_early(process) from None
    return msgspec.json.decode(content, type=Recording)


async def _ended_early(process: Process) -> CrewError:
    code = await process.wait()
    return CrewError(f"a generator process ended with code {code} before its recording")


async def _end(processes: Sequence[Process]) -> None:
    for process in processes:
        if process.stdin is not None:
            process.stdin.close()
    for process in processes:
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _total(lives: Iterable[Live]) -> Live:
    each = list(lives)
    return Live(
        sum(live.sent for live in each),
        sum(live.completed for live in each),
        sum(live.failed for live in each),
        [value for live in each for value in live.recent_ms],
        sum(live.unsent for live in each),
    )
