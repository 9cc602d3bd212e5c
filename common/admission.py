"""Admission at the edge: how many orders may be in flight, how many are driven, who waits.

Two bounds. `em_voo_max` is how many orders are admitted at all: beyond it the next one is refused
at once, before any effect. `ativas_max` is how many of them are driven at the same time: the rest
wait in order of arrival, so that the event loops behind never juggle more than they can.

What the queue cannot finish within its deadline is refused early: the wait is estimated from the
time that orders have lately held their place (an exponentially weighted mean) and from how many
are ahead.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Final

from common.erros import ErroServico, encerrando, sobrecarga
from common.servicos.contexto import Contexto
from common.servicos.portas import Execucao, Promessa

# Share of the newest measurement in the mean time that an order holds its place.
PESO: Final = 0.05


class _Turn:
    """A place in the queue, and whether its turn has come."""

    __slots__ = ("given", "promise")

    def __init__(self, promise: Promessa[bool]) -> None:
        self.promise = promise
        self.given = False


class Slots:
    """The port `Vagas`: a bounded first-in first-out queue in front of a bounded set of places."""

    def __init__(self, em_voo_max: int, ativas_max: int, execucao: Execucao) -> None:
        self._em_voo_max = em_voo_max
        self._ativas_max = min(ativas_max, em_voo_max)
        self._execucao = execucao
        self._tranca = execucao.tranca()
        self._ativas = 0
        self._fila: deque[_Turn] = deque()
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
        with self._tranca:
            self._fechada = True
            for turn in self._fila:
                turn.promise.falhar(encerrando())
            self._fila.clear()

    def recusa(
        self, entregues: int, na_frente: int, trabalhadores: int, ate: float
    ) -> ErroServico | None:
        """Why an order may not stand in line for a worker, where an arm has workers; else None.

        `entregues` orders were handed to the workers and not answered yet, `na_frente` of them
        still wait for one. `ate` is the instant (monotonic) by which this one must be answered.
        """
        with self._tranca:
            em_voo = max(entregues, na_frente + self._ativas + len(self._fila))
            espera = self._ocupacao_s * (na_frente + 1) / min(trabalhadores, self._ativas_max)
            return self._excesso(em_voo, espera, time.monotonic(), ate)

    async def ocupar(self, ctx: Contexto) -> Slot:
        """Wait in order for a place; see portas.Vagas."""
        inicio = time.monotonic()
        with self._tranca:
            if self._fechada:
                raise encerrando()
            if self.livre():
                self._ativas += 1
                return Slot(self)
            turn = self._queue(ctx, inicio)
        try:
            await self._wait(turn, ctx.prazo)
        finally:
            ctx.fila += time.monotonic() - inicio
        return Slot(self)

    def _queue(self, ctx: Contexto, agora: float) -> _Turn:
        """Stand in line. Raises ErroServico when there is no room, or would be no time."""
        em_voo = self._ativas + len(self._fila)
        recusa = self._excesso(em_voo, self._espera_estimada(), agora, ctx.prazo)
        if recusa is not None:
            raise recusa
        turn = _Turn(self._execucao.promessa())
        self._fila.append(turn)
        return turn

    def _excesso(self, em_voo: int, espera: float, agora: float, ate: float) -> ErroServico | None:
        """Why one more order in line is too many, if it is: for the bound, or for its deadline."""
        if em_voo >= self._em_voo_max:
            return sobrecarga("há pedidos demais em andamento", espera)
        if agora + espera + self._ocupacao_s > ate:
            return sobrecarga("a fila não terminaria este pedido dentro do prazo", espera)
        return None

    async def _wait(self, turn: _Turn, ate: float) -> None:
        try:
            await turn.promise.esperar(ate)
        except BaseException:
            with self._tranca:
                if turn.given:
                    # The place came at the very moment that the caller left: pass it on.
                    self._passar()
                elif turn in self._fila:
                    self._fila.remove(turn)
            raise
        with self._tranca:
            if not turn.given:
                if self._fechada:
                    # It closed at the very moment that the wait ended.
                    raise encerrando()
                self._fila.remove(turn)
                raise sobrecarga("a vez não chegou dentro do prazo", self._espera_estimada())

    def _espera_estimada(self) -> float:
        return self._ocupacao_s * (len(self._fila) + 1) / self._ativas_max

    def liberar(self, slot: Slot) -> None:
        """A place is free again; only the first time that it is given back counts."""
        with self._tranca:
            if not slot.ocupada:
                return
            slot.ocupada = False
            ocupada_s = time.monotonic() - slot.inicio
            if self._ocupacao_s == 0.0:
                self._ocupacao_s = ocupada_s
            else:
                self._ocupacao_s += PESO * (ocupada_s - self._ocupacao_s)
            self._passar()

    def _passar(self) -> None:
        """Hand the place to the next in line, or take it out of use."""
        if self._fila:
            turn = self._fila.popleft()
            turn.given = True
            turn.promise.resolver(True)
        else:
            self._ativas -= 1


class Slot:
    """A place among the orders that are driven."""

    __slots__ = ("_slots", "inicio", "ocupada")

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        # Since when it has been held (monotonic), and whether it still is.
        self.inicio = time.monotonic()
        self.ocupada = True

    def liberar(self) -> None:
        """Give it back; giving it back twice is harmless."""
        self._slots.liberar(self)
