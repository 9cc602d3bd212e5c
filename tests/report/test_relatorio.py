"""The report as a whole: what it writes, what it refuses, and that its figures are the data's."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from common import ROOT
from common.arms import MODES
from loadgen.report.cli import (
    EXIT_OK,
    EXIT_PARTIAL,
    EXIT_UNUSABLE,
    MARKDOWN,
    PAGE,
    main,
    whole,
)
from loadgen.report.composition import compose
from loadgen.report.figures.collection import MixedResultsError, gather
from loadgen.report.rendering import markdown, pictures
from loadgen.report.rendering.markdown import FIGURES
from loadgen.report.rendering.web import LIBRARIES
from loadgen.study.records import record as r
from loadgen.study.records import store
from loadgen.study.records.plan import (
    NO_WAIT,
    Curve,
    Ladder,
    Study,
    Timeline,
)
from tests.support.made_results import FAULTS, OBJECTIVES, make_results

# A study with every kind of experiment, and as few runs as that takes.
SMALL: Final = Study(
    name="small",
    experiments=(
        Curve(name="grid", arms=MODES, repetitions=3,
              concurrency=(1, 64)),
        Curve(name="law", arms=("grpc",), repetitions=3, payment_waits=(NO_WAIT,),
              concurrency=(1, 4, 16, 64, 256, 1_000)),
        Curve(name="floor", arms=("bare-grpc",), repetitions=3, payment_waits=(NO_WAIT,),
              concurrency=(64,)),
        Curve(name="noise", arms=("grpc",), repetitions=3, concurrency=(64,), twins=True),
        Curve(name="workers", arms=("grpc-threads",), repetitions=3, concurrency=(64,),
              workers=(10, 100)),
        Ladder(name="knee", arms=("grpc",), repetitions=3, objectives=OBJECTIVES,
               first_per_s=20, most_per_s=1_000, rungs=(0.5, 1.0, 1.25)),
        Timeline(name="faults", arms=("grpc", "grpc-threads"), repetitions=3, rate_per_s=40,
                 faults=FAULTS, seconds=25.0),
    ),
)  # fmt: skip
# One load, four arms, three runs: what --quick measures.
QUICK: Final = Study(
    name="quick",
    experiments=(Curve(name="grid", arms=MODES, repetitions=3, concurrency=(64,)),),
)


def rewrite(directory: Path, run_id: str, change: Callable[[r.RunRecord], r.RunRecord]) -> None:
    """Change one kept run."""
    store.write_run(directory, change(store.read_run(directory, run_id)))


def manifest_with(directory: Path, **changes: Any) -> None:
    """Change the manifest of a results directory."""
    manifest = store.read_manifest(directory)
    store.write_manifest(directory, msgspec.structs.replace(manifest, **changes))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_results(tmp_path_factory.mktemp("small"), plan=SMALL, orders_a_run=60)


@pytest.fixture(scope="module")
def written(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("relatorio")
    with pytest.MonkeyPatch.context() as patched:
        quickly(patched)
        assert main([str(small), "--out", str(out)]) == EXIT_OK
    return out


def quickly(patched: pytest.MonkeyPatch) -> None:
    """Draw nothing: pictures have tests of their own, and half a second each."""
    patched.setattr(pictures, "picture", lambda chart: f"<svg><title>{chart.title}</title></svg>")


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    return make_results(tmp_path / "results", plan=QUICK, orders_a_run=350)


def report(*directories: Path, mix: bool = False) -> tuple[bool, str]:
    """Whether the results are whole, and the report's text with plain spaces; nothing is drawn."""
    gathered = gather(directories, mix=mix)
    text = markdown.rendered(compose(gathered))
    return whole(gathered), text.replace("\N{NO-BREAK SPACE}", " ")


