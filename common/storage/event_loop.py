"""Storage on an event loop: callers suspend, and each connection has a thread by aiosqlite.

Units that wait together share one transaction (`batches.py`). A unit's caller resumes only after the
commit; with `synchronous=FULL` the log is on disk by then. Sharing the commit is the largest single
lever on speed here: one flush serves all.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite

from common.erros import indisponivel
from common.servicos.protocolo.tabelas import Read
from common.storage.batches import Batches, Commit
from common.storage.company import Company
from common.storage.connection import Synchronous, connect, connect_writer
from common.storage.database import MakeEngine, SQLiteDatabase, reading_engine
from common.storage.overlay import Outcome, Unit
from common.storage.pressure import Pressure
from common.storage.sqlite import SQLiteEngine


class GroupConnection(aiosqlite.Connection):
    """An aiosqlite connection whose waiting work shares transactions."""

    def __init__(
        self, connector: Callable[[], sqlite3.Connection], engine: MakeEngine, pressure: Pressure
    ) -> None:
        super().__init__(partial(self._open, connector, engine), iter_chunk_size=64)
        self.company = Company(pressure)
        self._running_batch = False
        self._closing = False
        self._patience: asyncio.TimerHandle | None = None

    def hand_over(
        self, reads: Sequence[Read], decide: Callable[..., Any], args: tuple[Any, ...]
    ) -> asyncio.Future[tuple[Any, Commit]]:
        """See database.Connection."""
        if self._closing or not self._running or self._connection is None:
            raise indisponivel("o banco de dados está fechado")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[Any, Commit]] = loop.create_future()
        self.company.join(Unit(reads, decide, args, future))
        self._consider(loop)
        return future

    async def close(self) -> None:
        """See database.Connection."""
        self._closing = True
        while self.company.queue or self._running_batch:
            loop = asyncio.get_running_loop()
            ended = loop.create_future()
            # A unit that only marks a place in the queue.
            self.company.join(Unit((), lambda _: None, (), ended))
            self._begin_batch(loop)
            await ended
        await super().close()

    def _consider(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin a batch if there is enough company, else wait for more, but not for long."""
        if self._running_batch or not self.company.queue:
            return
        if self.company.enough:
            # Enough, whatever it was waiting for.
            self._begin_batch(loop)
        elif self._patience is None:
            patience_s = self.company.patience(loop.time())
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

    def _open(
        self, connector: Callable[[], sqlite3.Connection], engine: MakeEngine
    ) -> sqlite3.Connection:
        con = connector()
        self._batches = Batches(engine(con))
        return con

    def _run_batch(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_soon_threadsafe(self._ended, loop, *self.company.run(self._batches))


class Storage(SQLiteDatabase):
    """The port `Database` on an event loop."""

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        synchronous: Synchronous = "FULL",
        pressure: Pressure | None = None,
        engine: MakeEngine = SQLiteEngine,
    ) -> Storage:
        """Open an existing database. Raises ErroServico (unavailable) when SQLite refuses it.

        `engine` makes the engine of the connection that writes.
        """
        pressure = pressure or Pressure()
        connect_to_write = partial(connect_writer, path, synchronous=synchronous)
        writer = GroupConnection(connect_to_write, engine, pressure)
        reader = GroupConnection(partial(connect, path, read_only=True), reading_engine, pressure)
        try:
            await writer
            await reader
        except sqlite3.Error as error:
            await writer.close()
            raise indisponivel(f"{path.name}: {error}") from error
        return cls(writer, reader)
