"""Every limit, on both sides of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest

from common import contratos as c
from common.erros import Categoria
from common.settings import ORDER_BODY_MAX
from tests.support.chain import basket
from tests.support.edges import OPERATIONS, GrpcEdge, HttpEdge
from wire.grpc.codec import caminho, protobuf_type

if TYPE_CHECKING:
    from tests.support.cluster import Cluster

pytestmark = pytest.mark.asyncio(loop_scope="module")

CREATE = OPERATIONS["criar_pedido"]


async def _order_ships(cluster: Cluster, *itens: tuple[int, int]) -> None:
    reply = await cluster.create(*itens)
    assert reply.body["status"] == "enviado"
    cluster.check_shipped(reply.body["pedido_id"], units=sum(units for _, units in itens))


async def _refused(cluster: Cluster, body: dict[str, Any], key: str | None = None) -> str:
    before = cluster.orders()
    reply = await cluster.edge.call("criar_pedido", body, key=key)
    assert reply.category is Categoria.INVALIDO
    assert cluster.orders() == before
    return reply.fields[0]


async def test_itens_por_pedido(cluster: Cluster) -> None:
    """Fifty lines are an order, fifty-one are not."""
    assert c.ITENS_POR_PEDIDO_MAX == 50
    itens = [(n, 1) for n in range(1, 52)]
    await _order_ships(cluster, *itens[:50])
    assert await _refused(cluster, basket(*itens)) == "itens"


async def test_unidades_por_item(cluster: Cluster) -> None:
    """A thousand units of a product are an item, one more is not."""
    assert c.UNIDADES_POR_ITEM_MAX == 1_000
    await _order_ships(cluster, (1, 1_000))
    assert "quantidade" in await _refused(cluster, basket((1, 1_001)))


async def test_tamanho_da_chave(cluster: Cluster) -> None:
    """A key has from 1 to 255 characters."""
    assert c.CHAVE_IDEMPOTENCIA_MAX == 255
    reply = await cluster.create(key="k" * 255)
    assert reply.key == "k" * 255
    assert (await cluster.create(key="k" * 255)).body == reply.body
    assert await _refused(cluster, basket(), key="k" * 256) == "idempotency-key"
    assert await _refused(cluster, basket(), key="") == "idempotency-key"
    assert (await cluster.create(key="k")).key == "k"


async def test_chave_so_de_caracteres_imprimiveis(cluster: Cluster) -> None:
    """A key is printable ASCII; gRPC itself lets nothing else travel."""
    if isinstance(cluster.edge, HttpEdge):
        assert await _refused(cluster, basket(), key="chave-é") == "idempotency-key"
        assert await _refused(cluster, basket(), key="a\tb") == "idempotency-key"
    else:
        # HTTP takes the spaces at both ends of a header for padding.
        assert await _refused(cluster, basket(), key=" a") == "idempotency-key"
        assert await _refused(cluster, basket(), key="a ") == "idempotency-key"
    reply = await cluster.create(key="!~ com espaco")
    assert reply.key == "!~ com espaco"


async def test_ids_cabem_em_32_bits(cluster: Cluster) -> None:
    """The largest id is merely unknown; above it only REST could even say it."""
    assert await _refused(cluster, basket(cliente_id=c.ID_MAX)) == "cliente_id"
    assert await _refused(cluster, basket((c.ID_MAX, 1))) == "itens[0].produto_id"
    unknown = await cluster.edge.call("consultar_pedido", {"pedido_id": c.PEDIDO_ID_MAX})
    assert unknown.category is Categoria.NAO_ENCONTRADO
    if isinstance(cluster.edge, HttpEdge):
        assert await _refused(cluster, basket(cliente_id=c.ID_MAX + 1)) == "cliente_id"
        too_large = await cluster.edge.call("consultar_pedido", {"pedido_id": c.PEDIDO_ID_MAX + 1})
        assert too_large.category is Categoria.INVALIDO


async def test_clientes_por_pagina(cluster: Cluster) -> None:
    """A page holds at most ten thousand customers; asking for more is an error."""
    assert c.CLIENTES_POR_PAGINA_MAX == 10_000
    assert (await cluster.edge.call("listar_clientes", {"limite": 10_000})).category is None
    reply = await cluster.edge.call("listar_clientes", {"limite": 10_001})
    assert reply.category is Categoria.INVALIDO
    assert reply.fields == ("limite",)


async def test_tamanho_do_corpo(cluster: Cluster) -> None:
    """A body of the largest size is read, one byte more is refused before any effect."""
    send = _send_http if isinstance(cluster.edge, HttpEdge) else _send_grpc
    assert await send(cluster, ORDER_BODY_MAX) in {201, "OK"}
    before = cluster.orders()
    assert await send(cluster, ORDER_BODY_MAX + 1) in {413, "RESOURCE_EXHAUSTED"}
    assert cluster.orders() == before


async def _send_http(cluster: Cluster, size: int) -> int:
    assert isinstance(cluster.edge, HttpEdge)
    body = b'{"cliente_id":1,"itens":[{"produto_id":1,"quantidade":1}],"metodo_pagamento":"pix"}'
    async with cluster.edge.session.post(
        cluster.edge.url("pedidos", CREATE.caminho),
        data=body.ljust(size),
        headers={"Content-Type": "application/json"},
    ) as response:
        if response.status >= 400:
            assert response.content_type == "application/problem+json"
        return response.status


async def _send_grpc(cluster: Cluster, size: int) -> str:
    assert isinstance(cluster.edge, GrpcEdge)
    message = protobuf_type(c.CriarPedidoRequest)(**basket()).SerializeToString()
    # An unknown field of the right length: tag 1000, three bytes of length.
    padding = size - len(message) - 2 - 3
    length = bytes([padding & 0x7F | 0x80, padding >> 7 & 0x7F | 0x80, padding >> 14])
    message += b"\xc2\x3e" + length + b"x" * padding
    assert len(message) == size
    rpc = cluster.edge.channel("pedidos").unary_unary(caminho(CREATE))(message)
    try:
        await rpc
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"
