"""Results of open-loop ladders: the knee, what happens beyond it, and the way back."""

from __future__ import annotations

from loadgen.report import estimates, names
from loadgen.report import sentences as say
from loadgen.report.charts import Axis, Lines, Point, Series
from loadgen.report.commands import behind
from loadgen.report.document import Block, Bullets, Callout, Figure, Heading, Paragraph, Table
from loadgen.report.estimates import Metric, estimate, over
from loadgen.report.gathering import Gathered, Group
from loadgen.report.loads import by_arm, interval_words
from loadgen.report.numerals import MISSING, listed, number, percent, plain, plural
from loadgen.study.knee import backlog, drained_after_s
from loadgen.study.ladder import sustained
from loadgen.study.plan import Ladder, Wait
from loadgen.study.record import Found, RunRecord
from loadgen.study.statistics import Interval

# Seconds. What comes at once is counted as one cell of the recording, its finest resolution.
AT_ONCE_S = 0.1


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


def found(gathered: Gathered, ladder: Ladder, wait: Wait) -> dict[str, Found]:
    """What the search of each arm found."""
    every = [each for source in gathered.sources for each in source.manifest.searches]
    return {
        each.arm: each
        for each in every
        if each.experiment == ladder.name and each.payment_wait_s == wait
    }


def knee_sentence(arm: str, search: Found | None) -> str:
    """Where an arm's knee lies: between two tried rates, above all, below all, or not searched."""
    if search is None:
        return f"{names.arm(arm)}: joelho {say.NOT_MEASURED}."
    if search.rate_per_s is None:
        return f"{names.arm(arm)}: nenhuma taxa tentada cumpriu o objetivo."
    rate = say.KNEE.told(search.rate_per_s)
    if search.beyond_per_s is None:
        return (
            f"{names.arm(arm)}: o objetivo se manteve em todas as taxas tentadas, até {rate}; o "
            "joelho fica acima disso."
        )
    return (
        f"{names.arm(arm)}: joelho em {rate}; a {say.KNEE.told(search.beyond_per_s)} o objetivo "
        "já não se manteve."
    )


def _of_wait(gathered: Gathered, ladder: Ladder, wait: Wait) -> list[Block]:
    groups = gathered.select(experiment=ladder.name, payment_wait_s=wait)
    searches = found(gathered, ladder, wait)
    blocks: list[Block] = [
        Heading(4, f"Laço aberto, {names.wait(wait)}"),
        Paragraph(
            f"Objetivo: {listed([f'`{text}`' for text in ladder.objectives])}. A taxa é oferecida "
            "por um cronograma feito antes, e a latência conta do instante em que o pedido deveria "
            "ter sido enviado. O joelho é a taxa mais alta tentada que cumpre o objetivo, conclui "
            "ao menos 99 % do oferecido e não acumula pedidos."
        ),
        Bullets(tuple(knee_sentence(arm, searches.get(arm)) for arm in ladder.arms)),
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
        series.append(Series(names.arm(arm), tuple(points), names.look(arm)))
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
                names.arm(arm), number(group.cell.rate_per_s),
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
    after = drained_after_s(backlog(run.result.recording), run.cell.steps[0][1])
    return None if after is None else max(after, AT_ONCE_S)


def _recovery(ladder: Ladder, groups: list[Group]) -> list[Block]:
    overloaded = [group for group in groups if group.cell.phase == "recovery"]
    told, known = [], {}
    for arm, of_arm in by_arm(overloaded):
        times = [recovery_s(run) for group in of_arm for run in group.believed]
        known[arm] = over(times)
        told.append(recovery_sentence(arm, times, known[arm]))
    if not told:
        return []
    compared = tuple(
        say.versus(say.RECOVERY, names.arm(one), known[one], names.arm(other), known[other])
        for one, other in (*names.PROTOCOL_PAIRS, *names.MODEL_PAIRS)
        if one in known and other in known
    )
    return [
        Paragraph(
            f"Depois de {plain(ladder.overload_s)} s a {plain(ladder.overload)} vezes o joelho, a "
            "carga cai para metade dele. Tempo até que os pedidos em andamento voltem ao nível em "
            "que ficam:"
        ),
        Bullets(tuple(told)),
        *versus_table(compared, "Recuperação da sobrecarga (s), aos pares"),
    ]


def versus_table(rows: tuple[tuple[str, ...], ...], caption: str) -> list[Block]:
    """A table of comparisons; none where no two arms were measured."""
    return [Table(say.VERSUS, rows, caption)] if rows else []


def recovery_sentence(arm: str, times: list[float | None], found: Interval | None) -> str:
    """How long an arm took to recover, and how many of its runs did not in the time given."""
    never = sum(1 for each in times if each is None)
    if found is None:
        return (
            f"{names.arm(arm)}: em nenhuma das {plural(len(times), 'execução', 'execuções')} o "
            "atraso acumulado foi vencido no tempo medido."
        )
    words = f"{names.arm(arm)}: {say.figure(say.RECOVERY, found)}"
    if never:
        words += f"; em {plural(never, 'execução', 'execuções')} não se recuperou no tempo medido"
    return words + "."
