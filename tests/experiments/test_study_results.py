"""A results directory: what is written is read again, and what cannot be read is said in a line."""

import gzip
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.study.execution.campaign import resume
from loadgen.study.records import record as r
from loadgen.study.records import store
from tests.support.made_results import make_results
from tests.support.made_runs import Made, cell_of


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_results(tmp_path_factory.mktemp("results"), only=["noise"], repetitions=1)


def copy_of(results: Path, to: Path) -> Path:
    for path in results.rglob("*"):
        if path.is_file():
            into = to / path.relative_to(results)
            into.parent.mkdir(parents=True, exist_ok=True)
            into.write_bytes(path.read_bytes())
    return to


def test_corrida_volta_igual(tmp_path: Path) -> None:
    """A run that is written is read again with every field, its recording and its series."""
    kept: list[r.RunRecord] = []
    made = Made(tmp_path)
    made.keep = kept.append  # type: ignore[method-assign]
    made.run(cell_of("x", "grpc-threads", (0.5, 1.5), concurrency=9, workers=10), 2, 50.0, 180.0)
    store.write_run(tmp_path, kept[0])
    assert store.read_run(tmp_path, kept[0].id) == kept[0]
    assert store.finished(tmp_path) == {kept[0].id}


def test_corrida_que_falhou_volta_igual(tmp_path: Path) -> None:
    """A run without any result is kept too, with why."""
    failed = r.RunRecord(
        format=r.FORMAT, id="x", cell=cell_of("x", "grpc", (0, 0), concurrency=1), repetition=1,
        seed=1, status="failed", reasons=("the grpc arm did not start",), started="", took_s=0.5,
        commands=("python run_all.py",), result=None, audit=None,
    )  # fmt: skip
    store.write_run(tmp_path, failed)
    assert store.read_run(tmp_path, "x") == failed
    assert failed.throughput_per_s is None


def test_estudo_feito_le_se_todo(results: Path) -> None:
    """The made-up results hold every run that their manifest names, with attribution and audits."""
    manifest, runs = store.read_manifest(results), list(store.read_runs(results))
    assert [run.id for run in runs] == list(manifest.order)
    assert manifest.complete
    for run in runs:
        assert run.status == "ok"
        assert run.audit is not None
        assert run.audit.clean
        assert run.result is not None
        assert run.result.attribution is not None
        assert run.result.attribution.median is not None
        assert run.resources["estoque"].wal_kb
        assert run.cpu_ms_per_order is not None


def test_sem_auditoria_limpa_nao_ha_vazao(results: Path) -> None:
    """A run that is invalid tells no throughput, though its figures are kept."""
    run = store.read_run(results, store.read_manifest(results).order[0])
    assert run.throughput_per_s
    assert msgspec.structs.replace(run, status="invalid").throughput_per_s is None


