"""The exact commands beside a figure: those that measured it and the one that draws it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from loadgen.report.figures.collection import Gathered, Group
from loadgen.study.design.commands import repeating


def redraw(gathered: Gathered) -> str:
    """The command that makes the report again from its data."""
    names = [str(source.directory) for source in gathered.sources]
    mixed = ["--mix"] if gathered.differences else []
    return shlex.join(["python", "-m", "loadgen.report", *names, *mixed])


def study(gathered: Gathered) -> list[str]:
    """The commands that the studies were started and resumed with."""
    return [sitting.command for source in gathered.sources for sitting in source.manifest.sittings]


def behind(gathered: Gathered, groups: Iterable[Group]) -> str:
    """What to type to measure a figure again, one of its runs or all, and to draw it."""
    runs = [found for group in groups for found in group.believed_in]
    lines = ["# medir tudo de novo", *study(gathered)[:1]]
    if runs:
        directory, first = runs[0]
        lines += [
            f"# ou só uma das {len(runs)} execuções desta figura, com as suas falhas",
            repeating(directory, first.id),
        ]
        if first.commands:
            lines += ["# o que ela faz, passo a passo", *first.commands]
    return "\n".join([*lines, "# desenhar de novo, dos dados guardados", redraw(gathered)])
