"""A client that only sends and waits: what an order costs a client that records nothing.

`python -m loadgen.testbed.bare_client grpc|http ADDRESS --concurrency N --seconds S` runs N callers in a
closed loop with the plain library, prints how many orders, seconds and seconds of processor time
they took as JSON, and ends. It sends what the generator sends, an order with its key and its
deadline, and holds the answer, parsed; it reads no clock, keeps no history and has no figures.

Nothing that a plain client could leave out handicaps it: requests are bytes that were made before,
sessions carry no cookies and no needless headers, and answers are parsed as the generator does it.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from common.contratos import CriarPedidoRequest, PedidoResponse
from common.option_types import positive, seconds
from common.runtime.lifecycle import calm_collector, raise_open_files, runner
from loadgen.testbed.chains import LOJA_PADRAO
from loadgen.testbed.trivial import PROTOCOLS
from loadgen.workload.plan import Plan
from loadgen.workload.targets import Basket, baskets

# Baskets that are sent in turn: those of the generator.
SEED: Final = 42
TIMEOUT_MS: Final = "60000"


class Spent(msgspec.Struct, frozen=True):
    """What a client did, and what it used."""

    orders: int
    seconds: float
    cpu_s: float


Buy = Callable[[int], Awaitable[Any]]
Close = Callable[[], Awaitable[Any]]


async def grpc_client(address: str, callers: int, prepared: list[Basket]) -> tuple[Buy, Close]:
    """The plain method, bytes that were made before, answers as protobuf messages."""
    import grpc.aio

    from proto import pedidos_pb2
    from wire.grpc.codec import CODECS

    serialize = CODECS[CriarPedidoRequest].serialize
    requests = [serialize(basket.request) for basket in prepared]
    # Its types ask for a serializer, which bytes do not need.
    channel: Any = grpc.aio.insecure_channel(address)
    create = channel.unary_unary(
        "/ecommerce.v1.Pedidos/CriarPedido",
        response_deserializer=pedidos_pb2.PedidoResponse.FromString,
    )

    async def buy(number: int) -> Any:
        marks = (("idempotency-key", f"bare-{number}"), ("x-timeout-ms", TIMEOUT_MS))
        return await create(requests[number % len(requests)], metadata=marks)

    return buy, lambda: channel.close(None)


async def http_client(address: str, callers: int, prepared: list[Basket]) -> tuple[Buy, Close]:
    """A session, bytes that were made before, answers as the contract's messages."""
    from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
    from yarl import URL

    bodies = [bytes(basket.json) for basket in prepared]
    decode = msgspec.json.Decoder(PedidoResponse).decode
    url = URL(f"http://{address}/pedidos")
    session = ClientSession(
        connector=TCPConnector(limit=callers),
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=None),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
    )

    async def buy(number: int) -> Any:
        marks = {
            "Content-Type": "application/json",
            "Idempotency-Key": f"bare-{number}",
            "X-Timeout-Ms": TIMEOUT_MS,
        }
        body = bodies[number % len(bodies)]
        async with session.post(url, data=body, headers=marks) as response:
            return decode(await response.read())

    return buy, session.close


CLIENTS: Final = {"grpc": grpc_client, "http": http_client}


async def run(protocol: str, address: str, callers: int, length_s: float) -> Spent:
    """Buy as fast as the answers come, for so long."""
    plan = Plan(
        mode=protocol, address=address, population=LOJA_PADRAO, run_id="", concurrency=1, seed=SEED
    )
    buy, close = await CLIENTS[protocol](address, callers, baskets(plan))
    numbers = iter(range(2**62))
    done = 0
    stopping = asyncio.Event()

    async def call() -> None:
        nonlocal done
        while not stopping.is_set():
            await buy(next(numbers))
            done += 1

    calm_collector()
    begin, cpu_before = time.monotonic(), time.process_time()
    asyncio.get_running_loop().call_later(length_s, stopping.set)
    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(call())
    spent = Spent(done, time.monotonic() - begin, time.process_time() - cpu_before)
    await close()
    return spent


def main() -> None:
    """Run the client that the command line names."""
    parser = argparse.ArgumentParser(description="Send orders and record nothing.")
    parser.add_argument("protocol", choices=PROTOCOLS)
    parser.add_argument("address", metavar="HOST:PORT")
    parser.add_argument("--concurrency", type=positive, required=True, metavar="N")
    parser.add_argument("--seconds", type=seconds, required=True, metavar="S")
    args = parser.parse_args()
    raise_open_files()
    with runner() as loop:
        spent = loop.run(run(args.protocol, args.address, args.concurrency, args.seconds))
    print(msgspec.json.encode(spent).decode())


if __name__ == "__main__":
    main()
