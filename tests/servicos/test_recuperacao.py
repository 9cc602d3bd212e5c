"""Recovery: every order that was claimed ends, once, whatever stopped on the way."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Any

import pytest

from blocking.execution import TaskStoppedError
from common.arms import LOOP_ARMS
from common.erros import Categoria, indisponivel
from common.servicos.pedidos import livro, recuperacao
from common.servicos.pedidos.recuperacao import Tentativas
from common.servicos.pedidos.retentativa import DRIVE_CALLS_MAX, Orcamento
from tests.support.chain import CANCEL, CHAIN, FORWARD
from tests.support.links import Gate
from tests.support.processes import Process
from tests.support.recovery_support import left_open, policy, stuck

if TYPE_CHECKING:
    from tests.conftest import OpenCluster
    from tests.support.cluster import Cluster

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOPS = CHAIN[1:]


@pytest.mark.parametrize("point", ["before", "after"])
@pytest.mark.parametrize("servico", HOPS)
async def test_reinicio_leva_ao_fim_o_que_estava_aberto(
    open_fresh: OpenCluster, servico: str, point: str
) -> None:
    """Pedidos, stopped with an order at any hop and started again, drives it to its end, once."""
    async with open_fresh() as cluster:
        pedido_id, creating = await stuck(cluster, servico, point)
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
        pedido_id, creating = await stuck(cluster, "estoque", "before")
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
    async with open_fresh(sweep_interval_s=0.02, circuit_breaker=False) as cluster:
        link = cluster.link("pagamentos")
        link.cut(times=2 * DRIVE_CALLS_MAX + 3)
        open_order = await cluster.create()
        assert open_order.body["status"] == "pendente"
        gate = link.hold("after")
        await gate.reached()
        gate.open()
        await cluster.idle()
        cluster.check_shipped(open_order.body["pedido_id"])


async def test_the_sweep_finds_what_is_counted_and_has_ended(cluster: Cluster) -> None:
    """An order that ended while nobody could look takes no room from those that come."""
    ended = (await cluster.create()).body["pedido_id"]
    condutor = cluster.condutor
    condutor._abertas.add(ended)
    gate = cluster.gateway.hold("before", "cobrar", times=1)
    creating = asyncio.create_task(cluster.create())
    await gate.reached()
    await cluster.sweep()
    assert condutor._abertas == {cluster.last()}
    gate.open()
    await creating


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


async def test_a_commit_that_fails_gives_its_order_number_to_nobody_else(
    open_fresh: OpenCluster,
) -> None:
    """The next order gets the number, and whoever asks for it does not find the drive that failed."""
    async with open_fresh() as cluster:
        condutor = cluster.condutor
        inner, gate = condutor._database, Gate()

        class Failing:
            """Claims once, rolls the claim back, and tells nobody until the gate is open."""

            def __init__(self) -> None:
                self.failed = False

            async def unit(self, ctx: Any, reads: Any, decide: Any, *args: Any) -> Any:
                if self.failed or decide != condutor.reivindicar:
                    return await inner.unit(ctx, reads, decide, *args)
                self.failed = True

                def claim_and_fail(facts: Any) -> None:
                    decide(facts, *args)
                    raise indisponivel("o banco de dados não está disponível")

                try:
                    await inner.unit(ctx, reads, claim_and_fail)
                finally:
                    await gate.hold()

            async def read(self, *args: Any) -> Any:
                return await inner.read(*args)

        condutor._database = Failing()
        failing = asyncio.create_task(cluster.create(key="fails"))
        await gate.reached()
        (drive,) = condutor._reivindicando
        held = cluster.gateway.hold("before", "cobrar")
        creating = asyncio.create_task(cluster.create(key="next"))
        await held.reached()
        row = await cluster.arm.run(
            inner.read(None, (livro.PEDIDOS.of(drive.pedido_id),), livro.por_id, drive.pedido_id)
        )
        assert row.chave == "next"
        living = condutor._vivas.pop(row.pedido_id)
        assert condutor._viva(row) is None
        condutor._vivas[row.pedido_id] = living
        gate.open()
        assert (await failing).category is Categoria.INDISPONIVEL
        assert drive.pedido_id == 0
        held.open()
        assert (await creating).body["status"] == "enviado"


async def test_a_varredura_da_a_vez_a_todos(
    open_fresh: OpenCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orders that cannot end for now do not keep those behind them from their turn."""
    monkeypatch.setattr(recuperacao, "SWEEP_PAGE", 2)
    async with open_fresh(circuit_breaker=False) as cluster:
        ids = await left_open(cluster, 5)
        policy(cluster, recuperacoes_max=2)
        recovery = cluster.condutor._recuperacao
        recovery._orcamento = Orcamento(lambda: 0.0)
        link = cluster.link("pagamentos")
        met: list[list[int]] = []
        for _ in range(5):
            gate = link.hold("before")
            link.cut()
            assert await cluster.sweep() == 2
            met.append(sorted(recovery._em_curso))
            gate.open()
            await cluster.idle()
            link.heal()
        assert met == [ids[:2], ids[2:4], sorted([ids[4], ids[0]]), ids[1:3], ids[3:]]


