"""Results on scaling: the Universal Scalability Law fitted to each arm, never beyond the data."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from loadgen.report import estimates, names
from loadgen.report.charts import Axis, Lines, Point, Series
from loadgen.report.commands import behind
from loadgen.report.document import Block, Bullets, Callout, Figure, Heading, Paragraph, Table
from loadgen.report.estimates import estimate
from loadgen.report.gathering import Gathered, Group
from loadgen.report.loads import by_arm, main_curves
from loadgen.report.numerals import MISSING, count, number, percent
from loadgen.study.plan import Curve, Wait
from loadgen.study.statistics import LOADS_MIN, Interval, UslFit, fit_usl

# Points of the drawn law between two measured loads.
_STEPS = 12


@dataclass(frozen=True)
class Fitted:
    """An arm's fit at one wait."""

    arm: str
    wait: Wait
    fit: UslFit


def fits(gathered: Gathered, curve: Curve, wait: Wait) -> list[Fitted]:
    """The law of each arm that has loads enough."""
    found = []
    for arm, of_arm in by_arm(gathered.select(experiment=curve.name, payment_wait_s=wait)):
        rates = {
            float(group.cell.concurrency or 0): [
                rate for run in group.believed if (rate := run.throughput_per_s)
            ]
            for group in of_arm
        }
        if sum(1 for each in rates.values() if each) >= LOADS_MIN:
            found.append(Fitted(arm, wait, fit_usl(rates)))
    return found


def results(gathered: Gathered) -> list[Block]:
    """The section on scaling."""
    blocks: list[Block] = [Heading(3, "Escalabilidade: a lei universal")]
    intro = Paragraph(
        "A lei universal da escalabilidade descreve a vazão com N clientes por três números: γ, a "
        "vazão de um cliente só; α, a parte serial, em que todos esperam por um; β, o custo de "
        "coordenar. β acima de zero significa que a vazão tem um máximo e depois cai."
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
        (names.arm(each.arm), _short(each.fit.gamma), _short(each.fit.alpha), _short(each.fit.beta),
         count(each.fit.peak) if each.fit.peak else MISSING, percent(each.fit.worst))
        for each in found
    )  # fmt: skip
    series: list[Series] = []
    of = dict(by_arm(groups))
    for each in found:
        measured = [
            Point(group.cell.concurrency or 0, value.mean, value.low, value.high)
            for group in sorted(of[each.arm], key=lambda group: group.cell.concurrency or 0)
            if (value := estimate(group, estimates.throughput)) is not None
        ]
        drawn = [Point(load, each.fit.at(load)) for load in _between(each.fit.loads)]
        series.append(
            Series(f"{names.arm(each.arm)}: lei", tuple(drawn), names.look(each.arm), markers=False)
        )
        series.append(
            Series(
                f"{names.arm(each.arm)}: medido",
                tuple(measured),
                names.look(each.arm),
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
            "intervalos de 95 % por reamostragem das execuções.",
            behind(gathered, groups),
        ),
        Table(columns, rows, f"Ajuste, {names.wait(wait)}"),
        Bullets(tuple(peak_sentence(each) for each in found)),
    ]


def peak_sentence(fitted: Fitted) -> str:
    """Where an arm's rate is highest, and how well the law fits it."""
    fit = fitted.fit
    first, last = count(fit.loads[0]), count(fit.loads[-1])
    if fit.peak is None:
        words = f"sem máximo dentro das cargas medidas ({first} a {last} clientes)"
    else:
        words = f"máximo perto de {count(fit.peak)} clientes, e queda depois"
    fits_well = (
        f"a lei se afasta do medido em no máximo {percent(fit.worst)}"
        if fit.worst <= 0.15
        else f"a lei se afasta do medido em até {percent(fit.worst)}: o ajuste não descreve bem este braço"
    )
    return f"{names.arm(fitted.arm)}: {words}; {fits_well}."


def _between(loads: tuple[float, ...]) -> list[float]:
    """Loads in equal ratios from the first measured to the last."""
    points = []
    for low, high in itertools.pairwise(loads):
        points += [low * (high / low) ** (step / _STEPS) for step in range(_STEPS)]
    return [*points, loads[-1]]


def _short(value: Interval) -> str:
    if value.low is None or value.high is None:
        return number(value.mean)
    return f"{number(value.mean)} ({number(value.low)} a {number(value.high)})"
