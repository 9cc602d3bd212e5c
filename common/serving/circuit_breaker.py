"""The circuit breaker in front of a neighbour: fails fast while it does not answer.

It never decides anything about an order: a call that it does not let pass is one more unknown
outcome, and the order is asked for again later. It opens after a number of failures in a row, or
when calls have waited too long without an answer of any kind; while it is open one call now and
then passes to see, and the first answer closes it (https://martinfowler.com/bliki/CircuitBreaker.html).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple

from common.contratos import Operacao
from common.erros import Categoria, ErroServico, indisponivel
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.portas import Call, Promise, Tasks

# Failures in a row that open it. A service that errs for a third of its calls comes to five in a
# row once in some three hundred and sixty calls; one that is down, within the first five.
FAILURES: Final = 5
# Seconds between calls that try an open one, at a hop inside the chain and at the edge: drawn from
# half of it to all of it. The edge waits longer, so that by the time its trial comes down the chain
# those behind let it pass too.
PAUSE_INNER_S: Final = 0.2
PAUSE_EDGE_S: Final = 0.5
# Seconds, beside the slowest payment, that calls may wait without any answer before it opens.
PATIENCE_S: Final = 5.0


class Timing(NamedTuple):
    """Seconds: the patience with a silent neighbour, and the most between two trials."""

    patience_s: float
    pause_s: float


class CircuitBreaker:
    """The breaker of the calls of one kind to one neighbour."""

    def __init__(
        self,
        servico: str,
        timing: Timing,
        tasks: Tasks,
        draw: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`draw` gives a number in [0, 1); `clock` seconds that never go back."""
        self._servico = servico
        self._timing = timing
        self._draw = draw
        self._clock = clock
        self._tasks = tasks
        self._lock = tasks.lock()
        self._failures = 0
        # Monotonic instant of the next trial; None while it is closed.
        self._trial_at: float | None = None
        # Set when it closes; replaced when it opens.
        self._closed: Promise[None] = tasks.promise()
        # Trials under way; calls under way, since when there are any, and how long earlier ones
        # waited: all since the last answer.
        self._trials = 0
        self._waiting = 0
        self._waiting_since = 0.0
        self._waited_s = 0.0

    def free(self) -> bool:
        """True when a call now would be made; see portas.Passage. Asking changes nothing."""
        trial_at = self._trial_at
        return trial_at is None or self._clock() >= trial_at

    def steady(self) -> bool:
        """True while it is closed; see portas.Passage."""
        return self._trial_at is None

    async def wait(self, ate: float) -> bool:
        """Wait for the next trial or for the breaker to close; see portas.Passage."""
        while True:
            with self._lock:
                closed, trial_at = self._closed, self._trial_at
            if trial_at is None or self._clock() >= trial_at:
                return True
            if self._clock() >= ate:
                return False
            # Whoever wakes first at the next trial makes it; the others find it put off.
            await closed.wait(min(ate, trial_at))

    async def guard(self, call: Call, operacao: Operacao, ctx: Contexto, req: Any) -> Any:
        """Make a call through it. Raises ErroServico (unavailable) while it is open."""
        trial = ctx.sondagem = self._enter()
        try:
            answer = await call(operacao, ctx, req)
        except ErroServico as error:
            if error.categoria is Categoria.INDISPONIVEL:
                self._failed()
            elif error.categoria is not Categoria.PRAZO:
                # An answer all the same. That time ran out says nothing by itself.
                self._answered()
            raise
        else:
            self._answered()
            return answer
        finally:
            self._leave(trial=trial)

    def _enter(self) -> bool:
        """Count a call; True for a trial. Raises ErroServico when no call may pass."""
        with self._lock:
            trial = self._admit()
            self._trials += trial
            if self._waiting == 0:
                self._waiting_since = self._clock()
            self._waiting += 1
            return trial

    def _leave(self, *, trial: bool) -> None:
        with self._lock:
            self._trials -= trial
            self._waiting -= 1
            if self._waiting == 0:
                self._waited_s += self._clock() - self._waiting_since

    def _admit(self) -> bool:
        """True for a trial. Raises ErroServico when no call may pass."""
        now = self._clock()
        if self._trial_at is None:
            if self._silence(now) <= self._timing.patience_s:
                return False
        elif now < self._trial_at:
            erro = indisponivel(f"{self._servico} não responde; o disjuntor está aberto")
            erro.repetir_apos_s = self._trial_at - now
            raise erro.nunca_enviada()
        # It is, or from now on, open: this call tries it, and the next one not before a pause.
        self._put_off(now)
        return True

    def _silence(self, now: float) -> float:
        """Seconds that calls have waited since the last answer."""
        return self._waited_s + (now - self._waiting_since if self._waiting else 0.0)

    def _put_off(self, now: float) -> None:
        if self._trial_at is None:
            self._closed = self._tasks.promise()
        # Trials that hang hold what they hold: the more of them, the later the next one.
        pause_s = self._timing.pause_s * (0.5 + self._draw() / 2)
        self._trial_at = now + pause_s * (1 + self._trials)

    def _failed(self) -> None:
        with self._lock:
            self._failures += 1
            if self._failures >= FAILURES and self._trial_at is None:
                self._put_off(self._clock())

    def _answered(self) -> None:
        with self._lock:
            self._failures = 0
            if self._trial_at is not None:
                self._trial_at = None
                self._closed.resolve(None)
            self._waited_s = 0.0
            self._waiting_since = self._clock()


class Guarded:
    """A neighbour behind two breakers: one for the steps of orders, another for look-ups."""

    def __init__(
        self,
        call: Call,
        servico: str,
        timing: Timing,
        tasks: Tasks,
        draw: Callable[[], float],
    ) -> None:
        self.steps = CircuitBreaker(servico, timing, tasks, draw)
        self._lookups = CircuitBreaker(servico, timing, tasks, draw)
        self._call = call

    def call(self, operacao: Operacao, ctx: Contexto, req: Any) -> Coroutine[Any, Any, Any]:
        """The port `Call`, failing fast."""
        breaker = self._lookups if operacao.classe == "consulta" else self.steps
        return breaker.guard(self._call, operacao, ctx, req)


class AlwaysFree:
    """The port `Passage` where there is no breaker."""

    def free(self) -> bool:
        """True."""
        return True

    def steady(self) -> bool:
        """True."""
        return True

    async def wait(self, ate: float) -> bool:
        """True, at once."""
        return True
