"""Rules about what a history says beside terminal answers: refusals, open answers, and its own form."""

from __future__ import annotations

from typing import Final

from common.audit.rules import Rule

_ANSWERED: Final = "SELECT count(*) FROM answered"

# A crash of the generator leaves a call without an outcome, but nothing of its caller after it.
FORM: Final = Rule(
    "history-form",
    "a caller does one thing at a time: each outcome follows its call, and no time goes back",
    (1, 2, 3, 11, 12),
    "SELECT count(*) FROM history",
    """
SELECT pedido_id, 'line ' || line || ' of process ' || process || ': ' || wrong FROM (
    SELECT pedido_id, line, process, CASE
        WHEN type = 'invoke' AND anterior = 'invoke' THEN 'a call while another was under way'
        WHEN type <> 'invoke' AND COALESCE(anterior, '') <> 'invoke'
            THEN 'an outcome of no call'
        WHEN type <> 'invoke' AND (op, key) IS NOT (op_anterior, key_anterior)
            THEN 'an outcome of another call than the one before it'
        WHEN time_ns < antes_ns THEN 'earlier than the line before it' END AS wrong
    FROM (SELECT *, LAG(type) OVER caller AS anterior, LAG(op) OVER caller AS op_anterior,
            LAG(key) OVER caller AS key_anterior, LAG(time_ns) OVER caller AS antes_ns
        FROM history WINDOW caller AS (PARTITION BY process ORDER BY line)))
WHERE wrong IS NOT NULL
""",
)

QUESTIONS: Final = Rule(
    "history-questions",
    "an answer is about the order that was asked for, and of a kind that its question has",
    (1, 2),
    _ANSWERED,
    """
SELECT pedido_id, 'line ' || line || ' answers with order ' || pedido_id || ', asked was '
    || asked_id
FROM answered WHERE asked_id <> pedido_id
UNION ALL
SELECT pedido_id, 'line ' || line || ' is of order ' || named_id || ', its answer of ' || pedido_id
FROM answered WHERE named_id <> pedido_id
UNION ALL
SELECT pedido_id, 'line ' || line || ' answers a cancelling with ' || status FROM answered
WHERE op = 'cancelar_pedido' AND type = 'ok' AND status NOT IN ('cancelando', 'cancelado')
""",
)

# What an open order is told as, is known from its row: whatever it ends as.
OPEN: Final = Rule(
    "history-open",
    "an open answer has its order's number, total and reason, and nothing yet of what is to come",
    (2, 5),
    "SELECT count(*) FROM answered WHERE answer IS NOT NULL AND NOT ended",
    """
SELECT a.pedido_id, 'line ' || min(a.line) || ' answered ' || a.answer || ', the order has a total of '
    || p.valor_total_centavos || ' and was given up for ' || COALESCE(g.motivo, 'nothing')
FROM answered AS a JOIN later AS p ON p.id = a.pedido_id
LEFT JOIN (SELECT pedido_id, motivo FROM pedidos_depois.transicoes WHERE para = 'cancelando')
    AS g ON g.pedido_id = a.pedido_id
WHERE a.answer IS NOT NULL AND NOT a.ended AND (
    json_extract(a.answer, '$.valor_total_centavos') IS NOT p.valor_total_centavos
    OR json_extract(a.answer, '$.pagamento', '$.nota_fiscal', '$.envio') <> '[null,null,null]'
    OR NOT CASE a.status
        WHEN 'pendente' THEN json_extract(a.answer, '$.motivo') IS NULL
        WHEN 'cancelando' THEN g.motivo IS NOT NULL
            AND json_extract(a.answer, '$.motivo') IS g.motivo
        ELSE 0 END)
GROUP BY a.pedido_id, a.answer
""",
)

# Each refusal by itself, by what it says. That there was no room or that a service was down may
# be said at any time; of the order that a call names, or of the key that it comes with, the files know.
REFUSALS: Final = Rule(
    "history-refusals",
    "a refusal says what is so: of the key, of the body, of the order and where it stands",
    (3, 11, 12),
    "SELECT count(*) FROM refused",
    """
SELECT COALESCE(p.id, body.pedido_id, r.target_id), 'line ' || r.line || ' refuses ' || r.op
    || ' as ' || r.kind || ', ' || COALESCE('the order is ' || p.status,
        'the key has an order of ' || body.body, 'there is no such order')
FROM refused AS r
LEFT JOIN body ON r.op = 'criar_pedido' AND body.chave_idempotencia = r.key
LEFT JOIN pedidos_depois.pedidos AS p ON r.op <> 'criar_pedido' AND p.id = r.target_id
WHERE CASE r.op
    WHEN 'criar_pedido' THEN CASE r.kind
        WHEN 'conflito' THEN body.pedido_id IS NULL OR body.body IS r.invoked_body
        WHEN 'invalido' THEN body.pedido_id IS NOT NULL AND body.body IS r.invoked_body
        ELSE r.kind IN ('nao_encontrado', 'precondicao') END
    WHEN 'cancelar_pedido' THEN CASE r.kind
        WHEN 'precondicao' THEN r.target_id IS NOT NULL
            AND NOT COALESCE(p.status = 'enviado' OR p.origem <> 'loja', 0)
        WHEN 'invalido' THEN p.id IS NOT NULL
        ELSE r.kind = 'conflito' END
    ELSE r.kind IN ('conflito', 'precondicao') OR (r.kind = 'invalido' AND p.id IS NOT NULL) END
""",
)

RULES: Final = (FORM, QUESTIONS, OPEN, REFUSALS)

# Calls to cancel less those that failed for certain without effect; that an order had been sent is
# no such failure: it was given up first.
UNASKED: Final = Rule(
    "history-unasked",
    "no order was cancelled by request that nobody asked to be cancelled",
    (1, 2, 12),
    "SELECT count(*) FROM later WHERE motivo = 'solicitado'",
    """
WITH asked AS MATERIALIZED (
    SELECT COALESCE(h.pedido_id, later.id) AS pedido_id, 1 AS calls
    FROM history AS h LEFT JOIN later ON later.chave_idempotencia = h.key
    WHERE h.op = 'cancelar_pedido' AND h.type = 'invoke'
    UNION ALL
    SELECT COALESCE(r.target_id, later.id), -1
    FROM refused AS r LEFT JOIN later ON later.chave_idempotencia = r.key
    WHERE r.op = 'cancelar_pedido' AND r.kind <> 'precondicao'
)
SELECT DISTINCT t.pedido_id, 'was given up by request, and nobody who asked for that was heard'
FROM pedidos_depois.transicoes AS t
LEFT JOIN (SELECT pedido_id, sum(calls) AS calls FROM asked GROUP BY pedido_id) AS a
    ON a.pedido_id = t.pedido_id
WHERE t.motivo = 'solicitado' AND COALESCE(a.calls, 0) < 1
""",
)
