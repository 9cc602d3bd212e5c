"""A room of the tests' own: numbers with a text, and the units that write and read them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from common.erros import Categoria, ErroServico
from common.servicos.protocolo.tabelas import Query, Table

if TYPE_CHECKING:
    from pathlib import Path

    from common.servicos.protocolo.tabelas import Facts

SCHEMA = """
CREATE TABLE pais (id INTEGER PRIMARY KEY);
CREATE TABLE valores (n INTEGER PRIMARY KEY, texto TEXT,
    pai INTEGER REFERENCES pais (id) DEFERRABLE INITIALLY DEFERRED);
"""


class Valor(NamedTuple):
    """A number; `pai` must be there when the unit commits."""

    n: int
    texto: str | None = None
    pai: int | None = None


class Numero(NamedTuple):
    """The number alone."""

    n: int


VALORES: Table[int, Valor] = Table("valores", Valor, "n", changes=("texto",))
NUMEROS: Query[Numero] = Query("SELECT n FROM valores ORDER BY n", Numero)


def make(path: Path) -> Path:
    """A database without numbers."""
    with closing(sqlite3.connect(path)) as con:
        con.executescript(SCHEMA)
    return path


def put(facts: Facts, n: int, texto: str | None = None) -> int:
    """Write a number, taken or not."""
    facts.insert(VALORES, Valor(n, texto))
    return n


def put_orphan(facts: Facts, n: int) -> None:
    """Write a number that the schema refuses, and only when it is committed."""
    facts.insert(VALORES, Valor(n, pai=404))


def put_then_raise(facts: Facts, n: int) -> None:
    """Write a number and refuse."""
    put(facts, n)
    raise ErroServico(Categoria.CONFLITO, "depois de escrever")


def on_connection(facts: Any, sql: str) -> Any:
    """Run a statement behind the unit's back; the first value found."""
    row = facts._engine._con.execute(sql).fetchone()
    return row and row[0]


def in_file(path: Path) -> list[int]:
    """The numbers that any other connection sees."""
    with closing(sqlite3.connect(path)) as con:
        return [n for (n,) in con.execute(NUMEROS.sql)]
