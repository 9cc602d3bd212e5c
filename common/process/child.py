"""One life of a child process: started by exec, its words passed on, its end awaited.

Children get a process group of their own: a Ctrl-C at the terminal reaches the supervisor alone,
which then stops them in order. Taken directly it would be their first signal, and the
supervisor's their second, at which a service leaves without draining.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import msgspec

from common import ROOT
from common.process.ready import Ready

# Seconds. A service that imports a shop of millions needs tens; one that needs more hangs.
START_MAX_S: Final = 180.0
# Bytes of one line that is passed on; a longer one is cut out.
_LINE_MAX: Final = 1 << 20
# Lines kept of what a service says before it is ready; the rest is passed on at once.
_HELD_MAX: Final = 100
# Seconds that the load generator has to end after an interrupt, inside the time of a stop.
_ERRAND_GRACE_S: Final = 1.5

Say = Callable[[str], None]


_READY: Final = msgspec.json.Decoder(Ready)


class Child:
    """A service's process. What it says on stderr is held back until it is ready or has ended.

    A service that cannot start says why in one sentence; whoever started it decides whether that
    is worth a line.
    """

    def __init__(self, servico: str, process: Process, say: Say, warn: Say) -> None:
        self.servico = servico
        self.ready = False
        self.ended = asyncio.Event()
        self._process = process
        self._say = say
        self._warn = warn
        self._held: list[str] = []

    @classmethod
    async def spawn(
        cls,
        servico: str,
        command: Sequence[str],
        stdin: int,
        say: Say,
        warn: Say,
        *,
        variables: Mapping[str, str],
    ) -> Child:
        """Start a service whose standard input is `stdin`, with `variables` added to its environment.

        Raises OSError.
        """
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=stdin,
            stdout=PIPE,
            stderr=PIPE,
            limit=_LINE_MAX,
            env={**environment(), **variables},
            process_group=0,
        )
        return cls(servico, process, say, warn)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def sentence(self) -> str:
        """The last thing that a service which never became ready said."""
        return self._held[-1] if self._held else f"{self.servico}: it did not say why"

    async def live(self, on_ready: Callable[[], None]) -> int:
        """Pass on what the process says until it ends; its exit code, minus a signal's number."""
        timer = asyncio.get_running_loop().call_later(START_MAX_S, self._too_slow)
        try:
            async with asyncio.TaskGroup() as readers:
                readers.create_task(self._read_output(on_ready))
                readers.create_task(self._read_errors())
            return await self._process.wait()
        finally:
            timer.cancel()
            self.ended.set()

    def send(self, sign: signal.Signals) -> None:
        """Send a signal, if the process still lives."""
        with suppress(ProcessLookupError):
            self._process.send_signal(sign)

    def release(self) -> None:
        """Pass on what was held back."""
        for line in self._held:
            self._pass_on(line, self._warn)
        self._held.clear()

    async def _read_output(self, on_ready: Callable[[], None]) -> None:
        assert self._process.stdout is not None
        async for line in _lines(self._process.stdout):
            if not self.ready and self._announces(line):
                self.ready = True
                self.release()
                on_ready()
            else:
                self._pass_on(line, self._say)

    async def _read_errors(self) -> None:
        assert self._process.stderr is not None
        async for line in _lines(self._process.stderr):
            if self.ready or len(self._held) >= _HELD_MAX:
                self._pass_on(line, self._warn)
            else:
                self._held.append(line)

    def _announces(self, line: str) -> bool:
        try:
            return _READY.decode(line).ready == self.servico
        except msgspec.DecodeError:
            return False

    def _pass_on(self, line: str, where: Say) -> None:
        where(f"{self.servico:<10} | {line}")

    def _too_slow(self) -> None:
        if not self.ready:
            self._warn(f"{self.servico} was not ready after {START_MAX_S:g} s: ending it")
            self.send(signal.SIGKILL)


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    while True:
        try:
            line = await stream.readline()
        except ValueError:
            # Longer than the limit: the reader has dropped it.
            continue
        if not line:
            return
        yield line.decode(errors="replace").rstrip()


@contextmanager
def lifeline() -> Iterator[int]:
    """The reading end of a pipe that ends with this process, whatever ends it."""
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(reading)
        os.close(writing)


async def run_errand(
    command: Sequence[str], stdin: int = DEVNULL, variables: Mapping[str, str] | None = None
) -> int:
    """Run a command to its end on this process's own output; its exit code.

    Cancelled, it interrupts the command and all its processes, and ends them soon after.
    """
    process = await asyncio.create_subprocess_exec(
        *command, stdin=stdin, env={**environment(), **(variables or {})}, process_group=0
    )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            try:
                _signal_group(process.pid, signal.SIGINT)
                with suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), _ERRAND_GRACE_S)
            finally:
                # Also when the command itself has ended: processes of its own may be left.
                _signal_group(process.pid, signal.SIGKILL)
            # An interrupt can be ignored: a shell's background jobs begin so.
            await process.wait()


def _signal_group(group: int, sign: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, sign)


def environment() -> dict[str, str]:
    """The environment in which `python -m` finds this project from any directory."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def python(*arguments: str) -> list[str]:
    """A command for the interpreter that runs this one."""
    return [sys.executable, *arguments]


def how_it_ended(code: int) -> str:
    """An exit code in words: `exit code 1` or `SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
