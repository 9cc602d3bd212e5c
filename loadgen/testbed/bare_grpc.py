"""The floor of the gRPC arm: five hops of plain grpc.aio, in one file and with plain options.

`python -m loadgen.testbed.bare_grpc HOP [--next HOST:PORT] [--payment-wait MIN:MAX]` serves one hop: the
generated servicers and stubs, messages like the real ones, and nothing else: no interceptor, no
table of operations, no domain, no storage.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from itertools import count
from typing import Any, Final

import grpc.aio

from loadgen.testbed.bare import Hop, serve_hop
from proto import (
    comum_pb2,
    estoque_pb2,
    estoque_pb2_grpc,
    fiscal_pb2,
    fiscal_pb2_grpc,
    logistica_pb2,
    logistica_pb2_grpc,
    pagamentos_pb2,
    pagamentos_pb2_grpc,
    pedidos_pb2,
    pedidos_pb2_grpc,
)

# Without these the core drops calls once a thousand wait, and a floor that fails is none.
OPTIONS: Final = [
    ("grpc.so_reuseport", 0),
    ("grpc.server.max_pending_requests", 100_000),
    ("grpc.server.max_pending_requests_hard_limit", 100_000),
    ("grpc.server_max_unrequested_time_in_server", 3_600),
]


class Handler:
    """The state of a hop: the stub of the next one, and the payment's wait in seconds."""

    def __init__(self, next_stub: Any, payment_wait: tuple[float, float]) -> None:
        self._next = next_stub
        self._wait = payment_wait


class Pedidos(Handler, pedidos_pb2_grpc.PedidosServicer):
    """Numbers the order and hands it on."""

    _ids = count(1)

    async def CriarPedido(self, request: Any, context: Any) -> Any:  # noqa: N802 - the generated name
        """Place an order."""
        pedido_id = next(self._ids)
        total = sum(item.quantidade for item in request.itens) * 1_990
        reply = await self._next.ProcessarPagamento(
            pagamentos_pb2.ProcessarPagamentoRequest(
                pedido_id=pedido_id,
                cliente_id=request.cliente_id,
                valor_total_centavos=total,
                metodo_pagamento=request.metodo_pagamento,
                itens=request.itens,
            )
        )
        return pedidos_pb2.PedidoResponse(
            pedido_id=pedido_id,
            status=reply.status,
            valor_total_centavos=total,
            pagamento=reply.pagamento,
            nota_fiscal=reply.nota_fiscal,
            envio=reply.envio,
        )


class Pagamentos(Handler, pagamentos_pb2_grpc.PagamentosServicer):
    """Waits as the gateway would and hands the order on."""

    async def ProcessarPagamento(self, request: Any, context: Any) -> Any:  # noqa: N802 - the generated name
        """Charge it."""
        if self._wait[1] > 0:
            await asyncio.sleep(random.uniform(*self._wait))
        reply = await self._next.SepararEstoque(
            estoque_pb2.SepararEstoqueRequest(
                pedido_id=request.pedido_id,
                cliente_id=request.cliente_id,
                valor_total_centavos=request.valor_total_centavos,
                itens=request.itens,
            )
        )
        reply.pagamento.status = "aprovado"
        reply.pagamento.metodo = request.metodo_pagamento
        return reply


class Estoque(Handler, estoque_pb2_grpc.EstoqueServicer):
    """Hands the order on."""

    async def SepararEstoque(self, request: Any, context: Any) -> Any:  # noqa: N802 - the generated name
        """Pick it."""
        reply = await self._next.EmitirNotaFiscal(
            fiscal_pb2.EmitirNotaFiscalRequest(
                pedido_id=request.pedido_id,
                cliente_id=request.cliente_id,
                valor_total_centavos=request.valor_total_centavos,
            )
        )
        reply.separacao.status = "separado"
        return reply


class Fiscal(Handler, fiscal_pb2_grpc.FiscalServicer):
    """Hands the order on with an invoice."""

    async def EmitirNotaFiscal(self, request: Any, context: Any) -> Any:  # noqa: N802 - the generated name
        """Invoice it."""
        note = comum_pb2.ResumoNotaFiscal(
            numero=f"NF{request.pedido_id:09d}", chave_acesso=f"{request.pedido_id:044d}"
        )
        reply = await self._next.AgendarEnvio(
            logistica_pb2.AgendarEnvioRequest(
                pedido_id=request.pedido_id, cliente_id=request.cliente_id, nota_fiscal=note
            )
        )
        reply.nota_fiscal.CopyFrom(note)
        return reply


class Logistica(Handler, logistica_pb2_grpc.LogisticaServicer):
    """The last hop."""

    async def AgendarEnvio(self, request: Any, context: Any) -> Any:  # noqa: N802 - the generated name
        """Ship it."""
        return comum_pb2.AndamentoResponse(
            pedido_id=request.pedido_id,
            status="enviado",
            envio=comum_pb2.ResumoEnvio(
                codigo_rastreamento=f"BR{request.pedido_id:09d}PY", status="enviado"
            ),
        )


# Of each hop its handler, how a server takes it, and the stub of the next hop. The generated code
# carries no types.
HOPS: Final[dict[str, tuple[Callable[..., Any], Callable[..., Any], Any]]] = {
    "pedidos": (
        Pedidos, pedidos_pb2_grpc.add_PedidosServicer_to_server, pagamentos_pb2_grpc.PagamentosStub
    ),
    "pagamentos": (
        Pagamentos, pagamentos_pb2_grpc.add_PagamentosServicer_to_server, estoque_pb2_grpc.EstoqueStub
    ),
    "estoque": (
        Estoque, estoque_pb2_grpc.add_EstoqueServicer_to_server, fiscal_pb2_grpc.FiscalStub
    ),
    "fiscal": (
        Fiscal, fiscal_pb2_grpc.add_FiscalServicer_to_server, logistica_pb2_grpc.LogisticaStub
    ),
    "logistica": (Logistica, logistica_pb2_grpc.add_LogisticaServicer_to_server, None),
}  # fmt: skip


async def listen(hop: Hop, closing: AsyncExitStack) -> int:
    """Serve one hop on a free port of loopback; returns the port."""
    handler, add, stub = HOPS[hop.name]
    next_stub = None
    if hop.next_address:
        channel = grpc.aio.insecure_channel(hop.next_address)
        closing.push_async_callback(channel.close, None)
        next_stub = stub(channel)
    server = grpc.aio.server(options=OPTIONS)
    closing.push_async_callback(server.stop, None)
    add(handler(next_stub, hop.payment_wait), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return port


if __name__ == "__main__":
    serve_hop(listen)
