"""The life of an order that nobody disturbs: shipped, or refused for a reason."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from common.erros import Categoria
from common.servicos.pagamentos.gateway import sorteio
from common.servicos.protocolo.chave_acesso import chave_valida
from tests.support.chain import CUSTOMERS, IMPORTED, PRODUCTS, basket
from tests.support.cluster import STOCK, Cluster

if TYPE_CHECKING:
    from tests.conftest import OpenCluster

pytestmark = pytest.mark.asyncio(loop_scope="module")


def _prices(cluster: Cluster) -> dict[int, int]:
    return dict(cluster.rows("catalogo", "SELECT id, preco_centavos FROM produtos"))


async def test_pedido_enviado_tem_a_resposta_do_contrato(cluster: Cluster) -> None:
    """A shipped order is answered with exactly the contract's fields."""
    prices = _prices(cluster)
    reply = await cluster.create((1, 2), (3, 1))
    pedido_id = reply.body["pedido_id"]
    ((numero, chave),) = cluster.rows(
        "fiscal", "SELECT numero, chave_acesso FROM notas_fiscais WHERE pedido_id = ?", pedido_id
    )
    codigo = cluster.value(
        "logistica", "SELECT codigo_rastreamento FROM envios WHERE pedido_id = ?", pedido_id
    )
    assert reply.code in {201, "OK"}
    assert reply.body == {
        "pedido_id": pedido_id,
        "status": "enviado",
        "motivo": None,
        "valor_total_centavos": 2 * prices[1] + prices[3],
        "pagamento": {"status": "aprovado", "metodo": "pix"},
        "nota_fiscal": {"numero": numero, "chave_acesso": chave},
        "envio": {"codigo_rastreamento": codigo, "status": "enviado"},
    }
    assert numero.startswith("NF")
    assert len(numero) == 11
    assert len(chave) == 44
    assert chave_valida(chave)
    assert codigo[:2] + codigo[-2:] == "BRPY"
    assert len(codigo) == 13


async def test_cada_servico_guarda_a_sua_parte(cluster: Cluster) -> None:
    """Charge, picking, invoice and shipment are each on file once, with the order's values."""
    before = cluster.stock(2)
    reply = await cluster.create((2, 3), key="partes")
    pedido_id, total = reply.body["pedido_id"], reply.body["valor_total_centavos"]
    cluster.check_shipped(pedido_id, units=3)
    assert cluster.stock(2) == before - 3
    values = {
        cluster.value(nome, f"SELECT valor_centavos FROM {tabela} WHERE pedido_id = ?", pedido_id)
        for nome, tabela in (("pagamentos", "pagamentos"), ("fiscal", "notas_fiscais"))
    }
    assert values == {total}
    assert cluster.rows(
        "pedidos",
        "SELECT produto_id, quantidade, preco_unitario_centavos FROM itens_pedido "
        "WHERE pedido_id = ?",
        pedido_id,
    ) == [(2, 3, _prices(cluster)[2])]
    assert (
        cluster.value("pedidos", "SELECT chave_idempotencia FROM pedidos WHERE id = ?", pedido_id)
        == "partes"
    )


async def test_o_historico_do_pedido_passa_por_cada_status(cluster: Cluster) -> None:
    """The order's log tells every step from its creation to its shipment."""
    reply = await cluster.create()
    steps = cluster.rows(
        "pedidos",
        "SELECT de, para FROM transicoes WHERE pedido_id = ? ORDER BY id",
        reply.body["pedido_id"],
    )
    assert steps == [
        ("ausente", "pendente"),
        ("pendente", "pagamento_aprovado"),
        ("pagamento_aprovado", "em_separacao"),
        ("em_separacao", "nf_emitida"),
        ("nf_emitida", "enviado"),
    ]


async def test_consultar_da_a_mesma_resposta_que_criar(cluster: Cluster) -> None:
    """A lookup after the answer shows what was answered."""
    reply = await cluster.create()
    assert await cluster.look(reply.body["pedido_id"]) == reply.body


async def test_notas_numeradas_de_um_a_n_sem_buraco(open_fresh: OpenCluster) -> None:
    """Invoice numbers count from 1 without a hole, apart from the imported ones."""
    async with open_fresh() as cluster:
        numbers = [(await cluster.create()).body["nota_fiscal"]["numero"] for _ in range(3)]
        assert numbers == ["NF000000001", "NF000000002", "NF000000003"]
        cluster.check_books()


