"""A client of one service whose calls hold their thread: any operation, bound from the table."""

from __future__ import annotations

import logging
import threading
from collections.abc import Coroutine
from typing import Any, Protocol

import grpc
import grpc._channel

from blocking.execution import blocked, in_task, interruptible, stop_if_asked
from common.callers import beside
from common.contratos import Mensagem, Operacao, operacoes_de
from common.erros import indisponivel, sem_recursos
from common.servicos.protocolo.contexto import Contexto
from common.serving.call import Call, marks
from common.serving.deadline import outgoing
from wire.grpc.codec import CODECS, caminho
from wire.grpc.options import CANAL
from wire.grpc.status import erro_de, record_of

_LOG = logging.getLogger(__name__)

channels: Any = grpc._channel  # noqa: SLF001 - see GrpcClient._give_thread


class Method(Protocol):
    """One operation."""

    def __call__(self, ctx: Contexto, req: Any) -> Coroutine[Any, Any, Mensagem]:
        """Ask for it and wait for the answer."""


class GrpcClient:
    """Reaches one service.

    Every failure is an ErroServico; whatever the transport could not tell is INDISPONIVEL, that
    is: unknown.
    """

    def __init__(self, servico: str, address: str, credencial: str | None) -> None:
        self._channel: Any = grpc.insecure_channel(address, options=CANAL)
        self._lock = threading.Lock()
        # True while calls that were handed over wait for a thread that could not be started.
        self._threadless = False
        self._credencial = credencial
        self._calls = {each.nome: self._bind(each) for each in operacoes_de(servico)}

    def call(self, operacao: Operacao, ctx: Contexto, req: Any) -> Coroutine[Any, Any, Any]:
        """The port `Call`."""
        return self._calls[operacao.nome](ctx, req)

    async def close(self) -> None:
        """Close the connection; calls under way fail as unavailable."""
        self._give_thread()
        self._channel.close()

    def _give_thread(self) -> None:
        """Start the thread that grpcio could not: it counts the call first, and never tries again.

        Raises RuntimeError when it still cannot be started.
        """
        with self._lock:
            if self._threadless:
                # No public name leads there.
                state = self._channel._call_state  # noqa: SLF001
                channels._run_channel_spin_thread(state)  # noqa: SLF001
                self._threadless = False

    def _bind(self, operacao: Operacao) -> Method:
        serialize = CODECS[operacao.requisicao].serialize
        parse, read = CODECS[operacao.resposta].parse, CODECS[operacao.resposta].read
        send = self._channel.unary_unary(caminho(operacao))
        vouching = beside(operacao, self._credencial)

        async def call(ctx: Contexto, req: Any) -> Mensagem:
            remaining = outgoing(ctx)
            with Call(ctx, operacao) as made:
                try:
                    self._give_thread()
                    metadata = marks(ctx, remaining, operacao) + vouching
                    data, rpc = _made(send, serialize(req), timeout=remaining, metadata=metadata)
                    made.answered(record_of(rpc.trailing_metadata()))
                except grpc.RpcError as error:
                    rejected: Any = error
                    if record := record_of(rejected.trailing_metadata()):
                        made.answered(record)
                    raise erro_de(error) from None
                except grpc.FutureCancelledError:
                    raise indisponivel("a chamada foi interrompida") from None
                except RuntimeError as error:
                    self._threadless = True
                    _LOG.warning("%s: %s", operacao.servico, error)
                    raise sem_recursos() from None
            return read(parse(data))

        return call


def _made(send: Any, data: bytes, **options: Any) -> tuple[bytes, Any]:
    """Make a call and wait for its end: the answer, and the call."""
    if not in_task():
        with blocked():
            answer, call = send.with_call(data, **options)
            return answer, call
    with blocked():
        stop_if_asked()
        # Only a call that was handed over can be interrupted; it costs another thread's attention.
        rpc = send.future(data, **options)
        try:
            with interruptible(rpc.cancel):
                return rpc.result(), rpc
        except BaseException:
            # Also when the task was asked to stop before the wait could be interrupted.
            rpc.cancel()
            raise


def dial(
    servico: str, address: str, *, connections: int = 1, credencial: str | None = None
) -> GrpcClient:
    """A client of the service at `address` (host:port), connecting at its first call.

    One HTTP/2 connection carries every call, so `connections` changes nothing.
    """
    del connections
    return GrpcClient(servico, address, credencial)
