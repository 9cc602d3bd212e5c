"""The full story of an order: five logs merged by instant, what each service holds, the client."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any, Final

from common.audit.report import Dossier, Event
from common.audit.snapshot import LATER, TABELAS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Prefixed to every statement: the orders whose story is told, so that one pass over each log
# serves them all. Not a table: a damaged file keeps its whole connection from writing.
_SUSPECTS: Final = "WITH suspect (pedido_id) AS (SELECT value FROM json_each(?)) "

_LOG: Final = """
SELECT pedido_id, instante, 'SALA', de || ' -> ' || para || COALESCE(' for ' || motivo, ''), id
FROM ARQUIVO.transicoes WHERE pedido_id IN suspect
"""

# (statement, how a row of it reads); the first column is the order.
_FACTS: Final = (
    (
        """SELECT id, status, COALESCE(motivo, '-'), valor_total_centavos, COALESCE(metodo, '-'),
        COALESCE(chave_idempotencia, '-'), COALESCE(pagamento_status, '-'),
        COALESCE(nota_numero, '-'), COALESCE(envio_codigo, '-'), origem
        FROM pedidos_depois.pedidos WHERE id IN suspect""",
        "pedidos: {} motivo {} total {} by {} key {} | tells {} {} {} | origem {}",
    ),
    (
        """SELECT pedido_id, produto_id, quantidade, preco_unitario_centavos
        FROM pedidos_depois.itens_pedido WHERE pedido_id IN suspect""",
        "pedidos: item product {} x {} at {}",
    ),
    *(
        (
            f"""SELECT pedido_id, estado, COALESCE(motivo, '-')
            FROM {sala}.passos WHERE pedido_id IN suspect""",  # noqa: S608 - names of ours
            sala + ": step {} motivo {}",
        )
        for sala in ("pagamentos", "estoque", "fiscal", "logistica")
    ),
    (
        """SELECT pedido_id, status, valor_centavos, COALESCE(metodo, '-'), data_processamento
        FROM pagamentos.pagamentos WHERE pedido_id IN suspect""",
        "pagamentos: payment {} of {} by {} at {}",
    ),
    (
        # Also under a key that only begins with the order's own: '.' is what comes after '-'.
        """SELECT suspect.pedido_id, chave, situacao, COALESCE(valor_centavos, '-'),
        cobrado_centavos, estornado_centavos, instante
        FROM suspect JOIN gateway.cobrancas ON chave = 'pedido-' || suspect.pedido_id
        OR (chave > 'pedido-' || suspect.pedido_id || '-'
            AND chave < 'pedido-' || suspect.pedido_id || '.')""",
        "gateway: {} {} asked {} charged {} gave back {} at {}",
    ),
    (
        """SELECT pedido_id, id, tipo, quantidade, produto_id, instante
        FROM estoque.movimentos WHERE pedido_id IN suspect""",
        "estoque: movement {} {} {} of product {} at {}",
    ),
    (
        """SELECT pedido_id, status, numero, COALESCE(chave_acesso, '-'), valor_centavos,
        data_emissao FROM fiscal.notas_fiscais WHERE pedido_id IN suspect""",
        "fiscal: invoice {} {} key {} of {} at {}",
    ),
    (
        """SELECT pedido_id, status, COALESCE(codigo_rastreamento, '-'),
        COALESCE(numero_nota, '-'), COALESCE(data_despacho, '-')
        FROM logistica.envios WHERE pedido_id IN suspect""",
        "logistica: shipment {} {} for invoice {} at {}",
    ),
)

# The client's lines that name the order, or the key that it is stored under or was answered with.
_CLIENT: Final = """
SELECT DISTINCT pedido_id, line, time_ns, process, type, op, key, tail FROM (
    SELECT s.pedido_id, h.*, COALESCE(' ' || h.answer, ' ' || h.status, ' ' || h.body,
        ' ' || h.kind, '') AS tail
    FROM suspect AS s JOIN history AS h ON h.pedido_id = s.pedido_id
    UNION ALL
    SELECT named.pedido_id, h.*, COALESCE(' ' || h.answer, ' ' || h.status, ' ' || h.body,
        ' ' || h.kind, '')
    FROM (
        SELECT id AS pedido_id, chave_idempotencia AS key FROM pedidos_depois.pedidos
        WHERE id IN suspect
        UNION SELECT pedido_id, key FROM history WHERE pedido_id IN suspect) AS named
    JOIN history AS h ON h.key = named.key)
ORDER BY time_ns, line
"""


def dossiers(
    con: sqlite3.Connection, pedido_ids: Iterable[int], *, history: bool
) -> tuple[Dossier, ...]:
    """The stories of some orders, in the order given."""
    wanted = list(pedido_ids)
    suspects = json.dumps(wanted)
    events: dict[int, list[Event]] = {each: [] for each in wanted}
    facts: dict[int, list[str]] = {each: [] for each in wanted}
    client: dict[int, list[str]] = {each: [] for each in wanted}
    for sala in TABELAS:
        # The newer reading of Pedidos: what an order did last explains more.
        arquivo = LATER if sala == "pedidos" else sala
        statement = _LOG.replace("SALA", sala).replace("ARQUIVO", arquivo) + "ORDER BY id"
        for pedido_id, instante, where, text, _ in _read(con, statement, suspects):
            events[pedido_id].append(Event(instante, where, text))
    for statement, sentence in _FACTS:
        for pedido_id, *values in _read(con, statement, suspects):
            facts[pedido_id].append(sentence.format(*values))
    if history:
        for row in _read(con, _CLIENT, suspects):
            client[row[0]].append(_client_line(*row[1:]))
    return tuple(
        # A stable sort: within one instant the order down the chain stays.
        Dossier(
            each,
            tuple(sorted(events[each], key=_instante)),
            tuple(facts[each]),
            tuple(client[each]),
        )
        for each in wanted
    )


def _read(con: sqlite3.Connection, statement: str, suspects: str) -> Iterator[tuple[Any, ...]]:
    """The rows of one source; a source that is damaged has no more to tell."""
    try:
        yield from con.execute(_SUSPECTS + statement, (suspects,))
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        return


def _instante(event: Event) -> str:
    return event.instante


def _client_line(line: int, time_ns: int, process: int, *rest: str) -> str:
    kind, operation, key, tail = rest
    return f"line {line} at {time_ns} ns, process {process}: {kind} {operation} key {key}{tail}"
