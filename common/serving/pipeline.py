"""What happens around every operation of every service, whatever the transport.

A transport turns bytes into a message and a context, awaits the endpoint, and turns the answer or
the error back into bytes. Deadlines, bounds and defects are dealt with here, once.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterable
from math import inf
from typing import Any, Final, NamedTuple, Protocol

from common.callers import HEADER_CHAIN, chain_only, same
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
from common.servicos.protocolo.contexto import Contexto, Trecho, sem_rastro
from common.serving import deadline
from common.serving.standstill import Standstill
from common.settings import STEPS_IN_FLIGHT_MAX
from common.telemetry.in_flight import InFlight
from common.telemetry.logs import current
from common.telemetry.timing import FULL_TIMING, Meter
from common.telemetry.trace_context import TRACEPARENT, TRACESTATE, received, sent, state_of

Method = Callable[[Contexto, Any], Coroutine[Any, Any, Mensagem]]

# Names on the wire, the same in gRPC metadata and HTTP headers.
HEADER_KEY: Final = "idempotency-key"
HEADER_ATTEMPT: Final = "x-attempt-count"
HEADER_TIMING: Final = "server-timing"
# With the value `timing.FULL_TIMING`: every hop measures this call and tells all parts of its time.
HEADER_SAMPLE: Final = "x-timing"

# What a caller of an operation waits for, as the timing record says it.
_WAITS: Final[dict[Classe, Trecho]] = {
    "pedido": "p",
    "passo": "p",
    "cancelamento": "x",
    "consulta": "c",
}

_LOG = logging.getLogger(__name__)


class Names(NamedTuple):
    """What travels beside a message, by name; a transport may have a type of its own for them."""

    prazo: str = deadline.HEADER_DEADLINE
    limite: str = deadline.HEADER_TIMEOUT
    tentativa: str = HEADER_ATTEMPT
    chave: str = HEADER_KEY
    amostra: str = HEADER_SAMPLE
    rastro: str = TRACEPARENT
    rastro_estado: str = TRACESTATE
    cadeia: str = HEADER_CHAIN


NAMES: Final = Names()
# Those that mean one thing, so that two of them contradict each other even when they say the same.
_ONCE: Final = (
    HEADER_KEY,
    deadline.HEADER_TIMEOUT,
    deadline.HEADER_DEADLINE,
    HEADER_ATTEMPT,
    HEADER_SAMPLE,
    HEADER_CHAIN,
)


def repeated(names: Iterable[str]) -> Collection[str]:
    """What comes more than once among the names of headers, in lower case."""
    return {name for name, times in Counter(map(str.lower, names)).items() if times > 1}


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
        standstill: Standstill,
        *,
        watch: Watch | None,
        credencial: str | None,
    ) -> None:
        self.operacao = operacao
        self._credencial = credencial if chain_only(operacao) else None
        self._refused = False
        self._method = method
        self._in_flight = in_flight
        self._standstill = standstill
        self._watch = watch
        self._keyed = operacao.classe == "pedido"
        # Who calls Pedidos is a client: what is left to it counts, and no clock that it names.
        self._inner = operacao.servico != "pedidos"
        # Steps only: orders have a queue of their own at the edge, cancelling must always pass.
        self._bounded = operacao.classe == "passo"

    def context(self) -> Contexto:
        """The context of a call that came."""
        ctx = Contexto()
        ctx.vigia = self._watch
        return ctx

    def heed(
        self,
        ctx: Contexto,
        mark: Callable[[str], str | None],
        *,
        arrived: float,
        twice: Collection[str] = (),
        left_until: float = inf,
        names: Names = NAMES,
    ) -> None:
        """Take over what came beside a message: `marks` of the caller's, read by name with `mark`.

        `arrived` is the monotonic instant at which the call came to this process, `twice` which
        names came more than once, `left_until` the end that the transport itself knows.
        Raises ErroServico (invalid).
        """
        ctx.chegada = arrived
        at = mark(names.prazo) if self._inner else None
        # An instant of this very clock says how old the call is: nothing needs to be guessed.
        since = arrived if deadline.ours(at) else self._standstill.since(arrived)
        # Two traces are none; of two lists of vendors, which the standard admits, none is passed on.
        rastro = None if TRACEPARENT in twice else mark(names.rastro)
        if rastro is not None:
            estado = None if TRACESTATE in twice else mark(names.rastro_estado)
            ctx.rastro = received(rastro)
            ctx.rastro_estado = state_of(estado) if ctx.rastro else ""
        if ctx.vigia is not None:
            ctx.vigia.began(ctx)
        if twice:
            _refuse(twice)
        # The transport counted from when it read the call, which was after a standstill.
        left_until -= arrived - since
        ctx.prazo = deadline.deadline(since, mark(names.limite), at, left_until)
        ctx.primeira = mark(names.tentativa) == "1"
        if mark(names.amostra) == FULL_TIMING:
            ctx.completo, ctx.medidor = True, Meter(arrived)
        if self._keyed:
            ctx.chave = mark(names.chave)
        self._admit(mark(names.cadeia))

    def _admit(self, given: str | None) -> None:
        """Let a call in by the credential that came beside its message.

        Raises ErroServico (forbidden) for a call that only the hop before may make.
        """
        wanted = self._credencial
        if wanted is None or same(given or "", wanted):
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
        if not in_flight.enter(step=bounded, steps_max=STEPS_IN_FLIGHT_MAX):
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
    standstill: Standstill,
    *,
    watch: Callable[[Operacao], Watch] | None = None,
    credencial: str | None = None,
) -> list[Endpoint]:
    """Every operation of a service, ready for a transport to bind.

    `in_flight` is kept true by them: what the service is working on at this moment. `standstill`
    says since when a call may have waited to be read, `watch` who is told of an operation's calls,
    and `credencial` what the hop before brings, if it must.
    """
    return [
        Endpoint(
            operacao,
            getattr(service, operacao.nome),
            in_flight,
            standstill,
            watch=None if watch is None else watch(operacao),
            credencial=credencial,
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


def _refuse(twice: Collection[str]) -> None:
    """Raises ErroServico (invalid) when one of the names means one thing."""
    for name in _ONCE:
        if name in twice:
            raise invalido(name, "aparece mais de uma vez")


def marks(
    ctx: Contexto, remaining: float | None, operacao: Operacao, names: Names = NAMES
) -> list[tuple[str, str]]:
    """What a client sends beside a message, by name; `remaining` as `deadline.outgoing` gave it."""
    beside: list[tuple[str, str]] = []
    if remaining is not None:
        limite, prazo = deadline.sent(remaining, ctx.prazo)
        beside += ((names.limite, limite), (names.prazo, prazo))
    if ctx.tentativa:
        beside.append((names.tentativa, str(ctx.tentativa)))
    if ctx.chave is not None:
        beside.append((names.chave, ctx.chave))
    if ctx.completo:
        beside.append((names.amostra, FULL_TIMING))
    if ctx.rastro:
        por = waited_for(operacao)
        beside.append((names.rastro, sent(ctx.rastro, por, ctx.esperas(por) + 1)))
        if ctx.rastro_estado:
            beside.append((names.rastro_estado, ctx.rastro_estado))
    return beside


def waited_for(operacao: Operacao) -> Trecho:
    """What a caller of an operation waits for, as the timing record says it."""
    return _WAITS[operacao.classe]
