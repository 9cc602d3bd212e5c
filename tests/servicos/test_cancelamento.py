"""Cancelling: before the pivot everything is undone, after it nothing is."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from common.contratos import CancelarPassoRequest, ProcessarPagamentoRequest
from common.erros import Categoria
from common.servicos.pedidos import livro
from common.servicos.protocolo.contexto import Contexto
from tests.support.chain import CANCEL, CHAIN, FORWARD, step
from tests.support.links import Gate

if TYPE_CHECKING:
    from tests.conftest import OpenCluster
    from tests.support.cluster import Cluster

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOPS = CHAIN[1:]
UNDONE = {"pagamentos": "estornado", "estoque": "devolvido", "fiscal": "cancelada"}


@pytest.mark.parametrize("servico", HOPS)
async def test_cancelar_antes_do_pivo_desfaz_tudo(cluster: Cluster, servico: str) -> None:
    """Cancelled on its way to any hop: what was done is undone, what was not is fenced."""
    gate = cluster.link(servico).hold("before", FORWARD[servico])
    stock, invoices = cluster.stock(1), cluster.value("fiscal", "SELECT ultimo FROM numeracao")
    creating = asyncio.create_task(cluster.create())
    await gate.reached()
    pedido_id = cluster.last()
    reply = await cluster.cancel(pedido_id)
    assert reply.code in {200, "OK"}
    assert (reply.body["status"], reply.body["motivo"]) == ("cancelado", "solicitado")
    assert reply.body["nota_fiscal"] is reply.body["envio"] is None
    assert (await creating).body == reply.body
    # The forward step that was held now comes late, where nobody has called it off.
    gate.open()
    await cluster.quiet()
    held = cluster.check_cancelled(pedido_id, "solicitado")
    before, after = HOPS[: HOPS.index(servico)], HOPS[HOPS.index(servico) :]
    assert held.passos == {n: UNDONE[n] for n in before} | dict.fromkeys(after, "tombstone")
    assert cluster.stock(1) == stock
    issued = 1 if "fiscal" in before else 0
    assert cluster.value("fiscal", "SELECT ultimo FROM numeracao") == invoices + issued
    if issued:
        assert (
            cluster.value(
                "fiscal", "SELECT sequencia FROM notas_fiscais WHERE pedido_id = ?", pedido_id
            )
            == invoices + 1
        )
    assert (
        cluster.value(
            "gateway", "SELECT situacao FROM cobrancas WHERE chave = ?", f"pedido-{pedido_id}"
        )
        == "anulada"
    )
    cluster.check_books()


@pytest.mark.parametrize("point", ["before", "after"])
async def test_cancelar_durante_o_pagamento_anula_a_cobranca(cluster: Cluster, point: str) -> None:
    """Cancelled while the gateway works, the key is voided: no charge stands, however late."""
    gate = cluster.gateway.hold(point, "cobrar")
    creating = asyncio.create_task(cluster.create())
    await gate.reached()
    pedido_id = cluster.last()
    assert (await cluster.cancel(pedido_id)).body["status"] == "cancelado"
    assert (await creating).body["status"] == "cancelado"
    gate.open()
    await cluster.quiet()
    held = cluster.check_cancelled(pedido_id, "solicitado")
    assert held.passos == dict.fromkeys(HOPS, "tombstone")
    assert (held.cobrado > 0) == (point == "after")


class _Told:
    """The storage of Pedidos, where the flip of an order is committed and nobody was told yet."""

    def __init__(self, banco: Any, gate: Gate) -> None:
        self._database = banco
        self._gate = gate

    async def unit(self, ctx: Any, funcao: Any, *args: Any) -> Any:
        value = await self._database.unit(ctx, funcao, *args)
        if funcao is livro.desistir:
            await self._gate.hold()
        return value

    async def read(self, ctx: Any, funcao: Any, *args: Any) -> Any:
        return await self._database.read(ctx, funcao, *args)


async def test_a_cancel_is_pursued_though_its_caller_hung_up(open_fresh: OpenCluster) -> None:
    """Once an order is durably cancelando its forward drive is turned, whoever still waits."""
    async with open_fresh() as cluster:
        forward = cluster.gateway.hold("before", "cobrar")
        creating = asyncio.create_task(cluster.create())
        await forward.reached()
        pedido_id = cluster.last()
        condutor, gate = cluster.apps["pedidos"]._condutor, Gate()
        condutor._database = _Told(condutor._database, gate)
        cancelling = asyncio.create_task(cluster.cancel(pedido_id))
        await gate.reached()
        assert cluster.situation(pedido_id).status == "cancelando"
        cancelling.cancel()
        await asyncio.wait([cancelling])
        # The service has seen it hang up when it has read a later call.
        await cluster.look(pedido_id)
        gate.open()
        assert (await creating).body["status"] == "cancelado"
        forward.open()
        await cluster.quiet()
        cluster.check_cancelled(pedido_id, "solicitado")


async def test_the_sweep_turns_the_forward_drive_of_a_cancelled_order(
    cluster: Cluster,
) -> None:
    """An order that is cancelando is not left to a drive that would charge and ship it."""
    forward = cluster.gateway.hold("before", "cobrar")
    creating = asyncio.create_task(cluster.create())
    await forward.reached()
    pedido_id = cluster.last()
    condutor = cluster.apps["pedidos"]._condutor
    now = condutor._clock.timestamp()
    await cluster.arm.run(
        condutor._database.unit(None, livro.desistir, pedido_id, "solicitado", now)
    )
    assert await cluster.sweep() == 1
    assert (await creating).body["status"] == "cancelado"
    forward.open()
    await cluster.quiet()
    cluster.check_cancelled(pedido_id, "solicitado")


async def test_a_voided_key_is_no_refused_payment(cluster: Cluster) -> None:
    """A charge that finds its key voided records nothing: nobody denied that payment."""
    charging = cluster.gateway.hold("before", "cobrar", times=1)
    creating = asyncio.create_task(cluster.create())
    await charging.reached()
    pedido_id = cluster.last()
    voided = cluster.gateway.hold("after", "anular", times=1)
    cancelling = asyncio.create_task(cluster.cancel(pedido_id))
    await voided.reached()
    # The key is voided, and its tombstone not yet written.
    before = cluster.gateway.count("cobrar")
    charging.open()
    request = step("pagamentos", pedido_id)
    late = await cluster.edge.call(FORWARD["pagamentos"], request)
    assert cluster.gateway.count("cobrar") > before
    assert late.category is Categoria.PRECONDICAO
    assert "pagamentos" not in cluster.situation(pedido_id).passos
    voided.open()
    reply = await cancelling
    assert (reply.body["status"], reply.body["pagamento"]) == ("cancelado", None)
    assert (await creating).body == reply.body
    await cluster.quiet()
    assert cluster.check_cancelled(pedido_id, "solicitado").pagamento is None


async def test_cancelling_waits_for_no_connection(open_fresh: OpenCluster) -> None:
    """With every connection of the way forward in use, a cancelling call passes at once."""
    async with open_fresh() as cluster:
        client = cluster.arm.dial("pagamentos", cluster.addresses["pagamentos"], connections=1)
        gate = cluster.gateway.hold("before", "cobrar")
        message = msgspec.convert(step("pagamentos", 700_001), ProcessarPagamentoRequest)
        until = time.monotonic() + 20.0
        paying = asyncio.create_task(
            cluster.arm.run(client.processar_pagamento(Contexto(until), message))
        )
        await gate.reached()
        answer = await cluster.arm.run(
            client.cancelar_pagamento(Contexto(until), CancelarPassoRequest(700_001))
        )
        assert answer.status == "cancelado"
        gate.open()
        await asyncio.wait([paying])
        await cluster.arm.run(client.close())


async def test_cancelar_depois_do_envio_e_recusado(cluster: Cluster) -> None:
    """What was shipped is not cancelled, and stays as it was."""
    sent = await cluster.create()
    reply = await cluster.cancel(sent.body["pedido_id"])
    assert reply.category is Categoria.PRECONDICAO
    assert reply.code in {409, "FAILED_PRECONDITION"}
    assert await cluster.look(sent.body["pedido_id"]) == sent.body
    cluster.check_shipped(sent.body["pedido_id"])


async def test_cancelar_quando_o_pivo_ja_decidiu(cluster: Cluster) -> None:
    """Cancelling that finds Logistica's row comes too late: the order ends enviado."""
    gate = cluster.link("logistica").hold("after", "agendar_envio")
    creating = asyncio.create_task(cluster.create())
    await gate.reached()
    pedido_id = cluster.last()
    reply = await cluster.cancel(pedido_id)
    assert reply.category is Categoria.PRECONDICAO
    assert (await creating).body["status"] == "enviado"
    gate.open()
    await cluster.quiet()
    cluster.check_shipped(pedido_id)
    log = cluster.rows("pedidos", "SELECT para FROM transicoes WHERE pedido_id = ?", pedido_id)
    assert [para for (para,) in log] == ["pendente", "cancelando", "enviado"]


