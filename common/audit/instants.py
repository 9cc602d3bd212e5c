"""Rules about dates: each is a date, possible for this shop, and the same wherever it is kept.

The wall clock may be set forward and back while orders are under way, and services may disagree
about it. So two instants are only compared where one reading of the clock was written twice.
"""

from __future__ import annotations

from typing import Final

from common.audit.rules import Rule
from common.audit.snapshot import TABELAS

# Days. Who sets a clock by more, forward or back, is taken for somebody who changes dates.
CLOCK_DAYS: Final = 7

# Where instants are kept of what the services did, and how to read them: (order, instant).
_PLACES: Final = {
    "pedidos.pedidos": "SELECT id AS pedido_id, data_criacao AS instante FROM driven",
    "pagamentos.pagamentos": "SELECT pedido_id, data_processamento AS instante "
    "FROM pagamentos.pagamentos WHERE origem = 'loja'",
    "fiscal.notas_fiscais": "SELECT pedido_id, data_emissao AS instante "
    "FROM fiscal.notas_fiscais WHERE origem = 'loja'",
    "logistica.envios": "SELECT pedido_id, data_despacho AS instante "
    "FROM logistica.envios WHERE origem = 'loja'",
    "estoque.movimentos": "SELECT pedido_id, instante FROM estoque.movimentos",
    "gateway.cobrancas": "SELECT CAST(substr(chave, 8) AS INTEGER) AS pedido_id, instante "
    "FROM gateway.cobrancas",
    **{
        f"{sala}.transicoes": f"SELECT pedido_id, instante FROM {sala}.transicoes"  # noqa: S608
        for sala in TABELAS
    },
}
_ONE: Final = """
SELECT pedido_id, 'LUGAR: ' || quote(instante) || ' is no instant of this shop' FROM (LER)
WHERE NOT COALESCE(instante GLOB '####-##-##T##:##:##.###+00:00'
    AND julianday(instante) IS NOT NULL
    AND instante BETWEEN (SELECT low FROM bounds) AND (SELECT high FROM bounds), 0)
""".replace("#", "[0-9]")
# (where a document is kept, its instant, whose log, the step that wrote both)
_COPIES: Final = (
    ("pedidos.pedidos", "data_criacao", "pedidos", "t.de = 'ausente'"),
    ("pagamentos.pagamentos", "data_processamento", "pagamentos", "t.de = 'ausente'"),
    ("fiscal.notas_fiscais", "data_emissao", "fiscal", "t.de = 'ausente'"),
    ("logistica.envios", "data_despacho", "logistica", "t.de = 'ausente'"),
    (
        "estoque.movimentos",
        "instante",
        "estoque",
        "t.para = CASE d.tipo WHEN 'separacao' THEN 'separado' ELSE 'devolvido' END",
    ),
)
_COPY: Final = """
SELECT t.pedido_id, 'LUGAR has ' || COALESCE(d.DATA, 'null') || ', the log of SALA '
    || t.instante || ' for ' || t.para
FROM SALA.transicoes AS t JOIN LUGAR AS d ON d.PEDIDO = t.pedido_id
WHERE PASSO AND d.DATA IS NOT t.instante
"""


def _copy(lugar: str, data: str, sala: str, passo: str) -> str:
    pedido = "id" if lugar == "pedidos.pedidos" else "pedido_id"
    texts = {"LUGAR": lugar, "DATA": data, "SALA": sala, "PASSO": passo, "PEDIDO": pedido}
    statement = _COPY
    for name, text in texts.items():
        statement = statement.replace(name, text)
    return statement


INSTANTS: Final = Rule(
    "instants",
    "every date is one of this shop's life, and the same wherever it is kept",
    (10,),
    "SELECT count(*) FROM driven",
    f"""
WITH bounds AS MATERIALIZED (
    SELECT COALESCE(strftime('%Y-%m-%dT%H:%M:%f+00:00', min(instante), '-{CLOCK_DAYS} days'), '')
        AS low,
        strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', '+{CLOCK_DAYS} days') AS high
    FROM estoque.movimentos WHERE tipo = 'abertura'
)
"""  # noqa: S608 - ours
    + "UNION ALL".join(
        _ONE.replace("LUGAR", lugar).replace("LER", ler) for lugar, ler in _PLACES.items()
    )
    + "".join("UNION ALL" + _copy(*copy) for copy in _COPIES)
    + f"""
UNION ALL
SELECT pedido_id, 'the steps of its end are of ' || min(instante) || ' and ' || max(instante)
FROM pedidos.transicoes WHERE para NOT IN ('pendente', 'cancelando')
GROUP BY pedido_id HAVING count(DISTINCT instante) > 1
UNION ALL
SELECT id, 'was made at ' || data_criacao || ', which is ' || COALESCE(criado_epoca, 'null')
    || ' s since 1970' FROM driven
WHERE NOT COALESCE(
    abs(criado_epoca - unixepoch(data_criacao)) <= {CLOCK_DAYS} * 86400, 0)
UNION ALL
SELECT id, 'imported, of ' || data_criacao || ', which is ' || COALESCE(criado_epoca, 'null')
    || ' s since 1970' FROM pedidos.pedidos
WHERE origem <> 'loja' AND criado_epoca IS NOT COALESCE(unixepoch(data_criacao), 0)
UNION ALL
SELECT NULL, 'the ledger was opened at ' || min(instante) || ' and at ' || max(instante)
FROM estoque.movimentos WHERE tipo = 'abertura' HAVING count(DISTINCT instante) > 1
""",  # noqa: S608 - ours
)

RULES: Final = (INSTANTS,)
