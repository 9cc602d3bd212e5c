"""What happens around every operation of every service, whatever the transport.

A transport turns bytes into a message and a context, awaits the endpoint, and turns the answer or
the error back into bytes. Deadlines, bounds and defects are dealt with here, once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Coroutine
from math import inf
from typing import Any, Final, NamedTuple, Protocol

from common.callers import CABECALHO_CADEIA, chain_only, same
from common.contratos import Classe, Mensagem, Operacao, operacoes_de
from common.erros import (
    Categoria,
    ErroServico,
    encerrando,
    invalido,
    prazo_esgotado,
    proibido,
    sobrecarga,
)
from common.load import InFlight
from common.servicos.contexto import Contexto, Trecho, sem_rastro
from common.settings import DEADLINE_PADRAO_S, PASSOS_EM_VOO_MAX, RESERVA_SALTO_S
from common.telemetry.logs import current
from common.telemetry.trace_context import TRACEPARENT, TRACESTATE, received, sent, state_of
from common.timing import COMPLETO, Meter

Method = Callable[[Contexto, Any], Coroutine[Any, Any, Mensagem]]

# Names on the wire, the same in gRPC metadata and HTTP headers.
CABECALHO_CHAVE: Final = "idempotency-key"
CABECALHO_PRAZO: Final = "x-deadline-ms"
CABECALHO_LIMITE: Final = "x-timeout-ms"
CABECALHO_TENTATIVA: Final = "x-attempt-count"
CABECALHO_TEMPOS: Final = "server-timing"
# With the value `timing.COMPLETO`: every hop measures this call and tells all parts of its time.
CABECALHO_AMOSTRA: Final = "x-timing"
# Milliseconds. A day; a longer wait for an order is a mistake.
LIMITE_MAX_MS: Final = 86_400_000

# What a caller of an operation waits for, as the timing record says it.
_WAITS: Final[dict[Classe, Trecho]] = {
    "pedido": "p",
    "passo": "p",
    "cancelamento": "x",
    "consulta": "c",
}

_LOG = logging.getLogger(__name__)


class Watch(Protocol):
    """Whoever wants to know of the calls of one operation."""

    def began(self, ctx: Contexto) -> None:
        """A call came, and what came beside its message has been read."""

    def ended(self, ctx: Contexto, seconds: float, erro: str, record: str) -> None:
        """It was answered after so many seconds: an error of that category, "" for none."""

    def left(self, ctx: Contexto, seconds: float) -> None:
        """Its caller went away before, after so many seconds."""


class Endpoint:
    """One operation of a service, ready for a transport to bind."""

    def __init__(
        self,
        operacao: Operacao,
        method: Method,
        in_flight: InFlight,
        watch: Watch | None,
        credencial: str | None,
    ) -> None:
        self.operacao = operacao
        self._credencial = credencial if chain_only(operacao) else None
        self._refused = False
        self._method = method
        self._in_flight = in_flight
        self._watch = watch
        # Steps only: orders have a queue of their own at the edge, cancelling must always pass.
        self._bounded = operacao.classe == "passo"

    def context(self) -> Contexto:
        """The context of a call that came."""
        ctx = Contexto()
        ctx.vigia = self._watch
        return ctx

    def admit(self, mark: Callable[[str], str | None]) -> None:
        """Let a call in by what came beside its message, before anybody looks at that.

        Raises ErroServico (forbidden) for a call that only the hop before may make.
        """
        wanted = self._credencial
        if wanted is None or same(mark(CABECALHO_CADEIA) or "", wanted):
            return
        erro = proibido("só o serviço anterior da cadeia chama esta operação")
        if not self._refused:
            # Once: a service begun without the secret asks again and again, and so may a stranger.
            self._refused = True
            _LOG.warning("%s: recusada: %s", self.operacao.nome, erro)
        raise erro

    async def __call__(self, ctx: Contexto, req: Any) -> Mensagem:
        """Do what a call asks for. Raises ErroServico."""
        in_flight, bounded = self._in_flight, self._bounded
        if ctx.prazo <= time.monotonic():
            raise prazo_esgotado("o prazo terminou antes do início")
        if in_flight.fechado:
            raise encerrando()
        if not in_flight.enter(step=bounded, steps_max=PASSOS_EM_VOO_MAX):
            raise sobrecarga("há chamadas demais em andamento neste serviço", 1.0)
        ctx.pedido_id = getattr(req, "pedido_id", 0)
        token = current.set(ctx)
        try:
            answer = ctx.resposta = await self._method(ctx, req)
        except ErroServico:
            raise
        except Exception as error:
            _LOG.exception("defeito em %s", self.operacao.nome)
            raise ErroServico(Categoria.INTERNO, "erro interno") from error
        else:
            return answer
        finally:
            current.reset(token)
            in_flight.leave(step=bounded)


def endpoints(
    service: object,
    nome: str,
    in_flight: InFlight,
    watch: Callable[[Operacao], Watch] | None = None,
    credencial: str | None = None,
) -> list[Endpoint]:
    """Every operation of a service, ready for a transport to bind.

    `in_flight` is kept true by them: what the service is working on at this moment. `watch` gives
    whoever is told of an operation's calls, `credencial` is what the hop before brings, if it must.
    """
    return [
        Endpoint(
            operacao,
            getattr(service, operacao.nome),
            in_flight,
            None if watch is None else watch(operacao),
            credencial,
        )
        for operacao in operacoes_de(nome)
    ]


def ended(servico: str, ctx: Contexto, start: float, erro: ErroServico | None) -> str:
    """A call that came at `start` is answered: tells whoever watches; its timing record.

    A caller that sent no trace gets the record without what only a trace asks for.
    """
    seconds = time.monotonic() - start
    categoria = "" if erro is None else erro.categoria.value
    record = ctx.registro(servico, seconds, categoria)
    if ctx.vigia is not None:
        ctx.vigia.ended(ctx, seconds, categoria, record)
    return sem_rastro(record) if ctx.rastro_proprio else record


def left(ctx: Contexto) -> None:
    """A call's caller went away: there is nobody to answer."""
    if ctx.vigia is not None:
        ctx.vigia.left(ctx, time.monotonic() - ctx.chegada)


