"""The gRPC server of one service on a pool of threads, bound from the table of operations."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from math import inf

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2

from blocking.entrance import Entrance
from blocking.execution import ThreadClock, run_to_end
from blocking.grpc_threads.client import dial
from blocking.grpc_threads.workers import DEADLINE_MAX_S, Orders, Workers
from blocking.ports import ThreadPorts
from common.contratos import Operacao
from common.erros import ErroServico, invalido
from common.runtime.app import App
from common.runtime.lifecycle import serving as serve_until_closed
from common.servicos.protocolo.account import Account
from common.servicos.protocolo.contexto import Contexto
from common.serving.pipeline import Endpoint
from common.settings import BACKLOG, DRAIN_MAX_S, Settings
from wire.grpc.codec import CODECS, nome_do_servico, read_marks
from wire.grpc.options import SERVIDOR, free_or_taken
from wire.grpc.registration import register
from wire.grpc.status import codigo, detalhes

Handler = Callable[[bytes, grpc.ServicerContext], bytes]


def _handler(endpoint: Endpoint, workers: Workers) -> Handler:
    """One operation as a gRPC method: bytes in, bytes or a status out."""
    operacao = endpoint.operacao
    parse, read = CODECS[operacao.requisicao].parse, CODECS[operacao.requisicao].read
    serialize = CODECS[operacao.resposta].serialize

    def handle(data: bytes, context: grpc.ServicerContext) -> bytes:
        ctx = Contexto(account=Account(workers.arrived()))
        with endpoint.in_flight:
            try:
                mark, twice = read_marks(context.invocation_metadata())
                remaining_s: float = context.time_remaining()
                # Further away than that is how this API says that the caller set none.
                set_one = remaining_s <= DEADLINE_MAX_S
                left_until = time.monotonic() + remaining_s if set_one else inf
                endpoint.heed(ctx, mark, twice=twice, left_until=left_until)
                ctx.ausente = lambda: not context.is_active()
                refusal = workers.refusal()
                if refusal is not None:
                    raise refusal
                answer = run_to_end(ctx.account.measured(endpoint(ctx, read(parse(data)))))
            except (ErroServico, DecodeError) as error:
                erro = _failure(error)
                context.set_trailing_metadata((*endpoint.ended(ctx, erro), *detalhes(erro)))
                context.abort(codigo(erro.categoria), erro.detalhe)
            out = serialize(answer)
            context.set_trailing_metadata(tuple(endpoint.ended(ctx, answer)))
            return out

    return handle


def _failure(error: ErroServico | DecodeError) -> ErroServico:
    """The error that the caller is told."""
    if isinstance(error, ErroServico):
        return error
    return invalido("corpo", "não é uma mensagem protobuf deste método")


class GrpcTransport:
    """The server of one service: its operations, health and reflection."""

    def __init__(self, app: App) -> None:
        settings = app.settings
        self._app = app
        self._address = (settings.host, settings.port)
        assert isinstance(app.clock, ThreadClock)
        self._clock = app.clock
        entrance = Entrance(settings.workers, app.slots)
        self._workers = Workers(settings.workers, entrance)
        self._orders = Orders(self._workers, entrance)
        app.watch_pool(self._workers.arrivals)
        self._server = grpc.server(
            self._workers,
            options=SERVIDOR,
            # Beyond it the core refuses, in words of its own. Within it are those that are refused.
            maximum_concurrent_rpcs=settings.in_flight_max + BACKLOG,
        )
        self._health = health.HealthServicer()
        nome = nome_do_servico(settings.servico)
        methods = {
            endpoint.operacao.metodo_grpc: grpc.unary_unary_rpc_method_handler(
                self._taken_in(endpoint.operacao, _handler(endpoint, self._workers))
            )
            for endpoint in app.endpoints()
        }
        self._names = register(self._server, nome, methods, self._health)

    def _taken_in(self, operacao: Operacao, handler: Handler) -> Handler:
        """A handler to which calls come by way of the pool that takes them in."""
        if operacao.classe == "pedido":
            # As grpcio's own health service asks for a pool; all others go to the server's.
            handler.experimental_thread_pool = self._orders  # type: ignore[attr-defined]
        return handler

    async def start(self) -> str:
        """Listen and serve. Raises OSError when the port is taken."""
        host, port = self._address
        free_or_taken(host, port)
        try:
            bound = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            msg = "the port is taken or not ours to use"
            raise OSError(msg) from error
        self._workers.begin()
        self._orders.begin()
        self._server.start()
        self._app.show_metrics()
        for name in self._names:
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return f"{host}:{bound}"

    async def say_not_ready(self) -> None:
        """Say NOT_SERVING."""
        self._health.enter_graceful_shutdown()

    async def stop_accepting(self) -> None:
        """Go on: a gRPC server that stops drops in silence what it has not picked up yet.

        Calls that wait for a worker are refused in words once one comes to them.
        """
        self._clock.wake(DRAIN_MAX_S)

    async def stop(self, grace_s: float) -> None:
        """Wait for calls under way, at most `grace_s` seconds, then end them."""
        self._server.stop(grace_s).wait(grace_s + 0.5)
        self._orders.shutdown(wait=False, cancel_futures=True)
        self._workers.shutdown(wait=False, cancel_futures=True)


def serving(settings: Settings) -> AbstractAsyncContextManager[tuple[App, str]]:
    """A service of this arm that listens for the life of the block; yields it and its address."""
    return serve_until_closed(settings, dial, GrpcTransport, ThreadPorts(settings))
