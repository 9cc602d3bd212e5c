"""Results on scaling: the Universal Scalability Law fitted to each arm, never beyond the data."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final, Literal

from loadgen.report.figures import estimates
from loadgen.report.figures.collection import Gathered, Group
from loadgen.report.figures.estimates import estimate, verdict
from loadgen.report.rendering import names
from loadgen.report.rendering.charts import Axis, Lines, Point, Series
from loadgen.report.rendering.document import (
    Block,
    Bullets,
    Callout,
    Figure,
    Heading,
    Paragraph,
    Table,
)
from loadgen.report.rendering.numerals import MISSING, bound, count, number, percent
from loadgen.report.sections.loads import arm_label, by_arm, main_curves
from loadgen.report.words.commands import behind
from loadgen.study.analysis.statistics import LOADS_MIN, Interval, UslFit, fit_usl
from loadgen.study.records.plan import Curve, Wait

# What a rate does towards the largest measured load; `unfit` where it is lower than before and the law
# does not tell why, `unsure` where there are too few runs.
Shape = Literal["falls", "rises", "plateau", "unfit", "unsure"]
# A law that is further than this from some measured load does not describe the arm.
WORST_MAX: Final = 0.15
# Points of the drawn law between two measured loads.
_STEPS = 12


@dataclass(frozen=True)
class Fitted:
    """An arm's fit at one wait."""

    name: str
    look: int
    wait: Wait
    fit: UslFit
    # By load, what the law is fitted to.
    measured: dict[float, Interval]


def fits(gathered: Gathered, curve: Curve, wait: Wait) -> list[Fitted]:
    """The law of each arm that has loads enough.

    Threads that wait have none: their rate stops at threads / wait at once, which is no contention.
    """
    found = []
    groups = gathered.select(experiment=curve.name, payment_wait_s=wait)
    for arm, of_arm in by_arm(groups):
        if of_arm[0].cell.io_model == "threads" and any(wait):
            continue
        rates = {
            float(group.cell.concurrency or 0): [
                rate for run in group.believed if (rate := run.throughput_per_s)
            ]
            for group in of_arm
        }
        if sum(1 for each in rates.values() if each) >= LOADS_MIN:
            measured = {
                float(group.cell.concurrency or 0): value
                for group in of_arm
                if (value := estimate(group, estimates.throughput)) is not None
            }
            name = arm_label(groups, arm)
            found.append(Fitted(name, names.look(arm), wait, fit_usl(rates), measured))
    return found


def results(gathered: Gathered) -> list[Block]:
    """The section on scaling."""
    blocks: list[Block] = [Heading(3, "Escalabilidade: a lei universal")]
    intro = Paragraph(
        "A lei universal da escalabilidade descreve a vazão com N clientes por três números: γ, a "
        "vazão de um cliente só; α, a parte serial, em que todos esperam por um; β, o custo de "
        "coordenar. Um máximo e uma queda só são afirmados quando o intervalo de β fica acima de zero, a "
        f"lei se afasta do medido em no máximo {bound(WORST_MAX)} e a vazão medida na maior carga é, com "
        "intervalos separados, menor que a melhor; sem isso lê-se “patamar” ou “ainda sobe”. Com threads "
        "e espera de pagamento a lei não é ajustada: ali o limite é o número de threads dividido pela "
        "espera, e não a contenção."
    )
    for curve in main_curves(gathered):
        for wait in curve.payment_waits:
            found = fits(gathered, curve, wait)
            if found:
                groups = gathered.select(experiment=curve.name, payment_wait_s=wait)
                blocks += [
                    *([intro] if len(blocks) == 1 else []),
                    *_told(gathered, curve, found, groups),
                ]
    if len(blocks) == 1:
        blocks.append(Callout(
            "note", f"Nenhum ajuste: ele precisa de {LOADS_MIN} cargas ou mais, e este conjunto não "
            "as tem.",
        ))  # fmt: skip
    return blocks


