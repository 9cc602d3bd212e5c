"""The gRPC server of one service, bound from the table of operations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from math import inf
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer

from common.erros import ErroServico, encerrando, invalido
from common.runtime.app import App
from common.runtime.lifecycle import serving as serve_until_closed
from common.servicos.protocolo.account import Account
from common.servicos.protocolo.contexto import Contexto
from common.serving.pipeline import Endpoint
from common.settings import Settings
from grpc_aio.client import dial
from wire.grpc.codec import CODECS, nome_do_servico, read_marks
from wire.grpc.options import SERVIDOR, free_or_taken
from wire.grpc.registration import register
from wire.grpc.status import codigo, detalhes

Handler = Callable[[bytes, grpc.aio.ServicerContext[Any, Any]], Awaitable[bytes]]


def _handler(endpoint: Endpoint) -> Handler:
    """One operation as a gRPC method: bytes in, bytes or a status out."""
    operacao = endpoint.operacao
    parse, read = CODECS[operacao.requisicao].parse, CODECS[operacao.requisicao].read
    serialize = CODECS[operacao.resposta].serialize

    async def handle(data: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        start = time.monotonic()
        ctx = Contexto(account=Account(start))
        with endpoint.in_flight:
            try:
                mark, twice = read_marks(context.invocation_metadata())
                remaining_s = context.time_remaining()
                left_until = inf if remaining_s is None else start + remaining_s
                endpoint.heed(ctx, mark, twice=twice, left_until=left_until)
                # The core cancels the call of a caller who has gone: no need to look for that.
                answer = await ctx.account.measured(endpoint(ctx, read(parse(data))))
            except (ErroServico, DecodeError, asyncio.CancelledError) as error:
                erro = _failure(endpoint, context, ctx, error)
                metadata: Any = (*endpoint.ended(ctx, erro), *detalhes(erro))
                await context.abort(codigo(erro.categoria), erro.detalhe, metadata)
            out = serialize(answer)
            context.set_trailing_metadata(tuple(endpoint.ended(ctx, answer)))
            return out

    return handle


def _failure(
    endpoint: Endpoint,
    context: grpc.aio.ServicerContext[Any, Any],
    ctx: Contexto,
    error: BaseException,
) -> ErroServico:
    """The error that the caller is told. Raises `error` when this very call was cancelled."""
    if isinstance(error, ErroServico):
        return error
    if isinstance(error, DecodeError):
        return invalido("corpo", "não é uma mensagem protobuf deste método")
    task = asyncio.current_task()
    if context.cancelled() or (task is not None and task.cancelling()):
        endpoint.left(ctx)
        raise error
    # Something behind us was cancelled, not this call: left alone, grpc.aio would send no status
    # at all and the caller would wait its whole deadline.
    return encerrando()


class GrpcTransport:
    """The server of one service: its operations, health and reflection."""

    def __init__(self, app: App) -> None:
        settings = app.settings
        self._app = app
        self._address = (settings.host, settings.port)
        self._server = grpc.aio.server(options=SERVIDOR)
        self._health = HealthServicer()
        nome = nome_do_servico(settings.servico)
        methods = {
            endpoint.operacao.metodo_grpc: grpc.unary_unary_rpc_method_handler(_handler(endpoint))
            for endpoint in app.endpoints()
        }
        self._names = register(self._server, nome, methods, self._health)

    async def start(self) -> str:
        """Listen and serve. Raises OSError when the port is taken."""
        host, port = self._address
        free_or_taken(host, port)
        try:
            bound = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            msg = "the port is taken or not ours to use"
            raise OSError(msg) from error
        await self._server.start()
        self._app.show_metrics()
        for name in self._names:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return f"{host}:{bound}"

    async def say_not_ready(self) -> None:
        """Say NOT_SERVING."""
        await self._health.enter_graceful_shutdown()

    async def stop_accepting(self) -> None:
        """Nothing: a gRPC server that stops drops in silence what it has not picked up yet."""

    async def stop(self, grace_s: float) -> None:
        """Wait for calls under way, at most `grace_s` seconds, then end them."""
        await self._server.stop(grace_s)


def serving(settings: Settings) -> AbstractAsyncContextManager[tuple[App, str]]:
    """A service of this arm that listens for the life of the block; yields it and its address."""
    return serve_until_closed(settings, dial, GrpcTransport)
