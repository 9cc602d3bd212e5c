"""Rules about an order across the services: its shape once it has ended, its money, its reason."""

from __future__ import annotations

from typing import Final

from common.audit.rules import Rule

_ENDED: Final = "SELECT count(*) FROM ended"
_DRIVEN: Final = "SELECT count(*) FROM driven"
_ENVIADOS: Final = "SELECT count(*) FROM ended WHERE status = 'enviado'"
_CANCELADOS: Final = "SELECT count(*) FROM ended WHERE status = 'cancelado'"

# Each service's arbiter of an ended order, absent where it has no row.
_PASSOS: Final = """
FROM ended
LEFT JOIN pagamentos.passos AS pg ON pg.pedido_id = ended.id
LEFT JOIN estoque.passos AS es ON es.pedido_id = ended.id
LEFT JOIN fiscal.passos AS fi ON fi.pedido_id = ended.id
LEFT JOIN logistica.passos AS lo ON lo.pedido_id = ended.id
"""
_ESTADOS: Final = """
    'pagamentos ' || COALESCE(pg.estado, 'ausente')
    || ', estoque ' || COALESCE(es.estado, 'ausente')
    || ', fiscal ' || COALESCE(fi.estado, 'ausente')
    || ', logistica ' || COALESCE(lo.estado, 'ausente')
"""

SHIPPED: Final = Rule(
    "shipped",
    "a shipped order is paid, picked, invoiced and sent",
    (1, 5),
    _ENVIADOS,
    "SELECT ended.id, 'enviado, but ' || "
    + _ESTADOS
    + _PASSOS
    + """
WHERE ended.status = 'enviado' AND (pg.estado IS NOT 'aprovado' OR es.estado IS NOT 'separado'
    OR fi.estado IS NOT 'emitida' OR lo.estado IS NOT 'enviado')
""",
)

# A hop that an undo never reached has no row; a done row must have been undone.
CANCELLED: Final = Rule(
    "cancelled",
    "a cancelled order keeps no payment, stock, invoice or shipment",
    (4, 5),
    _CANCELADOS,
    "SELECT ended.id, 'cancelado, but ' || "
    + _ESTADOS
    + _PASSOS
    + """
WHERE ended.status = 'cancelado' AND (
    COALESCE(pg.estado, 'tombstone') NOT IN ('rejeitado', 'estornado', 'tombstone')
    OR COALESCE(es.estado, 'tombstone') NOT IN ('insuficiente', 'devolvido', 'tombstone')
    OR COALESCE(fi.estado, 'tombstone') NOT IN ('cancelada', 'tombstone')
    OR COALESCE(lo.estado, 'tombstone') <> 'tombstone')
""",
)

# A refusal on the way forward ends an order straight away. One that was given up ends behind
# Logistica's tombstone, or behind a refusal that was already on its way back.
REASON: Final = Rule(
    "reason",
    "a cancelled order has the reason that the services gave, any other none",
    (2, 5),
    _DRIVEN,
    """
SELECT id, status || ' with the motivo ' || COALESCE(motivo, 'null') FROM driven
WHERE (status IN ('cancelado', 'cancelando')) <> (motivo IS NOT NULL)
UNION ALL
SELECT ended.id, 'cancelado for ' || ended.motivo || ', but ' || """
    + _ESTADOS
    + _PASSOS
    + """
WHERE ended.status = 'cancelado' AND NOT CASE ended.motivo
    WHEN 'pagamento_rejeitado' THEN pg.estado IS 'rejeitado'
    WHEN 'estoque_insuficiente' THEN es.estado IS 'insuficiente'
    ELSE lo.estado IS 'tombstone' OR pg.estado IS 'rejeitado' OR es.estado IS 'insuficiente' END
""",
)

SUMMARY: Final = Rule(
    "summary",
    "what Pedidos tells of an ended order equals the services' documents",
    (2,),
    _ENDED,
    """
SELECT ended.id, 'Pedidos tells pagamento ' || COALESCE(pagamento_status, 'null')
    || ', nota ' || COALESCE(nota_numero, 'null') || ' ' || COALESCE(nota_chave, 'null')
    || ', envio ' || COALESCE(envio_codigo, 'null') || ' ' || COALESCE(envio_status, 'null')
    || '; the services hold ' || COALESCE(g.status, 'null')
    || ', ' || COALESCE(n.numero, 'null') || ' ' || COALESCE(n.chave_acesso, 'null')
    || ', ' || COALESCE(e.codigo_rastreamento, 'null') || ' ' || COALESCE(e.status, 'null')
FROM ended
LEFT JOIN pagamentos.pagamentos AS g ON g.pedido_id = ended.id
LEFT JOIN fiscal.notas_fiscais AS n ON n.pedido_id = ended.id
LEFT JOIN logistica.envios AS e ON e.pedido_id = ended.id
WHERE CASE ended.status
    WHEN 'cancelado' THEN pagamento_status IS NOT g.status
        OR COALESCE(nota_numero, nota_chave, envio_codigo, envio_status) IS NOT NULL
    -- A document that is missing is the matter of other rules.
    ELSE (g.id IS NOT NULL AND pagamento_status IS NOT g.status)
        OR (n.id IS NOT NULL AND (nota_numero IS NOT n.numero OR nota_chave IS NOT n.chave_acesso))
        OR (e.id IS NOT NULL
            AND (envio_codigo IS NOT e.codigo_rastreamento OR envio_status IS NOT e.status)) END
""",
)

