"""An order's trace at the edge: begun with its call, and kept or not at its end."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Final

from common.contratos import Operacao
from common.erros import STATUS_HTTP, Categoria
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.record import Hop
from common.telemetry.retention import Keeping, Kept
from common.telemetry.trace_context import TraceContext, begun, caller_of, reseeded

# Operations with which an order's way begins: there its trace begins too, and ends.
STARTS: Final = frozenset({"pedido", "cancelamento"})
BORDA: Final = "pedidos"
# Errors that are the services' own. A caller's mistake, and a refusal without effect, are told to
# the caller and worth no trace.
OURS: Final = frozenset(
    categoria.value
    for categoria, status in STATUS_HTTP.items()
    if status >= 500 and categoria is not Categoria.SOBRECARGA
)

_LOG = logging.getLogger(__name__)

# Takes a trace that is kept; must not block and must not raise.
Keep = Callable[[Kept], None]


def begins_at(operacao: Operacao) -> bool:
    """Whether an order's way begins with this operation."""
    return operacao.servico == BORDA and operacao.classe in STARTS


class Traces:
    """The traces that begin at the edge."""

    def __init__(self, share: float, keep: Keep, draw: random.Random) -> None:
        """`share` of them is kept, and all that failed, were slow or asked for."""
        self._keeping = Keeping(share)
        self._keep = keep
        self._draw = draw

    def begin(self, ctx: Contexto) -> None:
        """Every order is in a trace: the caller's, or one of its own."""
        if ctx.rastro:
            ctx.rastro_pai = caller_of(ctx.rastro)
            ctx.rastro = reseeded(ctx.rastro, self._draw)
        else:
            ctx.rastro = begun(self._draw)

    def end(
        self,
        ctx: Contexto,
        operation: str,
        hops: tuple[Hop, ...],
        *,
        order: int = 0,
        pending: bool = False,
        left: bool = False,
    ) -> None:
        """Decide on the trace of a call whose record this is; `pending` and `left` as in `Kept`."""
        if not ctx.rastro:
            return
        edge = hops[0]
        failed = pending or left or edge.error in OURS
        why = self._keeping.why(ctx.rastro, edge.length / 1e6, failed=failed)
        if why is None:
            return
        context = TraceContext.of(ctx.rastro, ctx.rastro_estado, parent=ctx.rastro_pai)
        kept = Kept(
            hops=hops, operation=operation, context=context, why=why,
            order=order or ctx.pedido_id or None, pending=pending, left=left,
        )  # fmt: skip
        try:
            self._keep(kept)
        except Exception:
            # The order is answered all the same.
            _LOG.exception("a trace could not be kept")
