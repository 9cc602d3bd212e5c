"""run_all.py: starting, watching, restarting and stopping, on real processes."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager, suppress
from importlib import metadata
from pathlib import Path

import psutil
import pytest
from supervisor_falso import plano

from common.child import python, run_errand
from common.contratos import SERVICOS
from common.database import GATEWAY, SALAS, prepare
from common.lock import InUseError, held
from common.preflight import DATABASES, RefusedError, check_packages, ensure_shop, remove_data
from common.runfile import NotRunningError, Run, read_run, supervising, write_run
from common.settings import TRABALHADORES_MAX
from common.shop_generator import Opcoes, gerar
from common.supervisor import STARTS_MAX, STOP_MAX_S, Supervisor
from run_all import ARMS, _load_and_audit, main
from run_all import _parse as argumentos_de
from run_all import _plan as plano_de

RAIZ = Path(__file__).parent.parent
PRAZO_S = 15.0
PARADA_MAX_S = 5.0


# --- A supervisor inside this process, its services outside ---------------------------------------


class Falas:
    """Collects lines, and lets a test await one."""

    def __init__(self) -> None:
        self.linhas: list[str] = []
        self._nova = asyncio.Event()

    def __call__(self, linha: str) -> None:
        """Take a line."""
        self.linhas.append(linha)
        self._nova.set()

    async def esperar(self, trecho: str) -> str:
        """The first line that contains `trecho`, now or later."""
        async with asyncio.timeout(PRAZO_S):
            while not (achadas := [linha for linha in self.linhas if trecho in linha]):
                self._nova.clear()
                await self._nova.wait()
        return achadas[0]


class Palco:
    """A supervisor that runs: what it says, and its end."""

    def __init__(self, tarefa: asyncio.Task[int], falas: Falas, queixas: Falas) -> None:
        self.tarefa = tarefa
        self.falas = falas
        self.queixas = queixas

    async def fim(self) -> int:
        """Its exit code, once it has ended."""
        return await asyncio.wait_for(self.tarefa, PRAZO_S)

    async def parar(self) -> tuple[int, float]:
        """Tell it to stop; its exit code and how long it took, in seconds."""
        inicio = time.monotonic()
        os.kill(os.getpid(), signal.SIGTERM)
        return await self.fim(), time.monotonic() - inicio


@asynccontextmanager
async def encenar(
    data_dir: Path,
    modo: Callable[[str], str] = lambda _servico: "normal",
    trabalho: Callable[[], Awaitable[int]] | None = None,
) -> AsyncIterator[Palco]:
    """Supervise pretended services for the block; nothing of it outlives the block."""
    falas, queixas = Falas(), Falas()
    antes = set(psutil.Process().children(recursive=True))
    with supervising(data_dir):
        supervisor = Supervisor(plano(data_dir, modo), falas, queixas)
        tarefa = asyncio.create_task(supervisor.run(trabalho))
        try:
            yield Palco(tarefa, falas, queixas)
        finally:
            tarefa.cancel()
            await asyncio.wait({tarefa})
    assert set(psutil.Process().children(recursive=True)) <= antes


async def test_quem_morre_volta_na_mesma_porta_e_run_json_o_diz(tmp_path: Path) -> None:
    """A killed service is started again at once, at its address, and run.json has its new pid."""
    async with encenar(tmp_path) as palco:
        await palco.falas.esperar("ready: grpc, 6 services")
        antes = read_run(tmp_path).services["estoque"]
        inicio = time.monotonic()
        os.kill(antes.pid, signal.SIGKILL)
        assert "SIGKILL" in await palco.falas.esperar("estoque (pid")
        await palco.falas.esperar("estoque is ready again")
        assert time.monotonic() - inicio < 2
        depois = read_run(tmp_path).services["estoque"]
        assert depois.address == antes.address
        assert depois.pid != antes.pid
        assert depois.ready
        assert psutil.pid_exists(depois.pid)
        codigo, duracao_s = await palco.parar()
    assert codigo == 0
    assert duracao_s < PARADA_MAX_S
    assert not (tmp_path / "run.json").exists()


async def test_desiste_de_quem_nunca_fica_pronto(tmp_path: Path) -> None:
    """After several starts in a row that never became ready, one line says so and all stops."""
    modos = dict.fromkeys(SERVICOS, "normal")
    async with encenar(tmp_path, lambda servico: modos[servico]) as palco:
        await palco.falas.esperar("ready: grpc")
        modos["fiscal"] = "quebrado"
        os.kill(read_run(tmp_path).services["fiscal"].pid, signal.SIGKILL)
        await palco.falas.esperar("exit code 7")
        while (fiscal := read_run(tmp_path).services["fiscal"]).pid is not None:
            await asyncio.sleep(0.01)
        assert not fiscal.ready
        assert await palco.fim() == 1
    assert sum("giving up" in linha for linha in palco.queixas.linhas) == 1
    assert sum("says why" in linha for linha in palco.queixas.linhas) == STARTS_MAX
    assert not (tmp_path / "run.json").exists()


async def test_uma_falha_no_inicio_e_tentada_de_novo(tmp_path: Path) -> None:
    """A service that breaks at its first start and not at its second is no reason to stop."""
    modos = {servico: iter(["normal"] * 2) for servico in SERVICOS}
    modos["catalogo"] = iter(["quebrado", "normal"])
    async with encenar(tmp_path, lambda servico: next(modos[servico])) as palco:
        await palco.falas.esperar("catalogo (pid")
        await palco.falas.esperar("ready: grpc")
        codigo, _ = await palco.parar()
    assert codigo == 0


async def test_servico_inutilizavel_no_inicio_para_tudo_com_uma_frase(tmp_path: Path) -> None:
    """When services say at start that they cannot, the first one's sentence is all that is said."""
    modos = {"pagamentos": "inutil", "logistica": "inutil"}
    async with encenar(tmp_path, lambda servico: modos.get(servico, "normal")) as palco:
        assert await palco.fim() == 2
    frases = [linha for linha in palco.queixas.linhas if "potato" in linha]
    assert len(frases) == 1
    assert frases[0].startswith("run_all.py: ")