ORDER_TOTAL: Final = Rule(
    "order-total",
    "an order's total is the sum of its items",
    (6,),
    _DRIVEN,
    """
SELECT id, 'the total is ' || valor_total_centavos || ' and the items sum to ' || itens FROM (
    SELECT id, valor_total_centavos, COALESCE((
        SELECT sum(quantidade * preco_unitario_centavos) FROM pedidos.itens_pedido
        WHERE pedido_id = driven.id), 0) AS itens
    FROM driven)
WHERE valor_total_centavos <> itens OR itens = 0
""",
)

# Values are fixed at the claim, so they are asked of open orders too.
DOCUMENT_VALUES: Final = Rule(
    "document-values",
    "payment, invoice, charge and shipment carry their order's values",
    (6,),
    _DRIVEN,
    """
SELECT driven.id, 'ordered ' || valor_total_centavos || ' by ' || driven.metodo || ', paid '
    || g.valor_centavos || ' by ' || COALESCE(g.metodo, 'null')
FROM driven JOIN pagamentos.pagamentos AS g ON g.pedido_id = driven.id
WHERE g.valor_centavos <> valor_total_centavos OR g.metodo IS NOT driven.metodo
UNION ALL
SELECT driven.id, 'ordered ' || valor_total_centavos || ', invoiced ' || n.valor_centavos
FROM driven JOIN fiscal.notas_fiscais AS n ON n.pedido_id = driven.id
WHERE n.valor_centavos <> valor_total_centavos
UNION ALL
SELECT driven.id, 'ordered ' || valor_total_centavos || ', asked of the gateway '
    || k.valor_centavos
FROM driven JOIN gateway.cobrancas AS k ON k.chave = 'pedido-' || driven.id
WHERE k.valor_centavos <> valor_total_centavos
UNION ALL
SELECT n.pedido_id, 'invoice ' || n.numero || ', shipped with ' || COALESCE(e.numero_nota, 'none')
FROM ended JOIN fiscal.notas_fiscais AS n ON n.pedido_id = ended.id
JOIN logistica.envios AS e ON e.pedido_id = ended.id
WHERE e.numero_nota IS NOT n.numero
""",
)

GATEWAY_NET: Final = Rule(
    "gateway-net",
    "the gateway kept a shipped order's value once, and nothing of a cancelled one",
    (5, 6),
    _ENDED,
    """
SELECT id, status || ' with a total of ' || valor_total_centavos || ', the gateway kept ' || kept
FROM (
    SELECT ended.id, ended.status, valor_total_centavos,
        COALESCE(k.cobrado_centavos - k.estornado_centavos, 0) AS kept
    FROM ended LEFT JOIN gateway.cobrancas AS k ON k.chave = 'pedido-' || ended.id)
WHERE kept <> CASE status WHEN 'enviado' THEN valor_total_centavos ELSE 0 END
""",
)

STOCK_ITEMS: Final = Rule(
    "stock-items",
    "what was picked is what was ordered",
    (5, 7),
    "SELECT count(*) FROM pedidos.itens_pedido",
    """
SELECT i.pedido_id, 'ordered ' || i.quantidade || ' of product ' || i.produto_id || ', not picked'
FROM pedidos.itens_pedido AS i JOIN estoque.passos AS p ON p.pedido_id = i.pedido_id
WHERE p.estado IN ('separado', 'devolvido') AND NOT EXISTS (
    SELECT 1 FROM estoque.movimentos AS m
    WHERE m.pedido_id = i.pedido_id AND m.produto_id = i.produto_id
        AND m.tipo = 'separacao' AND m.quantidade = -i.quantidade)
UNION ALL
SELECT m.pedido_id, 'picked ' || -m.quantidade || ' of product ' || m.produto_id || ', not ordered'
FROM estoque.movimentos AS m JOIN driven ON driven.id = m.pedido_id
WHERE m.tipo = 'separacao' AND NOT EXISTS (
    SELECT 1 FROM pedidos.itens_pedido AS i
    WHERE i.pedido_id = m.pedido_id AND i.produto_id = m.produto_id
        AND i.quantidade = -m.quantidade)
""",
)

KEYS: Final = Rule(
    "keys",
    "every order has one idempotency key of its own and the hash of its request",
    (3,),
    _DRIVEN,
    """
SELECT id, 'has no idempotency key' FROM driven WHERE chave_idempotencia IS NULL
UNION ALL
SELECT id, 'has no hash of its request' FROM driven WHERE resumo IS NULL OR length(resumo) <> 16
UNION ALL
SELECT max(id), 'shares the key ' || chave_idempotencia || ' with order ' || min(id)
FROM driven WHERE chave_idempotencia IS NOT NULL
GROUP BY chave_idempotencia HAVING count(*) > 1
""",
)

# Nothing to see in a quiet shop, where both readings are one; under load, a chance to catch it.
TERMINAL_STABLE: Final = Rule(
    "terminal-stable",
    "an ended order is the same when read again",
    (2,),
    _ENDED,
    """
SELECT ended.id, 'was ' || ended.status || ', then ' || COALESCE(later.status, 'gone')
FROM ended LEFT JOIN later ON later.id = ended.id
WHERE (ended.status, ended.motivo, ended.valor_total_centavos, ended.metodo,
    ended.pagamento_status, ended.nota_numero, ended.nota_chave, ended.envio_codigo,
    ended.envio_status)
IS NOT (later.status, later.motivo, later.valor_total_centavos, later.metodo,
    later.pagamento_status, later.nota_numero, later.nota_chave, later.envio_codigo,
    later.envio_status)
""",
)

RULES: Final = (
    SHIPPED,
    CANCELLED,
    REASON,
    SUMMARY,
    TERMINAL_STABLE,
    ORDER_TOTAL,
    DOCUMENT_VALUES,
    GATEWAY_NET,
    STOCK_ITEMS,
    KEYS,
)
