"""Admission at the edge: how many orders may be in flight, how many are driven, who waits.

Two bounds. `em_voo_max` is how many orders are admitted at all: beyond it the next one is refused
at once, before any effect. `ativas_max` is how many of them are driven at the same time: the rest
wait in order of arrival, so that the event loops behind never juggle more than they can.

What the queue cannot finish within its deadline is refused early: the wait is estimated from the
time that orders have lately held their place (an exponentially weighted mean) and from how many
are ahead.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from math import inf
from typing import Final

from common.erros import encerrando, sobrecarga
from common.servicos.contexto import Contexto

# Share of the newest measurement in the mean time that an order holds its place.
PESO: Final = 0.05


class Slots:
    """The port `Vagas`: a bounded first-in first-out queue in front of a bounded set of places."""

    def __init__(self, em_voo_max: int, ativas_max: int) -> None:
        self._em_voo_max = em_voo_max
        self._ativas_max = min(ativas_max, em_voo_max)
        self._ativas = 0
        self._fila: deque[asyncio.Future[None]] = deque()
        self._ocupacao_s = 0.0
        self._fechada = False

    @property
    def ativas(self) -> int:
        """Orders that hold a place."""
        return self._ativas

    @property
    def esperando(self) -> int:
        """Orders admitted that wait for a place."""
        return len(self._fila)

    def livre(self) -> bool:
        """True when the next order would start at once."""
        return self._ativas < self._ativas_max and not self._fila

    def fechar(self) -> None:
        """Give no more places: who waits for one, or comes for one, is refused without effect."""
        self._fechada = True
        for vez in self._fila:
            if not vez.done():
                vez.set_exception(encerrando())
        self._fila.clear()

    async def ocupar(self, ctx: Contexto) -> Slot:
        """Wait in order for a place; see portas.Vagas."""
        if self._fechada:
            raise encerrando()
        if not self.livre():
            inicio = time.monotonic()
            try:
                await self._esperar(ctx, inicio)
            finally:
                ctx.fila += time.monotonic() - inicio
        else:
            self._ativas += 1
        return Slot(self)

    async def _esperar(self, ctx: Contexto, agora: float) -> None:
        if self._ativas + len(self._fila) >= self._em_voo_max:
            raise sobrecarga("há pedidos demais em andamento", self._espera_estimada())
        espera = self._espera_estimada()
        if agora + espera + self._ocupacao_s > ctx.prazo:
            raise sobrecarga("a fila não terminaria este pedido dentro do prazo", espera)
        loop = asyncio.get_running_loop()
        vez: asyncio.Future[None] = loop.create_future()
        self._fila.append(vez)
        alarme = None
        if ctx.prazo != inf:
            alarme = loop.call_later(ctx.prazo - agora, vez.cancel)
        try:
            await vez
        except asyncio.CancelledError:
            if vez in self._fila:
                self._fila.remove(vez)
            elif not vez.cancelled():
                # The place came at the very moment that the caller left: pass it on.
                self._passar()
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise sobrecarga("a vez não chegou dentro do prazo", self._espera_estimada()) from None
        finally:
            if alarme is not None:
                alarme.cancel()

    def _espera_estimada(self) -> float:
        return self._ocupacao_s * (len(self._fila) + 1) / self._ativas_max

    def _liberar(self, ocupada_s: float) -> None:
        if self._ocupacao_s == 0.0:
            self._ocupacao_s = ocupada_s
        else:
            self._ocupacao_s += PESO * (ocupada_s - self._ocupacao_s)
        self._passar()

    def _passar(self) -> None:
        """Hand the place to the next in line that still waits, or take it out of use."""
        while self._fila:
            vez = self._fila.popleft()
            if not vez.done():
                vez.set_result(None)
                return
        self._ativas -= 1


class Slot:
    """A place among the orders that are driven."""

    __slots__ = ("_inicio", "_slots")

    def __init__(self, slots: Slots) -> None:
        self._slots: Slots | None = slots
        self._inicio = time.monotonic()

    def liberar(self) -> None:
        """Give it back; giving it back twice is harmless."""
        if self._slots is not None:
            slots, self._slots = self._slots, None
            slots._liberar(time.monotonic() - self._inicio)  # noqa: SLF001 - its own queue
