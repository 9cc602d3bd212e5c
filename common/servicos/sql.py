"""Many rows in one statement: fewer trips into SQLite, and out of and back into the interpreter."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any


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
