"""Charts as data, so that the picture in the Markdown and the plot in the page show the same.

A chart knows its points, axes and intervals, and nothing of how it is drawn. Whatever a chart
shows is also a table (`tabulated`), for who cannot see it or wants the figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from loadgen.report.rendering.numerals import MISSING, number

Symbol = Literal["circle", "square", "triangle", "diamond"]


@dataclass(frozen=True)
class Look:
    """How a series is told from others: also in grey (symbol, dash), on paper and on a dark screen."""

    light: str
    dark: str
    symbol: Symbol
    dash: tuple[int, ...] = ()


# Okabe and Ito's palette, which most colour-blind readers tell apart, darkened where it was too
# pale on white. The first four are the arms: the protocol gives the hue, threads the dash.
LOOKS: Final = (
    Look("#0063a6", "#5ab4f0", "circle"),
    Look("#c44e00", "#ff9a4d", "square"),
    Look("#3d8fc9", "#9ad2f7", "triangle", (6, 3)),
    Look("#e08a00", "#ffc766", "diamond", (6, 3)),
    Look("#007a58", "#3fcf9f", "triangle", (2, 2)),
    Look("#a3417c", "#e58fc3", "diamond", (8, 3, 2, 3)),
    Look("#6b6b6b", "#b5b5b5", "circle", (1, 2)),
    Look("#8a7500", "#e6d44c", "square", (4, 2, 1, 2)),
    Look("#8c2d04", "#f0a080", "circle", (4, 4)),
    Look("#4a3a8c", "#b0a4f0", "diamond", (1, 3)),
    Look("#2f6f73", "#8fd0d4", "triangle", (5, 1)),
)


@dataclass(frozen=True)
class Axis:
    """A scale: what it measures, with its unit in the label."""

    label: str
    log: bool = False


@dataclass(frozen=True)
class Point:
    """A point with the interval around it, where one may be claimed. `y` None breaks the line."""

    x: float
    y: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Series:
    """A line of points, or points alone when they are not `joined`. `look` is an index of LOOKS.

    A series with more points than can be measured one by one has no `markers`.
    """

    name: str
    points: tuple[Point, ...]
    look: int
    joined: bool = True
    markers: bool = True


@dataclass(frozen=True)
class Band:
    """A stretch of the x axis in which something was done to the system.

    A `light` one is told from the others also in grey.
    """

    begin: float
    end: float
    label: str
    light: bool = False


@dataclass(frozen=True)
class Lines:
    """Lines over a numeric axis; `markers` where points are few and each was measured."""

    name: str
    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    bands: tuple[Band, ...] = ()
    markers: bool = True


@dataclass(frozen=True)
class Bar:
    """One bar: its row, its series, its value and interval."""

    row: str
    series: str
    look: int
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Bars:
    """Horizontal bars, grouped by row."""

    name: str
    title: str
    x: Axis
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Span:
    """A stretch of a row, from `begin` to `end` on the x axis."""

    row: str
    part: str
    look: int
    begin: float
    end: float


@dataclass(frozen=True)
class Spans:
    """Rows with stretches one after the other: where time went."""

    name: str
    title: str
    x: Axis
    spans: tuple[Span, ...]


Chart = Lines | Bars | Spans


def parts_of(chart: Chart) -> dict[str, int]:
    """What the legend names: {series or part: look}, in order of appearance."""
    if isinstance(chart, Lines):
        return {series.name: series.look for series in chart.series}
    if isinstance(chart, Bars):
        return {bar.series: bar.look for bar in chart.bars}
    return {span.part: span.look for span in chart.spans}


def rows_of(chart: Bars | Spans) -> list[str]:
    """The rows of a chart of rows, in order of appearance."""
    each = chart.bars if isinstance(chart, Bars) else chart.spans
    return list(dict.fromkeys(item.row for item in each))


def tabulated(chart: Chart) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The chart's figures: (columns, rows), all text."""
    if isinstance(chart, Lines):
        return _lines(chart)
    if isinstance(chart, Bars):
        columns = ("", "série", chart.x.label, "intervalo de 95 %")
        return columns, [
            (bar.row, bar.series, number(bar.value), interval(bar.low, bar.high))
            for bar in chart.bars
        ]
    return ("", "parte", f"{chart.x.label}: início", "fim", "duração"), [
        (span.row, span.part, number(span.begin), number(span.end), number(span.end - span.begin))
        for span in chart.spans
    ]


def interval(low: float | None, high: float | None) -> str:
    """`9,1 a 11`, or the sign for what is missing."""
    return MISSING if low is None or high is None else f"{number(low)} a {number(high)}"


def _lines(chart: Lines) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """One row for each x, one column for each series, with the interval in the cell."""
    # A drawn law between measured points is no figure: it is left out.
    told = [series for series in chart.series if series.markers]
    columns = (chart.x.label, *(series.name for series in told))
    cells: dict[float, dict[str, str]] = {}
    for series in told:
        for point in series.points:
            text = number(point.y)
            if point.low is not None and point.high is not None:
                text += f" ({interval(point.low, point.high)})"
            cells.setdefault(point.x, {})[series.name] = text
    return columns, [
        (number(x, 4), *(cells[x].get(series.name, MISSING) for series in told))
        for x in sorted(cells)
    ]
