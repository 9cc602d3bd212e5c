"""Rules about each service's own books; they hold inside its file at every moment."""

from __future__ import annotations

from typing import Final

from common.audit.rules import Rule
from common.audit.snapshot import TABELAS

_WORDS: Final = """
SELECT pedido_id, 'SALA holds ' || estado || ' for ' || COALESCE(motivo, 'no reason')
FROM (ESTADO)
WHERE estado NOT IN (SELECT word FROM word WHERE kind = 'SALA')
    OR motivo NOT IN (SELECT word FROM word WHERE kind = 'motivo')
"""


def _estado(sala: str) -> str:
    """Where each order stands in a service, and why, from the table that arbitrates there."""
    if sala == "pedidos":
        return "SELECT id AS pedido_id, status AS estado, motivo FROM driven"
    return "SELECT pedido_id, estado, motivo FROM SALA.passos".replace("SALA", sala)


STATUS_WORDS: Final = Rule(
    "status-words",
    "every stored status and reason is a known word",
    (2, 10),
    "SELECT count(*) FROM driven",
    "UNION ALL".join(
        _WORDS.replace("ESTADO", _estado(sala)).replace("SALA", sala) for sala in TABELAS
    ),
)

# ESTADO says where an order stands now.
_LOG: Final = """
WITH step AS (
    SELECT id, pedido_id, de, para, motivo,
        LAG(para, 1, 'ausente') OVER ordem AS anterior,
        LEAD(id) OVER ordem IS NULL AS ultimo
    FROM SALA.transicoes WINDOW ordem AS (PARTITION BY pedido_id ORDER BY id)
), judged AS (
    SELECT step.pedido_id, CASE
        WHEN step.de <> anterior THEN 'goes on from ' || step.de || ', but was ' || anterior
        WHEN NOT EXISTS (SELECT 1 FROM legal
            WHERE servico = 'SALA' AND legal.de = step.de AND legal.para = step.para)
            THEN 'the step ' || step.de || ' -> ' || step.para || ' is illegal'
        WHEN NOT ultimo AND 'SALA' <> 'pedidos' AND step.motivo IS NOT NULL
            THEN 'the log gives ' || step.motivo || ' for ' || step.para || ', which stood'
        WHEN NOT ultimo THEN NULL
        WHEN agora.estado IS NOT step.para OR agora.motivo IS NOT step.motivo
            THEN 'the log ends in ' || step.para || ' for ' || COALESCE(step.motivo, 'no reason')
                || ', stored is ' || COALESCE(agora.estado, 'nothing') || ' for '
                || COALESCE(agora.motivo, 'no reason')
        END AS wrong
    FROM step LEFT JOIN (ESTADO) AS agora ON agora.pedido_id = step.pedido_id
)
SELECT pedido_id, 'SALA: ' || wrong FROM judged WHERE wrong IS NOT NULL
UNION ALL
SELECT pedido_id, 'SALA: ' || estado || ' without a log of how it came to be' FROM (ESTADO)
WHERE estado <> 'importado'
    AND pedido_id NOT IN (SELECT pedido_id FROM SALA.transicoes WHERE de = 'ausente')
"""


def _log(sala: str) -> Rule:
    return Rule(
        f"log-{sala}",
        f"the log of {sala} has legal steps only, without a gap, up to the stored state",
        (10,),
        "SELECT count(*) FROM SALA.transicoes".replace("SALA", sala),
        _LOG.replace("ESTADO", _estado(sala)).replace("SALA", sala),
    )


_DOCUMENTS: Final = """
SELECT p.pedido_id, 'SALA: the step is ' || p.estado || ', the document '
    || COALESCE(d.status || ' of origin ' || d.origem, 'missing')
FROM SALA.passos AS p LEFT JOIN SALA.TABELA AS d ON d.pedido_id = p.pedido_id
WHERE CASE p.estado
    WHEN 'tombstone' THEN d.id IS NOT NULL
    WHEN 'importado' THEN d.origem IS NOT 'importado'
    ELSE d.status IS NOT p.estado OR d.origem IS NOT 'loja' END
UNION ALL
SELECT pedido_id, 'SALA: a document without a step' FROM SALA.TABELA
WHERE pedido_id NOT IN (SELECT pedido_id FROM SALA.passos)
UNION ALL
SELECT pedido_id, 'SALA: ' || count(*) || ' documents of one order' FROM SALA.TABELA
GROUP BY pedido_id HAVING count(*) > 1
"""


def _documents(sala: str, tabela: str) -> Rule:
    return Rule(
        f"documents-{sala}",
        f"the documents of {sala} are those that its steps call for, one an order",
        (4, 5),
        "SELECT count(*) FROM SALA.passos".replace("SALA", sala),
        _DOCUMENTS.replace("SALA", sala).replace("TABELA", tabela),
    )


