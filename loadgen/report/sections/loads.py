"""Results over load: throughput and latency against concurrency, and the spectrum of latencies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from loadgen.report.figures import estimates
from loadgen.report.figures.collection import Gathered, Group
from loadgen.report.figures.estimates import AtLeast, Metric, estimate
from loadgen.report.rendering import names
from loadgen.report.rendering.charts import Axis, Bar, Bars, Lines, Point, Series
from loadgen.report.rendering.document import (
    Block,
    Callout,
    Figure,
    Folded,
    Heading,
    Paragraph,
    Table,
)
from loadgen.report.rendering.numerals import MISSING, count, percent, plural
from loadgen.report.words import sentences as say
from loadgen.report.words.commands import behind
from loadgen.study.analysis.statistics import RUNS_MIN, RUNS_PUBLISHED, Interval
from loadgen.study.records.plan import Curve, Wait

# What a curve may vary beside arm, wait and load, as its plan names it.
FACTORS = ("workers", "storages", "event_loops", "items")
_USUAL = Curve(name="", arms=(), repetitions=1, concurrency=())


@dataclass(frozen=True)
class Shown:
    """A metric of a curve: how it is worded, computed, named in files and labelled on axes."""

    measure: say.Measure
    metric: Metric
    name: str
    label: str


CURVES = (
    Shown(say.THROUGHPUT, estimates.throughput, "vazao", "pedidos concluídos por segundo"),
    Shown(say.MEDIAN, estimates.P50, "mediana", "latência mediana (ms)"),
    Shown(say.TAIL, estimates.P99, "p99", "latência p99 (ms)"),
)


def main_curves(gathered: Gathered) -> list[Curve]:
    """The curves over the arms alone: no pair of twins, not the bare chain, no factor.

    Where every curve has a factor, those that hold each of theirs at one value stand in.
    """
    over_arms = [
        curve
        for curve in gathered.curves()
        if not curve.twins and not any(arm.startswith("bare-") for arm in curve.arms)
    ]
    usual = [curve for curve in over_arms if not any(changed(curve, name) for name in FACTORS)]
    return usual or [
        curve for curve in over_arms if all(len(getattr(curve, name)) == 1 for name in FACTORS)
    ]


def changed(curve: Curve, factor: str) -> bool:
    """True when a curve gives a factor other values than the one that it has by itself."""
    values: tuple[object, ...] = getattr(curve, factor)
    return bool(values != getattr(_USUAL, factor))


def results(gathered: Gathered) -> list[Block]:
    """The section on load."""
    curves = main_curves(gathered)
    blocks: list[Block] = [Heading(3, "Latência e vazão contra a carga")]
    if not curves:
        return [*blocks, Callout("note", "Nenhuma curva de carga foi medida neste conjunto.")]
    for curve in curves:
        for wait in curve.payment_waits:
            blocks += _of_wait(gathered, curve, wait)
    return blocks


def _of_wait(gathered: Gathered, curve: Curve, wait: Wait) -> list[Block]:
    groups = gathered.select(experiment=curve.name, payment_wait_s=wait)
    loads = sorted({group.cell.concurrency or 0 for group in groups})
    title = f"Laço fechado, {names.wait(wait)}"
    if len(loads) == 1:
        title += f", {count(loads[0])} clientes"
    blocks: list[Block] = [Heading(4, title)]
    if not any(group.believed for group in groups):
        return [*blocks, Callout("warning", "Nenhuma execução válida deste experimento.")]
    key = f"{curve.name}-{'com' if any(wait) else 'sem'}-espera"
    if len(loads) == 1:
        blocks.append(Paragraph(
            f"Foi medida uma só carga, {count(loads[0])} clientes simultâneos: o conjunto mostra "
            "como os braços ficam nela, e não onde cada um satura."
        ))  # fmt: skip
    draw = _bars if len(loads) == 1 else _lines
    blocks += [draw(gathered, groups, key, shown) for shown in CURVES]
    blocks += [*unanswered(groups, loads), *_comparisons(groups, loads)]
    return [*blocks, *spectrum(gathered, groups, key)]


def _lines(gathered: Gathered, groups: list[Group], key: str, shown: Shown) -> Figure:
    chart = Lines(
        name=f"{shown.name}-{key}",
        title=f"{shown.label[:1].upper()}{shown.label[1:]}, {_wait_of(groups)}",
        x=Axis("clientes simultâneos", log=True),
        y=Axis(shown.label, log=True),
        series=tuple(
            Series(arm_label(groups, arm), tuple(_points(of_arm, shown.metric)), names.look(arm))
            for arm, of_arm in by_arm(groups)
        ),
    )
    caption = f"Pontos medidos; {interval_words(groups)}.{_censored_words(groups, shown.metric)}"
    return Figure(chart, caption, behind(gathered, groups))


def _censored_words(groups: list[Group], metric: Metric) -> str:
    """What to know of the points that stand at the timeout; empty where none does."""
    if not any(isinstance(estimate(group, metric), AtLeast) for group in groups):
        return ""
    return (
        " Pontos no limite de espera são um mínimo: de um pedido que o cliente deixou de esperar só se "
        "sabe que demorou ao menos isso."
    )


def _wait_of(groups: list[Group]) -> str:
    return names.wait(groups[0].cell.payment_wait_s)


def _points(groups: list[Group], metric: Metric) -> Iterable[Point]:
    for group in sorted(groups, key=lambda each: each.cell.concurrency or 0):
        value = estimate(group, metric)
        if value is not None:
            yield Point(group.cell.concurrency or 0, value.mean, value.low, value.high)


def _bars(gathered: Gathered, groups: list[Group], key: str, shown: Shown) -> Figure:
    title = f"{shown.label[:1].upper()}{shown.label[1:]}, {_wait_of(groups)}"
    every = tuple(bars(groups, shown.metric))
    chart = Bars(f"{shown.name}-{key}", title, Axis(shown.label), every)
    told = [
        f"{arm_label(groups, arm)}: {say.figure(shown.measure, estimate(of_arm[0], shown.metric))}"
        for arm, of_arm in by_arm(groups)
    ]
    return Figure(chart, f"{'; '.join(told)}.", behind(gathered, groups))


def bars(groups: list[Group], metric: Metric, row: str = "") -> Iterable[Bar]:
    """A bar for each group that has the metric."""
    for arm, of_arm in by_arm(groups):
        for group in of_arm:
            value = estimate(group, metric)
            if value is not None:
                yield Bar(
                    row or names.load(group.cell), names.arm(arm), names.look(arm),
                    value.mean, value.low, value.high,
                )  # fmt: skip


def by_arm(groups: Iterable[Group]) -> list[tuple[str, list[Group]]]:
    """Groups that have a run to be believed, by arm, in the order of the arms."""
    found: dict[str, list[Group]] = {}
    for group in groups:
        if group.believed:
            found.setdefault(group.cell.arm, []).append(group)
    return sorted(found.items(), key=lambda item: names.look(item[0]))


def interval_words(groups: Iterable[Group]) -> str:
    """How many runs stand behind each point, and what the bar around it is."""
    numbers = sorted({len(group.believed) for group in groups if group.believed})
    runs = plural(numbers[-1], "execução", "execuções")
    if len(numbers) > 1:
        runs = f"{numbers[0]} a {runs}"
    if numbers[-1] < RUNS_MIN:
        return f"{runs} por ponto, sem intervalo"
    words = f"barras são intervalos de 95 % sobre {runs} (t de Student em logaritmos)"
    if numbers[0] < RUNS_PUBLISHED:
        words += (
            f", onde há menos de {count(RUNS_PUBLISHED)} só indicativos: deles nenhuma diferença é "
            "afirmada"
        )
    return words


def arm_label(groups: Iterable[Group], arm: str) -> str:
    """What an arm is called in a figure of these groups: with its threads, where it has one number."""
    told = {names.of(group.cell) for group in groups if group.cell.arm == arm}
    return told.pop() if len(told) == 1 else names.arm(arm)


def at(groups: Iterable[Group], arm: str, load: int) -> Group | None:
    """The group of an arm at a load."""
    found = [each for each in groups if each.cell.arm == arm and each.cell.concurrency == load]
    return found[0] if found else None


def shared_loads(groups: list[Group], one: str, other: str) -> list[int]:
    """The concurrencies at which both arms have runs to be believed, lowest first."""
    of = {arm: {group.cell.concurrency for group in each} for arm, each in by_arm(groups)}
    both = of.get(one, set()) & of.get(other, set())
    return sorted(load for load in both if load is not None)


def unanswered(groups: list[Group], loads: list[int]) -> list[Block]:
    """The share of orders without a terminal answer at each load: those too are what callers got."""
    shares = {
        (arm, group.cell.concurrency): max(
            (estimates.error_share(run) or 0.0 for run in group.believed), default=0.0
        )
        for arm, of_arm in by_arm(groups)
        for group in of_arm
    }
    if not any(shares.values()):
        return [Paragraph("Em todas as cargas todo pedido medido teve uma resposta terminal.")]
    arms = [arm for arm, _ in by_arm(groups)]
    rows = tuple(
        (count(load), *(MISSING if (share := shares.get((arm, load))) is None else percent(share)
                        for arm in arms))
        for load in loads
    )  # fmt: skip
    columns = ("clientes", *(arm_label(groups, arm) for arm in arms))
    caption = "Pedidos sem resposta terminal (limite de espera, recusa, erro), na pior execução"
    return [Table(columns, rows, caption)]


def _comparisons(groups: list[Group], loads: list[int]) -> list[Block]:
    """A row for each load and a column for each pair: who is better, where intervals say so."""
    present = {group.cell.arm for group in groups if group.believed}
    pairs = [
        pair
        for pair in (*names.PROTOCOL_PAIRS, *names.MODEL_PAIRS)
        if pair[0] in present and pair[1] in present
    ]
    if not pairs:
        return []
    tables: list[Block] = []
    tallies: list[tuple[str, ...]] = []
    for shown in CURVES:
        measure, metric = shown.measure, shown.metric
        found: dict[tuple[str, str], list[estimates.Verdict]] = {pair: [] for pair in pairs}
        rows = []
        for load in loads:
            cells = [count(load)]
            for one, other in pairs:
                first, second = _both(groups, one, other, load, metric)
                found[one, other].append(estimates.verdict(first, second))
                cells.append(
                    say.winner(
                        measure, arm_label(groups, one), first, arm_label(groups, other), second
                    )
                )
            rows.append(tuple(cells))
        titles = tuple(
            f"{arm_label(groups, one)} × {arm_label(groups, other)}" for one, other in pairs
        )
        caption = f"Quem se sai melhor: {measure.name}"
        tables.append(Table(("clientes", *titles), tuple(rows), caption, words=len(pairs) + 1))
        tallies += [
            (
                measure.name,
                arm_label(groups, one),
                arm_label(groups, other),
                *_tally(verdicts, measure),
            )
            for (one, other), verdicts in found.items()
        ]
    columns = ("medida", "primeiro", "segundo", "cargas", "primeiro melhor", "segundo melhor",
               say.NO_DIFFERENCE, say.TOO_FEW, "no limite de espera")  # fmt: skip
    if len(loads) == 1:
        return tables
    return [
        Table(columns, tuple(tallies), "Em quantas cargas cada um se sai melhor", words=3),
        Folded("Carga por carga", tuple(tables)),
    ]


def _tally(verdicts: list[estimates.Verdict], measure: say.Measure) -> tuple[str, ...]:
    """Loads compared, wins of the first, of the second, none shown, too few runs, at the timeout."""
    first, second = ("higher", "lower") if measure.more_is_better else ("lower", "higher")
    compared = len(verdicts) - verdicts.count("missing")
    wins = [
        sum(1 for each in verdicts if each == kind)
        for kind in (first, second, "none", "unsure", "censored")
    ]
    return tuple(count(each) for each in (compared, *wins))


def _both(
    groups: list[Group], one: str, other: str, load: int, metric: Metric
) -> tuple[Interval | None, Interval | None]:
    return estimate(at(groups, one, load), metric), estimate(at(groups, other, load), metric)


def common_load(groups: Iterable[Group]) -> int | None:
    """The highest concurrency at which every arm that was measured has a run to be believed."""
    loads = [{group.cell.concurrency for group in of_arm} for _arm, of_arm in by_arm(groups)]
    shared = set.intersection(*loads) - {None} if loads else set()
    return max((load for load in shared if load is not None), default=None)


def spectrum(gathered: Gathered, groups: list[Group], key: str) -> list[Block]:
    """The whole distribution of latencies at the highest load that all arms have."""
    load = common_load(groups)
    chosen = [group for group in groups if group.cell.concurrency == load and group.samples]
    series = tuple(
        Series(
            arm_label(chosen, arm),
            tuple(Point(100 / (100 - share), value) for share, value in of_arm[0].spectrum()),
            names.look(arm),
        )
        for arm, of_arm in by_arm(chosen)
    )
    if load is None or not any(each.points for each in series):
        return []
    samples = [
        f"{arm_label(chosen, arm)} {count(of_arm[0].samples)}" for arm, of_arm in by_arm(chosen)
    ]
    chart = Lines(
        name=f"espectro-{key}",
        title=f"Espectro de percentis com {count(load)} clientes",
        x=Axis("um pedido em N é mais lento (10 = p90, 100 = p99)", log=True),
        y=Axis("latência (ms)", log=True),
        series=series,
        markers=False,
    )  # fmt: skip
    caption = (
        "Histogramas das repetições somados exatamente, sem média de percentis; latências por "
        f"braço: {'; '.join(samples)}. A curva termina onde as amostras não bastam."
    )
    return [Figure(chart, caption, behind(gathered, chosen))]
