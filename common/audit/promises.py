"""Rules about what clients were told: nothing acknowledged is lost, changed or taken back."""

from __future__ import annotations

from typing import Final

from common.audit.rules import Rule

_ANSWERED: Final = "SELECT count(*) FROM answered"
_KEYS: Final = "SELECT count(DISTINCT key) FROM history WHERE op = 'criar_pedido'"

LOST: Final = Rule(
    "history-lost",
    "every order that a client was told of exists, under the key it was asked with",
    (1, 3),
    _ANSWERED,
    """
SELECT a.pedido_id, CASE WHEN p.id IS NULL
    THEN 'the client was told of it under the key ' || COALESCE(a.key, 'null')
        || ', but it does not exist'
    ELSE 'the client was told of it under the key ' || a.key || ', it is stored under '
        || COALESCE(p.chave_idempotencia, 'none') END
FROM answered AS a LEFT JOIN pedidos_depois.pedidos AS p ON p.id = a.pedido_id
WHERE a.type = 'ok'
    AND (p.id IS NULL OR (a.key IS NOT NULL AND p.chave_idempotencia IS NOT a.key))
GROUP BY a.pedido_id, a.key
""",
)

ANSWERS: Final = Rule(
    "history-answers",
    "a terminal answer equals the final row, field by field, and so does any of the imported past",
    (2,),
    "SELECT count(*) FROM answered WHERE ended",
    """
SELECT a.pedido_id, 'line ' || min(a.line) || ' answered ' || a.answer || ', stored is '
    || stored.answer
FROM answered AS a JOIN answer AS stored ON stored.pedido_id = a.pedido_id
JOIN pedidos_depois.pedidos AS p ON p.id = a.pedido_id
WHERE (a.ended OR p.origem <> 'loja') AND a.answer <> stored.answer
GROUP BY a.pedido_id, a.answer
""",
)

ONE_ANSWER: Final = Rule(
    "history-keys",
    "a key never got two orders, nor an order two different terminal answers",
    (2, 3),
    _KEYS,
    """
SELECT max(pedido_id), 'the key ' || key || ' was answered with the orders '
    || group_concat(DISTINCT pedido_id)
FROM answered WHERE key IS NOT NULL AND type = 'ok'
GROUP BY key HAVING count(DISTINCT pedido_id) > 1
UNION ALL
SELECT pedido_id, count(DISTINCT answer) || ' different terminal answers: ' || min(answer)
    || ' and ' || max(answer)
FROM answered WHERE ended GROUP BY pedido_id HAVING count(DISTINCT answer) > 1
""",
)

# An order was made by an attempt that asked for what it holds, did not fail for certain, and was
# made before anybody was told of the order.
REFUSED: Final = Rule(
    "history-refused",
    "a request that failed for certain left no order",
    (12,),
    _KEYS,
    """
WITH attempt AS MATERIALIZED (
    SELECT key, body, time_ns, outcome FROM (
        SELECT key, body, time_ns, type, LEAD(type) OVER caller AS outcome FROM history
        WHERE op = 'criar_pedido' AND key IS NOT NULL
        WINDOW caller AS (PARTITION BY process, key ORDER BY line))
    WHERE type = 'invoke'
), failed AS (
    SELECT DISTINCT key, body FROM attempt WHERE outcome = 'fail'
), possible AS MATERIALIZED (
    SELECT key, body, min(time_ns) AS first_ns FROM attempt WHERE outcome IS NOT 'fail'
        AND key IN (SELECT key FROM failed)
    GROUP BY key, body
)
SELECT body.pedido_id, 'every attempt under the key ' || failed.key || COALESCE(
    ' up to ' || seen.at_ns || ' ns, when it was told of,', '') || ' failed for certain, yet it exists'
FROM failed JOIN body ON body.chave_idempotencia = failed.key AND body.body = failed.body
LEFT JOIN possible ON possible.key = failed.key AND possible.body = failed.body
LEFT JOIN (SELECT pedido_id, min(time_ns) AS at_ns FROM answered WHERE status <> 'ausente'
    GROUP BY pedido_id) AS seen ON seen.pedido_id = body.pedido_id
WHERE possible.key IS NULL OR seen.at_ns < possible.first_ns
""",
)

REQUESTS: Final = Rule(
    "history-requests",
    "an order is what its client asked for, and only under that body did the key answer",
    (1, 3),
    _KEYS,
    """
SELECT pedido_id, 'holds ' || COALESCE(body, 'nothing') || ', which was never asked under the key '
    || chave_idempotencia
FROM (SELECT DISTINCT key FROM history WHERE type = 'invoke' AND op = 'criar_pedido') AS asked
JOIN body ON body.chave_idempotencia = asked.key
WHERE NOT EXISTS (SELECT 1 FROM history AS h
    WHERE h.key = asked.key AND h.type = 'invoke' AND h.op = 'criar_pedido' AND h.body = body.body)
UNION ALL
SELECT a.pedido_id, 'line ' || min(a.line) || ' answered the request ' || a.invoked_body
    || ' with an order of ' || COALESCE(body.body, 'nothing')
FROM answered AS a JOIN body ON body.pedido_id = a.pedido_id
WHERE a.op = 'criar_pedido' AND a.invoked_body IS NOT NULL AND a.invoked_body IS NOT body.body
GROUP BY a.pedido_id, a.invoked_body
""",
)

# A read is judged by when it was asked against answers that had come before.
READS: Final = Rule(
    "history-reads",
    "a read shows at least what had been answered before it was asked",
    (11,),
    _ANSWERED,
    """
WITH told AS (
    SELECT line, pedido_id, status, time_ns, invoked_ns, CASE status
        WHEN 'ausente' THEN -1 WHEN 'cancelando' THEN 1
        WHEN 'enviado' THEN 2 WHEN 'cancelado' THEN 2 ELSE 0 END AS rank
    FROM answered WHERE pedido_id IS NOT NULL AND pedido_id NOT IN (
        SELECT id FROM pedidos_depois.pedidos WHERE origem <> 'loja')
), event AS (
    SELECT pedido_id, time_ns AS at, 0 AS asked, rank, NULL AS shown, line, status FROM told
    UNION ALL
    SELECT pedido_id, invoked_ns, 1, NULL, rank, line, status FROM told
    WHERE invoked_ns IS NOT NULL
)
SELECT pedido_id, 'line ' || line || ' shows ' || status || ' after a later state was answered'
FROM (
    SELECT *, max(rank) OVER (PARTITION BY pedido_id ORDER BY at, asked DESC
        ROWS UNBOUNDED PRECEDING) AS known
    FROM event)
WHERE asked AND known > shown
""",
)

RULES: Final = (LOST, ANSWERS, ONE_ANSWER, REFUSED, REQUESTS, READS)

UNEXPECTED: Final = Rule(
    "history-unexpected",
    "no order exists that the history did not ask for",
    (1,),
    "SELECT count(*) FROM later",
    """
SELECT id, 'its key ' || chave_idempotencia || ' is unknown to the history' FROM later
WHERE chave_idempotencia NOT IN (SELECT key FROM history WHERE key IS NOT NULL)
""",
)
