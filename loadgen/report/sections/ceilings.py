"""What arithmetic allows an arm while orders wait: places at once, divided by the wait of each.

An order that waits for its payment holds a place: a thread of each service on its way, or one of the
orders that Pedidos drives at once. However fast the code is, no more than places / wait end in a
second; a comparison of two arms at their ceilings compares the places that somebody chose.
"""

from __future__ import annotations

from typing import Final

from common.settings import ACTIVE_MAX
from loadgen.report.figures import estimates
from loadgen.report.figures.collection import Gathered, Group
from loadgen.report.figures.estimates import Metric, estimate
from loadgen.report.rendering import names
from loadgen.report.rendering.document import Block, Bullets, Heading, Paragraph, Table
from loadgen.report.rendering.numerals import MISSING, count, number, percent
from loadgen.report.sections.loads import by_arm, main_curves
from loadgen.report.words import sentences as say
from loadgen.study.records.record import Cell

_COMPARED: Final[tuple[tuple[say.Measure, Metric], ...]] = (
    (say.THROUGHPUT, estimates.throughput),
    (say.TAIL, estimates.P99),
)


def places(cell: Cell) -> int:
    """Orders that an arm has under way at most, however many callers there are."""
    return min(ACTIVE_MAX, cell.workers or ACTIVE_MAX)


def ceiling_per_s(cell: Cell) -> float | None:
    """Orders a second that the places and the mean wait allow; None without a wait."""
    wait_s = sum(cell.payment_wait_s) / 2
    if not wait_s:
        return None
    return min(places(cell), cell.concurrency or places(cell)) / wait_s


def results(gathered: Gathered) -> list[Block]:
    """The ceilings beside what was measured, and loops against as many threads as were tried."""
    rows = [
        _row(group)
        for curve in main_curves(gathered)
        for wait in curve.payment_waits
        for _arm, of_arm in by_arm(gathered.select(experiment=curve.name, payment_wait_s=wait))
        for group in sorted(of_arm, key=lambda each: each.cell.concurrency or 0)
        if ceiling_per_s(group.cell) is not None
    ]
    if not rows:
        return []
    columns = ("braço", "clientes", "lugares", "teto (pedidos/s)", "medido (pedidos/s)", "do teto")
    return [
        Heading(4, "O teto aritmético: lugares ÷ espera"),
        Paragraph(
            "Enquanto espera pelo pagamento, um pedido ocupa um lugar: com threads, uma em cada "
            f"serviço do caminho; no laço, um dos {count(ACTIVE_MAX)} pedidos que Pedidos conduz ao "
            "mesmo tempo. Por mais rápido que seja o código, não terminam por segundo mais pedidos do "
            "que lugares ÷ espera média. Com carga bastante e esta espera, a razão entre laço e threads "
            "é sobretudo a razão entre esses dois limites, que alguém escolheu: muda com outro número de "
            "threads."
        ),
        Table(columns, tuple(rows), "Teto e vazão medida", words=1),
        *more_threads(gathered),
    ]


def _row(group: Group) -> tuple[str, ...]:
    ceiling = ceiling_per_s(group.cell)
    measured = estimate(group, estimates.throughput)
    share = measured.mean / ceiling if measured and ceiling else None
    return (
        names.of(group.cell), count(group.cell.concurrency or 0), count(places(group.cell)),
        number(ceiling), say.short(say.THROUGHPUT, measured),
        MISSING if share is None else percent(share),
    )  # fmt: skip


def more_threads(gathered: Gathered) -> list[Block]:
    """Event loops against each other number of threads that was measured at the same load."""
    rows = tuple(
        (names.load(loop.cell), measure.name, *say.versus(
            measure, names.of(loop.cell), estimate(loop, metric),
            names.of(other.cell), estimate(other, metric),
        ))
        for loop, other in model_pairs(gathered)
        for measure, metric in _COMPARED
    )  # fmt: skip
    if not rows:
        return []
    return [
        Paragraph("O laço contra outros números de threads, com a mesma carga e a mesma espera:"),
        Table(("carga", "medida", *say.VERSUS), rows, words=3),
    ]


def model_pairs(gathered: Gathered) -> list[tuple[Group, Group]]:
    """(event loop, threads) at one load and wait, where the threads are not those of the curves."""
    pairs = []
    for curve in main_curves(gathered):
        for loop_arm, threads_arm in names.MODEL_PAIRS:
            for loop in gathered.select(experiment=curve.name, arm=loop_arm):
                others = gathered.select(
                    arm=threads_arm, concurrency=loop.cell.concurrency, loop="closed",
                    payment_wait_s=loop.cell.payment_wait_s, items=loop.cell.items, twin="",
                    storage=loop.cell.storage,
                )  # fmt: skip
                usual = set(curve.workers)
                pairs += [
                    (loop, each)
                    for each in sorted(others, key=lambda group: group.cell.workers or 0)
                    if each.cell.workers not in usual and each.believed and loop.believed
                ]
    return pairs


def conclusion(gathered: Gathered) -> list[Block]:
    """What becomes of the comparison of models once the threads are more, with the longest wait."""
    told = [
        f"{names.load(loop.cell).capitalize()}, {names.wait(loop.cell.payment_wait_s)}. "
        + say.compared(
            say.THROUGHPUT, names.of(loop.cell), estimate(loop, estimates.throughput),
            names.of(other.cell), estimate(other, estimates.throughput),
        )
        for loop, other in model_pairs(gathered)
        if any(loop.cell.payment_wait_s)
    ]  # fmt: skip
    if not told:
        return [Paragraph(
            "Com espera de pagamento, quanto o laço leva de vantagem depende do número de threads que se "
            f"escolheu; outro número, na mesma carga, é aqui {say.NOT_MEASURED}."
        )]  # fmt: skip
    return [
        Paragraph(
            "Com espera de pagamento, quanto o laço leva de vantagem depende do número de threads que se "
            "escolheu. Com outros números de threads, na mesma carga:"
        ),
        Bullets(tuple(told)),
    ]