@pytest.mark.parametrize("name", ["manifest.json", "run", "raw"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_arquivo_truncado_e_dito(results: Path, tmp_path: Path, name: str, share: float) -> None:
    """A file that was cut off gives one line with its name and what to do."""
    directory = copy_of(results, tmp_path)
    run_id = store.read_manifest(results).order[0]
    files = {"run": f"runs/{run_id}.json", "raw": f"runs/{run_id}.raw.json.gz"}
    path = directory / files.get(name, name)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(store.ResultsError, match="truncated or damaged") as error:
        list(store.read_runs(directory))
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)


@given(cut=st.integers(0, 20_000))
def test_nenhum_corte_passa_por_inteiro(results: Path, cut: int) -> None:
    """Wherever a run's file is cut off, it is never read as something else."""
    run_id = store.read_manifest(results).order[0]
    path = results / "runs" / f"{run_id}.json"
    content = path.read_bytes()
    other = results / "runs" / ".cut.json"
    other.write_bytes(content[: min(cut, len(content) - 2)])
    with pytest.raises(store.ResultsError):
        store.read_run(results, ".cut")


def test_outra_versao_e_dita(results: Path, tmp_path: Path) -> None:
    """Another format is refused before its fields are looked at."""
    directory = copy_of(results, tmp_path)
    path = directory / store.MANIFEST
    path.write_bytes(msgspec.json.encode({"format": 99, "surprise": True}))
    with pytest.raises(store.ResultsError, match="format 99 and this version reads"):
        store.read_manifest(directory)


def test_outra_versao_dos_dados_crus_e_dita(results: Path, tmp_path: Path) -> None:
    """The raw data of another format are refused too."""
    directory = copy_of(results, tmp_path)
    run_id = store.read_manifest(results).order[0]
    path = directory / "runs" / f"{run_id}.raw.json.gz"
    raw = json.loads(gzip.decompress(path.read_bytes()))
    path.write_bytes(gzip.compress(json.dumps(raw | {"format": 0}).encode()))
    with pytest.raises(store.ResultsError, match="format 0"):
        store.read_run(directory, run_id)


def test_dados_crus_que_faltam_sao_ditos(results: Path, tmp_path: Path) -> None:
    """A run whose raw data are gone is refused with their name."""
    directory = copy_of(results, tmp_path)
    run_id = store.read_manifest(results).order[0]
    (directory / "runs" / f"{run_id}.raw.json.gz").unlink()
    with pytest.raises(store.ResultsError, match="No such file"):
        store.read_run(directory, run_id)


def test_campo_de_outro_tipo_e_dito(results: Path, tmp_path: Path) -> None:
    """A field of another type is damage, and the line says which."""
    directory = copy_of(results, tmp_path)
    run_id = store.read_manifest(results).order[0]
    path = directory / "runs" / f"{run_id}.json"
    path.write_text(path.read_text().replace('"repetition": 1', '"repetition": "one"'))
    with pytest.raises(store.ResultsError, match=r"\$\.repetition"):
        store.read_run(directory, run_id)


def test_outro_diretorio_nao_e_resultado(tmp_path: Path) -> None:
    """A directory without a manifest is told as what it is not."""
    with pytest.raises(store.ResultsError, match="is not a results directory"):
        store.read_manifest(tmp_path)


def test_metade_de_uma_escrita_nao_e_uma_corrida(results: Path, tmp_path: Path) -> None:
    """Raw data alone, or a file that was not yet renamed, are no complete run."""
    directory = copy_of(results, tmp_path)
    first, second = store.read_manifest(results).order[:2]
    run = directory / "runs" / f"{first}.json"
    run.rename(run.with_name(f".{run.name}.tmp"))
    assert store.finished(directory) == {second}
    assert [each.id for each in store.read_runs(directory)] == [second]


@pytest.mark.parametrize("name", ["run", "raw"])
def test_o_conselho_de_um_arquivo_truncado_serve(results: Path, tmp_path: Path, name: str) -> None:
    """Whoever deletes what the line says has a study that goes on, and results that can be read."""
    directory = copy_of(results, tmp_path)
    first, second = store.read_manifest(results).order[:2]
    files = {"run": f"runs/{first}.json", "raw": f"runs/{first}.raw.json.gz"}
    path = directory / files[name]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(store.ResultsError) as error:
        list(store.read_runs(directory))
    words = str(error.value)
    Path(words.partition("delete ")[2].partition(" and ")[0]).unlink()
    assert words.endswith(f"--resume {directory}")
    assert store.finished(directory) == {second}
    assert [run.id for run in store.read_runs(directory)] == [second]


def test_corrida_sem_dados_crus_e_feita_de_novo(results: Path, tmp_path: Path) -> None:
    """A record whose raw data were deleted is not complete, and so is made again."""
    directory = copy_of(results, tmp_path)
    first, second = store.read_manifest(results).order[:2]
    (directory / "runs" / f"{first}.raw.json.gz").unlink()
    assert store.finished(directory) == {second}


def test_o_que_e_posto_de_lado_fica(results: Path, tmp_path: Path) -> None:
    """A run that is discarded, twice even, is kept aside whole and is counted."""
    directory = copy_of(results, tmp_path)
    first, second = store.read_manifest(results).order[:2]
    run = store.read_run(directory, first)
    store.discard(directory, first)
    store.write_run(directory, run)
    store.discard(directory, first)
    assert store.discarded(directory) == (first, first)
    assert store.finished(directory) == {second}
    assert len(list((directory / "runs" / "discarded").iterdir())) == 4


def test_de_novo_esquece_so_o_que_nao_vale(results: Path, tmp_path: Path) -> None:
    """Going on with --again forgets invalid and failed runs, and no valid one."""
    directory = copy_of(results, tmp_path)
    first, second = store.read_manifest(results).order[:2]
    bad = msgspec.structs.replace(store.read_run(directory, first), status="invalid")
    store.write_run(directory, bad)
    resume(directory, "command", elsewhere=True)
    assert store.finished(directory) == {first, second}
    manifest = resume(directory, "command", again=True, elsewhere=True)
    assert store.finished(directory) == {second}
    assert len(manifest.sittings) == 3
    assert not manifest.complete