@pytest.mark.parametrize("metodo", ["pix", "boleto", "cartao_credito"])
async def test_cada_metodo_de_pagamento_e_aceito(cluster: Cluster, metodo: str) -> None:
    """The shop's three methods pay an order."""
    body = basket(metodo_pagamento=metodo)
    reply = await cluster.edge.call("criar_pedido", body)
    assert reply.body["pagamento"] == {"status": "aprovado", "metodo": metodo}


async def test_pagamento_recusado_nao_toca_nada_abaixo(open_fresh: OpenCluster) -> None:
    """A refused payment is an answer, and nothing below Pagamentos hears of the order."""
    async with open_fresh(payment_approval=0.0) as cluster:
        reply = await cluster.create()
        pedido_id = reply.body["pedido_id"]
        assert reply.code in {201, "OK"}
        assert reply.body == {
            "pedido_id": pedido_id,
            "status": "cancelado",
            "motivo": "pagamento_rejeitado",
            "valor_total_centavos": _prices(cluster)[1],
            "pagamento": {"status": "rejeitado", "metodo": "pix"},
            "nota_fiscal": None,
            "envio": None,
        }
        held = cluster.check_cancelled(pedido_id, "pagamento_rejeitado")
        assert held.passos == {"pagamentos": "rejeitado"}
        assert held.cobrado == 0
        assert cluster.link("estoque").calls == []


async def test_veredito_vem_da_semente_e_do_pedido(open_fresh: OpenCluster) -> None:
    """Which payments are refused is drawn from the seed and the order, whatever the arm."""
    async with open_fresh(payment_approval=0.5, seed=7) as cluster:
        replies = [await cluster.create() for _ in range(12)]
        seen = {reply.body["pedido_id"]: reply.body["status"] for reply in replies}
        drawn = {n: "enviado" if sorteio(7, f"pedido-{n}")[1] < 0.5 else "cancelado" for n in seen}
        assert seen == drawn
        assert len(set(seen.values())) == 2


async def test_estoque_insuficiente_devolve_o_dinheiro(open_fresh: OpenCluster) -> None:
    """Without stock for one item nothing is taken, and the charge is given back."""
    async with open_fresh() as cluster:
        reply = await cluster.create((1, 2), (2, STOCK + 1))
        pedido_id = reply.body["pedido_id"]
        assert reply.code in {201, "OK"}
        assert reply.body["status"] == "cancelado"
        assert reply.body["motivo"] == "estoque_insuficiente"
        assert reply.body["pagamento"] == {"status": "estornado", "metodo": "pix"}
        assert reply.body["nota_fiscal"] is reply.body["envio"] is None
        held = cluster.check_cancelled(pedido_id, "estoque_insuficiente")
        assert held.passos == {"pagamentos": "estornado", "estoque": "insuficiente"}
        assert held.cobrado == reply.body["valor_total_centavos"]
        assert (cluster.stock(1), cluster.stock(2)) == (STOCK, STOCK)
        cluster.check_books()


async def test_ultima_unidade_e_vendida_uma_so_vez(open_fresh: OpenCluster) -> None:
    """Two orders for the last unit: one is shipped, the other is told that there is none."""
    async with open_fresh(stock=1) as cluster:
        first, second = await cluster.create(), await cluster.create()
        assert first.body["status"] == "enviado"
        assert second.body["motivo"] == "estoque_insuficiente"
        assert cluster.stock(1) == 0


async def test_catalogo_mostra_precos_e_estoque(open_fresh: OpenCluster) -> None:
    """The catalogue lists every product with its price and stock, also those sold out."""
    async with open_fresh(stock=0) as cluster:
        products = (await cluster.edge.call("listar_produtos", {})).body
        assert [product["id"] for product in products] == list(range(1, PRODUCTS + 1))
        assert {product["estoque"] for product in products} == {0}
        assert {p["id"]: p["preco_centavos"] for p in products} == _prices(cluster)
        prices = (await cluster.edge.call("consultar_precos", {})).body
        assert {p["id"]: p["preco_centavos"] for p in prices} == _prices(cluster)


async def test_sem_estoque_o_catalogo_esta_indisponivel_mas_tem_precos(
    open_fresh: OpenCluster,
) -> None:
    """Products need Estoque's quantities; prices do not."""
    async with open_fresh() as cluster:
        await cluster.stop("estoque")
        reply = await cluster.edge.call("listar_produtos", {})
        assert reply.category is Categoria.INDISPONIVEL
        assert (await cluster.edge.call("consultar_precos", {})).category is None


