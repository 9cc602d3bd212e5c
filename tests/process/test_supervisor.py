"""The supervisor: starting, watching, restarting and stopping, on real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from common.contratos import SERVICOS
from common.process.child import python, run_errand
from common.process.runfile import NotRunningError, read_run, supervising
from common.process.supervisor import STARTS_MAX, STOP_MAX_S, Supervisor
from tests.support.lancamento import HALT_MAX_S, PRAZO_S, ler_ate, processo, supervisor_falso
from tests.support.supervisor_falso import plano

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path


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
    assert duracao_s < HALT_MAX_S
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
    assert duracao_s < HALT_MAX_S


async def test_quem_nao_ouve_e_morto_antes_de_cinco_segundos(tmp_path: Path) -> None:
    """Services that ignore SIGTERM, the first of the chain too, do not hold a stop up."""
    surdos = {"pedidos", "fiscal"}
    async with encenar(tmp_path, lambda s: "surdo" if s in surdos else "normal") as palco:
        await palco.falas.esperar("ready: grpc")
        codigo, duracao_s = await palco.parar()
    assert codigo == 0
    assert duracao_s < HALT_MAX_S
    assert sum("killing it" in linha for linha in palco.queixas.linhas) == len(surdos)


async def test_quem_foi_pausado_ouve_a_parada(tmp_path: Path) -> None:
    """A service that somebody paused is woken and ends in order like the others."""
    async with encenar(tmp_path) as palco:
        await palco.falas.esperar("ready: grpc")
        pid = read_run(tmp_path).services["estoque"].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        codigo, duracao_s = await palco.parar()
    assert codigo == 0
    assert duracao_s < STOP_MAX_S
    assert not [linha for linha in palco.queixas.linhas if "killing it" in linha]


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
    assert duracao_s < HALT_MAX_S


# --- A supervisor that dies ---------------------------------------------------------------------


def test_ninguem_sobrevive_ao_supervisor_morto(tmp_path: Path) -> None:
    """When the supervisor is killed its services end, and nobody believes its run.json."""
    with processo(*supervisor_falso(tmp_path)) as supervisor:
        ler_ate(supervisor, "ready: grpc")
        filhos = [psutil.Process(s.pid) for s in read_run(tmp_path).services.values()]
        supervisor.kill()
        supervisor.wait(PRAZO_S)
        _, vivos = psutil.wait_procs(filhos, timeout=HALT_MAX_S)
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
