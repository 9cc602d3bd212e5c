"""Admission at the edge: how many orders may be in flight, how many are driven, who waits.

Two bounds. `in_flight_max` is how many orders may be open at all. Open are those that wait here, those
that are being claimed, and all in the book that have not ended. Beyond it the next one is refused at
once, before any effect. `driven_max` is how many are driven at the same time. The rest wait in order of
arrival, so that the event loops behind never juggle more than they can.

What the queue cannot finish within its deadline is refused early: the wait is estimated from the
time that orders have lately held their place (an exponentially weighted mean) and from how many
are ahead. An order that has waited is looked at once more when its turn comes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

from common.erros import ErroServico, encerrando, sobrecarga
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.portas import Promise, Tasks

# Share of the newest measurement in the mean time that an order holds its place.
WEIGHT: Final = 0.05
# Seconds after its arrival from which an order counts as one that has waited.
NOTABLE_WAIT_S: Final = 0.01


class _Turn:
    """A place in the queue, and whether its turn has come."""

    __slots__ = ("given", "promise")

    def __init__(self, promise: Promise[bool]) -> None:
        self.promise = promise
        self.given = False


class Slots:
    """The port `Admission`: a bounded first-in first-out queue in front of a bounded set of places."""

    def __init__(
        self,
        in_flight_max: int,
        driven_max: int,
        tasks: Tasks,
        abertas: Callable[[], int] = lambda: 0,
    ) -> None:
        """`abertas` counts the orders in the book that have not ended."""
        self._em_voo_max = in_flight_max
        self._ativas_max = min(driven_max, in_flight_max)
        self._tasks = tasks
        self._abertas = abertas
        self._lock = tasks.lock()
        self._ativas = 0
        # Of the places, those whose order is not in the book yet.
        self._por_abrir = 0
        self._fila: deque[_Turn] = deque()
        self._ocupacao_s = 0.0
        self._fechada = False

    @property
    def driven(self) -> int:
        """Orders that hold a place."""
        return self._ativas

    @property
    def waiting(self) -> int:
        """Orders admitted that wait for a place."""
        return len(self._fila)

    def free(self) -> bool:
        """True when the next order would start at once."""
        return self._vazia() and self._em_voo() < self._em_voo_max

    def _vazia(self) -> bool:
        """True while there are free places, and therefore no line."""
        return self._ativas < self._ativas_max and not self._fila

    def _em_voo(self) -> int:
        return self._abertas() + self._por_abrir + len(self._fila)

    def fechar(self) -> None:
        """Give no more places: who waits for one, or comes for one, is refused without effect."""
        with self._lock:
            self._fechada = True
            for turn in self._fila:
                turn.promise.fail(encerrando())
            self._fila.clear()

    def refusal(
        self, entregues: int, na_frente: int, trabalhadores: int, ate: float
    ) -> ErroServico | None:
        """Why an order may not stand in line for a worker, where an arm has workers; else None.

        `entregues` orders were handed to the workers and not answered yet, `na_frente` of them
        still wait for one. `ate` is the instant (monotonic) by which this one must be answered.
        """
        with self._lock:
            em_voo = max(entregues, na_frente + self._em_voo())
            espera = self._ocupacao_s * (na_frente + 1) / min(trabalhadores, self._ativas_max)
            return self._excesso(em_voo, espera, time.monotonic(), ate)

    async def take(self, ctx: Contexto) -> Slot:
        """Wait in order for a place; see portas.Admission."""
        inicio = time.monotonic()
        turn = None
        with self._lock:
            if self._fechada:
                raise encerrando()
            # Read once: orders in the book end meanwhile. Whoever stands in line is served by a place
            # that comes free, so nobody may stand there while there are free ones.
            em_voo = self._em_voo()
            if self._vazia() and em_voo < self._em_voo_max:
                self._ativas += 1
                self._por_abrir += 1
            else:
                turn = self._queue(ctx, em_voo, inicio)
        if turn is None:
            # On threads it may have waited for a worker.
            waited = 0 < ctx.account.arrival < inicio - NOTABLE_WAIT_S
        else:
            waited = True
            try:
                await self._wait(turn, ctx.prazo)
            finally:
                ctx.account.queue += time.monotonic() - inicio
        slot = Slot(self)
        if waited and slot.inicio + self._ocupacao_s > ctx.prazo:
            self.give_back(slot)
            raise self._tarde(0.0)
        return slot

    def _queue(self, ctx: Contexto, em_voo: int, agora: float) -> _Turn:
        """Stand in line. Raises ErroServico when there is no room, or would be no time."""
        recusa = self._excesso(em_voo, self._espera_estimada(), agora, ctx.prazo)
        if recusa is not None:
            raise recusa
        turn = _Turn(self._tasks.promise())
        self._fila.append(turn)
        return turn

    def _excesso(self, em_voo: int, espera: float, agora: float, ate: float) -> ErroServico | None:
        """Why one more order in line is too many, if it is: for the bound, or for its deadline."""
        if em_voo >= self._em_voo_max:
            return sobrecarga("há pedidos demais em andamento", espera)
        if agora + espera + self._ocupacao_s > ate:
            return self._tarde(espera)
        return None

    @staticmethod
    def _tarde(espera: float) -> ErroServico:
        return sobrecarga("a fila não terminaria este pedido dentro do prazo", espera)

    async def _wait(self, turn: _Turn, ate: float) -> None:
        try:
            await turn.promise.wait(ate)
        except BaseException:
            with self._lock:
                if turn.given:
                    # The place came at the very moment that the caller left: pass it on.
                    self._por_abrir -= 1
                    self._passar()
                elif turn in self._fila:
                    self._fila.remove(turn)
            raise
        with self._lock:
            if not turn.given:
                if self._fechada:
                    # It closed at the very moment that the wait ended.
                    raise encerrando()
                self._fila.remove(turn)
                raise sobrecarga("a vez não chegou dentro do prazo", self._espera_estimada())

    def _espera_estimada(self) -> float:
        return self._ocupacao_s * (len(self._fila) + 1) / self._ativas_max

    def abrir(self, slot: Slot) -> None:
        """The order of a place is in the book, where it is counted from now on."""
        with self._lock:
            if slot.por_abrir:
                slot.por_abrir = False
                self._por_abrir -= 1

    def release(self, slot: Slot) -> None:
        """A place is free again; only the first time that it is given back counts."""
        with self._lock:
            if not slot.ocupada:
                return
            ocupada_s = time.monotonic() - slot.inicio
            if self._ocupacao_s == 0.0:
                self._ocupacao_s = ocupada_s
            else:
                self._ocupacao_s += WEIGHT * (ocupada_s - self._ocupacao_s)
            self.give_back(slot)

    def give_back(self, slot: Slot) -> None:
        """A place is free again; how long it was held says nothing of an order's time."""
        with self._lock:
            slot.ocupada = False
            self.abrir(slot)
            self._passar()

    def _passar(self) -> None:
        """Hand the place to the next in line, or take it out of use."""
        if self._fila:
            turn = self._fila.popleft()
            turn.given = True
            self._por_abrir += 1
            turn.promise.resolve(True)
        else:
            self._ativas -= 1


class Slot:
    """A place among the orders that are driven."""

    __slots__ = ("_slots", "inicio", "ocupada", "por_abrir")

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        # Since when it has been held (monotonic), and whether it still is.
        self.inicio = time.monotonic()
        self.ocupada = True
        # Its order is not in the book yet.
        self.por_abrir = True

    def abrir(self) -> None:
        """Say that its order is in the book; saying it twice is harmless."""
        self._slots.abrir(self)

    def release(self) -> None:
        """Give it back; giving it back twice is harmless."""
        self._slots.release(self)
