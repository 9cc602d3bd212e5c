"""Recovery: every order that was claimed ends, once, whatever stopped on the way."""

from __future__ import annotations

import asyncio

import pytest

from tests.cluster import CANCEL, CHAIN, FORWARD, Cluster, Process
from tests.conftest import OpenCluster

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOPS = CHAIN[1:]


async def _stuck(cluster: Cluster, servico: str, point: str) -> tuple[int, asyncio.Task]:
    """An order whose drive stands at a gate; its client still waits."""
    gate = cluster.link(servico).hold(point, FORWARD[servico])
    creating = asyncio.create_task(cluster.create(key="a"))
    await gate.reached()
    return cluster.last(), creating


@pytest.mark.parametrize("point", ["before", "after"])
@pytest.mark.parametrize("servico", HOPS)
async def test_reinicio_leva_ao_fim_o_que_estava_aberto(
    open_fresh: OpenCluster, servico: str, point: str
) -> None:
    """Pedidos, stopped with an order at any hop and started again, drives it to its end, once."""
    async with open_fresh() as cluster:
        pedido_id, creating = await _stuck(cluster, servico, point)
        await cluster.crash("pedidos")
        await asyncio.gather(creating, return_exceptions=True)
        cluster.links[CHAIN[CHAIN.index(servico) - 1], servico].heal()
        await cluster.start("pedidos")
        again = await cluster.create(key="a")
        assert (again.body["pedido_id"], again.body["status"]) == (pedido_id, "enviado")
        await cluster.quiet()
        cluster.check_shipped(pedido_id)
        assert cluster.link("pagamentos").peak(pedido_id) == 1


async def test_a_varredura_do_inicio_nao_espera_por_ninguem(open_fresh: OpenCluster) -> None:
    """An open order is driven at the start, though nobody asks for it."""
    async with open_fresh() as cluster:
        pedido_id, creating = await _stuck(cluster, "estoque", "before")
        await cluster.crash("pedidos")
        await asyncio.gather(creating, return_exceptions=True)
        cluster.link("estoque").heal()
        done = cluster.link("pagamentos").hold("after")
        await cluster.start("pedidos")
        await done.reached()
        done.open()
        await cluster.idle()
        cluster.check_shipped(pedido_id)


async def test_a_varredura_se_repete(open_fresh: OpenCluster) -> None:
    """The timer finds what the start could not finish."""
    async with open_fresh(sweep_interval_s=0.02) as cluster:
        link = cluster.link("pagamentos")
        link.cut(times=15)
        open_order = await cluster.create()
        assert open_order.body["status"] == "pendente"
        gate = link.hold("after")
        await gate.reached()
        gate.open()
        await cluster.idle()
        cluster.check_shipped(open_order.body["pedido_id"])


async def test_pedido_velho_e_cancelado_como_expirado(open_fresh: OpenCluster) -> None:
    """Past the give-up age an open order is cancelled, with the reason expirado."""
    async with open_fresh() as cluster:
        pedido_id, creating = await _stuck(cluster, "logistica", "before")
        await cluster.crash("pedidos")
        await asyncio.gather(creating, return_exceptions=True)
        await cluster.start("pedidos", give_up_age_s=0.0)
        order = await cluster.terminal(pedido_id)
        cluster.link("logistica").heal()
        await cluster.quiet()
        assert (order["status"], order["motivo"]) == ("cancelado", "expirado")
        cluster.check_cancelled(pedido_id, "expirado")


async def test_pedido_novo_nao_expira(open_fresh: OpenCluster) -> None:
    """Short of the give-up age an open order goes forward."""
    async with open_fresh(give_up_age_s=60.0) as cluster:
        cluster.link("pagamentos").cut(times=6)
        pedido_id = (await cluster.create()).body["pedido_id"]
        assert (await cluster.end_of(pedido_id))["status"] == "enviado"


async def test_pedido_tentado_demais_e_cancelado(open_fresh: OpenCluster) -> None:
    """Past the number of attempts an open order is given up like an old one."""
    async with open_fresh() as cluster:
        condutor = cluster.apps["pedidos"]._condutor
        condutor._politica = condutor._politica._replace(tentativas_desistencia=2)
        cluster.link("estoque").cut("separar_estoque")
        pedido_id = (await cluster.create()).body["pedido_id"]
        await cluster.end_of(pedido_id)
        cluster.check_cancelled(pedido_id, "expirado")


