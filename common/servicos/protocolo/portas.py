"""What a service may await: its ports.

A service's steps are coroutines, but everything they await is one of these. On asyncio the ports
suspend; in an arm on threads the same ports block, so a step runs to its end the first time it is
driven and the domain exists once. Nothing here, and nothing in this package, knows asyncio.

Instants are seconds on the monotonic clock unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar

from common import contratos as c
from common.erros import ErroServico
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.tabelas import Facts, Look, Query, Read, Row

P = ParamSpec("P")
R = TypeVar("R")


class Database(Protocol):
    """A service's own database."""

    async def unit(
        self,
        ctx: Contexto | None,
        reads: Sequence[Read],
        decide: Callable[Concatenate[Facts, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run `decide(facts, *args)` over the rows named in `reads`, as one durable unit of work.

        Returns only after the commit. Whatever `decide` raises is raised here, and nothing of the
        unit is kept. It may run more than once: it depends on its facts and arguments alone. Raises
        ErroServico (unavailable) when the storage failed: nothing is kept.
        """

    async def read(
        self,
        ctx: Contexto | None,
        reads: Sequence[Read],
        look: Callable[Concatenate[Look, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run `look(facts, *args)` over the rows named in `reads`, as they were committed."""

    async def select(self, ctx: Contexto | None, query: Query[Row], *values: Any) -> list[Row]:
        """Find the rows of a declared statement, as they were committed."""


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


class Call(Protocol):
    """A way to reach another service: any of its operations."""

    def __call__(self, operacao: c.Operacao, ctx: Contexto, req: Any) -> Coroutine[Any, Any, Any]:
        """Ask for an operation. Every failure is an ErroServico."""
