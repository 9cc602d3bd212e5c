"""Health: what a supervisor, a balancer and a curious caller may ask."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from common.contratos import SERVICOS
from common.erros import ENCERRANDO, Categoria
from tests.support.cluster import Cluster, open_cluster
from wire.grpc.codec import nome_do_servico

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_grpc_diz_que_serve_e_o_que_serve(shop: Path, tmp_path: Path) -> None:
    """The standard health service and reflection answer for every service."""
    async with open_cluster("grpc", tmp_path, shop) as cluster:
        for servico in SERVICOS:
            channel = cluster.edge.channel(servico)
            health = health_pb2_grpc.HealthStub(channel)
            for name in ("", nome_do_servico(servico)):
                request = health_pb2.HealthCheckRequest(service=name)
                assert (await health.Check(request)).status == SERVING
            assert nome_do_servico(servico) in await _reflected(channel)


async def _reflected(channel: grpc.aio.Channel) -> list[str]:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = stub.ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    answer = await call.read()
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    return [service.name for service in answer.list_services_response.service]


async def test_grpc_diz_que_para_enquanto_para(shop: Path, tmp_path: Path) -> None:
    """A stopping server says NOT_SERVING to whoever watches, before it is gone."""
    async with open_cluster("grpc", tmp_path, shop) as cluster:
        stub = health_pb2_grpc.HealthStub(cluster.edge.channel("pedidos"))
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=""))
        assert (await watch.read()).status == SERVING
        stopping = asyncio.create_task(cluster.stop("pedidos"))
        assert (await watch.read()).status == NOT_SERVING
        watch.cancel()
        await stopping


async def test_http_diz_que_vive_e_que_esta_pronto(shop: Path, tmp_path: Path) -> None:
    """Every service answers at healthz, readyz and openapi.json."""
    async with open_cluster("http", tmp_path, shop) as cluster:
        for servico in SERVICOS:
            for path, key in (
                ("/healthz", "status"), ("/readyz", "status"), ("/openapi.json", "openapi"),
            ):  # fmt: skip
                async with cluster.edge.session.get(cluster.edge.url(servico, path)) as response:
                    assert response.status == 200
                    assert key in await response.json()


async def test_http_nao_esta_pronto_enquanto_para(shop: Path, tmp_path: Path) -> None:
    """A stopping server is alive but not ready; the order under way still ends."""
    async with (
        open_cluster("http", tmp_path, shop) as cluster,
        aiohttp.ClientSession() as kept,
    ):
        gate = cluster.gateway.hold("before")
        creating = asyncio.create_task(cluster.create())
        await gate.reached()
        assert await _status(kept, cluster, "/readyz") == 200
        stopping = asyncio.create_task(cluster.stop("pedidos"))
        # The connection that was open stays: new ones are no longer taken.
        while await _status(kept, cluster, "/readyz") == 200:
            await asyncio.sleep(0)
        assert await _status(kept, cluster, "/readyz") == 503
        assert await _status(kept, cluster, "/healthz") == 200
        gate.open()
        assert (await creating).body["status"] == "enviado"
        await stopping


async def _status(session: aiohttp.ClientSession, cluster: Cluster, path: str) -> int:
    async with session.get(cluster.edge.url("pedidos", path)) as response:
        await response.read()
        return response.status


async def test_parar_deixa_terminar_o_que_anda(arm: str, shop: Path, tmp_path: Path) -> None:
    """An orderly stop lets the order under way end and its client have the answer."""
    async with open_cluster(arm, tmp_path, shop) as cluster:
        gate = cluster.gateway.hold("before")
        creating = asyncio.create_task(cluster.create())
        await gate.reached()
        stopping = asyncio.create_task(cluster.stop("pedidos"))
        await asyncio.sleep(0.02)
        gate.open()
        assert (await creating).body["status"] == "enviado"
        await stopping
        cluster.check_shipped(cluster.last())


async def test_parar_serve_tambem_quem_espera_a_vez(arm: str, shop: Path, tmp_path: Path) -> None:
    """An order that waits for a place when the stop begins still gets it, and its answer."""
    async with open_cluster(arm, tmp_path, shop, active_max=1) as cluster:
        gate = cluster.gateway.hold("before")
        tasks = [asyncio.create_task(cluster.create(key=str(n))) for n in range(3)]
        await gate.reached()
        while cluster.apps["pedidos"].slots.waiting < 2:
            await asyncio.sleep(0.002)
        stopping = asyncio.create_task(cluster.stop("pedidos"))
        while not cluster.apps["pedidos"].in_flight.fechado:
            await asyncio.sleep(0.002)
        gate.open()
        assert [(await task).body["status"] for task in tasks] == ["enviado"] * 3
        await stopping


async def test_parar_responde_a_quem_ainda_espera(arm: str, shop: Path, tmp_path: Path) -> None:
    """What does not end in time is answered as it stands, or refused in words with no effect."""
    async with open_cluster(arm, tmp_path, shop, active_max=1) as cluster:
        gate = cluster.gateway.hold("before")
        driven = asyncio.create_task(cluster.create(key="a"))
        await gate.reached()
        waiting = asyncio.create_task(cluster.create(key="b"))
        while cluster.apps["pedidos"].slots.waiting < 1:
            await asyncio.sleep(0.002)
        await cluster.stop("pedidos")
        reply = await driven
        assert reply.body["status"] == "pendente"
        refused = await waiting
        assert refused.category is Categoria.INDISPONIVEL
        assert ENCERRANDO in str(refused.body)
        gate.open()
        await cluster.start("pedidos")
        assert (await cluster.end_of(reply.body["pedido_id"]))["status"] == "enviado"
        assert cluster.orders() == 1
