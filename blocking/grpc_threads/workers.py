"""The pool of threads that serves gRPC's calls, with admission at its entrance."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from math import inf
from typing import Any, Final

from blocking.arrivals import Arrivals
from blocking.entrance import RECUSAM, Entrance
from blocking.execution import become_worker
from common.erros import ErroServico
from common.serving.deadline import HEADER_TIMEOUT, TIMEOUT_MAX_MS, deadline

_LOG = logging.getLogger(__name__)

# Seconds. grpc tells of a call without a deadline as of one that is further away than this.
DEADLINE_MAX_S: Final = TIMEOUT_MAX_MS / 1e3


class _Pool(ThreadPoolExecutor):
    """A pool that serves with the threads it has when the system gives it no more."""

    _short = False

    def begin(self) -> None:
        """Have the first thread. Raises RuntimeError when the system cannot start one."""
        super().submit(_nothing).result()

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError as error:
            if not self._threads:
                raise
            # The call stands in line for the others. Raised, it would end grpc's own thread, and
            # with that the server; and whoever counts the call would count it for ever.
            if not self._short:
                _LOG.warning("%d threads, and no more: %s", len(self._threads), error)
            self._short = True


def _nothing() -> None:
    """What has a pool begin its first thread."""


class Workers(_Pool):
    """The pool; a worker knows when the call that it serves came."""

    def __init__(self, workers: int, entrance: Entrance) -> None:
        super().__init__(workers, thread_name_prefix="worker", initializer=become_worker)
        self._entrance = entrance
        self._mine = threading.local()
        self.arrivals = Arrivals(workers)

    def arrived(self) -> float:
        """The monotonic instant at which this thread's call was handed over."""
        instant: float = self._mine.arrived
        return instant

    def refusal(self) -> ErroServico | None:
        """Why this thread's call is refused; None when it is to be served."""
        erro: ErroServico | None = self._mine.refusal
        return erro

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand over a call that is no new order."""
        self._entrance.join()
        return self.hand_over(partial(function, *args, **kwargs), order=False)

    def hand_over(self, work: Callable[[], Any], *, order: bool) -> Future[Any]:
        """Hand over a call that has come in."""
        future = super().submit(self._serve, self.arrivals.come(), work, order=order)
        # Also when it is cancelled before a worker takes it.
        future.add_done_callback(lambda _future: self._entrance.end(order=order))
        return future

    def refuse(self, arrived: float, erro: ErroServico, work: Callable[[], Any]) -> Any:
        """Serve a call that came at `arrived` in this thread, which is no worker, by refusing it."""
        self._mine.arrived, self._mine.refusal = arrived, erro
        return work()

    def _serve(self, arrived: float, work: Callable[[], Any], *, order: bool) -> Any:
        self.arrivals.go()
        self._entrance.begin(order=order)
        self._mine.arrived, self._mine.refusal = arrived, None
        return work()


class Orders(_Pool):
    """Where new orders come in: handed to the workers, or refused by threads of its own."""

    def __init__(self, workers: Workers, entrance: Entrance) -> None:
        super().__init__(RECUSAM, thread_name_prefix="refusal")
        self._workers = workers
        self._entrance = entrance

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand over an order: grpc's own function that serves it, and what this works on."""
        work = partial(function, *args, **kwargs)
        refusal = self._entrance.join(partial(_until, args))
        if refusal is None:
            return self._workers.hand_over(work, order=True)
        return super().submit(self._workers.refuse, time.monotonic(), refusal, work)


def _until(handed: tuple[Any, ...]) -> float:
    """The instant (monotonic) by which a call that nobody serves yet must be answered.

    Of what grpc handed over, the one thing that says how the call came: no public name leads there
    before a thread serves it.
    """
    for event in handed:
        if hasattr(event, "call_details"):
            break
    else:
        return inf
    mark = dict(event.invocation_metadata).get
    left = event.call_details.deadline - time.time()
    now = time.monotonic()
    try:
        return deadline(
            now,
            mark(HEADER_TIMEOUT),
            left_until=now + left if left <= DEADLINE_MAX_S else inf,
        )
    except ErroServico:
        # A worker will say what is wrong with it.
        return inf
