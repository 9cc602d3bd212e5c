"""Rules about money: an order's prices and total, its documents, and what the gateway did."""

from __future__ import annotations

from typing import Final

from common.audit.rules import Rule

_DRIVEN: Final = "SELECT count(*) FROM driven"

ORDER_TOTAL: Final = Rule(
    "order-total",
    "an order's lines have the catalogue's prices, and its total is their sum",
    (6,),
    _DRIVEN,
    """
SELECT id, 'the total is ' || valor_total_centavos || ' and the items sum to ' || itens FROM (
    SELECT id, valor_total_centavos, COALESCE((
        SELECT sum(quantidade * preco_unitario_centavos) FROM pedidos.itens_pedido
        WHERE pedido_id = driven.id), 0) AS itens
    FROM driven)
WHERE valor_total_centavos <> itens OR itens = 0
UNION ALL
SELECT i.pedido_id, 'took product ' || i.produto_id || ' at ' || i.preco_unitario_centavos
    || ', the catalogue has it at ' || c.preco_centavos
FROM driven JOIN pedidos.itens_pedido AS i ON i.pedido_id = driven.id
JOIN catalogo.produtos AS c ON c.id = i.produto_id
WHERE i.preco_unitario_centavos IS NOT c.preco_centavos
UNION ALL
SELECT i.pedido_id, 'its ' || count(*) || ' lines are numbered ' || group_concat(linha)
FROM driven JOIN pedidos.itens_pedido AS i ON i.pedido_id = driven.id
GROUP BY i.pedido_id HAVING min(linha) <> 1 OR max(linha) <> count(*)
""",
)

# Values are fixed at the claim, so they are asked of open orders too.
DOCUMENT_VALUES: Final = Rule(
    "document-values",
    "payment, invoice, charge and shipment carry their order's values",
    (6,),
    _DRIVEN,
    """
SELECT driven.id, 'ordered ' || valor_total_centavos || ' by ' || COALESCE(driven.metodo, 'null')
    || ', paid ' || g.valor_centavos || ' by ' || COALESCE(g.metodo, 'null')
FROM driven JOIN pagamentos.pagamentos AS g ON g.pedido_id = driven.id
WHERE g.valor_centavos IS NOT valor_total_centavos OR g.metodo IS NOT driven.metodo
UNION ALL
SELECT driven.id, 'ordered ' || valor_total_centavos || ', invoiced ' || n.valor_centavos
FROM driven JOIN fiscal.notas_fiscais AS n ON n.pedido_id = driven.id
WHERE n.valor_centavos IS NOT valor_total_centavos
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

# The gateway is read after Pagamentos and voids before Pagamentos undoes: what is still approved
# may be voided by then, until its order has ended. What was denied is voided only by giving up.
GATEWAY_NET: Final = Rule(
    "gateway-net",
    "the gateway kept a shipped order's value once, nothing of a cancelled one, and did what "
    "each payment says",
    (5, 6),
    _DRIVEN,
    """
SELECT id, status || ' with a total of ' || valor_total_centavos || ', the gateway kept ' || kept
FROM (
    SELECT ended.id, ended.status, valor_total_centavos,
        COALESCE(k.cobrado_centavos - k.estornado_centavos, 0) AS kept
    FROM ended LEFT JOIN gateway.cobrancas AS k ON k.chave = 'pedido-' || ended.id)
WHERE kept <> CASE status WHEN 'enviado' THEN valor_total_centavos ELSE 0 END
UNION ALL
SELECT p.pedido_id, 'the payment is ' || p.estado || ', the gateway says ' || COALESCE(k.situacao
    || ', charged ' || k.cobrado_centavos || ', gave back ' || k.estornado_centavos, 'nothing')
FROM pagamentos.passos AS p LEFT JOIN gateway.cobrancas AS k ON k.chave = 'pedido-' || p.pedido_id
LEFT JOIN (SELECT DISTINCT pedido_id FROM pedidos_depois.transicoes WHERE para = 'cancelando')
    AS given_up ON given_up.pedido_id = p.pedido_id
WHERE p.estado <> 'importado' AND NOT COALESCE(CASE p.estado
    WHEN 'aprovado' THEN k.situacao IN ('capturada', 'anulada') AND k.cobrado_centavos > 0
    WHEN 'rejeitado' THEN k.cobrado_centavos = 0 AND k.valor_centavos IS NOT NULL
        AND (k.situacao = 'negada' OR (k.situacao = 'anulada' AND given_up.pedido_id IS NOT NULL))
    WHEN 'estornado' THEN k.situacao = 'anulada' AND k.cobrado_centavos > 0
    WHEN 'tombstone' THEN k.situacao = 'anulada' END, 0)
""",
)

# A key that was voided before it was charged was never asked for anything.
GATEWAY_LEDGER: Final = Rule(
    "gateway-ledger",
    "the gateway charged a key at most once and gave back at most that",
    (6,),
    "SELECT count(*) FROM gateway.cobrancas",
    """
SELECT CAST(substr(chave, 8) AS INTEGER), chave || ' is ' || situacao || ': asked '
    || COALESCE(valor_centavos, 'nothing') || ', charged ' || cobrado_centavos || ', gave back '
    || estornado_centavos
FROM gateway.cobrancas
WHERE COALESCE(valor_centavos, 1) < 1 OR NOT COALESCE(CASE situacao
    WHEN 'capturada' THEN cobrado_centavos = valor_centavos AND estornado_centavos = 0
    WHEN 'negada' THEN valor_centavos > 0 AND cobrado_centavos = 0 AND estornado_centavos = 0
    WHEN 'anulada' THEN cobrado_centavos IN (0, COALESCE(valor_centavos, 0))
        AND estornado_centavos = cobrado_centavos END, 0)
""",
)

# Only when nothing moves.
MONEY_SUMS: Final = Rule(
    "money-sums",
    "what the gateway kept, the shipped orders, approved payments and valid invoices sum alike",
    (6,),
    "SELECT count(*) FROM gateway.cobrancas",
    """
SELECT NULL, 'gateway ' || cobrado || ', shipped ' || enviado || ', paid ' || pago
    || ', invoiced ' || faturado
FROM (SELECT
    (SELECT COALESCE(sum(cobrado_centavos - estornado_centavos), 0) FROM gateway.cobrancas)
        AS cobrado,
    (SELECT COALESCE(sum(valor_total_centavos), 0) FROM ended WHERE status = 'enviado') AS enviado,
    (SELECT COALESCE(sum(valor_centavos), 0) FROM pagamentos.pagamentos
        WHERE status = 'aprovado' AND origem = 'loja') AS pago,
    (SELECT COALESCE(sum(valor_centavos), 0) FROM fiscal.notas_fiscais
        WHERE status = 'emitida' AND origem = 'loja') AS faturado)
WHERE cobrado <> enviado OR pago <> enviado OR faturado <> enviado
""",
)

RULES: Final = (ORDER_TOTAL, DOCUMENT_VALUES, GATEWAY_NET, GATEWAY_LEDGER)
