"""Results under faults: goodput and p99 on one timeline in each arm, and the time to recover."""

from __future__ import annotations

from math import ceil
from statistics import median

from loadgen.report.figures.collection import Gathered, Group
from loadgen.report.figures.estimates import over
from loadgen.report.rendering import names
from loadgen.report.rendering.charts import Axis, Band, Lines, Point, Series
from loadgen.report.rendering.document import (
    Block,
    Bullets,
    Callout,
    Figure,
    Heading,
    Paragraph,
    Table,
)
from loadgen.report.rendering.numerals import bound, count, number, percent, plain, plural
from loadgen.report.sections.ladders import Returned, recovery_row, versus_table
from loadgen.report.sections.loads import arm_label, by_arm
from loadgen.report.sections.strikes import CELL_S, Struck, fault_name, p99_ms, struck
from loadgen.report.words import sentences as say
from loadgen.report.words.commands import behind
from loadgen.study.analysis.recovery import CALM_S, LATENCY_BACK, RATE_BACK, spells
from loadgen.study.records.plan import Fault

_CELLS = round(1 / CELL_S)


def results(gathered: Gathered) -> list[Block]:
    """The section on faults."""
    blocks: list[Block] = [Heading(3, "Faults: um serviço fora do ar e um serviço lento")]
    if not gathered.timelines():
        return [*blocks, Callout("note", "Este conjunto não injeta falhas.")]
    for timeline in gathered.timelines():
        for wait in timeline.payment_waits:
            groups = gathered.select(experiment=timeline.name, payment_wait_s=wait)
            if not any(group.believed for group in groups):
                blocks.append(Callout("warning", f"Nenhuma execução válida de `{timeline.name}`."))
                continue
            blocks += [
                Paragraph(
                    f"Laço aberto a {plain(timeline.rate_per_s)} pedidos/s, {names.wait(wait)}; em "
                    "cada braço as mesmas falhas nos mesmos instantes. Recuperado é quando, por "
                    f"{count(CALM_S)} segundos seguidos, a vazão tem {bound(RATE_BACK)} da de antes e o "
                    f"p99 de cada segundo não passa de {plain(LATENCY_BACK)} vezes o pior de antes: um "
                    "braço que conclui no mesmo ritmo pedidos atrasados ainda não voltou."
                ),
                *_charts(gathered, timeline.name, groups),
                *_told(struck(groups)),
            ]
    return blocks


def _charts(gathered: Gathered, name: str, groups: list[Group]) -> list[Block]:
    """Goodput and p99, second by second, under the same bands."""
    arms = by_arm(groups)
    marks, words = bands(groups)
    runs = "; ".join(
        f"{arm_label(groups, arm)} {count(len(of_arm[0].believed))}" for arm, of_arm in arms
    )
    figures: list[Block] = []
    for key, title, label, points, caption, log in (
        ("goodput", "Goodput por segundo, com falhas", "pedidos concluídos no prazo, por segundo",
         per_second, "Média das execuções em cada segundo; quem esgota o prazo não conclui", False),
        ("p99", "Latência p99 por segundo, com falhas", "latência p99 (ms)", tail_per_second,
         "p99 do que terminou em cada segundo, histogramas das execuções somados", True),
    ):  # fmt: skip
        chart = Lines(
            f"falhas-{key}-{name}", title, Axis("segundos desde o primeiro pedido"),
            Axis(label, log=log),
            tuple(
                Series(arm_label(groups, arm), points(of_arm[0]), names.look(arm))
                for arm, of_arm in arms
            ),
            marks, markers=False,
        )  # fmt: skip
        told = f"{caption} (execuções: {runs}). {words}"
        figures.append(Figure(chart, told, behind(gathered, groups)))
    return figures


def bands(groups: list[Group]) -> tuple[tuple[Band, ...], str]:
    """The measured stretch of each fault, the median over runs, and how much runs differ by."""
    instants: dict[Fault, list[tuple[float, float]]] = {}
    for _, of_arm in by_arm(groups):
        for run in of_arm[0].believed:
            for spell in spells(run):
                instants.setdefault(spell.fault, []).append((spell.begin_s, spell.end_s))
    marks, told = [], []
    for fault, every in instants.items():
        begin, end = (median(each[at] for each in every) for at in (0, 1))
        apart = max(
            abs(each[at] - middle) for each in every for at, middle in ((0, begin), (1, end))
        )
        marks.append(Band(begin, end, fault_name(fault), fault.kind == "slow"))
        told.append(
            f"{fault_name(fault)} de {number(begin)} a {number(end)} s (as execuções se afastam disso em "
            f"até {number(apart)} s)"
        )
    return tuple(marks), f"Faixas, pelos instantes medidos: {'; '.join(told)}."


