"""A table of values for tests of storage: what units write, and what engines are seen to do."""

from __future__ import annotations

import sqlite3
from typing import Any, Final, NamedTuple

from common.erros import Categoria, ErroServico
from common.servicos.protocolo.tabelas import Facts, Ledger, Query
from common.storage.sqlite import SQLiteEngine

SCHEMA: Final = """
CREATE TABLE pais (id INTEGER PRIMARY KEY);
CREATE TABLE valores (n INTEGER PRIMARY KEY, texto TEXT,
    pai INTEGER REFERENCES pais (id) DEFERRABLE INITIALLY DEFERRED);
"""


class Valor(NamedTuple):
    """A value."""

    n: int
    texto: str | None = None
    pai: int | None = None


# As a ledger, so that a value that is taken is found out by the schema alone.
VALORES: Ledger[int, Valor] = Ledger("valores", Valor, "n", order="n")
TODOS: Query[Valor] = Query("SELECT n, texto, pai FROM valores ORDER BY n", Valor)


def put(facts: Facts, n: int) -> int:
    """Write a value, and return it."""
    facts.insert(VALORES, Valor(n))
    return n


def put_then_raise(facts: Facts, n: int) -> None:
    """Write a value, then fail."""
    put(facts, n)
    raise ErroServico(Categoria.CONFLITO, "depois de escrever")


def put_orphan(facts: Facts) -> None:
    """Write a value that the schema refuses at the commit."""
    facts.insert(VALORES, Valor(9, None, 404))


def put_much(facts: Facts) -> None:
    """Write a value of a megabyte."""
    facts.insert(VALORES, Valor(9, "x" * 1_000_000))


def numbers(con: sqlite3.Connection) -> list[int]:
    """The values of a file."""
    return [n for (n,) in con.execute("SELECT n FROM valores ORDER BY n")]


class Watched:
    """Makes engines, and knows what became of their transactions."""

    def __init__(self) -> None:
        self.connections: list[sqlite3.Connection] = []
        self.commits = 0
        # Raised by the next commit in its place, and whether the next one finds no transaction.
        self.error: BaseException | None = None
        self.lose = False

    def engine(self, con: sqlite3.Connection) -> SQLiteEngine:
        """The engine of a connection that writes."""
        self.connections.append(con)
        return _WatchedEngine(con, self)


class _WatchedEngine(SQLiteEngine):
    def __init__(self, con: sqlite3.Connection, watched: Watched) -> None:
        super().__init__(con)
        self._watched = watched

    def finish(self, written: Any) -> float:
        watched = self._watched
        if watched.error is not None:
            error, watched.error = watched.error, None
            self.write(written)
            raise error
        if watched.lose:
            watched.lose = False
            self._con.execute("ROLLBACK")
        start = super().finish(written)
        watched.commits += 1
        return start
