"""A document as one page that needs nothing else: styles, scripts, data and diagrams are in it."""

from __future__ import annotations

import re
from dataclasses import asdict
from html import escape
from pathlib import Path
from string import Template
from typing import Any, Final

import msgspec

from common import ROOT
from loadgen.report.rendering.charts import LOOKS, Chart, Lines, parts_of, rows_of, tabulated
from loadgen.report.rendering.document import (
    Block,
    Bullets,
    Callout,
    Code,
    Document,
    Drawing,
    Figure,
    Folded,
    Heading,
    Paragraph,
    Table,
)
from loadgen.report.rendering.numerals import MISSING

_HERE: Final = Path(__file__).resolve().parents[1] / "page"
_VENDOR: Final = ROOT / "assets" / "vendor"
# In the order in which they need each other.
LIBRARIES: Final = ("d3/d3.min.js", "plot/plot.umd.min.js")
_SIGNS: Final = {"good": "✔", "warning": "⚠", "bad": "✘", "note": "ℹ"}
_MARKS: Final = (
    (re.compile(r"`([^`]+)`"), r"<code>\1</code>"),
    (re.compile(r"\*\*([^*]+)\*\*"), r"<strong>\1</strong>"),
    (re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)"), r'<a href="\2">\1</a>'),
)


def rendered(document: Document) -> str:
    """The whole page."""
    contents = "".join(
        f'<li><a href="#{block.anchor}">{escape(block.text)}</a></li>'
        for block in document.blocks
        if isinstance(block, Heading) and block.level == 2
    )
    return Template((_HERE / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(document.title),
        subtitle=inline(document.subtitle),
        style=_style(),
        contents=contents,
        body="\n".join(_block(block) for block in document.blocks),
        looks=_json([asdict(look) for look in LOOKS]),
        libraries="\n".join(
            f"<script>\n{(_VENDOR / name).read_text(encoding='utf-8')}\n</script>"
            for name in LIBRARIES
        ),
        script=(_HERE / "page.js").read_text(encoding="utf-8"),
    )


def inline(text: str) -> str:
    """The three marks of running text as HTML; everything else is escaped."""
    marked = escape(text, quote=False)
    for pattern, replacement in _MARKS:
        marked = pattern.sub(replacement, marked)
    return marked


def _style() -> str:
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    for name in ("light", "dark"):
        looks = " ".join(f"--look-{at}: {getattr(look, name)};" for at, look in enumerate(LOOKS))
        style = style.replace(f"LOOKS_{name.upper()}", looks)
    return style


def _json(value: Any) -> str:
    """JSON that may stand in a script element: no `<` can end it."""
    return msgspec.json.encode(value).decode().replace("<", "\\u003c")


def _block(block: Block) -> str:  # noqa: PLR0911 - one a kind of block
    match block:
        case Heading():
            return f'<h{block.level} id="{block.anchor}">{inline(block.text)}</h{block.level}>'
        case Paragraph():
            return f"<p>{inline(block.text)}</p>"
        case Bullets():
            items = "".join(f"<li>{inline(item)}</li>" for item in block.items)
            return f"<ul>{items}</ul>"
        case Callout():
            sign = _SIGNS[block.tone]
            return f'<p class="callout {block.tone}" data-sign="{sign}">{inline(block.text)}</p>'
        case Code():
            return f"<pre><code>{escape(block.text)}</code></pre>"
        case Table():
            return _table(block)
        case Figure():
            return _figure(block)
        case Drawing():
            return (
                f'<figure><div class="drawing" role="img" tabindex="0" '
                f'aria-label="{escape(block.description)}">{block.svg}</div>'
                f"<figcaption>{inline(block.caption)}</figcaption></figure>"
            )
        case Folded():
            inside = "\n".join(_block(each) for each in block.blocks)
            return f"<details><summary>{inline(block.summary)}</summary>{inside}</details>"


def _table(table: Table) -> str:
    def cells(tag: str, row: tuple[str, ...]) -> str:
        return "".join(
            f"<{tag}{'' if at < table.words else _kind(text)}>{inline(text)}</{tag}>"
            for at, text in enumerate(row)
        )

    caption = f"<caption>{inline(table.caption)}</caption>" if table.caption else ""
    rows = "".join(f"<tr>{cells('td', row)}</tr>" for row in table.rows)
    return (
        f'<div class="wide" tabindex="0"><table>{caption}<thead><tr>{cells("th", table.columns)}'
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _kind(text: str) -> str:
    """The class of a cell in a column of figures: a figure stays on its line, words may wrap."""
    is_figure = text[:1].isdigit() or text == MISSING
    return ' class="figure"' if is_figure else ' class="figure verdict"'


def _figure(figure: Figure) -> str:
    chart = figure.chart
    columns, rows = tabulated(chart)
    data = _table(Table(columns, tuple(rows)))
    return (
        f'<figure data-chart="{escape(chart.name)}">'
        f'<div class="title">{escape(chart.title)}</div><div class="legend"></div>'
        f'<div class="plot" tabindex="0" role="img" aria-label="{escape(chart.title)}"></div>'
        f'<div class="said" aria-live="polite"></div>'
        f'<script type="application/json">{_json(_plain(chart))}</script>'
        f"<figcaption>{inline(figure.caption)}</figcaption>"
        f"<details><summary>Dados e comando</summary>"
        f"<pre><code>{escape(figure.command)}</code></pre>{data}</details></figure>"
    )


def _plain(chart: Chart) -> dict[str, Any]:
    """A chart as the page's script reads it: points as short lists, numbers without noise."""
    fields: dict[str, Any] = asdict(chart) | {
        "kind": type(chart).__name__,
        "parts": list(parts_of(chart).items()),
    }
    if isinstance(chart, Lines):
        fields["series"] = [
            {
                "name": series.name,
                "look": series.look,
                "joined": series.joined,
                "markers": chart.markers and series.markers,
                "points": [
                    [_short(value) for value in (point.x, point.y, point.low, point.high)]
                    for point in series.points
                ],
            }
            for series in chart.series
        ]
    else:
        fields["rows"] = rows_of(chart)
    return fields


def _short(value: float | None) -> float | None:
    """Six significant digits: more than any figure here has, and half the size of the page."""
    return None if value is None else float(f"{value:.6g}")