async def test_pedidos_para_primeiro(tmp_path: Path) -> None:
    """The head of the chain is told, and ends, before the services that its drain needs."""
    async with encenar(tmp_path) as palco:
        await palco.falas.esperar("ready: grpc")
        codigo, duracao_s = await palco.parar()
    avisados = [linha for linha in palco.falas.linhas if linha.endswith("was told")]
    assert avisados[0] == "pedidos    | pedidos was told"
    assert len(avisados) == len(SERVICOS)
    assert codigo == 0
    assert duracao_s < PARADA_MAX_S


async def test_quem_nao_ouve_e_morto_antes_de_cinco_segundos(tmp_path: Path) -> None:
    """Services that ignore SIGTERM, the first of the chain too, do not hold a stop up."""
    surdos = {"pedidos", "fiscal"}
    async with encenar(tmp_path, lambda s: "surdo" if s in surdos else "normal") as palco:
        await palco.falas.esperar("ready: grpc")
        codigo, duracao_s = await palco.parar()
    assert codigo == 0
    assert duracao_s < PARADA_MAX_S
    assert sum("killing it" in linha for linha in palco.queixas.linhas) == len(surdos)


async def test_segundo_sinal_mata_logo(tmp_path: Path) -> None:
    """A second signal does not wait for anyone, and the exit code says so."""
    async with encenar(tmp_path, lambda _servico: "surdo") as palco:
        await palco.falas.esperar("ready: grpc")
        os.kill(os.getpid(), signal.SIGINT)
        await palco.falas.esperar("pedidos was told")
        codigo, duracao_s = await palco.parar()
    assert codigo == 1
    assert duracao_s < STOP_MAX_S - 1


async def test_o_que_um_servico_diz_e_passado_adiante(tmp_path: Path) -> None:
    """What a service writes appears behind its name, what it wrote before it was ready too."""
    async with encenar(tmp_path) as palco:
        await palco.falas.esperar("ready: grpc")
        await palco.queixas.esperar("logistica  | before ready")
        await palco.parar()


async def test_trabalho_termina_a_execucao_com_seu_codigo(tmp_path: Path) -> None:
    """With work to do, the run starts it once all are ready and ends with its exit code."""

    async def trabalho() -> int:
        assert all(servico.ready for servico in read_run(tmp_path).services.values())
        return await run_errand(python("-I", "-S", "-c", "raise SystemExit(5)"))

    async with encenar(tmp_path, trabalho=trabalho) as palco:
        assert await palco.fim() == 5


