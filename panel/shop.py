"""The shop of the panel: what there is, buying it, and the story of any order."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from common import contratos as c
from common.audit import AuditError, Dossier, story
from common.contratos import MetodoPagamento
from common.erros import ErroServico
from common.process.runfile import Run
from common.servicos.protocolo.contexto import Contexto
from common.telemetry.logs import of_order
from common.telemetry.order_log import kept_spans
from common.telemetry.spans import Span
from common.telemetry.trace_context import begun
from loadgen.workload.dial import Catalogo, Pedidos, dial_catalogo, dial_pedidos
from panel.actions import ActionError

# Seconds. A buyer in the page waits as a customer would.
PRAZO_S: Final = 60.0
# Customers that the shop offers to buy as.
CLIENTES: Final = 50


class Bar(Struct, frozen=True, omit_defaults=True):
    """One span as it is drawn: milliseconds since the order came."""

    service: str
    name: str
    kind: str
    depth: int
    start: float
    length: float
    error: str = ""
    missing: bool = False


class Story(Struct, frozen=True):
    """All that is known of one order; `bars` is empty where its trace was not kept."""

    order: dict[str, Any]
    bars: list[Bar]
    trace_id: str
    events: list[tuple[str, str, str]]
    facts: list[str]
    log: list[str]


class Shop:
    """The shop of the arm that runs, as its customers have it."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._draw = random.Random()

    async def shelf(self, run: Run) -> tuple[Sequence[c.ProdutoInfo], Sequence[c.ClienteInfo]]:
        """Products with their stock, and customers. Raises ActionError."""
        async with _catalogo(run) as catalogo, _pedidos(run) as pedidos:
            products, customers = await asyncio.gather(
                _asked(catalogo.listar_produtos, c.ListarProdutosRequest()),
                _asked(pedidos.listar_clientes, c.ListarClientesRequest(limite=CLIENTES)),
            )
        return products.produtos, customers.clientes

    async def buy(
        self,
        run: Run,
        key: str,
        customer: int,
        items: Sequence[tuple[int, int]],
        method: MetodoPagamento,
    ) -> tuple[c.PedidoResponse, float]:
        """Place an order whose trace is kept; its answer, and seconds. Raises ActionError."""
        ctx = Contexto(time.monotonic() + PRAZO_S, f"painel-{key}")
        ctx.rastro = begun(self._draw, sampled=True)
        request = c.CriarPedidoRequest(
            customer, tuple(c.ItemPedido(product, amount) for product, amount in items), method
        )
        start = time.monotonic()
        async with _pedidos(run) as pedidos:
            answer: c.PedidoResponse = await _called(pedidos.criar_pedido, ctx, request)
        return answer, time.monotonic() - start

    async def story(self, run: Run, pedido_id: int) -> Story:
        """Everything about one order. Raises ActionError."""
        async with _pedidos(run) as pedidos:
            answer: c.PedidoResponse = await _called(
                pedidos.consultar_pedido,
                Contexto(time.monotonic() + PRAZO_S),
                c.ConsultarPedidoRequest(pedido_id),
            )
        dossier = await asyncio.to_thread(self._dossier, pedido_id)
        logged = await asyncio.to_thread(of_order, self._data_dir, pedido_id)
        told = [entry for entry in logged if entry.hops and entry.pedido_id == pedido_id]
        kept = next(iter(told), None)
        drawn = [] if kept is None else bars(kept_spans(kept))
        return Story(
            order=_plain(answer),
            bars=drawn,
            trace_id="" if kept is None else kept.trace_id,
            events=[(each.instante, each.servico, each.text) for each in dossier.events],
            facts=list(dossier.facts),
            log=[f"{entry.service}: {entry.message}" for entry in logged],
        )

    def _dossier(self, pedido_id: int) -> Dossier:
        try:
            return story(self._data_dir, pedido_id)
        except AuditError as error:
            raise ActionError(str(error)) from None


def bars(found: Sequence[Span]) -> list[Bar]:
    """Spans as they are drawn, parents first, each as deep as its parents are many."""
    if not found:
        return []
    origin = found[0].start_ms
    depths: dict[str, int] = {}
    drawn = []
    for span in found:
        depth = depths[span.span_id] = depths.get(span.parent, -1) + 1
        drawn.append(
            Bar(
                service=span.service, name=span.name, kind=span.kind, depth=depth,
                start=round(span.start_ms - origin, 3),
                length=round(span.end_ms - span.start_ms, 3), error=span.error,
                missing=span.missing,
            )
        )  # fmt: skip
    return drawn


@asynccontextmanager
async def _pedidos(run: Run) -> AsyncIterator[Pedidos]:
    """Pedidos for a few calls: its port may be another after a restart."""
    client = dial_pedidos(run.mode, run.services["pedidos"].address, connections=1)
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def _catalogo(run: Run) -> AsyncIterator[Catalogo]:
    """Catalogo for a few calls."""
    client = dial_catalogo(run.mode, run.services["catalogo"].address, connections=1)
    try:
        yield client
    finally:
        await client.close()


async def _asked(method: Any, request: Any) -> Any:
    return await _called(method, Contexto(time.monotonic() + PRAZO_S), request)


async def _called(method: Any, ctx: Contexto, request: Any) -> Any:
    try:
        return await method(ctx, request)
    except ErroServico as erro:
        words = "; ".join([erro.detalhe, *(f"{v.campo}: {v.detalhe}" for v in erro.violacoes)])
        raise ActionError(words) from None


def _plain(answer: c.PedidoResponse) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(answer)
    return plain
