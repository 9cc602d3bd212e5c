"""The running arm: which client speaks to it."""

from __future__ import annotations

from common.arms import ARMS, MODES
from common.runtime.site import Client
from common.servicos.protocolo.vizinhos import VizinhoCatalogo, VizinhoPedidos


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
    arm = ARMS.get(mode)
    if arm is None:
        msg = f"unknown mode {mode!r}, expected one of {', '.join(MODES)}"
        raise ValueError(msg)
    # An arm's packages are loaded only where that arm is spoken. The control arm on threads has the
    # same clients: only its servers differ.
    if arm.protocol == "grpc":
        from grpc_aio.client import dial as dial_grpc

        return dial_grpc(servico, address, connections=connections)
    from http_aio.client import dial as dial_http

    return dial_http(servico, address, connections=connections)
