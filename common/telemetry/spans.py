"""The spans of one order, made from its timing record after its end.

Every hop's entry says how long its call took, when it came, what it waited for and when, and the
error with which it answered, if it did (`rastro`, see `servicos/contexto.py`). That is all that spans
need: their ids follow from each other (`trace_context`). A hop that was called and told nothing has
a span all the same, marked as missing, as long as its caller waited.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from common.contratos import OPERACOES
from common.erros import Categoria
from common.servicos.protocolo.contexto import RASTRO, SECOES
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
# What a service calls, by the letter of its wait: the order's step in the next service, its
# undoing there, and what Pedidos asks of another one.
CALLS: Final = {
    "pedidos": {"p": "processar_pagamento", "x": "cancelar_pagamento", "c": "consultar_precos"},
    "pagamentos": {"p": "separar_estoque", "x": "cancelar_separacao"},
    "estoque": {"p": "emitir_nota_fiscal", "x": "cancelar_nota_fiscal"},
    "fiscal": {"p": "agendar_envio", "x": "cancelar_envio"},
}
# Calls of which the record tells what happened below them.
TOLD: Final = frozenset("px")

# Parameters of an entry that are lengths, of the hop and of what it waited for.
LENGTHS: Final = frozenset({"dur", *SECOES.values()})

_BY_NAME: Final = {operacao.nome: operacao for operacao in OPERACOES}
_TRECHO: Final = re.compile(r"([bgpxc])(-?\d+)(?:-(-?\d+))?(\?|![a-z_]+)?")


class Span(Struct, frozen=True, kw_only=True):
    """One span; instants are milliseconds on the monotonic clock.

    `parent` is "" for none. `error` is the category of the answer, "" for none. `unanswered` marks a
    call that nobody answered and the hop that did not: its instants are those of its caller's wait.
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


class Trecho(Struct, frozen=True, array_like=True):
    """Something that a hop waited for: milliseconds after its call came, and how long.

    `ended` is "" for a wait that ended well, "?" for a call without an answer, "!" and a category for
    one that was answered with an error.
    """

    kind: str
    offset_ms: float
    length_ms: float
    ended: str = ""


class Hop(Struct, frozen=True, kw_only=True):
    """One entry of a record, as far as spans need it. Milliseconds."""

    service: str
    start_ms: float
    length_ms: float
    trechos: tuple[Trecho, ...] = ()
    error: str = ""

    @property
    def end_ms(self) -> float:
        """When it answered."""
        return self.start_ms + self.length_ms


def hops(record: str) -> list[Hop]:
    """The hops of a timing record, from the edge down; up to the first that is in no trace."""
    found = []
    for entry in record.split(","):
        said, _, told = entry.strip().partition(RASTRO)
        service, *parameters = said.split(";")
        start, *rest = told.split("|")
        try:
            lengths = {
                name: float(value)
                for name, _, value in (each.partition("=") for each in parameters)
                if name in LENGTHS
            }
            start_ms, length_ms = int(start) / 1e3, lengths["dur"]
        except (ValueError, KeyError):
            break
        error = rest.pop()[1:] if rest and rest[-1].startswith("!") else ""
        found.append(
            Hop(
                service=service, start_ms=start_ms, length_ms=length_ms, error=error,
                trechos=tuple(_trechos(rest, lengths)),
            )
        )  # fmt: skip
    return found


def spans(record: str, operation: str, context: TraceContext) -> list[Span]:
    """The spans of an order whose edge served `operation` in this context, parents first."""
    told = hops(record)
    if not told:
        return []
    found = list(_served(told, operation, context.trace_id, context.caller))
    return [replace(found[0], parent=context.parent), *found[1:]]


def _served(told: list[Hop], operation: str, trace_id: str, caller: str) -> Iterator[Span]:
    """A hop's own span, those of what it waited for, and all below."""
    hop, below = told[0], told[1:]
    span_id = server_span(trace_id, caller)
    yield Span(
        service=hop.service, name=operation, kind="server", span_id=span_id, parent=caller,
        start_ms=hop.start_ms, end_ms=hop.end_ms, operation=operation, error=hop.error,
    )  # fmt: skip
    # A hop keeps the record of its last call alone: of those before it only how they ended is known.
    last = next((trecho for trecho in reversed(hop.trechos) if trecho.kind in TOLD), None)
    numbers: dict[str, int] = {}
    for trecho in hop.trechos:
        number = numbers[trecho.kind] = numbers.get(trecho.kind, 0) + 1
        if trecho.kind in {BANCO, GATEWAY}:
            yield _waited(hop, trecho, number, span_id)
            continue
        called = CALLS.get(hop.service, {}).get(trecho.kind)
        if called is None:
            continue
        asked = _BY_NAME[called].servico
        answer = below if trecho is last and below and below[0].service == asked else []
        call = _call(hop, trecho, called, client_span(caller, trecho.kind, number), span_id)
        if answer:
            yield replace(call, error=answer[0].error)
            yield from _served(answer, called, trace_id, call.span_id)
            continue
        # Without a record of its own a hop is drawn as long as its caller waited.
        lost = trecho.ended == "?"
        error = Categoria.INDISPONIVEL.value if lost else trecho.ended.removeprefix("!")
        call = replace(call, error=error, unanswered=lost)
        server = server_span(trace_id, call.span_id)
        yield call
        yield replace(call, service=asked, kind="server", span_id=server, parent=call.span_id)


def _waited(hop: Hop, trecho: Trecho, number: int, parent: str) -> Span:
    """The span of a wait for what is no service."""
    gateway = trecho.kind == GATEWAY
    start_ms = hop.start_ms + trecho.offset_ms
    return Span(
        service=hop.service, kind="client", parent=parent, start_ms=start_ms,
        end_ms=start_ms + trecho.length_ms,
        span_id=inner_span(parent, trecho.kind, number),
        name="gateway" if gateway else f"sqlite {hop.service}",
        database="" if gateway else f"{hop.service}.db",
    )  # fmt: skip


def _call(hop: Hop, trecho: Trecho, called: str, span_id: str, parent: str) -> Span:
    """The span of a call as its caller saw it."""
    start_ms = hop.start_ms + trecho.offset_ms
    return Span(
        service=hop.service, name=called, kind="client", span_id=span_id, parent=parent,
        start_ms=start_ms, end_ms=start_ms + trecho.length_ms, operation=called,
    )  # fmt: skip


def _trechos(parts: Sequence[str], lengths: Mapping[str, float]) -> Iterator[Trecho]:
    for part in parts:
        found = _TRECHO.fullmatch(part)
        if found is None:
            continue
        kind, start, end, ended = found.groups()
        if end is None:
            # The only wait of its section: as long as that.
            length_ms = lengths.get(SECOES[kind], 0.0)
        else:
            length_ms = (int(end) - int(start)) / 1e3
        yield Trecho(kind, int(start) / 1e3, length_ms, ended or "")
