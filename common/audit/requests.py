"""What was asked: an order's key, and the hashes of its request and of each step's."""

from __future__ import annotations

from typing import Final

from common.audit.rules import Rule

KEYS: Final = Rule(
    "keys",
    "every order has one idempotency key of its own, as the contract has them",
    (3,),
    "SELECT count(*) FROM driven",
    """
SELECT id, 'has no idempotency key' FROM driven WHERE chave_idempotencia IS NULL
UNION ALL
SELECT id, 'has the key ' || quote(chave_idempotencia) || ', which no client can send' FROM driven
WHERE typeof(chave_idempotencia) <> 'text' OR length(chave_idempotencia) NOT BETWEEN 1 AND 255
    OR chave_idempotencia GLOB '*[^ -~]*' OR trim(chave_idempotencia) <> chave_idempotencia
UNION ALL
SELECT max(id), 'shares the key ' || chave_idempotencia || ' with order ' || min(id)
FROM driven WHERE chave_idempotencia IS NOT NULL
GROUP BY chave_idempotencia HAVING count(*) > 1
""",
)

_STEP: Final = """
SELECT asked.id, 'SALA: the hash of the request is not that of what it was asked with'
FROM asked JOIN SALA.passos AS p ON p.pedido_id = asked.id
WHERE p.estado <> 'tombstone' AND (p.resumo IS NULL OR p.resumo IS NOT RESUMO)
UNION ALL
"""
_WITHOUT: Final = """
SELECT pedido_id, 'SALA: a step that nobody asked for has the hash of a request' FROM SALA.passos
WHERE estado IN ('tombstone', 'importado') AND resumo IS NOT NULL
UNION ALL
"""
_RESUMOS: Final = {
    "pagamentos": "resumo_pagamento(asked.id, cliente_id, total, metodo, itens)",
    "estoque": "resumo_separacao(asked.id, cliente_id, total, itens)",
    "fiscal": "resumo_nota(asked.id, cliente_id, total)",
}

# What an order is asked with never changes, so the second reading serves every service. The invoice
# that a shipment was asked with may have been written after Fiscal was read: then it is not judged.
HASHES: Final = Rule(
    "request-hashes",
    "the hash of a request, at Pedidos and at each step, is that of what was stored of it",
    (3, 6),
    "SELECT count(*) FROM later",
    """
WITH asked AS MATERIALIZED (
    SELECT id, cliente_id, valor_total_centavos AS total, metodo, resumo, (
        SELECT json_group_array(json_array(produto_id, quantidade)) FROM (
            SELECT produto_id, quantidade FROM pedidos_depois.itens_pedido
            WHERE pedido_id = later.id ORDER BY linha)) AS itens
    FROM later
)
STEPS
WITHOUT
SELECT asked.id, 'logistica: the hash of the request is not that of the invoice'
FROM asked JOIN logistica.passos AS p ON p.pedido_id = asked.id
JOIN fiscal.notas_fiscais AS n ON n.pedido_id = asked.id
WHERE p.estado <> 'tombstone' AND (p.resumo IS NULL
    OR p.resumo IS NOT resumo_envio(asked.id, cliente_id, n.numero, n.chave_acesso))
UNION ALL
SELECT id, 'pedidos: the hash of the request is not that of the order' FROM asked
WHERE resumo IS NULL OR resumo IS NOT resumo_pedido(cliente_id, itens, metodo)
""".replace(
        "STEPS",
        "".join(
            _STEP.replace("SALA", sala).replace("RESUMO", resumo)
            for sala, resumo in _RESUMOS.items()
        ),
    ).replace(
        "WITHOUT", "".join(_WITHOUT.replace("SALA", sala) for sala in (*_RESUMOS, "logistica"))
    ),
)

RULES: Final = (KEYS, HASHES)
