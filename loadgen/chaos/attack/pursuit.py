"""Whether a cancel that was durably begun was pursued, though its caller had gone.

An order that is `cancelando` may still be shipped: its step may be ahead of the cancel. But a cancel
that is pursued reaches Logistica long before an order that is paid for half a second later.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Final

from common.storage.files import database_path

# Seconds from the flip to the payment that no cancel takes to reach Logistica undisturbed.
PURSUED_S: Final = 0.5
# Seconds after a strike has healed in which orders that waited for it come first.
DISTURBED_S: Final = 1.0

_SHIPPED_ANYWAY: Final = """
SELECT flip.pedido_id, flip.instante, payment.instante
FROM transicoes AS flip JOIN pedidos ON pedidos.id = flip.pedido_id
JOIN pagamentos.transicoes AS payment ON payment.pedido_id = flip.pedido_id
WHERE flip.para = 'cancelando' AND payment.para = 'aprovado' AND pedidos.status = 'enviado'
    AND payment.instante > flip.instante
ORDER BY flip.pedido_id
"""


def not_pursued(data_dir: Path, strikes: Sequence[tuple[float, float]]) -> tuple[int, ...]:
    """Orders that were charged and shipped though they had been `cancelando` for PURSUED_S.

    `strikes` are stretches, in seconds since 1970, in which services were struck: an order whose
    wait meets one, or comes right after it, proves nothing. Raises sqlite3.Error.
    """
    disturbed = [(begin, end + DISTURBED_S) for begin, end in strikes]
    found = []
    for order, flip, payment in _shipped_anyway(data_dir):
        begin, end = _epoch(flip), _epoch(payment)
        met = any(begin < until and since < end for since, until in disturbed)
        if end - begin > PURSUED_S and not met:
            found.append(order)
    return tuple(found)


def _shipped_anyway(data_dir: Path) -> list[tuple[int, str, str]]:
    with closing(sqlite3.connect(_uri(data_dir, "pedidos"), uri=True)) as con:
        con.execute("ATTACH ? AS pagamentos", (_uri(data_dir, "pagamentos"),))
        return con.execute(_SHIPPED_ANYWAY).fetchall()


def _uri(data_dir: Path, service: str) -> str:
    return f"{database_path(data_dir, service).absolute().as_uri()}?mode=ro"


def _epoch(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp()
