"""Stock under any order of events: never negative, never lost, never made."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.servicos import catalogo
from tests.support.chain import FORWARD

if TYPE_CHECKING:
    from tests.conftest import OpenCluster
    from tests.support.cluster import Cluster

pytestmark = pytest.mark.asyncio(loop_scope="module")

STOCK = 4
HOPS = tuple(FORWARD)

ORDERS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=3,
                 unique_by=lambda item: item[0]),
        st.booleans(),
    ),
    min_size=1, max_size=6,
)  # fmt: skip
FAULTS = st.lists(
    st.tuples(st.sampled_from(HOPS), st.sampled_from(["cut", "lose_reply"]), st.integers(1, 4)),
    max_size=3,
)


async def test_muitos_querem_poucas_unidades(open_fresh: OpenCluster) -> None:
    """Thirty orders at once for ten units: ten are shipped, twenty told that there is none."""
    async with open_fresh(stock=10) as cluster:
        replies = await asyncio.gather(*(cluster.create((1, 1)) for _ in range(30)))
        motives = [reply.body["motivo"] for reply in replies]
        assert motives.count(None) == 10
        assert motives.count("estoque_insuficiente") == 20
        assert cluster.stock(1) == 0
        for reply in replies:
            if reply.body["status"] == "enviado":
                cluster.check_shipped(reply.body["pedido_id"])
            else:
                cluster.check_cancelled(reply.body["pedido_id"], "estoque_insuficiente")
        cluster.check_books()


async def test_o_estoque_fecha_em_qualquer_ordem(open_fresh: OpenCluster) -> None:
    """Orders, cancellings and cuts in any interleaving leave every unit accounted for."""
    async with open_fresh(stock=STOCK) as cluster:

        @settings(
            max_examples=12,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(orders=ORDERS, faults=FAULTS)
        def explore(orders: list, faults: list) -> None:
            examples.append((orders, faults))

        examples: list = []
        explore()
        for orders, faults in examples:
            await _interleave(cluster, orders, faults)


async def _interleave(cluster: Cluster, orders: list, faults: list) -> None:
    for servico, fault, times in faults:
        getattr(cluster.link(servico), fault)(times=times)
    first = cluster.last() + 1

    async def order(itens: list, cancelled: bool) -> None:
        creating = asyncio.create_task(cluster.create(*itens))
        if cancelled:
            await cluster.cancel(cluster.last())
        await creating

    await asyncio.gather(*(order(itens, cancelled) for itens, cancelled in orders))
    for link in cluster.links.values():
        link.heal()
    for pedido_id in range(first, cluster.last() + 1):
        end = await cluster.end_of(pedido_id)
        if end["status"] == "enviado":
            units = cluster.value(
                "pedidos", "SELECT sum(quantidade) FROM itens_pedido WHERE pedido_id = ?", pedido_id
            )
            cluster.check_shipped(pedido_id, units=units)
        else:
            cluster.check_cancelled(pedido_id, end["motivo"])
    cluster.check_books()


async def test_a_lista_nao_aceita_uma_busca_antiga(
    open_fresh: OpenCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who joins a look-up that began too long ago is answered from the next one."""
    monkeypatch.setattr(catalogo, "IDADE_SALDOS_MAX_S", 0.05)
    async with open_fresh(stock=10) as cluster:
        link = cluster.links["catalogo", "estoque"]
        gate = link.hold("after", "listar_estoque", times=1)
        first = asyncio.create_task(cluster.edge.call("listar_produtos", {}))
        await gate.reached()
        await cluster.create((1, 1))
        joined = asyncio.create_task(cluster.edge.call("listar_produtos", {}))
        await asyncio.sleep(0.2)
        assert link.count("listar_estoque") == 1
        gate.open()
        quantities = []
        for task in (first, joined):
            products = (await task).body
            quantities += [product["estoque"] for product in products if product["id"] == 1]
        # The first may already find the newer one: no older than it asked for.
        assert quantities[0] in {9, 10}
        assert quantities[1] == 9
        assert link.count("listar_estoque") == 2
