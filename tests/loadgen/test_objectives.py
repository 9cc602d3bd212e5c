"""Objectives: what can be asked of a run, what meets it, and what the command then says."""

from __future__ import annotations

import io
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from loadgen import options
from loadgen.cli import exit_code
from loadgen.results.csv_file import to_csv
from loadgen.results.objectives import UNITS, ObjectiveError, parse_objective
from loadgen.results.result import figures, make_result, to_json
from loadgen.results.table import show
from loadgen.workload.outcomes import Outcome
from tests.loadgen.test_result import record
from tests.support.loadgen_support import plan

ORDERS = [(tenth * 100, 50, Outcome("enviado")) for tenth in range(40)]
FAILED = [(0, 50, Outcome("erro", "indisponivel"))]


def judged(texts: list[str], orders=ORDERS):
    return make_result(plan(), record(orders), {}, [parse_objective(text) for text in texts])


@given(
    st.sampled_from(sorted(UNITS)),
    st.sampled_from(["<", "<=", ">", ">="]),
    st.integers(0, 10_000),
    st.data(),
)
def test_objetivo_e_lido_como_foi_escrito(figure: str, sign: str, number: int, data) -> None:
    """Every figure, comparison and unit is read, with spaces or without, in the figure's own unit."""
    unit = data.draw(st.sampled_from(sorted(UNITS[figure])))
    tight = parse_objective(f"{figure}{sign}{number}{unit}")
    loose = parse_objective(f" {figure} {sign} {number} {unit} ")
    assert (tight.figure, tight.comparison) == (figure, sign)
    assert tight.bound == loose.bound == pytest.approx(number * UNITS[figure][unit])
    assert tight.met_by(tight.bound) == ("=" in sign)
    assert tight.met_by(tight.bound + 1) == (sign[0] == ">")
    assert not tight.met_by(None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fast", "is no objective; expected FIGURE<VALUE"),
        ("p99=500ms", "is no objective"),
        ("p98<500ms", "there is no figure 'p98'; expected FIGURE<VALUE"),
        ("p99<500", "p99 is given in us or ms or s"),
        ("errors<1ms", "errors is given in %"),
        ("goodput>3%", "goodput is given in /s"),
    ],
)
def test_objetivo_errado_e_dito_em_uma_linha(text: str, words: str, capsys) -> None:
    """What is no objective is refused before the run, with what is possible, and exit code 2."""
    with pytest.raises(ObjectiveError, match="'"):
        parse_objective(text)
    with pytest.raises(SystemExit) as left:
        options.parse(["--concurrency", "1", "--objective", text])
    assert left.value.code == options.EXIT_UNUSABLE
    line = capsys.readouterr().err.splitlines()[-1]
    assert words in line


def test_cada_figura_tem_um_valor() -> None:
    """Every figure that the grammar names is one that a result has."""
    assert set(figures(judged([]))) == set(UNITS)


@pytest.mark.parametrize(
    ("texts", "orders", "code"),
    [
        (["p99<500ms", "throughput>5/s"], ORDERS, 0),
        (["p99<10ms"], ORDERS, 4),
        (["p99<500ms", "p99<10ms"], ORDERS, 4),
        (["p999<1s"], ORDERS, 4),
        (["p99<500ms"], ORDERS + FAILED, 1),
        (["p99<10ms"], ORDERS + FAILED, 4),
        (["errors<5%"], ORDERS + FAILED, 0),
        (["errors<1%"], ORDERS + FAILED, 4),
        (["completed>=97%"], ORDERS + FAILED, 0),
        (["p99<10ms"], FAILED, 3),
    ],
)
def test_codigo_de_saida_diz_se_os_objetivos_foram_cumpridos(texts, orders, code: int) -> None:
    """Invalid beats a missed objective, that beats an order without an end, unless allowed for."""
    assert exit_code(judged(texts, orders)) == code


def test_objetivos_estao_na_tabela_e_no_json() -> None:
    """The table and the JSON say what each objective asked, what was found and whether it was met."""
    result = judged(["p99<500ms", "errors<0.1%", "p999<1s"], ORDERS + FAILED)
    found = json.loads(to_json(result))["objectives"]
    assert [(each["text"], each["met"]) for each in found] == [
        ("p99<500ms", True), ("errors<0.1%", False), ("p999<1s", False),
    ]  # fmt: skip
    assert found[0]["value"] == result.latency_ms.p99
    assert found[1]["value"] == pytest.approx(1 / 41)
    assert found[2]["value"] is None
    console = Console(width=100, record=True, file=io.StringIO())
    show(result, console)
    text = console.export_text()
    assert "p999<1s" in text
    assert "unknown" in text
    assert "2.439%" in text


def test_csv_tem_uma_linha_por_segundo() -> None:
    """The CSV has a header and a row a second, whose counts are those of the result."""
    result = judged([], [*ORDERS, (500, 2_600, Outcome("erro", "indisponivel"))])
    header, *rows = to_csv(result).decode().splitlines()
    assert header == "t,offered,sent,unsent,completed,failed,p50_ms,p99_ms"
    assert [row.split(",")[0] for row in rows] == ["0", "1", "2", "3", "4"][: len(rows)]
    cells = [dict(zip(header.split(","), row.split(","), strict=True)) for row in rows]
    assert sum(int(each["sent"]) for each in cells) == result.sent == 41
    assert sum(int(each["failed"]) for each in cells) == 1
    assert float(cells[0]["p50_ms"]) == pytest.approx(50, rel=0.02)
    again = msgspec.json.decode(to_json(result), type=dict)
    assert again["timeline"] == msgspec.to_builtins(result.timeline)
