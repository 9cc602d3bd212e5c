"""Results of single factors: workers, storage, event loop, payload; the floor and the noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from loadgen.report.figures import estimates
from loadgen.report.figures.collection import Gathered, Group
from loadgen.report.figures.estimates import estimate
from loadgen.report.rendering import names
from loadgen.report.rendering.charts import Axis, Bar, Bars
from loadgen.report.rendering.document import (
    Block,
    Bullets,
    Callout,
    Figure,
    Heading,
    Paragraph,
    Table,
)
from loadgen.report.rendering.numerals import count, listed, plural
from loadgen.report.sections.loads import by_arm, changed, interval_words, main_curves
from loadgen.report.words import sentences as say
from loadgen.report.words.commands import behind
from loadgen.study.records.plan import Curve
from loadgen.study.records.record import Cell


@dataclass(frozen=True)
class Factor:
    """A factor: its title and question, its names in a plan and in a cell, how a value is told."""

    title: str
    question: str
    planned: str
    name: str
    told: Callable[[Any], str]
    # Numbers are shown by size; names as the plan has them.
    ordered: bool = False

    def of(self, cell: Cell) -> Any:
        """The factor's value in a cell."""
        return getattr(cell, self.name)


def _items(value: tuple[int, int]) -> str:
    low, high = value
    return plural(low, "item", "itens") if low == high else f"{count(low)} a {count(high)} itens"


FACTORS: Final = (
    Factor("Número de threads", "Quanto muda com mais threads por serviço?",
           "workers", "workers", lambda value: f"{value} threads",
        ordered=True),
    Factor("Armazenamento", "Quanto vale compartilhar confirmações (`shared`) em vez de uma conexão "
           "e uma confirmação por chamada (`plain`)?",
           "storages", "storage", lambda value: f"`{value}`"),
    Factor("Laço de eventos", "Quanto vale trocar o laço padrão (`asyncio`) por `uvloop`?",
           "event_loops", "event_loop", lambda value: f"`{value}`"),
    Factor("Tamanho do pedido", "Quanto custam mais itens por pedido?",
           "items", "items", _items),
)  # fmt: skip
_METRICS: Final = (
    (say.THROUGHPUT, estimates.throughput, "vazao", "pedidos concluídos por segundo"),
    (say.TAIL, estimates.P99, "p99", "latência p99 (ms)"),
)


def results(gathered: Gathered) -> list[Block]:
    """The section on factors, floor and noise."""
    blocks: list[Block] = [Heading(3, "Um fator de cada vez")]
    measured = False
    for factor in FACTORS:
        for curve in gathered.curves():
            if not curve.twins and changed(curve, factor.planned):
                measured = True
                blocks += _factor(gathered, curve, factor)
    if not measured:
        blocks.append(
            Callout("note", "Este conjunto não varia threads, armazenamento, laço nem itens.")
        )
    return [*blocks, *floor(gathered), *noise(gathered)]


def _factor(gathered: Gathered, curve: Curve, factor: Factor) -> list[Block]:
    groups = [*baseline(gathered, curve, factor), *gathered.select(experiment=curve.name)]
    blocks: list[Block] = [
        Heading(4, factor.title),
        Paragraph(f"{factor.question} {_where(groups)}"),
    ]
    for measure, metric, name, label in _METRICS:
        every = tuple(
            Bar(_row(group, factor, groups), names.arm(arm), names.look(arm), value.mean,
                value.low, value.high)
            for group, arm in _ordered(groups, factor)
            if (value := estimate(group, metric)) is not None
        )  # fmt: skip
        if not every:
            continue
        chart = Bars(f"{name}-{curve.name}", f"{factor.title}: {label}", Axis(label), every)
        blocks.append(
            Figure(chart, f"Valores medidos; {interval_words(groups)}.", behind(gathered, groups))
        )
        rows = tuple(_rows(groups, factor, measure, metric))
        if rows:
            blocks.append(Table(("braço", *say.VERSUS), rows, words=2))
    return blocks


def baseline(gathered: Gathered, curve: Curve, factor: Factor) -> list[Group]:
    """The groups of the main curves that a factor's values are to be held against.

    A plan need not measure the usual value again where a main curve has it at the same load and
    wait: the runs of a study are interleaved, so they are of one sitting.
    """
    own = gathered.select(experiment=curve.name)
    values = {factor.of(group.cell) for group in own}
    places = {_place(group.cell) for group in own}
    return [
        group
        for main in main_curves(gathered)
        if main.name != curve.name
        for group in gathered.select(experiment=main.name)
        if _place(group.cell) in places and factor.of(group.cell) not in values
    ]


