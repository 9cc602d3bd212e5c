"""Rules about why and how an order ended: its reason, its way there, and what fenced it."""

from __future__ import annotations

from typing import Final

from common.audit.rules import Rule

# Down the chain, all that is behind Pedidos.
SALAS: Final = ("pagamentos", "estoque", "fiscal", "logistica")

# Each service's arbiter of an order, absent where it has no row.
PASSOS: Final = """
LEFT JOIN pagamentos.passos AS pg ON pg.pedido_id = ended.id
LEFT JOIN estoque.passos AS es ON es.pedido_id = ended.id
LEFT JOIN fiscal.passos AS fi ON fi.pedido_id = ended.id
LEFT JOIN logistica.passos AS lo ON lo.pedido_id = ended.id
"""
ESTADOS: Final = """
    'pagamentos ' || COALESCE(pg.estado, 'ausente')
    || ', estoque ' || COALESCE(es.estado, 'ausente')
    || ', fiscal ' || COALESCE(fi.estado, 'ausente')
    || ', logistica ' || COALESCE(lo.estado, 'ausente')
"""

# A step that stands has no reason; one that was refused has its own, and any other that of its
# order or of the refusal further down.
_REASON: Final = """
UNION ALL
SELECT s.pedido_id, 'SALA: ' || s.estado || ' for ' || COALESCE(s.motivo, 'no reason')
    || ', Pedidos has ' || COALESCE(later.motivo, 'none')
FROM SALA.passos AS s JOIN later ON later.id = s.pedido_id
LEFT JOIN estoque.passos AS nao ON nao.pedido_id = s.pedido_id AND nao.estado = 'insuficiente'
WHERE NOT CASE s.estado
    WHEN 'rejeitado' THEN s.motivo IS 'pagamento_rejeitado'
    WHEN 'insuficiente' THEN s.motivo IS 'estoque_insuficiente'
    WHEN 'aprovado' THEN s.motivo IS NULL
    WHEN 'separado' THEN s.motivo IS NULL
    WHEN 'emitida' THEN s.motivo IS NULL
    WHEN 'enviado' THEN s.motivo IS NULL
    ELSE s.motivo IS NOT NULL AND (s.motivo IS later.motivo
        OR ('SALA' = 'pagamentos' AND nao.estado IS NOT NULL AND s.motivo = nao.motivo)) END
"""

# A refusal on the way forward ends an order straight away. One that was given up ends behind
# Logistica's tombstone, which every hop above has followed, or behind a refusal that was already on
# its way back.
REASON: Final = Rule(
    "reason",
    "a cancelled order has the reason that the services gave, they have the same, any other none",
    (2, 5),
    "SELECT count(*) FROM driven",
    """
SELECT id, status || ' with the motivo ' || COALESCE(motivo, 'null') FROM driven
WHERE (status IN ('cancelado', 'cancelando')) <> (motivo IS NOT NULL)
UNION ALL
SELECT ended.id, 'cancelado for ' || COALESCE(ended.motivo, 'no reason') || ', but ' || """
    + ESTADOS
    + "FROM ended"
    + PASSOS
    + """
WHERE ended.status = 'cancelado' AND NOT CASE ended.motivo
    WHEN 'pagamento_rejeitado' THEN pg.estado IS 'rejeitado'
    WHEN 'estoque_insuficiente' THEN es.estado IS 'insuficiente' AND pg.estado IS 'estornado'
    ELSE pg.estado IS 'rejeitado' OR (es.estado IS 'insuficiente' AND pg.estado IS 'estornado')
        OR (lo.estado IS 'tombstone' AND fi.estado IS NOT NULL AND es.estado IS NOT NULL
            AND pg.estado IS NOT NULL) END
"""
    + "".join(_REASON.replace("SALA", sala) for sala in SALAS),
)

# All the ways there are: who is refused has not been given up, who was given up has.
WAYS: Final = (
    ("enviado", "", "pendente pagamento_aprovado em_separacao nf_emitida enviado"),
    ("enviado", "", "pendente cancelando enviado"),
    ("cancelado", "pagamento_rejeitado", "pendente cancelado"),
    ("cancelado", "estoque_insuficiente", "pendente pagamento_aprovado cancelado"),
    ("cancelado", "solicitado", "pendente cancelando cancelado"),
    ("cancelado", "expirado", "pendente cancelando cancelado"),
)