async def test_erro_do_sistema_no_trabalho_e_uma_linha(tmp_path: Path) -> None:
    """An OSError in the work is one line, and the run has failed and stopped in order."""

    async def trabalho() -> int:
        return await run_errand([str(tmp_path / "nao_existe")])

    async with encenar(tmp_path, trabalho=trabalho) as palco:
        assert await palco.fim() == 1
    linhas = [linha for linha in palco.queixas.linhas if linha.startswith("run_all.py: ")]
    assert len(linhas) == 1
    assert "nao_existe" in linhas[0]


async def test_interromper_o_trabalho_para_tudo(tmp_path: Path) -> None:
    """A signal during the work ends the work's processes and the services; the run has failed."""
    pronto = tmp_path / "pronto"
    teimoso = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "time.sleep(60)"
    )

    async def trabalho() -> int:
        return await run_errand(python("-I", "-S", "-c", teimoso, str(pronto)))

    async with encenar(tmp_path, trabalho=trabalho) as palco:
        await palco.falas.esperar("ready: grpc")
        while not pronto.exists():
            await asyncio.sleep(0.01)
        codigo, duracao_s = await palco.parar()
    assert codigo == 1
    assert duracao_s < PARADA_MAX_S


# --- A supervisor that dies ---------------------------------------------------------------------


@contextmanager
def processo(*comando: str) -> Iterator[subprocess.Popen[str]]:
    """A process with its output in a pipe; it and its children end with the block."""
    with subprocess.Popen(
        comando, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=RAIZ
    ) as corrente:
        try:
            yield corrente
        finally:
            if corrente.poll() is None:
                filhos = psutil.Process(corrente.pid).children(recursive=True)
                corrente.kill()
                for filho in filhos:
                    with suppress(psutil.NoSuchProcess):
                        filho.kill()


def ler_ate(corrente: subprocess.Popen[str], trecho: str) -> str:
    """The lines of a process up to the first that contains `trecho`."""
    linhas = []
    for linha in corrente.stdout:
        linhas.append(linha)
        if trecho in linha:
            return "".join(linhas)
    pytest.fail(f"no {trecho!r} in:\n{''.join(linhas)}")


def supervisor_falso(data_dir: Path) -> list[str]:
    return [sys.executable, str(Path(__file__).with_name("supervisor_falso.py")), str(data_dir)]


def test_ninguem_sobrevive_ao_supervisor_morto(tmp_path: Path) -> None:
    """When the supervisor is killed its services end, and nobody believes its run.json."""
    with processo(*supervisor_falso(tmp_path)) as supervisor:
        ler_ate(supervisor, "ready: grpc")
        filhos = [psutil.Process(s.pid) for s in read_run(tmp_path).services.values()]
        supervisor.kill()
        supervisor.wait(PRAZO_S)
        _, vivos = psutil.wait_procs(filhos, timeout=PARADA_MAX_S)
    assert not vivos
    assert (tmp_path / "run.json").exists()
    with pytest.raises(NotRunningError, match="nothing runs on"):
        read_run(tmp_path)
    with supervising(tmp_path):
        assert not (tmp_path / "run.json").exists()


def test_fim_do_terminal_para_tudo(tmp_path: Path) -> None:
    """A supervisor whose terminal goes stops as it does when it is told."""
    with ExitStack() as stack:
        # Under nohup a child inherits that it is ignored, and goes on as it is meant to.
        before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
        stack.callback(signal.signal, signal.SIGHUP, before)
        supervisor = stack.enter_context(processo(*supervisor_falso(tmp_path)))
        ler_ate(supervisor, "ready: grpc")
        supervisor.send_signal(signal.SIGHUP)
        ler_ate(supervisor, "stopped in")
        assert supervisor.wait(PRAZO_S) == 0


# --- run.json and the lock -----------------------------------------------------------------------


def exemplo() -> Run:
    return plano(Path()).run


def test_read_run_diz_como_comecar(tmp_path: Path) -> None:
    """Without a run the reader names the command that starts one."""
    with pytest.raises(FileNotFoundError, match=r"run_all\.py --mode grpc --data-dir"):
        read_run(tmp_path / "nada")


