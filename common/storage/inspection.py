"""Looking at a database before it is anyone's: nothing is changed in the file or left beside it."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

# Seconds. Nobody of ours has the file when it is looked at: who locks it then will not let go soon.
PATIENCE_S: Final = 1.0
# The head of a rollback journal (https://sqlite.org/fileformat2.html, section 3): its mark, two
# words of no concern here, and the pages that the database had when it was begun.
_JOURNAL: Final = struct.Struct(">8s8xI")
_JOURNAL_MAGIC: Final = bytes.fromhex("d9d505f920a163d7")


@contextmanager
def looking(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that reads `path` and leaves everything as it was. Raises sqlite3.Error.

    Even to read a file in WAL mode SQLite makes a log and an index beside it. Without a log all is
    in the file, which is then opened as one that nobody changes, and a journal that a kill left is
    not rolled back. A log, which a killed process leaves, must be read: through its index, which
    stays as it is, or through one that is made and taken away again.

    The caller holds the lock that keeps the file's owner away meanwhile, and has no connection of
    its own to the file: closing this one would release the locks of that.
    """
    log, index = (path.with_name(f"{path.name}{end}") for end in ("-wal", "-shm"))
    made = False
    if not log.exists() or log.stat().st_size == 0:
        option = "&immutable=1"
    elif index.exists():
        option = "&readonly_shm=1"
    else:
        option, made = "", True
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro{option}"
        with closing(sqlite3.connect(uri, uri=True, timeout=PATIENCE_S)) as con:
            yield con
    finally:
        if made:
            index.unlink(missing_ok=True)


def is_empty(con: sqlite3.Connection) -> bool:
    """Whether a database has no table yet."""
    return con.execute("SELECT 1 FROM sqlite_master").fetchone() is None


def is_just_begun(path: Path) -> bool:
    """Whether a kill or a power cut came into the first statement on a new file.

    SQLite undoes it at the next opening for writing, and cannot when opened for reading. The
    rollback journal that is left leads back to a file of no pages: nobody's data are in it.
    """
    journal = path.with_name(f"{path.name}-journal")
    if not journal.exists():
        return False
    with journal.open("rb") as file:
        magic, pages = _JOURNAL.unpack(file.read(_JOURNAL.size).ljust(_JOURNAL.size, b"\0"))
    return bool(magic == _JOURNAL_MAGIC and pages == 0)
