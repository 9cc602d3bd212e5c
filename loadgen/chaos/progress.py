"""What is seen of an attack while it runs: figures, goodput over the last minute, what was done."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Console

from loadgen.results.progress import Board

# Seconds of goodput that are drawn, and events that are kept in sight.
DRAWN_S: Final = 60
EVENTS: Final = 6
_BARS: Final = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float]) -> str:
    """Numbers as a row of bars, the highest of them full; what is not above 0 is the lowest bar."""
    top = max(values, default=0.0)
    if top <= 0:
        return _BARS[0] * len(values)
    last = len(_BARS) - 1
    return "".join(_BARS[round(max(0.0, value) / top * last)] for value in values)


class View(Board):
    """The live view of one arm under attack."""

    def __init__(self, console: Console, mode: str) -> None:
        super().__init__(console)
        self._mode = mode
        self._goodput: deque[float] = deque(maxlen=DRAWN_S)
        self._events: deque[str] = deque(maxlen=EVENTS)

    def event(self, second: float, words: str) -> None:
        """Something was done to the arm, or came of it."""
        line = f"{second:5.0f} s  {words}"
        self._events.append(line)
        if not self.live:
            self.say(f"{self._mode} {line}")

    def beat(self, second: float, per_s: float, cells: Mapping[str, str]) -> None:
        """The figures of this second; called once in each."""
        self._goodput.append(per_s)
        self.show(
            {"arm": self._mode, "s": f"{second:.0f}", "ended a second": f"{per_s:.0f}", **cells},
            f"goodput {sparkline(self._goodput)} {max(self._goodput):.0f} at most",
            *self._events,
        )
