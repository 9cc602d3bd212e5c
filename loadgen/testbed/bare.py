"""The process around a bare server: its options, its loop and its end.

Nothing here runs per order. uvloop is used where the real arm would use it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import msgspec
from msgspec import Struct

from common.option_types import latency_range
from common.runtime.lifecycle import calm_collector, raise_open_files, runner

# In the order of the chain.
CHAIN: Final = ("pedidos", "pagamentos", "estoque", "fiscal", "logistica")

# Serves on a free port of loopback, which it returns; the stack closes what it opened.
Listen = Callable[[AsyncExitStack], Awaitable[int]]


class Hop(Struct, frozen=True):
    """One hop: its name, the next one's address, and the payment's wait in seconds."""

    name: str
    next_address: str
    payment_wait: tuple[float, float]


def serve_hop(listen: Callable[[Hop, AsyncExitStack], Awaitable[int]]) -> None:
    """Serve the hop that the command line names until standard input ends."""
    parser = argparse.ArgumentParser(description="Serve one hop of a bare chain, on loopback.")
    parser.add_argument("hop", choices=CHAIN)
    parser.add_argument("--next", default="", metavar="HOST:PORT", help="the next hop")
    parser.add_argument(
        "--payment-wait", type=latency_range, default=(0.0, 0.0), metavar="MIN:MAX",
        help="seconds that the pagamentos hop waits",
    )  # fmt: skip
    args = parser.parse_args()
    serve(partial(listen, Hop(args.hop, args.next, args.payment_wait)))


def serve(listen: Listen) -> None:
    """Print the address and serve until standard input ends."""
    raise_open_files()
    with runner() as loop:
        loop.run(_serve(listen))


async def _serve(listen: Listen) -> None:
    async with AsyncExitStack() as closing:
        port = await listen(closing)
        # As the real services do: between the two only the work may differ.
        calm_collector()
        print(msgspec.json.encode({"address": f"127.0.0.1:{port}"}).decode(), flush=True)
        await asyncio.to_thread(sys.stdin.read)
