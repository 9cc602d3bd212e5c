"""The links between services, where a test may hold a call, cut it, or lose its reply."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any, NamedTuple

from blocking.execution import wait
from common.contratos import Operacao
from common.erros import ErroServico, indisponivel
from common.servicos.protocolo.contexto import Contexto

Action = Callable[[], Awaitable[None]]


class Call(NamedTuple):
    """A call that went over a link: its operation, its message and the caller's deadline."""

    operation: str
    request: Any
    deadline: float


class _Fault:
    """One thing that happens to calls, before or after they are made, a number of times."""

    def __init__(self, point: str, operation: str | None, times: float, action: Action) -> None:
        self.point = point
        self.operation = operation
        self.action = action
        self._times = times
        self._lock = threading.Lock()

    def take(self) -> bool:
        """True as often as it shall happen."""
        with self._lock:
            self._times -= 1
            return self._times >= 0


class Gate:
    """Holds calls at one point of a link until it is opened, on a loop or in threads."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Semaphore(0)
        self._opened = asyncio.Event()
        self._opened_for_threads = threading.Event()
        self.waiting = 0

    async def reached(self) -> None:
        """Wait until one more call stands at the gate."""
        await self._arrived.acquire()

    def open(self) -> None:
        """Let every call pass, now and later."""
        self._opened.set()
        self._opened_for_threads.set()

    async def hold(self) -> None:
        """What a call does at the gate."""
        self.waiting += 1
        try:
            if asyncio._get_running_loop() is None:
                self._loop.call_soon_threadsafe(self._arrived.release)
                wait(self._opened_for_threads)
            else:
                self._arrived.release()
                await self._opened.wait()
        finally:
            self.waiting -= 1


class Link:
    """Stands in front of a real client, as its caller's port; remembers every call."""

    def __init__(self) -> None:
        self.target: Any = None
        self.calls: list[Call] = []
        self._lock = threading.Lock()
        self._under_way: Counter[Any] = Counter()
        self._peaks: Counter[Any] = Counter()
        self._faults: list[_Fault] = []
        self._gates: list[Gate] = []

    def hold(self, point: str, operation: str | None = None, times: float = inf) -> Gate:
        """Hold calls `before` they are made, or `after`, with their effect done."""
        gate = Gate()
        self._gates.append(gate)
        self._faults.append(_Fault(point, operation, times, gate.hold))
        return gate

    def cut(
        self, operation: str | None = None, times: float = inf, error: ErroServico | None = None
    ) -> None:
        """Fail calls before they are made."""
        self._raise("before", operation, times, error or indisponivel("cortada na ida"))

    def lose_reply(
        self, operation: str | None = None, times: float = inf, error: ErroServico | None = None
    ) -> None:
        """Make calls, then fail them: the effect is done and nobody was told."""
        self._raise("after", operation, times, error or indisponivel("cortada na volta"))

    def heal(self) -> None:
        """Take every fault away and open every gate."""
        self._faults.clear()
        for gate in self._gates:
            gate.open()
        self._gates.clear()

    def count(self, operation: str, pedido_id: int | None = None) -> int:
        """How often an operation was called, for one order or for all."""
        return sum(
            call.operation == operation
            and (pedido_id is None or call.request.pedido_id == pedido_id)
            for call in self.calls
        )

    def peak(self, pedido_id: int) -> int:
        """How many calls for one order were ever under way at the same time."""
        return self._peaks[pedido_id]

    async def close(self) -> None:
        """Close the real client."""
        await self.target.close()

    async def call(self, operacao: Operacao, ctx: Contexto, request: Any) -> Any:
        """The port `Call`."""
        return await self._met(
            operacao.nome, lambda: self.target.call(operacao, ctx, request), ctx, request
        )

    def __getattr__(self, operation: str) -> Callable[..., Awaitable[Any]]:
        """An operation of a target that is no service: the payment gateway."""

        async def call(ctx: Contexto, request: Any, *more: Any) -> Any:
            method = getattr(self.target, operation)
            return await self._met(operation, lambda: method(ctx, request, *more), ctx, request)

        return call

    async def _met(
        self, operation: str, make: Callable[[], Awaitable[Any]], ctx: Contexto, request: Any
    ) -> Any:
        self.calls.append(Call(operation, request, ctx.prazo))
        order = getattr(request, "pedido_id", None)
        with self._lock:
            self._under_way[order] += 1
            self._peaks[order] = max(self._peaks[order], self._under_way[order])
        try:
            await self._meet("before", operation)
            answer = await make()
            await self._meet("after", operation)
        finally:
            with self._lock:
                self._under_way[order] -= 1
        return answer

    def _raise(self, point: str, operation: str | None, times: float, error: ErroServico) -> None:
        async def fail() -> None:
            raise error

        self._faults.append(_Fault(point, operation, times, fail))

    async def _meet(self, point: str, operation: str) -> None:
        for fault in tuple(self._faults):
            if fault.point == point and fault.operation in {None, operation} and fault.take():
                await fault.action()


class Switch:
    """The port `Faults` of one service: what a test sets, or nothing."""

    def __init__(self) -> None:
        self.target: Any = None

    async def at(self, point: str, pedido_id: int) -> None:
        """See Faults."""
        if self.target is not None:
            await self.target.at(point, pedido_id)

    async def around(self, pedido_id: int, call: Callable[[], Awaitable[Any]]) -> Any:
        """See Faults; what lies between the two points is the next hop's."""
        await self.at("P1", pedido_id)
        answer = await call()
        await self.at("P3", pedido_id)
        return answer
