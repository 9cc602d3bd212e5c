"""The tables of each file, their rules, indexes and triggers, against those of its service."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Final, TypeAlias

from common.audit.rules import Rule, collect
from common.audit.snapshot import FILES, sala_of
from common.storage.files import ESQUEMA_META, Sala
from common.storage.migration import statements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from common.audit.report import Check

_Object: TypeAlias = tuple[str, str]

_SCHEMA: Final = Rule(
    "schema",
    "every file has the tables, indexes and triggers of its service, and no other",
    (13,),
    "",
    "",
)
# Names that begin so are SQLite's own: indexes that a table's text implies, and its statistics.
_READ: Final = "SELECT type, name, sql FROM ARQUIVO.sqlite_master WHERE name NOT GLOB 'sqlite_*'"


def schema(con: sqlite3.Connection) -> Check:
    """Compare the schema of every attached file with the one that its service makes."""
    return collect(_SCHEMA, len(FILES), _differences(con))


def _differences(con: sqlite3.Connection) -> Iterator[tuple[None, str]]:
    for nome in FILES:
        try:
            held = _objects(con, nome)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            yield None, f"{nome}.db: its schema cannot be read: {error}"
            continue
        made = _made(sala_of(nome))
        for kind, name in sorted(made.keys() | held.keys()):
            wanted, found = made.get((kind, name)), held.get((kind, name))
            if found is None:
                yield None, f"{nome}.db: the {kind} {name} is missing"
            elif wanted is None:
                yield None, f"{nome}.db: the {kind} {name} is not the service's"
            elif wanted != found:
                missing = ", ".join((wanted - found).elements()) or "nothing"
                more = ", ".join((found - wanted).elements()) or "nothing"
                yield None, f"{nome}.db: the {kind} {name} lacks {missing} and has {more} instead"


def _made(sala: Sala) -> dict[_Object, Counter[str]]:
    with closing(sqlite3.connect(":memory:")) as con:
        for statement in (ESQUEMA_META, *statements(sala.esquema)):
            con.execute(statement)
        return _objects(con, "main")


def _objects(con: sqlite3.Connection, arquivo: str) -> dict[_Object, Counter[str]]:
    rows = con.execute(_READ.replace("ARQUIVO", arquivo))
    return {(kind, name): _parts(sql or "") for kind, name, sql in rows}


def _parts(sql: str) -> Counter[str]:
    """What a definition says, however it is written down and in whatever order its columns are.

    A table that was brought forward has its newest columns last, and quotes around some names.
    """
    text = re.sub(r"\s+", " ", re.sub(r"--[^\n]*", "", sql.replace('"', ""))).strip()
    depth, part, parts = 0, "", Counter[str]()
    for sign in text:
        depth += (sign == "(") - (sign == ")")
        # The brackets around all columns are of no column, nor is the comma between two.
        if (sign in "()" and depth == (sign == "(")) or (sign == "," and depth == 1):
            parts[part.strip()] += 1
            part = ""
        else:
            part += sign
    parts[part.strip()] += 1
    del parts[""]
    return parts
