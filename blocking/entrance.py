"""Where calls come in: the queue for a worker, which on threads is the queue at the edge.

Orders stand in it before anything of the service's has seen them. So admission looks here first:
what `Slots` would refuse once a worker had come to it is refused by the thread that took it in,
and said by a thread that no order ever holds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from common.erros import ErroServico
from common.serving.admission import Slots

# Threads of a service that say refusals; saying one takes a fraction of a millisecond.
RECUSAM: Final = 1


class Entrance:
    """Calls that were handed to a pool of workers and not answered yet, and orders among them."""

    def __init__(self, workers: int, slots: Slots | None) -> None:
        """`slots` are those of the service that admits orders; None where none come in."""
        self._workers = workers
        self._slots = slots
        self._lock = threading.Lock()
        self._calls = 0
        self._orders = 0
        self._orders_waiting = 0

    def join(self, until: Callable[[], float] | None = None) -> ErroServico | None:
        """Count a call that came; or leave it out and say why it is refused, if it is an order.

        `until` reads the instant (monotonic) by which an order must have been answered, and is
        None for any other call. While a worker is free nothing is refused here: a worker finds out
        more, a known key among the rest.
        """
        with self._lock:
            if until is not None:
                if self._slots is not None and self._calls >= self._workers:
                    refusal = self._slots.refusal(
                        self._orders, self._orders_waiting, self._workers, until()
                    )
                    if refusal is not None:
                        return refusal
                self._orders += 1
                self._orders_waiting += 1
            self._calls += 1
        return None

    def begin(self, *, order: bool) -> None:
        """A worker took a call."""
        with self._lock:
            self._orders_waiting -= order

    def end(self, *, order: bool) -> None:
        """A call that a worker had taken is answered."""
        with self._lock:
            self._calls -= 1
            self._orders -= order
