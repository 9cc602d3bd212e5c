"""Deadlines and hanging up: what is lost is the reply, never the order."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING

import pytest

from common.erros import Categoria
from common.servicos.pedidos import conducao
from common.serving.deadline import RELOGIO, TIMEOUT_MAX_MS
from common.settings import HOP_RESERVE_S
from tests.support.chain import CANCEL, CHAIN, FORWARD, step
from tests.support.edges import deadline_header

if TYPE_CHECKING:
    from tests.conftest import OpenCluster
    from tests.support.cluster import Cluster

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOPS = CHAIN[1:]


async def test_cliente_que_desliga_no_pagamento_perde_so_a_resposta(cluster: Cluster) -> None:
    """A client that hangs up during the payment does not stop its order."""
    gate = cluster.gateway.hold("before")
    creating = asyncio.create_task(cluster.create(key="desligou"))
    await gate.reached()
    creating.cancel()
    await asyncio.wait([creating])
    gate.open()
    await cluster.idle()
    cluster.check_shipped(cluster.last())
    assert cluster.gateway.count("cobrar") == 1
    assert (await cluster.create(key="desligou")).body["status"] == "enviado"


async def test_prazo_menor_que_o_pagamento_responde_o_status_atual(cluster: Cluster) -> None:
    """A deadline that ends before the order answers where it stands; the order ends later."""
    gate = cluster.gateway.hold("before")
    reply = await cluster.create(key="com pressa", timeout_s=0.3)
    pedido_id = reply.body["pedido_id"]
    assert reply.code in {202, "OK"}
    assert reply.body["status"] == "pendente"
    assert reply.body["pagamento"] is None
    if reply.code == 202:
        assert reply.headers["location"] == f"/pedidos/{pedido_id}"
    gate.open()
    assert (await cluster.end_of(pedido_id))["status"] == "enviado"
    cluster.check_shipped(pedido_id)
    assert (await cluster.create(key="com pressa")).code in {201, "OK"}


async def test_prazo_menor_que_o_pagamento_de_verdade(open_fresh: OpenCluster) -> None:
    """The same with the gateway's own latency: one charge, whatever the deadline cut."""
    async with open_fresh(payment_latency=(1.5, 1.5)) as cluster:
        reply = await cluster.create(timeout_s=1.0)
        assert reply.body["status"] == "pendente"
        assert (await cluster.end_of(reply.body["pedido_id"]))["status"] == "enviado"
        cluster.check_shipped(reply.body["pedido_id"])


async def test_servico_lento_nao_segura_alem_do_prazo(cluster: Cluster) -> None:
    """A hop that hangs costs its caller the deadline and no more."""
    gate = cluster.link("fiscal").hold("before")
    start = time.monotonic()
    reply = await cluster.create(timeout_s=0.4)
    assert reply.body["status"] == "pendente"
    assert time.monotonic() - start < 2
    gate.open()
    await cluster.end_of(reply.body["pedido_id"])
    cluster.check_shipped(reply.body["pedido_id"])


async def test_cada_salto_recebe_um_prazo_absoluto_com_reserva(cluster: Cluster) -> None:
    """The client's deadline reaches every hop as an instant, each hop's reserve kept back."""
    start = time.monotonic()
    await cluster.create(timeout_s=5.0)
    deadlines = [cluster.link(servico).calls[-1].deadline - start for servico in HOPS]
    assert 4.5 < deadlines[0] <= 5.5 - HOP_RESERVE_S
    for above, below in itertools.pairwise(deadlines):
        # Milliseconds travel beside the instant, and are cut.
        assert above - below == pytest.approx(HOP_RESERVE_S, abs=0.015)


async def test_sem_prazo_do_cliente_vale_o_padrao(open_fresh: OpenCluster) -> None:
    """A caller that names no deadline has the contract's sixty seconds, or its transport's."""
    async with open_fresh() as cluster:
        start = time.monotonic()
        await cluster.create()
        assert 20 < cluster.link("pagamentos").calls[0].deadline - start < 60


@pytest.mark.parametrize("ahead_s", [-5.0, 0.0, HOP_RESERVE_S / 2])
async def test_prazo_vencido_nao_comeca_nada(cluster: Cluster, ahead_s: float) -> None:
    """A hop whose caller's instant has come, on the clock that both read, does no step, no fence."""
    for n, servico in enumerate(HOPS):
        for operation, body in (
            (FORWARD[servico], step(servico, 600_000 + n)),
            (CANCEL[servico], {"pedido_id": 600_000 + n}),
        ):
            late = await cluster.edge.call(operation, body, headers=deadline_header(ahead_s))
            assert late.category is Categoria.PRAZO
            assert late.code in {504, "DEADLINE_EXCEEDED"}
        assert cluster.situation(600_000 + n).passos == {}


async def test_limite_menor_que_a_reserva_nao_comeca_pedido(cluster: Cluster) -> None:
    """A client that leaves less than a hop keeps for its answer gets no order."""
    before = cluster.orders()
    reply = await cluster.create(headers={"x-timeout-ms": str(int(HOP_RESERVE_S * 1e3))})
    assert reply.category is Categoria.PRAZO
    assert cluster.orders() == before


@pytest.mark.parametrize(
    ("timeout_ms", "ahead_s"), [(5_000, -1.0), (1, 5.0)], ids=["the instant", "what is left"]
)
async def test_o_prazo_mais_cedo_vale(cluster: Cluster, timeout_ms: int, ahead_s: float) -> None:
    """Of what is left and of the instant on the same clock the earlier counts."""
    headers = deadline_header(ahead_s) | {"x-timeout-ms": str(timeout_ms)}
    body = step("logistica", 610_000)
    reply = await cluster.edge.call("agendar_envio", body, headers=headers)
    assert reply.category is Categoria.PRAZO
    assert cluster.situation(610_000).passos == {}


