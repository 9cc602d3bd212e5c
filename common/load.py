"""What a service process is busy with, and how busy the whole machine is."""

from __future__ import annotations

import threading
import time
from math import inf
from typing import Final

import psutil

# Seconds between readings of the machine's processor time; a reading costs some 50 microseconds.
LEITURA_S: Final = 0.25
# Shares of the machine's processors in use. Below the first there is no pressure, from the second
# on it is full: in between it grows evenly.
SEM_PRESSAO: Final = 0.80
PRESSAO_PLENA: Final = 0.95


class Pressure:
    """How much the machine's processors are the bottleneck, from 0 (not at all) to 1.

    Read at most every LEITURA_S, when asked for: an idle process spends nothing on it. One a
    process: each reading is of the time since the last one, whoever asked.
    """

    def __init__(self) -> None:
        self._next = time.monotonic() + LEITURA_S
        self._value = 0.0
        self._lock = threading.Lock()
        # The first reading has nothing to compare with.
        psutil.cpu_percent(interval=None)

    def read(self) -> float:
        """The pressure of the last interval."""
        with self._lock:
            now = time.monotonic()
            if now >= self._next:
                self._next = now + LEITURA_S
                busy = psutil.cpu_percent(interval=None) / 100
                above = (busy - SEM_PRESSAO) / (PRESSAO_PLENA - SEM_PRESSAO)
                self._value = min(1.0, max(0.0, above))
            return self._value


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


class Load:
    """One process's load: what its calls, its storage and its limits share."""

    def __init__(self) -> None:
        self.in_flight = InFlight()
        self._pressure = Pressure()

    def pressure(self) -> float:
        """How much the machine's processors are the bottleneck, from 0 to 1."""
        return self._pressure.read()
