"""An effect looks first whether its caller is still there: for somebody who left nothing is begun."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from common.telemetry.logs import current
from tests.support.chain import CHAIN, FORWARD, step
from tests.support.links import Gate

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from common.servicos.protocolo.contexto import Contexto
    from common.servicos.protocolo.portas import Place
    from tests.conftest import OpenCluster
    from tests.support.cluster import Cluster
    from tests.support.edges import Reply

pytestmark = pytest.mark.asyncio(loop_scope="module")

ORDER = 700_000


class Holding:
    """Holds a call at one place until its caller has gone: the ports `Faults` and `Admission`."""

    def __init__(self, place: str, inner: Any = None) -> None:
        self.gate = Gate()
        self._place = place
        self._inner = inner
        self._ctx: Contexto | None = None

    async def at(self, point: str, _pedido_id: int) -> None:
        """See Faults."""
        if point == self._place:
            self._ctx = current.get()
            await self.gate.hold()

    def free(self) -> bool:
        """See Admission."""
        return self._inner.free()

    async def take(self, ctx: Contexto) -> Place:
        """See Admission."""
        self._ctx = ctx
        await self.gate.hold()
        return await self._inner.take(ctx)

    async def left_by(self, call: Coroutine[Any, Any, Reply]) -> None:
        """Have a call come here, its caller hang up, and the call go on once that is known."""
        task = asyncio.create_task(call)
        await self.gate.reached()
        task.cancel()
        await asyncio.wait([task])
        assert self._ctx is not None
        async with asyncio.timeout(10):
            # grpc.aio ends the call itself, wherever it waits.
            while self.gate.waiting and not (self._ctx.ausente and self._ctx.ausente()):
                await asyncio.sleep(0.002)
        self.gate.open()


@pytest.mark.parametrize(
    ("servico", "place"), [("pagamentos", "gateway"), *((servico, "P0") for servico in CHAIN[1:])]
)
async def test_nenhum_passo_para_quem_ja_foi(
    open_fresh: OpenCluster, servico: str, place: str
) -> None:
    """A step whose caller has gone charges nothing, writes nothing and calls nobody."""
    async with open_fresh(faults=True) as cluster:
        held = cluster.faults[servico].target = Holding(place)
        await held.left_by(cluster.edge.call(FORWARD[servico], step(servico, ORDER)))
        await cluster.quiet()
        situation = cluster.situation(ORDER)
        assert situation.passos == {}
        # What was charged before the caller left is found again under its key.
        assert (situation.cobrado > 0) is ((servico, place) == ("pagamentos", "P0"))


async def test_nenhum_pedido_para_quem_ja_foi(open_fresh: OpenCluster) -> None:
    """An order whose customer left while it waited for its place is not claimed; the place is free."""
    async with open_fresh(active_max=1) as cluster:
        service = cluster.apps["pedidos"].service
        slots = service._admission
        held = service._admission = Holding("", slots)
        await held.left_by(cluster.create())
        await cluster.quiet()
        assert cluster.orders() == 0
        service._admission = slots
        assert (await cluster.create()).body["status"] == "enviado"


async def test_nenhum_cancelamento_para_quem_ja_foi(open_fresh: OpenCluster) -> None:
    """A cancelling call whose caller has gone does not flip the order."""
    async with open_fresh(faults=True) as cluster:
        pedido_id = await _open_order(cluster)
        held = cluster.faults["pedidos"].target = Holding("P0")
        await held.left_by(cluster.cancel(pedido_id))
        await cluster.quiet()
        assert (await cluster.look(pedido_id))["status"] == "pendente"
        cluster.faults["pedidos"].target = None
        cluster.link("estoque").heal()
        assert (await cluster.end_of(pedido_id))["status"] == "enviado"


async def _open_order(cluster: Cluster) -> int:
    cluster.link("estoque").cut()
    pedido_id = (await cluster.create()).body["pedido_id"]
    await cluster.idle()
    return int(pedido_id)