async def test_cancelar_o_desconhecido_nao_encontra(cluster: Cluster) -> None:
    """Cancelling an id that names no order is not found, and leaves no tombstone."""
    reply = await cluster.cancel(999_999)
    assert reply.category is Categoria.NAO_ENCONTRADO
    assert cluster.situation(999_999).passos == {}


async def test_cancelar_o_importado_e_recusado(cluster: Cluster) -> None:
    """The imported past cannot be cancelled, whatever its status."""
    for pedido_id in range(1, 13):
        before = await cluster.look(pedido_id)
        reply = await cluster.cancel(pedido_id)
        assert reply.category is Categoria.PRECONDICAO
        assert await cluster.look(pedido_id) == before


async def test_cancelar_duas_vezes_da_a_mesma_resposta(cluster: Cluster) -> None:
    """Cancelling again, at once or later, answers what the first one did."""
    gate = cluster.link("estoque").hold("before", "separar_estoque")
    creating = asyncio.create_task(cluster.create())
    await gate.reached()
    pedido_id = cluster.last()
    first, second = await asyncio.gather(cluster.cancel(pedido_id), cluster.cancel(pedido_id))
    third = await cluster.cancel(pedido_id)
    assert first.code == second.code == third.code
    assert first.code in {200, "OK"}
    assert first.body == second.body == third.body == (await creating).body
    assert cluster.link("pagamentos").count("cancelar_pagamento", pedido_id) == 1


