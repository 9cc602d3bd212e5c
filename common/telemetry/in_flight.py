"""The calls that a service is working on."""

from __future__ import annotations

import threading


class InFlight:
    """Calls that a service is working on: all of them, and the steps among them.

    A call counts for the life of a block. `fechado` once the service works on no new ones.
    """

    def __init__(self) -> None:
        self.total = 0
        self.passos = 0
        self.fechado = False
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.total += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.total -= 1

    def enter_step(self, steps_max: int) -> bool:
        """Count a step; False, with nothing counted, when there are too many."""
        with self._lock:
            if self.passos >= steps_max:
                return False
            self.passos += 1
            return True

    def leave_step(self) -> None:
        """The step has been done."""
        with self._lock:
            self.passos -= 1
