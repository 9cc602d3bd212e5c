"""Storage whose units of work meet the rules of the failpoint `banco`.

A full disk and a lock are SQLite's own: its errors, its rollback. An I/O error is raised in its name.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from common.erros import ErroServico, indisponivel
from common.faults.failpoints import Failpoints, Rule
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.portas import Clock, Database, Tasks

P = ParamSpec("P")
R = TypeVar("R")

# Seconds between attempts to lock a database that is busy, and in all.
_AGAIN_S: Final = 0.005
_PATIENCE_S: Final = 5.0


class FailingStorage:
    """The port `Database` with the failpoint `banco` in it."""

    def __init__(
        self, database: Database, failpoints: Failpoints, clock: Clock, execution: Tasks
    ) -> None:
        self._database = database
        self._clock = clock
        self._execution = execution
        self._failpoints = failpoints
        self.read = database.read

    async def unit(
        self,
        ctx: Contexto | None,
        funcao: Callable[Concatenate[sqlite3.Connection, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """As the storage does it, or not."""
        rule = self._failpoints.hit("banco", _order(args))
        if rule is None:
            return await self._database.unit(ctx, funcao, *args, **kwargs)
        if rule.action == "locked":
            await self._lock(rule)
            return await self._database.unit(ctx, funcao, *args, **kwargs)
        fail = _fill_disk if rule.action == "disk_full" else _break_disk

        def unit(con: sqlite3.Connection) -> R:
            value = funcao(con, *args, **kwargs)
            fail(con)
            return value

        return await self._database.unit(ctx, unit)

    async def _lock(self, rule: Rule) -> None:
        """Have a connection of our own keep the write lock for the rule's seconds from now."""
        path = await self._database.read(None, _path)
        con = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
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
            self._execution.start(self._release(con, rule.seconds))
        except ErroServico:
            con.close()
            raise

    async def _release(self, con: sqlite3.Connection, after_s: float) -> None:
        """Closing rolls back. A process that ends before lets go too."""
        try:
            await self._clock.sleep(after_s)
        finally:
            con.close()


def _order(args: tuple[Any, ...]) -> int:
    """The order that a unit of work is for: its first argument, or what that says; 0 for none."""
    first = args[0] if args else 0
    found = first if isinstance(first, int) else getattr(first, "pedido_id", 0)
    return int(found)


def _path(con: sqlite3.Connection) -> str:
    (_, _, path) = con.execute("PRAGMA database_list").fetchone()
    return str(path)


def _fill_disk(con: sqlite3.Connection) -> None:
    """Have SQLite itself find no room, after the unit has written: error, rollback and all."""
    (pages,) = con.execute("PRAGMA page_count").fetchone()
    (limit,) = con.execute("PRAGMA max_page_count").fetchone()
    con.execute(f"PRAGMA max_page_count = {pages}")
    try:
        con.execute(f"CREATE TABLE sem_espaco AS SELECT zeroblob({pages + 256} * 4096)")
    finally:
        con.execute(f"PRAGMA max_page_count = {limit}")


def _break_disk(con: sqlite3.Connection) -> None:
    msg = "disk I/O error"
    raise sqlite3.OperationalError(msg)
