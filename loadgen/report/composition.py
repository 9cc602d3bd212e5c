"""The report's sections in their order."""

from __future__ import annotations

from loadgen.report.figures.collection import Gathered
from loadgen.report.rendering import names
from loadgen.report.rendering.document import Block, Document, Heading
from loadgen.report.rendering.numerals import count, date, plural
from loadgen.report.sections import (
    analysis,
    background,
    ceilings,
    closing,
    costs,
    factors,
    faults,
    hypothesis,
    ladders,
    little,
    loads,
    opening,
    scaling,
    waterfalls,
)

TITLE = "Checkout síncrono: gRPC e REST, laço de eventos e threads"


def compose(gathered: Gathered) -> Document:
    """The whole report of what was gathered."""
    manifest = gathered.manifest
    started = manifest.sittings[0].started if manifest.sittings else ""
    subtitle = (
        f"Relatório do conjunto `{manifest.preset}`, medido em {date(started)}: "
        f"{plural(len(gathered.runs), 'execução', 'execuções')}, {count(gathered.orders)} pedidos. "
        f"Durabilidade: {names.durability(manifest.durability)}."
    )
    blocks: list[Block] = [
        *opening.blocks(gathered),
        *background.introduction(gathered),
        *background.architectures(),
        *background.implementation(),
        Heading(2, "Resultados"),
        *loads.results(gathered),
        *ceilings.results(gathered),
        *ladders.results(gathered),
        *faults.results(gathered),
        *waterfalls.results(gathered),
        *little.results(gathered),
        *costs.results(gathered),
        *factors.results(gathered),
        *scaling.results(gathered),
        *analysis.analysis(gathered),
        *closing.kafka(),
        *hypothesis.section(gathered),
        *closing.conclusion(gathered),
        *closing.limits(gathered),
        *closing.reproduction(gathered),
    ]
    return Document(TITLE, subtitle, tuple(blocks))
