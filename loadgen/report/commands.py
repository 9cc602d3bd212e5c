"""The exact commands beside a figure: those that measured it and the one that draws it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from loadgen.report.gathering import Gathered, Group


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
    runs = [run for group in groups for run in group.believed]
    lines = ["# medir tudo de novo", *study(gathered)[:1]]
    if runs:
        lines += [f"# ou só uma das {len(runs)} execuções desta figura ({runs[0].id})"]
        lines += runs[0].commands
    return "\n".join([*lines, "# desenhar de novo, dos dados guardados", redraw(gathered)])