async def test_cancelar_o_recusado_mantem_o_motivo(open_fresh: OpenCluster) -> None:
    """Cancelling what was refused answers the refusal it already had."""
    async with open_fresh(payment_approval=0.0) as cluster:
        refused = await cluster.create()
        reply = await cluster.cancel(refused.body["pedido_id"])
        assert reply.code in {200, "OK"}
        assert reply.body == refused.body


async def test_a_repeticao_do_cancelado_responde_cancelado(cluster: Cluster) -> None:
    """The key of a cancelled order answers cancelado for good."""
    gate = cluster.link("fiscal").hold("before", "emitir_nota_fiscal")
    creating = asyncio.create_task(cluster.create(key="cancelado"))
    await gate.reached()
    cancelled = await cluster.cancel(cluster.last())
    again = await cluster.create(key="cancelado")
    assert again.body == cancelled.body == (await creating).body


@pytest.mark.parametrize("servico", HOPS)
async def test_passo_atrasado_encontra_o_tombstone(cluster: Cluster, servico: str) -> None:
    """A forward step that comes after the cancelling is refused at every service."""
    pedido_id = 700_000 + HOPS.index(servico)
    reply = await cluster.edge.call("cancelar_pagamento", {"pedido_id": pedido_id})
    assert reply.body["status"] == "cancelado"
    late = await cluster.edge.call(FORWARD[servico], step(servico, pedido_id))
    assert late.category is None
    assert (late.body["status"], late.body["motivo"]) == ("cancelado", "solicitado")
    held = cluster.situation(pedido_id)
    assert held.passos == dict.fromkeys(HOPS, "tombstone")
    assert (held.pagamento, held.nota, held.envios, held.retirado) == (None, None, 0, 0)
    assert held.cobrado == 0


async def test_um_tombstone_nao_gasta_numero_de_nota(cluster: Cluster) -> None:
    """Cancelling what was never invoiced takes no invoice number."""
    before = cluster.value("fiscal", "SELECT ultimo FROM numeracao")
    await cluster.edge.call("cancelar_pagamento", {"pedido_id": 710_000})
    assert cluster.value("fiscal", "SELECT ultimo FROM numeracao") == before
    cluster.check_books()


@pytest.mark.parametrize("servico", HOPS)
async def test_na_descida_o_cancelamento_nao_escreve_nada(cluster: Cluster, servico: str) -> None:
    """Until Logistica has answered, a cancelling call has changed no service on its way."""
    forward = cluster.link("logistica").hold("before", "agendar_envio")
    creating = asyncio.create_task(cluster.create())
    await forward.reached()
    pedido_id = cluster.last()
    before = cluster.situation(pedido_id)
    down = cluster.link(servico).hold("before", CANCEL[servico])
    cancelling = asyncio.create_task(cluster.cancel(pedido_id))
    await down.reached()
    assert cluster.situation(pedido_id) == before._replace(status="cancelando", motivo="solicitado")
    assert (await cluster.look(pedido_id))["status"] == "cancelando"
    down.open()
    assert (await cancelling).body["status"] == (await creating).body["status"] == "cancelado"