def _told(
    gathered: Gathered, curve: Curve, found: list[Fitted], groups: list[Group]
) -> list[Block]:
    wait = found[0].wait
    rows = tuple(
        (each.name, _short(each.fit.gamma), _short(each.fit.alpha), _short(each.fit.beta),
         count(each.fit.peak) if each.fit.peak and shape(each) == "falls" else MISSING,
         percent(each.fit.worst))
        for each in found
    )  # fmt: skip
    series: list[Series] = []
    for each in found:
        measured = [
            Point(load, value.mean, value.low, value.high)
            for load, value in sorted(each.measured.items())
        ]
        drawn = [Point(load, each.fit.at(load)) for load in _between(each.fit.loads)]
        series.append(Series(f"{each.name}: lei", tuple(drawn), each.look, markers=False))
        series.append(
            Series(
                f"{each.name}: medido",
                tuple(measured),
                each.look,
                joined=False,
            )
        )
    chart = Lines(
        f"usl-{curve.name}-{'com' if any(wait) else 'sem'}-espera",
        f"Lei ajustada e medida, {names.wait(wait)}",
        Axis("clientes simultâneos", log=True), Axis("pedidos concluídos por segundo", log=True),
        tuple(series),
    )  # fmt: skip
    columns = ("braço", "γ (pedidos/s)", "α", "β", "máximo em (clientes)", "maior desvio")
    return [
        Figure(
            chart,
            "A curva vai da menor à maior carga medida e não além; entre parênteses, na tabela, "
            "intervalos de 95 % por reamostragem das execuções. Eles dizem quanto o acaso de uma execução "
            "para outra move cada número, e não se a lei é a certa: para isso há o maior desvio.",
            behind(gathered, groups),
        ),
        Table(columns, rows, f"Ajuste, {names.wait(wait)}"),
        Bullets(tuple(peak_sentence(each) for each in found)),
    ]


def peak_sentence(fitted: Fitted) -> str:
    """What becomes of an arm's rate towards the largest load, and how well the law fits it."""
    fit = fitted.fit
    last = count(fit.loads[-1])
    best = max(fitted.measured, key=lambda load: fitted.measured[load].mean)
    words = {
        "falls": f"máximo perto de {count(fit.peak or best)} clientes, e queda depois",
        "rises": f"a vazão ainda sobe até a maior carga medida ({last} clientes)",
        "plateau": (f"patamar: até {last} clientes a vazão não sobe nem cai de modo demonstrado a partir "
                    "da penúltima carga"),
        "unfit": f"vazão medida mais alta com {count(best)} clientes; da lei não se tira um máximo",
        "unsure": f"execuções de menos para dizer se a vazão sobe ou cai até {last} clientes",
    }[shape(fitted)]  # fmt: skip
    fits_well = (
        f"a lei se afasta do medido em no máximo {percent(fit.worst)}"
        if fit.worst <= WORST_MAX
        else f"a lei se afasta do medido em até {percent(fit.worst)}: o ajuste não descreve bem este braço"
    )
    return f"{fitted.name}: {words}; {fits_well}."


def shape(fitted: Fitted) -> Shape:
    """Whether the rate falls, rises or stays towards the largest load, by intervals alone.

    A fall needs the law and the measure to agree: the lower bound of beta above nought, a law that
    fits, its peak within the loads, and the last rate shown lower than the best.
    """
    fit, measured = fitted.fit, fitted.measured
    loads = sorted(measured)
    last, before = measured[loads[-1]], measured[loads[-2]]
    best = max(measured.values(), key=lambda value: value.mean)
    if not all(value.published for value in (last, before, best)):
        return "unsure"
    if verdict(last, best) == "lower":
        beta = fit.beta
        crosstalk = beta.published and beta.low is not None and beta.low > 0
        return "falls" if crosstalk and fit.worst <= WORST_MAX and fit.peak else "unfit"
    return "rises" if verdict(last, before) == "higher" else "plateau"


def _between(loads: tuple[float, ...]) -> list[float]:
    """Loads in equal ratios from the first measured to the last."""
    points = []
    for low, high in itertools.pairwise(loads):
        points += [low * (high / low) ** (step / _STEPS) for step in range(_STEPS)]
    return [*points, loads[-1]]


def _short(value: Interval) -> str:
    if value.low is None or value.high is None:
        return number(value.mean)
    few = "" if value.published else f"; n = {value.n}, só indicativo"
    return f"{number(value.mean)} ({number(value.low)} a {number(value.high)}{few})"
