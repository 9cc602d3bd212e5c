"""Rules about what came from the shop: it is as it was imported, possible, and never driven again."""

from __future__ import annotations

import sqlite3
from itertools import chain
from typing import TYPE_CHECKING, Final

from common.audit.rules import Rule, collect
from common.audit.snapshot import sala_of
from common.audit.whole import Finding, every_file
from common.storage.files import META_IMPORTADO, SALAS, imported

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from common.audit.report import Check

# The past comes from the shop's file, which another script may have written: only what no shop
# could have lived through is wrong, and what was lost or touched after the import.
HISTORY: Final = Rule(
    "imported-history",
    "the imported past is possible, whole in every service, and was never driven again",
    (5, 8),
    "SELECT count(*) FROM pedidos.pedidos WHERE origem <> 'loja'",
    """
WITH past AS (
    SELECT p.id, p.status, p.pagamento_status, p.nota_numero, p.envio_codigo, p.envio_status,
        g.status AS g_status, n.numero AS n_numero, e.codigo_rastreamento AS e_codigo,
        e.id AS e_id, e.status AS e_status, e.numero_nota AS e_nota
    FROM pedidos.pedidos AS p
    LEFT JOIN pagamentos.pagamentos AS g ON g.pedido_id = p.id
    LEFT JOIN fiscal.notas_fiscais AS n ON n.pedido_id = p.id
    LEFT JOIN logistica.envios AS e ON e.pedido_id = p.id
    WHERE p.origem <> 'loja'
)
SELECT id, 'imported: shipped without an invoice' FROM past
WHERE e_id IS NOT NULL AND (n_numero IS NULL OR e_nota IS NOT n_numero)
UNION ALL
SELECT id, 'imported: cancelado, yet invoiced or shipped' FROM past
WHERE status = 'cancelado' AND (n_numero IS NOT NULL OR e_id IS NOT NULL)
UNION ALL
SELECT id, 'imported: Pedidos and the documents of the services differ' FROM past
WHERE pagamento_status IS NOT g_status OR nota_numero IS NOT n_numero
    OR envio_codigo IS NOT e_codigo OR envio_status IS NOT e_status
UNION ALL
SELECT id, 'imported, yet it has an idempotency key or stock was moved for it'
FROM pedidos.pedidos WHERE origem <> 'loja' AND (chave_idempotencia IS NOT NULL
    OR id IN (SELECT pedido_id FROM estoque.movimentos WHERE pedido_id IS NOT NULL))
""",
)

RULES: Final = (HISTORY,)

_DIGESTS: Final = Rule(
    "imported-rows",
    "customers, prices, names, opening stock and the past are as they were imported",
    (5, 7, 8),
    "",
    "",
)
# Where `meta` keeps the fingerprint of the shop.
_SHOP: Final = "loja"
_KEPT: Final = "SELECT valor FROM ARQUIVO.meta WHERE chave = ?"


def rows(con: sqlite3.Connection, data_dir: Path) -> Check:
    """Compute the digest of what each service imported again, and compare it with the one kept.

    Files that were made before there was one are not judged; they have it all, or none has.
    """
    kept = {nome: _meta(con, nome, META_IMPORTADO) for nome in SALAS}
    nameless = [
        (None, f"{nome}.db: names no shop") for nome in SALAS if not _meta(con, nome, _SHOP)
    ]
    if any(kept.values()):
        return collect(_DIGESTS, len(SALAS), chain(nameless, _changed(data_dir, kept)))
    skipped = None if nameless else "the data were imported before a digest was kept"
    return collect(_DIGESTS, 0, nameless, skipped)


def _changed(data_dir: Path, kept: dict[str, str | None]) -> Iterator[Finding]:
    def compare(file: sqlite3.Connection, nome: str) -> Iterator[Finding]:
        found = imported(file, sala_of(nome))
        if kept[nome] is None:
            yield None, "it has no digest of what was imported, other files have"
        elif kept[nome] != found:
            yield None, f"what was imported had the digest {kept[nome]}, what is there has {found}"

    yield from every_file(data_dir, SALAS, compare)


def _meta(con: sqlite3.Connection, nome: str, chave: str) -> str | None:
    row = con.execute(_KEPT.replace("ARQUIVO", nome), (chave,)).fetchone()
    return row[0] if row else None
