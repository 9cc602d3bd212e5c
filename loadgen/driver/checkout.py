"""One checkout: place an order and follow it to its end, whatever the arm."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from common import contratos as c
from common.erros import Categoria, ErroServico
from common.servicos.protocolo.contexto import Contexto
from loadgen.results.recorder import Recorder
from loadgen.workload.dial import Pedidos
from loadgen.workload.history import History, Line, LineError, LineType, Op
from loadgen.workload.outcomes import (
    DEFEITO,
    INTERRUPTED_WORDS,
    SEM_EFEITO,
    Outcome,
    of_answer,
    of_error,
)
from loadgen.workload.targets import Basket

# Seconds between looks at an order that was accepted but is not terminal: first, and at most.
# Doubling in between; a hundred times shorter than a slow order, so that it adds little to it.
FIRST_LOOKUP_S: Final = 0.05
LOOKUP_PAUSE_MAX_S: Final = 1.0


INTERRUPTED: Final = Outcome("erro", INTERRUPTED_WORDS, "the run was interrupted")


class Checkout:
    """Places the orders of one process, records them and writes their history."""

    def __init__(
        self,
        pedidos: Pedidos,
        baskets: Sequence[Basket],
        recorder: Recorder,
        history: History,
        *,
        run_id: str,
        timeout_s: float,
        sample_every: int = 0,
    ) -> None:
        """One order in `sample_every` is asked to tell its time in full, the first one first."""
        self._pedidos = pedidos
        self._baskets = baskets
        self._recorder = recorder
        self._history = history
        self._run_id = run_id
        self._timeout_s = timeout_s
        self._sample_every = sample_every
        self._until_sample = 0

    async def place(self, caller: int, number: int, intended_ns: int | None = None) -> Outcome:
        """Place order `number` and wait for its end; never raises but when it is cancelled.

        Latency counts from `intended_ns`, which is now for a caller that was free to send.
        """
        basket = self._baskets[number % len(self._baskets)]
        key = f"{self._run_id}-{number}"
        sent_ns = time.monotonic_ns()
        ctx = Contexto(sent_ns / 1e9 + self._timeout_s, key)
        ctx.completo = self._sampled()
        self._recorder.sent(sent_ns, intended_ns)
        noted = self._history.wanted
        if noted:
            self._note("invoke", "criar_pedido", caller, key, at_ns=sent_ns, basket=basket)
        outcome = INTERRUPTED
        replied_ns = None
        try:
            answer = await self._pedidos.criar_pedido(ctx, basket.request)
        except asyncio.CancelledError:
            self._note("info", "criar_pedido", caller, key, error=LineError(INTERRUPTED_WORDS, ""))
            raise
        except Exception as error:
            outcome = self._failed("criar_pedido", caller, key, error)
        else:
            if noted:
                self._note("ok", "criar_pedido", caller, key, answer=answer)
            if answer.status not in c.TERMINAIS:
                replied_ns = time.monotonic_ns()
                outcome = await self._follow(caller, key, ctx.prazo, answer)
            else:
                outcome = of_answer(answer)
        finally:
            # Also when interrupted: what was sent is always accounted for.
            now_ns = time.monotonic_ns()
            intended = sent_ns if intended_ns is None else intended_ns
            timing = ctx.account.below if ctx.completo else None
            self._recorder.ended(intended, sent_ns, now_ns, outcome, timing, replied_ns=replied_ns)
        return outcome

    def _sampled(self) -> bool:
        """True for one order in `sample_every`, also when some of the numbers are others'."""
        if not self._sample_every:
            return False
        self._until_sample -= 1
        if self._until_sample > 0:
            return False
        self._until_sample = self._sample_every
        return True

    async def _follow(
        self, caller: int, key: str, until: float, answer: c.PedidoResponse
    ) -> Outcome:
        """Look the order up until it is terminal or its deadline has come."""
        request = c.ConsultarPedidoRequest(answer.pedido_id)
        pause = FIRST_LOOKUP_S
        while answer.status not in c.TERMINAIS:
            left = until - time.monotonic()
            if left <= 0:
                break
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, LOOKUP_PAUSE_MAX_S)
            if until <= time.monotonic():
                break
            found = await self._look_up(caller, key, until, request)
            if isinstance(found, Outcome):
                if found.kind == "recusado":
                    # The service says for sure that it does not know what it had accepted.
                    return Outcome("erro", found.label, found.detail)
            else:
                answer = found
        return of_answer(answer)

    async def _look_up(
        self, caller: int, key: str, until: float, request: c.ConsultarPedidoRequest
    ) -> c.PedidoResponse | Outcome:
        self._note("invoke", "consultar_pedido", caller, key, pedido_id=request.pedido_id)
        try:
            answer = await self._pedidos.consultar_pedido(Contexto(until, key), request)
        except asyncio.CancelledError:
            self._note(
                "info", "consultar_pedido", caller, key, error=LineError(INTERRUPTED_WORDS, "")
            )
            raise
        except Exception as error:
            outcome = self._failed("consultar_pedido", caller, key, error, request.pedido_id)
            # Too busy to answer a question is not an answer to it.
            shed = outcome.label == Categoria.SOBRECARGA.value
            return outcome._replace(kind="erro") if shed else outcome
        self._note("ok", "consultar_pedido", caller, key, answer=answer)
        return answer

    def _failed(
        self, op: Op, caller: int, key: str, error: Exception, pedido_id: int | None = None
    ) -> Outcome:
        if isinstance(error, ErroServico):
            outcome = of_error(error.categoria, error.detalhe)
            certain = error.categoria in SEM_EFEITO
        else:
            outcome = Outcome("erro", DEFEITO, f"{type(error).__name__}: {error}")
            certain = False
        line_error = LineError(outcome.label, outcome.detail)
        kind: LineType = "fail" if certain else "info"
        self._note(kind, op, caller, key, pedido_id=pedido_id, error=line_error)
        return outcome

    def _note(
        self,
        kind: LineType,
        op: Op,
        caller: int,
        key: str,
        *,
        at_ns: int | None = None,
        basket: Basket | None = None,
        pedido_id: int | None = None,
        answer: c.PedidoResponse | None = None,
        error: LineError | None = None,
    ) -> None:
        if not self._history.wanted:
            return
        self._history.write(
            Line(
                type=kind,
                op=op,
                key=key,
                process=caller,
                time_ns=time.monotonic_ns() if at_ns is None else at_ns,
                pedido_id=answer.pedido_id if answer is not None else pedido_id,
                request=basket.json if basket is not None else None,
                answer=answer,
                error=error,
            )
        )