async def test_as_pausas_da_varredura_sao_sorteadas(open_fresh: OpenCluster) -> None:
    """The sweep waits a drawn part of a growing pause before it tries an order again."""
    async with open_fresh(circuit_breaker=False) as cluster:
        (pedido_id,) = await left_open(cluster, 1)
        cluster.link("pagamentos").cut()
        recovery = cluster.condutor._recuperacao
        recovery._orcamento = Orcamento(lambda: 0.0)
        assert await cluster.sweep() == 1
        await cluster.idle()
        recovery._orcamento = Orcamento(lambda: 1e6)
        assert await cluster.sweep() == 1
        await cluster.idle()
        assert [await cluster.sweep() for _ in range(3)] == [0, 0, 0]
        # That of the client's own drive, and two of the sweep's.
        assert recovery._tentadas[pedido_id].vezes == 3


async def test_repeticao_alem_do_limite_responde_o_status_atual(open_fresh: OpenCluster) -> None:
    """Past the bound a retry is told where its order stands, and the sweep ends that order."""
    async with open_fresh(circuit_breaker=False) as cluster:
        first, second = await left_open(cluster, 2)
        policy(cluster, recuperacoes_max=1)
        gate = cluster.link("pagamentos").hold("before")
        driven = asyncio.create_task(cluster.create(key="0"))
        await gate.reached()
        reply = await cluster.create(key="1")
        assert reply.code in {202, "OK"}
        assert (reply.body["pedido_id"], reply.body["status"]) == (second, "pendente")
        assert await cluster.sweep() == 0
        assert cluster.link("pagamentos").count("processar_pagamento", second) == 0
        gate.open()
        assert (await driven).body["status"] == "enviado"
        assert (await cluster.end_of(second))["status"] == "enviado"
        cluster.check_shipped(first)
        cluster.check_shipped(second)


async def test_repeticao_alem_do_limite_se_junta_ao_que_anda(open_fresh: OpenCluster) -> None:
    """The bound is on drives, not on those who wait: a retry of a driven order still joins it."""
    async with open_fresh(circuit_breaker=False) as cluster:
        (pedido_id,) = await left_open(cluster, 1)
        policy(cluster, recuperacoes_max=1)
        gate = cluster.link("pagamentos").hold("before")
        waiting = [asyncio.create_task(cluster.create(key="0")) for _ in range(3)]
        await gate.reached()
        gate.open()
        assert {(await task).body["status"] for task in waiting} == {"enviado"}
        assert cluster.link("pagamentos").count("processar_pagamento", pedido_id) == 1


async def test_pagamento_mais_lento_que_o_prazo_da_conducao_termina(
    open_fresh: OpenCluster,
) -> None:
    """A recovering drive has time for the slowest payment, whatever its deadline is set to."""
    async with open_fresh(payment_latency=(0.5, 0.5), drive_deadline_s=0.2) as cluster:
        pedido_id = (await cluster.create(timeout_s=0.2)).body["pedido_id"]
        assert (await cluster.end_of(pedido_id))["status"] == "enviado"
        cluster.check_shipped(pedido_id)


async def test_o_que_terminou_antes_da_varredura_e_esquecido(open_fresh: OpenCluster) -> None:
    """An order that ended between the page and its turn leaves nothing behind in the sweep."""
    async with open_fresh() as cluster:
        (pedido_id,) = await left_open(cluster, 1)
        condutor = cluster.condutor
        recovery = condutor._recuperacao
        (stale,) = await condutor._database.select(None, livro.ABERTOS, 0, 10)
        recovery._tentadas[pedido_id] = Tentativas(9, 0.0, 0.0)
        assert (await cluster.cancel(pedido_id)).body["status"] == "cancelado"
        recovery._tentadas[pedido_id] = Tentativas(9, 0.0, 0.0)
        policy(cluster, idade_desistencia_s=-1.0)
        assert not await recovery._recuperar(stale)
        assert recovery._tentadas == {}


@pytest.mark.parametrize("stopped", [False, True], ids=["fails", "stopped"])
async def test_registro_interrompido_solta_quem_se_juntou(
    arm: str, open_fresh: OpenCluster, stopped: bool
) -> None:
    """A claim that is cut off after its commit releases whoever joined; the sweep ends the order."""
    stop = asyncio.CancelledError() if arm in LOOP_ARMS else TaskStoppedError()
    failure = stop if stopped else indisponivel("sem disco")
    async with open_fresh() as cluster:
        condutor = cluster.condutor
        real, committed = condutor._database, Gate()

        class Cut:
            read = staticmethod(real.read)
            select = staticmethod(real.select)

            async def unit(self, *args):
                await real.unit(*args)
                await committed.hold()
                raise failure

        condutor._database = Cut()
        creating = asyncio.create_task(cluster.create(key="a"))
        await committed.reached()
        condutor._database = real
        line = await cluster.arm.run(
            real.read(None, (livro.PEDIDOS_POR_CHAVE.of("a"),), livro.por_chave, "a")
        )
        joined = condutor.resume(line)
        assert not joined.fim.done()
        assert await cluster.sweep() == 0
        committed.open()
        assert await cluster.arm.run(joined.fim.wait(inf)) is None
        assert (await creating).category is Categoria.INDISPONIVEL
        assert (await cluster.end_of(line.pedido_id))["status"] == "enviado"
        cluster.check_shipped(line.pedido_id)