def test_run_json_vale_enquanto_o_supervisor_vive(tmp_path: Path) -> None:
    """What is written is read back while the lock is held, and not a moment longer."""
    with supervising(tmp_path):
        write_run(tmp_path, exemplo())
        assert read_run(tmp_path) == exemplo()
        assert json.loads((tmp_path / "run.json").read_bytes())["mode"] == "grpc"
    with pytest.raises(NotRunningError):
        read_run(tmp_path)


def test_um_supervisor_por_pasta(tmp_path: Path) -> None:
    """A data directory has one supervisor; another is told who that is."""
    with (
        supervising(tmp_path),
        pytest.raises(InUseError, match=f"in use by process {os.getpid()}"),
        supervising(tmp_path),
    ):
        pass


def test_pasta_impossivel_e_uma_frase(tmp_path: Path) -> None:
    """A data directory that cannot be is one sentence."""
    (tmp_path / "arquivo").touch()
    with (
        pytest.raises(InUseError, match="cannot use the data directory"),
        supervising(tmp_path / "arquivo"),
    ):
        pass


# --- Before the start ----------------------------------------------------------------------------


def test_fresh_so_apaga_o_que_conhece(tmp_path: Path) -> None:
    """Beginning anew removes the databases with what SQLite keeps beside them, and no other."""
    nossos = [f"{nome}.db{fim}" for nome in DATABASES for fim in ("", "-wal", "-shm")]
    alheios = ["tese.db", "pedidos.db.bak", "notas.txt", "history.jsonl.gz"]
    for nome in (*nossos, "run.json", "history.jsonl", "load.json", *alheios):
        (tmp_path / nome).touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "pedidos.db").touch()
    remove_data(tmp_path)
    restantes = {path.name for path in tmp_path.iterdir() if path.suffix != ".lock"}
    assert restantes == {*alheios, "sub"}
    assert (tmp_path / "sub" / "pedidos.db").exists()


def test_fresh_recusa_enquanto_um_servico_vive(tmp_path: Path) -> None:
    """Nothing is removed while a process, though it be a single service, owns a database."""
    (tmp_path / "pedidos.db").touch()
    with held(tmp_path / "estoque.lock"), pytest.raises(RefusedError, match="in use by process"):
        remove_data(tmp_path)
    assert (tmp_path / "pedidos.db").exists()


def test_pacote_que_falta_tem_nome_e_remedio() -> None:
    """A missing package is named together with the command that installs it."""
    with pytest.raises(RefusedError, match=r"missing nao_existe: run pip install -r requirements"):
        check_packages(("sqlite3", "nao_existe"))


