"""The four arms as a test needs them: how to serve, to dial, and to run what may block."""

from __future__ import annotations

import asyncio
from contextlib import (
    AbstractAsyncContextManager,
)
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import blocking.grpc_threads.client
import blocking.grpc_threads.server
import blocking.http_threads.client
import blocking.http_threads.server
import grpc_aio.client
import grpc_aio.server
import http_aio.client
import http_aio.server
from blocking.execution import run_to_end
from blocking.ports import ThreadPorts
from common.contratos import OPERACOES
from common.runtime.app import App
from common.runtime.event_loop import EventLoopPorts
from common.runtime.site import Client, Dial, Ports
from tests.support.edges import Edge, GrpcEdge, HttpEdge

if TYPE_CHECKING:
    from collections.abc import (
        Awaitable,
        Callable,
        Coroutine,
        Mapping,
    )

    from common.runtime.lifecycle import MakeTransport
    from common.settings import Settings


_BY_NAME: Final = {operacao.nome: operacao for operacao in OPERACOES}


class Asking:
    """A client whose operations are methods, by their names."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()

    def __getattr__(self, operation: str) -> Any:
        operacao = _BY_NAME[operation]
        return lambda ctx, request: self._client.call(operacao, ctx, request)


class Arm(NamedTuple):
    """What a cluster needs to know of an arm.

    `dial` is how its services call each other, `own` how a test calls one on its own loop;
    `run` drives a coroutine of the service's where it may block.
    """

    module: str
    dial: Dial
    transport: MakeTransport
    edge: Callable[[Mapping[str, str]], Edge]
    own: Callable[[str, str], Client]
    ports: Callable[[Settings], Ports] = lambda _settings: EventLoopPorts()
    run: Callable[[Coroutine[Any, Any, Any]], Awaitable[Any]] = lambda coroutine: coroutine

    def client(self, servico: str, address: str) -> Asking:
        """A client of one service, on the test's own loop."""
        return Asking(self.own(servico, address))


def _in_a_thread(coroutine: Coroutine[Any, Any, Any]) -> Awaitable[Any]:
    return asyncio.to_thread(run_to_end, coroutine)


ARMS: Final = {
    "grpc": Arm(
        "grpc_aio", grpc_aio.client.dial, grpc_aio.server.GrpcTransport, GrpcEdge,
        grpc_aio.client.dial,
    ),
    "http": Arm(
        "http_aio", http_aio.client.dial, http_aio.server.HttpTransport, HttpEdge,
        http_aio.client.dial,
    ),
    "grpc-threads": Arm(
        "blocking.grpc_threads", blocking.grpc_threads.client.dial,
        blocking.grpc_threads.server.GrpcTransport, GrpcEdge, grpc_aio.client.dial,
        ThreadPorts, _in_a_thread,
    ),
    "http-threads": Arm(
        "blocking.http_threads", blocking.http_threads.client.dial,
        blocking.http_threads.server.HttpTransport, HttpEdge, http_aio.client.dial,
        ThreadPorts, _in_a_thread,
    ),
}  # fmt: skip


class Serving(AbstractAsyncContextManager[tuple[App, str]]):
    """A service's life, begun and ended where its arm may block."""

    def __init__(self, arm: Arm, inner: AbstractAsyncContextManager[tuple[App, str]]) -> None:
        self._arm = arm
        self._inner = inner

    async def __aenter__(self) -> tuple[App, str]:
        return await self._arm.run(self._inner.__aenter__())

    async def __aexit__(self, *error: object) -> None:
        await self._arm.run(self._inner.__aexit__(*error))
