"""The points at which an order can be struck, set into the ports that a service stands on.

    P0  before the local commit            P3  the next hop has answered, its answer lost
    P1  committed, before the next call    P4  before the final commit
    P2  while the next hop works           P5  committed, the answer unsent

and two more: `gateway`, before the outside world is asked, and `banco`, at a unit of work (see
`failing_storage.py`). Each wrapper here stands in front of one port. Without faults a service is
built without them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Concatenate, Final, Literal, ParamSpec, Protocol, TypeVar

from common.contratos import (
    TERMINAIS,
    AndamentoResponse,
    Mensagem,
    Operacao,
    PedidoResponse,
)
from common.servicos.pagamentos.pagamentos import pedido_da_chave
from common.servicos.pedidos import livro
from common.servicos.pedidos.caminho import Caminho, Desistencia
from common.servicos.pedidos.conducao import Condutor
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.passo import Arbitro
from common.servicos.protocolo.portas import Call, Database, GatewayPagamento, Veredito
from common.servicos.protocolo.tabelas import Facts, Look, Query, Read, Row

P = ParamSpec("P")
R = TypeVar("R")

Point = Literal["P0", "P1", "P2", "P3", "P4", "P5", "gateway", "banco"]

# The point in front of each unit of work, by the rule that it runs.
_UNITS: Final[dict[Callable[..., Any], Point]] = {
    Condutor.reivindicar: "P0",
    Arbitro.registrar: "P0",
    Arbitro.cercar: "P4",
    Arbitro.anular: "P4",
    livro.encerrar: "P4",
}

Method = Callable[[Contexto, Any], Coroutine[Any, Any, Mensagem]]


class Faults(Protocol):
    """Decides what happens to an order at a point."""

    async def at(self, point: Point, pedido_id: int) -> None:
        """Stand at a point. Raises ErroServico (unavailable) where an error is meant."""

    async def around(self, pedido_id: int, call: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """Call the next hop by way of P1 (before), P2 (while it works) and P3 (after)."""


class StruckDatabase:
    """The port `Database` with P0 and P4 in front of its units."""

    def __init__(self, database: Database, faults: Faults) -> None:
        self._database = database
        self._faults = faults

    async def unit(
        self,
        ctx: Contexto | None,
        reads: Sequence[Read],
        decide: Callable[Concatenate[Facts, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """As the storage does it, once the point lets the order pass."""
        point = _UNITS.get(getattr(decide, "__func__", decide))
        if point is not None:
            await self._faults.at(point, order_of(args))
            if ctx is not None and point == "P0":
                # The caller may have gone while the order stood there.
                ctx.conferir_presenca()
        return await self._database.unit(ctx, reads, decide, *args, **kwargs)

    async def read(
        self,
        ctx: Contexto | None,
        reads: Sequence[Read],
        look: Callable[Concatenate[Look, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """As the storage does it."""
        return await self._database.read(ctx, reads, look, *args, **kwargs)

    async def select(self, ctx: Contexto | None, query: Query[Row], *values: Any) -> list[Row]:
        """As the storage does it."""
        return await self._database.select(ctx, query, *values)


def order_of(args: tuple[Any, ...]) -> int:
    """The order of a unit: its first argument, or that one's `pedido_id`; 0 for none."""
    first = args[0] if args else 0
    found = first if isinstance(first, int) else getattr(first, "pedido_id", 0)
    return int(found)


class StruckGateway:
    """The port `GatewayPagamento` with the point `gateway` in front of it."""

    def __init__(self, gateway: GatewayPagamento, faults: Faults) -> None:
        self._gateway = gateway
        self._faults = faults

    async def cobrar(self, ctx: Contexto, chave: str, valor_centavos: int) -> Veredito:
        """Charge, once the point lets the order pass and its caller is still there."""
        await self._faults.at("gateway", pedido_da_chave(chave))
        ctx.conferir_presenca()
        return await self._gateway.cobrar(ctx, chave, valor_centavos)

    async def anular(self, ctx: Contexto, chave: str) -> None:
        """Void, once the point lets the order pass."""
        await self._faults.at("gateway", pedido_da_chave(chave))
        await self._gateway.anular(ctx, chave)


class StruckCaminho:
    """The port `Caminho` with P0 in front of cancelling; a claim has its own at its unit."""

    def __init__(self, caminho: Caminho, faults: Faults) -> None:
        self._caminho = caminho
        self._faults = faults
        self.begin = caminho.begin
        self.resume = caminho.resume

    async def cancel(self, pedido_id: int, ctx: Contexto) -> Desistencia:
        """Cancel, once the point lets the order pass."""
        await self._faults.at("P0", pedido_id)
        return await self._caminho.cancel(pedido_id, ctx)


def struck_call(call: Call, faults: Faults) -> Call:
    """The next service by way of P1, P2 and P3; look-ups pass."""

    async def struck(operacao: Operacao, ctx: Contexto, req: Any) -> Any:
        if operacao.classe == "consulta":
            return await call(operacao, ctx, req)
        return await faults.around(req.pedido_id, lambda: call(operacao, ctx, req))

    return struck


def struck_method(method: Method, operacao: Operacao, faults: Faults) -> Method:
    """An operation with P5 behind it: what is answered is durable, and nobody was told."""
    if operacao.classe == "consulta":
        return method

    async def struck(ctx: Contexto, req: Any) -> Mensagem:
        answer = await method(ctx, req)
        ended = not isinstance(answer, PedidoResponse) or answer.status in TERMINAIS
        if ended and isinstance(answer, PedidoResponse | AndamentoResponse):
            await faults.at("P5", answer.pedido_id)
        return answer

    return struck
