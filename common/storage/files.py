"""A service's database file: owned by one process, made once, recognised ever after.

At its first start a service imports its part of the shop in one transaction, together with the
shop's fingerprint. Later it accepts only its own schema and the same shop; a file of an older
version is brought forward (see common/storage/migration.py). What is refused stays as it was.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from common.servicos import catalogo, estoque, fiscal, logistica
from common.servicos.pagamentos import gateway, pagamentos
from common.servicos.pedidos import livro
from common.servicos.protocolo.sql import Importada
from common.shop.schema import ShopError, check_rows, check_shop, fingerprint
from common.storage.connection import Synchronous, connect
from common.storage.inspection import PATIENCE_S, is_empty, is_just_begun, looking
from common.storage.lock import held
from common.storage.migration import migrate, statements

ESQUEMA_META: Final = "CREATE TABLE meta (chave TEXT PRIMARY KEY, valor TEXT NOT NULL)"
# Where `meta` keeps the digest of what was imported.
META_IMPORTADO: Final = "importado"
_PATIENCE_MS: Final = int(PATIENCE_S * 1_000)


# What SQLite says of a file that is not, or not any more, as SQLite left it.
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class DatabaseError(Exception):
    """A database that cannot be used; the message is one clear sentence for a person."""


class Sala(NamedTuple):
    """A service's file: its name, its schema, and the SQL that imports its part of the shop.

    `importado` says what its tables hold of the import, and of nothing that came after.
    `migracoes` are scripts of SQL: the first brings a file of version `primeira`, the oldest that
    can still be used, to the version after it, the last one to `versao`, which `esquema` is.
    """

    nome: str
    esquema: str
    importacao: str = ""
    importado: tuple[Importada, ...] = ()
    synchronous: Synchronous = "FULL"
    migracoes: tuple[str, ...] = ()
    primeira: int = 1

    @property
    def versao(self) -> int:
        """The version of the schema that this program uses."""
        return self.primeira + len(self.migracoes)


SALAS: Final[dict[str, Sala]] = {
    "pedidos": Sala("pedidos", livro.ESQUEMA, livro.IMPORTACAO, livro.IMPORTADO),
    "pagamentos": Sala(
        "pagamentos", pagamentos.ESQUEMA, pagamentos.IMPORTACAO, pagamentos.IMPORTADO
    ),
    "estoque": Sala("estoque", estoque.ESQUEMA, estoque.IMPORTACAO, estoque.IMPORTADO),
    "fiscal": Sala("fiscal", fiscal.ESQUEMA, fiscal.IMPORTACAO, fiscal.IMPORTADO),
    "logistica": Sala("logistica", logistica.ESQUEMA, logistica.IMPORTACAO, logistica.IMPORTADO),
    "catalogo": Sala("catalogo", catalogo.ESQUEMA, catalogo.IMPORTACAO, catalogo.IMPORTADO),
}
# The outside world's books, as durable as a real gateway's.
GATEWAY: Final = Sala("gateway", gateway.ESQUEMA)


class Loja(NamedTuple):
    """The shop at hand: its file, and the fingerprint of its bytes."""

    caminho: Path
    impressao: str


class Registro(NamedTuple):
    """What a file says of itself: its schema's version, and the shop that it was imported from."""

    versao: int
    loja: str | None


def database_path(data_dir: Path, nome: str) -> Path:
    """Where a service, or the gateway, keeps its file."""
    return data_dir / f"{nome}.db"


@contextmanager
def exclusive(data_dir: Path, nome: str) -> Iterator[None]:
    """Own a service's database for the life of the block. Raises InUseError."""
    with held(data_dir / f"{nome}.lock", database_path(data_dir, nome)):
        _flush_names(data_dir)
        yield


