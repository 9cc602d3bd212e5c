"""Storage on threads: callers block until their unit of work is committed.

`SharedStorage` has a writer thread that runs what waits together as one transaction, by the same
rules as the loops' storage. `PlainStorage` is the textbook's way, kept to show what it costs.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from blocking.execution import blocked, wait
from common.erros import indisponivel
from common.servicos.protocolo.tabelas import Read
from common.storage.batches import Batches, Commit
from common.storage.company import Company
from common.storage.connection import Synchronous, connect, connect_writer
from common.storage.database import MakeEngine, SQLiteDatabase, reading_engine
from common.storage.engine import Engine
from common.storage.overlay import Outcome, Unit
from common.storage.pressure import Pressure
from common.storage.sqlite import SQLiteEngine


class _Caller:
    """Somebody who waits for a unit of work."""

    __slots__ = ("commit", "done", "outcome")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.outcome: Outcome = (None, None)
        self.commit = Commit(0.0, 0.0)


class SharedConnection:
    """A connection with a thread of its own, whose waiting work shares transactions."""

    def __init__(self, con: sqlite3.Connection, engine: Engine, pressure: Pressure) -> None:
        self.company = Company(pressure)
        self._con = con
        self._batches = Batches(engine)
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, daemon=True, name="storage")
        self._thread.start()

    async def hand_over(
        self, reads: Sequence[Read], decide: Callable[..., Any], args: tuple[Any, ...]
    ) -> tuple[Any, Commit]:
        """See database.Connection."""
        caller = _Caller()
        with self._changed:
            if self._closing:
                raise indisponivel("o banco de dados está fechado")
            self.company.join(Unit(reads, decide, args, caller))
            self._changed.notify()
        wait(caller.done)
        return _value(caller.outcome), caller.commit

    async def close(self) -> None:
        """See database.Connection."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        self._con.close()

    def _work(self) -> None:
        while self._gathered():
            batch, outcomes, commit = self.company.run(self._batches)
            for unit, outcome in zip(batch, outcomes, strict=True):
                caller: _Caller = unit.caller
                caller.outcome, caller.commit = outcome, commit
                caller.done.set()

    def _gathered(self) -> bool:
        """Wait until there is company enough for a batch; False when the end has come."""
        company = self.company
        with self._changed:
            while not company.queue and not self._closing:
                self._changed.wait()
            now = time.monotonic()
            until = now + company.patience(now)
            while not company.enough and not self._closing:
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            return company.queue > 0


class SharedStorage(SQLiteDatabase):
    """The port `Database` on two connections with a thread each."""

    def __init__(
        self,
        path: Path,
        *,
        synchronous: Synchronous,
        pressure: Pressure,
        engine: MakeEngine = SQLiteEngine,
    ) -> None:
        """Open an existing database. Raises ErroServico (unavailable) when SQLite refuses it.

        `engine` makes the engine of the connection that writes.
        """
        with _refused(path):
            writing = connect_writer(path, synchronous=synchronous)
            try:
                reading = connect(path, read_only=True)
            except sqlite3.Error:
                writing.close()
                raise
        super().__init__(
            SharedConnection(writing, engine(writing), pressure),
            SharedConnection(reading, reading_engine(reading), pressure),
        )


class _PlainConnection:
    """Connects, commits and closes for each unit of work; one at a time where `turn` is a lock."""

    # Nothing is shared, so nothing is counted.
    company = None

    def __init__(
        self,
        connector: Callable[[], sqlite3.Connection],
        engine: MakeEngine,
        turn: AbstractContextManager[Any],
    ) -> None:
        self._connector = connector
        self._engine = engine
        self._turn = turn
        self._closed = False

    async def hand_over(
        self, reads: Sequence[Read], decide: Callable[..., Any], args: tuple[Any, ...]
    ) -> tuple[Any, Commit]:
        """See database.Connection."""
        with blocked(), self._turn:
            if self._closed:
                raise indisponivel("o banco de dados está fechado")
            with closing(self._connector()) as con:
                unit = Unit(reads, decide, args, None)
                outcomes, commit = Batches(self._engine(con)).run([unit])
        return _value(outcomes[0]), commit

    async def close(self) -> None:
        """Let the call under way end, take nothing more."""
        with self._turn:
            self._closed = True


class PlainStorage(SQLiteDatabase):
    """The port `Database` the textbook's way: a connection of its own and a commit for every call.

    Writers go one after the other by a lock of the process's: of two connections that wrote and
    checkpointed at once, some versions of SQLite lose data (https://sqlite.org/wal.html).
    """

    def __init__(
        self, path: Path, *, synchronous: Synchronous, engine: MakeEngine = SQLiteEngine
    ) -> None:
        """Open an existing database. Raises ErroServico (unavailable) when SQLite refuses it."""
        with _refused(path):
            # The last connection to close takes the log away with it: this one stays.
            self._keeper = connect_writer(path, synchronous=synchronous)
        super().__init__(
            _PlainConnection(
                lambda: connect(path, synchronous=synchronous), engine, threading.Lock()
            ),
            _PlainConnection(lambda: connect(path, read_only=True), reading_engine, nullcontext()),
        )

    async def close(self) -> None:
        """Let the calls under way end, take nothing more."""
        await super().close()
        self._keeper.close()


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    """Say that a database cannot be opened as the service's error."""
    try:
        yield
    except sqlite3.Error as error:
        raise indisponivel(f"{path.name}: {error}") from error


def _value(outcome: Outcome) -> Any:
    value, error = outcome
    if error is not None:
        raise error
    return value
