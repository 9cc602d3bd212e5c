"""A server that answers every order at once with the same shipped order: only the client costs.

`python -m loadgen.testbed.trivial grpc|http [--stall S --stall-at S]` serves it on a free port of loopback
until standard input ends. With --stall it stands still once, some seconds after the first order.
Where a library would cost more than the client that is measured, it does without.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final

import msgspec

from common import contratos as c
from common.option_types import seconds
from common.servicos.protocolo.record import Hop, Wait, encode, server_timing
from common.serving.pipeline import HEADER_RECORD, HEADER_TIMING
from loadgen.testbed.bare import serve

PROTOCOLS: Final = ("grpc", "http")
BACKLOG: Final = 16_384
# The records that the chain would send along, so that clients have as much to read.
_HOPS: Final = tuple(
    Hop(name, 1_000_000, 9_000, (Wait("b", 100, 2_000), Wait("p", 2_200, 6_000)), commit=1_000)
    for name in c.SERVICOS[:5]
)
TIMING: Final = server_timing(_HOPS)
RECORD: Final = ",".join(encode(hop) for hop in _HOPS)
ANSWER: Final = c.PedidoResponse(
    1, "enviado", None, 1_990,
    c.ResumoPagamento("aprovado", "pix"),
    c.ResumoNotaFiscal("NF000000001", "0" * 44),
    c.ResumoEnvio("BR000000001PY", "enviado"),
)  # fmt: skip


class Stall:
    """Stands still once, some time after the first order; `length_s` 0 for never."""

    def __init__(self, at_s: float, length_s: float) -> None:
        self._at_s = at_s
        self._length_s = length_s
        self._begun = False

    def order(self) -> None:
        """An order came."""
        if self._begun or not self._length_s:
            return
        self._begun = True
        # Sleeping in the loop's own thread is what standing still means.
        asyncio.get_running_loop().call_later(self._at_s, time.sleep, self._length_s)


async def serve_grpc(stall: Stall, closing: AsyncExitStack) -> int:
    """Answer with bytes that were encoded once; returns the port."""
    import grpc.aio

    from wire.grpc.codec import CODECS

    answer = CODECS[c.PedidoResponse].serialize(ANSWER)

    async def create(request: bytes, context: Any) -> bytes:
        stall.order()
        context.set_trailing_metadata(((HEADER_TIMING, TIMING), (HEADER_RECORD, RECORD)))
        return answer

    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    closing.push_async_callback(server.stop, None)
    # Without serializers a method takes and gives bytes.
    method = grpc.unary_unary_rpc_method_handler(create)
    service = grpc.method_handlers_generic_handler("ecommerce.v1.Pedidos", {"CriarPedido": method})
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return port


class Http(asyncio.Protocol):
    """HTTP/1.1 as far as a client of one method needs it: bodies with a length, one after another."""

    def __init__(self, answer: bytes, stall: Stall) -> None:
        self._answer = answer
        self._stall = stall
        self._received = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Part of a request, or all of it, has come."""
        self._received += data
        while (head := self._received.find(b"\r\n\r\n")) >= 0:
            end = head + 4 + _length(self._received[:head])
            if len(self._received) < end:
                return
            self._received = self._received[end:]
            self._stall.order()
            self._transport.write(self._answer)


def _length(head: bytes) -> int:
    """The length of the body that a head announces."""
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


async def serve_http(stall: Stall, closing: AsyncExitStack) -> int:
    """Answer with bytes that were written once; returns the port."""
    body = msgspec.json.encode(ANSWER)
    head = (
        "HTTP/1.1 201 Created\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n{HEADER_TIMING}: {TIMING}\r\n"
        f"{HEADER_RECORD}: {RECORD}\r\n\r\n"
    )
    answer = head.encode() + body
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Http(answer, stall), "127.0.0.1", 0, backlog=BACKLOG)
    closing.callback(server.close)
    port: int = server.sockets[0].getsockname()[1]
    return port


SERVE: Final = {"grpc": serve_grpc, "http": serve_http}


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description="Answer every order at once, on loopback.")
    parser.add_argument("protocol", choices=PROTOCOLS)
    parser.add_argument("--stall", type=seconds, default=0.0, help="seconds to stand still, once")
    parser.add_argument(
        "--stall-at", type=seconds, default=1.0, help="seconds after the first order"
    )
    args = parser.parse_args()
    serve(partial(SERVE[args.protocol], Stall(args.stall_at, args.stall)))


if __name__ == "__main__":
    main()
