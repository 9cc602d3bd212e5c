"""Starts the services of one arm, watches them, restarts what dies, and stops them in order.

Everything that happens is one line. The supervisor imports no transport: it knows its services by
the line that they print when ready, by their exit codes and by the pipe that they hold.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, TextIO

from msgspec import Struct
from msgspec.structs import replace

from common.process.child import Child, Say, how_it_ended, lifeline
from common.process.ready import EXIT_UNUSABLE
from common.process.runfile import Run, ServiceRun, remove_run, write_run, write_targets

# Exit codes of a run: asked to stop, or its work done; failed; refused with nothing touched.
EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_REFUSED: Final = 2

# Starts in a row without ever being ready, after which a service will not be ready either.
STARTS_MAX: Final = 5
# Seconds before the second such start, doubled each time: what is in the way may go.
_PAUSE_S: Final = 0.1
# Seconds from the wish to stop until what still lives is killed.
STOP_MAX_S: Final = 4.5
# Of these, the seconds until the others are told even if the first still drains.
_FIRST_STOP_S: Final = 3.0

Work = Callable[[], Awaitable[int]]


class Plan(Struct, frozen=True, kw_only=True):
    """What to run: the services in the order in which they stop, and what run.json says of them.

    `command` gives the command line of a service, `variables` are added to its environment at each
    of its starts, `metrics` is where each shows its metrics; `started` is when the user asked, on
    the monotonic clock, in seconds.
    """

    data_dir: Path
    run: Run
    addresses: dict[str, str]
    metrics: dict[str, str] = {}
    command: Callable[[str], list[str]]
    variables: dict[str, str] = {}
    started: float


def say(line: str) -> None:
    """Print a line at once; a reader that has gone is no reason to end."""
    _print(line, sys.stdout)


def warn(line: str) -> None:
    """Print a line on stderr at once."""
    _print(line, sys.stderr)


def _print(line: str, where: TextIO) -> None:
    with suppress(OSError, ValueError):
        print(line, file=where, flush=True)


class Supervisor:
    """Owns the services of one arm from their start to their end."""

    def __init__(self, plan: Plan, say: Say = say, warn: Say = warn) -> None:
        self._plan = plan
        self._say = say
        self._warn = warn
        self._children: dict[str, Child] = {}
        self._all_ready = asyncio.Event()
        # The exit code, once something has ended the run; since when, in monotonic seconds.
        self._over: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._over_since = 0.0
        self._stopping = asyncio.Event()
        self._killed = False
        self._work: asyncio.Task[int] | None = None

    async def run(self, work: Work | None = None) -> int:
        """Run the services until the work is done, or without one until told; the exit code."""
        told = EXIT_OK if work is None else EXIT_FAILED
        with self._signals(told), lifeline() as held:
            async with asyncio.TaskGroup() as keepers:
                for servico in self._plan.addresses:
                    keepers.create_task(self._keep(servico, held))
                try:
                    code = await self._until_over(work)
                finally:
                    await self._stop()
        return EXIT_FAILED if self._killed else code

    # --- Starting and watching ----------------------------------------------------------------

    async def _keep(self, servico: str, held: int) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                child = await Child.spawn(
                    servico,
                    self._plan.command(servico),
                    held,
                    self._say,
                    self._warn,
                    variables=self._plan.variables,
                )
            except OSError as error:
                self._finish(EXIT_FAILED, f"cannot start {servico}: {error.strerror}")
                return
            self._children[servico] = child
            if self._stopping.is_set():
                child.send(signal.SIGKILL)
            self._publish()
            code = await child.live(partial(self._on_ready, child))
            failures = 0 if child.ready else failures + 1
            if self._stopping.is_set() or not self._may_start_again(child, code, failures):
                return
            if failures:
                self._publish()
                await self._pause(_PAUSE_S * 2 ** (failures - 1))

    def _may_start_again(self, child: Child, code: int, failures: int) -> bool:
        """Say how a service ended; false when that ends the run."""
        if code == EXIT_UNUSABLE and not self._all_ready.is_set():
            self._finish(EXIT_REFUSED, child.sentence)
            return False
        if code == EXIT_UNUSABLE:
            reason = child.sentence
        else:
            child.release()
            reason = f"{child.servico} (pid {child.pid}) ended with {how_it_ended(code)}"
        if failures >= STARTS_MAX:
            self._finish(EXIT_FAILED, f"{reason}; {failures} starts in a row failed: giving up")
            return False
        self._say(f"{reason}: restarting")
        return True

    async def _pause(self, duration_s: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), duration_s)

    def _on_ready(self, child: Child) -> None:
        if self._all_ready.is_set():
            self._publish()
            self._say(f"{child.servico} is ready again: pid {child.pid}")
        elif len(self._ready()) == len(self._plan.addresses):
            self._all_ready.set()
            self._publish()
            self._announce()

    def _ready(self) -> list[Child]:
        return [c for c in self._children.values() if c.ready and not c.ended.is_set()]

    def _announce(self) -> None:
        addresses = self._plan.addresses
        width = max(map(len, addresses.values()))
        self._say(f"{'service':<10}  {'address':<{width}}  {'pid':>7}")
        for servico, address in addresses.items():
            self._say(f"{servico:<10}  {address:<{width}}  {self._children[servico].pid:>7}")
        took_s = time.monotonic() - self._plan.started
        first, address = next(iter(addresses.items()))
        self._say(
            f"ready: {self._plan.run.mode}, {len(addresses)} services, {took_s:.1f} s, "
            f"{first} at {address}"
        )

    def _publish(self) -> None:
        """Make run.json true; before all are ready and once they stop there is none."""
        if not self._all_ready.is_set() or self._stopping.is_set():
            return
        services = {
            servico: ServiceRun(
                address=address,
                pid=None if child.ended.is_set() else child.pid,
                ready=child.ready,
                metrics=self._plan.metrics.get(servico, ""),
            )
            for servico, address in self._plan.addresses.items()
            for child in [self._children[servico]]
        }
        try:
            run = replace(self._plan.run, services=services)
            write_targets(self._plan.data_dir, run)
            write_run(self._plan.data_dir, run)
        except OSError as error:
            self._warn(f"cannot write run.json in {self._plan.data_dir}: {error.strerror}")

    # --- Ending -------------------------------------------------------------------------------

    async def _until_over(self, work: Work | None) -> int:
        if work is None:
            return await self._over
        self._work = asyncio.create_task(self._when_ready(work))
        await asyncio.wait({self._work, self._over}, return_when=asyncio.FIRST_COMPLETED)
        if self._work.done():
            self._over_since = time.monotonic()
            return self._work.result()
        self._work.cancel()
        await asyncio.wait({self._work})
        return self._over.result()

    async def _when_ready(self, work: Work) -> int:
        await self._all_ready.wait()
        try:
            return await work()
        except OSError as error:
            self._warn(f"run_all.py: {error}")
            return EXIT_FAILED

    def _finish(self, code: int, sentence: str = "") -> None:
        """End the run, saying why; what comes after the first reason is a consequence of it."""
        if not self._over.done() and not self._stopping.is_set():
            if sentence:
                self._warn(f"run_all.py: {sentence}")
            self._over_since = time.monotonic()
            self._over.set_result(code)

    async def _stop(self) -> None:
        """End every service, the first of the chain first, so that its drain finds the others."""
        self._stopping.set()
        with suppress(OSError):
            # Whatever the disk says, the services end; a file left behind is known to be stale.
            remove_run(self._plan.data_dir)
        children = [self._children[s] for s in self._plan.addresses if s in self._children]
        for child in children:
            # One that was paused could not hear, and the first would drain in vain.
            child.send(signal.SIGCONT)
        for child in children[:1]:
            child.send(signal.SIGTERM)
        await self._wait_for(children[:1], _FIRST_STOP_S)
        for child in children[1:]:
            child.send(signal.SIGTERM)
        await self._wait_for(children, STOP_MAX_S)
        for child in children:
            if not child.ended.is_set():
                if not self._killed:
                    self._warn(f"{child.servico} did not stop in {STOP_MAX_S:g} s: killing it")
                child.send(signal.SIGKILL)
        for child in children:
            await child.ended.wait()
        self._say(f"stopped in {time.monotonic() - self._over_since:.1f} s")

    async def _wait_for(self, children: list[Child], since_over_s: float) -> None:
        left_s = self._over_since + since_over_s - time.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, left_s)):
                for child in children:
                    await child.ended.wait()

    def _kill(self) -> None:
        self._warn("told twice: killing what still runs")
        self._killed = True
        if self._work is not None:
            self._work.cancel()
        for child in self._children.values():
            child.send(signal.SIGKILL)

    @contextmanager
    def _signals(self, code: int) -> Iterator[None]:
        """For the block, the first signal ends the run with `code` and the second kills."""
        loop = asyncio.get_running_loop()

        def on_signal(sign: signal.Signals) -> None:
            if self._over.done() or self._stopping.is_set():
                self._kill()
            else:
                self._say(f"{sign.name}: stopping")
                self._finish(code)

        signs = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            # The terminal has gone; under nohup that is meant to be survived.
            signs.append(signal.SIGHUP)
        for sign in signs:
            loop.add_signal_handler(sign, on_signal, sign)
        try:
            yield
        finally:
            for sign in signs:
                loop.remove_signal_handler(sign)
