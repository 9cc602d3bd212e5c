"""Rules about an order across the services: its shape once it has ended, and what is told of it."""

from __future__ import annotations

from typing import Final

from common.audit.endings import ESTADOS, PASSOS
from common.audit.rules import Rule

_ENDED: Final = "SELECT count(*) FROM ended"
_ENVIADOS: Final = "SELECT count(*) FROM ended WHERE status = 'enviado'"
_CANCELADOS: Final = "SELECT count(*) FROM ended WHERE status = 'cancelado'"

SHIPPED: Final = Rule(
    "shipped",
    "a shipped order is paid, picked, invoiced and sent",
    (1, 5),
    _ENVIADOS,
    "SELECT ended.id, 'enviado, but ' || "
    + ESTADOS
    + "FROM ended"
    + PASSOS
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
    + ESTADOS
    + "FROM ended"
    + PASSOS
    + """
WHERE ended.status = 'cancelado' AND (
    COALESCE(pg.estado, 'tombstone') NOT IN ('rejeitado', 'estornado', 'tombstone')
    OR COALESCE(es.estado, 'tombstone') NOT IN ('insuficiente', 'devolvido', 'tombstone')
    OR COALESCE(fi.estado, 'tombstone') NOT IN ('cancelada', 'tombstone')
    OR COALESCE(lo.estado, 'tombstone') <> 'tombstone')
""",
)

SUMMARY: Final = Rule(
    "summary",
    "what Pedidos tells of an ended order equals the services' documents, of an open one nothing",
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
UNION ALL
SELECT id, 'is ' || status || ', yet Pedidos tells of a payment, an invoice or a shipment'
FROM driven WHERE status IN ('pendente', 'cancelando') AND COALESCE(
    pagamento_status, nota_numero, nota_chave, envio_codigo, envio_status) IS NOT NULL
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
    SUMMARY,
    TERMINAL_STABLE,
    STOCK_ITEMS,
)
