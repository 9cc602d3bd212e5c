"""run_all.py: its command line, and the arms started, driven and stopped whole."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import psutil
import pytest

from common import ROOT
from common.arms import ARMS
from common.contratos import SERVICOS
from common.option_types import WORKERS_MAX
from common.options import OPTIONS, parse_service, settings_as_json
from common.process.planning import plan
from common.process.runfile import read_run
from common.process.work import load_and_audit
from common.settings import Settings
from common.shop.generator import Opcoes, gerar
from common.storage.files import GATEWAY, SALAS, prepare
from common.storage.lock import held
from run_all import _parse as argumentos_de
from tests.support.lancamento import (
    HALT_MAX_S,
    PRAZO_S,
    comando,
    ler_ate,
    processo,
    recusa,
    run_all,
    supervisor_falso,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


# --- The command ---------------------------------------------------------------------------------

SETTINGS = f"--settings={settings_as_json(Settings(servico='pedidos'))}"


@pytest.mark.parametrize(
    ("argumentos", "trecho"),
    [
        ([], "--mode is required"),
        (["--mode", "pombo-correio"], "invalid choice"),
        (["--mode", "grpc", "--history", "x"], "belong to --audit"),
        (["--audit", "--fresh"], "stands alone"),
        (["--audit", "--complete"], "needs --history"),
        (["--mode", "grpc", "--load", "0"], "at least 1"),
        (["--mode", "grpc", "--stock", "3000000000"], "0 to 2147483647"),
        (["--mode", "http", "--stock", str(2**63)], "0 to 2147483647"),
        (["--mode", "grpc", "--workers", "10"], "--workers: of grpc-threads and http-threads only"),
        (
            ["--mode", "http", "--workers", "5", "--storage", "plain"],
            "--workers and --storage: of grpc-threads and http-threads only; http has no workers",
        ),
        (["--mode", "http", "--storage", "shared"], "http has no workers"),
        (["--mode", "grpc-threads", "--loop", "asyncio"], "grpc-threads has no event loop"),
        (["--mode", "http-threads", "--workers", "0"], f"from 1 to {WORKERS_MAX}"),
        (
            ["--mode", "http-threads", "--workers", str(WORKERS_MAX + 1)],
            f"from 1 to {WORKERS_MAX}",
        ),
        (["--mode", "grpc-threads", "--storage", "none"], "invalid choice"),
    ],
)
def test_opcoes_erradas(argumentos: list[str], trecho: str) -> None:
    """Options that make no sense are refused before anything is touched."""
    resultado = run_all(*argumentos)
    assert resultado.returncode == 2
    assert trecho in resultado.stderr
    assert "Traceback" not in resultado.stderr


@pytest.mark.parametrize(
    ("arm", "loop", "workers"), [("grpc", "uvloop", None), ("http-threads", None, 10)]
)
def test_run_json_so_diz_o_que_o_braco_tem(
    arm: str, loop: str | None, workers: int | None, tmp_path: Path
) -> None:
    """An arm on threads names no event loop and one on a loop no workers; defaults are said."""
    dado = argumentos_de(["--mode", arm, f"--data-dir={tmp_path}"]).given
    lancado = plan(Settings(servico="", mode=arm, **dado), {}, None, 0.0)
    assert (lancado.run.loop, lancado.run.workers, lancado.run.storage) == (loop, workers, "shared")


def test_a_service_is_given_the_options_of_the_run(tmp_path: Path) -> None:
    """Each option that was given is in the settings of every service, with its own port."""
    # A path need not be UTF-8.
    data_dir = tmp_path / os.fsdecode(b"dados-\xff")
    given = {
        "data-dir": data_dir, "shop": tmp_path / "loja.db", "seed": 7, "payment-latency": "0.1:0.2",
        "payment-approval": 0.5, "stock": 3, "in-flight-max": 9, "active-max": 8,
        "sweep-interval": 2, "give-up-age": 60, "circuit-breaker": "off",
        "failpoints": tmp_path / "falhas", "allow-host": "loja.example", "stats": "on",
        "telemetry": "off", "trace-share": 1, "workers": 5, "storage": "plain",
    }  # fmt: skip
    assert set(given) == {option.flag for option in OPTIONS.values()} - {"loop"}
    args = argumentos_de(["--mode=grpc-threads", *(f"--{k}={v}" for k, v in given.items())])
    settings = Settings(servico="", mode="grpc-threads", chain_token="segredo", **args.given)
    addresses = {nome: f"127.0.0.1:{7000 + i}" for i, nome in enumerate(SERVICOS)}
    command = plan(settings, addresses, addresses, 0.0).command("fiscal")
    assert "segredo" not in " ".join(command)
    assert parse_service("grpc-threads", command[-2:]) == Settings(
        servico="fiscal", data_dir=data_dir, shop=tmp_path / "loja.db", port=7003,
        metrics_port=7003, addresses=addresses, mode="grpc-threads", exit_with_parent=True,
        seed=7, payment_latency=(0.1, 0.2), payment_approval=0.5, stock=3, in_flight_max=9,
        active_max=8, sweep_interval_s=2.0, give_up_age_s=60.0, circuit_breaker=False,
        failpoints=tmp_path / "falhas", allow_host=("loja.example",), stats=True,
        telemetry=False, trace_share=1.0, workers=5, storage="plain",
    )  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [["--settings=pombo"], ["--settings={}"], ["--seed=1", SETTINGS], [SETTINGS, "--seed=1"]],
)
def test_wrong_settings_are_one_refusal(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """What is no settings, or comes with an option beside them, is refused before anything starts."""
    with pytest.raises(SystemExit) as left:
        parse_service("http", ["fiscal", *wrong])
    assert left.value.code == 2
    assert "--settings" in capsys.readouterr().err


def test_porta_ocupada_e_uma_linha(tmp_path: Path) -> None:
    """A taken port is named with its service and the way out, and no data is made or removed."""
    (tmp_path / "pedidos.db").write_text("precioso")
    with closing(socket.create_server(("127.0.0.1", 0))) as ocupada:
        porta = ocupada.getsockname()[1]
        linha = recusa(
            *("--mode", "http", f"--base-port={porta}", "--fresh"),
            *("--data-dir", tmp_path, "--shop", tmp_path / "loja.db"),
        )
    assert f"port {porta} (pedidos) is taken" in linha
    assert "--base-port" in linha
    assert (tmp_path / "pedidos.db").read_text() == "precioso"


def test_segunda_instancia_e_recusada_e_a_primeira_nao_percebe(tmp_path: Path) -> None:
    """A second instance on the same data, --fresh or not, is one line; the first runs on."""
    with processo(*supervisor_falso(tmp_path)) as primeira:
        ler_ate(primeira, "ready: grpc")
        antes = read_run(tmp_path)
        for mais in ((), ("--fresh",)):
            linha = recusa("--mode", "grpc", "--base-port=0", "--data-dir", tmp_path, *mais)
            assert f"in use by process {primeira.pid}" in linha
        assert read_run(tmp_path) == antes
        primeira.terminate()
        assert "restarting" not in primeira.stdout.read()
        assert primeira.wait(PRAZO_S) == 0


def test_sem_pacote_nenhum_e_uma_linha() -> None:
    """Where nothing was installed the command still says what to do, in one line."""
    resultado = subprocess.run(
        [sys.executable, "-S", ROOT / "run_all.py", "--mode", "grpc"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert resultado.returncode == 2
    assert resultado.stderr == (
        "run_all.py: missing msgspec: run pip install -r requirements.txt\n"
    )


def test_auditoria_sem_dados_e_uma_linha(tmp_path: Path) -> None:
    """Auditing a directory without data is refused in one line."""
    recusa("--audit", "--data-dir", tmp_path / "nada")


async def test_carga_que_falha_nao_deixa_o_resultado_de_outra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an earlier load left is gone before the next begins, whatever becomes of this one."""
    for nome in ("history.jsonl", "load.json"):
        (tmp_path / nome).write_text("{}")
    comandos: list[list[str]] = []

    async def falhar(comando: list[str]) -> int:
        comandos.append(comando)
        assert not (tmp_path / "load.json").exists()
        assert not (tmp_path / "history.jsonl").exists()
        return 1

    monkeypatch.setattr("common.process.work.run_errand", falhar)
    settings = Settings(servico="", data_dir=tmp_path, stock=1, seed=1)
    assert await load_and_audit(settings, 1, complete=True)() == 1
    assert len(comandos) == 2


