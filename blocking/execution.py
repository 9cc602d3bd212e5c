"""The ports of the control arm: time, tasks, promises and locks on threads.

A task is asked to stop at its next wait, as on an event loop, and the wait that it is in ends: also
one for another service, where the call can be interrupted.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from copy import copy
from math import inf
from typing import Any, Final, Generic, TypeVar

from common.erros import ErroServico, encerrando, sem_recursos
from common.runtime.execution import MachineClock
from common.servicos.protocolo.portas import Task
from common.telemetry.timing import running

R = TypeVar("R")

_LOG = logging.getLogger(__name__)

# Seconds that a thread without a task waits for the next one before it ends.
IDLE_AFTER_S: Final = 10.0
# Seconds that tasks have to end once they are stopped, for what cannot be interrupted.
HALT_S: Final = 0.5

_mine = threading.local()


class TaskStoppedError(BaseException):
    """Raised in a task that was asked to stop, at its next wait; no error of the service's."""


def run_to_end(coroutine: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine whose every port blocks: it ends the first time it is driven."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        value: R = end.value
        return value
    coroutine.close()
    msg = "a port of the blocking arm suspended instead of blocking"
    raise RuntimeError(msg)


@contextmanager
def blocked() -> Iterator[None]:
    """Around everything that holds this thread: a measured call waits meanwhile."""
    meter = running()
    if meter is None:
        yield
        return
    meter.pause()
    try:
        yield
    finally:
        meter.resume()


def in_task() -> bool:
    """True in a thread that runs a task, which may be asked to stop."""
    return getattr(_mine, "task", None) is not None


def become_worker() -> None:
    """From now on this thread serves calls: its sleeps end when the service does."""
    _mine.worker = True


def in_worker() -> bool:
    """True in a thread that serves calls."""
    return getattr(_mine, "worker", False)


def stop_if_asked() -> None:
    """Raise TaskStoppedError in a task that was asked to stop."""
    task: ThreadTask | None = getattr(_mine, "task", None)
    if task is not None and task.stopped:
        raise TaskStoppedError


@contextmanager
def interruptible(interrupt: Callable[[], object]) -> Iterator[None]:
    """Around a call that holds this thread: `interrupt` makes it fail when the task is to stop.

    Raises TaskStoppedError then, whatever the call raised.
    """
    task: ThreadTask | None = getattr(_mine, "task", None)
    with blocked():
        if task is None:
            yield
        else:
            with task.waiting(interrupt):
                yield


def wait(event: threading.Event, ate: float = inf) -> None:
    """Block until the event is set, at most until the monotonic instant `ate`.

    Raises TaskStoppedError in a task that is asked to stop before or meanwhile.
    """
    left = None
    if ate != inf:
        left = min(max(0.0, ate - time.monotonic()), threading.TIMEOUT_MAX)
    with interruptible(event.set):
        event.wait(left)


class ThreadClock(MachineClock):
    """The port `Clock`; letting time pass holds the thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Workers that let time pass, each until its instant; and the last instant there may be.
        self._naps: dict[threading.Event, float] = {}
        self._latest = inf

    async def sleep(self, segundos: float) -> None:
        """Let time pass. Raises ErroServico (unavailable) in a worker whose service ends before."""
        if in_task():
            wait(threading.Event(), time.monotonic() + segundos)
        elif in_worker():
            self._nap(segundos)
        else:
            with blocked():
                time.sleep(segundos)  # noqa: ASYNC251 - blocking is what this arm is for

    def wake(self, after_s: float = 0.0) -> None:
        """The service ends in `after_s` seconds: no worker lets time pass beyond that.

        Whoever would is woken now, as a handler on an event loop is cancelled then.
        """
        with self._lock:
            self._latest = time.monotonic() + after_s
            for nap, until in self._naps.items():
                if until > self._latest:
                    nap.set()

    def _nap(self, seconds: float) -> None:
        nap, until = threading.Event(), time.monotonic() + seconds
        with self._lock:
            if until > self._latest:
                raise encerrando()
            self._naps[nap] = until
        try:
            with blocked():
                woken = nap.wait(min(seconds, threading.TIMEOUT_MAX))
        finally:
            with self._lock:
                del self._naps[nap]
        if woken:
            raise encerrando()


class ThreadPromise(Generic[R]):
    """A value that somebody will set once; any number may wait, each with its own patience."""

    __slots__ = ("_erro", "_lock", "_pronta", "_valor", "_vigias")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pronta = False
        self._valor: R | None = None
        self._erro: ErroServico | None = None
        self._vigias: list[threading.Event] = []

    def done(self) -> bool:
        """True once set."""
        return self._pronta

    def resolve(self, valor: R) -> None:
        """Set the value and wake whoever waits."""
        self._set(valor, None)

    def fail(self, erro: ErroServico) -> None:
        """Set an error; each of those who wait sees a copy of it raised."""
        self._set(None, erro)

    async def wait(self, ate: float) -> R | None:
        """Wait for the value, at most until the monotonic instant `ate`; None when it is late."""
        vigia = threading.Event()
        with self._lock:
            waiting = not self._pronta
            if waiting:
                self._vigias.append(vigia)
        if waiting:
            try:
                wait(vigia, ate)
            finally:
                with self._lock:
                    if not self._pronta:
                        self._vigias.remove(vigia)
        if self._erro is not None:
            raise copy(self._erro)
        return self._valor

    def _set(self, valor: R | None, erro: ErroServico | None) -> None:
        with self._lock:
            if self._pronta:
                return
            self._valor, self._erro = valor, erro
            self._pronta = True
            vigias, self._vigias = self._vigias, []
        for vigia in vigias:
            vigia.set()


class ThreadTask:
    """A piece of work that the service owns, in a thread of its own."""

    def __init__(self, corrotina: Coroutine[Any, Any, None]) -> None:
        self._corrotina = corrotina
        self._lock = threading.Lock()
        self._stopped = False
        self._interrupt: Callable[[], object] | None = None

    @property
    def stopped(self) -> bool:
        """True once it was asked to stop."""
        return self._stopped

    def cancelar(self) -> None:
        """Ask it to stop at its next wait, and end the one that it is in."""
        with self._lock:
            self._stopped = True
            if self._interrupt is not None:
                self._interrupt()

    @contextmanager
    def waiting(self, interrupt: Callable[[], object]) -> Iterator[None]:
        """Around a wait that `interrupt` ends. Raises TaskStoppedError when asked to stop."""
        with self._lock:
            if self._stopped:
                raise TaskStoppedError
            self._interrupt = interrupt
        try:
            yield
        except Exception:
            if not self._done_waiting():
                raise
            raise TaskStoppedError from None
        if self._done_waiting():
            raise TaskStoppedError

    def _done_waiting(self) -> bool:
        """The wait is over; True when the task is to stop."""
        with self._lock:
            self._interrupt = None
            return self._stopped

    def discard(self) -> None:
        """Give up the coroutine of a task that never began."""
        self._corrotina.close()

    def run(self) -> None:
        """Run to the end; a defect is logged, never lost."""
        _mine.task = self
        try:
            run_to_end(self._corrotina)
        except TaskStoppedError:
            pass
        except BaseException:
            _LOG.exception("uma tarefa do serviço terminou com defeito")
        finally:
            _mine.task = None


class ThreadTasks:
    """Owns every task that outlives a request; threads without one are used again."""

    def __init__(self, clock: ThreadClock | None = None) -> None:
        """`clock` is the one by which workers sleep that nobody waits for any more at the end."""
        self._clock = clock
        self._lock = threading.Lock()
        self._ended = threading.Condition(self._lock)
        self._tasks: set[ThreadTask] = set()
        self._idle = 0
        self._handed: queue.SimpleQueue[ThreadTask] = queue.SimpleQueue()

    def start(self, corrotina: Coroutine[Any, Any, None]) -> ThreadTask:
        """Run a coroutine as an owned task. Raises ErroServico (unavailable) without a thread."""
        task = ThreadTask(corrotina)
        with self._lock:
            self._tasks.add(task)
            reused = self._idle > 0
            if reused:
                self._idle -= 1
                self._handed.put(task)
        if not reused:
            self._begin(task)
        return task

    def _begin(self, task: ThreadTask) -> None:
        """Give a task a thread of its own, or leave no trace of it."""
        try:
            threading.Thread(target=self._work, args=(task,), daemon=True, name="task").start()
        except RuntimeError as error:
            with self._lock:
                self._tasks.discard(task)
                self._ended.notify_all()
            task.discard()
            _LOG.warning("uma tarefa não começou: %s", error)
            raise sem_recursos() from None

    def promise(self) -> ThreadPromise[Any]:
        """A fresh promise."""
        return ThreadPromise()

    def lock(self) -> Any:
        """A fresh lock; see portas.Tasks."""
        return threading.RLock()

    def running(self, exceto: Task | None = None) -> int:
        """How many tasks are under way."""
        with self._lock:
            return len(self._tasks) - (exceto in self._tasks)

    async def stop(self) -> None:
        """Stop what is left and wait until it has ended, or cannot be woken; wake who sleeps."""
        if self._clock is not None:
            self._clock.wake()
        with self._lock:
            tasks = list(self._tasks)
        for task in tasks:
            task.cancelar()
        with self._lock:
            self._ended.wait_for(lambda: not self._tasks.intersection(tasks), HALT_S)

    def _work(self, task: ThreadTask | None) -> None:
        while task is not None:
            task.run()
            with self._lock:
                self._tasks.discard(task)
                self._idle += 1
                self._ended.notify_all()
            task = self._next()

    def _next(self) -> ThreadTask | None:
        """The next task that is handed to this thread; None when it is not needed any more."""
        try:
            return self._handed.get(timeout=IDLE_AFTER_S)
        except queue.Empty:
            pass
        with self._lock:
            try:
                # Handed over in the very moment that the wait ended.
                return self._handed.get_nowait()
            except queue.Empty:
                self._idle -= 1
                return None
