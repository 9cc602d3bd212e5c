"""Orders that are left open, or stand at a hop, for the tests of what becomes of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.support.chain import FORWARD

if TYPE_CHECKING:
    from tests.support.cluster import Cluster


def policy(cluster: Cluster, **changes) -> None:
    """Change how Pedidos recovers."""
    condutor = cluster.condutor
    for owner in (condutor, condutor._recuperacao):
        owner._politica = owner._politica._replace(**changes)


async def left_open(cluster: Cluster, number: int) -> list[int]:
    """Orders that nobody drives, each under its place as a key."""
    link = cluster.link("pagamentos")
    link.cut()
    replies = [await cluster.create(key=str(n)) for n in range(number)]
    assert {reply.body["status"] for reply in replies} == {"pendente"}
    await cluster.idle()
    link.heal()
    link.calls.clear()
    return [reply.body["pedido_id"] for reply in replies]


async def stuck(cluster: Cluster, servico: str, point: str) -> tuple[int, asyncio.Task]:
    """An order whose drive stands at a gate; its client still waits."""
    gate = cluster.link(servico).hold(point, FORWARD[servico])
    creating = asyncio.create_task(cluster.create(key="a"))
    await gate.reached()
    return cluster.last(), creating
