"""Declared tables fit the schemas of their rooms."""

from __future__ import annotations

import pkgutil
import sqlite3
from contextlib import closing
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import pytest

from common import servicos
from common.servicos import catalogo, estoque, fiscal, logistica
from common.servicos.pagamentos import gateway, pagamentos
from common.servicos.pedidos import livro
from common.servicos.protocolo import passo
from common.servicos.protocolo.tabelas import Ledger, Query, Source, Table, Unique
from common.storage.files import GATEWAY, SALAS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

# The modules whose declarations lie in each file.
ROOMS: Final[dict[str, tuple[ModuleType, ...]]] = {
    "pedidos": (livro,),
    "pagamentos": (passo, pagamentos),
    "estoque": (passo, estoque),
    "fiscal": (passo, fiscal),
    "logistica": (passo, logistica),
    "catalogo": (catalogo,),
    "gateway": (gateway,),
}
# Only the import adds to these, so a row type may leave out what a new row cannot be without.
IMPORTED: Final = (livro.CLIENTES,)
Declared = Source[Any, Any] | Query[Any]


def _declared(modules: tuple[ModuleType, ...]) -> list[Declared]:
    found = [each for module in modules for each in vars(module).values()]
    return list({id(each): each for each in found if isinstance(each, Source | Query)}.values())


CASES: Final = [(room, each) for room, modules in ROOMS.items() for each in _declared(modules)]
SOURCES: Final = [(room, each) for room, each in CASES if isinstance(each, Source)]
QUERIES: Final = [(room, each) for room, each in CASES if isinstance(each, Query)]


@pytest.fixture
def con(room: str) -> Iterator[sqlite3.Connection]:
    """An empty database with the room's schema."""
    with closing(sqlite3.connect(":memory:")) as made:
        made.executescript((SALAS | {"gateway": GATEWAY})[room].esquema)
        yield made


def _columns(con: sqlite3.Connection, table: str) -> dict[str, Any]:
    """By name: type, whether a row needs a value for it, and its place in the primary key."""
    rows = con.execute(f"PRAGMA table_info({table})").fetchall()
    return {
        name: (kind, bool(not_null and default is None), key)
        for _, name, kind, not_null, default, key in rows
    }


def _unique(con: sqlite3.Connection, table: str) -> set[str]:
    """The columns that are unique by themselves, in every row."""
    keys = [name for name, (_, _, key) in _columns(con, table).items() if key]
    found = [keys]
    for _, index, unique, _, partial in con.execute(f"PRAGMA index_list({table})").fetchall():
        if unique and not partial:
            found.append([name for _, _, name in con.execute(f"PRAGMA index_info({index})")])
    return {names[0] for names in found if len(names) == 1}


def test_every_declaration_is_looked_at() -> None:
    """In every module of the services."""
    names = [each.name for each in pkgutil.walk_packages(servicos.__path__, "common.servicos.")]
    everywhere = _declared(tuple(import_module(name) for name in names))
    assert {id(each) for each in everywhere} == {id(each) for _, each in CASES}


@pytest.mark.parametrize(("room", "source"), SOURCES)
def test_the_columns_of_a_source_are_there(
    con: sqlite3.Connection, source: Source[Any, Any]
) -> None:
    """All that it names, and among them those that a new row cannot be without."""
    columns = _columns(con, source.name)
    assert columns.keys() >= {*source.columns}
    if source not in IMPORTED:
        assert {name for name, (_, needed, _) in columns.items() if needed} <= {*source.columns}
    if isinstance(source, Ledger):
        assert source.order in columns


@pytest.mark.parametrize(("room", "source"), SOURCES)
def test_what_is_found_by_a_key_is_one_row(
    con: sqlite3.Connection, source: Source[Any, Any]
) -> None:
    """Keys and unique columns are unique in the schema too, and never change."""
    if isinstance(source, Ledger):
        return
    assert source.column in _unique(con, source.name)
    table = source.table if isinstance(source, Unique) else source
    assert isinstance(table, Table)
    assert source.position not in table.changing
    if table.serial:
        # Only such a column is numbered by SQLite.
        assert _columns(con, table.name)[table.column] == ("INTEGER", False, 1)


@pytest.mark.parametrize(("room", "source"), SOURCES)
def test_a_table_is_declared_after_those_that_it_refers_to(
    con: sqlite3.Connection, room: str, source: Source[Any, Any]
) -> None:
    """New rows are written in the order of declaration."""
    ranks = {each.name: each.rank for of, each in SOURCES if of == room}
    for _, _, parent, *_ in con.execute(f"PRAGMA foreign_key_list({source.name})"):
        assert ranks.get(parent, -1) < source.rank


@pytest.mark.parametrize(("room", "query"), QUERIES)
def test_a_statement_finds_as_many_columns_as_its_rows_have(
    con: sqlite3.Connection, query: Any
) -> None:
    """It is one that the schema understands."""
    found = con.execute(query.sql, (1,) * query.sql.count("?"))
    assert len(found.description) == len(query.make.args[0]._fields)
