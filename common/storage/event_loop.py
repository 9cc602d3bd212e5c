"""Storage: one SQLite file a service, one writer, and commits shared by the work that waits.

A unit of work is one synchronous function run in the database thread. Units that wait together
share one `BEGIN IMMEDIATE ... COMMIT` (see common/storage/batching.py); a unit may run twice: it depends on
the database and its arguments alone. A unit's caller resumes only after the commit. With
`synchronous=FULL` the log is on disk by then. Sharing the commit is the largest single lever on
speed here: one flush serves all.

aiosqlite supplies the thread and the connection; the unit of work is what is added.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import aiosqlite

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

_LOG = logging.getLogger(__name__)


class GroupConnection(aiosqlite.Connection):
    """An aiosqlite connection whose waiting work shares transactions."""

    def __init__(
        self, connector: Callable[[], sqlite3.Connection], *, writer: bool, pressure: Pressure
    ) -> None:
        super().__init__(connector, iter_chunk_size=64)
        self._writer = writer
        self._begin = "BEGIN IMMEDIATE" if writer else "BEGIN"
        self._company = Company(pressure)
        self._waiting: deque[Unit] = deque()
        self._running_batch = False
        self._closing = False
        self._patience: asyncio.TimerHandle | None = None
        # Since it was opened: batches run, units in them, and the seconds of their commits.
        self.batches = 0
        self.units = 0
        self.commit_s = 0.0

    @property
    def queue(self) -> int:
        """Units that wait for their batch to begin."""
        return len(self._waiting)

    def unit_of_work(
        self,
        function: Callable[Concatenate[sqlite3.Connection, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> asyncio.Future[tuple[R, Commit]]:
        """Hand over `function(connection, *args)`; comes to its value and its commit.

        Cancelling the future does not undo the unit: once handed over it runs. Raises ErroServico
        (unavailable) when the connection is closed.
        """
        assert not kwargs, "units of work take positional arguments only"
        if self._closing or not self._running or self._connection is None:
            raise indisponivel("o banco de dados está fechado")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[R, Commit]] = loop.create_future()
        self._waiting.append(Unit(function, args, future))
        self._company.arrived()
        self._consider(loop)
        return future

    async def close(self) -> None:
        """Run what was handed over, take nothing more, and close the connection."""
        self._closing = True
        while self._waiting or self._running_batch:
            ended = asyncio.get_running_loop().create_future()
            self._waiting.append(Unit(_nothing, (), ended))
            self._begin_batch(asyncio.get_running_loop())
            await ended
        await super().close()

    def _consider(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin a batch if there is enough company, else wait for more, but not for long."""
        if self._running_batch or not self._waiting:
            return
        if len(self._waiting) >= BATCH_ENOUGH:
            # Enough, whatever it was waiting for.
            self._begin_batch(loop)
        elif self._patience is None:
            patience_s = self._company.patience(len(self._waiting), loop.time())
            if patience_s == 0:
                self._begin_batch(loop)
            else:
                self._patience = loop.call_later(patience_s, self._begin_batch, loop)

    def _begin_batch(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if not self._running_batch:
            self._running_batch = True
            self._tx.put_nowait((None, lambda: self._run_batch(loop)))

    def _ended(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[Unit],
        outcomes: list[Outcome],
        commit: Commit,
    ) -> None:
        """Back on the loop: tell every caller, and see to those who came meanwhile."""
        self._running_batch = False
        for unit, (value, error) in zip(batch, outcomes, strict=True):
            if unit.caller.done():
                continue
            if error is None:
                unit.caller.set_result((value, commit))
            else:
                unit.caller.set_exception(error)
        self._consider(loop)

    # --- in the database thread ---------------------------------------------------------------

    def _run_batch(self, loop: asyncio.AbstractEventLoop) -> None:
        batch = take(self._waiting)
        outcomes, commit = run_batch(self._conn, self._begin, batch)
        self.batches += 1
        self.units += len(batch)
        self.commit_s += commit.seconds
        loop.call_soon_threadsafe(self._ended, loop, batch, outcomes, commit)


def _nothing(con: sqlite3.Connection) -> None:
    """A unit that only marks a place in the queue."""


class Storage:
    """The port `Database` on two aiosqlite connections: the only writer, and a read-only one."""

    def __init__(self, writer: GroupConnection, reader: GroupConnection) -> None:
        self._writer = writer
        self._reader = reader

    @classmethod
    async def open(
        cls, path: Path, *, synchronous: Synchronous = "FULL", pressure: Pressure | None = None
    ) -> Storage:
        """Open an existing database. Raises ErroServico (unavailable) when SQLite refuses it."""
        pressure = pressure or Pressure()
        writer = GroupConnection(
            lambda: connect_writer(path, synchronous=synchronous), writer=True, pressure=pressure
        )
        reader = GroupConnection(
            lambda: connect(path, read_only=True), writer=False, pressure=pressure
        )
        try:
            await writer
            await reader
        except sqlite3.Error as error:
            await writer.close()
            raise indisponivel(f"{path.name}: {error}") from error
        return cls(writer, reader)

    @property
    def writer(self) -> GroupConnection:
        """The connection that writes, and what it has counted."""
        return self._writer

    def unit(
        self,
        ctx: Contexto | None,
        funcao: Callable[Concatenate[sqlite3.Connection, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Coroutine[Any, Any, R]:
        """One durable unit of work; see portas.Database."""
        return _timed(self._writer, ctx, funcao, *args, **kwargs)

    def read(
        self,
        ctx: Contexto | None,
        funcao: Callable[Concatenate[sqlite3.Connection, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Coroutine[Any, Any, R]:
        """One read; see portas.Database."""
        return _timed(self._reader, ctx, funcao, *args, **kwargs)

    async def close(self) -> None:
        """Finish what was handed over, then close both connections."""
        await self._reader.close()
        await self._writer.close()


async def _timed(
    connection: GroupConnection,
    ctx: Contexto | None,
    function: Callable[Concatenate[sqlite3.Connection, P], R],
    *args: P.args,
    **kwargs: P.kwargs,
) -> R:
    with StorageWait(ctx) as wait:
        value, wait.commit = await connection.unit_of_work(function, *args, **kwargs)
    return value
