"""The spans of one order, made from its timing record after its end.

Every hop's entry says how long its call took, when it came, when it waited for whom, and the error in
its answer (`servicos/protocolo/record.py`). Spans need no more: their ids follow from each other (`trace_context`). A hop that was called and told nothing has
a span all the same, marked as missing, as long as its caller waited.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from common.contratos import OPERACOES
from common.erros import Categoria
from common.servicos.protocolo.record import LOST, MORE, Hop, Wait
from common.telemetry.trace_context import (
    TraceContext,
    client_span,
    inner_span,
    server_span,
)

Kind = Literal["server", "client"]

# The letters that stand for no call: storage, and the payment gateway.
BANCO: Final = "b"
GATEWAY: Final = "g"
# The operation that a service calls, by the letter of its wait: the order's step in the next
# service, its undoing there, and the question that Pedidos asks another one.
CALLS: Final = {
    "pedidos": {"p": "processar_pagamento", "x": "cancelar_pagamento", "c": "consultar_precos"},
    "pagamentos": {"p": "separar_estoque", "x": "cancelar_separacao"},
    "estoque": {"p": "emitir_nota_fiscal", "x": "cancelar_nota_fiscal"},
    "fiscal": {"p": "agendar_envio", "x": "cancelar_envio"},
}
# Calls of which the record tells the hops below.
TOLD: Final = frozenset("px")

_BY_NAME: Final = {operacao.nome: operacao for operacao in OPERACOES}


class Span(Struct, frozen=True, kw_only=True):
    """One span; instants are milliseconds on the monotonic clock.

    `parent` is "" for none. `error` is the category of the answer, "" for none. `unanswered` marks a
    call without an answer, and the hop that owed it: its instants are those of its caller's wait.
    """

    service: str
    name: str
    kind: Kind
    span_id: str
    parent: str
    start_ms: float
    end_ms: float
    operation: str = ""
    database: str = ""
    error: str = ""
    unanswered: bool = False

    @property
    def missing(self) -> bool:
        """Whether it stands for a hop that told nothing."""
        return self.unanswered and self.kind == "server"


def spans(hops: Sequence[Hop], operation: str, context: TraceContext) -> list[Span]:
    """The spans of an order whose edge served `operation` in this context, parents first."""
    if not hops:
        return []
    found = list(_served(hops, operation, context.trace_id, context.caller))
    return [replace(found[0], parent=context.parent), *found[1:]]


def _served(told: Sequence[Hop], operation: str, trace_id: str, caller: str) -> Iterator[Span]:
    """A hop's own span, those of its waits, and all below."""
    hop, below = told[0], told[1:]
    span_id = server_span(trace_id, caller)
    yield Span(
        service=hop.service, name=operation, kind="server", span_id=span_id, parent=caller,
        start_ms=hop.arrival / 1e3, end_ms=(hop.arrival + hop.length) / 1e3, operation=operation, error=hop.error,
    )  # fmt: skip
    # A hop keeps the record of its last call alone: of those before it only how they ended is known.
    waits = [wait for wait in hop.waits if wait.ended != MORE]
    last = next((wait for wait in reversed(waits) if wait.kind in TOLD), None)
    numbers: dict[str, int] = {}
    for wait in waits:
        number = numbers[wait.kind] = numbers.get(wait.kind, 0) + 1
        if wait.kind in {BANCO, GATEWAY}:
            yield _waited(hop, wait, number, span_id)
            continue
        called = CALLS.get(hop.service, {}).get(wait.kind)
        if called is None:
            continue
        asked = _BY_NAME[called].servico
        answer = below if wait is last and below and below[0].service == asked else []
        call = _call(hop, wait, called, client_span(caller, wait.kind, number), span_id)
        if answer:
            yield replace(call, error=answer[0].error)
            yield from _served(answer, called, trace_id, call.span_id)
            continue
        # Without a record of its own a hop is drawn as long as its caller waited.
        lost = wait.ended == LOST
        error = Categoria.INDISPONIVEL.value if lost else wait.ended
        call = replace(call, error=error, unanswered=lost)
        server = server_span(trace_id, call.span_id)
        yield call
        yield replace(call, service=asked, kind="server", span_id=server, parent=call.span_id)


def _waited(hop: Hop, wait: Wait, number: int, parent: str) -> Span:
    """The span of a wait for storage or the gateway."""
    gateway = wait.kind == GATEWAY
    start_ms = (hop.arrival + wait.start) / 1e3
    return Span(
        service=hop.service, kind="client", parent=parent, start_ms=start_ms,
        end_ms=start_ms + wait.length / 1e3,
        span_id=inner_span(parent, wait.kind, number),
        name="gateway" if gateway else f"sqlite {hop.service}",
        database="" if gateway else f"{hop.service}.db",
    )  # fmt: skip


def _call(hop: Hop, wait: Wait, called: str, span_id: str, parent: str) -> Span:
    """The span of a call as its caller saw it."""
    start_ms = (hop.arrival + wait.start) / 1e3
    return Span(
        service=hop.service, name=called, kind="client", span_id=span_id, parent=parent,
        start_ms=start_ms, end_ms=start_ms + wait.length / 1e3, operation=called,
    )  # fmt: skip
