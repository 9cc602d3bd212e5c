"""The ports of the event-loop arms: time, tasks and promises on asyncio."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from datetime import UTC, datetime
from math import inf
from typing import Any, Final, Generic, TypeVar

from common.erros import ErroServico
from common.servicos.protocolo.portas import Task

R = TypeVar("R")

_LOG = logging.getLogger(__name__)

_FREE_LOCK: Final = nullcontext()


class MachineClock:
    """The machine's clocks, without a way to let time pass."""

    def now(self) -> float:
        """Seconds on the monotonic clock."""
        return time.monotonic()

    def timestamp(self) -> str:
        """The wall clock, ISO 8601 in UTC with milliseconds."""
        return datetime.now(UTC).isoformat(timespec="milliseconds")

    def epoch(self) -> float:
        """The wall clock, seconds since 1970."""
        return time.time()


class AsyncClock(MachineClock):
    """The port `Clock`; letting time pass yields to the loop."""

    async def sleep(self, segundos: float) -> None:
        """Let time pass."""
        await asyncio.sleep(segundos)


class AsyncPromise(Generic[R]):
    """A value that somebody will set once; any number may wait, each with its own patience."""

    __slots__ = ("_erro", "_pronta", "_valor", "_vigias")

    def __init__(self) -> None:
        self._pronta = False
        self._valor: R | None = None
        self._erro: ErroServico | None = None
        self._vigias: list[asyncio.Future[None]] = []

    def done(self) -> bool:
        """True once set."""
        return self._pronta

    def resolve(self, valor: R) -> None:
        """Set the value and wake whoever waits."""
        if not self._pronta:
            self._valor = valor
            self._acordar()

    def fail(self, erro: ErroServico) -> None:
        """Set an error; each of those who wait sees a copy of it raised."""
        if not self._pronta:
            self._erro = erro
            self._acordar()

    async def wait(self, ate: float) -> R | None:
        """Wait for the value, at most until the monotonic instant `ate`; None when it is late."""
        if not self._pronta:
            loop = asyncio.get_running_loop()
            vigia: asyncio.Future[None] = loop.create_future()
            self._vigias.append(vigia)
            # A plain timer: wait_for would wrap the wait in a task of its own.
            alarme = None
            if ate != inf:
                alarme = loop.call_later(max(0.0, ate - time.monotonic()), _wake, vigia)
            try:
                await vigia
            finally:
                if alarme is not None:
                    alarme.cancel()
                if not self._pronta:
                    self._vigias.remove(vigia)
        if self._erro is not None:
            raise copy(self._erro)
        return self._valor

    def _acordar(self) -> None:
        self._pronta = True
        for vigia in self._vigias:
            _wake(vigia)
        self._vigias.clear()


def _wake(vigia: asyncio.Future[None]) -> None:
    if not vigia.done():
        vigia.set_result(None)


class TaskHandle:
    """A task that the service owns."""

    __slots__ = ("_task",)

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    def cancelar(self) -> None:
        """Ask it to stop at its next await."""
        self._task.cancel()


class AsyncTasks:
    """Owns every task that outlives a request; `encerrar` ends them all."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, corrotina: Coroutine[Any, Any, None]) -> TaskHandle:
        """Run a coroutine as an owned task; a defect in it is logged, never lost."""
        task = asyncio.get_running_loop().create_task(corrotina)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return TaskHandle(task)

    def promise(self) -> AsyncPromise[Any]:
        """A fresh promise."""
        return AsyncPromise()

    def lock(self) -> AbstractContextManager[None]:
        """One that is always free: see portas.Tasks."""
        return _FREE_LOCK

    def running(self, exceto: Task | None = None) -> int:
        """How many tasks are under way."""
        others = {exceto._task} if isinstance(exceto, TaskHandle) else set()  # noqa: SLF001 - our own
        return len(self._tasks - others)

    async def stop(self) -> None:
        """Cancel what is left and wait until it has ended."""
        # One that has not begun could not clean up after itself.
        await asyncio.sleep(0)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (erro := task.exception()) is not None:
            _LOG.error("uma tarefa do serviço terminou com defeito", exc_info=erro)
