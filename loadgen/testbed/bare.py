"""What a hop of a bare chain needs to be a process: its options, its loop and its end.

Nothing here runs per order. uvloop is used where the real arm would use it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from common.runtime.lifecycle import calm_collector, raise_open_files, runner
from common.settings import latency_range

# In the order of the chain.
CHAIN: Final = ("pedidos", "pagamentos", "estoque", "fiscal", "logistica")


class Hop:
    """One hop: its name, the next one's address, and the payment's wait in seconds.

    `closing` is awaited at the end, in order.
    """

    def __init__(self, name: str, next_address: str, payment_wait: tuple[float, float]) -> None:
        self.name = name
        self.next_address = next_address
        self.payment_wait = payment_wait
        self.closing: list[Callable[[], Awaitable[Any]]] = []


def serve_hop(listen: Callable[[Hop], Awaitable[int]]) -> None:
    """Serve the hop that the command line names until standard input ends."""
    parser = argparse.ArgumentParser(description="Serve one hop of a bare chain, on loopback.")
    parser.add_argument("hop", choices=CHAIN)
    parser.add_argument("--next", default="", metavar="HOST:PORT", help="the next hop")
    parser.add_argument(
        "--payment-wait", type=latency_range, default=(0.0, 0.0), metavar="MIN:MAX",
        help="seconds that the pagamentos hop waits",
    )  # fmt: skip
    args = parser.parse_args()
    raise_open_files()
    with runner() as loop:
        loop.run(_serve(Hop(args.hop, args.next, args.payment_wait), listen))


async def _serve(hop: Hop, listen: Callable[[Hop], Awaitable[int]]) -> None:
    port = await listen(hop)
    # As the real services do: between the two only the work may differ.
    calm_collector()
    print(msgspec.json.encode({"address": f"127.0.0.1:{port}"}).decode(), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for close in hop.closing:
        await close()
