"""One key, one order, one answer; one order id, one effect in every service."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Any

import pytest

from common.erros import Categoria, indisponivel
from common.servicos.pedidos.retentativa import DRIVE_CALLS_MAX
from common.servicos.protocolo.contexto import Contexto
from tests.support.chain import FORWARD, basket, step

if TYPE_CHECKING:
    from tests.conftest import OpenCluster
    from tests.support.cluster import Cluster

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_repetir_a_chave_da_a_mesma_resposta(cluster: Cluster) -> None:
    """The same key and body get the same answer and status, and nothing is done again."""
    first = await cluster.create(key="a")
    again = await cluster.create(key="a")
    assert (again.code, again.body, again.key) == (first.code, first.body, "a")
    assert cluster.link("pagamentos").count("processar_pagamento") == 1
    cluster.check_shipped(first.body["pedido_id"])


async def test_uma_recusa_repetida_continua_recusa(open_fresh: OpenCluster) -> None:
    """A refusal is the key's answer for good; it is not tried again."""
    async with open_fresh(payment_approval=0.0) as cluster:
        first = await cluster.create(key="a")
        again = await cluster.create(key="a")
        assert first.body["motivo"] == "pagamento_rejeitado"
        assert (again.code, again.body) == (first.code, first.body)
        assert cluster.link("pagamentos").count("processar_pagamento") == 1


async def test_a_chave_sobrevive_ao_reinicio(open_fresh: OpenCluster) -> None:
    """A key is remembered by the book, not by the process."""
    async with open_fresh() as cluster:
        first = await cluster.create(key="a")
        await cluster.stop("pedidos")
        await cluster.start("pedidos")
        again = await cluster.create(key="a")
        assert (again.code, again.body) == (first.code, first.body)
        assert cluster.orders() == 1


@pytest.mark.parametrize(
    "other",
    [basket((1, 2)), basket((2, 1)), basket(cliente_id=2), basket(metodo_pagamento="boleto")],
)
async def test_a_mesma_chave_com_outro_corpo_e_conflito(cluster: Cluster, other: dict) -> None:
    """A key with another body is a conflict without effect."""
    first = await cluster.create(key=f"conflito {other}")
    before = cluster.orders()
    reply = await cluster.edge.call("criar_pedido", other, key=f"conflito {other}")
    assert reply.category is Categoria.CONFLITO
    assert reply.code in {409, "ALREADY_EXISTS"}
    assert cluster.orders() == before
    cluster.check_shipped(first.body["pedido_id"])


async def test_conflito_tambem_enquanto_o_pedido_anda(cluster: Cluster) -> None:
    """A conflict does not wait for the order that holds the key, nor disturb it."""
    gate = cluster.gateway.hold("before")
    first = asyncio.create_task(cluster.create(key="andando"))
    await gate.reached()
    reply = await cluster.create((2, 1), key="andando")
    assert reply.category is Categoria.CONFLITO
    gate.open()
    assert (await first).body["status"] == "enviado"


async def test_cinquenta_duplicatas_fazem_um_pedido(open_fresh: OpenCluster) -> None:
    """Fifty copies of one request at once make one order and one charge."""
    async with open_fresh() as cluster:
        replies = await asyncio.gather(*(cluster.create(key="a") for _ in range(50)))
        assert {reply.code for reply in replies} <= {201, "OK"}
        assert all(reply.body == replies[0].body for reply in replies)
        assert cluster.orders() == 1
        assert cluster.rows("gateway", "SELECT count(*) FROM cobrancas") == [(1,)]
        assert cluster.link("pagamentos").count("processar_pagamento") == 1
        assert cluster.link("pagamentos").peak(cluster.last()) == 1
        cluster.check_shipped(cluster.last())


async def test_cinquenta_chaves_fazem_cinquenta_pedidos(open_fresh: OpenCluster) -> None:
    """Orders of different keys do not disturb each other, however alike."""
    async with open_fresh() as cluster:
        replies = await asyncio.gather(*(cluster.create() for _ in range(50)))
        ids = {reply.body["pedido_id"] for reply in replies}
        assert len(ids) == len({reply.key for reply in replies}) == 50
        for pedido_id in ids:
            cluster.check_shipped(pedido_id)
        cluster.check_books()