def shop_at_hand(shop: Path | None) -> Loja | None:
    """The shop, or None when there is no such file. Raises ShopError when it is not a shop."""
    if shop is None or not shop.exists():
        return None
    check_shop(shop)
    return Loja(shop, fingerprint(shop))


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
    """Make a service's database, or bring the one at hand forward; returns its path.

    `shop` is ecommerce.db, or None where there is nothing to import; `stock` overrides each
    product's quantity at import. The caller owns the file (`exclusive`). Raises DatabaseError or
    ShopError, and then the file is as it was.
    """
    path = database_path(data_dir, sala.nome)
    loja = shop_at_hand(shop) if sala.importacao else None
    found = examine(data_dir, sala, loja)
    if found is None and sala.importacao and loja is None:
        if shop is not None:
            check_shop(shop)
        msg = f"{sala.nome} needs a shop to import; make one with python gerador_dados.py"
        raise DatabaseError(msg)
    with _in_words(path):
        if found is None:
            if loja is not None:
                check_rows(loja.caminho)
            _create(path, sala, loja, stock)
        elif found < sala.versao:
            _bring_forward(path, sala, found)
        else:
            _probe(path, sala)
    return path


def examine(data_dir: Path, sala: Sala, loja: Loja | None) -> int | None:
    """The schema version of a service's file; None where there is no file, or an empty one.

    Raises DatabaseError for a file that the service cannot use. Nothing is touched. What is seen
    is the file's header, its length, its tables and what `meta` says. Damage to a page of rows is
    not: finding that takes reading all of them, at every start. The audit does.
    """
    path = database_path(data_dir, sala.nome)
    with _in_words(path):
        if not path.exists():
            return None
        if not path.is_file():
            msg = f"{path} is not a file: move it away, or choose another --data-dir"
            raise DatabaseError(msg)
        if not os.access(path, os.R_OK | os.W_OK):
            msg = f"{path} may not be read and written by this user: choose another --data-dir"
            raise DatabaseError(msg)
        # An import that was killed leaves a file without a table, or without a byte.
        if path.stat().st_size == 0:
            return None
        if is_just_begun(path):
            return None
        with looking(path) as con:
            if is_empty(con):
                return None
            registro = recognise(con, path, sala)
    if sala.importacao and loja is not None and registro.loja != loja.impressao:
        msg = (
            f"{path} was imported from another shop than {loja.caminho}: "
            "name the shop it came from with --shop, or begin anew with --fresh"
        )
        raise DatabaseError(msg)
    return registro.versao


def examine_gateway(data_dir: Path) -> None:
    """Raises DatabaseError when the gateway's books cannot be used, or are gone.

    Made anew they would forget what Pagamentos has had charged. Nothing is touched.
    """
    if examine(data_dir, GATEWAY, None) is not None:
        return
    path = database_path(data_dir, "pagamentos")
    if examine(data_dir, SALAS["pagamentos"], None) is None:
        return
    with _in_words(path), looking(path) as con:
        (paid,) = con.execute("SELECT count(*) FROM pagamentos WHERE origem = 'loja'").fetchone()
    if paid:
        msg = (
            f"{database_path(data_dir, GATEWAY.nome)} is missing or empty, and {path} tells of {paid}"
            " payments: bring back a copy of the whole data directory, or begin anew with --fresh"
        )
        raise DatabaseError(msg)


def recognise(con: sqlite3.Connection, path: Path, sala: Sala, schema: str = "main") -> Registro:
    """What the file at `path`, attached as `schema`, says of itself.

    Raises DatabaseError when it is not the service's, or of a version that this program does not
    know, and sqlite3.Error.
    """
    columns = con.execute("SELECT name FROM pragma_table_info('meta', ?)", (schema,))
    meta = {}
    if {name for (name,) in columns} == {"chave", "valor"}:
        meta = dict(con.execute(f"SELECT chave, valor FROM {schema}.meta"))  # noqa: S608 - ours
    if meta.get("servico") != sala.nome:
        whose = meta.get("servico", "another program")
        msg = f"{path} belongs to {whose}, not to {sala.nome}: choose another --data-dir"
        raise DatabaseError(msg)
    known = [str(versao) for versao in range(sala.primeira, sala.versao + 1)]
    if meta.get("versao") not in known:
        msg = (
            f"{path} has schema version {meta.get('versao')}, this program knows "
            f"{' to '.join(dict.fromkeys((known[0], known[-1])))}: "
            "use the program that wrote it, or begin anew with --fresh"
        )
        raise DatabaseError(msg)
    return Registro(int(meta["versao"]), meta.get("loja"))