def _place(cell: Cell) -> tuple[object, ...]:
    """What two cells must share for their difference to be the factor's."""
    return cell.arm, cell.concurrency, cell.payment_wait_s, cell.timeout_s


def _ordered(groups: list[Group], factor: Factor) -> list[tuple[Group, str]]:
    """Groups row by row: the values of the factor in order, the arms within."""
    believed = [(group, arm) for arm, of_arm in by_arm(groups) for group in of_arm]
    values = list(dict.fromkeys(factor.of(group.cell) for group in groups))
    if factor.ordered:
        values.sort()
    return sorted(believed, key=lambda item: values.index(factor.of(item[0].cell)))


def _row(group: Group, factor: Factor, groups: list[Group]) -> str:
    row = factor.told(factor.of(group.cell))
    # Loads and waits are told only where there are several.
    if len({each.cell.concurrency for each in groups}) > 1:
        row += f", {names.load(group.cell)}"
    if len({each.cell.payment_wait_s for each in groups}) > 1:
        row += f", {names.wait(group.cell.payment_wait_s)}"
    return row.replace("`", "")


def _where(groups: list[Group]) -> str:
    loads = list(dict.fromkeys(names.load(group.cell) for group in groups))
    waits = list(dict.fromkeys(names.wait(group.cell.payment_wait_s) for group in groups))
    return f"Medido com {listed(loads)}, {listed(waits)}."


def _rows(
    groups: list[Group], factor: Factor, measure: say.Measure, metric: estimates.Metric
) -> Iterator[tuple[str, ...]]:
    """For each arm the first value of the factor against each other one, all else the same."""
    firsts: dict[tuple[object, ...], Group] = {}
    for other, arm in sorted(_ordered(groups, factor), key=lambda item: names.look(item[1])):
        first = firsts.setdefault(_place(other.cell), other)
        if first is not other:
            yield (
                    names.arm(arm),
                    *say.versus(
                        measure,
                        factor.told(factor.of(first.cell)), estimate(first, metric),
                        factor.told(factor.of(other.cell)), estimate(other, metric),
                    ),
                )  # fmt: skip


def floor(gathered: Gathered) -> list[Block]:
    """The bare chain, beside the arm that it is the floor of where both met the same load."""
    bare = [group for group in gathered.groups if group.cell.bare]
    rows = []
    for arm, of_arm in by_arm(bare):
        for group in sorted(of_arm, key=lambda each: each.cell.concurrency or 0):
            real = _real(gathered, group)
            here, there = (
                estimate(group, estimates.throughput),
                estimate(real, estimates.throughput),
            )
            share = say.times(here.mean / there.mean) if here and there else say.NOT_MEASURED
            rows.append((names.arm(arm), names.load(group.cell), say.short(say.THROUGHPUT, here),
                         say.short(say.THROUGHPUT, there), share))  # fmt: skip
    if not rows:
        return []
    columns = ("cadeia nua", "carga", "pedidos/s nua", "pedidos/s completa", "nua ÷ completa")
    return [
        Heading(4, "O piso: a cadeia nua"),
        Paragraph(
            "A cadeia nua tem os mesmos saltos e o mesmo protocolo, sem domínio nem banco: mostra "
            "quanto do custo é do transporte."
        ),
        Table(columns, tuple(rows), words=2),
    ]


def _real(gathered: Gathered, bare: Group) -> Group | None:
    wanted = gathered.select(
        arm=bare.cell.arm.removeprefix("bare-"), concurrency=bare.cell.concurrency,
        payment_wait_s=bare.cell.payment_wait_s, loop="closed", items=bare.cell.items, twin="",
        event_loop=bare.cell.event_loop,
    )  # fmt: skip
    return wanted[0] if wanted else None


def noise(gathered: Gathered) -> list[Block]:
    """Pairs of runs that differ in nothing: what a difference must exceed to mean something."""
    told = []
    for group in gathered.select(twin="A"):
        twin = next(
            (each for each in gathered.select(twin="B") if _twins(group.cell, each.cell)), None
        )
        for measure, metric, *_ in _METRICS:
            told.append(
                f"{names.of(group.cell)}, {names.load(group.cell)}. "
                + say.compared(measure, "A", estimate(group, metric), "B", estimate(twin, metric))
            )
    if not told:
        return []
    return [
        Heading(4, "O ruído: pares A/A"),
        Paragraph(
            "A e B são o mesmo braço, com a mesma carga, em processos novos. Uma diferença aqui "
            "seria só ruído, e é a medida do que as outras comparações precisam superar."
        ),
        Bullets(tuple(told)),
    ]


def _twins(one: Cell, other: Cell) -> bool:
    return all(
        getattr(one, name) == getattr(other, name)
        for name in Cell.__struct_fields__
        if name != "twin"
    )