def test_pacote_de_um_braco_que_falta_e_uma_linha(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An arm without one of its packages is refused in one line; the others need it not."""
    achar = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda nome: None if nome == "flask" else achar(nome)
    )
    # The test's own process keeps its way to stop.
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    dados = tmp_path / "dados"
    assert main([str(parte) for parte in comando("http-threads", dados)]) == 2
    assert capsys.readouterr().err == (
        "run_all.py: missing flask: run pip install -r requirements.txt\n"
    )
    assert not dados.exists()
    check_packages(ARMS["http"].needs)


# Imports a module where no installed package can be found but those named.
IMPORTAR_SO_COM = """
import importlib, sys
from importlib import metadata

modulo, *permitidos = sys.argv[1:]
proibidos = {
    nome
    for nome, pacotes in metadata.packages_distributions().items()
    if not {pacote.replace("_", "-").lower() for pacote in pacotes} & set(permitidos)
}

class Ausentes:
    @staticmethod
    def find_spec(nome, *_resto):
        if nome.partition(".")[0] in proibidos:
            raise ModuleNotFoundError(nome, name=nome)

sys.meta_path.insert(0, Ausentes)
importlib.import_module(modulo)
"""


@pytest.mark.parametrize("arm", ARMS)
def test_cada_braco_nomeia_os_pacotes_que_importa(arm: str) -> None:
    """An arm's server imports where only the packages that it names, and theirs, are installed."""
    donos = metadata.packages_distributions()
    nomeados = {nome_de(dono) for nome in ARMS[arm].needs for dono in donos[nome.split(".")[0]]}
    resultado = subprocess.run(
        [
            *(sys.executable, "-c", IMPORTAR_SO_COM, f"{ARMS[arm].package}.server"),
            *com_dependencias(nomeados),
        ],
        cwd=RAIZ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert resultado.returncode == 0, resultado.stderr


def com_dependencias(pacotes: set[str]) -> set[str]:
    """Packages with all that they ask for, extras left out."""
    vistos: set[str] = set()
    while pacotes - vistos:
        nome = (pacotes - vistos).pop()
        vistos.add(nome)
        with suppress(metadata.PackageNotFoundError):
            pedidos = [p for p in metadata.requires(nome) or () if "extra ==" not in p]
            pacotes = pacotes | {nome_de(re.match(r"[\w.-]+", p)[0]) for p in pedidos}
    return vistos


def nome_de(pacote: str) -> str:
    """A package's name in the one form in which names are compared."""
    return re.sub(r"[-_.]+", "-", pacote).lower()


def test_loja_que_falta_e_feita_uma_vez(tmp_path: Path) -> None:
    """A missing shop is made and said; one at hand is left alone."""
    falas = []
    ensure_shop(tmp_path / "loja.db", tmp_path, falas.append)
    feita = (tmp_path / "loja.db").read_bytes()
    ensure_shop(tmp_path / "loja.db", tmp_path, falas.append)
    assert (tmp_path / "loja.db").read_bytes() == feita
    assert len(falas) == 1
    assert "50 customers, 30 products, 100 past orders" in falas[0]


def test_loja_ja_importada_nao_e_feita_de_novo(tmp_path: Path) -> None:
    """Data that was imported needs its shop no more: another one would only be refused."""
    for servico in SERVICOS:
        with closing(sqlite3.connect(tmp_path / f"{servico}.db")) as con:
            con.execute("CREATE TABLE meta (chave)")
    ensure_shop(tmp_path / "loja.db", tmp_path, pytest.fail)
    assert not (tmp_path / "loja.db").exists()


# --- The command ---------------------------------------------------------------------------------


def run_all(*argumentos: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, RAIZ / "run_all.py", *argumentos],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def recusa(*argumentos: str | Path) -> str:
    """The one line with which a command is refused."""
    resultado = run_all(*argumentos)
    assert resultado.returncode == 2, resultado
    assert resultado.stderr.startswith("run_all.py: ")
    assert resultado.stderr.count("\n") == 1
    return resultado.stderr


def comando(arm: str, data_dir: Path, *mais: str) -> list[str | Path]:
    """An arm on free ports, with a shop of its own."""
    loja = f"--shop={data_dir.parent / 'loja.db'}"
    return ["--mode", arm, "--base-port=0", f"--data-dir={data_dir}", loja, *mais]


@pytest.mark.parametrize(
    ("argumentos", "trecho"),
    [
        ([], "--mode is required"),
        (["--mode", "pombo-correio"], "invalid choice"),
        (["--mode", "grpc", "--history", "x"], "belong to --audit"),
        (["--audit", "--fresh"], "stands alone"),
        (["--audit", "--complete"], "needs --history"),
        (["--mode", "grpc", "--load", "0"], "at least 1"),
        (["--mode", "grpc", "--workers", "10"], "--workers: of grpc-threads and http-threads only"),
        (
            ["--mode", "http", "--workers", "5", "--storage", "plain"],
            "--workers and --storage: of grpc-threads and http-threads only; http has no workers",
        ),
        (["--mode", "http", "--storage", "shared"], "http has no workers"),
        (["--mode", "grpc-threads", "--loop", "asyncio"], "grpc-threads has no event loop"),
        (["--mode", "http-threads", "--workers", "0"], f"from 1 to {TRABALHADORES_MAX}"),
        (
            ["--mode", "http-threads", "--workers", str(TRABALHADORES_MAX + 1)],
            f"from 1 to {TRABALHADORES_MAX}",
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
    lancado = plano_de(argumentos_de(["--mode", arm, f"--data-dir={tmp_path}"]), {})
    assert (lancado.run.loop, lancado.run.workers, lancado.run.storage) == (loop, workers, "shared")
    dado = {"--loop=", "--workers=", "--storage="}
    assert not [cada for cada in lancado.command("pedidos") if cada.startswith(tuple(dado))]


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
        [sys.executable, "-S", RAIZ / "run_all.py", "--mode", "grpc"],
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

    monkeypatch.setattr("run_all.run_errand", falhar)
    args = argparse.Namespace(data_dir=tmp_path, load=1, stock=1, seed=1)
    assert await _load_and_audit(args, complete=True)() == 1
    assert len(comandos) == 2


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
        assert time.monotonic() - inicio < PARADA_MAX_S
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