async def test_pedido_velho_que_ja_foi_enviado_termina_enviado(open_fresh: OpenCluster) -> None:
    """Giving up asks Logistica like any cancelling: what was shipped ends enviado."""
    async with open_fresh() as cluster:
        pedido_id, creating = await _stuck(cluster, "logistica", "after")
        await cluster.crash("pedidos")
        await asyncio.gather(creating, return_exceptions=True)
        cluster.link("logistica").heal()
        await cluster.start("pedidos", give_up_age_s=0.0)
        assert (await cluster.end_of(pedido_id))["status"] == "enviado"
        cluster.check_shipped(pedido_id)


async def test_nunca_duas_conducoes_de_um_pedido(cluster: Cluster) -> None:
    """Neither sweeps nor retries start a second drive of an order that has one."""
    gate = cluster.link("pagamentos").hold("before", "processar_pagamento")
    creating = asyncio.create_task(cluster.create(key="uma so"))
    await gate.reached()
    retrying = asyncio.create_task(cluster.create(key="uma so"))
    assert [await cluster.sweep() for _ in range(3)] == [0, 0, 0]
    assert gate.waiting == 1
    gate.open()
    assert (await creating).body == (await retrying).body
    assert cluster.link("pagamentos").count("processar_pagamento") == 1


async def test_cancelamento_interrompido_continua_no_reinicio(open_fresh: OpenCluster) -> None:
    """An order that was cancelando when Pedidos stopped is cancelled after the restart."""
    async with open_fresh() as cluster:
        forward = cluster.link("fiscal").hold("before", FORWARD["fiscal"])
        creating = asyncio.create_task(cluster.create())
        await forward.reached()
        pedido_id = cluster.last()
        down = cluster.link("estoque").hold("before", CANCEL["estoque"])
        cancelling = asyncio.create_task(cluster.cancel(pedido_id))
        await down.reached()
        await cluster.crash("pedidos")
        await asyncio.gather(creating, cancelling, return_exceptions=True)
        cluster.link("estoque").heal()
        await cluster.start("pedidos")
        assert (await cluster.terminal(pedido_id))["status"] == "cancelado"
        forward.open()
        await cluster.quiet()
        cluster.check_cancelled(pedido_id, "solicitado")


@pytest.mark.parametrize("servico", HOPS)
async def test_servico_fora_por_um_tempo_nao_perde_pedidos(
    open_fresh: OpenCluster, servico: str
) -> None:
    """Orders taken while a service was down end when it is back."""
    async with open_fresh() as cluster:
        await cluster.stop(servico)
        replies = [await cluster.create() for _ in range(3)]
        assert {reply.body["status"] for reply in replies} == {"pendente"}
        await cluster.start(servico)
        for reply in replies:
            assert (await cluster.end_of(reply.body["pedido_id"]))["status"] == "enviado"
            cluster.check_shipped(reply.body["pedido_id"])
        cluster.check_books()


async def test_todos_reiniciados_terminam_todos_os_pedidos(open_fresh: OpenCluster) -> None:
    """Everything stopped at once in the middle of orders at every hop: all of them end."""
    async with open_fresh() as cluster:
        gates, creating = [], []
        for servico in HOPS:
            gates.append(cluster.link(servico).hold("before", FORWARD[servico], times=1))
            creating.append(asyncio.create_task(cluster.create()))
            await gates[-1].reached()
        await cluster.crash("pedidos")
        await asyncio.gather(*creating, return_exceptions=True)
        for gate in gates:
            gate.open()
        await cluster.stop(*(nome for nome in CHAIN[1:]))
        await cluster.start("logistica", "fiscal", "estoque", "pagamentos", "pedidos")
        first = cluster.last() - len(HOPS) + 1
        for pedido_id in range(first, first + len(HOPS)):
            assert (await cluster.end_of(pedido_id))["status"] == "enviado"
            cluster.check_shipped(pedido_id)
        cluster.check_books()


async def test_kill_9_no_meio_do_pedido(open_fresh: OpenCluster) -> None:
    """Pedidos killed with an order on its way, started again: the order ends, once."""
    async with open_fresh() as cluster:
        await cluster.stop("pedidos")
        first = await Process.start(cluster, "pedidos")
        try:
            gate = cluster.link("estoque").hold("before", "separar_estoque")
            creating = asyncio.create_task(cluster.create(key="a"))
            await gate.reached()
            await first.kill()
            await asyncio.gather(creating, return_exceptions=True)
        finally:
            await first.kill()
        assert cluster.situation(cluster.last()).status == "pendente"
        cluster.link("estoque").heal()
        second = await Process.start(cluster, "pedidos")
        try:
            again = await cluster.create(key="a")
            assert again.body["status"] == "enviado"
            await cluster.quiet()
            cluster.check_shipped(again.body["pedido_id"])
            assert cluster.orders() == 1
            assert cluster.rows("gateway", "SELECT count(*) FROM cobrancas") == [(1,)]
        finally:
            await second.kill()
