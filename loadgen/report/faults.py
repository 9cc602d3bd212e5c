"""Results under faults: goodput on one timeline in each arm, and the time to recover."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Final

from loadgen.recorder import CELL_NS
from loadgen.report import names
from loadgen.report import sentences as say
from loadgen.report.charts import Axis, Band, Lines, Point, Series
from loadgen.report.commands import behind
from loadgen.report.document import Block, Bullets, Callout, Figure, Heading, Paragraph, Table
from loadgen.report.estimates import over
from loadgen.report.gathering import Gathered, Group
from loadgen.report.ladders import AT_ONCE_S, versus_table
from loadgen.report.loads import by_arm
from loadgen.report.numerals import number, plain, plural
from loadgen.study.knee import back_after_s
from loadgen.study.plan import Fault
from loadgen.study.record import RunRecord
from loadgen.study.statistics import Interval

CELL_S: Final = CELL_NS / 1e9
_CELLS: Final = round(1 / CELL_S)
# The chain, in the order in which services call each other; what stands in front waits.
CHAIN: Final = ("pedidos", "pagamentos", "estoque", "fiscal", "logistica")
KINDS: Final = {"down": "fora do ar", "slow": "lento"}


@dataclass(frozen=True)
class Struck:
    """What a fault did to one arm, over its runs."""

    fault: Fault
    arm: str
    runs: int
    before_per_s: Interval | None
    during_per_s: tuple[float, ...]
    recovery: tuple[float | None, ...]
    # In-flight calls during the fault by those before it, of each service in front of the struck.
    upstream: dict[str, Interval | None]

    @property
    def recovered(self) -> Interval | None:
        """Seconds until the rate was back, over the runs in which it was."""
        return over(list(self.recovery))


def fault_name(fault: Fault) -> str:
    """`Estoque fora do ar`, `Fiscal lento (+1 s)`."""
    words = f"{names.service(fault.service)} {KINDS[fault.kind]}"
    return f"{words} (+{plain(fault.delay_s)} s por chamada)" if fault.kind == "slow" else words


def results(gathered: Gathered) -> list[Block]:
    """The section on faults."""
    blocks: list[Block] = [Heading(3, "Falhas: um serviço fora do ar e um serviço lento")]
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
                    "cada braço as mesmas falhas nos mesmos instantes. Recuperado é o primeiro "
                    "segundo, depois do fim da falha, com 90 % do ritmo anterior."
                ),
                _chart(gathered, timeline.name, groups),
                *_told(struck(groups)),
            ]
    return blocks


def every_struck(gathered: Gathered) -> list[Struck]:
    """What each fault of each timeline did to each arm."""
    return [
        each
        for timeline in gathered.timelines()
        for wait in timeline.payment_waits
        for each in struck(gathered.select(experiment=timeline.name, payment_wait_s=wait))
    ]


def struck(groups: list[Group]) -> list[Struck]:
    """What each fault did to each arm."""
    return [
        _struck(fault, arm, of_arm[0])
        for arm, of_arm in by_arm(groups)
        for fault in of_arm[0].cell.faults
    ]


def _struck(fault: Fault, arm: str, group: Group) -> Struck:
    runs = group.believed
    first = min(each.at_s for each in group.cell.faults)
    ends = fault.at_s + fault.for_s
    before = [completed_per_s(run, group.cell.warmup_s, first) for run in runs]
    ahead = CHAIN[: CHAIN.index(fault.service)] if fault.service in CHAIN else ()
    return Struck(
        fault=fault,
        arm=arm,
        runs=len(runs),
        before_per_s=over(list(before)),
        during_per_s=tuple(completed_per_s(run, fault.at_s, ends) for run in runs),
        recovery=tuple(
            _recovered(run, ends, usual) for run, usual in zip(runs, before, strict=True)
        ),
        upstream={
            service: over([_grown(run, service, group.cell.warmup_s, first, fault) for run in runs])
            for service in ahead
        },
    )


def completed_per_s(run: RunRecord, begin_s: float, end_s: float) -> float:
    """Terminal answers a second between two instants of a run."""
    if run.result is None or end_s <= begin_s:
        return 0.0
    cells = run.result.recording.completed[round(begin_s / CELL_S) : round(end_s / CELL_S)]
    return sum(cells) / (end_s - begin_s)


def _recovered(run: RunRecord, ends_s: float, usual_per_s: float) -> float | None:
    if run.result is None or usual_per_s <= 0:
        return None
    after = back_after_s(run.result.recording.completed, ends_s, usual_per_s)
    return None if after is None else max(after, AT_ONCE_S)


def _grown(
    run: RunRecord, service: str, begin_s: float, end_s: float, fault: Fault
) -> float | None:
    """Mean calls under way at a service during the fault, by those before the first fault."""
    series = run.resources.get(service)
    if series is None:
        return None

    def mean(from_s: float, to_s: float) -> float | None:
        inside = [
            value
            for at, value in zip(series.t_s, series.in_flight, strict=True)
            if value is not None and from_s <= at < to_s
        ]
        return sum(inside) / len(inside) if inside else None

    before, during = mean(begin_s, end_s), mean(fault.at_s, fault.at_s + fault.for_s)
    return during / before if before and during is not None else None


def _chart(gathered: Gathered, name: str, groups: list[Group]) -> Figure:
    arms = by_arm(groups)
    faults = {fault: None for _, of_arm in arms for fault in of_arm[0].cell.faults}
    chart = Lines(
        f"falhas-{name}", "Pedidos concluídos por segundo, com falhas",
        Axis("segundos desde o primeiro pedido"), Axis("pedidos concluídos por segundo"),
        tuple(Series(names.arm(arm), _per_second(of_arm[0]), names.look(arm)) for arm, of_arm in arms),
        tuple(Band(fault.at_s, fault.at_s + fault.for_s, fault_name(fault)) for fault in faults),
        markers=False,
    )  # fmt: skip
    bands = "; ".join(
        f"{fault_name(fault)} de {plain(fault.at_s)} a {plain(fault.at_s + fault.for_s)} s"
        for fault in faults
    )
    caption = f"Média das execuções de cada braço em cada segundo. Faixas cinzentas: {bands}."
    return Figure(chart, caption, behind(gathered, groups))


def _per_second(group: Group) -> tuple[Point, ...]:
    """Completed orders in each second, over the runs: counts, so their mean is exact."""
    runs = [run.result.recording.completed for run in group.believed if run.result is not None]
    seconds = min(ceil(len(cells) / _CELLS) for cells in runs)
    return tuple(
        Point(second + 0.5,
              sum(sum(cells[second * _CELLS : (second + 1) * _CELLS]) for cells in runs) / len(runs))
        for second in range(seconds)
    )  # fmt: skip


def _told(every: list[Struck]) -> list[Block]:
    blocks: list[Block] = []
    for fault in dict.fromkeys(each.fault for each in every):
        of_fault = {each.arm: each for each in every if each.fault == fault}
        rows = tuple(
            (
                names.arm(arm),
                say.short(say.GOODPUT, each.before_per_s),
                during(each),
                say.short(say.RECOVERY, each.recovered),
            )
            for arm, each in of_fault.items()
        )
        columns = ("braço", "antes (pedidos/s)", "durante (pedidos/s)", "recuperação (s)")
        compared = tuple(
            say.versus(
                say.RECOVERY, names.arm(one), of_fault[one].recovered,
                names.arm(other), of_fault[other].recovered,
            )
            for one, other in (*names.PROTOCOL_PAIRS, *names.MODEL_PAIRS)
            if one in of_fault and other in of_fault
        )  # fmt: skip
        blocks += [
            Table(columns, rows, fault_name(fault)),
            Bullets(tuple(recovery_sentence(each) for each in of_fault.values())),
            *versus_table(compared, "Recuperação (s), aos pares"),
        ]  # fmt: skip
    return blocks


def during(each: Struck) -> str:
    """The rate during a fault: an interval, or the range where some run ended nothing at all."""
    if min(each.during_per_s) > 0:
        return say.short(say.GOODPUT, over(list(each.during_per_s)))
    if not any(each.during_per_s):
        return "0"
    return f"0 a {number(max(each.during_per_s))}"


def recovery_sentence(each: Struck) -> str:
    """How an arm came back from a fault: at once, after a while, or not in every run."""
    never = sum(1 for after in each.recovery if after is None)
    arm = names.arm(each.arm)
    if each.recovered is None:
        return (
            f"{arm}: o ritmo não voltou a 90 % do anterior em nenhuma das "
            f"{plural(each.runs, 'execução', 'execuções')}."
        )
    words = f"{arm}: recuperação em {say.figure(say.RECOVERY, each.recovered)}"
    if never:
        words += f"; em {plural(never, 'execução', 'execuções')} o ritmo não voltou no tempo medido"
    return words + "."
