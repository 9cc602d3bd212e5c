"""The command: its options, its limits, and one clear line when there is nothing to drive."""

import socket
from pathlib import Path

import msgspec
import pytest

from common.runfile import Run, ServiceRun, supervising, write_run
from loadgen import cli, limits, options
from loadgen.arms import dial
from loadgen.environment import environment
from loadgen.live import Progress
from loadgen.recorder import Live


def test_nada_roda_e_dito_em_uma_linha(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """When nothing runs, one line says how to start it, and the exit code is 2."""
    assert cli.main(["--concurrency", "1", "--data-dir", str(tmp_path)]) == 2
    line = capsys.readouterr().err
    assert "python run_all.py --mode grpc" in line
    assert line.count("\n") == 1


def run_on(data_dir: Path, services: dict[str, ServiceRun]) -> None:
    write_run(
        data_dir,
        Run(
            mode="http", supervisor=1, shop="", seed=1, payment_latency=(0.0, 0.0),
            payment_approval=1.0, stock=None, in_flight_max=1, active_max=1, loop="uvloop",
            services=services,
        ),
    )  # fmt: skip


def test_braco_que_nao_responde_e_dito_em_uma_linha(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An arm whose services do not answer is named in one line, with exit code 2."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        service = ServiceRun(address=address, pid=1, ready=True)
        with supervising(tmp_path):
            run_on(tmp_path, {"pedidos": service, "catalogo": service})
            assert cli.main(["--concurrency", "1", "--data-dir", str(tmp_path)]) == 2
    line = capsys.readouterr().err
    assert f"http at {address} does not answer" in line
    assert line.count("\n") == 1


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}"])
def test_run_json_danificado_e_dito_em_uma_linha(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    """A damaged run.json is named in one line, with exit code 2."""
    with supervising(tmp_path):
        (tmp_path / "run.json").write_bytes(content)
        assert cli.main(["--concurrency", "1", "--data-dir", str(tmp_path)]) == 2
    line = capsys.readouterr().err
    assert "run.json cannot be read" in line
    assert line.count("\n") == 1


def test_braco_que_ainda_comeca_e_dito_em_uma_linha(tmp_path: Path) -> None:
    """An arm without its services yet is not driven."""
    with supervising(tmp_path):
        run_on(tmp_path, {})
        with pytest.raises(cli.NothingRunsError, match="still starting"):
            cli.running_arm(tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--concurrency", "0"],
        ["--concurrency", "-3"],
        ["--concurrency", "many"],
        ["--concurrency", "1", "--checkouts", "0"],
        ["--concurrency", "1", "--checkouts", "5", "--duration", "5"],
        ["--concurrency", "1", "--duration", "0"],
        ["--concurrency", "1", "--duration", "nan"],
        ["--concurrency", "1", "--duration", "5", "--warmup", "5"],
        ["--concurrency", "1", "--warmup", "-1"],
        ["--concurrency", "1", "--timeout", "0"],
        ["--concurrency", "1", "--processes", "0"],
        ["--concurrency", "1", "--items", "0:5"],
        ["--concurrency", "1", "--items", "5:1"],
        ["--concurrency", "1", "--items", "1:51"],
        ["--concurrency", "1", "--seed", "x"],
        ["--concurrency", "1", "--json", "/no/such/directory/file"],
        ["--concurrency", "1", "--history", "/no/such/directory/file"],
    ],
)
def test_opcoes_erradas_saem_com_dois(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong options are a usage error, exit code 2, before anything is sent."""
    with pytest.raises(SystemExit) as left:
        cli.main(options)
    assert left.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_ajuda_explica_os_codigos_de_saida(capsys: pytest.CaptureFixture[str]) -> None:
    """--help says what each exit code means."""
    with pytest.raises(SystemExit) as left:
        cli.main(["--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    assert all(f"  {code}  " in text for code in (0, 1, 2, 3))


def test_faixa_de_itens_vai_ate_o_limite_do_pedido() -> None:
    """As many lines as an order may have are accepted, and a single number is a range of one."""
    assert options.item_range("1:50") == (1, 50)
    assert options.item_range("3") == (3, 3)


def test_limites_da_maquina_sao_ditos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too few files or ports for the callers: as many connections as go, and a sentence each."""
    ports = tmp_path / "range"
    ports.write_text("1000\t1099\n")
    monkeypatch.setattr(limits, "raise_open_files", lambda: 300)
    assert limits.raise_limits("grpc", 10_000, ports) == (1, [])
    assert limits.raise_limits("http", 100, ports) == (100, [])
    allowed, problems = limits.raise_limits("http", 10_000, ports)
    assert allowed == 100
    assert len(problems) == 2
    assert "ulimit -n" in problems[0]
    assert "ip_local_port_range" in problems[1]
    monkeypatch.setattr(limits, "raise_open_files", lambda: 100 + limits.OUTROS_ARQUIVOS)
    assert limits.raise_limits("http", 100, tmp_path / "none") == (100, [])
    assert limits.raise_limits("http", 101, tmp_path / "none")[0] == 100


def test_modo_desconhecido_e_recusado() -> None:
    """A mode that no client speaks is an error that names the known ones."""
    with pytest.raises(ValueError, match="grpc, http"):
        dial("smtp", "pedidos", "127.0.0.1:1", connections=1)


def test_ambiente_diz_versoes_maquina_e_comando(tmp_path: Path) -> None:
    """A result says with what, where and how it was made."""
    found = environment(tmp_path)
    assert {
        "python",
        "packages",
        "platform",
        "cpu_count",
        "commit",
        "command",
        "filesystem",
    } <= set(found)
    assert found["packages"]["grpcio"]
    assert msgspec.json.encode(found)


def test_progresso_fora_de_um_terminal_sao_linhas(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal each report of progress is one plain line."""
    console = cli.Console(width=200)
    with Progress(console, total=100, duration_s=None) as progress:
        progress.show_run(Live(10, 7, 1, []))
        progress.show_run(Live(20, 17, 1, [5.0, 6.0]))
    first, second = capsys.readouterr().out.splitlines()
    assert "sent 10/100  completed 7  failed 1  in flight 2" in first
    assert "recent p50 ms 6.0" in second
