"""Storage: one SQLite file a service, one writer, and commits shared by the work that waits.

A unit of work is one synchronous function run in the database thread. Units that wait together
share one `BEGIN IMMEDIATE ... COMMIT`; when one of them fails the batch begins again with each inside
a savepoint of its own, so that it harms no other. A unit may therefore run twice: it depends on the
database and its arguments alone. A unit's caller resumes only after the commit. With `synchronous=FULL` the log is on
disk by then. Sharing the commit is the largest single lever on speed here: one flush serves all.

aiosqlite supplies the thread and the connection; the unit of work is what is added.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Coroutine
from itertools import repeat
from pathlib import Path
from typing import Any, Concatenate, Final, Literal, NamedTuple, ParamSpec, TypeVar

import aiosqlite

from common.erros import indisponivel
from common.load import Load
from common.servicos.contexto import Contexto

P = ParamSpec("P")
R = TypeVar("R")

_LOG = logging.getLogger(__name__)

# Units. Bounds the time that the first of a batch waits for the last.
LOTE_MAX: Final = 256
# Seconds. The longest that a unit waits for company before its batch begins, when the processors
# are the bottleneck: then one flush and two thread switches for many are worth the wait.
ESPERA_LOTE_S: Final = 0.02
# Units. A batch begins at once when it holds so many: sharing among more saves little.
LOTE_BASTANTE: Final = 24
# Units. A batch begins at once when fewer than this may be expected to join it in that time.
COMPANHIA_MIN: Final = 4
# Seconds over which the rate of units is taken.
_RITMO_S: Final = 0.25
# Pages of the write-ahead log between checkpoints. Hot pages come again and again: the longer the
# log, the fewer of their copies are written back. 16 MB, read through in a blink at start.
PAGINAS_POR_CHECKPOINT: Final = 4_000
# Bytes that fill one page of the reservation below, whatever the page's own header takes.
_ENCHIMENTO: Final = 4_000
# Seconds. A shorter wait is not worth a timer.
_PACIENCIA_MIN_S: Final = 0.001
# Milliseconds. Only an auditor's snapshot or a checkpoint may ever be in the way.
BUSY_TIMEOUT_MS: Final = 5_000

Synchronous = Literal["FULL", "NORMAL", "OFF"]


class Commit(NamedTuple):
    """How long a shared commit took, and when it was done (monotonic); seconds."""

    seconds: float
    ended: float


class _Unit(NamedTuple):
    function: Callable[..., Any]
    args: tuple[Any, ...]
    future: asyncio.Future[tuple[Any, Commit]]


# What a unit came to: its value, or its error.
_Outcome = tuple[Any, BaseException | None]


class GroupConnection(aiosqlite.Connection):
    """An aiosqlite connection whose waiting work shares transactions.

    A unit waits a little for company, only as far as `load` says that the processors are the
    bottleneck and only while units come often enough: on an idle machine a batch begins at once,
    and shares what gathers while another one runs.
    """

    def __init__(
        self, connector: Callable[[], sqlite3.Connection], *, writer: bool, load: Load
    ) -> None:
        super().__init__(connector, iter_chunk_size=64)
        self._writer = writer
        self._begin = "BEGIN IMMEDIATE" if writer else "BEGIN"
        self._load = load
        self._waiting: deque[_Unit] = deque()
        self._running_batch = False
        self._closing = False
        self._patience: asyncio.TimerHandle | None = None
        self._arrived = 0
        self._counted_from = 0.0
        self._per_s = 0.0
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
        self._waiting.append(_Unit(function, args, future))
        self._arrived += 1
        self._consider(loop)
        return future

    async def close(self) -> None:
        """Run what was handed over, take nothing more, and close the connection."""
        self._closing = True
        while self._waiting or self._running_batch:
            ended = asyncio.get_running_loop().create_future()
            self._waiting.append(_Unit(_nothing, (), ended))
            self._begin_batch(asyncio.get_running_loop())
            await ended
        await super().close()

    def _consider(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin a batch if there is enough company, else wait for more, but not for long."""
        if self._running_batch or not self._waiting:
            return
        if len(self._waiting) >= LOTE_BASTANTE:
            self._begin_batch(loop)
        elif self._patience is None:
            patience_s = ESPERA_LOTE_S * self._load.pressure()
            expected = self._rate(loop.time()) * patience_s
            if patience_s < _PACIENCIA_MIN_S or expected < COMPANHIA_MIN:
                self._begin_batch(loop)
            else:
                self._patience = loop.call_later(patience_s, self._begin_batch, loop)

    def _rate(self, now: float) -> float:
        """Units a second, of the last interval that is over."""
        passed = now - self._counted_from
        if passed >= _RITMO_S:
            self._per_s = self._arrived / passed
            self._arrived, self._counted_from = 0, now
        return self._per_s

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
        batch: list[_Unit],
        outcomes: list[_Outcome],
        commit: Commit,
    ) -> None:
        """Back on the loop: tell every caller, and see to those who came meanwhile."""
        self._running_batch = False
        for unit, (value, error) in zip(batch, outcomes, strict=True):
            if unit.future.done():
                continue
            if error is None:
                unit.future.set_result((value, commit))
            else:
                unit.future.set_exception(error)
        self._consider(loop)

    # --- in the database thread ---------------------------------------------------------------

    def _run_batch(self, loop: asyncio.AbstractEventLoop) -> None:
        batch = self._take()
        outcomes, commit = self._run(self._conn, batch)
        self.batches += 1
        self.units += len(batch)
        self.commit_s += commit.seconds
        loop.call_soon_threadsafe(self._ended, loop, batch, outcomes, commit)

    def _take(self) -> list[_Unit]:
        batch: list[_Unit] = []
        while self._waiting and len(batch) < LOTE_MAX:
            batch.append(self._waiting.popleft())
        return batch

    def _run(self, con: sqlite3.Connection, batch: list[_Unit]) -> tuple[list[_Outcome], Commit]:
        try:
            con.execute(self._begin)
            outcomes = self._together(con, batch)
            if outcomes is None:
                # One of them failed. Begin again, each in a savepoint: it harms itself alone.
                con.execute("ROLLBACK")
                con.execute(self._begin)
                outcomes = [_apart(con, unit) for unit in batch]
            start = time.monotonic()
            con.execute("COMMIT")
            ended = time.monotonic()
            return outcomes, Commit(ended - start, ended)
        except BaseException as error:
            # The transaction is gone, or must go: nobody in the batch may be told otherwise. A
            # rollback that fails too finds nothing to keep: SQLite recovers the file at its next
            # use.
            with contextlib.suppress(sqlite3.Error):
                if con.in_transaction:
                    con.execute("ROLLBACK")
            return [(None, error)] * len(batch), Commit(0.0, time.monotonic())

    def _together(self, con: sqlite3.Connection, batch: list[_Unit]) -> list[_Outcome] | None:
        """Every unit in one go; None when one fails, unless it was alone and takes the blame."""
        try:
            outcomes: list[_Outcome] = [(unit.function(con, *unit.args), None) for unit in batch]
        except BaseException:
            if len(batch) == 1:
                raise
            _assert_open(con)
            return None
        _assert_open(con)
        return outcomes


