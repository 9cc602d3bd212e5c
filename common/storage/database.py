"""The port `Database` on two connections to a SQLite file: the only writer, and a read-only one.

How a caller waits for its unit is the connections' business: one on an event loop suspends, one of
an arm on threads blocks. All else is here, once.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from common.erros import indisponivel
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.tabelas import Facts, Look, Query, Read, Row
from common.storage.batches import Commit
from common.storage.company import Company
from common.storage.engine import Engine
from common.storage.overlay import Overlay
from common.storage.sqlite import SQLiteEngine

P = ParamSpec("P")
R = TypeVar("R")

_LOG = logging.getLogger(__name__)

# Makes the engine of a connection.
MakeEngine = Callable[[sqlite3.Connection], Engine]


def reading_engine(con: sqlite3.Connection) -> Engine:
    """The engine of a connection that only reads."""
    return SQLiteEngine(con, writer=False)


class Connection(Protocol):
    """One connection, and how its callers wait."""

    @property
    def company(self) -> Company | None:
        """The units that wait for it; None where every unit goes alone."""

    def hand_over(
        self, reads: Sequence[Read], decide: Callable[..., Any], args: tuple[Any, ...]
    ) -> Awaitable[tuple[Any, Commit]]:
        """Have `decide(facts, *args)` run over the rows named in `reads`; its value and its commit.

        A caller that leaves does not undo its unit: once handed over it runs. Raises sqlite3.Error
        when the storage failed, and ErroServico (unavailable) when the connection is closed.
        """

    async def close(self) -> None:
        """Run what was handed over, take nothing more, and close the connection."""


class SQLiteDatabase:
    """The port `Database`."""

    def __init__(self, writer: Connection, reader: Connection) -> None:
        self._writer = writer
        self._reader = reader

    @property
    def writer(self) -> Company | None:
        """The units that wait to be written, and their count; None where every unit goes alone."""
        return self._writer.company

    def unit(
        self,
        ctx: Contexto | None,
        reads: Sequence[Read],
        decide: Callable[Concatenate[Facts, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Coroutine[Any, Any, R]:
        """One durable unit of work; see portas.Database."""
        assert not kwargs, "units of work take positional arguments only"
        return _timed(ctx, self._writer, reads, decide, args)

    def read(
        self,
        ctx: Contexto | None,
        reads: Sequence[Read],
        look: Callable[Concatenate[Look, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Coroutine[Any, Any, R]:
        """One reading function; see portas.Database."""
        assert not kwargs, "reading functions take positional arguments only"
        return _timed(ctx, self._reader, reads, look, args)

    def select(
        self, ctx: Contexto | None, query: Query[Row], *values: Any
    ) -> Coroutine[Any, Any, list[Row]]:
        """One declared statement; see portas.Database."""
        return _timed(ctx, self._reader, (), Overlay.select, (query, *values))

    async def close(self) -> None:
        """Finish what was handed over, then close both connections."""
        await self._reader.close()
        await self._writer.close()


async def _timed(
    ctx: Contexto | None,
    connection: Connection,
    reads: Sequence[Read],
    decide: Callable[..., Any],
    args: tuple[Any, ...],
) -> Any:
    """Hand a unit over, note its time, and say SQLite's errors as the service's."""
    account = None if ctx is None else ctx.account
    start = time.monotonic()
    before = "" if account is None else account.enter("banco")
    try:
        value, commit = await connection.hand_over(reads, decide, args)
        if account is not None:
            account.ready(commit.ended)
            account.commit += commit.seconds
    except sqlite3.Error as error:
        raise _failure(error) from error
    finally:
        if account is not None:
            account.waited("b", start, time.monotonic())
            account.leave(before)
    return value


def _failure(error: sqlite3.Error) -> Exception:
    """What a unit of work that failed in SQLite is to the service.

    A broken rule of the schema, which the domain should have checked, is a defect and stays what it
    is. All else is bad luck: unavailable. Its cause stays in our log: a file's name and state are
    no business of the caller.
    """
    if isinstance(error, sqlite3.IntegrityError):
        return error
    _LOG.warning("o banco de dados falhou: %s", error)
    return indisponivel("o banco de dados não está disponível")
