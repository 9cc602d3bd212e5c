"""Results on cost: processor, memory and bytes an order, and each service's resources over time."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean
from typing import Final

from loadgen.report.figures import estimates
from loadgen.report.figures.collection import Gathered, Group
from loadgen.report.figures.estimates import Metric, estimate, over
from loadgen.report.rendering import names
from loadgen.report.rendering.charts import Axis, Bars, Lines, Point, Series
from loadgen.report.rendering.document import Block, Figure, Folded, Heading, Paragraph, Table
from loadgen.report.rendering.numerals import MISSING, count, number
from loadgen.report.sections.loads import arm_label, bars, by_arm, common_load, main_curves
from loadgen.report.words import sentences as say
from loadgen.report.words.commands import behind
from loadgen.study.records import record
from loadgen.study.records.record import GENERATOR, RunRecord

COSTS: Final = (
    (say.CPU, estimates.cpu_ms, "cpu", "CPU dos serviços por pedido (ms)"),
    (say.BYTES, estimates.kilobytes, "bytes", "tráfego por pedido no loopback (kB)"),
    (say.MEMORY, estimates.memory_mb, "memoria", "memória, soma dos picos dos serviços (MB)"),
)
# Each field of a Series: its label, and how six services become one line of an arm.
OVER_TIME: Final[tuple[tuple[str, str, Callable[[list[float]], float]], ...]] = (
    ("cpu", "processadores em uso, soma dos serviços", sum),
    ("rss_mb", "memória residente (MB), soma dos serviços", sum),
    ("loop_lag_ms", "atraso do laço de eventos (ms), o pior serviço", max),
    ("open_files", "arquivos abertos, soma dos serviços", sum),
    ("wal_kb", "log de escrita, WAL (kB), soma dos serviços", sum),
    ("writer_queue", "fila do escritor (unidades), o pior serviço", max),
    ("in_flight", "chamadas em andamento, soma dos serviços", sum),
)
# Seconds. Runs are averaged over so long: a service tells of itself twice in it at least.
SAMPLE_S: Final = 0.5
# These are shown at once, the others when asked for.
SHOWN_AT_ONCE: Final = ("cpu", "rss_mb", "loop_lag_ms")


def results(gathered: Gathered) -> list[Block]:
    """The section on cost and resources; empty when no curve was measured."""
    blocks: list[Block] = []
    for curve in main_curves(gathered):
        by_wait = []
        for wait in curve.payment_waits:
            groups = gathered.select(experiment=curve.name, payment_wait_s=wait)
            load = common_load(groups)
            chosen = [group for group in groups if group.cell.concurrency == load]
            if load is not None and chosen:
                by_wait.append((f"{names.wait(wait)}, {count(load)} clientes", chosen))
        if by_wait:
            blocks += _costs(gathered, curve.name, by_wait)
            blocks += _resources(gathered, curve.name, by_wait[0][1], by_wait[0][0])
    return [Heading(3, "Custo e recursos"), *blocks] if blocks else []


def _costs(gathered: Gathered, key: str, by_wait: list[tuple[str, list[Group]]]) -> list[Block]:
    blocks: list[Block] = []
    for measure, metric, name, label in COSTS:
        every = [bar for row, groups in by_wait for bar in bars(groups, metric, row)]
        if not every:
            continue
        groups = [group for _, each in by_wait for group in each]
        chart = Bars(f"{name}-{key}", _capital(label), Axis(label), tuple(every))
        caption = f"{_capital(measure.name)}, por braço e espera."
        blocks.append(Figure(chart, caption, behind(gathered, groups)))
        rows = tuple(
            (row, *cells) for row, each in by_wait for cells in pair_rows(each, measure, metric)
        )
        if rows:
            blocks.append(Table(("onde", *say.VERSUS), rows, words=2))
    return blocks


def pair_rows(
    groups: list[Group], measure: say.Measure, metric: Metric
) -> list[tuple[str, str, str, str]]:
    """A row for each pair of arms that were both measured in these groups."""
    of = {arm: each[0] for arm, each in by_arm(groups)}
    return [
        say.versus(
            measure,
            arm_label(groups, one), estimate(of.get(one), metric),
            arm_label(groups, other), estimate(of.get(other), metric),
        )
        for one, other in (*names.PROTOCOL_PAIRS, *names.MODEL_PAIRS)
        if one in of and other in of
    ]  # fmt: skip


def _resources(gathered: Gathered, key: str, groups: list[Group], row: str) -> list[Block]:
    """Each resource over time, one line an arm, the mean of its runs that may be believed."""
    runs = [(arm, of_arm[0].believed) for arm, of_arm in by_arm(groups)]
    numbers = "; ".join(f"{arm_label(groups, arm)} {count(len(each))}" for arm, each in runs)
    at_once: list[Block] = []
    folded: list[Block] = []
    for field, label, together in OVER_TIME:
        series = tuple(
            Series(arm_label(groups, arm), points, names.look(arm))
            for arm, each in runs
            if (points := over_runs(each, field, together))
        )
        if not series:
            continue
        chart = Lines(
            f"uso-{field.replace('_', '-')}-{key}", _capital(label), Axis("segundos desde o primeiro pedido"),
            Axis(label), series, markers=False,
        )  # fmt: skip
        figure = Figure(
            chart,
            f"Média das execuções de cada braço ({numbers}), {row}.",
            behind(gathered, groups),
        )
        (at_once if field in SHOWN_AT_ONCE else folded).append(figure)
    blocks: list[Block] = []
    if at_once or folded:
        blocks = [Heading(4, f"Recursos ao longo do tempo: {row}"), *at_once]
    if folded:
        blocks.append(
            Folded("Arquivos abertos, WAL, fila do escritor e chamadas em andamento", tuple(folded))
        )
    return [*blocks, *_by_service(groups, row)]


def over_runs(
    runs: list[RunRecord], field: str, together: Callable[[list[float]], float]
) -> tuple[Point, ...]:
    """A resource over time, the mean of several runs in each SAMPLE_S; empty when not measured."""
    cells: dict[int, list[float]] = {}
    for run in runs:
        for point in over_time(run, field, together):
            known = cells.setdefault(int(point.x / SAMPLE_S), [])
            if point.y is not None:
                known.append(point.y)
    return tuple(
        Point((cell + 0.5) * SAMPLE_S, fmean(known) if known else None)
        for cell, known in sorted(cells.items())
    )


def over_time(
    run: RunRecord, field: str, together: Callable[[list[float]], float]
) -> tuple[Point, ...]:
    """A resource of all services, put together at each sample; empty when it was not measured.

    Services tell of themselves at about the same instants, a fraction of a second apart at most: those
    of the first stand for all.
    """
    every = list(run.resources.values())
    if not every or all(value is None for series in every for value in getattr(series, field)):
        return ()
    length = min(len(series.t_s) for series in every)
    points = []
    for at in range(length):
        # What was sampled before the first order is how the arm stood idle.
        if every[0].t_s[at] < 0:
            continue
        known = [value for series in every if (value := getattr(series, field)[at]) is not None]
        points.append(Point(every[0].t_s[at], together(known) if known else None))
    return tuple(points)


def _by_service(groups: list[Group], row: str) -> list[Block]:
    """A table: processor time an order and peak memory of each service, and of the generator."""
    arms = by_arm(groups)
    services = list(dict.fromkeys(
        service for _, of_arm in arms for run in of_arm[0].believed for service in run.spent
    ))  # fmt: skip
    if not services:
        return []
    rows = []
    for service in services:
        cells = [names.service(service)]
        for _arm, of_arm in arms:
            spent = [run.spent[service] for run in of_arm[0].believed if service in run.spent]
            cpu = over([each.cpu_ms_per_order for each in spent])
            memory = over([each.rss_peak_mb for each in spent])
            cells.append(
                f"{number(cpu.mean) if cpu else MISSING} ms; {number(memory.mean) if memory else MISSING} MB"
            )
        rows.append(tuple(cells))
    caption = f"CPU por pedido e memória de pico de cada serviço, {row}"
    blocks: list[Block] = [Table(("", *(names.arm(arm) for arm, _ in arms)), tuple(rows), caption)]
    if GENERATOR in services:
        blocks.append(Paragraph(
            "O gerador de carga aparece à parte: ele divide os mesmos processadores com os "
            "serviços, e o que ele gasta não entra nas somas acima."
        ))  # fmt: skip
    return blocks


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


assert {name for name, _, _ in OVER_TIME} <= set(record.Series.__struct_fields__)