def deadline(
    absolute_ms: str | None,
    timeout_ms: str | None,
    remaining_s: float | None = None,
    *,
    since_s: float = 0.0,
) -> float:
    """The instant (monotonic) by which a hop must have answered, its own reserve kept back.

    `absolute_ms` is the wall clock's instant that the hop above set, `timeout_ms` what a client
    asked for, `remaining_s` what the transport itself knows. The earliest counts; with none of
    them the default does. A call that waited `since_s` seconds in a server's own queue has had
    them of its timeout. Raises ErroServico (invalid) for a value that is not a number.
    """
    remaining = DEADLINE_PADRAO_S - since_s if remaining_s is None else remaining_s
    if absolute_ms is None and timeout_ms is None:
        return time.monotonic() + remaining - RESERVA_SALTO_S
    if timeout_ms is not None:
        requested = _number(CABECALHO_LIMITE, timeout_ms)
        if not 1 <= requested <= LIMITE_MAX_MS:
            raise invalido(CABECALHO_LIMITE, f"deve estar entre 1 e {LIMITE_MAX_MS} milissegundos")
        requested_s = requested / 1e3 - since_s
        remaining = requested_s if remaining_s is None else min(remaining, requested_s)
    if absolute_ms is not None:
        until = _number(CABECALHO_PRAZO, absolute_ms) / 1e3 - time.time()
        from_default = remaining_s is None and timeout_ms is None
        remaining = until if from_default else min(remaining, until)
    return time.monotonic() + min(remaining, LIMITE_MAX_MS / 1e3) - RESERVA_SALTO_S


def _number(campo: str, texto: str) -> int:
    if not (texto.isascii() and texto.isdecimal() and len(texto) <= len("1700000000000") + 3):
        raise invalido(campo, "deve ser um número inteiro de milissegundos")
    return int(texto)


def outgoing(ctx: Contexto) -> tuple[float | None, str | None]:
    """What a client sends with a call: seconds left, and the absolute deadline as text.

    Raises ErroServico (deadline) when nothing is left: what cannot finish is not started.
    """
    if ctx.prazo == inf:
        return None, None
    remaining = ctx.prazo - time.monotonic()
    if remaining <= 0:
        raise prazo_esgotado("o prazo não deixa tempo para a próxima chamada")
    return remaining, str(int((time.time() + remaining) * 1e3))


class Names(NamedTuple):
    """What travels beside a message, by name; a transport may have a type of its own for them."""

    prazo: str = CABECALHO_PRAZO
    limite: str = CABECALHO_LIMITE
    tentativa: str = CABECALHO_TENTATIVA
    chave: str = CABECALHO_CHAVE
    amostra: str = CABECALHO_AMOSTRA
    rastro: str = TRACEPARENT
    rastro_estado: str = TRACESTATE


NAMES: Final = Names()


def heed(
    ctx: Contexto,
    mark: Callable[[str], str | None],
    *,
    keyed: bool,
    arrived: float,
    remaining_s: float | None = None,
    names: Names = NAMES,
) -> None:
    """Take over what came beside a message: `marks` of the caller's, read by name with `mark`.

    `arrived` is the monotonic instant at which the call came to this process, `remaining_s` what
    the transport itself knows of its deadline. Raises ErroServico (invalid).
    """
    since_s = time.monotonic() - arrived
    ctx.chegada = arrived
    rastro = mark(names.rastro)
    if rastro is not None:
        ctx.rastro = received(rastro)
        ctx.rastro_estado = state_of(mark(names.rastro_estado)) if ctx.rastro else ""
    if ctx.vigia is not None:
        ctx.vigia.began(ctx)
    ctx.prazo = deadline(mark(names.prazo), mark(names.limite), remaining_s, since_s=since_s)
    ctx.primeira = mark(names.tentativa) == "1"
    if mark(names.amostra) == COMPLETO:
        ctx.completo, ctx.medidor = True, Meter(arrived)
    if keyed:
        ctx.chave = mark(names.chave)


def marks(
    ctx: Contexto, until: str | None, operacao: Operacao, names: Names = NAMES
) -> list[tuple[str, str]]:
    """What a client sends beside a message of an operation, by name; `until` as `outgoing` gave it."""
    beside: list[tuple[str, str]] = []
    if until is not None:
        beside.append((names.prazo, until))
    if ctx.tentativa:
        beside.append((names.tentativa, str(ctx.tentativa)))
    if ctx.chave is not None:
        beside.append((names.chave, ctx.chave))
    if ctx.completo:
        beside.append((names.amostra, COMPLETO))
    if ctx.rastro:
        por = waited_for(operacao)
        beside.append((names.rastro, sent(ctx.rastro, por, ctx.esperas(por) + 1)))
        if ctx.rastro_estado:
            beside.append((names.rastro_estado, ctx.rastro_estado))
    return beside


def waited_for(operacao: Operacao) -> Trecho:
    """What a caller of an operation waits for, as the timing record says it."""
    return _WAITS[operacao.classe]
