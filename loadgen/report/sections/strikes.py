"""What a fault did to an arm, run by run: rates, percentiles, what piled up in front, and the way back.

Every stretch goes by the instants at which a fault really came and went, which each run noted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from loadgen.report.figures.collection import Gathered, Group
from loadgen.report.figures.estimates import over
from loadgen.report.rendering import names
from loadgen.report.rendering.numerals import plain
from loadgen.report.sections.loads import by_arm
from loadgen.results.histograms import added, decoded
from loadgen.results.recorder import CELL_NS
from loadgen.study.analysis import statistics
from loadgen.study.analysis.recovery import SECOND_HALF_S, Spell, recovered_after_s, spells
from loadgen.study.analysis.statistics import Interval
from loadgen.study.records.plan import Fault
from loadgen.study.records.record import RunRecord

CELL_S: Final = CELL_NS / 1e9
# The chain, in the order in which services call each other; what stands in front waits.
CHAIN: Final = ("pedidos", "pagamentos", "estoque", "fiscal", "logistica")
KINDS: Final = {"down": "fora do ar", "slow": "lento"}


@dataclass(frozen=True)
class Struck:
    """What a fault did to one arm, over its runs. Rates are in orders a second, latencies in ms.

    `after` is from the fault's begin to the next fault or the schedule's end: orders that a fault
    held end when it is over.
    """

    fault: Fault
    arm: str
    name: str
    runs: int
    before_per_s: Interval | None
    during_per_s: tuple[float, ...]
    before_p99: Interval | None
    after_p99: Interval | None
    recovery: tuple[float | None, ...]
    # In-flight calls during the fault by those before it, of each service in front of the struck.
    upstream: dict[str, Interval | None]

    @property
    def recovered(self) -> Interval | None:
        """Seconds until rate and 99th percentile were back; no bounds where some run never was."""
        return statistics.recovery(self.recovery, SECOND_HALF_S)


def fault_name(fault: Fault) -> str:
    """`Estoque fora do ar`, `Fiscal lento (+1 s por chamada)`."""
    words = f"{names.service(fault.service)} {KINDS[fault.kind]}"
    return f"{words} (+{plain(fault.delay_s)} s por chamada)" if fault.kind == "slow" else words


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
    found = [spells(run) for run in runs]
    # Before the first fault; what stands before a later one may still be on its way back.
    calm = [(group.cell.warmup_s, min(each.begin_s for each in spells)) for spells in found]
    own = [next(each for each in spells if each.fault == fault) for spells in found]
    ahead = CHAIN[: CHAIN.index(fault.service)] if fault.service in CHAIN else ()
    return Struck(
        fault=fault,
        arm=arm,
        name=names.of(group.cell),
        runs=len(runs),
        before_per_s=over([completed_per_s(run, *usual) for run, usual in zip(runs, calm, strict=True)]),
        during_per_s=tuple(
            completed_per_s(run, spell.begin_s, spell.end_s)
            for run, spell in zip(runs, own, strict=True)
        ),
        before_p99=over([p99_ms([run], *usual) for run, usual in zip(runs, calm, strict=True)]),
        after_p99=over([
            p99_ms([run], spell.begin_s, spell.until_s) for run, spell in zip(runs, own, strict=True)
        ]),
        recovery=tuple(
            recovered_after_s(run, spell) for run, spell in zip(runs, own, strict=True)
        ),
        upstream={
            service: over([
                _grown(run, service, usual, spell)
                for run, usual, spell in zip(runs, calm, own, strict=True)
            ])
            for service in ahead
        },
    )  # fmt: skip


def completed_per_s(run: RunRecord, begin_s: float, end_s: float) -> float:
    """Terminal answers a second between two instants of a run."""
    if run.result is None or end_s <= begin_s:
        return 0.0
    cells = run.result.recording.completed[round(begin_s / CELL_S) : round(end_s / CELL_S)]
    return sum(cells) / (end_s - begin_s)


def p99_ms(runs: Sequence[RunRecord], begin_s: float, end_s: float) -> float | None:
    """The 99th percentile of what ended in the whole seconds between two instants, of all runs.

    Histograms are added, percentiles are not averaged. None where nothing ended.
    """
    texts = [
        text
        for run in runs
        if run.result is not None
        for text in run.result.recording.seconds[ceil(begin_s) : int(end_s)]
        if text
    ]
    if not texts:
        return None
    value: float = decoded(added(texts)).get_value_at_percentile(99) / 1e3
    return value


def _grown(run: RunRecord, service: str, usual: tuple[float, float], spell: Spell) -> float | None:
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

    before, during = mean(*usual), mean(spell.begin_s, spell.end_s)
    return during / before if before and during is not None else None
