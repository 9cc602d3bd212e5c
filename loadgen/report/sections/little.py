"""Results on Little's law: whether the instruments agree with each other at every hop of every run."""

from __future__ import annotations

from dataclasses import dataclass, field

from loadgen.report.figures.collection import Gathered
from loadgen.report.rendering import names
from loadgen.report.rendering.document import Block, Heading, Paragraph, Table
from loadgen.report.rendering.numerals import MISSING, bound, count, percent, plural
from loadgen.study.analysis.statistics import (
    LITTLE_MAX,
    little,
)


@dataclass
class Offs:
    """|L - XW| / L of a hop's runs, and how many windows were too short to be judged."""

    judged: list[float] = field(default_factory=list)
    short: int = 0


def results(gathered: Gathered) -> list[Block]:
    """The section; empty when nothing was measured."""
    held = by_hop(gathered)
    if not held:
        return []
    rows = tuple(
        (
            names.service(service),
            count(len(each.judged)),
            percent(sorted(each.judged)[len(each.judged) // 2]) if each.judged else MISSING,
            percent(max(each.judged)) if each.judged else MISSING,
            count(sum(1 for off in each.judged if off < LITTLE_MAX)),
            count(each.short),
        )
        for service, each in held.items()
    )
    columns = ("salto", "execuções julgadas", "desvio mediano", "maior desvio",
               f"abaixo de {bound(LITTLE_MAX)}", "janela curta")  # fmt: skip
    offs, short = every(gathered)
    return [
        Heading(4, "Lei de Little, salto a salto"),
        Paragraph(sentence(offs, short)),
        Table(columns, rows),
    ]


def every(gathered: Gathered) -> tuple[list[float], int]:
    """(|L - XW| / L of each hop of each run that can be judged, how many cannot)."""
    held = by_hop(gathered).values()
    return [off for each in held for off in each.judged], sum(each.short for each in held)


def by_hop(gathered: Gathered) -> dict[str, Offs]:
    """The measures of each service, of runs that may be believed."""
    held: dict[str, Offs] = {}
    for run in gathered.runs:
        for service, flow in run.flows.items() if run.status == "ok" else ():
            law = little(flow)
            if law.off is None:
                continue
            into = held.setdefault(service, Offs())
            if law.short:
                into.short += 1
            else:
                into.judged.append(law.off)
    return held


def sentence(offs: list[float], short: int) -> str:
    """Whether |L - XW| / L stayed within its bound, and how many were not judged."""
    most = bound(LITTLE_MAX)
    bad = sum(1 for off in offs if off >= LITTLE_MAX)
    left = (
        f" Em {plural(short, 'medida', 'medidas')} a janela é curta demais para julgar (poucas chamadas, "
        "poucas vistas em andamento, ou pouco tempo ao lado do de uma chamada): ali o desvio é sobretudo "
        "acaso."
        if short
        else ""
    )
    if not offs:
        return f"Nenhuma medida pode ser julgada.{left}"
    if not bad:
        return (
            "As chamadas em andamento, a taxa de chegada e o tempo em cada salto, medidos cada um "
            f"por seus meios, concordam: |L − XW| / L fica abaixo de {most} em "
            f"{'todas as ' + count(len(offs)) + ' medidas' if len(offs) > 1 else 'a única medida'}.{left}"
        )
    return (
        f"Em {count(bad)} de {plural(len(offs), 'medida', 'medidas')} |L − XW| / L passa de {most}: ali um "
        f"dos três instrumentos errou, ou a execução não estava em regime.{left}"
    )
