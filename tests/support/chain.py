"""The chain and what orders look like: who calls whom, by which operation, with which body."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Final

from common.servicos.protocolo.chave_acesso import montar_chave
from common.shop.generator import Opcoes, gerar

if TYPE_CHECKING:
    from pathlib import Path

# The chain itself, by who calls whom.
CHAIN: Final = ("pedidos", "pagamentos", "estoque", "fiscal", "logistica")
FORWARD: Final = {
    "pagamentos": "processar_pagamento",
    "estoque": "separar_estoque",
    "fiscal": "emitir_nota_fiscal",
    "logistica": "agendar_envio",
}
CANCEL: Final = {
    "pagamentos": "cancelar_pagamento",
    "estoque": "cancelar_separacao",
    "fiscal": "cancelar_nota_fiscal",
    "logistica": "cancelar_envio",
}
CUSTOMERS: Final = 5
PRODUCTS: Final = 55
IMPORTED: Final = 12


def basket(
    *itens: tuple[int, int], cliente_id: int = 1, metodo_pagamento: str = "pix"
) -> dict[str, Any]:
    """The body of an order."""
    return {
        "cliente_id": cliente_id,
        "itens": [
            {"produto_id": produto_id, "quantidade": quantidade}
            for produto_id, quantidade in itens or ((1, 1),)
        ],
        "metodo_pagamento": metodo_pagamento,
    }


def step(servico: str, pedido_id: int, **changes: Any) -> dict[str, Any]:
    """The body of a service's forward step, for an order that Pedidos need not know."""
    body: dict[str, Any] = {"pedido_id": pedido_id, "cliente_id": 1}
    if servico != "logistica":
        body["valor_total_centavos"] = 1_000
    if servico in {"pagamentos", "estoque"}:
        body["itens"] = basket()["itens"]
    if servico == "pagamentos":
        body["metodo_pagamento"] = "pix"
    if servico == "logistica":
        chave = montar_chave(emitida_em=date(2025, 1, 31), numero=1, codigo=pedido_id)
        body["nota_fiscal"] = {"numero": "NF000000001", "chave_acesso": chave}
    return body | changes


def make_shop(path: Path) -> Path:
    """A small shop with a past, always the same."""
    gerar(path, Opcoes(clientes=CUSTOMERS, produtos=PRODUCTS, pedidos=IMPORTED, semente=1))
    return path
