"""The floor: fair pairs, an honest median, and what makes it invalid."""

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from common import ROOT
from common.contratos import SERVICOS
from loadgen.driver.crew import Crew
from loadgen.floor import cli as floor
from loadgen.floor.report import Pair, Run, summarise
from loadgen.machine import disk
from loadgen.machine.usage import Meter, Used, cpu_seconds
from loadgen.options import EXIT_INVALID
from loadgen.results.result import make_result
from loadgen.testbed import chains
from tests.support.loadgen_support import plan


def side(rate: float, p50: float = 10.0, **changes) -> Run:
    values = {
        "name": "side", "rate_per_s": rate, "p50_ms": p50, "p99_ms": p50, "orders": 100,
        "not_terminal": 0, "cpu_ms": {"generator": 0.2, "pedidos": 0.8}, "generator_share": 0.2,
        "rss_peak_mb": {"pedidos": 50.0}, "invalid_reasons": [], "examples": {},
    }  # fmt: skip
    return Run(**(values | changes))


def floor_of(pairs, **changes):
    given = {"wanted": len(pairs), "memory_disk": None, "options": {}, "environment": {}}
    return summarise("grpc", 100, pairs, **(given | changes))


def test_a_mediana_e_das_razoes_de_cada_par() -> None:
    """Ratios are taken within each pair; the median is of these, not of the rates."""
    pairs = [Pair(side(bare), side(real), None) for bare, real in
             [(100, 90), (200, 100), (50, 40), (1000, 700), (10, 10)]]  # fmt: skip
    result = floor_of(pairs)
    assert result.ratios == [0.9, 0.5, 0.8, 0.7, 1.0]
    assert result.ratio_median == 0.8
    assert result.valid


def test_um_chamador_compara_latencia_com_cadeia_e_seis_gravacoes() -> None:
    """With one caller the floor is the bare median plus the six appends of the same pair."""
    assert Pair(side(0, p50=4.0), side(0, p50=9.0), 2.0).ratio == pytest.approx(1.5)


def test_poucos_pares_disco_em_memoria_e_corrida_invalida_invalidam() -> None:
    """Fewer pairs than five or than asked, a memory disk, or an invalid run make it invalid."""
    good = [Pair(side(100), side(80), None)] * 5
    assert not floor_of(good[:4]).valid
    assert "tmpfs" in floor_of(good, memory_disk="tmpfs").invalid_reasons[0]
    assert "interrupted after 5 of 9" in floor_of(good, wanted=9).invalid_reasons[0]
    bad = Pair(side(100), side(80, invalid_reasons=["the generator was the bottleneck"]), None)
    assert floor_of([*good, bad]).invalid_reasons == [
        "pair 6, side: the generator was the bottleneck"
    ]


@pytest.mark.parametrize("floor_side", [True, False], ids=["floor", "real"])
def test_pedido_sem_resposta_terminal_em_qualquer_lado_invalida(floor_side: bool) -> None:
    """An order left undone on either side makes the comparison invalid, and is counted."""
    undone = side(100, name="undone", orders=50, not_terminal=2)
    pair = Pair(undone, side(80), None) if floor_side else Pair(side(100), undone, None)
    result = floor_of([*[Pair(side(100), side(80), None)] * 4, pair])
    assert not result.valid
    assert result.not_terminal == 2
    assert result.invalid_reasons == ["pair 5, undone: 2 of 50 orders without a terminal answer"]


def test_cadeia_nua_acalma_o_coletor_como_os_servicos() -> None:
    """A bare hop serves with its collector tuned as that of a real service."""
    code = (
        "import asyncio, gc, io, sys\n"
        "from common.runtime.lifecycle import calm_collector\n"
        "from loadgen.testbed import bare\n"
        "async def listen(closing): return 1\n"
        "sys.stdin = io.StringIO('')\n"
        "asyncio.run(bare._serve(listen))\n"
        "bare_chain = gc.get_freeze_count() > 0, gc.get_threshold()\n"
        "calm_collector()\n"
        "assert bare_chain == (True, gc.get_threshold()), bare_chain\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a memory disk")
def test_disco_em_memoria_e_reconhecido() -> None:
    """A directory on a memory file system is told apart from one on a disk."""
    assert disk.memory_disk(Path("/dev/shm")) == "tmpfs"
    assert disk.memory_disk(Path("/proc")) is None


