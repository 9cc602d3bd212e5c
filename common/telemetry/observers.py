"""Who is told of every call of a service: its metrics, and at the edge whoever keeps traces."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Final, NamedTuple

from common.contratos import Operacao, PedidoResponse
from common.erros import STATUS_HTTP, Categoria
from common.servicos.pedidos.livro import TERMINAIS
from common.servicos.protocolo.contexto import Contexto
from common.telemetry.metrics import LEFT_CODE, Metrics
from common.telemetry.retention import Keeping, Kept
from common.telemetry.trace_context import TraceContext, begun, caller_of, reseeded

# Operations with which an order's way begins: there its trace begins too, and ends.
STARTS: Final = frozenset({"pedido", "cancelamento"})
BORDA: Final = "pedidos"
# Errors that are the services' own; what a caller did wrong, and what was refused with no effect, is
# told to the caller and worth no trace.
OURS: Final = frozenset(
    categoria.value
    for categoria, status in STATUS_HTTP.items()
    if status >= 500 and categoria is not Categoria.SOBRECARGA
)

_LOG = logging.getLogger(__name__)

# Takes a trace that is kept; must not block and must not raise.
Keep = Callable[[Kept], None]


class Watching:
    """Makes those who watch, one an operation."""

    def __init__(
        self, servico: str, metrics: Metrics, share: float, keep: Keep, draw: random.Random
    ) -> None:
        self._servico = servico
        self._metrics = metrics
        self._traces = Traces(Keeping(share), keep, draw)

    def of(self, operacao: Operacao) -> Watch | EdgeWatch:
        """Who watches an operation."""
        if self._servico == BORDA and operacao.classe in STARTS:
            return EdgeWatch(operacao.nome, self._metrics, self._traces)
        return Watch(operacao.nome, self._metrics)


class Watch:
    """Watches an operation inside the chain, or one that is no order's."""

    def __init__(self, operation: str, metrics: Metrics) -> None:
        self._operation = operation
        self._metrics = metrics
        # Known from the start, so that a rate has a nought to grow from.
        self._note = metrics.durations(operation).note

    def began(self, ctx: Contexto) -> None:
        """Nothing: whoever called decides on the trace."""

    def ended(self, ctx: Contexto, seconds: float, erro: str, record: str) -> None:
        """Count it."""
        if erro:
            self._metrics.durations(self._operation, erro).note(seconds)
        else:
            self._note(seconds)

    def left(self, ctx: Contexto, seconds: float) -> None:
        """Nobody to answer: it has a code of its own."""
        self._metrics.durations(self._operation, LEFT_CODE).note(seconds)


class Traces(NamedTuple):
    """What becomes of the traces that begin here."""

    keeping: Keeping
    keep: Keep
    draw: random.Random


class EdgeWatch(Watch):
    """Watches an operation with which an order's way begins."""

    def __init__(self, operation: str, metrics: Metrics, traces: Traces) -> None:
        super().__init__(operation, metrics)
        self._traces = traces

    def began(self, ctx: Contexto) -> None:
        """Every order is in a trace: the caller's, or one of its own."""
        if ctx.rastro:
            ctx.rastro_pai = caller_of(ctx.rastro)
            ctx.rastro = reseeded(ctx.rastro, self._traces.draw)
        else:
            ctx.rastro, ctx.rastro_proprio = begun(self._traces.draw), True

    def ended(self, ctx: Contexto, seconds: float, erro: str, record: str) -> None:
        """Count it, and decide on its trace."""
        super().ended(ctx, seconds, erro, record)
        answer, order, pending = ctx.resposta, None, False
        if isinstance(answer, PedidoResponse):
            order = answer.pedido_id
            pending = answer.status not in TERMINAIS
            self._metrics.answered(answer.status, answer.motivo or "")
        failed = pending or erro in OURS
        self._decide(ctx, seconds, record, failed=failed, order=order, pending=pending)

    def left(self, ctx: Contexto, seconds: float) -> None:
        """Count it; its caller may have waited too long, so its trace is worth keeping."""
        super().left(ctx, seconds)
        record = ctx.registro(BORDA, seconds)
        self._decide(ctx, seconds, record, failed=True, order=None, left=True)

    def _decide(
        self,
        ctx: Contexto,
        seconds: float,
        record: str,
        *,
        failed: bool,
        order: int | None,
        pending: bool = False,
        left: bool = False,
    ) -> None:
        if not ctx.rastro:
            return
        why = self._traces.keeping.why(ctx.rastro, seconds, failed=failed)
        if why is None:
            return
        context = TraceContext.of(ctx.rastro, ctx.rastro_estado, parent=ctx.rastro_pai)
        kept = Kept(
            record=record, operation=self._operation, context=context, why=why,
            order=order or ctx.pedido_id or None, pending=pending, left=left,
        )  # fmt: skip
        try:
            self._traces.keep(kept)
        except Exception:
            # The order is answered all the same.
            _LOG.exception("a trace could not be kept")