async def test_consultas_ao_catalogo_partilham_uma_busca(cluster: Cluster) -> None:
    """Listings that come together ask Estoque once."""
    link = cluster.links["catalogo", "estoque"]
    cluster.apps["catalogo"].service._saldos._instante = float("-inf")
    gate = link.hold("before")

    tasks = [asyncio.create_task(cluster.edge.call("listar_produtos", {})) for _ in range(10)]
    await gate.reached()
    gate.open()
    replies = await asyncio.gather(*tasks)
    assert {reply.category for reply in replies} == {None}
    assert link.count("listar_estoque") == 1


async def test_clientes_em_paginas(cluster: Cluster) -> None:
    """Customers come by ascending id, a page at a time."""
    everyone = (await cluster.edge.call("listar_clientes", {})).body
    assert [customer["id"] for customer in everyone] == list(range(1, CUSTOMERS + 1))
    page = (await cluster.edge.call("listar_clientes", {"apos_id": 1, "limite": 2})).body
    assert page == everyone[1:3]


async def test_cada_passo_pode_ser_consultado(cluster: Cluster) -> None:
    """Every service of the chain tells what it holds of an order."""
    reply = await cluster.create((4, 2))
    pedido_id, total = reply.body["pedido_id"], reply.body["valor_total_centavos"]
    fields = {"pedido_id": pedido_id}
    pagamento = (await cluster.edge.call("consultar_pagamento", fields)).body
    separacao = (await cluster.edge.call("consultar_separacao", fields)).body
    nota = (await cluster.edge.call("consultar_nota_fiscal", fields)).body
    envio = (await cluster.edge.call("consultar_envio", fields)).body
    assert (pagamento["status"], pagamento["valor_centavos"]) == ("aprovado", total)
    assert separacao["itens"] == [{"produto_id": 4, "quantidade": 2}]
    assert (nota["status"], nota["numero"]) == ("emitida", reply.body["nota_fiscal"]["numero"])
    assert envio["numero_nota"] == nota["numero"]
    assert envio["codigo_rastreamento"] == reply.body["envio"]["codigo_rastreamento"]
    saldo = (await cluster.edge.call("consultar_estoque", {"produto_id": 4})).body
    assert saldo == {"produto_id": 4, "quantidade": cluster.stock(4)}


@pytest.mark.parametrize(
    "operation",
    [
        "consultar_pedido",
        "consultar_pagamento",
        "consultar_separacao",
        "consultar_nota_fiscal",
        "consultar_envio",
    ],
)
async def test_pedido_desconhecido_nao_e_encontrado(cluster: Cluster, operation: str) -> None:
    """An id in a path that names nothing is not found."""
    reply = await cluster.edge.call(operation, {"pedido_id": 999_999})
    assert reply.category is Categoria.NAO_ENCONTRADO
    assert reply.code in {404, "NOT_FOUND"}


async def test_produto_desconhecido_nao_e_encontrado(cluster: Cluster) -> None:
    """A product in a path that does not exist is not found."""
    reply = await cluster.edge.call("consultar_estoque", {"produto_id": 999})
    assert reply.category is Categoria.NAO_ENCONTRADO


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (basket(cliente_id=999), "cliente_id"),
        (basket((1, 1), (999, 1)), "itens[1].produto_id"),
        (basket((1, 1), (1, 2)), "itens[1].produto_id"),
        (basket(metodo_pagamento="fiado"), "metodo_pagamento"),
        (basket((1, 0)), "itens[0].quantidade"),
        (basket((1, -1)), "itens[0].quantidade"),
        (basket(cliente_id=0), "cliente_id"),
        ({**basket(), "itens": []}, "itens"),
    ],
)
async def test_corpo_invalido_nomeia_o_campo_e_nao_tem_efeito(
    cluster: Cluster, body: dict, field: str
) -> None:
    """A broken rule in a body is the caller's error, named by field, before any effect."""
    before = cluster.orders()
    reply = await cluster.edge.call("criar_pedido", body, key=f"invalido {field}")
    assert reply.category is Categoria.INVALIDO
    assert reply.code in {400, "INVALID_ARGUMENT"}
    assert [name.replace("[...]", "") for name in reply.fields] in (
        [field],
        [field.replace("[0]", "")],
    )
    assert cluster.orders() == before


async def test_pedido_importado_pode_ser_consultado(cluster: Cluster) -> None:
    """Orders of the shop's past are looked up like any other."""
    assert {(await cluster.look(n))["pedido_id"] for n in range(1, IMPORTED + 1)} == set(
        range(1, IMPORTED + 1)
    )
