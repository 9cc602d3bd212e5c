"""SQL that rooms share: many rows in one statement, and what a table holds of the import."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any, NamedTuple


class Importada(NamedTuple):
    """What of a table came from the shop: the columns, and which rows, in the order of the first two."""

    tabela: str
    colunas: tuple[str, ...]
    onde: str = "1"

    def consulta(self) -> str:
        """A query of one value a row, as bytes: a shop's texts need not be UTF-8."""
        valores = " || ',' || ".join(f"quote({coluna})" for coluna in self.colunas)
        ordem = ", ".join(self.colunas[:2])
        return (
            f"SELECT CAST({valores} AS BLOB) FROM {self.tabela} "  # noqa: S608 - constants of ours
            f"WHERE {self.onde} ORDER BY {ordem}"
        )


def inserir(con: sqlite3.Connection, tabela: str, linhas: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows of equal length; `tabela` is `name (columns)`, a constant of ours.

    A trip costs more than a row here: SQLite gives up the interpreter's lock at every one.
    """
    if linhas:
        con.execute(
            _insercao(tabela, len(linhas[0]), len(linhas)), tuple(chain.from_iterable(linhas))
        )


@cache
def _insercao(tabela: str, colunas: int, linhas: int) -> str:
    linha = f"({', '.join('?' * colunas)})"
    return f"INSERT INTO {tabela} VALUES {', '.join([linha] * linhas)}"  # noqa: S608
