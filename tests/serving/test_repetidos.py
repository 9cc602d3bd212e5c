"""Two headers of a kind that means one thing: refused in every arm, whatever they say."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

import pytest

from common.erros import Categoria
from tests.support.chain import FORWARD, basket, step
from tests.support.edges import deadline_header

if TYPE_CHECKING:
    from tests.support.cluster import Cluster

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-1af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01"
(NOW,) = deadline_header(3_600.0).values()
ONCE = {
    "idempotency-key": ("uma", "outra"),
    "x-timeout-ms": ("20000", "20001"),
    "x-deadline-at": (NOW, NOW + "0"),
    "x-attempt-count": ("1", "2"),
    "x-timing": ("full", "none"),
    "x-chain-token": ("uma", "outra"),
}


@pytest.mark.parametrize("alike", [True, False], ids=["alike", "unlike"])
@pytest.mark.parametrize("name", ONCE)
async def test_dois_cabecalhos_que_dizem_uma_coisa(
    cluster: Cluster, name: str, *, alike: bool
) -> None:
    """Two of them are refused by name, at the edge and within, and nothing comes of the call."""
    one, other = ONCE[name]
    headers = [(name, one), (name, one if alike else other)]
    orders = cluster.orders()
    for operation, body in (
        ("criar_pedido", basket()),
        ("consultar_pedido", {"pedido_id": 1}),
        (FORWARD["logistica"], step("logistica", 640_000)),
    ):
        reply = await cluster.edge.call(operation, body, headers=headers)
        assert (reply.category, reply.fields) == (Categoria.INVALIDO, (name,)), operation
        assert reply.code in {400, "INVALID_ARGUMENT"}
    assert cluster.orders() == orders
    assert cluster.situation(640_000).passos == {}


async def test_um_nome_escrito_de_duas_formas_e_um_so(cluster: Cluster) -> None:
    """Where names may be written in capitals, the same name in two ways is there twice."""
    if "grpc" in cluster.arm.module:
        pytest.skip("gRPC's names are in lower case")
    orders = cluster.orders()
    body = json.dumps(basket()).encode()
    host, _, port = cluster.addresses["pedidos"].rpartition(":")
    # No client library would send it.
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"POST /pedidos HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n".encode()
        + b"Idempotency-Key: escrita\r\nidempotency-key: escrita\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"campo":"idempotency-key"' in answer
    assert cluster.orders() == orders


async def test_uma_chave_com_virgula_e_uma_chave(cluster: Cluster) -> None:
    """A key that looks like two joined by a comma is one, and so has one order."""
    first = await cluster.create(key="uma, outra")
    again = await cluster.create(key="uma, outra")
    assert first.key == again.key == "uma, outra"
    assert first.body == again.body


@pytest.mark.parametrize("other", [TRACE, OTHER])
async def test_dois_rastros_sao_nenhum(
    cluster: Cluster, other: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Two traces begin a new one: the call is served, and its trace is not the caller's.

    gRPC's core hands over the last of them, as if it had come alone.
    """
    caplog.set_level(logging.INFO)
    await cluster.create(headers=[("traceparent", TRACE)])
    assert _kept(caplog) == [TRACE[3:35]]
    caplog.clear()
    two = await cluster.create(headers=[("traceparent", TRACE), ("traceparent", other)])
    assert two.body["status"] == "enviado"
    if "http" in cluster.arm.module:
        assert TRACE[3:35] not in _kept(caplog)


async def test_duas_listas_de_fabricantes_nao_sao_erro(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """The standard admits several lists of vendors beside a trace."""
    headers = [("traceparent", TRACE), ("tracestate", "a=1"), ("tracestate", "b=2")]
    caplog.set_level(logging.INFO)
    await cluster.create(headers=headers)
    assert _kept(caplog) == [TRACE[3:35]]


def _kept(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The traces that the edge has kept."""
    said = [getattr(record, "said", {}) for record in caplog.records]
    return [each["trace_id"] for each in said if "kept" in each]


async def test_o_que_ninguem_le_pode_vir_duas_vezes(cluster: Cluster) -> None:
    """Names of no concern to a service may come as often as they like."""
    reply = await cluster.create(headers=[("x-outra-coisa", "1"), ("x-outra-coisa", "2")])
    assert reply.body["status"] == "enviado"
