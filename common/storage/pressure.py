"""How busy the whole machine is."""

from __future__ import annotations

import threading
import time
from typing import Final

import psutil

# Seconds between readings of the machine's processor time; a reading costs some 50 microseconds.
READING_S: Final = 0.25
# Shares of the machine's processors in use. Below the first there is no pressure, from the second
# on it is full: in between it grows evenly.
PRESSURE_NONE: Final = 0.80
PRESSURE_FULL: Final = 0.95


class Pressure:
    """How much the machine's processors are the bottleneck, from 0 (not at all) to 1.

    Read at most every READING_S, when asked for: an idle process spends nothing on it. One a
    process: each reading is of the time since the last one, whoever asked.
    """

    def __init__(self) -> None:
        self._next = time.monotonic() + READING_S
        self._value = 0.0
        self._lock = threading.Lock()
        # The first reading has nothing to compare with.
        psutil.cpu_percent(interval=None)

    def read(self) -> float:
        """The pressure of the last interval."""
        with self._lock:
            now = time.monotonic()
            if now >= self._next:
                self._next = now + READING_S
                busy = psutil.cpu_percent(interval=None) / 100
                above = (busy - PRESSURE_NONE) / (PRESSURE_FULL - PRESSURE_NONE)
                self._value = min(1.0, max(0.0, above))
            return self._value
