"""Connections to a service's SQLite file, set up as every one here must be."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from itertools import repeat
from pathlib import Path
from typing import Final, Literal

_LOG = logging.getLogger(__name__)

# Pages of the write-ahead log between checkpoints. Hot pages come again and again: the longer the
# log, the fewer of their copies are written back. 16 MB, read through in a blink at start.
PAGES_PER_CHECKPOINT: Final = 4_000
# Bytes that fill one page of the reservation below, whatever the page's own header takes.
_FILLING: Final = 4_000
# Milliseconds. Only an auditor's snapshot or a checkpoint may ever be in the way.
BUSY_TIMEOUT_MS: Final = 5_000

Synchronous = Literal["FULL", "NORMAL", "OFF"]


def connect_writer(path: Path, *, synchronous: Synchronous) -> sqlite3.Connection:
    """The connection of a service's only writer, its log reserved on the disk."""
    con = connect(path, synchronous=synchronous)
    try:
        reserve_log(con, path)
    except BaseException:
        con.close()
        raise
    return con


def reserve_log(con: sqlite3.Connection, path: Path) -> None:
    """Give the write-ahead log its full length on the disk before the first order.

    A commit that makes a file longer has the file system journal the new length with it; one that
    overwrites a part already there does not. The log is overwritten from its first checkpoint on:
    this has it so from the start. Done with SQLite's own means: a transaction larger than its cache
    spills into the log, and when it is rolled back the next one begins where it began.
    """
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size >= PAGES_PER_CHECKPOINT * _FILLING:
        # Left by a process that was killed.
        return
    (cache,) = con.execute("PRAGMA cache_size").fetchone()
    con.execute("PRAGMA cache_size = 16")
    try:
        con.execute("BEGIN IMMEDIATE")
        con.execute("CREATE TABLE reserva (enchimento BLOB)")
        con.executemany(
            "INSERT INTO reserva VALUES (zeroblob(?))",
            repeat((_FILLING,), PAGES_PER_CHECKPOINT),
        )
    except sqlite3.OperationalError as error:
        # A disk without room for the log may still have room for orders: they will tell.
        _LOG.warning("o log de %s não foi reservado: %s", path.name, error)
    finally:
        if con.in_transaction:
            con.execute("ROLLBACK")
        con.execute(f"PRAGMA cache_size = {cache}")
    with contextlib.suppress(FileNotFoundError), log.open("rb") as file:
        # Now, and not in the first commit.
        os.fsync(file.fileno())


def connect(
    path: Path,
    *,
    read_only: bool = False,
    synchronous: Synchronous = "FULL",
    busy_timeout_ms: int | None = None,
) -> sqlite3.Connection:
    """A connection set up as every one here must be: WAL, explicit transactions, foreign keys."""
    mode = "ro" if read_only else "rw"
    con = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    try:
        con.execute(f"PRAGMA busy_timeout = {busy_timeout_ms or BUSY_TIMEOUT_MS}")
        con.execute("PRAGMA foreign_keys = ON")
        if not read_only:
            con.execute("PRAGMA journal_mode = WAL")
            con.execute(f"PRAGMA synchronous = {synchronous}")
            con.execute(f"PRAGMA wal_autocheckpoint = {PAGES_PER_CHECKPOINT}")
    except BaseException:
        con.close()
        raise
    return con
