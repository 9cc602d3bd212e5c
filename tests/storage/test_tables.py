"""Declared tables fit the schemas: whatever a rule may write has its place in the file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from common.servicos import catalogo, estoque, fiscal, logistica
from common.servicos.pagamentos import gateway, pagamentos
from common.servicos.pedidos import livro
from common.servicos.protocolo import passo
from common.servicos.protocolo.tabelas import Ledger, Query, Source, Table, Unique

if TYPE_CHECKING:
    from types import ModuleType

# No rule writes these.
READ_ONLY = {livro.CLIENTES}
ROOMS = [pagamentos, estoque, fiscal, logistica, livro, gateway, catalogo]


def _declared(room: ModuleType, kind: type[Any]) -> list[Any]:
    """Everything of a kind that a room's rules use, the shared tables of a step included."""
    found = [each for each in vars(room).values() if isinstance(each, kind)]
    if room in {pagamentos, estoque, fiscal, logistica} and kind is Source:
        found += [passo.PASSOS, passo.TRANSICOES]
    return found


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.__name__.rpartition(".")[2])
def test_as_tabelas_declaradas_cabem_no_esquema(room: ModuleType) -> None:
    """Columns exist, those that must have a value are in the row, and keys are unique."""
    with closing(sqlite3.connect(":memory:")) as con:
        con.executescript(room.ESQUEMA)
        for source in _declared(room, Source):
            columns = con.execute(f"SELECT * FROM pragma_table_info('{source.name}')").fetchall()
            names = {name for _, name, *_ in columns}
            assert set(source.columns) <= names, source
            for _, name, kind, not_null, default, key in columns:
                # SQLite numbers the rows of a key that is an integer.
                made = key and kind == "INTEGER"
                if not_null and default is None and not made and source not in READ_ONLY:
                    assert name in source.columns, (source, name)
            if isinstance(source, Ledger):
                assert source.order in names, source
            elif isinstance(source, Table | Unique):
                assert source.column in _unique(con, source.name), source
        for query in _declared(room, Query):
            cursor = con.execute(query.sql, (1,) * query.sql.count("?"))
            assert len(cursor.description) == len(query.make.args[0]._fields), query.sql


def _unique(con: sqlite3.Connection, table: str) -> set[str]:
    """Columns whose values are unique by themselves."""
    (count,) = con.execute(
        "SELECT count(*) FROM pragma_table_info(?) WHERE pk", (table,)
    ).fetchone()
    unique = set()
    if count == 1:
        unique |= {
            name
            for (name,) in con.execute("SELECT name FROM pragma_table_info(?) WHERE pk", (table,))
        }
    for (index,) in con.execute(
        'SELECT name FROM pragma_index_list(?) WHERE "unique" AND NOT partial', (table,)
    ).fetchall():
        columns = [
            name for (name,) in con.execute("SELECT name FROM pragma_index_info(?)", (index,))
        ]
        if len(columns) == 1:
            unique.add(columns[0])
    return unique
