"""Rules about numbers that run without a hole: invoices, parcels, and the rows themselves."""

from __future__ import annotations

from typing import Final

from common.audit.rules import Rule
from common.audit.snapshot import TABELAS

_NOTAS: Final = "SELECT count(*) FROM fiscal.notas_fiscais WHERE origem = 'loja'"

INVOICE_NUMBERS: Final = Rule(
    "invoice-numbers",
    "invoice numbers run from 1 to the counter without a hole",
    (9,),
    _NOTAS,
    """
SELECT pedido_id, 'number ' || COALESCE(sequencia, 'null') || ' (' || numero || ') follows '
    || anterior
FROM (
    SELECT pedido_id, sequencia, numero, LAG(sequencia, 1, 0) OVER (ORDER BY sequencia) AS anterior
    FROM fiscal.notas_fiscais WHERE origem = 'loja')
WHERE sequencia IS NOT anterior + 1 OR numero <> printf('NF%09d', sequencia)
UNION ALL
SELECT NULL, 'the last number is ' || ultima || ', the counter says ' || COALESCE(ultimo, 'null')
FROM (SELECT COALESCE(max(sequencia), 0) AS ultima FROM fiscal.notas_fiscais)
LEFT JOIN fiscal.numeracao WHERE ultimo IS NOT ultima
""",
)

INVOICE_KEYS: Final = Rule(
    "invoice-keys",
    "every access key is unique, and the one of its order, its number and its month",
    (9,),
    _NOTAS,
    """
SELECT pedido_id, 'the access key ' || COALESCE(chave_acesso, 'null') || ' is not that of '
    || numero || ' of ' || data_emissao
FROM fiscal.notas_fiscais WHERE origem = 'loja' AND (chave_acesso IS NULL
    OR chave_acesso IS NOT chave_da_nota(pedido_id, sequencia, data_emissao))
UNION ALL
SELECT max(pedido_id), 'the access key ' || chave_acesso || ' is also that of order '
    || min(pedido_id)
FROM fiscal.notas_fiscais WHERE chave_acesso IS NOT NULL AND origem = 'loja'
GROUP BY chave_acesso HAVING count(*) > 1
""",
)

# A number that an imported parcel has already is left out.
TRACKING_CODES: Final = Rule(
    "tracking-codes",
    "parcels are numbered in the order of their booking, up to the counter and without a hole",
    (5, 9),
    "SELECT count(*) FROM logistica.envios WHERE origem = 'loja'",
    """
WITH code AS MATERIALIZED (
    SELECT id, pedido_id, origem, codigo_rastreamento AS codigo,
        CAST(substr(codigo_rastreamento, 3) AS INTEGER) AS numero
    FROM logistica.envios
    WHERE codigo_rastreamento = printf('BR%09dPY', CAST(substr(codigo_rastreamento, 3) AS INTEGER))
)
SELECT pedido_id, 'the tracking code ' || quote(codigo_rastreamento) || ' is none of ours'
FROM logistica.envios WHERE origem = 'loja' AND id NOT IN (SELECT id FROM code WHERE numero > 0)
UNION ALL
SELECT pedido_id, 'the tracking code ' || codigo || ' comes after ' || anterior FROM (
    SELECT pedido_id, codigo, numero, LAG(codigo) OVER vez AS anterior,
        LAG(numero) OVER vez AS numero_anterior
    FROM code WHERE origem = 'loja' WINDOW vez AS (ORDER BY id))
WHERE numero <= numero_anterior
UNION ALL
SELECT pedido_id, 'the tracking code ' || codigo || ' comes after the counter, which says ' || ultimo
FROM code JOIN logistica.rastreamento WHERE origem = 'loja' AND numero > ultimo
UNION ALL
SELECT NULL, 'the last parcel is number ' || ultima || ', the counter says '
    || COALESCE(ultimo, 'null') || ', and ' || usados || ' numbers up to it are taken'
FROM (SELECT COALESCE(max(numero), 0) AS ultima FROM code WHERE origem = 'loja')
LEFT JOIN logistica.rastreamento
LEFT JOIN (SELECT count(DISTINCT numero) AS usados FROM code WHERE numero BETWEEN 1 AND (
    SELECT max(ultimo) FROM logistica.rastreamento))
WHERE ultimo IS NOT ultima OR usados IS NOT ultimo
""",
)

# Tables to which rows are only ever added. SQLite gives a row the number after the highest, and a
# unit that is given up gives its numbers back.
_GROWING: Final = (
    "pagamentos.pagamentos",
    "estoque.movimentos",
    "fiscal.notas_fiscais",
    "logistica.envios",
    *(f"{sala}.transicoes" for sala in TABELAS),
)
_GAP: Final = """
UNION ALL
SELECT NULL, 'LUGAR: row ' || id || ' follows row ' || anterior
FROM (SELECT id, LAG(id, 1, 0) OVER (ORDER BY id) AS anterior FROM LUGAR)
WHERE id IS NOT anterior + 1
"""

# Driven orders begin above the imported ones, whatever numbers those have.
ROW_NUMBERS: Final = Rule(
    "row-numbers",
    "no row is missing between the first and the last: orders, logs, movements, documents",
    (1, 8),
    "SELECT count(*) FROM driven",
    """
SELECT anterior + 1, 'is missing, and ' || id || ' is there' FROM (
    SELECT id, LAG(id) OVER (ORDER BY id) AS anterior FROM driven)
WHERE id <> anterior + 1
GAPS
""".replace("GAPS", "".join(_GAP.replace("LUGAR", lugar) for lugar in _GROWING)),
)

RULES: Final = (INVOICE_NUMBERS, INVOICE_KEYS, TRACKING_CODES, ROW_NUMBERS)