@pytest.mark.parametrize("fresh", [True, False])
def test_a_shop_that_cannot_be_imported_is_one_line(tmp_path: Path, *, fresh: bool) -> None:
    """No service starts on it, so that no later customer gets the number of its stray parcel."""
    loja, dados = tmp_path / "loja.db", tmp_path / "dados"
    gerar(loja, Opcoes(clientes=2, produtos=2, pedidos=100))
    with closing(sqlite3.connect(loja)) as con, con:
        con.execute("INSERT INTO envios VALUES (999, 101, 999, NULL, 'BR1PY', 'enviado')")
    mais = ["--fresh"] if fresh else []
    assert "envios has pedido_id 101, which is not in pedidos" in recusa(
        *comando("http", dados, *mais)
    )
    assert not list(dados.glob("*.db"))


# --- The arms, whole ------------------------------------------------------------------------------


@pytest.mark.parametrize("arm", ARMS)
def test_braco_inteiro_comeca_diz_e_para(arm: str, tmp_path: Path) -> None:
    """Six services start, are in run.json, stop when told and leave nothing; --stock comes once."""
    dados = tmp_path / "dados"
    with processo(
        sys.executable, "run_all.py", *map(str, comando(arm, dados, "--stock=7"))
    ) as corrente:
        saida = ler_ate(corrente, "ready: ")
        assert "made the shop" in saida
        run = read_run(dados)
        assert (run.mode, run.stock, run.supervisor) == (arm, 7, corrente.pid)
        assert list(run.services) == list(SERVICOS)
        for servico, onde in run.services.items():
            assert f"{servico:<10}  {onde.address}" in saida
            host, _, porta = onde.address.rpartition(":")
            socket.create_connection((host, int(porta)), timeout=PRAZO_S).close()
        filhos = psutil.Process(corrente.pid).children(recursive=True)
        inicio = time.monotonic()
        corrente.send_signal(signal.SIGINT)
        assert corrente.wait(PRAZO_S) == 0
        assert time.monotonic() - inicio < HALT_MAX_S
    assert not any(filho.is_running() for filho in filhos)
    assert not (dados / "run.json").exists()
    assert "--fresh" in recusa(*comando(arm, dados, "--stock=8"))


