"""One generator process: `python -m loadgen.driver.worker`, started by `crew`, never by hand.

It reads its share of the plan from standard input, says that it is ready, starts at the instant it
is given, reports progress every second and ends with its recording. A line makes it place no new
order; another one, or the end of standard input, makes it leave those under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from common.runtime.lifecycle import calm_collector, runner
from loadgen.driver.callers import ClosedLoop
from loadgen.driver.checkout import Checkout
from loadgen.driver.limits import raise_limits
from loadgen.driver.open_loop import OpenLoop
from loadgen.results.recorder import Live, Recorder, Recording
from loadgen.results.selfcheck import LoopWatch
from loadgen.workload.dial import Pedidos, dial_pedidos
from loadgen.workload.history import WRITE_INTERVAL_S, History
from loadgen.workload.plan import Share
from loadgen.workload.targets import Basket, baskets

# Seconds between reports of progress.
PROGRESS_INTERVAL_S: Final = 1.0
# Bytes of one line of the protocol: a plan with ten thousand customers takes 70 kB. Recordings grow
# with the length of a run, by about 1 MB an hour, and are not lines.
LINE_MAX: Final = 2**26


class Start(msgspec.Struct, frozen=True):
    """What the parent says once every process is ready: begin at this monotonic instant."""

    start_ns: int


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line from a worker: it is ready, how far it has come, or that its recording follows.

    That is so many bytes of JSON after the line, as many as it takes: no line is long enough for a
    run of any length.
    """

    ready: bool = False
    live: Live | None = None
    recording_bytes: int = 0


def say(report: Report) -> None:
    """Write a report for the parent."""
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    sys.stdout.buffer.flush()


def say_recording(recording: Recording) -> None:
    """Write the recording for the parent, with its length before it."""
    content = msgspec.json.encode(recording)
    say(Report(recording_bytes=len(content)))
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


class ShareRun:
    """The run of one share against one client, with baskets prepared before its start."""

    def __init__(
        self, share: Share, pedidos: Pedidos, prepared: Sequence[Basket], start_ns: int
    ) -> None:
        plan = share.plan
        self._share = share
        self._start_ns = start_ns
        self._recorder = Recorder(
            start_ns, plan.warmup_s, plan.timeout_s, seed=plan.seed + share.index
        )
        self._history = History(Path(share.history) if share.history else None)
        self._watch = LoopWatch()
        self._interrupted = False
        self._callers: asyncio.Task[None] | None = None
        checkout = Checkout(
            pedidos,
            prepared,
            self._recorder,
            self._history,
            run_id=plan.run_id,
            timeout_s=plan.timeout_s,
            sample_every=plan.sample_every,
        )
        self._loop = self._loop_of(checkout)

    def _loop_of(self, checkout: Checkout) -> ClosedLoop | OpenLoop:
        share = self._share
        if share.plan.schedule is None:
            return ClosedLoop(checkout.place, share.orders(), share.callers())
        self._recorder.open_loop()
        return OpenLoop(
            checkout.place,
            share.arrivals(),
            start_ns=self._start_ns,
            under_way_max=share.under_way_max(),
            unsent=self._recorder.unsent,
        )

    def stop(self) -> None:
        """Place no new order; the result is that of an interrupted run."""
        self._interrupted = True
        self._loop.stop()

    def abort(self) -> None:
        """Leave the orders under way as they are, too."""
        self.stop()
        if self._callers is not None:
            self._callers.cancel()

    def live(self) -> Live:
        """How far it has come."""
        return self._recorder.live()

    async def run(self) -> Recording:
        """Run to the end of the share."""
        cpu_before = time.process_time()
        duration_s = self._share.plan.duration_s
        if duration_s is not None:
            until = self._start_ns / 1e9 + duration_s - time.monotonic()
            asyncio.get_running_loop().call_later(max(0.0, until), self._loop.stop)
        keepers = [asyncio.create_task(self._watch.run()), asyncio.create_task(self._keep())]
        self._callers = asyncio.create_task(self._loop.run())
        try:
            await asyncio.wait([self._callers])
            if not self._callers.cancelled():
                self._callers.result()
        finally:
            self._callers.cancel()
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
            self._history.close()
        recording = self._recorder.recording(self._watch.lag)
        recording.cpu_s = [time.process_time() - cpu_before]
        recording.busiest = [] if self._watch.busiest is None else [self._watch.busiest]
        recording.rss_max_bytes = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]
        recording.clock_step_s = self._watch.clock_step_s()
        recording.interrupted = self._interrupted
        if self._history.failure:
            recording.problems.append(self._history.failure)
        return recording

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(WRITE_INTERVAL_S)
            self._history.flush()


async def _work() -> None:
    reader = asyncio.StreamReader(limit=LINE_MAX)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    share = msgspec.json.decode(await reader.readline(), type=Share)
    plan = share.plan
    connections, problems = raise_limits(plan.mode, share.under_way_max())
    if plan.schedule is not None and problems:
        # Whoever needs the missing ones shows: each order that finds none is counted as unsent.
        share, problems = msgspec.structs.replace(share, connections=connections), []
    client = dial_pedidos(plan.mode, plan.address, connections=connections)
    prepared = baskets(plan)
    # As the services do: a full collection walks over all baskets and stops the loop meanwhile.
    calm_collector()
    try:
        say(Report(ready=True))
        start_ns = _start_of(await reader.readline())
        if start_ns is None:
            return
        run = ShareRun(share, client, prepared, start_ns)
        # A loop that counts in milliseconds wakes early as well as late.
        while (left_ns := start_ns - time.monotonic_ns()) > 0:  # noqa: ASYNC110 - an instant, no event
            await asyncio.sleep(left_ns / 1e9)
        recording = await _attended(run, reader)
        recording.problems += problems
        say_recording(recording)
    finally:
        await client.close()


def _start_of(line: bytes) -> int | None:
    """When to begin; None where the parent says to stop before that, or is gone."""
    try:
        return msgspec.json.decode(line, type=Start).start_ns
    except msgspec.DecodeError:
        return None


async def _attended(run: ShareRun, reader: asyncio.StreamReader) -> Recording:
    """Run while listening to the parent and reporting to it."""

    async def listen() -> None:
        if await reader.readline():
            run.stop()
            await reader.readline()
        run.abort()

    async def report() -> None:
        while True:
            await asyncio.sleep(PROGRESS_INTERVAL_S)
            say(Report(live=run.live()))

    helpers = [asyncio.create_task(listen()), asyncio.create_task(report())]
    try:
        return await run.run()
    finally:
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)


def main() -> None:
    """Run on uvloop where it exists, as the services do."""
    with runner() as loop, contextlib.suppress(asyncio.CancelledError):
        loop.run(_work())


if __name__ == "__main__":
    main()
