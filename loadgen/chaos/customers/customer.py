"""A customer who does not give up: the same key again until the order has ended.

Everything goes into the history: `invoke` before a call is sent, `ok` with its answer, `fail` when
it is certain that it had no effect, `info` for everything else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Final

import msgspec

from common import contratos as c
from common.erros import Categoria, ErroServico
from common.servicos.protocolo.contexto import Contexto
from loadgen.workload.history import History, Line, LineError, LineType, Op
from loadgen.workload.outcomes import INTERRUPTED_WORDS, SEM_EFEITO

# Seconds before the same key is tried again; doubles from the first to the second, with jitter.
PAUSE_FIRST_S: Final = 0.1
PAUSE_MAX_S: Final = 1.0
# Seconds. How long a customer who wants to cancel waits to be told of which order.
WHICH_ORDER_S: Final = 0.1
# Refusals that another try may not change.
FINAL_REFUSALS: Final = SEM_EFEITO - {Categoria.SOBRECARGA}

Request = c.CriarPedidoRequest | c.CancelarPedidoRequest | c.ConsultarPedidoRequest
# The operation of Pedidos that a request is for.
OPERATIONS: Final[dict[type[Request], Op]] = {
    c.CriarPedidoRequest: "criar_pedido",
    c.CancelarPedidoRequest: "cancelar_pedido",
    c.ConsultarPedidoRequest: "consultar_pedido",
}

# When a call was made, on the monotonic clock, and how it failed.
OnError = Callable[[float, ErroServico], None]


class Customer:
    """Places orders at Pedidos of the running arm, and cancels them."""

    def __init__(
        self,
        pedidos: Any,
        history: History,
        *,
        attempt_s: float,
        seed: int,
        pause_max_s: float = PAUSE_MAX_S,
        on_error: OnError | None = None,
    ) -> None:
        """`attempt_s` is the deadline of one call; `on_error` is told of each that failed."""
        self._pedidos = pedidos
        self._history = history
        self._attempt_s = attempt_s
        self._draw = Random(f"customer {seed}")
        self._pause_max_s = pause_max_s
        self._on_error = on_error
        self.errors: dict[str, int] = {}

    async def buy(
        self,
        caller: int,
        key: str,
        request: c.CriarPedidoRequest,
        *,
        until: float,
        insist: bool = True,
    ) -> c.PedidoResponse | None:
        """Ask with one key until the order has ended; None when it has not by `until`.

        Raises ErroServico for a refusal that is final; without `insist` also for want of room.
        """
        pause = PAUSE_FIRST_S
        while True:
            answer = await self.ask(caller, key, request, until=until, insist=insist)
            if answer is not None and answer.status in c.TERMINAIS:
                return answer
            left = until - time.monotonic()
            if left <= 0:
                return None
            await asyncio.sleep(min(left, pause * self._draw.uniform(0.5, 1.0)))
            pause = min(2 * pause, self._pause_max_s)

    async def ask(
        self,
        caller: int,
        key: str,
        request: c.CriarPedidoRequest,
        *,
        until: float,
        attempt_s: float | None = None,
        insist: bool = True,
    ) -> c.PedidoResponse | None:
        """Ask once; None when no answer came. Raises ErroServico for a refusal that is final."""
        deadline = min(until, time.monotonic() + (attempt_s or self._attempt_s))
        final = FINAL_REFUSALS if insist else SEM_EFEITO
        return await self._unless(final, self.call(caller, key, request, deadline))

    async def buy_and_cancel(
        self,
        caller: int,
        key: str,
        request: c.CriarPedidoRequest,
        *,
        until: float,
        after_s: float,
        canceller: int,
    ) -> c.PedidoResponse | None:
        """As `buy`; an order still under way after `after_s` seconds is asked to be cancelled.

        `canceller` is another caller in the history: each does one thing at a time.
        """
        buying = asyncio.create_task(self.buy(caller, key, request, until=until))
        try:
            await asyncio.wait((buying,), timeout=after_s)
            if not buying.done():
                # The key tells which order it is; the order goes on with its own patience.
                order = await self.ask(
                    canceller, key, request, until=until, attempt_s=WHICH_ORDER_S
                )
                if order is not None and order.status not in c.TERMINAIS:
                    await self._try_to_cancel(canceller, key, order.pedido_id)
            return await buying
        finally:
            buying.cancel()

    async def _try_to_cancel(self, caller: int, key: str, pedido_id: int) -> None:
        try:
            await self.cancel(caller, key, pedido_id)
        except ErroServico as error:
            if error.categoria is not Categoria.PRECONDICAO:
                raise

    async def cancel(self, caller: int, key: str, pedido_id: int) -> c.PedidoResponse | None:
        """Cancel once; None when no answer came.

        Raises ErroServico for a refusal that is final: precondition for an order that was sent.
        """
        call = self.call(
            caller, key, c.CancelarPedidoRequest(pedido_id), time.monotonic() + self._attempt_s
        )
        return await self._unless(FINAL_REFUSALS, call)

    async def call(
        self, caller: int, key: str | None, request: Request, deadline: float
    ) -> c.PedidoResponse:
        """One call, answered by `deadline` (monotonic seconds), as the history has it.

        Raises ErroServico for whatever came in place of an answer.
        """
        op = OPERATIONS[type(request)]
        named: dict[str, Any] = {}
        if isinstance(request, c.CriarPedidoRequest):
            asked = {"request": msgspec.Raw(msgspec.json.encode(request))}
        else:
            asked = named = {"pedido_id": request.pedido_id}
        self._write("invoke", op, caller, key, **asked)
        at = time.monotonic()
        try:
            answer: c.PedidoResponse = await getattr(self._pedidos, op)(
                Contexto(deadline, key), request
            )
        except ErroServico as error:
            kind = error.categoria.value
            if error.categoria is not Categoria.PRECONDICAO:
                # Too late to be cancelled is an answer, not a failure.
                self.errors[kind] = self.errors.get(kind, 0) + 1
            came: LineType = "fail" if error.categoria in SEM_EFEITO else "info"
            self._write(came, op, caller, key, error=LineError(kind, error.detalhe), **named)
            if self._on_error is not None:
                self._on_error(at, error)
            raise
        except asyncio.CancelledError:
            self._write("info", op, caller, key, error=LineError(INTERRUPTED_WORDS, ""), **named)
            raise
        self._write("ok", op, caller, key, answer=answer, pedido_id=answer.pedido_id)
        return answer

    @staticmethod
    async def _unless(
        final: frozenset[Categoria], call: Awaitable[c.PedidoResponse]
    ) -> c.PedidoResponse | None:
        """A call's answer; None when it failed in a way that another try may change."""
        try:
            return await call
        except ErroServico as error:
            if error.categoria in final:
                raise
            return None

    def _write(self, kind: LineType, op: Op, caller: int, key: str | None, **more: Any) -> None:
        line = Line(type=kind, op=op, key=key, process=caller, time_ns=time.monotonic_ns(), **more)
        self._history.write(line)
