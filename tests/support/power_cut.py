"""A disk whose power can be cut: an SQLite VFS that knows what was flushed and what only written.

Every file under a directory is kept twice: as the running system sees it (a real file, so that
shared memory and locks are SQLite's own) and as the disk would hold it. A write changes the second
only at the file's next flush, a new or removed name only when its directory is flushed. A `Cut` is
one instant of all files together; `Cut.restore` writes what could be found after it.

The code under test is unchanged: `mounted` gives `common.storage.connection` a `sqlite3.connect` that opens
through apsw, which brings an SQLite of its own, on this disk.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

import apsw
import pytest

from common.storage import connection

# Bytes that a disk writes whole or not at all: of old disks and of new ones.
SECTORS: Final = (512, 4_096)
# Journals and logs: SQLite flushes the directory when it first flushes one that it opened.
_FLUSHES_DIRECTORY: Final = (
    apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL
)
_NAMES: Final = count()


class _Change(NamedTuple):
    """One change of a file: bytes at an offset, or a new length where `data` is None."""

    offset: int
    data: bytes | None

    def apply(self, content: bytearray) -> None:
        content.extend(bytes(max(0, self.offset - len(content))))
        if self.data is None:
            del content[self.offset :]
        else:
            content[self.offset : self.offset + len(self.data)] = self.data

    def pieces(self, sector: int) -> Iterator[_Change]:
        """The parts that the disk writes whole."""
        if self.data is None:
            yield self
            return
        start = self.offset
        while start < self.offset + len(self.data):
            end = start - start % sector + sector
            yield _Change(start, self.data[start - self.offset : end - self.offset])
            start = end


class _State(NamedTuple):
    """A file at one instant: what was flushed, and what came since, in order."""

    flushed: bytes
    unflushed: tuple[_Change, ...]

    def after(self, changes: Iterator[_Change]) -> bytes:
        content = bytearray(self.flushed)
        for change in changes:
            change.apply(content)
        return bytes(content)


class _Content:
    """A file, whatever it is called at the moment."""

    def __init__(self, flushed: bytes = b"") -> None:
        self.flushed = flushed
        self.unflushed: list[_Change] = []

    @property
    def state(self) -> _State:
        return _State(self.flushed, tuple(self.unflushed))

    def copy(self) -> _Content:
        other = _Content(self.flushed)
        other.unflushed = list(self.unflushed)
        return other

    def flush(self) -> None:
        self.flushed = self.state.after(iter(self.unflushed))
        self.unflushed.clear()


class Cut(NamedTuple):
    """The disk at one instant.

    `flushed` and `current` are the files by name: under the names that were flushed, and under
    those that the running system saw. `mark` is whatever the test noted at that instant.
    """

    root: Path
    flushed: dict[str, _State]
    current: dict[str, _State]
    mark: Any

    def dropped(self) -> dict[str, bytes]:
        """The files as they are found when everything is gone that was not flushed."""
        return {name: state.flushed for name, state in self.flushed.items()}

    def restore(
        self,
        directory: Path,
        *,
        torn: Random | None = None,
        outside: Callable[[str], bool] = lambda name: False,
    ) -> Path:
        """Write the files as they may be found after the cut; returns the directory.

        What was not flushed is gone; with `torn` each sector and each name of it is there or is
        not, as drawn. Files that are `outside`, by name, keep everything: they lost no power.
        """
        directory.mkdir(parents=True)
        sector = torn.choice(SECTORS) if torn else 0
        share = torn.choice((0.1, 0.5, 0.9)) if torn else 0.0
        for name in sorted(self.flushed.keys() | self.current.keys()):
            if outside(name):
                state = self.current.get(name)
                content = state and state.after(iter(state.unflushed))
            elif torn:
                state = torn.choice((self.flushed, self.current)).get(name)
                content = state and state.after(_some(state.unflushed, sector, share, torn))
            else:
                state = self.flushed.get(name)
                content = state and state.flushed
            if content is not None:
                (directory / name).write_bytes(content)
        return directory


def _some(
    changes: tuple[_Change, ...], sector: int, share: float, draw: Random
) -> Iterator[_Change]:
    for change in changes:
        for piece in change.pieces(sector):
            if draw.random() < share:
                yield piece


class Disk(apsw.VFS):
    """The disk under one directory; what lies elsewhere is passed on untouched.

    `watch` is called after every change, with everything held still; it may take a cut. A disk that
    is not `honest` says that it has flushed and has not.
    """

    def __init__(self, root: Path, *, honest: bool = True) -> None:
        self.name = f"power-cut-{next(_NAMES)}"
        super().__init__(self.name, base="")
        self.root = root
        self.honest = honest
        self.watch: Callable[[], object] = lambda: None
        # Held while anything changes: a cut is one instant of all files.
        self.still = threading.RLock()
        self._current: dict[str, _Content] = {}
        self._flushed: dict[str, _Content] = {}

    def cut(self, mark: Any = None) -> Cut:
        """The disk at this instant."""
        with self.still:
            return Cut(
                self.root,
                {name: content.state for name, content in self._flushed.items()},
                {name: content.state for name, content in self._current.items()},
                mark,
            )

    def after_kill(self, root: Path) -> Disk:
        """What is found by a process that starts when this one was killed.

        Everything written is there, under `root`, and what was not flushed still is not.
        """
        root.mkdir(parents=True)
        heir = Disk(root, honest=self.honest)
        with self.still:
            copies = {id(content): content.copy() for content in self._contents()}
            heir._current = {name: copies[id(one)] for name, one in self._current.items()}
            heir._flushed = {name: copies[id(one)] for name, one in self._flushed.items()}
        for name, content in heir._current.items():
            state = content.state
            (root / name).write_bytes(state.after(iter(state.unflushed)))
        return heir

    def _contents(self) -> list[_Content]:
        return [*self._current.values(), *self._flushed.values()]

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        """SQLite opens a file; one made by it has no name on the disk yet."""
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is None or Path(path).parent != self.root:
            return apsw.VFSFile("", name, flags)
        with self.still:
            own = Path(path).name
            existed = Path(path).exists()
            file = _File(self, self._content(own), name, flags)
            if not existed:
                self.watch()
            return file

    def xDelete(self, name: str, sync_directory: bool) -> None:  # noqa: N802
        """SQLite removes a file; on the disk it keeps its name until the directory is flushed."""
        with self.still:
            super().xDelete(name, sync_directory)
            if Path(name).parent == self.root:
                self._current.pop(Path(name).name, None)
                if sync_directory:
                    self.flush_directory()
                self.watch()

    def flush_directory(self) -> None:
        """Names are from now on as the running system sees them."""
        self._flushed = dict(self._current)

    def _content(self, name: str) -> _Content:
        """A file by its name; what was there before the disk was first asked is flushed."""
        content = self._current.get(name)
        if content is None:
            path = self.root / name
            content = self._current[name] = _Content(path.read_bytes() if path.exists() else b"")
        return content


class _File(apsw.VFSFile):
    """An open file of the disk."""

    def __init__(self, disk: Disk, content: _Content, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._content = content
        self._flushes_directory = bool(flags[0] & _FLUSHES_DIRECTORY)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        with self._disk.still:
            super().xWrite(data, offset)
            self._changed(_Change(offset, bytes(data)))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        with self._disk.still:
            super().xTruncate(size)
            self._changed(_Change(size, None))

    def xSync(self, flags: int) -> None:  # noqa: N802
        # The real files need no flush: nobody cuts this machine's power.
        with self._disk.still:
            if self._disk.honest:
                self._content.flush()
                if self._flushes_directory:
                    self._flushes_directory = False
                    self._disk.flush_directory()
            self._disk.watch()

    def _changed(self, change: _Change) -> None:
        self._content.unflushed.append(change)
        self._disk.watch()


# --- sqlite3 as far as the services use it, on apsw ----------------------------------------------

# What sqlite3 raises where apsw raises this; anything else is an OperationalError.
_ERRORS: Final = {
    apsw.ConstraintError: sqlite3.IntegrityError,
    apsw.CorruptError: sqlite3.DatabaseError,
    apsw.NotADBError: sqlite3.DatabaseError,
    apsw.MisuseError: sqlite3.ProgrammingError,
}


@contextmanager
def _as_sqlite3() -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        raise _ERRORS.get(type(error), sqlite3.OperationalError)(str(error)) from error


class _Result(NamedTuple):
    """A statement's outcome, read to its end."""

    rows: Iterator[tuple[Any, ...]]
    rowcount: int

    def fetchone(self) -> tuple[Any, ...] | None:
        return next(self.rows, None)

    def fetchall(self) -> list[tuple[Any, ...]]:
        return list(self.rows)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:  # type: ignore[override]
        return self.rows


