"""waitress's pool of threads, with admission at its entrance."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Collection
from functools import partial
from math import inf
from typing import Any, Final, NamedTuple

from waitress.task import ThreadedTaskDispatcher

from blocking.arrivals import Arrivals
from blocking.entrance import RECUSAM, Entrance
from blocking.execution import become_worker
from common.contratos import OPERACOES
from common.erros import ErroServico
from common.serving.deadline import HEADER_TIMEOUT, deadline

_LOG = logging.getLogger(__name__)

# Seconds. The least that the last refusal has to be said when a service stops.
ANSWER_S: Final = 0.1
# Seconds between looks at what a stop waits for.
LOOK_EVERY_S: Final = 0.002

# Method and path of operations that ask for an order.
_ORDERS: Final = {
    (operacao.metodo_http, operacao.caminho)
    for operacao in OPERACOES
    if operacao.classe == "pedido"
}


class Workers(ThreadedTaskDispatcher):  # type: ignore[misc]
    """waitress's pool; a worker knows when the call that it serves came.

    Calls that are refused do not stand in its line: another thread says so. Threads are begun as
    calls need them, `workers` at most.
    """

    def __init__(self, workers: int, entrance: Entrance) -> None:
        super().__init__()
        self._most = workers
        self._entrance = entrance
        self._mine = threading.local()
        self.arrivals = Arrivals(workers)
        self._refusing = ThreadedTaskDispatcher()
        self._closed = False
        self._short = False

    def begin(self) -> None:
        """Have the first threads. Raises RuntimeError when the system cannot start one."""
        self._refusing.set_thread_count(RECUSAM)
        self.set_thread_count(1)

    def handler_thread(self, thread_no: int) -> None:
        """What a worker does."""
        become_worker()
        super().handler_thread(thread_no)

    def arrived(self) -> float:
        """The monotonic instant at which this thread's call was handed over."""
        instant: float = self._mine.call.arrived
        return instant

    def refusal(self) -> ErroServico | None:
        """Why this thread's call is refused; None when it is to be served."""
        erro: ErroServico | None = self._mine.call.refusal
        return erro

    def twice(self) -> Collection[str]:
        """Which names of headers came more than once with this thread's call."""
        names: Collection[str] = self._mine.call.task.requests[0].twice
        return names

    def absent(self) -> Callable[[], bool]:
        """What says whether the caller of this thread's call has hung up."""
        return partial(_hung_up, self._mine.call.task)

    def add_task(self, task: Any) -> None:
        """Hand over a call: a connection, with the request that it begins with."""
        request = task.requests[0]
        # What could not be read has neither method nor path.
        order = request.error is None and (request.command, request.path) in _ORDERS
        refusal = self._entrance.join(partial(_until, request) if order else None)
        if refusal is not None:
            call = _Call(task, order, time.monotonic(), refusal)
            self._refusing.add_task(_Refusal(call, self._mine))
            return
        call = _Call(task, order, self.arrivals.come(), None)
        work = _Task(call, self._mine, self._entrance, self.arrivals)
        with self.lock:
            if not self._closed:
                self._stand_in_line(work)
                return
        self._refusing.add_task(work)

    def _stand_in_line(self, work: _Task) -> None:
        """Have a worker take it, a new one if none is idle; the lock is held."""
        self.queue.append(work)
        self.queue_cv.notify()
        idle = len(self.threads) - self.active_count
        number = len(self.threads)
        if len(self.queue) > idle and number < self._most:
            try:
                self.start_new_thread(self.handler_thread, number)
            except RuntimeError as error:
                # The call stands in line for the others.
                if not self._short:
                    _LOG.warning("%d threads, and no more: %s", number, error)
                self._short = True
                return
            # The new thread waits for the lock before it looks at either.
            self.threads.add(number)
            self.active_count += 1

    def close_line(self) -> None:
        """Have the calls that wait for a worker, and those to come, answered without one.

        The service is to refuse them all by now.
        """
        with self.lock:
            self._closed = True
            left = list(self.queue)
            self.queue.clear()
        for work in left:
            self._refusing.add_task(work)

    def end(self, until: float) -> None:
        """End the threads, those that serve a call until the monotonic instant `until`."""
        with self.lock:
            self._closed = True
            self.stop_count = len(self.threads)
            self.queue_cv.notify_all()
            # Those that are idle end by themselves.
            self.thread_exit_cv.wait_for(
                lambda: self.active_count <= 0, max(0.0, until - time.monotonic())
            )
        # What is still in that line is answered first.
        wait_until(lambda: not self._refusing.queue, until)
        self._refusing.shutdown(timeout=max(ANSWER_S, until - time.monotonic()))


class _Call(NamedTuple):
    """A task of waitress's, when it was handed over, and why it is refused if it is."""

    task: Any
    order: bool
    arrived: float
    refusal: ErroServico | None


class _Refusal:
    """A call that a thread says the refusal of."""

    def __init__(self, call: _Call, mine: threading.local) -> None:
        self.call = call
        self._mine = mine

    def service(self) -> None:
        """Serve it in this thread."""
        self._mine.call = self.call
        self.call.task.service()

    def cancel(self) -> None:
        """Hang up."""
        self.call.task.cancel()


class _Task(_Refusal):
    """A call that a worker serves."""

    def __init__(
        self, call: _Call, mine: threading.local, entrance: Entrance, arrivals: Arrivals
    ) -> None:
        super().__init__(call, mine)
        self._entrance = entrance
        self._arrivals = arrivals

    def service(self) -> None:
        """Serve it in this thread."""
        self._arrivals.go()
        self._entrance.begin(order=self.call.order)
        try:
            super().service()
        finally:
            self._entrance.end(order=self.call.order)


def wait_until(done: Callable[[], bool], until: float) -> None:
    """Wait until `done`, at most until the monotonic instant `until`."""
    while not done() and time.monotonic() < until:
        time.sleep(LOOK_EVERY_S)


def _hung_up(channel: Any) -> bool:
    """Whether the other end of a connection is closed.

    waitress looks at no connection whose request is being served. Having it look (its
    `channel_request_lookahead`) costs a place in each of its polls for every such connection.
    """
    try:
        return not channel.socket.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _until(request: Any) -> float:
    """The instant (monotonic) by which a call that nobody serves yet must be answered."""
    try:
        return deadline(time.monotonic(), request.headers.get(_as_read(HEADER_TIMEOUT)))
    except ErroServico:
        # A worker will say what is wrong with it.
        return inf


def _as_read(name: str) -> str:
    """A header's name as waitress's parser keeps it."""
    return name.upper().replace("-", "_")
