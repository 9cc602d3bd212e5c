"""One unit of work on a connection of the test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from common.storage.batches import Batches
from common.storage.overlay import Unit
from common.storage.sqlite import SQLiteEngine

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable

    from common.servicos.protocolo.tabelas import Read


def decided(
    con: sqlite3.Connection, reads: Iterable[Read], decide: Callable[..., Any], *args: Any
) -> Any:
    """Run `decide` over the rows named in `reads`, and commit. Raises what it raises."""
    [(value, error)], _ = Batches(SQLiteEngine(con)).run([Unit(reads, decide, args, None)])
    if error is not None:
        raise error
    return value
