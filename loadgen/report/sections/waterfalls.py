"""Results on where an order's time went: a median and a slow order, hop by hop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from loadgen.attribution.bands import WAITS_TO_RUN, Ways, Where, attribution, lightest
from loadgen.attribution.cli import RESIDUAL_MAX
from loadgen.attribution.hops import Parts, Sample
from loadgen.report.figures.collection import Gathered, Group
from loadgen.report.rendering import names
from loadgen.report.rendering.charts import Axis, Span, Spans
from loadgen.report.rendering.document import (
    Block,
    Bullets,
    Callout,
    Figure,
    Folded,
    Heading,
    Paragraph,
)
from loadgen.report.rendering.numerals import (
    bound,
    count,
    listed,
    milliseconds,
    percent,
    plain,
    plural,
)
from loadgen.report.sections.loads import arm_label, by_arm, common_load, main_curves
from loadgen.report.words.commands import behind
from loadgen.study.records.plan import Curve, Wait
from loadgen.study.records.store import read_run

# The names of an order's parts, in the order in which they are shown, and which of the
# record's parts each is made of.
PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "atraso do gerador": ("atraso",),
    "fila de admissão": ("fila",),
    "espera do laço ou da thread": ("espera",),
    "espera da vez": ("vez",),
    "trabalho próprio": ("trabalho",),
    "espera do banco": ("banco",),
    "confirmação (commit)": ("commit",),
    "pagamento simulado": ("gateway",),
    "transporte": ("caminho",),
    "tentativas sem resposta ou sem registro": ("tentativas", "proximo", "consultas"),
    "resíduo": ("residuo",),
}
# The meaning of the words that compare loops with threads.
METHOD: Final = (
    "Nenhum instrumento vê uma mensagem entre o soquete e o código que a recebe. Por isso o "
    "*transporte* é o que o caminho leva quando quase ninguém espera (o percentil 5 de cada caminho, "
    "na execução do mesmo braço em que ele foi mais curto), e o que passa disso é *espera da vez*: o "
    "processo que recebe estava ocupado com outros. Nos laços de eventos é ali que se espera; nas "
    "threads, quase sempre na fila por uma delas, que é *espera do laço ou da thread*. Entre braços "
    "comparam-se as duas somadas. Se a execução mais leve já tinha carga, o transporte contém alguma "
    "espera, e a espera da vez é maior do que se mostra."
)
# Milliseconds. A shorter part would not be seen.
_SHOWN_MIN_MS: Final = 0.001
# Parts of a growth that are worth naming.
_NAMED: Final = 3


def results(gathered: Gathered) -> list[Block]:
    """The section on attribution."""
    blocks: list[Block] = [Heading(3, "Para onde foi o tempo de um pedido")]
    for curve in main_curves(gathered):
        for wait in curve.payment_waits:
            blocks += _of_wait(gathered, curve, wait)
    if len(blocks) == 1:
        blocks.append(Callout(
            "note", "Nenhuma execução deste conjunto guardou o tempo de pedidos amostrados, salto a "
            "salto.",
        ))  # fmt: skip
    return blocks


@dataclass(frozen=True)
class Told:
    """Where a median order of some runs spent its time, and a slow one where enough were sampled.

    `ways` are the times of ways when few wait, the least of any run of the same arm.
    """

    median: Where
    slow: Where | None
    runs: int
    ways: Ways

    def kinds(self) -> list[tuple[str, Where]]:
        """Both by their names, as far as they are there."""
        return [("mediano", self.median)] + ([("lento", self.slow)] if self.slow else [])


def _alike(gathered: Gathered, group: Group) -> list[Group]:
    """All groups, of any experiment and load, in which messages travel as in this one."""
    cell = group.cell
    return gathered.select(
        arm=cell.arm, items=cell.items, event_loop=cell.event_loop, storage=cell.storage
    )


def light_ways(groups: Iterable[Group]) -> Ways:
    """The time of each way when few wait: the least in any run of these groups."""
    return lightest(
        run.result.attribution.ways
        for group in groups
        for run in group.believed
        if run.result is not None and run.result.attribution is not None
    )


def attributed(group: Group, ways: Ways) -> Told | None:
    """The time of the sampled orders of all runs of a group; None when they are too few.

    They are read again from the disk: in memory those of all groups would be most of the report.
    """
    samples: list[Sample] = []
    sampled = runs = 0
    for directory, run in group.believed_in:
        result = read_run(directory, run.id).result
        if result is not None and result.recording.samples:
            samples += result.recording.samples
            sampled += result.recording.sampled
            runs += 1
    found = attribution(samples, sampled)
    if found is None or found.median is None:
        return None
    return Told(found.median, found.slow, runs, ways)


def _of_wait(gathered: Gathered, curve: Curve, wait: Wait) -> list[Block]:
    groups = gathered.select(experiment=curve.name, payment_wait_s=wait)
    load = common_load(groups)
    chosen = [group for group in groups if group.cell.concurrency == load]
    ways = {arm: light_ways(_alike(gathered, of_arm[0])) for arm, of_arm in by_arm(groups)}
    told = [
        (arm_label(groups, arm), arm, found)
        for arm, of_arm in by_arm(chosen)
        if (found := attributed(of_arm[0], ways[arm])) is not None
    ]
    if load is None or not told:
        return []
    key = f"{curve.name}-{'com' if any(wait) else 'sem'}-espera"
    where = f"{names.wait(wait)}, {count(load)} clientes"
    rows = [
        (f"{name}: pedido {kind}", totals(each, found.ways))
        for name, _, found in told
        for kind, each in found.kinds()
    ]
    spans = tuple(span for row, each in rows for span in _stacked(row, each))
    chart = Spans(f"tempo-{key}", f"Para onde foi o tempo: {where}", Axis("milissegundos"), spans)
    return [
        Heading(4, _capital(where)),
        Figure(chart, _bands(told), behind(gathered, chosen)),
        Paragraph(METHOD),
        Bullets(tuple(residual_sentence(name, found) for name, _, found in told)),
        *_grown(groups, load, {arm: found for _, arm, found in told}),
        Folded("Cascata por salto, de cada braço", tuple(
            _cascade(
                gathered, [group for group in chosen if group.cell.arm == arm],
                f"cascata-{arm}-{kind}-{key}",
                f"{name}: pedido {kind}, {milliseconds(each.latency_ms)}",
                each.shown(found.ways),
            )
            for name, arm, found in told
            for kind, each in found.kinds()
        )),
    ]  # fmt: skip


def totals(where: Where, ways: Ways) -> dict[str, float]:
    """Milliseconds of each part over all hops; a part that took no time is left out."""
    return _named(where.by_part(ways))


def _named(parts: Mapping[str, float]) -> dict[str, float]:
    sums = {name: sum(parts.get(each, 0.0) for each in made_of) for name, made_of in PARTS.items()}
    return {name: value for name, value in sums.items() if abs(value) >= _SHOWN_MIN_MS}


def _stacked(row: str, parts: Mapping[str, float], begin: float = 0.0) -> list[Span]:
    """Parts one after the other; a residual below nought takes no room."""
    spans = []
    for name, value in parts.items():
        if value > 0:
            spans.append(Span(row, name, list(PARTS).index(name), begin, begin + value))
            begin += value
    return spans


def _bands(told: list[tuple[str, str, Told]]) -> str:
    numbers = [
        f"{name} {' e '.join(_band(each) for _, each in found.kinds())}, de "
        f"{plural(found.runs, 'execução', 'execuções')}"
        for name, _, found in told
    ]
    return (
        "Médias de pedidos reais em torno da mediana e, quando há amostras que bastem, entre os "
        "mais lentos; suas partes somam a latência. Pedidos em cada faixa, e os seus percentis: "
        f"{'; '.join(numbers)}."
    )


def _band(where: Where) -> str:
    low, high = where.percentiles
    return f"{where.n} (p{plain(low)} a p{plain(high)})"


def residual_sentence(name: str, found: Told) -> str:
    """The largest part of the median order, its waits to run, and whether the residual holds."""
    parts = totals(found.median, found.ways)
    waited = sum(found.median.by_part(found.ways).get(part, 0.0) for part in WAITS_TO_RUN)
    largest = max(parts, key=lambda part: parts[part])
    share = found.median.residual_share
    within = "dentro" if share <= RESIDUAL_MAX else "**fora**"
    return (
        f"{name}: pedido mediano de {milliseconds(found.median.latency_ms)}; a maior parte "
        f"é {largest}, {milliseconds(parts[largest])} ({percent(parts[largest] / found.median.latency_ms)}). "
        f"Esperas para rodar, do laço ou da thread e da vez: {milliseconds(waited)} "
        f"({percent(waited / found.median.latency_ms)}). "
        f"Resíduo de {percent(share)}, {within} do limite de {bound(RESIDUAL_MAX)}."
    )


def _grown(groups: list[Group], load: int, heavy: Mapping[str, Told]) -> list[Block]:
    """The change between the lightest load with enough sampled orders and the one shown, by arm."""
    told, silent = [], []
    for arm, of_arm in by_arm(groups):
        lighter = sorted(
            (each for each in of_arm if (each.cell.concurrency or load) < load),
            key=lambda group: group.cell.concurrency or 0,
        )
        if arm not in heavy or not lighter:
            continue
        ways = heavy[arm].ways
        found = next(((each, it) for each in lighter if (it := attributed(each, ways))), None)
        if found is None:
            silent.append(arm_label(groups, arm))
            continue
        light, it = found
        name = (
            f"{arm_label(groups, arm)}, de {plural(light.cell.concurrency or 0, 'cliente', 'clientes')} "
            f"para {count(load)}"
        )
        told.append(growth_sentence(name, it.median, heavy[arm].median, ways))
    blocks: list[Block] = []
    if told:
        blocks += [
            Paragraph("O que cresce, da carga mais leve que tem pedidos bastantes para contar:"),
            Bullets(tuple(told)),
        ]
    if silent:
        blocks.append(Paragraph(
            f"Em nenhuma carga mais leve há pedidos amostrados bastantes de {listed(silent)}: o que cresce "
            "não se sabe."
        ))  # fmt: skip
    return blocks


def growth_sentence(name: str, light: Where, heavy: Where, ways: Ways) -> str:
    """By how much the median order changed between two loads, and which parts made it so."""
    change = heavy.latency_ms - light.latency_ms
    if change <= 0:
        return (
            f"{name}: o pedido mediano não ficou mais lento "
            f"({milliseconds(light.latency_ms)} e {milliseconds(heavy.latency_ms)})."
        )
    before, after = totals(light, ways), totals(heavy, ways)
    grown = {part: after.get(part, 0.0) - before.get(part, 0.0) for part in PARTS}
    most = sorted((part for part in grown if grown[part] > 0), key=lambda part: -grown[part])
    named = [f"{part} {milliseconds(grown[part])}" for part in most[:_NAMED]]
    return (
        f"{name}: de {milliseconds(light.latency_ms)} para "
        f"{milliseconds(heavy.latency_ms)}; crescem sobretudo {listed(named)}."
    )


def _cascade(gathered: Gathered, groups: list[Group], name: str, title: str, hops: Parts) -> Figure:
    """Each hop under the one before it, in the order of the chain."""
    spans: list[Span] = []
    begin = 0.0
    for hop, parts in hops.items():
        row = _stacked(names.service(hop), _named(parts), begin)
        spans += row
        begin = row[-1].end if row else begin
    axis = Axis("milissegundos, um salto depois do outro")
    chart = Spans(name, title, axis, tuple(spans))
    caption = (
        "O tempo próprio de cada salto, posto depois do tempo do salto anterior; juntos somam a "
        "latência."
    )
    return Figure(chart, caption, behind(gathered, groups))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