def test_gravacoes_sao_medidas_e_nada_fica_para_tras(tmp_path: Path) -> None:
    """The appends take time, as many rounds as asked, and leave no file."""
    rounds = disk.appends_ms(tmp_path, 5)
    assert len(rounds) == 5
    assert min(rounds) > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["grpc", "http"])
async def test_cadeia_nua_responde_como_a_de_verdade_e_termina_toda(mode: str) -> None:
    """The bare chain answers the same client in the same words, and leaves no process behind."""
    async with chains.bare_chain(mode, (0.0, 0.01)) as chain:
        meter = Meter(chain.pids)
        given = plan(mode=mode, address=chain.address, population=chain.population)
        result = make_result(given, await Crew(given, processes=2).run(), {})
        used = meter.read()
    assert result.outcomes.enviado == 20
    assert result.generator.processes == 2
    run = Run.of("bare", result, used)
    assert run.not_terminal == 0
    assert set(run.cpu_ms) == {"generator", *chain.pids}
    assert all(peak > 5 for peak in run.rss_peak_mb.values())
    assert not any(Path(f"/proc/{pid}").exists() for pid in chain.pids.values())


def test_tempo_de_processador_inclui_os_filhos() -> None:
    """A service that hands its work to a child costs no less; a process that is gone has no figure."""
    work = "sum(range(10_000_000)); print(flush=True); input()"
    parent = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}], check=False)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        spent = cpu_seconds(process.pid)
        alone = psutil.Process(process.pid).cpu_times()
        assert spent > alone.user + alone.system + 0.05
        process.communicate(b"\n")
    assert cpu_seconds(process.pid) is None


async def test_servico_que_acaba_no_meio_invalida() -> None:
    """Without the processor time of a service the sum of all would look too small."""
    async with chains.bare_chain("http", (0.0, 0.0)) as chain:
        given = plan(mode="http", address=chain.address, population=chain.population)
        result = make_result(given, await Crew(given).run(), {})
    run = Run.of("bare", result, {"pedidos": Used(1.0, 1.0), "fiscal": Used(None, None)})
    assert run.cpu_ms["pedidos"] > 0
    assert run.doubts == ["fiscal ended during the run: its CPU is unknown"]


async def test_run_json_de_outra_forma_e_dito(tmp_path: Path, monkeypatch) -> None:
    """A checkout that describes its run in another form is refused by name, not by a traceback."""

    def unread(data_dir: Path) -> None:
        raise ValueError("Object missing required field `supervisor`")

    monkeypatch.setattr(chains, "read_run", unread)
    with pytest.raises(chains.ChainError, match=r"run\.json is of another form: Object missing"):
        async with chains.real_arm("http", (0.0, 0.0), tmp_path):
            pass


def test_dois_checkouts_se_comparam_lado_a_lado(tmp_path: Path) -> None:
    """Both arms live at once, one generator drives them by turns, and every service is measured."""
    out = tmp_path / "floor.json"
    words = [
        "--mode=http", f"--against={ROOT}", "--pairs=2", "--checkouts=30", "--concurrency=5",
        "--warmup=0.3", f"--data-dir={tmp_path / 'dados'}", f"--json={out}",
    ]  # fmt: skip
    assert floor.main(words) == EXIT_INVALID
    found = json.loads(out.read_text())
    assert "2 pairs are too few for a median: 5 are needed" in found["invalid_reasons"]
    for pair in found["pairs"]:
        assert pair["floor"]["name"].startswith("checkout ")
        for side in (pair["floor"], pair["real"]):
            assert set(side["cpu_ms"]) == {"generator", *SERVICOS}
            assert (side["orders"], side["not_terminal"]) == (30, 0)
    assert len(found["cpu_ratios"]) == 2
    assert list((tmp_path / "dados").iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [[], ["--mode", "smtp"], ["--mode", "grpc-threads"], ["--mode", "grpc", "--pairs", "0"],
     ["--mode", "grpc", "--payment-wait", "2:1"], ["--mode", "grpc", "--json", "/no/such/dir/x"],
     ["--mode", "grpc", "--baseline=--panel"], ["--mode", "grpc", "--baseline=--telemetry=no"],
     ["--mode", "grpc", "--against", "0"], ["--mode", "grpc", "--against", "/no/such/checkout"],
     ["--mode", "grpc", "--against", "1", "--baseline=--telemetry=off"]],
)  # fmt: skip
def test_opcoes_erradas_saem_com_dois(options, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong options are a usage error, exit code 2."""
    with pytest.raises(SystemExit) as left:
        floor.main(options)
    assert left.value.code == 2
    assert "error:" in capsys.readouterr().err
