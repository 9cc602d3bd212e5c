"""python -m loadgen.attribution: what it tells of one result and of two, and what it refuses."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

from msgspec.structs import replace
from rich.console import Console

from loadgen.attribution import cli as command
from loadgen.attribution.bands import attribution
from loadgen.results.histograms import latency_histogram
from loadgen.results.recorder import Recorder
from loadgen.results.result import make_result, to_json
from loadgen.workload.outcomes import Outcome
from loadgen.workload.schedule import steady
from tests.support.loadgen_support import plan
from tests.support.told_orders import PAGAMENTOS, PEDIDOS, changed, record, recorded, sample

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

# --- the command ----------------------------------------------------------------------------------


def _saved(path: Path, latencies_ms: range) -> Path:
    path.write_bytes(to_json(make_result(plan(), recorded(latencies_ms), {})))
    return path


def test_comando_mostra_um_resultado_e_o_que_mudou_no_outro(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One result is told hop by hop; two say which part of which hop grew, and by how much."""
    light = _saved(tmp_path / "light.json", range(100, 220))
    heavy = _saved(tmp_path / "heavy.json", range(300, 420))
    assert command.main([str(light)]) == command.EXIT_OK
    told = capsys.readouterr().out
    assert "a median order, 159.5 ms" in told
    assert "residual 1.50 ms, 0.94% of it" in told
    assert command.main([str(light), str(heavy)]) == command.EXIT_OK
    assert "a median order is 200.0 ms longer; of that 100% vez at cliente" in (
        " ".join(capsys.readouterr().out.split())
    )


def test_titulo_diz_qual_era_a_carga(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A closed loop is titled by its callers, an open one by its rate."""
    closed = _saved(tmp_path / "closed.json", range(100, 220))
    opened = tmp_path / "open.json"
    asked = plan(concurrency=0, checkouts=None, schedule=steady(12.5, 10))
    opened.write_bytes(to_json(make_result(asked, recorded(range(100, 220)), {})))
    for path, words in ((closed, "grpc, 4 callers"), (opened, "grpc, open loop, 12.5 orders/s")):
        command.main([str(path)])
        assert f"{path}: {words}" in capsys.readouterr().out.replace("\n", "")


def test_comando_recusa_o_que_nao_pode_ler(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing, truncated or other file, and one without samples, is one line that says so."""
    whole = _saved(tmp_path / "whole.json", range(100, 220)).read_bytes()
    cut, none, other = (tmp_path / name for name in ("cut.json", "none.json", "other.json"))
    cut.write_bytes(whole[: len(whole) // 2])
    none.write_bytes(to_json(make_result(plan(), recorded(range(100, 103)), {})))
    other.write_text(json.dumps({"mode": "grpc"}))
    for path, word in (
        (tmp_path / "missing.json", "No such file"),
        (cut, "is not a result"),
        (other, "is not a result"),
        (none, "too few"),
    ):
        assert command.main([str(path)]) == command.EXIT_UNUSABLE
        said = capsys.readouterr().err
        assert word in said
        assert len(said.splitlines()) == 1


def test_comando_diz_que_a_mediana_nao_teve_resposta(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A result whose median order timed out says so instead of telling a survivor's time."""
    recorder = Recorder(0, 0.0, 30.0)
    for n in range(100):
        each = sample(ms=100 + n)
        outcome = Outcome("enviado") if n < 25 else Outcome("pendente")
        recorder.ended(each.intended_ns, each.sent_ns, each.end_ns, outcome, each.timing)
    made = make_result(plan(), recorder.recording(latency_histogram(30.0)), {})
    path = tmp_path / "lost.json"
    path.write_bytes(to_json(made))
    assert command.main([str(path)]) == command.EXIT_OK
    told = " ".join(capsys.readouterr().out.split())
    assert "75 of 100 sampled orders (75%) got no answer in time" in told
    assert "the median order got no answer" in told
    assert "a median order," not in told


def test_residuo_grande_tem_seu_codigo(tmp_path: Path) -> None:
    """A median order of which more than 5 % is unaccounted for is told by the exit code."""
    lame = changed(PEDIDOS, espera=1_000)
    recorder = Recorder(0, 0.0, 60.0)
    for n in range(20):
        each = sample(record(lame, PAGAMENTOS), ms=100 + n)
        recorder.ended(each.intended_ns, each.sent_ns, each.end_ns, Outcome("enviado"), each.timing)
    path = tmp_path / "lame.json"
    path.write_bytes(to_json(make_result(plan(), recorder.recording(latency_histogram(60.0)), {})))
    assert command.main([str(path)]) == command.EXIT_RESIDUAL


def test_tabela_cabe_em_oitenta_colunas() -> None:
    """A terminal has 80 columns: no cell of the table of an order is cut."""
    chain = ["pedidos", "pagamentos", "estoque", "fiscal", "logistica"]
    whole = record(*[replace(PEDIDOS, service=name) for name in chain])
    found = attribution([sample(whole, ms=90_000 + n) for n in range(200)], 200)
    assert found is not None
    console = Console(width=80, record=True, file=io.StringIO())
    command.show_attribution(found, console)
    text = console.export_text()
    assert "…" not in text
    assert "pagamentos" in text