async def test_sem_chave_o_servico_faz_uma_e_a_devolve(cluster: Cluster) -> None:
    """Without a key the service makes one, and it works like any other."""
    first = await cluster.create()
    other = await cluster.create()
    again = await cluster.create(key=first.key)
    assert first.key != other.key
    assert again.body == first.body != other.body


async def test_a_repeticao_se_junta_ao_pedido_que_anda(cluster: Cluster) -> None:
    """While an order is driven a retry waits for the same end instead of starting another."""
    gate = cluster.gateway.hold("before")
    first = asyncio.create_task(cluster.create(key="junta"))
    await gate.reached()
    again = asyncio.create_task(cluster.create(key="junta"))
    seen = (await cluster.create(key="junta", timeout_s=0.1)).body
    assert seen["status"] == "pendente"
    gate.open()
    assert (await first).body == (await again).body
    assert (await first).body["status"] == "enviado"
    assert cluster.link("pagamentos").count("processar_pagamento") == 1


async def test_leitura_antiga_nao_conduz_de_novo_o_que_terminou(cluster: Cluster) -> None:
    """A retry that read the order just before its end does not drive it again."""
    pedidos = cluster.apps["pedidos"].service
    gate = cluster.gateway.hold("before")
    first = asyncio.create_task(cluster.create(key="antiga"))
    await gate.reached()
    stale = await pedidos._conhecida(Contexto(), "antiga")
    gate.open()
    await first
    await cluster.idle()
    final = await cluster.condutor.resume(stale).fim.wait(inf)
    assert (stale.status, final.status) == ("pendente", "enviado")
    assert cluster.link("pagamentos").count("processar_pagamento") == 1


async def test_chave_conhecida_responde_com_a_casa_cheia(open_fresh: OpenCluster) -> None:
    """A known key is answered before admission, ended or not."""
    async with open_fresh(in_flight_max=1) as cluster:
        done = await cluster.create(key="pronto")
        gate = cluster.gateway.hold("before")
        running = asyncio.create_task(cluster.create(key="andando"))
        await gate.reached()
        assert (await cluster.create(key="novo")).category is Categoria.SOBRECARGA
        assert (await cluster.create(key="pronto")).body == done.body
        joined = asyncio.create_task(cluster.create(key="andando"))
        gate.open()
        assert (await joined).body == (await running).body


async def test_chave_conhecida_responde_sem_o_catalogo(open_fresh: OpenCluster) -> None:
    """A known key is answered before pricing; a new one needs prices and has no effect."""
    async with open_fresh() as cluster:
        done = await cluster.create(key="pronto")
        await cluster.stop("pedidos", "catalogo")
        await cluster.start("pedidos")
        assert (await cluster.create(key="pronto")).body == done.body
        reply = await cluster.create(key="novo")
        assert reply.category is Categoria.INDISPONIVEL
        assert reply.code in {503, "UNAVAILABLE"}
        assert cluster.orders() == 1
        await cluster.start("catalogo")


async def test_o_preco_e_o_do_momento_do_pedido(open_fresh: OpenCluster) -> None:
    """A retry of an open order is charged what was claimed, whatever prices do meanwhile."""
    async with open_fresh(circuit_breaker=False) as cluster:
        cluster.link("estoque").cut(times=DRIVE_CALLS_MAX)
        first = await cluster.create(key="a")
        assert first.body["status"] == "pendente"
        prices = cluster.apps["pedidos"].service._precos
        prices._valor = dict.fromkeys(prices.atual(), 1)
        again = await cluster.create(key="a")
        assert again.body["valor_total_centavos"] == first.body["valor_total_centavos"]
        cluster.check_shipped(again.body["pedido_id"])


