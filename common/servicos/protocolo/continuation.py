"""How an order goes on after a service's own step.

`CallChain` commits the step, calls the next service and waits for its answer. An arm of events will
publish instead, in the same unit of work.

Forward: commit the own effect, then call. Done: add the own data to the answer. Refused: undo the
own effect durably, then say refused. Anything else is unknown and compensates nothing, so it
propagates as an error.

Cancelling: write nothing on the way down, and do not go down at all for an imported order. At the
pivot (Logistica) the tombstone or the shipment decides. On the way back from a tombstone each
service, in one unit, undoes its row or, having none, writes its own tombstone, which a late forward
step will meet.

Why that is safe: an undone row or a tombstone arises only behind Logistica's tombstone or behind a
durable no, so a refusal implies that no shipment exists or ever will.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from common import contratos as c
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.passo import (
    PASSOS,
    Arbitro,
    Passo,
    Req,
    Situacao,
    conferir_cancelavel,
)
from common.servicos.protocolo.portas import Clock, Database

# What a step is asked with.
Asked_contra = TypeVar("Asked_contra", contravariant=True)


class Continuation(Protocol[Asked_contra]):
    """An order's way on from one service."""

    async def advance(self, ctx: Contexto, req: Asked_contra) -> c.AndamentoResponse:
        """Do the forward step, then go on."""

    async def cancel(self, ctx: Contexto, req: c.CancelarPassoRequest) -> c.AndamentoResponse:
        """Go on cancelling; undo the step on the way back.

        Raises ErroServico (precondition) for an imported order, with nothing done.
        """


class Outside(Protocol):
    """What a step does outside of its own database."""

    async def prepare(self, ctx: Contexto, req: Any) -> Any:
        """Act before the forward step; the rule is given what this returns."""

    async def undo(self, ctx: Contexto, pedido_id: int) -> None:
        """Take it back before the step is undone."""


class Next(NamedTuple):
    """The next service: its forward step, and its cancelling one."""

    forward: Callable[[Contexto, Any], Awaitable[c.AndamentoResponse]]
    cancel: Callable[[Contexto, c.CancelarPassoRequest], Awaitable[c.AndamentoResponse]]


class CallChain(Generic[Req]):
    """Goes on by calling the next service and waiting; the pivot has none, and decides."""

    def __init__(
        self,
        passo: Passo[Req],
        database: Database,
        clock: Clock,
        proximo: Next | None = None,
        outside: Outside | None = None,
    ) -> None:
        self._arbitro: Arbitro[Req] = Arbitro(passo, clock)
        self._passo: Passo[Req] = passo
        self._database = database
        self._proximo = proximo
        self._outside = outside

    async def advance(self, ctx: Contexto, req: Req) -> c.AndamentoResponse:
        """See Continuation."""
        preparo = None if self._outside is None else await self._outside.prepare(ctx, req)
        ctx.conferir_presenca()
        arbitro = self._arbitro
        situacao = await self._database.unit(
            ctx, arbitro.leituras(req), arbitro.registrar, req, preparo
        )
        if self._proximo is None or situacao.motivo is not None:
            return _resposta(req.pedido_id, situacao)
        proxima = self._passo.proxima(req, situacao.partes)
        andamento = await self._proximo.forward(ctx, proxima)
        if andamento.status == "enviado":
            return msgspec.structs.replace(andamento, **situacao.partes)
        return await self._retroceder(ctx, req.pedido_id, andamento)

    async def cancel(self, ctx: Contexto, req: c.CancelarPassoRequest) -> c.AndamentoResponse:
        """See Continuation."""
        pedido_id, arbitro, database = req.pedido_id, self._arbitro, self._database
        if self._proximo is None:
            situacao = await database.unit(
                ctx, arbitro.leituras_de(pedido_id), arbitro.cercar, pedido_id, req.motivo
            )
            return _resposta(pedido_id, situacao)
        # Before anything below or outside is touched. No order becomes imported later on.
        await database.read(ctx, (PASSOS.of(pedido_id),), conferir_cancelavel, pedido_id)
        andamento = await self._proximo.cancel(ctx, req)
        if andamento.status == "enviado":
            partes = await database.read(
                ctx, arbitro.leituras_de(pedido_id), arbitro.partes, pedido_id
            )
            return msgspec.structs.replace(andamento, **partes)
        return await self._retroceder(ctx, pedido_id, andamento)

    async def _retroceder(
        self, ctx: Contexto, pedido_id: int, andamento: c.AndamentoResponse
    ) -> c.AndamentoResponse:
        if self._outside is not None:
            await self._outside.undo(ctx, pedido_id)
        arbitro = self._arbitro
        partes = await self._database.unit(
            ctx, arbitro.leituras_de(pedido_id), arbitro.anular, pedido_id, andamento.motivo
        )
        return msgspec.structs.replace(andamento, **partes)


def _resposta(pedido_id: int, situacao: Situacao) -> c.AndamentoResponse:
    """The answer where an order goes no further: shipped, or refused for a reason."""
    status: c.Desfecho = "enviado" if situacao.motivo is None else "cancelado"
    return c.AndamentoResponse(pedido_id, status, situacao.motivo, **situacao.partes)
