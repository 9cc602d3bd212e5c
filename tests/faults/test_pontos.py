"""Failpoints lie where they say: what is held of an order when it stands at each of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from common.erros import Categoria, indisponivel
from common.faults.failpoints import POINTS
from loadgen.chaos.matrix import cells
from tests.support.chain import CHAIN, FORWARD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.conftest import OpenCluster
    from tests.support.cluster import Cluster, Situation

pytestmark = pytest.mark.asyncio(loop_scope="module")

DONE = {
    "pagamentos": "aprovado", "estoque": "separado", "fiscal": "emitida", "logistica": "enviado",
}  # fmt: skip
UNDONE = {"pagamentos": "estornado", "estoque": "devolvido", "fiscal": "cancelada"}


class Witness:
    """The port `Faults` of one service: writes down what is held, or fails at one point."""

    def __init__(self, cluster: Cluster, servico: str, seen: list[Any], fail_at: str = "") -> None:
        self._cluster = cluster
        self._servico = servico
        self._seen = seen
        self._fail_at = fail_at

    async def at(self, point: str, pedido_id: int) -> None:
        """See Faults."""
        self._seen.append((self._servico, point, self._cluster.situation(pedido_id)))
        if point == self._fail_at:
            self._fail_at = ""
            raise indisponivel("aqui")


def _watch(cluster: Cluster, **fail_at: str) -> list[tuple[str, str, Situation]]:
    """What orders leave at the points that they come to from now on, in order."""
    seen: list[tuple[str, str, Situation]] = []
    for servico in CHAIN:
        witness = Witness(cluster, servico, seen, fail_at.get(servico, ""))
        cluster.faults[servico].target = witness
    return seen


async def test_o_caminho_de_ida(open_fresh: OpenCluster) -> None:
    """At P0 there is no trace but at the gateway; from P1 on the row is there."""
    async with open_fresh(faults=True) as cluster:
        seen = _watch(cluster)
        await cluster.create()
        # Service, point, status of the order, charged, steps that are done.
        way = [("pedidos", "P0", None, False, 0), ("pedidos", "P1", "pendente", False, 0)]
        way += [("pagamentos", "gateway", "pendente", False, 0)]
        for number, servico in enumerate(CHAIN[1:-1]):
            way += [(servico, "P0", "pendente", True, number)]
            way += [(servico, "P1", "pendente", True, number + 1)]
        way += [("logistica", "P0", "pendente", True, 3), ("logistica", "P5", "pendente", True, 4)]
        for servico in CHAIN[-2:0:-1]:
            way += [(servico, point, "pendente", True, 4) for point in ("P3", "P5")]
        way += [("pedidos", point, "pendente", True, 4) for point in ("P3", "P4")]
        way += [("pedidos", "P5", "enviado", True, 4)]
        assert [
            (servico, point, held.status, held.cobrado > 0, len(held.passos))
            for servico, point, held in seen
        ] == way
        assert seen[-1][2].passos == DONE


async def test_o_caminho_do_cancelamento(open_fresh: OpenCluster) -> None:
    """P0 and P1 of Pedidos lie before and after `cancelando`; every P4 and P5 round an undoing."""
    async with open_fresh(faults=True) as cluster:
        gate = cluster.link("logistica").hold("before", FORWARD["logistica"])
        creating = asyncio.create_task(cluster.create())
        await gate.reached()
        seen = _watch(cluster)
        await cluster.cancel(cluster.last())
        await creating
        passos = {nome: DONE[nome] for nome in CHAIN[1:-1]}
        way: list[tuple[str, str, str, bool, dict[str, str]]] = []

        def stands(servico: str, *points: str, status: str = "cancelando", paid: bool = True):
            way.extend((servico, point, status, paid, dict(passos)) for point in points)

        stands("pedidos", "P0", status="pendente")
        for servico in CHAIN[:-1]:
            stands(servico, "P1")
        stands("logistica", "P4")
        passos["logistica"] = "tombstone"
        stands("logistica", "P5")
        for servico in ("fiscal", "estoque"):
            stands(servico, "P3", "P4")
            passos[servico] = UNDONE[servico]
            stands(servico, "P5")
        stands("pagamentos", "P3", "gateway")
        stands("pagamentos", "P4", paid=False)
        passos["pagamentos"] = UNDONE["pagamentos"]
        stands("pagamentos", "P5", paid=False)
        stands("pedidos", "P3", "P4", paid=False)
        # Two wait for the end: who bought and who cancelled.
        stands("pedidos", "P5", "P5", status="cancelado", paid=False)
        assert [
            (servico, point, held.status, held.liquido > 0, held.passos)
            for servico, point, held in seen
        ] == way


def _points(seen: list[tuple[str, str, Situation]]) -> set[tuple[str, str]]:
    """The places of a way; P2 lies between P1 and P3."""
    points = {(servico, point) for servico, point, _ in seen}
    return points | {(servico, "P2") for servico, point in points if point == "P1"}


def _table(points: Mapping[str, tuple[str, ...]]) -> set[tuple[str, str]]:
    return {(servico, point) for servico in points for point in points[servico]}


async def test_cada_ponto_de_cada_servico_foi_visto(open_fresh: OpenCluster) -> None:
    """The matrix strikes at the points that an order comes to, and rules are taken for no others."""
    async with open_fresh(faults=True) as cluster:
        seen = _watch(cluster)
        await cluster.create()
        forward = _points(seen)
        assert forward == _table(cells.FORWARD)
        gate = cluster.link("logistica").hold("before", FORWARD["logistica"])
        creating = asyncio.create_task(cluster.create())
        await gate.reached()
        seen = _watch(cluster)
        await cluster.cancel(cluster.last())
        await creating
        cancelling = _points(seen)
        assert cancelling == _table(cells.CANCELLING)
        # Every service that an order comes to has units of work, and so `banco`.
        banco = {(servico, "banco") for servico in CHAIN}
        assert forward | cancelling | banco == _table(POINTS)


async def test_erro_depois_do_fim_nao_desfaz_nada(open_fresh: OpenCluster) -> None:
    """An error at P5 of Pedidos: the order has ended, and its caller was not told."""
    async with open_fresh(faults=True) as cluster:
        _watch(cluster, pedidos="P5")
        reply = await cluster.create(key="a")
        assert reply.category is Categoria.INDISPONIVEL
        cluster.check_shipped(cluster.last())
        assert (await cluster.create(key="a")).body["status"] == "enviado"
        gate = cluster.link("logistica").hold("before", FORWARD["logistica"])
        creating = asyncio.create_task(cluster.create(key="b", headers={"x-timeout-ms": "500"}))
        await gate.reached()
        assert (await creating).body["status"] == "pendente"
        _watch(cluster, pedidos="P5")
        assert (await cluster.cancel(cluster.last())).category is Categoria.INDISPONIVEL
        cluster.check_cancelled(cluster.last(), "solicitado")
        assert (await cluster.cancel(cluster.last())).body["status"] == "cancelado"
