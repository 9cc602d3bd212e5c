"""The report's figures and pages: charts, diagrams, and text that must stay text."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from loadgen.report.figures import diagrams
from loadgen.report.rendering import charts, web
from loadgen.report.rendering.charts import (
    Axis,
    Band,
    Bar,
    Bars,
    Chart,
    Lines,
    Point,
    Series,
    Span,
    Spans,
)
from loadgen.report.rendering.document import Document, Heading, Paragraph, Table
from loadgen.report.rendering.markdown import rendered
from loadgen.report.rendering.pictures import picture

LINES = Lines(
    "linhas", "Linhas & <marcas>", Axis("x", log=True), Axis("y", log=True),
    (Series("A", (Point(1, 2, 1, 3), Point(10, 4), Point(100, None)), 0),
     Series("B", (Point(1, 3), Point(100, 5)), 3, joined=False)),
    (Band(2, 5, "falha"),),
)  # fmt: skip
BARS = Bars(
    "barras", "Barras", Axis("x"), (Bar("um", "A", 0, 1.0, 0.5, 2.0), Bar("um", "B", 1, 3.0))
)
SPANS = Spans(
    "trechos", "Trechos", Axis("ms"), (Span("um", "p", 0, 0, 1), Span("um", "q", 1, 1, 3))
)


@pytest.mark.parametrize("chart", [LINES, BARS, SPANS], ids=lambda chart: chart.name)
def test_figura_e_svg_e_a_mesma_sempre(chart: Chart) -> None:
    """Each kind of chart is drawn as well-formed SVG, the same each time, without anything linked."""
    first = picture(chart)
    ET.fromstring(first)
    assert picture(chart) == first
    assert not re.search(r'href="(?!#)', first)


def test_tabela_atras_do_grafico_tem_tudo() -> None:
    """What a chart shows is in its table: points, intervals and gaps."""
    columns, rows = charts.tabulated(LINES)
    assert columns == ("x", "A", "B")
    assert rows == [
        ("1,000", "2,00 (1,00 a 3,00)", "3,00"), ("10,00", "4,00", "–"), ("100,0", "–", "5,00"),
    ]  # fmt: skip
    assert charts.tabulated(BARS)[1][1] == ("um", "B", "3,00", "–")
    assert charts.tabulated(SPANS)[1][1] == ("um", "q", "1,00", "3,00", "2,00")


def test_texto_alheio_nao_vira_marcacao() -> None:
    """Text with signs of HTML or of a table is shown, and does nothing."""
    evil = '</script><script>alert("|")</script>'
    document = Document(evil, evil, (Heading(2, evil), Paragraph(f"`{evil}`"),
                                     Table(("a", evil), ((evil, "1"),), evil)))  # fmt: skip
    page = web.rendered(document)
    assert "<script>alert" not in page
    assert page.count("</script>") == web.rendered(Document("", "", ())).count("</script>")
    table = [line for line in rendered(document).splitlines() if line.startswith("|")]
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 3 for line in table)


def test_diagramas_vem_das_tabelas() -> None:
    """Each protocol's diagram names each call of the chain as the protocol does, in order."""
    for protocol in diagrams.PROTOCOLS:
        drawing = diagrams.architecture(protocol)
        ET.fromstring(drawing.svg)
        calls = [diagrams.on_the_wire(row, protocol) for row in diagrams.chain_of_calls()]
        places = [drawing.svg.index(f">{call}<") for call in calls]
        assert places == sorted(places)
    odd = diagrams.states("pedidos", {("ausente", "nascer"): "vivo", ("vivo", "morrer"): "morto"})
    assert "nascer" in odd.svg
    assert "pagamento_aprovado" not in odd.svg
    for drawing in diagrams.every_state_machine():
        ET.fromstring(drawing.svg)
