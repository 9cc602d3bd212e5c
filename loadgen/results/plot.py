"""A small plot of latency over time for a terminal: a column a second, its p50 within its p99."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from rich.text import Text

# Lines of text, each of eight steps; and columns, a second each.
ROWS: Final = 6
COLUMNS: Final = 60
_STEPS: Final = " ▁▂▃▄▅▆▇█"
_P50_STYLE: Final = "cyan"
_P99_STYLE: Final = "yellow"
# Characters of the scale at the left.
_SCALE: Final = 9


class Point(NamedTuple):
    """Milliseconds of one second."""

    p50: float
    p99: float


def latency_plot(points: Collection[Point | None], *, rows: int = ROWS) -> list[Text]:
    """The points as columns, p50 within p99, scaled to the largest; None is a second without any.

    The first line is the legend, then `rows` lines from the top down. Without a point there is
    nothing to draw.
    """
    top = max((point.p99 for point in points if point is not None), default=0.0)
    if top <= 0:
        return []
    legend = Text(" " * _SCALE).append("█ p50", _P50_STYLE).append("  ")
    lines = [legend.append("█ p99", _P99_STYLE).append(f" ms, the last {len(points)} s")]
    for row in range(rows - 1, -1, -1):
        scale = {rows - 1: f"{top:,.0f}", 0: "0"}.get(row, "")
        line = Text(f"{scale:>{_SCALE - 2}} ┤" if scale else f"{'':>{_SCALE - 2}} │")
        for point in points:
            line.append(*_cell(point, row, rows, top))
        lines.append(line)
    return lines


def _cell(point: Point | None, row: int, rows: int, top: float) -> tuple[str, str]:
    """The character of one second in one row, and its style."""
    if point is None:
        return " ", ""
    steps = len(_STEPS) - 1
    p50, p99 = (
        min(steps, max(0, round(value / top * rows * steps) - row * steps)) for value in point
    )
    if p50 == 0:
        return _STEPS[p99], _P99_STYLE
    # Above a p50 that ends within this character, a p99 that fills it is its background.
    both = p50 < steps == p99
    return _STEPS[p50], f"{_P50_STYLE} on {_P99_STYLE}" if both else _P50_STYLE
