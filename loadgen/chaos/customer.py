"""A customer who does not give up: the same key again until the order has ended.

Everything goes into the history: `invoke` before a call is sent, `ok` with its answer, `fail` when
it is certain that it had no effect, `info` for everything else.
"""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import Any, Final

import msgspec

from common import contratos as c
from common.erros import Categoria, ErroServico
from common.servicos.contexto import Contexto
from loadgen.history import History, Line, LineError, Op
from loadgen.outcomes import SEM_EFEITO, TERMINAIS

# Seconds before the same key is tried again; doubles from the first to the second, with jitter.
PAUSE_FIRST_S: Final = 0.1
PAUSE_MAX_S: Final = 1.0
# Refusals that another try may not change.
FINAL_REFUSALS: Final = SEM_EFEITO - {Categoria.SOBRECARGA}


class Customer:
    """Places orders at Pedidos of the running arm, and cancels them."""

    def __init__(self, pedidos: Any, history: History, *, attempt_s: float, seed: int) -> None:
        """`attempt_s` is the deadline of one call."""
        self._pedidos = pedidos
        self._history = history
        self._attempt_s = attempt_s
        self._draw = Random(f"customer {seed}")
        self.errors: dict[str, int] = {}

    async def buy(
        self, caller: int, key: str, request: c.CriarPedidoRequest, *, until: float
    ) -> c.PedidoResponse | None:
        """Ask with one key until the order has ended; None when it has not by `until`.

        Raises ErroServico for a refusal that is final.
        """
        pause = PAUSE_FIRST_S
        while True:
            answer = await self.ask(caller, key, request, until=until)
            if answer is not None and answer.status in TERMINAIS:
                return answer
            left = until - time.monotonic()
            if left <= 0:
                return None
            await asyncio.sleep(min(left, pause * self._draw.uniform(0.5, 1.0)))
            pause = min(2 * pause, PAUSE_MAX_S)

    async def ask(
        self,
        caller: int,
        key: str,
        request: c.CriarPedidoRequest,
        *,
        until: float,
        attempt_s: float | None = None,
    ) -> c.PedidoResponse | None:
        """Ask once; None when no answer came. Raises ErroServico for a refusal that is final."""
        deadline = min(until, time.monotonic() + (attempt_s or self._attempt_s))
        body = msgspec.Raw(msgspec.json.encode(request))
        self._write("invoke", "criar_pedido", caller, key, request=body)
        call = self._pedidos.criar_pedido(Contexto(deadline, key), request)
        return await self._answered("criar_pedido", caller, key, call)

    async def cancel(self, caller: int, key: str, pedido_id: int) -> c.PedidoResponse | None:
        """Cancel once; None when no answer came.

        Raises ErroServico for a refusal that is final: precondition for an order that was sent.
        """
        deadline = time.monotonic() + self._attempt_s
        self._write("invoke", "cancelar_pedido", caller, key, pedido_id=pedido_id)
        call = self._pedidos.cancelar_pedido(
            Contexto(deadline, key), c.CancelarPedidoRequest(pedido_id)
        )
        return await self._answered("cancelar_pedido", caller, key, call)

    async def _answered(self, op: Op, caller: int, key: str, call: Any) -> c.PedidoResponse | None:
        try:
            answer: c.PedidoResponse = await call
        except ErroServico as error:
            certain = error.categoria in SEM_EFEITO
            kind = error.categoria.value
            self.errors[kind] = self.errors.get(kind, 0) + 1
            words = LineError(kind, error.detalhe)
            self._write("fail" if certain else "info", op, caller, key, error=words)
            if error.categoria in FINAL_REFUSALS:
                raise
            return None
        except asyncio.CancelledError:
            self._write("info", op, caller, key, error=LineError("interrompido", ""))
            raise
        self._write("ok", op, caller, key, answer=answer, pedido_id=answer.pedido_id)
        return answer

    def _write(self, kind: Any, op: Op, caller: int, key: str, **more: Any) -> None:
        line = Line(type=kind, op=op, key=key, process=caller, time_ns=time.monotonic_ns(), **more)
        self._history.write(line)