def test_escreve_todas_as_secoes_do_trabalho(written: Path) -> None:
    """The report has each section that the assignment and the study ask for, in order."""
    text = (written / MARKDOWN).read_text("utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
        "Antes de tudo: pode-se acreditar?",
        "Introdução",
        "Arquiteturas",
        "Implementação",
        "Resultados",
        "Análise comparativa",
        "E com publicação e assinatura (Kafka)?",
        "A hipótese do curso",
        "Conclusão",
        "O que isto não mostra",
        "Como refazer",
    ]
    assert "NOT_MEASURED" not in text
    assert "nan" not in re.findall(r"\w+", text)
    assert "None" not in re.findall(r"\w+", text)


def test_cada_figura_existe_e_e_citada(written: Path) -> None:
    """Every picture that the Markdown shows is a file, and every file is shown."""
    text = (written / MARKDOWN).read_text("utf-8")
    shown = re.findall(rf"\]\({FIGURES}/([\w-]+\.svg)\)", text)
    assert sorted(shown) == sorted(path.name for path in (written / FIGURES).iterdir())
    assert len(shown) == len(set(shown)) > 20
    for name in shown:
        assert (written / FIGURES / name).read_text("utf-8").rstrip().endswith("</svg>")


def test_ancoras_internas_existem(written: Path) -> None:
    """Links within the page lead to headings that exist, and no heading is there twice."""
    page = (written / PAGE).read_text("utf-8")
    anchors = re.findall(r'<h\d id="([^"]+)"', page)
    targets = re.findall(r'href="#([^"]+)"', page)
    assert targets
    assert len(anchors) == len(set(anchors))
    assert set(targets) <= set(anchors)


def test_pagina_nao_precisa_de_nada_de_fora(written: Path) -> None:
    """The page loads nothing: no address in any attribute that fetches, and a policy forbids it."""
    page = (written / PAGE).read_text("utf-8")
    body = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert "default-src 'none'" in body
    assert not re.search(r'(?:src|href|data|action)="(?!#)', body)
    assert not re.search(r"url\(|@import", body)
    assert "http://" not in re.sub(r'xmlns="http://www.w3.org/2000/svg"', "", body)
    assert len(page.encode()) < 2_000_000


def test_cada_grafico_tem_tabela_e_comando(written: Path) -> None:
    """Behind every plot stand its data as a table and the commands that made it."""
    page = (written / PAGE).read_text("utf-8")
    figures = re.findall(r'<figure data-chart="[^"]+">.*?</figure>', page, re.DOTALL)
    assert len(figures) > 10
    for figure in figures:
        assert "<table" in figure
        assert "python -m loadgen.report" in figure
        assert "python run_all.py" in figure
        assert "python -m loadgen.study --only" in figure
        chart = msgspec.json.decode(re.search(r"json\">(.*?)</script>", figure, re.DOTALL)[1])
        assert chart["parts"]


def test_biblioteca_e_a_declarada() -> None:
    """The vendored files are those whose sums, versions and licences their page declares."""
    vendor = ROOT / "assets" / "vendor"
    table = (vendor / "README.md").read_text("utf-8")
    for name in LIBRARIES:
        folder, _, file = name.partition("/")
        row = next(line for line in table.splitlines() if f"`{folder}/{file}`" in line)
        content = (vendor / name).read_bytes()
        assert sha256(content).hexdigest() in row
        version = re.search(r"\| (\d+\.\d+\.\d+) \|", row)
        assert version is not None
        assert version[1].encode() in content[:200]
        assert (vendor / folder / "LICENSE").is_file()


def test_numeros_vem_dos_dados(quick: Path) -> None:
    """Slower data give another report: the figures of one are not in the other."""
    _, before = report(quick)

    def slower(run: r.RunRecord) -> r.RunRecord:
        assert run.result is not None
        spent = {name: r.Spent(9.75, 512.0) for name in run.spent}
        steady = msgspec.structs.replace(run.result.steady, throughput_per_s=3.21)
        latency = msgspec.structs.replace(run.result.latency_ms, p50=4_321.0, p99=8_760.0)
        result = msgspec.structs.replace(run.result, steady=steady, latency_ms=latency)
        return msgspec.structs.replace(run, result=result, spent=spent, bytes_per_order=77_700.0)

    for run_id in store.finished(quick):
        if store.read_run(quick, run_id).cell.arm == "http":
            rewrite(quick, run_id, slower)
    _, after = report(quick)
    for figure in ("3,21", "4,32 s", "8,76 s", "77,7", "512"):
        assert figure not in before, figure
        assert figure in after, figure


