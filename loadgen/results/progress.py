"""Progress while a run lasts: one line that renews itself on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group
from rich.live import Live as Screen
from rich.table import Table
from rich.text import Text

from loadgen.results.plot import COLUMNS, Point, latency_plot
from loadgen.results.recorder import Live

# Times a second that a terminal is drawn at most.
FRAMES_PER_S: Final = 4


class Board:
    """Named values that renew themselves on a terminal, plain lines elsewhere; a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._screen = (
            Screen(console=console, refresh_per_second=FRAMES_PER_S, transient=True)
            if console.is_terminal
            else None
        )

    def __enter__(self) -> Self:
        if self._screen is not None:
            self._screen.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._screen is not None:
            self._screen.stop()

    @property
    def live(self) -> bool:
        """True on a terminal, where the values renew themselves."""
        return self._screen is not None

    def show(self, cells: Mapping[str, str], *below: str | Text) -> None:
        """Show these values, and on a terminal the lines `below` them."""
        if self._screen is None:
            self.say("  ".join(f"{name} {value}" for name, value in cells.items()))
            return
        table = Table()
        for name in cells:
            table.add_column(name, justify="right")
        table.add_row(*cells.values())
        lines = (line if isinstance(line, Text) else Text(line) for line in below)
        self._screen.update(Group(table, *lines))

    def say(self, line: str) -> None:
        """A line that stays."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class Progress(Board):
    """Shows how far a run has come, on a terminal with a plot; a context manager around it."""

    def __init__(self, console: Console, *, total: int | None, duration_s: float | None) -> None:
        super().__init__(console)
        self._total = total
        self._duration_s = duration_s
        self._start = time.monotonic()
        self._before = (self._start, 0)
        self._points: deque[Point | None] = deque(maxlen=COLUMNS)

    def show_run(self, live: Live) -> None:
        """Show the state of this moment; called once a second."""
        recent = sorted(live.recent_ms)
        point = Point(recent[len(recent) // 2], recent[len(recent) * 99 // 100]) if recent else None
        self._points.append(point)
        self.show(self._cells(live, point), *latency_plot(self._points))

    def _cells(self, live: Live, point: Point | None) -> dict[str, str]:
        now = time.monotonic()
        then, ended_then = self._before
        ended = live.completed + live.failed
        self._before = (now, ended)
        rate = (ended - ended_then) / (now - then) if now > then else 0.0
        cells = {
            "elapsed": self._elapsed(now - self._start),
            "sent": f"{live.sent:,}" + (f"/{self._total:,}" if self._total is not None else ""),
            "completed": f"{live.completed:,}",
            "failed": f"{live.failed:,}",
            "in flight": f"{live.sent - ended:,}",
            "per s": f"{rate:,.0f}",
        }
        if live.unsent:
            cells["unsent"] = f"{live.unsent:,}"
        if point is not None:
            cells["recent p50 ms"] = f"{point.p50:,.1f}"
            cells["recent p99 ms"] = f"{point.p99:,.1f}"
        return cells

    def _elapsed(self, seconds: float) -> str:
        return f"{seconds:.0f}" + (f"/{self._duration_s:.0f}" if self._duration_s else "") + " s"
