"""Bringing a database file forward: from its schema's version to the one of this program.

All steps, the new version and the check of the whole are one transaction. A process that dies in
the middle, or a step that fails, leaves the file at its old version with every row it had.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence


def statements(script: str) -> Iterator[str]:
    """The statements of a script one by one: `executescript` would commit what is open first."""
    statement = ""
    for part in script.split(";"):
        statement += part
        if not statement.strip():
            statement = ""
        elif sqlite3.complete_statement(f"{statement};"):
            yield statement
            statement = ""
        else:
            # This semicolon stands in a text, or in a trigger.
            statement += ";"
    if statement:
        # It has no end: SQLite says what is wrong with it.
        yield statement


def migrate(con: sqlite3.Connection, scripts: Sequence[str], versao: int) -> None:
    """Run the scripts, each of which makes one version of the one before it, up to `versao`.

    Raises sqlite3.Error, inside the transaction that the caller then gives up by closing; or
    outside of it, when it could not begin.
    """
    # Off, because a step may have to make a table anew that others refer to; what then refers to
    # nothing is looked for at the end. It has no effect once a transaction has begun.
    con.execute("PRAGMA foreign_keys = OFF")
    con.execute("BEGIN IMMEDIATE")
    for script in scripts:
        for statement in statements(script):
            con.execute(statement)
    con.execute("UPDATE meta SET valor = ? WHERE chave = 'versao'", (str(versao),))
    _check_whole(con)
    con.execute("COMMIT")


def _check_whole(con: sqlite3.Connection) -> None:
    """Raises sqlite3.IntegrityError unless every page is sound and every foreign key finds its row."""
    (finding,) = con.execute("PRAGMA integrity_check(1)").fetchone()
    if finding != "ok":
        msg = f"it is damaged: {' '.join(finding.split())}"
        raise sqlite3.IntegrityError(msg)
    dangling = con.execute("PRAGMA foreign_key_check").fetchone()
    if dangling is not None:
        msg = f"a row of {dangling[0]} would name a row of {dangling[2]} that does not exist"
        raise sqlite3.IntegrityError(msg)
