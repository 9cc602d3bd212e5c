"""A method behind a breaker, without a client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from common.contratos import OPERACOES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from common.servicos.protocolo.contexto import Contexto
    from common.serving.circuit_breaker import CircuitBreaker


def guarded(
    breaker: CircuitBreaker, method: Callable[[Contexto, Any], Awaitable[Any]]
) -> Callable[[Contexto, Any], Awaitable[Any]]:
    """The method, called through the breaker."""

    async def call(_operacao: Any, ctx: Contexto, req: Any) -> Any:
        return await method(ctx, req)

    return lambda ctx, req: breaker.guard(call, OPERACOES[0], ctx, req)
