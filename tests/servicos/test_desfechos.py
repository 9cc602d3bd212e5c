"""Done, refused, unknown: what is unknown is asked again and never compensated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from common.erros import Categoria, ErroServico
from common.servicos.pedidos.retentativa import BACKOFF_CAP_S, DRIVE_CALLS_MAX, espera
from tests.support.chain import CHAIN, FORWARD

if TYPE_CHECKING:
    from tests.conftest import OpenCluster
    from tests.support.cluster import Cluster

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOPS = CHAIN[1:]


def _log(cluster: Cluster, servico: str, pedido_id: int) -> list[str]:
    rows = cluster.rows(
        servico, "SELECT para FROM transicoes WHERE pedido_id = ? ORDER BY id", pedido_id
    )
    return [para for (para,) in rows]


@pytest.mark.parametrize("servico", HOPS)
async def test_resposta_perdida_e_perguntada_de_novo(cluster: Cluster, servico: str) -> None:
    """A reply lost after the effect is asked for again within the request, at every hop."""
    cluster.link(servico).lose_reply(FORWARD[servico], times=1)
    reply = await cluster.create()
    assert reply.body["status"] == "enviado"
    cluster.check_shipped(reply.body["pedido_id"])
    for nome in HOPS:
        assert len(_log(cluster, nome, reply.body["pedido_id"])) == 1
    assert cluster.link(servico).count(FORWARD[servico]) == 2


@pytest.mark.parametrize("servico", HOPS)
async def test_resposta_sempre_perdida_nao_desfaz_nada(cluster: Cluster, servico: str) -> None:
    """While replies are lost the order says pendente and keeps every effect; then it ends."""
    cluster.link(servico).lose_reply(FORWARD[servico])
    reply = await cluster.create(key=f"perdida {servico}")
    pedido_id = reply.body["pedido_id"]
    assert reply.code in {202, "OK"}
    assert reply.body["status"] == "pendente"
    held = cluster.situation(pedido_id)
    assert held.passos["logistica"] == "enviado"
    assert (held.pagamento, held.nota, held.retirado) == ("aprovado", "emitida", 1)
    cluster.link(servico).heal()
    again = await cluster.create(key=f"perdida {servico}")
    assert again.body["status"] == "enviado"
    cluster.check_shipped(pedido_id)


@pytest.mark.parametrize("servico", HOPS)
async def test_pedido_cortado_na_ida_continua_depois(cluster: Cluster, servico: str) -> None:
    """A call that never arrives leaves what was done before it, and the retry goes on there."""
    cluster.link(servico).cut(FORWARD[servico])
    reply = await cluster.create(key=f"ida {servico}")
    pedido_id = reply.body["pedido_id"]
    assert reply.body["status"] == "pendente"
    held = cluster.situation(pedido_id)
    assert list(held.passos) == list(HOPS[: HOPS.index(servico)])
    assert set(held.passos.values()) <= {"aprovado", "separado", "emitida"}
    cluster.link(servico).heal()
    assert (await cluster.create(key=f"ida {servico}")).body["status"] == "enviado"
    cluster.check_shipped(pedido_id)


@pytest.mark.parametrize(
    "category", [c for c in Categoria if c not in {Categoria.METODO, Categoria.MEDIA_TYPE}]
)
async def test_erro_de_um_salto_interno_e_desconhecido(
    cluster: Cluster, category: Categoria
) -> None:
    """An error status from an inner hop, whatever its kind, proves nothing and undoes nothing."""
    link = cluster.link("logistica")
    link.lose_reply(error=ErroServico(category, "dito por um salto interno"))
    reply = await cluster.create(key=f"erro {category}")
    pedido_id = reply.body["pedido_id"]
    assert reply.category is None
    assert reply.body["status"] == "pendente"
    held = cluster.situation(pedido_id)
    assert (held.pagamento, held.nota, held.envios) == ("aprovado", "emitida", 1)
    link.heal()
    assert (await cluster.create(key=f"erro {category}")).body["status"] == "enviado"
    cluster.check_shipped(pedido_id)


async def test_recusa_perdida_continua_recusa(open_fresh: OpenCluster) -> None:
    """A durable no whose reply was lost is the same no when asked again."""
    async with open_fresh(stock=0) as cluster:
        cluster.link("estoque").lose_reply(times=1)
        cluster.link("pagamentos").lose_reply(times=1)
        reply = await cluster.create()
        assert reply.body["motivo"] == "estoque_insuficiente"
        cluster.check_cancelled(reply.body["pedido_id"], "estoque_insuficiente")
        assert _log(cluster, "pagamentos", reply.body["pedido_id"]) == ["aprovado", "estornado"]


async def test_recusa_sem_o_estorno_ainda_nao_e_recusa(open_fresh: OpenCluster) -> None:
    """A service whose own undo failed answers unknown; the refusal comes once it is undone."""
    async with open_fresh(stock=0) as cluster:
        cluster.gateway.cut("anular")
        reply = await cluster.create(key="a")
        assert reply.body["status"] == "pendente"
        assert cluster.situation(reply.body["pedido_id"]).pagamento == "aprovado"
        cluster.gateway.heal()
        again = await cluster.create(key="a")
        assert again.body["motivo"] == "estoque_insuficiente"
        cluster.check_cancelled(reply.body["pedido_id"], "estoque_insuficiente")


async def test_cobranca_sem_linha_e_encontrada_pela_repeticao(open_fresh: OpenCluster) -> None:
    """A charge whose row was never written is found, not made again, by the retry."""
    async with open_fresh() as cluster:
        cluster.gateway.lose_reply("cobrar", times=1)
        reply = await cluster.create()
        assert cluster.gateway.count("cobrar") == 2
        cluster.check_shipped(reply.body["pedido_id"])


@pytest.mark.parametrize(
    "category", [c for c in Categoria if c not in {Categoria.METODO, Categoria.MEDIA_TYPE}]
)
async def test_erro_do_catalogo_e_indisponibilidade(
    open_fresh: OpenCluster, category: Categoria
) -> None:
    """Whatever Catalogo says of our question, our caller is told unavailable and has no order."""
    async with open_fresh() as cluster:
        catalogo = cluster.links["pedidos", "catalogo"]
        catalogo.cut(error=ErroServico(category, "dito pelo catálogo"))
        reply = await cluster.create()
        assert reply.category is Categoria.INDISPONIVEL
        assert reply.code in {503, "UNAVAILABLE"}
        assert cluster.orders() == 0
        catalogo.heal()
        assert (await cluster.create()).body["status"] == "enviado"


async def test_as_pausas_de_uma_conducao_cobrem_um_reinicio() -> None:
    """The pauses of one drive last several seconds on average, and never more than the cap each."""
    pauses = [espera(n, 0.5) for n in range(1, DRIVE_CALLS_MAX)]
    assert 3.0 < sum(pauses) < 5.0
    assert max(espera(n, 1.0) for n in range(1, 1_000)) == BACKOFF_CAP_S
