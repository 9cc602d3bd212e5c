"""The study as a command: wrong options, what is there already, and a real one that is interrupted."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec
import psutil
import pytest

from common import ROOT
from loadgen.study import cli
from loadgen.study.design.cells import tasks
from loadgen.study.execution.campaign import begin
from loadgen.study.records import store
from loadgen.study.records.plan import NO_WAIT, Curve, Study

# --- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "name a study: --quick, --standard, --full"),
        (["--plan", "missing.toml"], "missing.toml: No such file or directory"),
        (["--resume", "nowhere"], "nowhere is not a results directory"),
        (["--show", "nowhere"], "nowhere is not a results directory"),
        (["--compare", "nowhere", "neither"], "nowhere is not a results directory"),
        (["--only", "x", "--from", "nowhere"], "nowhere is not a results directory"),
    ],
)
def test_opcoes_erradas_sao_uma_linha(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be done leaves with 2 and one line on standard error."""
    assert cli.main(options) == cli.EXIT_UNUSABLE
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_resultados_existentes_nao_sao_sobrescritos(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A directory that holds a study is not begun anew; the line says how to go on with it."""
    (plan := tmp_path / "plan.json").write_bytes(msgspec.json.encode(TINY))
    begin(tmp_path, TINY, "command")
    assert cli.main(["--plan", str(plan), "--out", str(tmp_path)]) == cli.EXIT_UNUSABLE
    assert f"--resume {tmp_path}" in capsys.readouterr().err


def test_lista_nao_roda_nada(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--list names each run and the time they take together, and makes nothing."""
    (plan := tmp_path / "plan.json").write_bytes(msgspec.json.encode(TINY))
    assert cli.main(["--plan", str(plan), "--list"]) == cli.EXIT_OK
    said = capsys.readouterr().out
    for task in tasks(TINY):
        assert task.id in said
    assert "2 runs and 0 searches, about" in said
    assert list(tmp_path.iterdir()) == [plan]


TINY: Final = Study(
    name="tiny",
    experiments=(
        Curve(name="arms", arms=("grpc", "http"), repetitions=1, concurrency=(8,),
              payment_waits=(NO_WAIT,)),
    ),
    warmup_s=0.3, seconds=1.0,
)  # fmt: skip


def test_estudo_real_interrompido_e_retomado(tmp_path: Path) -> None:
    """A real study killed by an interrupt leaves no process, keeps its runs and is resumed to the end."""
    (plan := tmp_path / "plan.json").write_bytes(msgspec.json.encode(TINY))
    out = tmp_path / "results"
    command = [sys.executable, "-m", "loadgen.study"]
    process = subprocess.Popen(
        [*command, "--plan", str(plan), "--out", str(out)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    line = ""
    for line in process.stderr:
        if line.startswith("1/2"):
            break
    assert line.startswith("1/2"), line
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == cli.EXIT_INTERRUPTED
    assert f"--resume {out}" in said
    assert not [
        each
        for each in psutil.process_iter(["cmdline"])
        if str(out) in " ".join(each.info["cmdline"] or [])
    ]
    kept = {path.name: path.stat().st_mtime_ns for path in (out / "runs").iterdir()}
    assert len(store.finished(out)) == 1
    ended = subprocess.run(
        [*command, "--resume", str(out)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    runs = list(store.read_runs(out))
    # A machine without a disk, or one that does something else too, is not this test's matter.
    surroundings = ("where a commit costs nothing", "other programs kept")
    for words in (each for run in runs for each in run.reasons):
        assert any(known in words for known in surroundings), words
    good = all(run.status == "ok" for run in runs)
    assert ended.returncode == (cli.EXIT_OK if good else cli.EXIT_NOT_ALL), ended.stderr
    assert len(runs) == 2
    for name, instant in kept.items():
        assert (out / "runs" / name).stat().st_mtime_ns == instant
    for run in runs:
        assert run.audit is not None
        assert run.audit.clean
        assert run.result is not None
        assert run.result.completed > 0
        assert run.cpu_ms_per_order
        assert run.flows["pedidos"].in_flight > 0
        assert run.others_cores is not None
        # What others send on loopback meanwhile is taken off: beside other tests all of it may be.
        assert run.bytes_per_order is not None
        assert run.bytes_per_order >= 0
        assert run.resources["estoque"].wal_kb[-1]
        assert run.commands[-1] == "python run_all.py --audit --data-dir=dados --settled"
