"""The calls that a service is working on."""

from __future__ import annotations

import threading
from math import inf


class InFlight:
    """Calls that a service is working on: all of them, and the steps among them.

    `fechado` once it works on no new ones.
    """

    def __init__(self) -> None:
        self.total = 0
        self.passos = 0
        self.fechado = False
        self._lock = threading.Lock()

    def enter(self, *, step: bool, steps_max: float = inf) -> bool:
        """Count a call, and a step; False, with nothing counted, when there are too many steps."""
        with self._lock:
            if step and self.passos >= steps_max:
                return False
            self.total += 1
            self.passos += step
            return True

    def leave(self, *, step: bool) -> None:
        """The call has been answered."""
        with self._lock:
            self.total -= 1
            self.passos -= step
