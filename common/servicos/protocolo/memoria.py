"""A value fetched from another service, shared by whoever asks while it is young enough."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from typing import Generic, TypeVar

from common.erros import ErroServico, indisponivel, prazo_esgotado
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.portas import Clock, Promise, Tasks

T = TypeVar("T")


class Memoria(Generic[T]):
    """Coalesces: at most one fetch is under way, and everybody who waits shares its result.

    The age of a value counts from the moment its fetch began, so it is never older than it claims.
    The fetch belongs to nobody's request: one caller that hangs up takes nothing from the others.
    """

    # Seconds. Longer than a healthy fetch by far; a hung one must not hold its waiters for ever.
    FETCH_MAX_S = 5.0

    def __init__(
        self,
        buscar: Callable[[Contexto], Awaitable[T]],
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        self._buscar = buscar
        self._clock = clock
        self._tasks = tasks
        self._valor: T | None = None
        self._instante = -inf
        self._em_curso: Promise[T] | None = None
        self._lock = tasks.lock()

    def idade(self) -> float:
        """Seconds since the fetch of the value at hand began; infinite when there is none."""
        return self._clock.now() - self._instante

    def atual(self) -> T | None:
        """The value at hand, whatever its age."""
        return self._valor

    async def obter(self, ctx: Contexto, idade_max_s: float) -> T:
        """A value at most `idade_max_s` old, or else from a fetch begun after this call.

        It is fetched anew from half that age on, so that nobody waits while the other answers.
        Raises ErroServico: unavailable when the fetch fails, whatever of, and deadline when that of
        `ctx` comes first.
        """
        if idade_max_s / 2 < self.idade() <= idade_max_s:
            # One that cannot be started harms nobody yet: who needs it tries again below.
            with suppress(ErroServico):
                self._renovar()
        chegada = self._clock.now()
        # Twice at most: a fetch that was under way may have begun too long ago, the next has not.
        while self._valor is None or (self.idade() > idade_max_s and self._instante < chegada):
            try:
                valor = await self._renovar().wait(ctx.prazo)
            except ErroServico as erro:
                # What another service said of our question says nothing of our caller's.
                raise indisponivel("a consulta a outro serviço falhou") from erro
            if valor is None:
                raise prazo_esgotado("a consulta a outro serviço não respondeu a tempo")
        return self._valor

    def _renovar(self) -> Promise[T]:
        """Start a fetch, or join the one under way. Raises ErroServico when it cannot be started."""
        with self._lock:
            if self._em_curso is None:
                promessa: Promise[T] = self._tasks.promise()
                # Only one that has begun may be joined; it waits for the lock before it ends.
                self._tasks.start(self._realizar(promessa))
                self._em_curso = promessa
            return self._em_curso

    async def _realizar(self, promessa: Promise[T]) -> None:
        inicio = self._clock.now()
        # A fetch that is cancelled, or dies of a defect, must still release its waiters.
        resultado: ErroServico | None = indisponivel("a consulta a outro serviço foi interrompida")
        try:
            valor = await self._buscar(Contexto(inicio + self.FETCH_MAX_S))
            resultado = None
        except ErroServico as erro:
            resultado = erro
        finally:
            with self._lock:
                if resultado is None:
                    # In this order: who reads the instant without the lock finds the value there.
                    self._valor = valor
                    self._instante = inicio
                # Before anybody is told: who comes from now on begins a fetch, and joins none that
                # is over.
                self._em_curso = None
            if resultado is None:
                promessa.resolve(valor)
            else:
                promessa.fail(resultado)