DOCUMENTS_ESTOQUE: Final = Rule(
    "documents-estoque",
    "the movements of estoque are those that its steps call for",
    (5, 7),
    "SELECT count(*) FROM estoque.passos",
    """
WITH moved AS MATERIALIZED (
    SELECT pedido_id, sum(tipo = 'separacao') AS taken, sum(tipo = 'devolucao') AS back
    FROM estoque.movimentos WHERE pedido_id IS NOT NULL GROUP BY pedido_id
)
SELECT p.pedido_id, 'estoque: the step is ' || p.estado || ', with ' || COALESCE(taken, 0)
    || ' movements out and ' || COALESCE(back, 0) || ' back'
FROM estoque.passos AS p LEFT JOIN moved ON moved.pedido_id = p.pedido_id
WHERE CASE p.estado
    WHEN 'separado' THEN COALESCE(taken, 0) = 0 OR back > 0
    WHEN 'devolvido' THEN COALESCE(taken, 0) = 0 OR taken <> back
    ELSE moved.pedido_id IS NOT NULL END
UNION ALL
SELECT pedido_id, 'estoque: movements without a step' FROM moved
WHERE pedido_id NOT IN (SELECT pedido_id FROM estoque.passos)
""",
)

STOCK_BALANCE: Final = Rule(
    "stock-balance",
    "a product's quantity is the sum of its movements and never negative",
    (7,),
    "SELECT count(*) FROM estoque.produtos",
    """
SELECT NULL, 'product ' || p.id || ' has ' || quantidade_estoque || ', its movements sum to '
    || COALESCE(soma, 0)
FROM estoque.produtos AS p
LEFT JOIN (SELECT produto_id, sum(quantidade) AS soma FROM estoque.movimentos GROUP BY produto_id)
    AS m ON m.produto_id = p.id
WHERE quantidade_estoque <> COALESCE(soma, 0) OR quantidade_estoque < 0
""",
)

STOCK_LEDGER: Final = Rule(
    "stock-ledger",
    "the ledger opens once, never falls below zero, and gives back only what was taken",
    (7,),
    "SELECT count(*) FROM estoque.movimentos",
    """
SELECT pedido_id, 'movement ' || id || ' brings product ' || produto_id || ' to ' || saldo FROM (
    SELECT id, pedido_id, produto_id,
        sum(quantidade) OVER (PARTITION BY produto_id ORDER BY id) AS saldo
    FROM estoque.movimentos)
WHERE saldo < 0
UNION ALL
SELECT pedido_id, 'movement ' || id || ' is a ' || tipo || ' of ' || quantidade
FROM estoque.movimentos
WHERE CASE tipo WHEN 'abertura' THEN quantidade < 0 OR pedido_id IS NOT NULL
    WHEN 'separacao' THEN quantidade >= 0 OR pedido_id IS NULL
    WHEN 'devolucao' THEN quantidade <= 0 OR pedido_id IS NULL ELSE 1 END
UNION ALL
SELECT NULL, 'product ' || p.id || ' does not begin with its one opening movement'
FROM estoque.produtos AS p LEFT JOIN (
    SELECT produto_id, sum(tipo = 'abertura') AS aberturas,
        min(id) = min(CASE tipo WHEN 'abertura' THEN id END) AS primeira
    FROM estoque.movimentos GROUP BY produto_id) AS m ON m.produto_id = p.id
WHERE aberturas IS NOT 1 OR primeira IS NOT 1
UNION ALL
SELECT pedido_id, count(*) || ' movements ' || tipo || ' of product ' || produto_id
FROM estoque.movimentos WHERE pedido_id IS NOT NULL
GROUP BY pedido_id, produto_id, tipo HAVING count(*) > 1
UNION ALL
SELECT pedido_id, 'movement ' || id || ' gives back what was never taken'
FROM estoque.movimentos AS d WHERE tipo = 'devolucao' AND NOT EXISTS (
    SELECT 1 FROM estoque.movimentos AS s
    WHERE s.pedido_id = d.pedido_id AND s.produto_id = d.produto_id AND s.tipo = 'separacao'
        AND s.quantidade = -d.quantidade AND s.id < d.id)
""",
)

RULES: Final = (
    STATUS_WORDS,
    *(_log(sala) for sala in TABELAS),
    _documents("pagamentos", "pagamentos"),
    DOCUMENTS_ESTOQUE,
    _documents("fiscal", "notas_fiscais"),
    _documents("logistica", "envios"),
    STOCK_BALANCE,
    STOCK_LEDGER,
)
