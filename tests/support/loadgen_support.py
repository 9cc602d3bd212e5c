"""A shop for the load generator's tests: a fake at the port of Pedidos, and short plans."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import contratos as c
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.record import Hop, Wait, encode
from loadgen.driver.checkout import Checkout
from loadgen.driver.worker import ShareRun
from loadgen.results.recorder import Recorder, Recording
from loadgen.workload.history import History
from loadgen.workload.plan import Plan, Population, Share
from loadgen.workload.targets import baskets

POPULATION = Population(tuple(range(1, 51)), tuple(range(1, 31)))


def order(pedido_id: int, status: str = "enviado", motivo: str | None = None) -> c.PedidoResponse:
    """An order as Pedidos would answer it."""
    return c.PedidoResponse(pedido_id, status, motivo, 1990, None, None, None)  # type: ignore[arg-type]


def plan(**changes: Any) -> Plan:
    """A plan of a few orders."""
    values: dict[str, Any] = {
        "mode": "grpc",
        "address": "127.0.0.1:1",
        "population": POPULATION,
        "run_id": "run",
        "concurrency": 4,
        "checkouts": 20,
    }
    return Plan(**(values | changes))


class FakePedidos:
    """Answers with what `answers` makes of an order's number; then what `looks` makes of a look."""

    def __init__(
        self,
        answer: Callable[[int], c.PedidoResponse | Exception] = order,
        look: Callable[[int], c.PedidoResponse | Exception] = order,
        delay_s: float = 0.0,
    ) -> None:
        self._answer = answer
        self._look = look
        self._delay_s = delay_s
        self.placed: list[tuple[str | None, c.CriarPedidoRequest]] = []
        self.looks = 0
        self.under_way = 0
        self.most_under_way = 0

    async def criar_pedido(self, ctx: Contexto, req: c.CriarPedidoRequest) -> c.PedidoResponse:
        """Place an order."""
        self.placed.append((ctx.chave, req))
        number = len(self.placed)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self._delay_s)
        finally:
            self.under_way -= 1
        hops = Hop("pedidos", 0, 9_000, (Wait("p", 0, 6_000),)), Hop("pagamentos", 0, 6_000)
        ctx.account.below = ",".join(map(encode, hops))
        return _given(self._answer(number))

    async def consultar_pedido(
        self, ctx: Contexto, req: c.ConsultarPedidoRequest
    ) -> c.PedidoResponse:
        """Look it up."""
        self.looks += 1
        await asyncio.sleep(0)
        return _given(self._look(self.looks))


def _given(answer: c.PedidoResponse | Exception) -> c.PedidoResponse:
    if isinstance(answer, Exception):
        raise answer
    return answer


def checkout(
    pedidos: FakePedidos,
    *,
    timeout_s: float = 5.0,
    history: Path | None = None,
    begun_s: float = 0.0,
) -> tuple[Checkout, Recorder, History]:
    """One checkout's parts, ready to place orders, in a run that began so many seconds ago."""
    recorder = Recorder(time.monotonic_ns() - int(begun_s * 1e9), 0.0, timeout_s)
    file = History(history)
    parts = (pedidos, baskets(plan(), 64), recorder, file)
    return Checkout(*parts, run_id="run", timeout_s=timeout_s), recorder, file


def share_run(share: Share, pedidos: FakePedidos) -> ShareRun:
    """The run of a share that starts now."""
    prepared = baskets(share.plan, 64)
    return ShareRun(share, pedidos, prepared, time.monotonic_ns())


async def run(given: Plan, pedidos: FakePedidos, history: Path | None = None) -> Recording:
    """Run a plan in this process against a fake."""
    share = Share(plan=given, history=str(history) if history else None)
    return await share_run(share, pedidos).run()


def lines(path: Path) -> list[dict[str, Any]]:
    """A history file, parsed."""
    return [json.loads(line) for line in path.read_text().splitlines()]
