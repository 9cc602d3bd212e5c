"""Rules about the shop as a whole: orphans, what is still open, and each file's own soundness."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final, TypeAlias

from common.audit.rules import Rule, collect
from common.audit.snapshot import FILES
from common.storage.connection import BUSY_TIMEOUT_MS, connect
from common.storage.files import database_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from common.audit.report import Check

# An order, or none, and what is wrong.
Finding: TypeAlias = tuple[int | None, str]

# Lines of SQLite's own findings on one file: the first tell the story.
_FINDINGS_MAX: Final = 20

_STEPS: Final = """
SELECT pedido_id, 'SALA knows an order that Pedidos does not: ' || estado FROM SALA.passos
WHERE NOT EXISTS (SELECT 1 FROM pedidos_depois.pedidos AS p WHERE p.id = pedido_id
    AND (p.origem = 'importado') = (estado = 'importado'))
"""
_ROWS: Final = """
SELECT pedido_id, 'LUGAR has a row of an order that Pedidos does not know' FROM LUGAR
WHERE pedido_id NOT IN (SELECT id FROM pedidos_depois.pedidos) GROUP BY pedido_id
"""
_CHARGES: Final = """
SELECT CASE WHEN chave GLOB 'pedido-[0-9]*' THEN CAST(substr(chave, 8) AS INTEGER) END,
    'the gateway has the key ' || chave || ' of an order that Pedidos does not know'
FROM gateway.cobrancas
WHERE NOT EXISTS (SELECT 1 FROM later WHERE chave = 'pedido-' || later.id
    AND later.id = CAST(substr(chave, 8) AS INTEGER))
"""
_SALAS: Final = ("pagamentos", "estoque", "fiscal", "logistica")
_PLACES: Final = (
    "pagamentos.pagamentos",
    "estoque.movimentos",
    "fiscal.notas_fiscais",
    "logistica.envios",
    "pedidos_depois.itens_pedido",
    "pedidos_depois.transicoes",
    *(f"{sala}.transicoes" for sala in _SALAS),
)

# Judged against Pedidos' second reading, which is newer than all that the others were seen to hold.
ORPHANS: Final = Rule(
    "orphans",
    "no service holds anything of an order that Pedidos does not know",
    (8,),
    """
SELECT (SELECT count(*) FROM pagamentos.passos) + (SELECT count(*) FROM estoque.passos)
    + (SELECT count(*) FROM fiscal.passos) + (SELECT count(*) FROM logistica.passos)
    + (SELECT count(*) FROM gateway.cobrancas)
""",
    "UNION ALL".join(
        (
            *(_STEPS.replace("SALA", sala) for sala in _SALAS),
            *(_ROWS.replace("LUGAR", lugar) for lugar in _PLACES),
            _CHARGES,
        )
    ),
)

PRODUCTS: Final = Rule(
    "products",
    "catalogo and estoque know the same products, and every one that was ordered",
    (8,),
    "SELECT count(*) FROM catalogo.produtos",
    """
SELECT NULL, 'product ' || id || ' is in catalogo and not in estoque' FROM catalogo.produtos
WHERE id NOT IN (SELECT id FROM estoque.produtos)
UNION ALL
SELECT NULL, 'product ' || id || ' is in estoque and not in catalogo' FROM estoque.produtos
WHERE id NOT IN (SELECT id FROM catalogo.produtos)
UNION ALL
SELECT i.pedido_id, 'ordered the unknown product ' || i.produto_id
FROM driven JOIN pedidos.itens_pedido AS i ON i.pedido_id = driven.id
WHERE i.produto_id NOT IN (SELECT id FROM catalogo.produtos)
""",
)

OPEN_ORDERS: Final = Rule(
    "open-orders",
    "every order has ended",
    (4,),
    "SELECT count(*) FROM later",
    """
SELECT id, 'is still ' || status FROM later WHERE status NOT IN ('enviado', 'cancelado')
""",
)

RULES: Final = (ORPHANS, PRODUCTS)

_INTEGRITY: Final = Rule("integrity", "every file passes SQLite's integrity check", (13,), "", "")
_FOREIGN_KEYS: Final = Rule("foreign-keys", "every foreign key finds its row", (13,), "", "")


def integrity(data_dir: Path) -> Check:
    """SQLite's own check of every file: its pages, its indexes and the rules of its columns."""
    return collect(_INTEGRITY, len(FILES), every_file(data_dir, FILES, _damage))


def foreign_keys(data_dir: Path) -> Check:
    """Every foreign key of every file; only the services' own connections enforce them."""
    return collect(_FOREIGN_KEYS, len(FILES), every_file(data_dir, FILES, _dangling))


def every_file(
    data_dir: Path,
    nomes: Iterable[str],
    findings: Callable[[sqlite3.Connection, str], Iterator[Finding]],
) -> Iterator[Finding]:
    """The findings on each of some files, on a connection of its own.

    Damage found inside the audit's transaction would keep it from ever writing again, even into
    its own temporary tables.
    """
    for nome in nomes:
        path = database_path(data_dir, nome)
        with closing(connect(path, read_only=True)) as keeper, closing(_strict(path)) as con:
            try:
                # Who leaves a file last copies the log into it, unless it may only read.
                keeper.execute("PRAGMA schema_version").fetchone()
                for pedido_id, detail in findings(con, nome):
                    yield pedido_id, f"{nome}.db: {detail}"
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                yield None, f"{nome}.db: {error}"


def _strict(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing and yet knows the rules of the columns.

    SQLite leaves every CHECK of a file out that it was told to open read-only.
    """
    con = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    con.execute("PRAGMA query_only = ON")
    con.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    return con


def _damage(con: sqlite3.Connection, _: str) -> Iterator[Finding]:
    for (lines,) in con.execute(f"PRAGMA integrity_check({_FINDINGS_MAX})"):
        # One finding may be several lines.
        yield from ((None, line) for line in lines.splitlines() if line != "ok")


def _dangling(con: sqlite3.Connection, _: str) -> Iterator[Finding]:
    for table, rowid, parent, _ in con.execute("PRAGMA foreign_key_check").fetchall():
        # A table without row ids tells no row.
        row = "a row" if rowid is None else f"row {rowid}"
        detail = f"{row} of {table} names a row of {parent} that does not exist"
        yield _order_of(con, table, rowid), detail


def _order_of(con: sqlite3.Connection, table: str, rowid: int | None) -> int | None:
    """The order that a row belongs to, if any; an order's own id is its row id."""
    if rowid is None or table == "pedidos":
        return rowid
    row = con.execute(
        f"SELECT pedido_id FROM {table} WHERE rowid = ?",  # noqa: S608 - SQLite's own names
        (rowid,),
    ).fetchone()
    return row[0] if row else None
