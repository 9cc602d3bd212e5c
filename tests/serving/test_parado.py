"""A service that stood still: what lay in its sockets meanwhile has aged there."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from common.erros import Categoria
from common.serving.standstill import BEAT_S, READING_S, STOOD_STILL_S, Standstill
from tests.support.chain import FORWARD, basket, step
from tests.support.edges import OPERATIONS, deadline_header
from tests.support.http2_cru import Chamada
from tests.support.processes import Process
from wire.grpc.codec import caminho, protobuf_type

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tests.conftest import OpenCluster
    from tests.support.cluster import Cluster
    from tests.support.edges import Reply


# Seconds that the services are stopped, and that a call in their sockets leaves them.
STOPPED_S = 1.2
PATIENCE_S = 0.5
IN_TIME = {"x-timeout-ms": str(round(PATIENCE_S * 1e3))}
LONG = {"x-timeout-ms": "20000"}


@pytest.mark.asyncio(loop_scope="module")
async def test_o_que_esperou_por_um_processo_parado_envelheceu(open_fresh: OpenCluster) -> None:
    """What came to a stopped process is refused without effect: too late, or its caller gone."""
    async with open_fresh() as cluster, AsyncExitStack() as stack:
        stopped = {}
        for servico in ("logistica", "pedidos"):
            await cluster.stop(servico)
            stopped[servico] = await Process.start(cluster, servico)
            stack.push_async_callback(stopped[servico].kill)
        # Connections are made, prices known: nothing is left to wait for before the claim.
        await cluster.create()
        await _step(cluster, 1, {})
        bare = await _bare(cluster)
        for process in stopped.values():
            process.stop()
        late = [
            _later(cluster.create(headers=IN_TIME)),
            _later(_step(cluster, 2, IN_TIME)),
            _later(_step(cluster, 3, LONG | deadline_header(PATIENCE_S))),
            _later(_step(cluster, 4, IN_TIME | deadline_header(60.0, clock="outra-maquina"))),
        ]
        gone = [_later(cluster.create(headers=LONG)), _later(_step(cluster, 5, LONG))]
        waiting = _later(_step(cluster, 6, LONG))
        if bare is not None:
            bare.pedir(*_order(), timeout_ms=round(PATIENCE_S * 1e3))
        await asyncio.sleep(STOPPED_S)
        for task in gone:
            task.cancel()
        await asyncio.wait(gone)
        for process in stopped.values():
            process.go_on()
        for task in late:
            assert (await task).category is Categoria.PRAZO
        if bare is not None:
            await bare.fim()
        assert (await waiting).category is None
        # Read behind those whose callers had gone, so that they have had their turn.
        assert (await cluster.create()).body["status"] == "enviado"
        assert cluster.orders() == 2
        held = cluster.rows("logistica", "SELECT pedido_id FROM passos WHERE pedido_id > 700000")
        assert held == [(700_001,), (700_006,)]


def _later(call: Coroutine[Any, Any, Reply]) -> asyncio.Task[Reply]:
    return asyncio.create_task(call)


def _step(cluster: Cluster, number: int, headers: dict[str, str]) -> Coroutine[Any, Any, Reply]:
    body = step("logistica", 700_000 + number)
    return cluster.edge.call(FORWARD["logistica"], body, headers=headers)


def _order() -> tuple[str, bytes]:
    row = OPERATIONS["criar_pedido"]
    return caminho(row), protobuf_type(row.requisicao)(**basket()).SerializeToString()


async def _bare(cluster: Cluster) -> Chamada | None:
    """A connection to Pedidos for a call with gRPC's own deadline, where gRPC is spoken."""
    if "grpc" not in cluster.arm.module:
        return None
    return await Chamada.ligar(cluster.addresses["pedidos"])


def test_uma_batida_atrasada_e_uma_parada() -> None:
    """A call that is read in the moment after a gap counts from its beginning, any other from now."""
    standstill = Standstill(10.0)
    now = 10.0
    for _ in range(20):
        now += STOOD_STILL_S
        assert standstill.since(now) == now
        standstill.beat(now)
    stopped, now = now, now + 3.0
    assert standstill.since(now) == stopped
    # Also when the beat comes before the call, or the call was taken in before the gap.
    ended = now
    while now < ended + READING_S - BEAT_S:
        standstill.beat(now)
        assert standstill.since(now) == stopped
        assert standstill.since(stopped - 1.0) == stopped - 1.0
        now += BEAT_S
    standstill.beat(ended + READING_S)
    assert standstill.since(ended + READING_S) == ended + READING_S


def test_uma_parada_logo_depois_de_outra_nao_a_apaga() -> None:
    """A call read after two gaps in a row counts from the beginning of the first, for a while."""
    standstill = Standstill(10.0)
    standstill.beat(13.0)
    standstill.beat(13.0 + READING_S - BEAT_S)
    assert standstill.since(13.0 + READING_S - BEAT_S) == 10.0
    assert standstill.since(13.0 + READING_S) == 13.0
