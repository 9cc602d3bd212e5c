"""A service's database file: owned by one process, made once, recognised ever after.

At its first start a service imports its part of the shop in one transaction, together with the
shop's fingerprint. Later it accepts only its own schema, its own version and the same shop.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from common.servicos import catalogo, estoque, fiscal, gateway, livro, logistica, pagamentos
from common.shop import check_shop, fingerprint
from common.storage import Synchronous, connect

# Raised when a schema changes; a database of another version is refused, not guessed at.
VERSAO_ESQUEMA: Final = 1

# The head of a rollback journal (https://sqlite.org/fileformat2.html, section 3): its mark, two
# words of no concern here, and the pages that the database had when it was begun.
_JOURNAL: Final = struct.Struct(">8s8xI")
_JOURNAL_MAGIC: Final = bytes.fromhex("d9d505f920a163d7")

_META = "CREATE TABLE meta (chave TEXT PRIMARY KEY, valor TEXT NOT NULL)"


class DatabaseError(Exception):
    """A database that cannot be used; the message is one clear sentence for a person."""


class Sala(NamedTuple):
    """A service's file: its name, its schema, and the SQL that imports its part of the shop."""

    nome: str
    esquema: str
    importacao: str = ""
    synchronous: Synchronous = "FULL"


SALAS: Final[dict[str, Sala]] = {
    "pedidos": Sala("pedidos", livro.ESQUEMA, livro.IMPORTACAO),
    "pagamentos": Sala("pagamentos", pagamentos.ESQUEMA, pagamentos.IMPORTACAO),
    "estoque": Sala("estoque", estoque.ESQUEMA, estoque.IMPORTACAO),
    "fiscal": Sala("fiscal", fiscal.ESQUEMA, fiscal.IMPORTACAO),
    "logistica": Sala("logistica", logistica.ESQUEMA, logistica.IMPORTACAO),
    "catalogo": Sala("catalogo", catalogo.ESQUEMA, catalogo.IMPORTACAO),
}
# The outside world's books: not ours to make durable.
GATEWAY: Final = Sala("gateway", gateway.ESQUEMA, synchronous="OFF")


def database_path(data_dir: Path, nome: str) -> Path:
    """Where a service, or the gateway, keeps its file."""
    return data_dir / f"{nome}.db"


@contextmanager
def exclusive(data_dir: Path, nome: str) -> Iterator[None]:
    """Own a service's database for the life of the block.

    Raises DatabaseError when another process owns it. The lock dies with its process, however it
    ends. It is a file of its own: SQLite's own locks on the database must not be disturbed.
    """
    path = data_dir / f"{nome}.lock"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        _flush_names(data_dir)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        msg = f"cannot use the data directory {data_dir}: {error.strerror}"
        raise DatabaseError(msg) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            msg = (
                f"{database_path(data_dir, nome)} is in use by process {owner}; "
                "stop that instance or choose another --data-dir"
            )
            raise DatabaseError(msg) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _flush_names(directory: Path) -> None:
    """Have every name on the way to a directory on the disk, whoever made it.

    SQLite flushes the names within it with the first commit, but not its own.
    """
    for parent in directory.resolve().parents:
        # As SQLite does: not every file system lets a directory be flushed, or be read by us.
        with suppress(OSError):
            descriptor = os.open(parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def prepare(data_dir: Path, sala: Sala, shop: Path | None, stock: int | None = None) -> Path:
    """Make a service's database, or check that the one at hand is its own; returns its path.

    `shop` is ecommerce.db, or None where there is nothing to import; `stock` overrides each
    product's quantity at import. Raises DatabaseError, with nothing touched.
    """
    path = database_path(data_dir, sala.nome)
    try:
        # Looked at before it is opened for writing: what is refused must stay as it was.
        if path.exists() and path.stat().st_size > 0 and not _just_begun(path):
            with closing(connect(path, read_only=True)) as con:
                ours = not _empty(con)
                if ours:
                    _check(con, path, sala, shop)
            if ours:
                _probe(path, sala)
                return path
        path.touch()
        with closing(connect(path, synchronous=sala.synchronous)) as con:
            _create(con, sala, shop, stock)
    except sqlite3.Error as error:
        msg = f"cannot use {path}: {error}; move it away or start with --fresh"
        raise DatabaseError(msg) from error
    except OSError as error:
        msg = f"cannot use {path}: {error.strerror}"
        raise DatabaseError(msg) from error
    return path


def _just_begun(path: Path) -> bool:
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


def _probe(path: Path, sala: Sala) -> None:
    """Raises sqlite3.Error unless the file can be written, before anybody is told we are ready."""
    with closing(connect(path, synchronous=sala.synchronous)) as con:
        con.execute("BEGIN IMMEDIATE")
        con.execute("ROLLBACK")


def _empty(con: sqlite3.Connection) -> bool:
    (tables,) = con.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return bool(tables == 0)


def _create(con: sqlite3.Connection, sala: Sala, shop: Path | None, stock: int | None) -> None:
    meta = {"servico": sala.nome, "versao": str(VERSAO_ESQUEMA)}
    script = sala.esquema
    if sala.importacao:
        if shop is None:
            msg = f"{sala.nome} needs a shop to import; make one with python gerador_dados.py"
            raise DatabaseError(msg)
        check_shop(shop)
        meta["loja"] = fingerprint(shop)
        con.execute("ATTACH ? AS loja", (f"{shop.absolute().as_uri()}?mode=ro",))
        script += sala.importacao
    valores = {"estoque": stock, "instante": datetime.now(UTC).isoformat(timespec="milliseconds")}
    con.execute("BEGIN IMMEDIATE")
    con.execute(_META)
    con.executemany("INSERT INTO meta VALUES (?, ?)", list(meta.items()))
    for statement in script.split(";"):
        if statement.strip():
            con.execute(statement, valores)
    con.execute("COMMIT")


def _check(con: sqlite3.Connection, path: Path, sala: Sala, shop: Path | None) -> None:
    tables = {name for (name,) in con.execute("SELECT name FROM sqlite_master")}
    meta = dict(con.execute("SELECT chave, valor FROM meta")) if "meta" in tables else {}
    if meta.get("servico") != sala.nome:
        whose = meta.get("servico", "another program")
        msg = f"{path} belongs to {whose}, not to {sala.nome}; choose another --data-dir"
        raise DatabaseError(msg)
    if meta.get("versao") != str(VERSAO_ESQUEMA):
        msg = (
            f"{path} has schema version {meta.get('versao')}, this program has {VERSAO_ESQUEMA}; "
            "start with --fresh"
        )
        raise DatabaseError(msg)
    if sala.importacao and shop is not None and shop.exists():
        check_shop(shop)
        if meta.get("loja") != fingerprint(shop):
            msg = (
                f"{path} was imported from another shop than {shop}; "
                "start with --fresh or name the shop it came from with --shop"
            )
            raise DatabaseError(msg)
