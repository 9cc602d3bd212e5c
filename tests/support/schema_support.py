"""What the tests of database files look at: rows, versions, and every byte of a directory."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def consultar(path: Path, sql: str) -> list[tuple]:
    """Rows of a database; nothing is left beside it."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as con:
        return con.execute(sql).fetchall()


def mudar(path: Path, sql: str) -> None:
    """Change a database and close it whole."""
    with closing(sqlite3.connect(path)) as con:
        con.execute(sql)
        con.commit()


def retrato(pasta: Path) -> dict[str, bytes | None]:
    """Every file of a directory but the locks, with its bytes; a directory has none."""
    return {
        path.name: path.read_bytes() if path.is_file() else None
        for path in pasta.iterdir()
        if path.suffix != ".lock"
    }


def versao_de(path: Path) -> str:
    """The version that a file says it has."""
    return consultar(path, "SELECT valor FROM meta WHERE chave = 'versao'")[0][0]
