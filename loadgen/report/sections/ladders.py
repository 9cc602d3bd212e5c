"""Results of open-loop ladders: the knee, what happens beyond it, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

from loadgen.report.figures import estimates
from loadgen.report.figures.collection import Gathered, Group
from loadgen.report.figures.estimates import Metric, estimate
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
from loadgen.report.rendering.numerals import (
    MISSING,
    bound,
    count,
    listed,
    number,
    percent,
    plain,
    plural,
)
from loadgen.report.sections.loads import arm_label, by_arm, interval_words
from loadgen.report.words import sentences as say
from loadgen.report.words.commands import behind
from loadgen.study.analysis.ladder import climbed, sustained
from loadgen.study.analysis.statistics import Interval, recovery
from loadgen.study.design.knee import COMPLETED_MIN, Knee, drained_after_s
from loadgen.study.records.plan import Ladder, Wait
from loadgen.study.records.record import RunRecord


@dataclass(frozen=True)
class Returned:
    """How long each run of an arm took to be as before, in seconds; None for one that never was."""

    name: str
    times: tuple[float | None, ...]
    found: Interval | None

    @property
    def never(self) -> int:
        """Runs that did not recover in the time that was given."""
        return self.times.count(None)


def results(gathered: Gathered) -> list[Block]:
    """The section on open loops."""
    blocks: list[Block] = [Heading(3, "O joelho: até onde o objetivo se mantém")]
    if not gathered.ladders():
        return [*blocks, Callout(
            "note", "Este conjunto não mede laço aberto, e por isso não diz onde fica o joelho de "
            "cada braço nem o que acontece além dele.",
        )]  # fmt: skip
    for ladder in gathered.ladders():
        for wait in ladder.payment_waits:
            blocks += _of_wait(gathered, ladder, wait)
    return blocks


def knees(gathered: Gathered, ladder: Ladder, wait: Wait) -> dict[str, Knee]:
    """The knee of each arm whose rungs were climbed, from all their runs, of every directory."""
    rungs: dict[str, list[RunRecord]] = {}
    for group in gathered.select(experiment=ladder.name, payment_wait_s=wait, phase="rung"):
        rungs.setdefault(group.cell.arm, []).extend(group.runs)
    return {arm: climbed(runs) for arm, runs in rungs.items()}


def doubts(gathered: Gathered, ladder: Ladder, wait: Wait) -> dict[str, tuple[str, ...]]:
    """Why the search of an arm ended at runs that could not be believed, where it did."""
    return {
        each.arm: each.doubts
        for source in gathered.sources
        for each in source.manifest.searches
        if each.experiment == ladder.name and each.payment_wait_s == wait and each.doubts
    }


def knee_sentence(name: str, found: Knee | None, doubted: tuple[str, ...] = ()) -> str:
    """Where an arm's knee lies: between two rungs, above all, below all, or not known."""
    if found is None:
        words = f"{name}: joelho {say.NOT_MEASURED}"
    elif found.rate_per_s is None:
        words = (
            f"{name}: o degrau mais baixo já não se manteve em todas as execuções" if found.beyond_per_s
            else f"{name}: joelho desconhecido, porque nenhuma execução do primeiro degrau é válida"
        )  # fmt: skip
        if found.beyond_per_s:
            words += f"; a {say.KNEE.told(found.beyond_per_s)} {_missed(found)}"
    else:
        rate = f"{say.KNEE.told(found.rate_per_s)} ({_kept_in(found.runs)})"
        if found.beyond_per_s is not None:
            words = (
                f"{name}: joelho entre {rate} e {say.KNEE.told(found.beyond_per_s)}, onde "
                f"{_missed(found)}"
            )
        elif found.doubted_per_s is not None:
            words = (
                f"{name}: o objetivo se manteve até {rate}; a {say.KNEE.told(found.doubted_per_s)} nenhuma "
                "execução é válida, e o que o braço faz ali não se sabe"
            )
        else:
            words = f"{name}: o objetivo se manteve em todos os degraus, até {rate}; o joelho fica acima disso"
    if doubted:
        words += (
            f". A busca parou em execuções que não valem ({'; '.join(doubted)}): o limite ali é do gerador "
            "ou da máquina, e não do braço"
        )
    return f"{words}."


def _kept_in(runs: int) -> str:
    return (
        "mantido na única execução válida"
        if runs == 1
        else f"mantido em {count(runs)} de {count(runs)} execuções"
    )


def _missed(found: Knee) -> str:
    """In how many runs of the first rung that was not sustained the objective was missed."""
    return f"não se manteve em {count(found.missed)} de {plural(found.beyond_runs, 'execução', 'execuções')}"


def _of_wait(gathered: Gathered, ladder: Ladder, wait: Wait) -> list[Block]:
    groups = gathered.select(experiment=ladder.name, payment_wait_s=wait)
    found, doubted = knees(gathered, ladder, wait), doubts(gathered, ladder, wait)
    blocks: list[Block] = [
        Heading(4, f"Laço aberto, {names.wait(wait)}"),
        Paragraph(
            f"Objetivo: {listed([f'`{text}`' for text in ladder.objectives])}. A taxa é oferecida "
            "por um cronograma feito antes, e a latência conta do instante em que o pedido deveria "
            "ter sido enviado. Uma busca, com uma execução por taxa, só posiciona os degraus. O joelho "
            "é o último degrau, abaixo do primeiro que falhou, em que todas as execuções cumprem o "
            f"objetivo, concluem na janela medida ao menos {bound(COMPLETED_MIN)} do oferecido e não "
            "acumulam pedidos; ele fica entre esse degrau e o seguinte."
        ),
        Bullets(
            tuple(
                knee_sentence(arm_label(groups, arm), found.get(arm), doubted.get(arm, ()))
                for arm in ladder.arms
            )
        ),
    ]
    rungs = [group for group in groups if group.cell.phase == "rung"]
    if any(group.believed for group in rungs):
        key = f"{ladder.name}-{'com' if any(wait) else 'sem'}-espera"
        blocks += [
            _chart(gathered, rungs, f"degraus-p99-{key}", "latência p99 (ms)", estimates.P99, log=True),
            _chart(gathered, rungs, f"degraus-vazao-{key}", "pedidos concluídos por segundo",
                   estimates.throughput, log=False),
            _table(rungs),
        ]  # fmt: skip
    return [*blocks, *_recovery(ladder, groups)]


