"""The running arm: which client speaks to it. The only module that knows there is more than one."""

from __future__ import annotations

from typing import Any, Final, Protocol

from common import contratos as c
from common.servicos.protocolo.contexto import Contexto

LOOP_ARMS: Final = ("grpc", "http")
THREAD_ARMS: Final = ("grpc-threads", "http-threads")
ARMS: Final = (*LOOP_ARMS, *THREAD_ARMS)


class PedidosPort(Protocol):
    """What a checkout needs of Pedidos, in any arm. Every failure is an ErroServico."""

    async def criar_pedido(self, ctx: Contexto, req: c.CriarPedidoRequest) -> c.PedidoResponse:
        """Place an order."""

    async def consultar_pedido(
        self, ctx: Contexto, req: c.ConsultarPedidoRequest
    ) -> c.PedidoResponse:
        """Look it up."""


def dial(mode: str, servico: str, address: str, *, connections: int) -> Any:
    """A client of one service of the arm that runs; call inside a running loop.

    `connections` bounds how many calls may be on the wire at once, where the protocol needs one
    connection a call. Its `close()` is awaited at the end. Raises ValueError for an unknown mode.
    """
    # The control arm on threads is served to the same clients: only the servers differ.
    protocol = mode.partition("-")[0]
    # An arm's packages are loaded only where that arm is spoken.
    if protocol == "grpc":
        from grpc_aio.client import dial as dial_grpc

        return dial_grpc(servico, address, connections=connections)
    if protocol == "http":
        from http_aio.client import dial as dial_http

        return dial_http(servico, address, connections=connections)
    msg = f"unknown mode {mode!r}, expected one of {', '.join(ARMS)}"
    raise ValueError(msg)