def test_conjunto_rapido_diz_o_que_nao_mede(quick: Path) -> None:
    """With one load and nothing else the report says that knees, fits and faults were not measured."""
    complete, text = report(quick)
    assert complete
    assert "Objetivo: não medido neste conjunto" in text
    assert "Nenhum ajuste: ele precisa de 6 cargas" in text
    assert "Este conjunto não injeta falhas" in text
    assert "Foi medida uma só carga, 64 clientes simultâneos" in text
    assert "seus intervalos são só indicativos" in text


def test_resultado_parcial_diz_o_que_falta(quick: Path) -> None:
    """Missing, failed and invalid runs are counted, told, and kept out of the figures."""
    ids = sorted(store.finished(quick))
    store.discard(quick, ids[0])
    rewrite(quick, ids[1], lambda run: msgspec.structs.replace(
        run, status="failed", reasons=("the arm did not start",), result=None, audit=None))  # fmt: skip
    rewrite(quick, ids[4], lambda run: msgspec.structs.replace(
        run, status="invalid", reasons=("loop lag",)))  # fmt: skip
    manifest_with(quick, complete=False)
    complete, text = report(quick)
    assert not complete
    assert "9 de 11 execuções são válidas; 1 é inválida; 1 falhou; 1 ainda não foi feita" in text
    assert "the arm did not start" in text
    assert "loop lag" in text
    assert "(n = 2, sem intervalo)" in text
    assert "1 execução foi posta de lado e feita de novo" in text


def test_cadeia_nua_nao_se_audita(tmp_path: Path) -> None:
    """The bare chain has nothing to audit: its runs are not counted as unaudited, others are."""
    plan = Study(name="nua", experiments=(
        Curve(name="g", arms=("grpc", "bare-grpc"), repetitions=1, concurrency=(64,)),))  # fmt: skip
    directory = make_results(tmp_path / "nua", plan=plan, orders_a_run=40)
    ids = {store.read_run(directory, each).cell.arm: each for each in store.finished(directory)}
    rewrite(directory, ids["bare-grpc"], lambda run: msgspec.structs.replace(run, audit=None))
    assert "não foi auditada" not in report(directory)[1]
    rewrite(directory, ids["grpc"], lambda run: msgspec.structs.replace(run, audit=None))
    assert "Correção desconhecida" in report(directory)[1]


def test_um_braco_so_nao_compara_com_ninguem(tmp_path: Path) -> None:
    """With a single arm there is no table without rows, and the arms that lack are named."""
    alone = Study(
        name="one", experiments=(Curve(name="g", arms=("grpc",), repetitions=3, concurrency=(64,)),)
    )
    directory = make_results(tmp_path / "one", plan=alone, orders_a_run=40)
    _, text = report(directory)
    assert not re.search(r"^\| [-: |]+\|\n(?!\|)", text, re.MULTILINE)
    assert (
        "**Braços que faltam neste conjunto**: REST (laço), gRPC (threads) e REST (threads)" in text
    )


def test_sujo_nao_tem_vazao(quick: Path) -> None:
    """An audit that is not clean is the first thing told, and its run has no figures."""
    ids = sorted(store.finished(quick))
    verdict = r.Verdict(clean=False, orders={"enviado": 9}, rules=40, total=2, violations=("x",))
    rewrite(quick, ids[0], lambda run: msgspec.structs.replace(
        run, status="invalid", reasons=("audit",), audit=verdict))  # fmt: skip
    _, text = report(quick)
    assert "**Incorreto em 1 execução.** A auditoria achou 2 violações" in text
    assert "**Correto.**" not in text


