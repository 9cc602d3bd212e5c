"""The frame around every operation of every service, the same for each transport.

A transport turns bytes into a message and a context, awaits the endpoint, and turns the answer or
the error back into bytes. Deadlines, bounds and defects are dealt with here, once.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterable
from math import inf
from typing import Any, Final, NamedTuple

from common.callers import HEADER_CHAIN, chain_only, same
from common.contratos import TERMINAIS, Mensagem, Operacao, PedidoResponse, operacoes_de
from common.erros import (
    Categoria,
    ErroServico,
    encerrando,
    invalido,
    prazo_esgotado,
    proibido,
    sobrecarga,
)
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.record import Hop, decode, encode, server_timing
from common.serving import deadline
from common.serving.standstill import Standstill
from common.settings import STEPS_IN_FLIGHT_MAX
from common.telemetry.logs import current
from common.telemetry.meters import LEFT_CODE, Meters
from common.telemetry.timing import FULL_TIMING, Meter
from common.telemetry.trace_context import TRACEPARENT, TRACESTATE, received, state_of
from common.telemetry.traces import Traces, begins_at

Method = Callable[[Contexto, Any], Coroutine[Any, Any, Mensagem]]

# Names on the wire, the same in gRPC metadata and HTTP headers.
HEADER_KEY: Final = "idempotency-key"
HEADER_ATTEMPT: Final = "x-attempt-count"
# The timing record: for clients, who ask the edge, and between services.
HEADER_TIMING: Final = "server-timing"
HEADER_RECORD: Final = "timing-record"
# With the value `timing.FULL_TIMING`: every hop measures this call and tells all parts of its time.
HEADER_SAMPLE: Final = "x-timing"

_LOG = logging.getLogger(__name__)


class Names(NamedTuple):
    """The names of headers that go with a message; a transport may have its own type for them."""

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
    """The names of headers that come more than once, in lower case."""
    return {name for name, times in Counter(map(str.lower, names)).items() if times > 1}


class Endpoint:
    """One operation of a service, ready for a transport to bind."""

    def __init__(
        self,
        operacao: Operacao,
        method: Method,
        meters: Meters,
        standstill: Standstill,
        *,
        traces: Traces | None,
        credencial: str | None,
    ) -> None:
        self.operacao = operacao
        # A transport counts each call as under way for the life of this block.
        self.in_flight = meters.in_flight
        self._credencial = credencial if chain_only(operacao) else None
        self._refused = False
        self._method = method
        self._standstill = standstill
        self._meters = meters
        # Known from the start, so that a rate has a nought to grow from.
        self._durations = meters.durations(operacao.nome)
        self._begins = begins_at(operacao)
        self._traces = traces if self._begins else None
        self._keyed = operacao.classe == "pedido"
        # Callers of Pedidos are clients: the time left to them counts, and no clock that they name.
        self._inner = operacao.servico != "pedidos"
        # Steps only: orders have a queue of their own at the edge, cancelling must always pass.
        self._bounded = operacao.classe == "passo"

    def heed(
        self,
        ctx: Contexto,
        mark: Callable[[str], str | None],
        *,
        twice: Collection[str] = (),
        left_until: float = inf,
        names: Names = NAMES,
    ) -> None:
        """Take over the headers of a call, `call.marks` of its caller, read by name with `mark`.

        `twice` says which names came more than once, `left_until` the end that the transport
        itself knows. Raises ErroServico (invalid).
        """
        arrived = ctx.account.arrival
        at = mark(names.prazo) if self._inner else None
        # An instant of this very clock says how old the call is: nothing needs to be guessed.
        since = arrived if deadline.ours(at) else self._standstill.since(arrived)
        # Two traces are none; of two lists of vendors, which the standard admits, none is passed on.
        rastro = None if TRACEPARENT in twice else mark(names.rastro)
        if rastro is not None:
            estado = None if TRACESTATE in twice else mark(names.rastro_estado)
            ctx.rastro = received(rastro)
            ctx.rastro_estado = state_of(estado) if ctx.rastro else ""
        if self._traces is not None:
            self._traces.begin(ctx)
        if twice:
            _refuse(twice)
        # The transport counted from when it read the call, which was after a standstill.
        left_until -= arrived - since
        ctx.prazo = deadline.deadline(since, mark(names.limite), at, left_until)
        ctx.primeira = mark(names.tentativa) == "1"
        if mark(names.amostra) == FULL_TIMING:
            ctx.completo, ctx.account.meter = True, Meter(arrived)
        if self._keyed:
            ctx.chave = mark(names.chave)
        self._admit(mark(names.cadeia))

    def _admit(self, given: str | None) -> None:
        """Let a call in by the credential among its headers.

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
        """Do the operation. Raises ErroServico."""
        if ctx.prazo <= time.monotonic():
            raise prazo_esgotado("o prazo terminou antes do início")
        if self.in_flight.fechado:
            raise encerrando()
        if self._bounded and not self.in_flight.enter_step(STEPS_IN_FLIGHT_MAX):
            raise sobrecarga("há chamadas demais em andamento neste serviço", 1.0)
        ctx.pedido_id = getattr(req, "pedido_id", 0)
        token = current.set(ctx)
        try:
            return await self._method(ctx, req)
        except ErroServico:
            raise
        except Exception as error:
            _LOG.exception("defeito em %s", self.operacao.nome)
            raise ErroServico(Categoria.INTERNO, "erro interno") from error
        finally:
            current.reset(token)
            if self._bounded:
                self.in_flight.leave_step()

    def ended(self, ctx: Contexto, outcome: Mensagem | ErroServico) -> list[tuple[str, str]]:
        """Account for a call that is answered now, once; returns the headers of its answer."""
        end, account, servico = time.monotonic(), ctx.account, self.operacao.servico
        erro = outcome.categoria.value if isinstance(outcome, ErroServico) else ""
        counted = self._meters.durations(self.operacao.nome, erro) if erro else self._durations
        counted.note(end - account.arrival)
        if self._inner:
            return [(HEADER_RECORD, account.record(servico, end, erro))]
        hop = account.hop(servico, end, erro)
        hops = (hop, *decode(account.below))
        if self._begins:
            self._end_order(ctx, hops, outcome)
        back = [(HEADER_TIMING, server_timing(hops))]
        if ctx.completo:
            back.append((HEADER_RECORD, encode(hop, account.below)))
        # A key that is refused, or was not looked at, may hold characters that no header may.
        if ctx.chave is not None and erro != Categoria.INVALIDO.value and _printable(ctx.chave):
            back.append((HEADER_KEY, ctx.chave))
        return back

    def left(self, ctx: Contexto) -> None:
        """Account for a call whose caller went away before its answer."""
        end = time.monotonic()
        self._meters.durations(self.operacao.nome, LEFT_CODE).note(end - ctx.account.arrival)
        if self._traces is not None:
            hops = (ctx.account.hop(self.operacao.servico, end), *decode(ctx.account.below))
            self._traces.end(ctx, self.operacao.nome, hops, left=True)

    def _end_order(
        self, ctx: Contexto, hops: tuple[Hop, ...], outcome: Mensagem | ErroServico
    ) -> None:
        """Count how an order was answered, and decide on its trace."""
        order, pending = 0, False
        if isinstance(outcome, PedidoResponse):
            order, pending = outcome.pedido_id, outcome.status not in TERMINAIS
            self._meters.answered(outcome.status, outcome.motivo or "")
        if self._traces is not None:
            self._traces.end(ctx, self.operacao.nome, hops, order=order, pending=pending)


def _printable(text: str) -> bool:
    return text.isascii() and text.isprintable()


def endpoints(
    service: object,
    nome: str,
    meters: Meters,
    standstill: Standstill,
    *,
    traces: Traces | None = None,
    credencial: str | None = None,
) -> list[Endpoint]:
    """Every operation of a service, ready for a transport to bind.

    They keep `meters` true. `standstill` says since when a call may have waited to be read,
    `traces` decides which traces are kept, and `credencial` is what the hop before brings, if it must.
    """
    return [
        Endpoint(
            operacao,
            getattr(service, operacao.nome),
            meters,
            standstill,
            traces=traces,
            credencial=credencial,
        )
        for operacao in operacoes_de(nome)
    ]


def _refuse(twice: Collection[str]) -> None:
    """Raises ErroServico (invalid) when one of the names means one thing."""
    for name in _ONCE:
        if name in twice:
            raise invalido(name, "aparece mais de uma vez")
