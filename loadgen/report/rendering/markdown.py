"""A document as Markdown, with its figures as files beside it."""

from __future__ import annotations

from typing import Final

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

# The folder of the figures, beside the page.
FIGURES: Final = "figuras"
_SIGNS: Final = {"good": "✔", "warning": "⚠", "bad": "✘", "note": "ℹ"}


def rendered(document: Document) -> str:
    """The whole document."""
    parts = [f"# {document.title}", document.subtitle, _contents(document)]
    parts += [_block(block) for block in document.blocks]
    return "\n\n".join(parts) + "\n"


def _contents(document: Document) -> str:
    return "\n".join(
        f"- [{block.text}](#{block.anchor})"
        for block in document.blocks
        if isinstance(block, Heading) and block.level == 2
    )


def _block(block: Block) -> str:  # noqa: PLR0911 - one a kind of block
    match block:
        case Heading():
            return f"{'#' * block.level} {block.text}"
        case Paragraph():
            return block.text
        case Bullets():
            return "\n".join(f"- {item}" for item in block.items)
        case Callout():
            return f"> {_SIGNS[block.tone]} {block.text}"
        case Code():
            return f"```{block.language}\n{block.text}\n```"
        case Table():
            return _table(block)
        case Figure():
            return (
                f"![{block.chart.title}]({FIGURES}/{block.chart.name}.svg)\n\n"
                f"*{block.caption}*\n\n<details>\n<summary>Como refazer esta figura</summary>\n\n"
                f"```sh\n{block.command}\n```\n\n</details>"
            )
        case Drawing():
            return f"![{block.description}]({FIGURES}/{block.name}.svg)\n\n*{block.caption}*"
        case Folded():
            inside = "\n\n".join(_block(each) for each in block.blocks)
            return f"<details>\n<summary>{block.summary}</summary>\n\n{inside}\n\n</details>"


def _table(table: Table) -> str:
    head = "| " + " | ".join(_cell(text) or " " for text in table.columns) + " |"
    marks = ["---" if at < table.words else "---:" for at in range(len(table.columns))]
    lines = [head, "| " + " | ".join(marks) + " |"]
    lines += ["| " + " | ".join(_cell(text) for text in row) + " |" for row in table.rows]
    return "\n".join(([f"**{table.caption}**", ""] if table.caption else []) + lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