def _chart(
    gathered: Gathered, rungs: list[Group], name: str, label: str, metric: Metric, *, log: bool
) -> Figure:
    series = []
    for arm, of_arm in by_arm(rungs):
        points = [
            Point(group.cell.rate_per_s or 0.0, value.mean, value.low, value.high)
            for group in sorted(of_arm, key=lambda each: each.cell.rate_per_s or 0.0)
            if (value := estimate(group, metric)) is not None
        ]
        series.append(Series(arm_label(rungs, arm), tuple(points), names.look(arm)))
    chart = Lines(
        name, f"{label[:1].upper()}{label[1:]}, laço aberto", Axis("pedidos oferecidos por segundo"),
        Axis(label, log=log), tuple(series),
    )  # fmt: skip
    return Figure(chart, f"Degraus medidos; {interval_words(rungs)}.", behind(gathered, rungs))


def _table(rungs: list[Group]) -> Table:
    rows = []
    for arm, of_arm in by_arm(rungs):
        for group in sorted(of_arm, key=lambda each: each.cell.rate_per_s or 0.0):
            errors = [estimates.error_share(run) for run in group.believed]
            known = [share for share in errors if share is not None]
            rows.append((
                arm_label(rungs, arm), number(group.cell.rate_per_s),
                say.short(say.THROUGHPUT, estimate(group, estimates.throughput)),
                say.short(say.GOODPUT, estimate(group, estimates.goodput)),
                say.short(say.TAIL, estimate(group, estimates.P99)),
                percent(max(known)) if known else MISSING,
                _kept(group),
            ))  # fmt: skip
    columns = (
        "braço",
        "oferecidos/s",
        "concluídos/s",
        "goodput/s",
        "p99 (ms)",
        "sem fim, pior execução",
        "objetivo mantido",
    )
    return Table(columns, tuple(rows), "Degraus da escada")


def _kept(group: Group) -> str:
    """In how many of a rung's runs the objectives held and nothing piled up."""
    return f"{sum(map(sustained, group.believed))} de {len(group.believed)}"


def recovery_s(run: RunRecord) -> float | None:
    """Seconds from the end of an overload until what is under way is back at its level."""
    if run.result is None or not run.cell.steps:
        return None
    (_, overload_s), *after = run.cell.steps
    until_s = overload_s + sum(seconds for _, seconds in after)
    return drained_after_s(run.result.recording, overload_s, until_s)


def _recovery(ladder: Ladder, groups: list[Group]) -> list[Block]:
    overloaded = [group for group in groups if group.cell.phase == "recovery"]
    known: dict[str, Returned] = {}
    for arm, of_arm in by_arm(overloaded):
        times = tuple(recovery_s(run) for group in of_arm for run in group.believed)
        known[arm] = Returned(arm_label(overloaded, arm), times, recovery(times))
    if not known:
        return []
    compared = tuple(
        recovery_row(known[one], known[other])
        for one, other in (*names.PROTOCOL_PAIRS, *names.MODEL_PAIRS)
        if one in known and other in known
    )
    return [
        Paragraph(
            f"Depois de {plain(ladder.overload_s)} s a {plain(ladder.overload)} vezes a taxa que a busca "
            "achou, a carga cai para metade dela. Tempo até que os pedidos em andamento voltem ao nível em "
            "que ficam:"
        ),
        Bullets(tuple(map(recovery_sentence, known.values()))),
        *versus_table(compared, "Recuperação da sobrecarga (s), aos pares"),
    ]


def versus_table(rows: tuple[tuple[str, ...], ...], caption: str) -> list[Block]:
    """A table of comparisons; none where no two arms were measured."""
    return [Table(say.VERSUS, rows, caption)] if rows else []


def recovery_row(one: Returned, other: Returned) -> tuple[str, ...]:
    """A row of `versus` on times to recover: no verdict where some run of either never recovered."""
    row = say.versus(say.RECOVERY, one.name, one.found, other.name, other.found)
    never = one.never + other.never
    if not never:
        return row
    return (
        *row[:3],
        f"sem veredito: {plural(never, 'execução não voltou', 'execuções não voltaram')}",
    )


def recovery_sentence(way: Returned) -> str:
    """How long an arm took to recover, or in how many of its runs it did not in the time given."""
    runs = plural(len(way.times), "execução", "execuções")
    if way.found is None:
        return f"{way.name}: em nenhuma das {runs} o atraso acumulado foi vencido no tempo medido."
    if way.never:
        return (
            f"{way.name}: em {count(way.never)} de {runs} não se recuperou no tempo medido, e por isso não "
            f"há tempo a comparar; nas outras, {say.RECOVERY.told(way.found.mean)}."
        )
    return f"{way.name}: {say.figure(say.RECOVERY, way.found)}."
