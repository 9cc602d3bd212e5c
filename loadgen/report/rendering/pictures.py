"""Charts as SVG pictures for the Markdown, drawn by matplotlib; readable in grey."""

from __future__ import annotations

import io
from typing import Any, Final

from loadgen.report.rendering.charts import (
    LOOKS,
    Bars,
    Chart,
    Lines,
    Series,
    Spans,
    parts_of,
    rows_of,
)
from loadgen.report.rendering.numerals import number

WIDTH_IN: Final = 8.0
# That fit side by side into a legend, its samples counted as characters too.
LEGEND_CHARACTERS: Final = 96
_MARKERS: Final = {"circle": "o", "square": "s", "triangle": "^", "diamond": "D"}
# What tells parts of a stack apart on paper.
# Lines alone: a hatch of dots is drawn as thousands of curves, and makes a small picture a large file.
_HATCHES: Final = ("", "///", "---", "xxx", "\\\\\\", "+++", "|||", "//")
_INK: Final = "#222222"


class NoPicturesError(RuntimeError):
    """matplotlib is not installed; the message says what to do."""


def check_package() -> None:
    """Raise NoPicturesError when the package for pictures is missing."""
    try:
        import matplotlib as mpl
    except ImportError:
        raise NoPicturesError(
            "matplotlib is missing, which draws the figures: pip install -r requirements.txt"
        ) from None
    mpl.use("Agg")


def picture(chart: Chart) -> str:
    """The chart as SVG text; the same chart gives the same bytes."""
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    settings: Any = {
        "svg.hashsalt": chart.name, "font.size": 9.5, "axes.spines.top": False,
        "axes.spines.right": False, "axes.edgecolor": _INK, "text.color": _INK,
    }  # fmt: skip
    with mpl.rc_context(settings):
        figure, axes = plt.subplots(figsize=(WIDTH_IN, _height_in(chart)), layout="constrained")
        if isinstance(chart, Lines):
            _lines(axes, chart)
        elif isinstance(chart, Bars):
            _bars(axes, chart)
        else:
            _spans(axes, chart)
        axes.set_title(chart.title, loc="left", fontsize=11, fontweight="bold")
        handles, labels = axes.get_legend_handles_labels()
        if handles:
            figure.legend(
                handles,
                labels,
                loc="outside lower center",
                ncols=_columns(labels),
                frameon=False,
            )
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)
    return text.getvalue()


def _columns(labels: list[str]) -> int:
    """Entries of the legend side by side: as many as the picture's width holds."""
    return max(1, min(4, len(labels), LEGEND_CHARACTERS // (max(map(len, labels)) + 5)))


def _height_in(chart: Chart) -> float:
    if isinstance(chart, Lines):
        return 4.2
    each = len(chart.bars) if isinstance(chart, Bars) else len(rows_of(chart))
    return 1.5 + each * (0.24 if isinstance(chart, Bars) else 0.42)


def _scale(axis: Any, which: str, *, log: bool) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if log:
        getattr(axis, f"set_{which}scale")("log")
        scale = getattr(axis, f"{which}axis")
        low, high = scale.get_view_interval()
        close = high / max(low, 1e-9) < 100
        scale.set_major_locator(
            LogLocator(base=10, subs=(1, 2, 3, 5) if close else (1, 3), numticks=12)
        )
        scale.set_minor_formatter(NullFormatter())
    getattr(axis, f"{which}axis").set_major_formatter(
        FuncFormatter(
            lambda value, _: (
                number(value, 4 if value >= 1000 else 3).removesuffix(",00").removesuffix(",0")
            )
        )
    )


def _lines(axes: Any, chart: Lines) -> None:
    for series in chart.series:
        _line(axes, series, markers=chart.markers and series.markers)
    _scale(axes, "x", log=chart.x.log)
    _scale(axes, "y", log=chart.y.log)
    if not chart.y.log:
        axes.set_ylim(bottom=0)
    seen: set[str] = set()
    for band in chart.bands:
        label = None if band.label in seen else band.label
        seen.add(band.label)
        tint, hatch = ("#b08900", "///") if band.light else ("#555555", None)
        axes.axvspan(
            band.begin, band.end, facecolor=tint, alpha=0.2, linewidth=0, hatch=hatch,
            edgecolor="white", label=label,
        )  # fmt: skip
    axes.set_xlabel(chart.x.label)
    axes.set_ylabel(chart.y.label)
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)


def _line(axes: Any, series: Series, *, markers: bool) -> None:
    look = LOOKS[series.look]
    nothing = float("nan")
    xs = [point.x for point in series.points]
    ys = [nothing if point.y is None else point.y for point in series.points]
    style: Any = (0, look.dash) if look.dash else "-"
    if not series.joined:
        style = "none"
    marker = _MARKERS[look.symbol] if markers else None
    axes.plot(
        xs, ys, color=look.light, linestyle=style, marker=marker, markersize=5,
        linewidth=1.6 if markers else 1.2, label=series.name,
    )  # fmt: skip
    for point in series.points:
        if point.low is not None and point.high is not None:
            axes.vlines(point.x, point.low, point.high, color=look.light, linewidth=1.1)


def _bars(axes: Any, chart: Bars) -> None:
    rows = rows_of(chart)
    positions, labels, at = [], [], 0.0
    shown: set[str] = set()
    hatches = {part: _HATCHES[at % len(_HATCHES)] for at, part in enumerate(parts_of(chart))}
    for row in rows:
        inside = [bar for bar in chart.bars if bar.row == row]
        positions.append(at + (len(inside) - 1) / 2)
        labels.append(row)
        for bar in inside:
            axes.barh(
                at, bar.value, height=0.82, color=LOOKS[bar.look].light, alpha=0.75,
                hatch=hatches[bar.series], edgecolor="white", linewidth=0,
                label=None if bar.series in shown else bar.series,
            )  # fmt: skip
            shown.add(bar.series)
            if bar.low is not None and bar.high is not None:
                axes.hlines(at, bar.low, bar.high, color=_INK, linewidth=1.4)
            at += 1
        at += 0.6
    axes.set_yticks(positions, labels)
    axes.invert_yaxis()
    _scale(axes, "x", log=chart.x.log)
    axes.set_xlabel(chart.x.label)
    axes.grid(visible=True, axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def _spans(axes: Any, chart: Spans) -> None:
    rows = rows_of(chart)
    hatches = {part: _HATCHES[at % len(_HATCHES)] for at, part in enumerate(parts_of(chart))}
    shown: set[str] = set()
    for span in chart.spans:
        axes.barh(
            rows.index(span.row), span.end - span.begin, left=span.begin, height=0.7,
            color=LOOKS[span.look].light, alpha=0.8, hatch=hatches[span.part],
            edgecolor="white", linewidth=0, label=None if span.part in shown else span.part,
        )  # fmt: skip
        shown.add(span.part)
    axes.set_yticks(range(len(rows)), rows)
    axes.invert_yaxis()
    _scale(axes, "x", log=chart.x.log)
    axes.set_xlabel(chart.x.label)
    axes.grid(visible=True, axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
