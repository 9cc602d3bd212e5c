"""A call to another service: the headers that go with it, and the account of its time."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final, Self

from common.contratos import Classe, Operacao
from common.erros import ErroServico
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.record import LOST, Kind
from common.serving import deadline
from common.serving.pipeline import NAMES, Names
from common.telemetry.timing import FULL_TIMING
from common.telemetry.trace_context import sent

# The letter that the timing record uses for a wait on an operation of this class.
_WAITS: Final[dict[Classe, Kind]] = {
    "pedido": "p",
    "passo": "p",
    "cancelamento": "x",
    "consulta": "c",
}


class Call:
    """One call, for the life of a block: from its sending until its end is known.

    Say `answered` once there is an answer, also one that is an error: the record below is that of
    this call alone, and a call that leaves the block with an error and no answer is a lost one.
    """

    __slots__ = ("_account", "_answered", "_before", "_kind", "_start")

    def __init__(self, ctx: Contexto, operacao: Operacao) -> None:
        self._account = ctx.account
        self._kind = _WAITS[operacao.classe]
        self._answered = False

    def answered(self, record: str) -> None:
        """There is an answer, with this timing record; "" for none."""
        self._answered = True
        self._account.below = record

    def __enter__(self) -> Self:
        self._account.below = ""
        self._start = time.monotonic()
        self._before = self._account.enter("proximo")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is None:
            ended = ""
        elif self._answered and isinstance(error, ErroServico):
            ended = error.categoria.value
        else:
            ended = LOST
        self._account.waited(self._kind, self._start, time.monotonic(), ended)
        self._account.leave(self._before)


def marks(
    ctx: Contexto, remaining: float | None, operacao: Operacao, names: Names = NAMES
) -> list[tuple[str, str]]:
    """The headers of a call, by name; `remaining` as `deadline.outgoing` gave it."""
    headers: list[tuple[str, str]] = []
    if remaining is not None:
        limite, prazo = deadline.sent(remaining, ctx.prazo)
        headers += ((names.limite, limite), (names.prazo, prazo))
    if ctx.tentativa:
        headers.append((names.tentativa, str(ctx.tentativa)))
    if ctx.chave is not None:
        headers.append((names.chave, ctx.chave))
    if ctx.completo:
        headers.append((names.amostra, FULL_TIMING))
    if ctx.rastro:
        kind = _WAITS[operacao.classe]
        headers.append((names.rastro, sent(ctx.rastro, kind, ctx.account.number(kind))))
        if ctx.rastro_estado:
            headers.append((names.rastro_estado, ctx.rastro_estado))
    return headers