LOG_WAY: Final = Rule(
    "log-way",
    "an ended order came by a way that leads there, and its log gives the reason where it arose",
    (10,),
    "SELECT count(*) FROM ended",
    """
SELECT ended.id, status || COALESCE(' for ' || motivo, '') || ' by way of '
    || COALESCE(caminho, 'nothing')
FROM ended LEFT JOIN (
    SELECT pedido_id, group_concat(para, ' ') AS caminho FROM (
        SELECT pedido_id, para FROM pedidos.transicoes ORDER BY pedido_id, id)
    GROUP BY pedido_id) AS t ON t.pedido_id = ended.id
WHERE NOT EXISTS (SELECT 1 FROM way WHERE way.status = ended.status
    AND way.motivo = COALESCE(ended.motivo, '') AND way.caminho = t.caminho)
UNION ALL
SELECT t.pedido_id, 'the log gives ' || COALESCE(t.motivo, 'no reason') || ' for ' || t.para
    || ', Pedidos has ' || COALESCE(driven.motivo, 'none')
FROM pedidos.transicoes AS t JOIN driven ON driven.id = t.pedido_id
WHERE NOT CASE t.para
    WHEN 'cancelado' THEN t.motivo IS driven.motivo
    WHEN 'cancelando' THEN t.motivo IS NOT NULL
        AND (driven.status = 'enviado' OR t.motivo IS driven.motivo)
    ELSE t.motivo IS NULL END
""",
)

# Clocks may disagree and may be set back. Each service's steps forward show by how much it is
# behind Pedidos, each log by how much its clock was set back; tombstones are no evidence of
# themselves. A tombstone may seem to be that much older than its claim, and a second: the clocks of
# a machine are trimmed.
_FENCES: Final = """
WITH given_up AS MATERIALIZED (
    SELECT DISTINCT pedido_id FROM pedidos_depois.transicoes WHERE para = 'cancelando'
), claim AS MATERIALIZED (
    SELECT pedido_id, julianday(instante) * 86400.0 AS s FROM pedidos_depois.transicoes
    WHERE de = 'ausente'
), began AS (
    FIRST
), last AS MATERIALIZED (
    SELECT sala, max(id) AS id FROM began WHERE para <> 'tombstone' GROUP BY sala
), late AS (
    SELECT claim.s - began.s AS by_s FROM began JOIN claim ON claim.pedido_id = began.pedido_id
    WHERE began.para <> 'tombstone'
    UNION ALL
    SELECT by_s FROM (LOGGED) WHERE para <> 'tombstone'
)
UNFENCED
SELECT began.pedido_id, began.sala || ': the tombstone is ' || printf('%.1f', claim.s - began.s)
    || ' s older than its order'
FROM began JOIN claim ON claim.pedido_id = began.pedido_id
JOIN last ON last.sala = began.sala AND last.id > began.id
WHERE began.para = 'tombstone' AND claim.s - began.s > 1.0
    AND claim.s - began.s > 1.0 + (SELECT COALESCE(max(by_s), 0.0) FROM late)
"""
_FIRST: Final = """
    SELECT id, pedido_id, 'SALA' AS sala, para, julianday(instante) * 86400.0 AS s FROM SALA.transicoes
    WHERE de = 'ausente'
"""
_LOGGED: Final = """
    SELECT para, max(s) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) - s AS by_s FROM (
        SELECT id, para, julianday(instante) * 86400.0 AS s FROM SALA.transicoes)
"""
# Steps that only a fence explains; Pagamentos undoes for a refusal of Estoque as well.
_UNFENCED: Final = """
SELECT s.pedido_id, 'SALA: ' || s.estado || CASE WHEN given_up.pedido_id IS NULL
    THEN ', but Pedidos never gave the order up' ELSE ', but there is no tombstone at Logistica' END
FROM SALA.passos AS s JOIN later ON later.id = s.pedido_id
LEFT JOIN given_up ON given_up.pedido_id = s.pedido_id
LEFT JOIN logistica.passos AS lo ON lo.pedido_id = s.pedido_id AND lo.estado = 'tombstone'
LEFT JOIN estoque.passos AS nao ON nao.pedido_id = s.pedido_id AND nao.estado = 'insuficiente'
WHERE (given_up.pedido_id IS NULL OR lo.estado IS NULL)
    AND (s.estado IN ('tombstone', 'devolvido', 'cancelada')
        OR (s.estado = 'estornado' AND nao.estado IS NULL))
UNION ALL
"""


def _each(statement: str, salas: tuple[str, ...], between: str = "UNION ALL") -> str:
    return between.join(statement.replace("SALA", sala) for sala in salas)


FENCES: Final = Rule(
    "fences",
    "an order is fenced and undone only when it was given up, behind Logistica's tombstone",
    (4, 10),
    "SELECT count(*) FROM logistica.passos WHERE estado = 'tombstone'",
    _FENCES.replace("FIRST", _each(_FIRST, SALAS))
    .replace("LOGGED", _each(_LOGGED, ("pedidos_depois", *SALAS)))
    .replace("UNFENCED", _each(_UNFENCED, SALAS, "")),
)

RULES: Final = (REASON, LOG_WAY, FENCES)