@pytest.mark.parametrize(
    ("arm", "mais"), [("http", ()), ("grpc-threads", ("--workers=5", "--storage=plain"))]
)
def test_carga_completa_e_auditada(arm: str, mais: tuple[str, ...], tmp_path: Path) -> None:
    """--load starts, drives, audits with the history and stops; 0 means valid and clean."""
    resultado = run_all(
        *comando(arm, tmp_path / "dados", "--stock=1000", "--payment-latency=0", "--load=20", *mais)
    )
    assert resultado.returncode == 0, resultado
    assert "load valid, audit clean" in resultado.stdout
    assert (tmp_path / "dados" / "history.jsonl").exists()
    assert json.loads((tmp_path / "dados" / "load.json").read_bytes())["sent"] == 20


def ilegivel(dados: Path) -> None:
    """Among the files of nobody yet, one that is no database."""
    (dados / "fiscal.db").write_text("this is not a database" * 100)


def mais_novo(dados: Path) -> None:
    """The gateway's books, which the program looks at last, are of another version."""
    with closing(sqlite3.connect(prepare(dados, GATEWAY, None))) as con:
        con.execute("UPDATE meta SET valor = '2' WHERE chave = 'versao'")
        con.commit()


def meio_importado(dados: Path) -> None:
    """One service has imported a shop that is not there any more; the others have yet to import."""
    loja = dados.parent / "sumida.db"
    gerar(loja, Opcoes(clientes=1, produtos=1, pedidos=1, semente=2))
    prepare(dados, SALAS["catalogo"], loja)
    loja.unlink()


@pytest.mark.parametrize(
    ("estrago", "arquivo", "remedio"),
    [
        (ilegivel, "fiscal.db", "begin anew with --fresh"),
        (mais_novo, "gateway.db", "use the program that wrote it, or begin anew with --fresh"),
        (meio_importado, "catalogo.db", "name that with --shop"),
    ],
)
def test_banco_que_nao_serve_e_uma_linha_e_nada_comeca(
    tmp_path: Path, estrago: Callable[[Path], None], arquivo: str, remedio: str
) -> None:
    """One unusable database refuses the start before any other is made: one line, nothing touched."""
    dados = tmp_path / "dados"
    dados.mkdir()
    estrago(dados)
    antes = (dados / arquivo).read_bytes()
    linha = recusa(*comando("http", dados))
    assert str(dados / arquivo) in linha
    assert remedio in linha
    assert {path.name for path in dados.iterdir() if path.suffix != ".lock"} == {arquivo}
    assert (dados / arquivo).read_bytes() == antes
    assert not (tmp_path / "loja.db").exists()


def test_servico_avulso_vivo_e_uma_linha_e_nada_comeca(tmp_path: Path) -> None:
    """A single service that owns its database refuses the start of all six."""
    dados = tmp_path / "dados"
    dados.mkdir()
    prepare(dados, GATEWAY, None)
    with held(dados / "estoque.lock", dados / "estoque.db"):
        linha = recusa(*comando("grpc", dados))
    assert f"estoque.db is in use by process {os.getpid()}: stop that instance" in linha
    assert {path.name for path in dados.iterdir() if path.suffix != ".lock"} == {"gateway.db"}
    assert not (tmp_path / "loja.db").exists()