@pytest.mark.parametrize("servico", FORWARD)
async def test_um_passo_repetido_e_feito_uma_vez(cluster: Cluster, servico: str) -> None:
    """An inner operation that comes twice answers the same and takes effect once."""
    pedido_id = 800_000 + list(FORWARD).index(servico)
    stock = cluster.stock(1)
    first = await cluster.edge.call(FORWARD[servico], step(servico, pedido_id))
    held = cluster.situation(pedido_id)
    again = await cluster.edge.call(FORWARD[servico], step(servico, pedido_id))
    assert first.category is None
    assert first.body == again.body
    assert first.body["status"] == "enviado"
    assert cluster.situation(pedido_id) == held
    assert held.envios == 1
    assert stock - cluster.stock(1) == held.retirado <= 1


@pytest.mark.parametrize("servico", FORWARD)
async def test_vinte_passos_iguais_ao_mesmo_tempo_sao_um(cluster: Cluster, servico: str) -> None:
    """Copies of an inner operation that come at once take effect once."""
    pedido_id = 810_000 + list(FORWARD).index(servico)
    stock = cluster.stock(1)
    body = step(servico, pedido_id)
    calls = [cluster.edge.call(FORWARD[servico], body) for _ in range(20)]
    replies = await asyncio.gather(*calls)
    assert all(reply.body == replies[0].body for reply in replies)
    held = cluster.situation(pedido_id)
    assert (held.envios, stock - cluster.stock(1)) == (1, held.retirado)
    assert held.liquido == (1_000 if servico == "pagamentos" else 0)


@pytest.mark.parametrize(
    ("servico", "changes"),
    [
        ("pagamentos", {"valor_total_centavos": 1_001}),
        ("pagamentos", {"metodo_pagamento": "boleto"}),
        ("pagamentos", basket((1, 2))),
        ("estoque", {"itens": basket((1, 2))["itens"]}),
        ("fiscal", {"valor_total_centavos": 1_001}),
        ("logistica", {"cliente_id": 2}),
    ],
)
async def test_o_mesmo_pedido_com_outros_valores_e_conflito(
    cluster: Cluster, servico: str, changes: dict
) -> None:
    """A known order id with other values is a conflict at every service, without effect."""
    pedido_id = 820_000 + list(FORWARD).index(servico)
    await cluster.edge.call(FORWARD[servico], step(servico, pedido_id))
    held = cluster.situation(pedido_id)
    reply = await cluster.edge.call(FORWARD[servico], step(servico, pedido_id, **changes))
    assert reply.category is Categoria.CONFLITO
    assert reply.code in {409, "ALREADY_EXISTS"}
    assert cluster.situation(pedido_id) == held


async def test_pedido_importado_nao_e_feito_de_novo(cluster: Cluster) -> None:
    """A step for an order of the imported past is a conflict without effect."""
    sql = "SELECT pedido_id FROM passos WHERE estado = 'importado' LIMIT 1"
    for servico in ("pagamentos", "fiscal", "logistica"):
        pedido_id = cluster.value(servico, sql)
        reply = await cluster.edge.call(FORWARD[servico], step(servico, pedido_id))
        assert reply.category is Categoria.CONFLITO
        assert cluster.situation(pedido_id).retirado == 0


async def test_a_key_that_was_claimed_during_the_wait_is_answered(cluster: Cluster) -> None:
    """A retry that found nothing, waited and was refused is looked up once more."""
    pedidos = cluster.apps["pedidos"].service
    asked = pedidos._precificar
    tried = asyncio.Event()

    async def claimed_meanwhile(ctx: Any, req: Any) -> Any:
        # The first call claims its key while the retry waits for prices that do not come.
        if tried.is_set():
            return await asked(ctx, req)
        tried.set()
        first = await pedidos.criar_pedido(Contexto(ctx.prazo, ctx.chave), req)
        assert first.status == "enviado"
        raise indisponivel("a consulta a outro serviço falhou")

    pedidos._precificar, pedidos._imediato = claimed_meanwhile, lambda: False
    try:
        reply = await cluster.create(key="esperou")
    finally:
        del pedidos._precificar, pedidos._imediato
    assert reply.body["status"] == "enviado"
    assert cluster.link("pagamentos").count("processar_pagamento", reply.body["pedido_id"]) == 1