async def test_o_instante_de_outro_relogio_nao_vale(cluster: Cluster) -> None:
    """Of a clock that the hop does not read only what is left counts, from the arrival."""
    elsewhere = deadline_header(-5.0, clock="outra-maquina")
    for n, (timeout_ms, category) in enumerate(((5_000, None), (1, Categoria.PRAZO))):
        headers = elsewhere | {"x-timeout-ms": str(timeout_ms)}
        body = step("logistica", 620_000 + n)
        reply = await cluster.edge.call("agendar_envio", body, headers=headers)
        assert reply.category is category


@pytest.mark.parametrize("instant", [f"{RELOGIO}:1", "outra-maquina:1", "amanha", ""])
async def test_o_instante_de_um_cliente_nao_vale(cluster: Cluster, instant: str) -> None:
    """At Pedidos only what a client says is left to it counts, whatever instant it sends."""
    reply = await cluster.create(timeout_s=5.0, headers={"x-deadline-at": instant})
    assert reply.body["status"] == "enviado"


@pytest.mark.parametrize(
    "instant",
    ["", "1", ":1", "amanha", f"{RELOGIO}:", f"{RELOGIO}:-1", f"{RELOGIO}:1.5",
     f"{RELOGIO}:{'9' * 20}", f"{RELOGIO}:1:1", f"{'x' * 65}:1", "a b:1"],
)  # fmt: skip
async def test_instante_invalido(cluster: Cluster, instant: str) -> None:
    """An instant that is none is refused by a hop, by the header's name."""
    body = step("logistica", 630_000)
    reply = await cluster.edge.call("agendar_envio", body, headers={"x-deadline-at": instant})
    assert (reply.category, reply.fields) == (Categoria.INVALIDO, ("x-deadline-at",))
    assert cluster.situation(630_000).passos == {}


@pytest.mark.parametrize("text", ["0", str(TIMEOUT_MAX_MS + 1), "abc", "-1", "1.5", "", "9" * 30])
async def test_limite_de_tempo_invalido(cluster: Cluster, text: str) -> None:
    """A timeout outside its bounds, or no number, is the caller's error."""
    before = cluster.orders()
    reply = await cluster.create(headers={"x-timeout-ms": text})
    assert reply.category is Categoria.INVALIDO
    assert reply.fields == ("x-timeout-ms",)
    assert cluster.orders() == before


async def test_o_maior_limite_de_tempo_e_aceito(cluster: Cluster) -> None:
    """A timeout of a whole day is within bounds."""
    reply = await cluster.create(headers={"x-timeout-ms": str(TIMEOUT_MAX_MS)})
    assert reply.body["status"] == "enviado"


async def test_cancelar_com_prazo_curto_responde_cancelando(cluster: Cluster) -> None:
    """A cancelling call whose deadline ends first says cancelando; the order ends later."""
    forward = cluster.link("fiscal").hold("before", FORWARD["fiscal"])
    creating = asyncio.create_task(cluster.create())
    await forward.reached()
    pedido_id = cluster.last()
    down = cluster.link("pagamentos").hold("before", CANCEL["pagamentos"])
    reply = await cluster.cancel(pedido_id, timeout_s=0.2)
    assert reply.code in {202, "OK"}
    assert (reply.body["status"], reply.body["motivo"]) == ("cancelando", "solicitado")
    down.open()
    assert (await creating).body["status"] == "cancelado"
    cluster.check_cancelled(pedido_id, "solicitado")


async def test_a_conducao_nao_dura_o_prazo_de_um_dia(cluster: Cluster) -> None:
    """However patient its client, an order is driven for a minute at most at a time."""
    start = time.monotonic()
    await cluster.create(
        headers={"x-timeout-ms": str(TIMEOUT_MAX_MS)}, timeout_s=TIMEOUT_MAX_MS / 1e3
    )
    latest = time.monotonic() + conducao.DRIVE_MAX_S
    assert start < cluster.link("pagamentos").calls[0].deadline <= latest


async def test_conducao_que_desiste_responde_e_a_varredura_continua(
    open_fresh: OpenCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drive that comes to its own bound answers its client where the order stands."""
    monkeypatch.setattr(conducao, "DRIVE_MAX_S", 0.3)
    async with open_fresh() as cluster:
        gate = cluster.link("pagamentos").hold("before", FORWARD["pagamentos"])
        start = time.monotonic()
        creating = asyncio.create_task(cluster.create(timeout_s=20.0))
        await gate.reached()
        await asyncio.sleep(0.35)
        gate.open()
        reply = await creating
        assert time.monotonic() - start < 10
        assert reply.code in {202, "OK"}
        assert reply.body["status"] == "pendente"
        assert (await cluster.end_of(reply.body["pedido_id"]))["status"] == "enviado"
        cluster.check_shipped(reply.body["pedido_id"])


async def test_catalogo_lento_esgota_o_prazo_de_quem_espera(open_fresh: OpenCluster) -> None:
    """A caller whose deadline passes while prices are fetched is told so, and has no order."""
    async with open_fresh() as cluster:
        gate = cluster.links["pedidos", "catalogo"].hold("before")
        reply = await cluster.create(timeout_s=0.3)
        gate.open()
        assert reply.category is Categoria.PRAZO
        assert reply.code in {504, "DEADLINE_EXCEEDED"}
        assert cluster.orders() == 0
