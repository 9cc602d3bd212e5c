"""SQLite as an engine: few statements for many rows.

Every trip into SQLite gives up the interpreter's lock, and getting it back under load costs more
than a row. So rows of a table go in one statement: lookups join them, padded to a few lengths,
inserts and changes are `VALUES`.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain
from typing import Any, Final

from common.servicos.protocolo.tabelas import Ledger, Query, Source, Table
from common.storage.engine import Wanted, Written

# Keys or rows of one statement. More save little, and each length is a statement in the
# connection's cache.
_ROWS_MAX: Final = 32
# Errors by what a unit asked or wrote; all others of SQLite's are the storage's.
_BLAMED: Final = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)


class SQLiteEngine:
    """The port Engine on one connection, which is the file's only writer or a reader."""

    eager = False

    def __init__(self, con: sqlite3.Connection, *, writer: bool = True) -> None:
        self._con = con
        self._begin = "BEGIN IMMEDIATE" if writer else "BEGIN"
        # By table: the last key given out in this transaction.
        self._last: dict[Source[Any, Any], int] = {}

    def begin(self) -> None:
        """See Engine."""
        self._last.clear()
        self._con.execute(self._begin)

    def load(self, source: Source[Any, Any], keys: list[Any]) -> list[Any]:
        """See Engine."""
        make, execute = source.make, self._con.execute
        if len(keys) == 1:
            return [make(row) for row in execute(_lookup(source, 1), keys)]
        found: list[Any] = []
        for some in _parts(keys):
            length = 1 << (len(some) - 1).bit_length()
            # NULL equals no key.
            padded = some + [None] * (length - len(some))
            found += [make(row) for row in execute(_lookup(source, length), padded).fetchall()]
        return found

    def load_all(self, wanted: Sequence[Wanted]) -> list[list[Any]]:
        """See Engine."""
        return [self.load(source, keys) for source, keys in wanted]

    def new_id(self, table: Table[Any, Any]) -> int:
        """See Engine. As SQLite itself would number the next row."""
        last = self._last.get(table)
        if last is None:
            (last,) = self._con.execute(_last_key(table)).fetchone()
        self._last[table] = last + 1
        return last + 1

    def select(self, query: Query[Any], values: tuple[Any, ...]) -> list[Any]:
        """See Engine."""
        return [query.make(row) for row in self._con.execute(query.sql, values).fetchall()]

    def finish(self, written: Sequence[Written]) -> float:
        """See Engine."""
        # An error may have ended the transaction. What is written then would be kept at once.
        if not self._con.in_transaction:
            raise sqlite3.OperationalError("the shared transaction was ended by SQLite")
        self.write(written)
        start = time.monotonic()
        self._con.execute("COMMIT")
        return start

    def write(self, written: Sequence[Written]) -> None:
        """Write everything, and leave it uncommitted."""
        execute = self._con.execute
        for source, added, changed in written:
            if len(added) == 1:
                execute(_insertion(source, 1), added[0])
            elif added:
                for some in _parts(added):
                    execute(_insertion(source, len(some)), tuple(chain.from_iterable(some)))
            if len(changed) == 1:
                execute(_change(source), source.changed_values(changed[0]))  # type: ignore[attr-defined]
            elif changed:
                for some in _parts(changed):
                    execute(_changes(source, len(some)), tuple(chain.from_iterable(some)))

    def rollback(self) -> None:
        """See Engine."""
        if self._con.in_transaction:
            self._con.execute("ROLLBACK")

    def blames(self, error: BaseException) -> bool:
        """See Engine. A broken rule of the schema, or a value that SQLite does not take."""
        if not isinstance(error, sqlite3.Error):
            return isinstance(error, Exception)
        return isinstance(error, _BLAMED)

    def collided(self, error: BaseException) -> bool:
        """See Engine. There is one writer."""
        return False


def _parts(rows: list[Any]) -> Iterable[list[Any]]:
    if len(rows) <= _ROWS_MAX:
        return (rows,) if rows else ()
    return [rows[start : start + _ROWS_MAX] for start in range(0, len(rows), _ROWS_MAX)]


# The names below are constants of rooms, and every value is a parameter.


@cache
def _lookup(source: Source[Any, Any], keys: int) -> str:
    columns = ", ".join(f"t.{column}" for column in source.columns)
    what, order = f"SELECT {columns} FROM", ""
    if isinstance(source, Ledger):
        order = f" ORDER BY t.{source.order}"
    if keys == 1:
        return f"{what} {source.name} AS t WHERE t.{source.column} = ?{order}"
    # Measured: from half to all of what IN costs, which sorts the keys first.
    values = ", ".join(["(?)"] * keys)
    join = f"(VALUES {values}) AS named CROSS JOIN {source.name} AS t"
    return f"{what} {join} ON t.{source.column} = named.column1{order}"


@cache
def _last_key(table: Table[Any, Any]) -> str:
    return f"SELECT COALESCE(MAX({table.column}), 0) FROM {table.name}"  # noqa: S608


@cache
def _insertion(source: Source[Any, Any], rows: int) -> str:
    row = f"({', '.join('?' * len(source.columns))})"
    into = f"{source.name} ({', '.join(source.columns)})"
    return f"INSERT INTO {into} VALUES {', '.join([row] * rows)}"  # noqa: S608


@cache
def _change(table: Any) -> str:
    """The key is the first value, the columns that may change follow."""
    columns = [table.columns[place] for place in table.changing]
    setting = ", ".join(f"{column} = ?{n}" for n, column in enumerate(columns, start=2))
    return f"UPDATE {table.name} SET {setting} WHERE {table.column} = ?1"  # noqa: S608


@cache
def _changes(table: Any, rows: int) -> str:
    """Whole rows; their keys are there. Measured: a fifth of what UPDATE ... FROM (VALUES) costs."""
    columns = [table.columns[place] for place in table.changing]
    setting = ", ".join(f"{column} = excluded.{column}" for column in columns)
    return f"{_insertion(table, rows)} ON CONFLICT ({table.column}) DO UPDATE SET {setting}"
