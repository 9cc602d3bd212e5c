"""The command: its options, its limits, and one clear line when there is nothing to drive."""

import io
import socket
from pathlib import Path

import msgspec
import pytest

from common.process.runfile import Run, ServiceRun, supervising, write_run
from loadgen import cli, options
from loadgen.driver import limits
from loadgen.machine.environment import environment
from loadgen.results.plot import Point, latency_plot
from loadgen.results.progress import Progress
from loadgen.results.recorder import Live
from loadgen.workload.dial import dial


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
        ["--concurrency", "1", "--csv", "/no/such/directory/file"],
        ["--concurrency", "1", "--rate", "5"],
        ["--rate", "0"],
        ["--rate", "-5"],
        ["--rate", "inf"],
        ["--rate", "nan"],
        ["--rate", "5", "--arrival", "bursts"],
        ["--rate", "5", "--duration", "0.01"],
        ["--rate", "5", "--checkouts", "10", "--warmup", "2"],
        ["--rate", "5", "--under-way-max", "0"],
        ["--ramp", "5"],
        ["--ramp", "0:0"],
        ["--ramp", "5:6:7"],
        ["--ramp", "5:50", "--checkouts", "5"],
        ["--ramp", "5:50", "--rate", "5"],
        ["--step", "5"],
        ["--step", "5:0"],
        ["--step", "0:5"],
        ["--step", "5:5,"],
        ["--step", "5:5", "--duration", "5"],
        ["--step", "5:5", "--checkouts", "5"],
        ["--step", "5:5,10:5", "--warmup", "10"],
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
    assert all(f"  {code}  " in text for code in (0, 1, 2, 3, 4))


@pytest.mark.parametrize(
    ("words", "rates", "length_s", "orders"),
    [
        (["--rate", "50"], [(50, 50)], 60, 3_000),
        (["--rate", "50", "--duration", "4"], [(50, 50)], 4, 200),
        (["--rate", "50", "--checkouts", "25"], [(50, 50)], 0.5, 25),
        (["--ramp", "50:500", "--duration", "10"], [(50, 500)], 10, 2_750),
        (["--ramp", "500:0", "--duration", "10"], [(500, 0)], 10, 2_500),
        (["--step", "100:10,0:5,400:2.5"], [(100, 100), (0, 0), (400, 400)], 17.5, 2_000),
    ],
)
def test_opcoes_dizem_o_horario(words: list[str], rates, length_s: float, orders: int) -> None:
    """Each way to ask for an open loop gives its schedule, with its length and its orders."""
    asked = options.loop_of(options.parse([*words, "--arrival", "constant"]))
    assert set(asked) == {"schedule", "under_way_max"}
    schedule = asked["schedule"]
    assert [(each.from_per_s, each.to_per_s) for each in schedule.stretches] == rates
    assert (schedule.length_s, schedule.count) == (length_s, orders)
    assert schedule.arrival == "constant"
    assert options.loop_of(options.parse(words))["schedule"].arrival == "poisson"


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


def test_grafico_mostra_os_percentis_do_ultimo_minuto() -> None:
    """A column a second: full to its p50, on to its p99, empty where nothing ended, to one scale."""
    assert latency_plot([]) == latency_plot([None]) == []
    points = [Point(50.0, 100.0), None, Point(25.0, 25.0), Point(100.0, 100.0)]
    legend, *rows = [line.plain for line in latency_plot(points, rows=4)]
    assert "p50" in legend
    assert "p99" in legend
    assert [row[-4:] for row in rows] == ["█  █", "█  █", "█  █", "█ ██"]
    assert rows[0].split() == ["100", "┤█", "█"]
    assert rows[-1].startswith("      0")
    (_, *lines) = latency_plot(points, rows=4)
    colours = [str(line.spans[0].style) for line in lines]
    assert colours == ["yellow", "yellow", "cyan", "cyan"]
    assert "▄" in latency_plot([Point(1.0, 1.0), Point(0.5, 0.5)], rows=1)[1].plain


def test_progresso_em_um_terminal_tem_o_grafico() -> None:
    """On a terminal the values renew themselves above the plot, with what could not be sent."""
    file = io.StringIO()
    console = cli.Console(width=120, height=30, force_terminal=True, file=file)
    with Progress(console, total=100, duration_s=9.0) as progress:
        progress.show_run(Live(20, 17, 1, [5.0, 6.0], 3))
    text = file.getvalue()
    assert "unsent" in text
    assert "p99 ms" in text
    assert "█" in text


def test_progresso_fora_de_um_terminal_sao_linhas(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal each report of progress is one plain line."""
    console = cli.Console(width=200)
    with Progress(console, total=100, duration_s=None) as progress:
        progress.show_run(Live(10, 7, 1, []))
        progress.show_run(Live(20, 17, 1, [5.0, 6.0]))
    first, second = capsys.readouterr().out.splitlines()
    assert "sent 10/100  completed 7  failed 1  in flight 2" in first
    assert "recent p50 ms 6.0" in second
