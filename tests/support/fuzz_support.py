"""Six real servers of one arm in a thread of their own, for tests that call them synchronously."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sqlite3
import threading
from contextlib import AsyncExitStack, closing, contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from common.contratos import SERVICOS
from common.runtime.lifecycle import prepare_databases
from common.settings import Settings
from gerador_dados import Opcoes, gerar
from tests.support.arms import ARMS
from tests.support.cluster import small_and_quick

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

    from common.runtime.app import App

CLIENTES: Final = 5
PRODUTOS: Final = 8
# More than any test takes, so that no order is refused for want of it.
ESTOQUE: Final = 10_000_000
# Ids that name nothing in a shop of this size.
CLIENTE_AUSENTE: Final = 4_000
PRODUTO_AUSENTE: Final = 5_000
# An access key with the right check digit.
CHAVE_NF: Final = "35261111222333000181550010000000011000000111"
# Down the chain: whoever is called listens before its caller does.
ORDEM_DE_PARTIDA: Final = (
    "logistica", "fiscal", "estoque", "pagamentos", "catalogo", "pedidos",
)  # fmt: skip
# Seconds. Far more than a start or a call needs; a hang fails by name.
ESPERA_S: Final = 30.0


class _Erros(logging.Handler):
    """Keeps what any thread logs at ERROR or above, with the last line of its traceback."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.linhas: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        causa = record.exc_info[1] if record.exc_info else None
        self.linhas.append(f"{record.name}: {record.getMessage()} {causa!r}")


class Servidores:
    """The servers of one arm: `enderecos` and `apps` by service, each on a port of its own."""

    def __init__(self, modo: str, data_dir: Path) -> None:
        self.modo = modo
        self.data_dir = data_dir
        self.enderecos: dict[str, str] = {}
        self.apps: dict[str, App] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._parar: asyncio.Event | None = None
        self._prontos = threading.Event()
        self._falha: BaseException | None = None
        self._erros = _Erros()
        self._thread = threading.Thread(target=self._viver, name=f"servidores-{modo}")

    def iniciar(self) -> None:
        """Start all six; raises what kept one from starting."""
        logging.getLogger().addHandler(self._erros)
        self._thread.start()
        assert self._prontos.wait(ESPERA_S), "os servidores não partiram"
        if self._falha is not None:
            raise self._falha

    def encerrar(self) -> None:
        """Stop all six and wait for the thread; raises what went wrong in it."""
        if self._loop is not None and self._parar is not None:
            self._loop.call_soon_threadsafe(self._parar.set)
        self._thread.join(ESPERA_S)
        logging.getLogger().removeHandler(self._erros)
        assert not self._thread.is_alive(), "os servidores não pararam"
        if self._falha is not None:
            raise self._falha

    def executar(self, corrotina: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the servers' own loop and wait for its result."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(corrotina, self._loop).result(ESPERA_S)

    def url(self, servico: str) -> str:
        """The base URL of a service of the REST arm."""
        return f"http://{self.enderecos[servico]}"

    def contagens(self) -> dict[str, int]:
        """How many rows each table of each database has, read from the files."""
        contagens = {}
        for nome in (*SERVICOS, "gateway"):
            uri = f"{(self.data_dir / nome).as_uri()}.db?mode=ro"
            with closing(sqlite3.connect(uri, uri=True)) as con:
                tabelas = con.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
                ).fetchall()
                for (tabela,) in tabelas:
                    (linhas,) = con.execute(f"SELECT count(*) FROM {tabela}").fetchone()
                    contagens[f"{nome}.{tabela}"] = linhas
        return contagens

    def novos_erros(self) -> list[str]:
        """What was logged at ERROR since the last time; no request may cause any."""
        linhas, self._erros.linhas = self._erros.linhas, []
        return linhas

    def _viver(self) -> None:
        try:
            asyncio.run(self._servir())
        except BaseException as erro:
            self._falha = erro
        finally:
            self._prontos.set()

    async def _servir(self) -> None:
        serving = importlib.import_module(f"{ARMS[self.modo].module}.server").serving
        async with AsyncExitStack() as pilha:
            for servico in ORDEM_DE_PARTIDA:
                settings = Settings(
                    servico=servico,
                    data_dir=self.data_dir,
                    shop=self.data_dir / "ecommerce.db",
                    addresses=dict(self.enderecos),
                    payment_latency=(0.0, 0.0),
                    payment_approval=1.0,
                    stock=ESTOQUE,
                )
                prepare_databases(settings)
                app, endereco = await pilha.enter_async_context(serving(settings))
                self.apps[servico], self.enderecos[servico] = app, endereco
            self._loop, self._parar = asyncio.get_running_loop(), asyncio.Event()
            self._prontos.set()
            await self._parar.wait()


@contextmanager
def servidores(modo: str, data_dir: Path) -> Iterator[Servidores]:
    """The six servers of an arm for the life of the block, on a tiny shop."""
    opcoes = Opcoes(
        clientes=CLIENTES, produtos=PRODUTOS, pedidos=10, estoque=(0, 100), semente=7,
        data=date(2025, 6, 30),
    )  # fmt: skip
    gerar(data_dir / "ecommerce.db", opcoes)
    seis = Servidores(modo, data_dir)
    with small_and_quick():
        seis.iniciar()
        try:
            yield seis
        finally:
            seis.encerrar()
