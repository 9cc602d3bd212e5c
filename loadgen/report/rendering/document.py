"""The report as data: blocks in an order, written once and rendered as Markdown and as a page.

Text is plain Portuguese with three marks only: `code`, **strong** and [words](target).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from loadgen.report.rendering.charts import Chart

Tone = Literal["good", "warning", "bad", "note"]


@dataclass(frozen=True)
class Heading:
    """A title; level 2 is a section, 3 a part of one, 4 a part of that."""

    level: int
    text: str

    @property
    def anchor(self) -> str:
        """The heading's anchor, the same that GitHub makes."""
        return slug(self.text)


@dataclass(frozen=True)
class Paragraph:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Callout:
    """What must not be missed."""

    tone: Tone
    text: str


@dataclass(frozen=True)
class Code:
    """Commands or other literal text."""

    text: str
    language: str = "sh"


@dataclass(frozen=True)
class Table:
    """Rows of cells that are text already; columns after the first `words` hold figures."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    words: int = 1


@dataclass(frozen=True)
class Figure:
    """A chart with what it shows, and the command that makes it again."""

    chart: Chart
    caption: str
    command: str


@dataclass(frozen=True)
class Drawing:
    """A diagram as SVG text; `description` is what it says, for who cannot see it."""

    name: str
    svg: str
    caption: str
    description: str


@dataclass(frozen=True)
class Folded:
    """Blocks that a reader opens when wanted."""

    summary: str
    blocks: tuple[Block, ...]


Block = Heading | Paragraph | Bullets | Callout | Code | Table | Figure | Drawing | Folded


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    subtitle: str
    blocks: tuple[Block, ...] = field(default=())

    def figures(self) -> list[Figure]:
        """Every chart, in order."""
        return [block for block in flat(self.blocks) if isinstance(block, Figure)]

    def drawings(self) -> list[Drawing]:
        """Every diagram, in order."""
        return [block for block in flat(self.blocks) if isinstance(block, Drawing)]


def flat(blocks: Sequence[Block]) -> list[Block]:
    """All blocks, folded ones too."""
    every: list[Block] = []
    for block in blocks:
        every += flat(block.blocks) if isinstance(block, Folded) else [block]
    return every


def slug(text: str) -> str:
    """The anchor of a heading: lower case, spaces as hyphens, punctuation left out."""
    composed = unicodedata.normalize("NFC", text.lower())
    return re.sub(r"[^\w\- ]", "", composed).strip().replace(" ", "-")