def test_conjuntos_incompativeis_so_com_aviso(
    quick: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Results of two machines are refused together, and with --mix stand apart under a warning."""
    other = make_results(tmp_path / "other", seed=9, plan=QUICK, orders_a_run=40)
    environment = store.read_manifest(other).environment | {"processor": "outro"}
    manifest_with(other, environment=environment)
    out = tmp_path / "out"
    assert main([str(quick), str(other), "--out", str(out)]) == EXIT_UNUSABLE
    [line] = capsys.readouterr().err.splitlines()
    assert "o processador (made up / outro)" in line
    assert "--mix" in line
    assert not out.exists()
    _, text = report(quick, other, mix=True)
    assert "**Conjuntos diferentes no mesmo relatório.**" in text
    mixed = gather([quick, other], mix=True)
    assert all(len(group.runs) == 3 for group in mixed.groups)
    with pytest.raises(MixedResultsError):
        gather([quick, other])


def test_conjuntos_iguais_se_somam(quick: Path, tmp_path: Path) -> None:
    """Two sittings of one plan on one machine are more repetitions of the same cells."""
    other = make_results(tmp_path / "other", seed=9, plan=QUICK, orders_a_run=40)
    together = gather([quick, other])
    assert not together.differences
    assert all(len(group.believed) == 6 for group in together.groups)
    assert all(group.samples == 3 * 350 + 3 * 40 for group in together.groups)


@pytest.mark.parametrize("kind", ["nowhere", "foreign", "truncated", "older", "empty", "twice"])
def test_recusas_em_uma_linha(
    kind: str, quick: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be read is refused in one line that says what to do, and nothing is written."""
    first = min(store.finished(quick))
    arguments = [str(quick)]
    match kind:
        case "nowhere":
            arguments = [str(tmp_path / "nowhere")]
        case "foreign":
            (tmp_path / "foreign").mkdir()
            (tmp_path / "foreign" / "result.json").write_text("{}")
            arguments = [str(tmp_path / "foreign")]
        case "truncated":
            path = quick / store.RUNS / f"{first}.json"
            path.write_bytes(path.read_bytes()[:100])
        case "older":
            manifest_with(quick, format=r.FORMAT + 1)
        case "empty":
            for run_id in store.finished(quick):
                store.discard(quick, run_id)
        case "twice":
            arguments = [str(quick), str(quick)]
    out = tmp_path / "out"
    if kind == "twice":
        with pytest.raises(SystemExit) as stopped:
            main([*arguments, "--out", str(out)])
        assert stopped.value.code == EXIT_UNUSABLE
    else:
        assert main([*arguments, "--out", str(out)]) == EXIT_UNUSABLE
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert not out.exists()


def test_sem_matplotlib_uma_linha(
    quick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the package that draws, one line says what to install."""
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main([str(quick), "--out", str(tmp_path / "out")]) == EXIT_UNUSABLE
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "pip install -r requirements.txt" in error


def test_relatorio_se_refaz_igual(
    quick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same data give the same files, and an older report's figures go."""
    quickly(monkeypatch)
    manifest_with(quick, complete=False)
    written, out = tmp_path / "once", tmp_path / "again"
    (out / FIGURES).mkdir(parents=True)
    (out / FIGURES / "velha.svg").write_text("<svg></svg>")
    for folder in (written, out):
        assert main([str(quick), "--out", str(folder)]) == EXIT_PARTIAL
    files = sorted(path.relative_to(written) for path in written.rglob("*.*"))
    assert files == sorted(path.relative_to(out) for path in out.rglob("*.*"))
    for name in files:
        assert (out / name).read_bytes() == (written / name).read_bytes(), name


def test_um_milhao_de_pedidos_cabe_no_limite(tmp_path: Path) -> None:
    """A million recorded orders merge into one group: histograms, whatever their number."""
    one = make_results(
        tmp_path / "one",
        plan=Study(name="one", experiments=(
            Curve(name="grid", arms=("grpc",), repetitions=4, payment_waits=(NO_WAIT,),
                  concurrency=(64,)),)),
        orders_a_run=250_000,
    )  # fmt: skip
    [group] = gather([one]).groups
    assert group.samples == 1_000_000
    assert group.spectrum()[-1][0] == 99.99
    assert all(run.result.recording.latency == "" for run in group.runs)