class Connection:
    """The part of `sqlite3.Connection` that a service uses."""

    def __init__(self, uri: str, disk: Disk) -> None:
        self._writing = "mode=ro" not in uri
        access = apsw.SQLITE_OPEN_READWRITE if self._writing else apsw.SQLITE_OPEN_READONLY
        with _as_sqlite3():
            self._con = apsw.Connection(uri, flags=apsw.SQLITE_OPEN_URI | access, vfs=disk.name)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._con.in_transaction

    def execute(self, sql: str, parameters: Any = ()) -> _Result:
        """Run a statement to its end. Raises sqlite3.Error."""
        with _as_sqlite3():
            rows = self._con.execute(sql, parameters).fetchall()
            return _Result(iter(rows), self._con.changes())

    def executemany(self, sql: str, parameters: Any) -> None:
        """Run a statement once for each of the parameters. Raises sqlite3.Error."""
        with _as_sqlite3():
            self._con.executemany(sql, parameters).fetchall()

    def close(self) -> None:
        """Close it; the last one copies the log into the database, as SQLite does."""
        # The last one to leave tries for a lock that a reader cannot have. SQLite makes nothing of
        # it; apsw raises when the connection is closed.
        try:
            self._con.close()
        except apsw.IOError:
            if self._writing:
                raise


@contextmanager
def mounted(disk: Disk) -> Iterator[Disk]:
    """For the life of the block the services' storage lies on this disk."""

    def connect(database: str, **options: Any) -> Connection:
        assert options["uri"]
        assert options["isolation_level"] is None
        return Connection(database, disk)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            connection, "sqlite3", SimpleNamespace(**vars(sqlite3) | {"connect": connect})
        )
        yield disk
