"""Storage on threads: commits shared as in the other arms, or one connection and commit a call.

`SharedStorage` has a writer thread that runs what waits together as one transaction (see
common/storage/batching.py); callers block on their result. `PlainStorage` is the textbook's way, kept to
show what it costs.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from blocking.execution import blocked, wait
from common.erros import indisponivel
from common.servicos.protocolo.contexto import Contexto
from common.storage.batching import (
    BATCH_ENOUGH,
    Commit,
    Company,
    Outcome,
    Unit,
    run_batch,
    take,
)
from common.storage.connection import Synchronous, connect, connect_writer
from common.storage.pressure import Pressure
from common.storage.wait import StorageWait

P = ParamSpec("P")
R = TypeVar("R")

_WRITING: Final = "BEGIN IMMEDIATE"
_READING: Final = "BEGIN"


class _Caller:
    """Somebody who waits for a unit of work."""

    __slots__ = ("commit", "done", "outcome")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.outcome: Outcome = (None, None)
        self.commit = Commit(0.0, 0.0)


class SharedConnection:
    """A connection in a thread of its own, whose waiting work shares transactions."""

    def __init__(
        self, connector: Callable[[], sqlite3.Connection], *, begin: str, pressure: Pressure
    ) -> None:
        """Raises sqlite3.Error when the connection cannot be made."""
        self._con = connector()
        self._begin = begin
        self._company = Company(pressure)
        self._waiting: deque[Unit] = deque()
        self._changed = threading.Condition()
        self._closing = False
        # Since it was opened: batches run, units in them, and the seconds of their commits.
        self.batches = 0
        self.units = 0
        self.commit_s = 0.0
        self._thread = threading.Thread(target=self._work, daemon=True, name="storage")
        self._thread.start()

    @property
    def queue(self) -> int:
        """Units that wait for their batch to begin."""
        return len(self._waiting)

    def unit_of_work(self, function: Callable[..., R], *args: Any) -> tuple[R, Commit]:
        """Run `function(connection, *args)`; its value and its commit.

        Stopping the task that waits does not undo the unit: once handed over it runs. Raises
        ErroServico (unavailable) when the connection is closed.
        """
        caller = _Caller()
        with self._changed:
            if self._closing:
                raise indisponivel("o banco de dados está fechado")
            self._waiting.append(Unit(function, args, caller))
            self._company.arrived()
            self._changed.notify()
        wait(caller.done)
        value, error = caller.outcome
        if error is not None:
            raise error
        return value, caller.commit

    def close(self) -> None:
        """Run what was handed over, take nothing more, and close the connection."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        self._con.close()

    def _work(self) -> None:
        while batch := self._next_batch():
            outcomes, commit = run_batch(self._con, self._begin, batch)
            self.batches += 1
            self.units += len(batch)
            self.commit_s += commit.seconds
            for unit, outcome in zip(batch, outcomes, strict=True):
                caller: _Caller = unit.caller
                caller.outcome, caller.commit = outcome, commit
                caller.done.set()

    def _next_batch(self) -> list[Unit]:
        """The units that wait, once there is company enough; none when the end has come."""
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            now = time.monotonic()
            until = now + self._company.patience(len(self._waiting), now)
            while len(self._waiting) < BATCH_ENOUGH and not self._closing:
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            return take(self._waiting)


class _Blocking(ABC):
    """The port `Database` on two functions that block until their work is done."""

    @abstractmethod
    def _write(self, function: Callable[..., R], *args: Any) -> tuple[R, Commit]:
        """Run `function(connection, *args)` durably; its value and its commit."""

    @abstractmethod
    def _read(self, function: Callable[..., R], *args: Any) -> tuple[R, Commit]:
        """Run `function(connection, *args)` on what was committed; its value and its end."""

    async def unit(
        self,
        ctx: Contexto | None,
        funcao: Callable[Concatenate[sqlite3.Connection, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """One durable unit of work; see portas.Database."""
        assert not kwargs, "units of work take positional arguments only"
        with StorageWait(ctx) as wait:
            value, wait.commit = self._write(funcao, *args)
        return value

    async def read(
        self,
        ctx: Contexto | None,
        funcao: Callable[Concatenate[sqlite3.Connection, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """One read; see portas.Database."""
        assert not kwargs, "units of work take positional arguments only"
        with StorageWait(ctx) as wait:
            value, wait.commit = self._read(funcao, *args)
        return value


class SharedStorage(_Blocking):
    """The port `Database` on two connections: the only writer, and a read-only one."""

    def __init__(self, path: Path, *, synchronous: Synchronous, pressure: Pressure) -> None:
        """Open an existing database. Raises ErroServico (unavailable) when SQLite refuses it."""
        try:
            self._writer = SharedConnection(
                lambda: connect_writer(path, synchronous=synchronous),
                begin=_WRITING,
                pressure=pressure,
            )
            try:
                self._reader = SharedConnection(
                    lambda: connect(path, read_only=True), begin=_READING, pressure=pressure
                )
            except sqlite3.Error:
                self._writer.close()
                raise
        except sqlite3.Error as error:
            raise indisponivel(f"{path.name}: {error}") from error

    @property
    def writer(self) -> SharedConnection:
        """The connection that writes, and what it has counted."""
        return self._writer

    def _write(self, function: Callable[..., R], *args: Any) -> tuple[R, Commit]:
        return self._writer.unit_of_work(function, *args)

    def _read(self, function: Callable[..., R], *args: Any) -> tuple[R, Commit]:
        return self._reader.unit_of_work(function, *args)

    async def close(self) -> None:
        """Finish what was handed over, then close both connections."""
        self._reader.close()
        self._writer.close()


class PlainStorage(_Blocking):
    """The port `Database` the textbook's way: a connection of its own and a commit for every call.

    Writers go one after the other by a lock of the process's: of two connections that wrote and
    checkpointed at once, some versions of SQLite lose data (https://sqlite.org/wal.html).
    """

    def __init__(self, path: Path, *, synchronous: Synchronous) -> None:
        """Open an existing database. Raises ErroServico (unavailable) when SQLite refuses it."""
        self._path = path
        self._synchronous = synchronous
        self._turn = threading.Lock()
        self._closed = False
        try:
            # The last connection to close takes the log away with it: this one stays.
            self._keeper = connect_writer(path, synchronous=synchronous)
        except sqlite3.Error as error:
            raise indisponivel(f"{path.name}: {error}") from error

    @property
    def writer(self) -> None:
        """Nothing is counted: each call has a connection of its own."""

    async def close(self) -> None:
        """Let the call under way end, take nothing more."""
        with self._turn:
            self._closed = True
            self._keeper.close()

    def _write(self, function: Callable[..., R], *args: Any) -> tuple[R, Commit]:
        with blocked(), self._turn:
            con = connect(self._path, synchronous=self._synchronous)
            return self._call(con, _WRITING, function, args)

    def _read(self, function: Callable[..., R], *args: Any) -> tuple[R, Commit]:
        with blocked():
            return self._call(connect(self._path, read_only=True), _READING, function, args)

    def _call(
        self, con: sqlite3.Connection, begin: str, function: Callable[..., R], args: tuple[Any, ...]
    ) -> tuple[R, Commit]:
        with closing(con):
            if self._closed:
                raise indisponivel("o banco de dados está fechado")
            outcomes, commit = run_batch(con, begin, [Unit(function, args, None)])
        value, error = outcomes[0]
        if error is not None:
            raise error
        return value, commit
