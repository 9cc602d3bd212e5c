"""A client of one service: any of its operations, bound from the table."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import grpc.aio

from common.callers import beside
from common.contratos import Mensagem, Operacao, operacoes_de
from common.erros import ErroServico, indisponivel, prazo_esgotado
from common.servicos.protocolo.contexto import Contexto
from common.serving.call import Call, marks
from common.serving.deadline import outgoing
from common.serving.timers import Alarms
from wire.grpc.codec import CODECS, caminho
from wire.grpc.options import CANAL
from wire.grpc.status import erro_de, record_of

Method = Callable[[Contexto, Any], Coroutine[Any, Any, Mensagem]]


class GrpcClient:
    """Reaches one service.

    Every failure is an ErroServico; whatever the transport could not tell is INDISPONIVEL, that
    is: unknown.
    """

    def __init__(self, servico: str, address: str, credencial: str | None) -> None:
        self._channel: Any = grpc.aio.insecure_channel(address, options=CANAL)
        self._alarms = Alarms()
        self._credencial = credencial
        self._calls = {each.nome: self._bind(each) for each in operacoes_de(servico)}

    def call(self, operacao: Operacao, ctx: Contexto, req: Any) -> Coroutine[Any, Any, Any]:
        """The port `Call`."""
        return self._calls[operacao.nome](ctx, req)

    async def close(self) -> None:
        """Close the connection; calls under way fail as unavailable."""
        self._alarms.close()
        await self._channel.close()

    def _bind(self, operacao: Operacao) -> Method:
        serialize = CODECS[operacao.requisicao].serialize
        parse, read = CODECS[operacao.resposta].parse, CODECS[operacao.resposta].read
        alarms = self._alarms
        send = self._channel.unary_unary(caminho(operacao))
        vouching = beside(operacao, self._credencial)

        async def call(ctx: Contexto, req: Any) -> Mensagem:
            remaining = outgoing(ctx)
            with Call(ctx, operacao) as made:
                rpc = send(serialize(req), metadata=marks(ctx, remaining, operacao) + vouching)
                # Our own timer, which ends the call at both ends: a deadline of gRPC's own sets
                # one in the core of each side, which was seen to cost more.
                alarm = None if remaining is None else alarms.after(remaining, rpc.cancel)
                try:
                    data = await rpc
                    made.answered(record_of(await rpc.trailing_metadata()))
                except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
                    raise _failure(ctx, made, error) from None
                finally:
                    if alarm is not None:
                        alarms.forget(alarm)
            return read(parse(data))

        return call


def _failure(ctx: Contexto, made: Call, error: BaseException) -> ErroServico:
    """The meaning of a failed call. Raises `error` when it was the caller who was cancelled."""
    if isinstance(error, grpc.aio.AioRpcError):
        if record := record_of(error.trailing_metadata()):
            made.answered(record)
        return erro_de(error)
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise error
    if ctx.prazo <= time.monotonic():
        return prazo_esgotado("o prazo terminou durante a chamada")
    return indisponivel("a chamada foi interrompida")


def dial(
    servico: str, address: str, *, connections: int = 1, credencial: str | None = None
) -> GrpcClient:
    """A client of the service at `address` (host:port), connecting at its first call.

    One HTTP/2 connection carries every call, so `connections` is accepted for the sake of the other
    arm and changes nothing.
    """
    del connections
    return GrpcClient(servico, address, credencial)