def _apart(con: sqlite3.Connection, unit: _Unit) -> _Outcome:
    """One unit in a savepoint; what it raises is its own unless the transaction died with it."""
    con.execute("SAVEPOINT unidade")
    try:
        outcome: _Outcome = (unit.function(con, *unit.args), None)
    except BaseException as error:
        _assert_open(con)
        con.execute("ROLLBACK TO unidade")
        outcome = (None, error)
    _assert_open(con)
    con.execute("RELEASE unidade")
    return outcome


def _assert_open(con: sqlite3.Connection) -> None:
    """Raises when the shared transaction is gone, and with it the work of everybody in it."""
    if not con.in_transaction:
        raise sqlite3.OperationalError("the shared transaction was ended by a unit or by SQLite")


def _nothing(con: sqlite3.Connection) -> None:
    """A unit that only marks a place in the queue."""


class Storage:
    """The port `Banco` on two aiosqlite connections: the only writer, and a read-only one."""

    def __init__(self, writer: GroupConnection, reader: GroupConnection) -> None:
        self._writer = writer
        self._reader = reader

    @classmethod
    async def open(
        cls, path: Path, *, synchronous: Synchronous = "FULL", load: Load | None = None
    ) -> Storage:
        """Open an existing database. Raises ErroServico (unavailable) when SQLite refuses it."""
        load = load or Load()
        writer = GroupConnection(
            lambda: _writer(path, synchronous=synchronous), writer=True, load=load
        )
        reader = GroupConnection(lambda: connect(path, read_only=True), writer=False, load=load)
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

    def unidade(
        self,
        ctx: Contexto | None,
        funcao: Callable[Concatenate[sqlite3.Connection, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Coroutine[Any, Any, R]:
        """One durable unit of work; see portas.Banco."""
        return _timed(self._writer, ctx, funcao, *args, **kwargs)

    def leitura(
        self,
        ctx: Contexto | None,
        funcao: Callable[Concatenate[sqlite3.Connection, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Coroutine[Any, Any, R]:
        """One read; see portas.Banco."""
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
    start = time.monotonic()
    antes = "" if ctx is None else ctx.entrar("banco")
    try:
        value, commit = await connection.unit_of_work(function, *args, **kwargs)
        if ctx is not None:
            ctx.pronto(commit.ended)
    except sqlite3.IntegrityError:
        # A rule of the schema that the domain should have checked: a defect, not bad luck.
        raise
    except sqlite3.Error as error:
        # The cause stays in our log: a file's name and state are no business of the caller.
        _LOG.warning("o banco de dados falhou: %s", error)
        raise indisponivel("o banco de dados não está disponível") from error
    finally:
        if ctx is not None:
            ctx.banco += time.monotonic() - start
            ctx.sair(antes)
    if ctx is not None:
        ctx.commit += commit.seconds
    return value


def _writer(path: Path, *, synchronous: Synchronous) -> sqlite3.Connection:
    """The connection of a service's only writer, its log reserved on the disk."""
    con = connect(path, synchronous=synchronous)
    try:
        reserve_log(con, path)
    except BaseException:
        con.close()
        raise
    return con


def reserve_log(con: sqlite3.Connection, path: Path) -> None:
    """Give the write-ahead log its full length on the disk before the first order.

    A commit that makes a file longer has the file system journal the new length with it; one that
    overwrites a part already there does not. The log is overwritten from its first checkpoint on:
    this has it so from the start. Done with SQLite's own means: a transaction larger than its cache
    spills into the log, and when it is rolled back the next one begins where it began.
    """
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size >= PAGINAS_POR_CHECKPOINT * _ENCHIMENTO:
        # Left by a process that was killed.
        return
    (cache,) = con.execute("PRAGMA cache_size").fetchone()
    con.execute("PRAGMA cache_size = 16")
    try:
        con.execute("BEGIN IMMEDIATE")
        con.execute("CREATE TABLE reserva (enchimento BLOB)")
        con.executemany(
            "INSERT INTO reserva VALUES (zeroblob(?))",
            repeat((_ENCHIMENTO,), PAGINAS_POR_CHECKPOINT),
        )
    except sqlite3.OperationalError as error:
        # A disk without room for the log may still have room for orders: they will tell.
        _LOG.warning("o log de %s não foi reservado: %s", path.name, error)
    finally:
        if con.in_transaction:
            con.execute("ROLLBACK")
        con.execute(f"PRAGMA cache_size = {cache}")
    with contextlib.suppress(FileNotFoundError), log.open("rb") as file:
        # Now, and not in the first commit.
        os.fsync(file.fileno())


def connect(
    path: Path,
    *,
    read_only: bool = False,
    synchronous: Synchronous = "FULL",
    busy_timeout_ms: int | None = None,
) -> sqlite3.Connection:
    """A connection set up as every one here must be: WAL, explicit transactions, foreign keys."""
    mode = "ro" if read_only else "rw"
    con = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    try:
        con.execute(f"PRAGMA busy_timeout = {busy_timeout_ms or BUSY_TIMEOUT_MS}")
        con.execute("PRAGMA foreign_keys = ON")
        if not read_only:
            con.execute("PRAGMA journal_mode = WAL")
            con.execute(f"PRAGMA synchronous = {synchronous}")
            con.execute(f"PRAGMA wal_autocheckpoint = {PAGINAS_POR_CHECKPOINT}")
    except BaseException:
        con.close()
        raise
    return con
