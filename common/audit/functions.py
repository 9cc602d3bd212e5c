"""What SQL cannot compute: the services' own hashes and access keys, as functions of a connection.

Each is the very function that the service uses. Values that no service could have stored give null.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from common import contratos as c
from common.servicos.fiscal import chave_da_nota
from common.servicos.protocolo.passo import resumo_de

if TYPE_CHECKING:
    import sqlite3

_pairs: Final = msgspec.json.Decoder(list[tuple[int, int]]).decode


def _items(text: str) -> tuple[c.ItemPedido, ...]:
    return tuple(c.ItemPedido(*pair) for pair in _pairs(text))


def _order(cliente_id: int, itens: str, metodo: Any) -> bytes:
    return resumo_de(c.CriarPedidoRequest(cliente_id, _items(itens), metodo))


def _payment(pedido_id: int, cliente_id: int, total: int, metodo: Any, itens: str) -> bytes:
    return resumo_de(
        c.ProcessarPagamentoRequest(pedido_id, cliente_id, total, metodo, _items(itens))
    )


def _picking(pedido_id: int, cliente_id: int, total: int, itens: str) -> bytes:
    return resumo_de(c.SepararEstoqueRequest(pedido_id, cliente_id, total, _items(itens)))


def _invoice(pedido_id: int, cliente_id: int, total: int) -> bytes:
    return resumo_de(c.EmitirNotaFiscalRequest(pedido_id, cliente_id, total))


def _shipment(pedido_id: int, cliente_id: int, numero: str, chave: str) -> bytes:
    nota = c.ResumoNotaFiscal(numero, chave)
    return resumo_de(c.AgendarEnvioRequest(pedido_id, cliente_id, nota))


def _or_null(function: Callable[..., Any]) -> Callable[..., Any]:
    def compute(*values: Any) -> Any:
        try:
            return function(*values)
        except (TypeError, ValueError, msgspec.MsgspecError):
            return None

    return compute


# By name in SQL: how many values it takes, and what computes it. `itens` is a JSON list of
# [product, quantity].
_FUNCTIONS: Final[dict[str, tuple[int, Callable[..., Any]]]] = {
    "resumo_pedido": (3, _order),
    "resumo_pagamento": (5, _payment),
    "resumo_separacao": (4, _picking),
    "resumo_nota": (3, _invoice),
    "resumo_envio": (4, _shipment),
    "chave_da_nota": (3, chave_da_nota),
}


def define(con: sqlite3.Connection) -> None:
    """Give a connection all of them."""
    for name, (count, function) in _FUNCTIONS.items():
        con.create_function(name, count, _or_null(function), deterministic=True)
