"""The running arm: which client speaks to it. The only module that knows there is more than one."""

from __future__ import annotations

from typing import Final

from common.runtime.site import Client
from common.servicos.protocolo.vizinhos import VizinhoCatalogo, VizinhoPedidos

LOOP_ARMS: Final = ("grpc", "http")
THREAD_ARMS: Final = ("grpc-threads", "http-threads")
ARMS: Final = (*LOOP_ARMS, *THREAD_ARMS)


class Pedidos(VizinhoPedidos):
    """Pedidos, and the connections to it."""

    def __init__(self, client: Client) -> None:
        super().__init__(client.call)
        self.close = client.close


class Catalogo(VizinhoCatalogo):
    """Catalogo, and the connections to it."""

    def __init__(self, client: Client) -> None:
        super().__init__(client.call)
        self.close = client.close


def dial_pedidos(mode: str, address: str, *, connections: int) -> Pedidos:
    """Pedidos of the arm that runs; see `dial`."""
    return Pedidos(dial(mode, "pedidos", address, connections=connections))


def dial_catalogo(mode: str, address: str, *, connections: int) -> Catalogo:
    """Catalogo of the arm that runs; see `dial`."""
    return Catalogo(dial(mode, "catalogo", address, connections=connections))


def dial(mode: str, servico: str, address: str, *, connections: int) -> Client:
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