def try_writing(data_dir: Path, sala: Sala) -> None:
    """Raises DatabaseError when a service's file is there and cannot be written to just now."""
    path = database_path(data_dir, sala.nome)
    with _in_words(path):
        if path.exists():
            _probe(path, sala)


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    """Say in one sentence why a file cannot be used, and what to do about it."""
    try:
        yield
    except sqlite3.Error as error:
        # Of an extended code the last byte is the kind. Errors of the module itself have none.
        kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if kind == sqlite3.SQLITE_BUSY:
            msg = f"{path} is locked by another program: end that one, then start again"
        elif kind == sqlite3.SQLITE_FULL:
            msg = f"cannot use {path}: {error}; make room, then start again"
        elif kind in _DAMAGED:
            msg = (
                f"{path} is damaged ({error}): bring back a copy of the whole data directory, or begin"
                " anew with --fresh; made anew alone, it would forget what the other files rely on"
            )
        else:
            msg = f"cannot use {path}: {error}; move it away or begin anew with --fresh"
        raise DatabaseError(msg) from error
    except OSError as error:
        msg = f"cannot use {path}: {error.strerror}"
        raise DatabaseError(msg) from error


def imported(con: sqlite3.Connection, sala: Sala) -> str:
    """A digest (BLAKE2b, 16 bytes in hexadecimal) of what a service's file holds of the import.

    Nothing that the service does later changes it. Raises sqlite3.Error.
    """
    digest = blake2b(digest_size=16)
    for tabela in sala.importado:
        digest.update(tabela.tabela.encode())
        for (values,) in con.execute(tabela.consulta()):
            digest.update(values)
    return digest.hexdigest()


def _open(path: Path, sala: Sala) -> sqlite3.Connection:
    return connect(path, synchronous=sala.synchronous, busy_timeout_ms=_PATIENCE_MS)


def _probe(path: Path, sala: Sala) -> None:
    """Raises sqlite3.Error unless the file can be written, before anybody is told we are ready."""
    with closing(_open(path, sala)) as con:
        con.execute("BEGIN IMMEDIATE")
        con.execute("ROLLBACK")


def _bring_forward(path: Path, sala: Sala, found: int) -> None:
    with closing(_open(path, sala)) as con:
        try:
            migrate(con, sala.migracoes[found - sala.primeira :], sala.versao)
        except sqlite3.Error as error:
            if not con.in_transaction:
                raise
            msg = (
                f"cannot bring {path} from schema version {found} to {sala.versao}: {error}; "
                "it is as it was: use the program that wrote it, or begin anew with --fresh"
            )
            raise DatabaseError(msg) from error


def _create(path: Path, sala: Sala, loja: Loja | None, stock: int | None) -> None:
    path.touch()
    meta = {"servico": sala.nome, "versao": str(sala.versao)}
    script = sala.esquema
    with closing(_open(path, sala)) as con:
        if loja is not None:
            meta["loja"] = loja.impressao
            con.execute("ATTACH ? AS loja", (f"{loja.caminho.absolute().as_uri()}?mode=ro",))
            script += sala.importacao
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        con.execute("BEGIN IMMEDIATE")
        con.execute(ESQUEMA_META)
        con.executemany("INSERT INTO meta VALUES (?, ?)", list(meta.items()))
        try:
            for statement in statements(script):
                con.execute(statement, {"estoque": stock, "instante": now})
        except sqlite3.IntegrityError as error:
            msg = f"the shop cannot be imported into {sala.nome}: {error}"
            raise ShopError(msg) from error
        if loja is not None:
            con.execute("INSERT INTO meta VALUES (?, ?)", (META_IMPORTADO, imported(con, sala)))
        con.execute("COMMIT")
