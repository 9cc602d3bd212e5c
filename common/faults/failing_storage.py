"""Storage whose units of work meet the rules of the failpoint `banco`.

A full disk and a lock are SQLite's own: its errors, its rollback. An I/O error is raised in its name.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

from common.erros import ErroServico, indisponivel
from common.faults.failpoints import Action, Failpoints, Rule
from common.faults.points import order_of
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.portas import Clock, Database, Tasks
from common.servicos.protocolo.tabelas import Facts, Read
from common.storage.engine import Written
from common.storage.sqlite import SQLiteEngine

P = ParamSpec("P")
R = TypeVar("R")

# Seconds between attempts to lock a database that is busy, and in all.
_AGAIN_S: Final = 0.005
_PATIENCE_S: Final = 5.0


class FailingDisk:
    """The disk under the engines of one storage: it fails the batch in which a struck unit runs.

    Used in the thread that runs batches, one at a time.
    """

    def __init__(self) -> None:
        self.fault: Action | None = None

    def engine(self, con: sqlite3.Connection) -> FailingEngine:
        """Make the engine of a connection that writes to it."""
        return FailingEngine(con, self)


class FailingEngine(SQLiteEngine):
    """SQLite on a disk that may fail: after the rows of a batch were written, before its commit."""

    def __init__(self, con: sqlite3.Connection, disk: FailingDisk) -> None:
        super().__init__(con)
        self._disk = disk

    def begin(self) -> None:
        """See Engine."""
        self._disk.fault = None
        super().begin()

    def write(self, written: Sequence[Written]) -> None:
        """See SQLiteEngine."""
        super().write(written)
        if self._disk.fault == "disk_full":
            _fill_disk(self._con)
        elif self._disk.fault is not None:
            msg = "disk I/O error"
            raise sqlite3.OperationalError(msg)


class FailingStorage:
    """The port `Database` with the failpoint `banco` in it.

    `database` is the storage of the file `path`; its engines were made by `disk`.
    """

    def __init__(
        self,
        database: Database,
        disk: FailingDisk,
        path: Path,
        *,
        failpoints: Failpoints,
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        self._database = database
        self._disk = disk
        self._path = path
        self._clock = clock
        self._tasks = tasks
        self._failpoints = failpoints
        self.read = database.read
        self.select = database.select

    async def unit(
        self,
        ctx: Contexto | None,
        reads: Sequence[Read],
        decide: Callable[Concatenate[Facts, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """As the storage does it, or not."""
        rule = self._failpoints.hit("banco", order_of(args))
        if rule is None:
            return await self._database.unit(ctx, reads, decide, *args, **kwargs)
        if rule.action == "locked":
            await self._lock(rule)
            return await self._database.unit(ctx, reads, decide, *args, **kwargs)
        fault = rule.action

        def struck(facts: Facts, /, *args: P.args, **kwargs: P.kwargs) -> R:
            value = decide(facts, *args, **kwargs)
            self._disk.fault = fault
            return value

        return await self._database.unit(ctx, reads, struck, *args, **kwargs)

    async def _lock(self, rule: Rule) -> None:
        """Have a connection of our own keep the write lock for the rule's seconds from now."""
        con = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=0)
        until = self._clock.now() + _PATIENCE_S
        while True:
            try:
                con.execute("BEGIN IMMEDIATE")
                break
            except sqlite3.Error as error:
                # A batch may be under way.
                if self._clock.now() >= until:
                    con.close()
                    raise indisponivel(f"falha provocada em {rule.point}") from error
            await self._clock.sleep(_AGAIN_S)
        try:
            self._tasks.start(self._release(con, rule.seconds))
        except ErroServico:
            con.close()
            raise

    async def _release(self, con: sqlite3.Connection, after_s: float) -> None:
        """Closing rolls back. A process that ends before lets go too."""
        try:
            await self._clock.sleep(after_s)
        finally:
            con.close()


def _fill_disk(con: sqlite3.Connection) -> None:
    """Have SQLite itself find no room, after the batch was written: error, rollback and all."""
    (pages,) = con.execute("PRAGMA page_count").fetchone()
    (limit,) = con.execute("PRAGMA max_page_count").fetchone()
    con.execute(f"PRAGMA max_page_count = {pages}")
    try:
        con.execute(f"CREATE TABLE sem_espaco AS SELECT zeroblob({pages + 256} * 4096)")
    finally:
        con.execute(f"PRAGMA max_page_count = {limit}")