@pytest.mark.parametrize("servico", HOPS)
async def test_resposta_do_cancelamento_perdida_e_perguntada_de_novo(
    cluster: Cluster, servico: str
) -> None:
    """A cancelling reply lost at any hop is asked for again; each undo is done once."""
    gate = cluster.link("logistica").hold("before", "agendar_envio")
    cluster.link(servico).lose_reply(CANCEL[servico], times=1)
    stock = cluster.stock(1)
    creating = asyncio.create_task(cluster.create())
    await gate.reached()
    pedido_id = cluster.last()
    assert (await cluster.cancel(pedido_id)).body["status"] == "cancelado"
    await creating
    cluster.check_cancelled(pedido_id, "solicitado")
    assert cluster.stock(1) == stock
    for nome in HOPS:
        rows = cluster.rows(nome, "SELECT 1 FROM transicoes WHERE pedido_id = ?", pedido_id)
        assert len(rows) == (1 if nome == "logistica" else 2)


@pytest.mark.parametrize("servico", HOPS)
async def test_cancelar_com_um_servico_fora_termina_depois(
    open_fresh: OpenCluster, servico: str
) -> None:
    """With a service down the answer is cancelando; the order ends when it is back."""
    async with open_fresh() as cluster:
        await cluster.stop(servico)
        open_order = await cluster.create()
        pedido_id = open_order.body["pedido_id"]
        assert open_order.body["status"] == "pendente"
        reply = await cluster.cancel(pedido_id)
        assert reply.code in {202, "OK"}
        assert reply.body["status"] == "cancelando"
        await cluster.start(servico)
        assert (await cluster.end_of(pedido_id))["status"] == "cancelado"
        cluster.check_cancelled(pedido_id, "solicitado")
        assert (await cluster.cancel(pedido_id)).code in {200, "OK"}


async def test_cancelar_o_passo_nao_desfaz_o_enviado(cluster: Cluster) -> None:
    """A cancelling call at any service, for what was shipped, changes nothing and says so."""
    pedido_id = (await cluster.create()).body["pedido_id"]
    for servico in HOPS:
        reply = await cluster.edge.call(CANCEL[servico], {"pedido_id": pedido_id})
        assert reply.category is None
        assert reply.body["status"] == "enviado"
        assert reply.body["envio"] is not None
    cluster.check_shipped(pedido_id)


async def test_quem_cancela_e_desliga_cancela_mesmo_assim(cluster: Cluster) -> None:
    """A client that hangs up while cancelling loses only the reply."""
    forward = cluster.link("estoque").hold("before", "separar_estoque")
    creating = asyncio.create_task(cluster.create())
    await forward.reached()
    pedido_id = cluster.last()
    down = cluster.link("pagamentos").hold("before", "cancelar_pagamento")
    cancelling = asyncio.create_task(cluster.cancel(pedido_id))
    await down.reached()
    cancelling.cancel()
    await asyncio.wait([cancelling])
    down.open()
    assert (await creating).body["status"] == "cancelado"
    cluster.check_cancelled(pedido_id, "solicitado")


@pytest.mark.parametrize("servico", ["pagamentos", "fiscal"])
async def test_cancelar_o_passo_importado_nao_toca_em_nada(
    open_fresh: OpenCluster, servico: str
) -> None:
    """An imported order is refused at any service, with no fence below and no key voided."""
    async with open_fresh() as cluster:
        imported = cluster.rows(servico, "SELECT pedido_id FROM passos ORDER BY 1")
        assert imported
        for (pedido_id,) in imported:
            before = cluster.situation(pedido_id)
            reply = await cluster.edge.call(CANCEL[servico], {"pedido_id": pedido_id})
            assert reply.category is Categoria.PRECONDICAO
            assert cluster.situation(pedido_id) == before
        assert cluster.rows("gateway", "SELECT chave FROM cobrancas") == []
        below = HOPS[HOPS.index(servico) + 1]
        assert cluster.link(below).count(CANCEL[below]) == 0
