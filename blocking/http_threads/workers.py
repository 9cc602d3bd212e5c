"""waitress's pool of threads, with admission at its entrance."""

from __future__ import annotations

import threading
import time
from functools import partial
from math import inf
from typing import Any, Final, NamedTuple

from waitress.task import ThreadedTaskDispatcher

from blocking.entrance import RECUSAM, Entrance
from common.contratos import OPERACOES
from common.erros import ErroServico
from common.pipeline import CABECALHO_LIMITE, CABECALHO_PRAZO, deadline

# Method and path of operations that ask for an order.
_ORDERS: Final = {
    (operacao.metodo_http, operacao.caminho)
    for operacao in OPERACOES
    if operacao.classe == "pedido"
}


class Workers(ThreadedTaskDispatcher):  # type: ignore[misc]
    """waitress's pool; a worker knows when the call that it serves came.

    Orders that there is no room for do not stand in its line: another thread says so.
    """

    def __init__(self, workers: int, entrance: Entrance) -> None:
        super().__init__()
        self._entrance = entrance
        self._mine = threading.local()
        self._refusing = ThreadedTaskDispatcher()
        self.set_thread_count(workers)
        self._refusing.set_thread_count(RECUSAM)

    def arrived(self) -> float:
        """The monotonic instant at which this thread's call was handed over."""
        instant: float = self._mine.call.arrived
        return instant

    def refusal(self) -> ErroServico | None:
        """Why this thread's call is refused; None when it is to be served."""
        erro: ErroServico | None = self._mine.call.refusal
        return erro

    def add_task(self, task: Any) -> None:
        """Hand over a call: a connection, with the request that it begins with."""
        request = task.requests[0]
        # What could not be read has neither method nor path.
        order = request.error is None and (request.command, request.path) in _ORDERS
        refusal = self._entrance.join(partial(_until, request) if order else None)
        call = _Call(task, order, time.monotonic(), refusal)
        if refusal is None:
            super().add_task(_Task(call, self._mine, self._entrance))
        else:
            self._refusing.add_task(_Refusal(call, self._mine))

    def shutdown(self, *args: Any, **kwargs: Any) -> None:
        """End the threads, as waitress does."""
        self._refusing.shutdown(*args, **kwargs)
        super().shutdown(*args, **kwargs)


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

    def __init__(self, call: _Call, mine: threading.local, entrance: Entrance) -> None:
        super().__init__(call, mine)
        self._entrance = entrance

    def service(self) -> None:
        """Serve it in this thread."""
        self._entrance.begin(order=self.call.order)
        try:
            super().service()
        finally:
            self._entrance.end(order=self.call.order)


def _until(request: Any) -> float:
    """The instant (monotonic) by which a call that nobody serves yet must be answered."""
    mark = request.headers.get
    try:
        return deadline(mark(_as_read(CABECALHO_PRAZO)), mark(_as_read(CABECALHO_LIMITE)))
    except ErroServico:
        # A worker will say what is wrong with it.
        return inf


def _as_read(name: str) -> str:
    """A header's name as waitress's parser keeps it."""
    return name.upper().replace("-", "_")