def per_second(group: Group) -> tuple[Point, ...]:
    """Completed orders in each second, over the runs: counts, so their mean is exact."""
    runs = [run.result.recording.completed for run in group.believed if run.result is not None]
    seconds = min(ceil(_ends_s(group)), *(ceil(len(cells) / _CELLS) for cells in runs))
    return tuple(
        Point(second + 0.5,
              sum(sum(cells[second * _CELLS : (second + 1) * _CELLS]) for cells in runs) / len(runs))
        for second in range(seconds)
    )  # fmt: skip


def tail_per_second(group: Group) -> tuple[Point, ...]:
    """The 99th percentile of what ended in each second, over the runs together."""
    return tuple(
        Point(second + 0.5, p99_ms(group.believed, second, second + 1))
        for second in range(ceil(_ends_s(group)))
    )


def _ends_s(group: Group) -> float:
    """When the schedule ends: later there is only what is left."""
    return group.cell.warmup_s + group.cell.seconds


def _told(every: list[Struck]) -> list[Block]:
    blocks: list[Block] = []
    for fault in dict.fromkeys(each.fault for each in every):
        of_fault = {each.arm: each for each in every if each.fault == fault}
        rows = tuple(
            (
                each.name, say.short(say.GOODPUT, each.before_per_s), during(each),
                say.short(say.TAIL, each.before_p99), say.short(say.TAIL, each.after_p99),
                say.short(say.RECOVERY, each.recovered), returned(each),
            )
            for each in of_fault.values()
        )  # fmt: skip
        columns = ("braço", "goodput antes (/s)", "durante (/s)", "p99 antes (ms)",
                   "p99 desde a falha (ms)", "recuperação (s)", "execuções que voltaram")  # fmt: skip
        compared = tuple(
            recovery_row(*(
                Returned(each.name, each.recovery, each.recovered)
                for each in (of_fault[one], of_fault[other])
            ))
            for one, other in (*names.PROTOCOL_PAIRS, *names.MODEL_PAIRS)
            if one in of_fault and other in of_fault
        )  # fmt: skip
        blocks += [
            Table(columns, rows, fault_name(fault)),
            Bullets(tuple(recovery_sentence(each) for each in of_fault.values())),
            *versus_table(compared, "Recuperação (s), aos pares"),
        ]
    return blocks


def returned(each: Struck) -> str:
    """In how many runs an arm came back."""
    return f"{count(sum(1 for after in each.recovery if after is not None))} de {count(each.runs)}"


def during(each: Struck) -> str:
    """The rate during a fault: an interval, or the range where some run ended nothing at all."""
    if min(each.during_per_s) > 0:
        return say.short(say.GOODPUT, over(list(each.during_per_s)))
    if not any(each.during_per_s):
        return "0"
    return f"0 a {number(max(each.during_per_s))}"


def recovery_sentence(each: Struck) -> str:
    """How an arm came back from a fault, rate and latency, and in how many runs it did not."""
    never = sum(1 for after in each.recovery if after is None)
    if each.recovered is None:
        return (
            f"{each.name}: vazão e p99 não voltaram ao que eram em nenhuma das "
            f"{plural(each.runs, 'execução', 'execuções')}."
        )
    if never:
        return (
            f"{each.name}: em {plural(never, 'execução', 'execuções')} de {count(each.runs)} vazão e p99 "
            "não voltaram no tempo medido, e por isso não há tempo de recuperação a comparar; nas outras, "
            f"{say.RECOVERY.told(each.recovered.mean)}."
        )
    words = f"{each.name}: recuperação em {say.figure(say.RECOVERY, each.recovered)}"
    return f"{words}{_lost(each)}."


def _lost(each: Struck) -> str:
    """How much of the rate was lost while the fault lasted; empty where none was."""
    if each.before_per_s is None:
        return ""
    share = 1 - sum(each.during_per_s) / len(each.during_per_s) / each.before_per_s.mean
    if share <= 0:
        return "; a vazão média durante a falha não foi menor que a de antes"
    return f"; durante a falha, em média {percent(share)} menos pedidos por segundo que antes"
