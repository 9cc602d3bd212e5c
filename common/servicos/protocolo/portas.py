"""What a service may await: its ports.

A service's steps are coroutines, but everything they await is one of these. On asyncio the ports
suspend; in an arm on threads the same ports block, so a step runs to its end the first time it is
driven and the domain exists once. Nothing here, and nothing in this package, knows asyncio.

Instants are seconds on the monotonic clock unless a name says otherwise.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar

from common import contratos as c
from common.erros import ErroServico
from common.servicos.protocolo.contexto import Contexto

P = ParamSpec("P")
R = TypeVar("R")


class Database(Protocol):
    """A service's own database."""

    async def unit(
        self,
        ctx: Contexto | None,
        funcao: Callable[Concatenate[sqlite3.Connection, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run `funcao(conexao, *args)` as one durable unit of work.

        Returns only after the commit. Whatever `funcao` raises rolls its own work back and is
        raised here. Raises ErroServico (unavailable) when the storage failed: nothing is kept.
        """

    async def read(
        self,
        ctx: Contexto | None,
        funcao: Callable[Concatenate[sqlite3.Connection, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run `funcao(conexao, *args)` on a read-only connection that sees what was committed."""


# Where an order can be struck by a fault, in the order of its way through a service; beside it the
# gateway, before it is asked to charge or to void, and a unit of work.
Point = Literal["P0", "P1", "P2", "P3", "P4", "P5", "gateway", "banco"]


class Faults(Protocol):
    """Faults on the way of an order. A normal run has none, and asks nobody."""

    async def em(self, ponto: Point, pedido_id: int) -> None:
        """Stand at a point. Raises ErroServico (unavailable) where an error is meant."""

    async def chamada(self, pedido_id: int, chamar: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """Call the next hop by way of P1 (before), P2 (while it works) and P3 (after)."""


class Clock(Protocol):
    """Time: the only way a service has to know it or to let it pass."""

    def now(self) -> float:
        """Seconds on the monotonic clock."""

    def timestamp(self) -> str:
        """The wall clock, ISO 8601 in UTC with milliseconds; for documents, never for deadlines."""

    def epoch(self) -> float:
        """The wall clock, seconds since 1970; for ages that must survive a restart."""

    async def sleep(self, segundos: float) -> None:
        """Let time pass."""


# What the gateway says of a key that it was asked to charge. A voided key was neither approved nor
# denied: somebody cancels its order.
Veredito = Literal["capturada", "negada", "anulada"]


class GatewayPagamento(Protocol):
    """The outside world that charges cards; it keeps its own books."""

    async def cobrar(self, ctx: Contexto, chave: str, valor_centavos: int) -> Veredito:
        """Charge at most once for `chave`, and say what the gateway holds of it."""

    async def anular(self, ctx: Contexto, chave: str) -> None:
        """Give back what `chave` was charged and refuse whatever it may still ask."""


class Task(Protocol):
    """A piece of work that the service owns."""

    def cancelar(self) -> None:
        """Ask it to stop at its next await; an arm on threads may let it run to its end."""


class Promise(Protocol[R]):
    """A value that somebody will set once; later settings are ignored."""

    def resolve(self, valor: R) -> None:
        """Set the value and wake whoever waits."""

    def fail(self, erro: ErroServico) -> None:
        """Set an error; each of those who wait sees a copy of it raised."""

    def done(self) -> bool:
        """True once set."""

    async def wait(self, ate: float) -> R | None:
        """Wait for the value, at most until the instant `ate`; None when it did not come."""


class Tasks(Protocol):
    """Spawn, wait and exclude: what differs between an event loop and threads."""

    def start(self, corrotina: Coroutine[Any, Any, None]) -> Task:
        """Run a coroutine as a task owned by the service; it outlives the request.

        Raises ErroServico (unavailable) when the system cannot start one. The coroutine is then
        closed and no task is left; the caller undoes what it wrote for the task.
        """

    def promise(self) -> Promise[Any]:
        """A fresh promise."""

    def lock(self) -> AbstractContextManager[Any]:
        """A fresh lock, which its holder may take again; nothing is awaited while it is held.

        Whatever a service keeps in memory for more than one call changes under one. An event loop
        comes between two awaits only, so there it holds nobody up.
        """


class Passage(Protocol):
    """The way to the next service: not free while a circuit breaker lets no call pass."""

    def free(self) -> bool:
        """True when a call now would be made."""

    def steady(self) -> bool:
        """True when every call would be made; False also while one in a while may try."""

    async def wait(self, ate: float) -> bool:
        """Wait until it is free, at most until the instant `ate`; False when it was not."""


class Place(Protocol):
    """A place among the orders in flight."""

    def abrir(self) -> None:
        """Say that its order is in the book: from now on it is counted there, until it ends."""

    def release(self) -> None:
        """Give it back; giving it back twice is harmless."""


class Admission(Protocol):
    """Admission at the edge: how many orders are in flight, and who waits in which order."""

    def free(self) -> bool:
        """True when the next order would start at once."""

    async def take(self, ctx: Contexto) -> Place:
        """Wait in order for a place.

        Raises ErroServico (overload) when the bound is reached or when the wait cannot end within
        the deadline of `ctx`; either way nothing has happened.
        """


class ProximoPagamentos(Protocol):
    """Pagamentos as Pedidos sees it."""

    async def processar_pagamento(
        self, ctx: Contexto, req: c.ProcessarPagamentoRequest
    ) -> c.AndamentoResponse:
        """Forward."""

    async def cancelar_pagamento(
        self, ctx: Contexto, req: c.CancelarPassoRequest
    ) -> c.AndamentoResponse:
        """Cancel."""


class ProximoEstoque(Protocol):
    """Estoque as Pagamentos sees it."""

    async def separar_estoque(
        self, ctx: Contexto, req: c.SepararEstoqueRequest
    ) -> c.AndamentoResponse:
        """Forward."""

    async def cancelar_separacao(
        self, ctx: Contexto, req: c.CancelarPassoRequest
    ) -> c.AndamentoResponse:
        """Cancel."""


class ProximoFiscal(Protocol):
    """Fiscal as Estoque sees it."""

    async def emitir_nota_fiscal(
        self, ctx: Contexto, req: c.EmitirNotaFiscalRequest
    ) -> c.AndamentoResponse:
        """Forward."""

    async def cancelar_nota_fiscal(
        self, ctx: Contexto, req: c.CancelarPassoRequest
    ) -> c.AndamentoResponse:
        """Cancel."""


class ProximoLogistica(Protocol):
    """Logistica as Fiscal sees it."""

    async def agendar_envio(self, ctx: Contexto, req: c.AgendarEnvioRequest) -> c.AndamentoResponse:
        """Forward: the pivot."""

    async def cancelar_envio(
        self, ctx: Contexto, req: c.CancelarPassoRequest
    ) -> c.AndamentoResponse:
        """Fence the order, or learn that it was sent."""


class Precos(Protocol):
    """Catalogo as Pedidos sees it."""

    async def consultar_precos(
        self, ctx: Contexto, req: c.ConsultarPrecosRequest
    ) -> c.ListaPrecosResponse:
        """Prices of every product."""


class Saldos(Protocol):
    """Estoque as Catalogo sees it."""

    async def listar_estoque(
        self, ctx: Contexto, req: c.ListarEstoqueRequest
    ) -> c.ListaEstoqueResponse:
        """Available units of every product."""
