"""Storage: units share a commit and nothing else; what is acknowledged is kept."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from common.erros import Categoria, ErroServico
from common.servicos.protocolo.contexto import Contexto
from common.storage import batching, connection
from common.storage import event_loop as module
from common.storage.connection import connect
from common.storage.event_loop import Storage
from common.storage.pressure import Pressure

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCHEMA = """
CREATE TABLE pais (id INTEGER PRIMARY KEY);
CREATE TABLE valores (n INTEGER PRIMARY KEY, texto TEXT,
    pai INTEGER REFERENCES pais (id) DEFERRABLE INITIALLY DEFERRED);
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An empty database with a table of values."""
    made = tmp_path / "banco.db"
    with closing(sqlite3.connect(made)) as con:
        con.executescript(SCHEMA)
    return made


@pytest_asyncio.fixture(loop_scope="module")
async def banco(path: Path) -> AsyncIterator[Storage]:
    """The storage on that database."""
    opened = await Storage.open(path)
    yield opened
    await opened.close()


def _put(con: sqlite3.Connection, n: int) -> int:
    con.execute("INSERT INTO valores (n) VALUES (?)", (n,))
    return n


def _all(con: sqlite3.Connection) -> list[int]:
    return [n for (n,) in con.execute("SELECT n FROM valores ORDER BY n")]


def _put_then_raise(con: sqlite3.Connection, n: int) -> None:
    _put(con, n)
    raise ErroServico(Categoria.CONFLITO, "depois de escrever")


class _Company:
    """Holds the database thread until units are waiting, so that they go in one batch."""

    def __init__(self, banco: Storage) -> None:
        self._database = banco
        self._free = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._held = asyncio.Event()
        self.statements: list[str] = []

    async def gather(self, *units: tuple[Any, ...]) -> list[Any]:
        """Run units that have all been waiting together; their outcomes."""
        holding = asyncio.create_task(self._database.unit(None, self._hold))
        await self._held.wait()
        tasks = [asyncio.create_task(self._database.unit(None, *unit)) for unit in units]
        await asyncio.sleep(0)
        self._free.set()
        await holding
        return await asyncio.gather(*tasks, return_exceptions=True)

    def _hold(self, con: sqlite3.Connection) -> None:
        con.set_trace_callback(self.statements.append)
        self._loop.call_soon_threadsafe(self._held.set)
        assert self._free.wait(10)

    @property
    def commits(self) -> int:
        """Commits so far, the one of the holding unit included."""
        return self.statements.count("COMMIT")


async def test_uma_unidade_devolve_o_seu_valor_depois_do_commit(banco: Storage, path: Path) -> None:
    """A unit's value comes once another connection can see what it wrote."""
    assert await banco.unit(None, _put, 1) == 1
    with closing(sqlite3.connect(path)) as other:
        assert _all(other) == [1]


async def test_quem_espera_junto_partilha_um_commit(banco: Storage) -> None:
    """Units that wait together are committed together."""
    company = _Company(banco)
    assert await company.gather(*((_put, n) for n in range(20))) == list(range(20))
    assert company.commits == 2


@pytest.mark.parametrize(
    ("units", "commits"), [(batching.BATCH_MAX, 2), (batching.BATCH_MAX + 1, 3)]
)
async def test_um_lote_tem_um_tamanho_maximo(banco: Storage, units: int, commits: int) -> None:
    """A batch holds up to its limit; the rest goes in the next one."""
    company = _Company(banco)
    await company.gather(*((_put, n) for n in range(units)))
    assert company.commits == commits


async def test_uma_unidade_que_falha_nao_prejudica_as_outras(banco: Storage) -> None:
    """What one unit raises rolls back its own work and is raised to its own caller."""
    outcomes = await _Company(banco).gather((_put, 1), (_put_then_raise, 2), (_put, 3))
    assert (outcomes[0], outcomes[2]) == (1, 3)
    assert outcomes[1].categoria is Categoria.CONFLITO
    assert await banco.read(None, _all) == [1, 3]


async def test_uma_unidade_sozinha_que_falha_nao_deixa_nada(banco: Storage) -> None:
    """Alone in its transaction, a unit that fails leaves nothing and blocks nobody."""
    with pytest.raises(ErroServico):
        await banco.unit(None, _put_then_raise, 1)
    assert await banco.unit(None, _put, 2) == 2
    assert await banco.read(None, _all) == [2]


async def test_uma_regra_do_esquema_quebrada_e_um_defeito(banco: Storage) -> None:
    """A broken constraint is raised as such: it is no passing trouble of the storage."""
    await banco.unit(None, _put, 1)
    outcomes = await _Company(banco).gather((_put, 1), (_put, 2))
    assert isinstance(outcomes[0], sqlite3.IntegrityError)
    assert outcomes[1] == 2


async def test_quem_e_cancelado_tem_a_sua_unidade_feita(banco: Storage) -> None:
    """Cancelling the caller does not undo a unit that was handed over."""
    free = threading.Event()
    holding = asyncio.create_task(banco.unit(None, lambda _: free.wait(10)))
    await asyncio.sleep(0)
    leaving = asyncio.create_task(banco.unit(None, _put, 1))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert leaving.cancelled()
    free.set()
    await holding
    await banco.unit(None, _put, 2)
    assert await banco.read(None, _all) == [1, 2]


async def test_um_commit_que_falha_falha_para_todos(banco: Storage) -> None:
    """When the shared commit fails every unit of the batch is told so, and nothing is kept."""

    def orphan(con: sqlite3.Connection) -> None:
        con.execute("INSERT INTO valores (n, pai) VALUES (9, 404)")

    outcomes = await _Company(banco).gather((_put, 1), (orphan,), (_put, 2))
    assert all(isinstance(outcome, Exception) for outcome in outcomes)
    assert await banco.read(None, _all) == []
    assert await banco.unit(None, _put, 3) == 3


async def test_disco_cheio_nao_confirma_nada(banco: Storage) -> None:
    """A full disk is unavailable to its unit and leaves the storage usable."""

    def fill(con: sqlite3.Connection) -> None:
        con.execute("INSERT INTO valores (n, texto) VALUES (9, ?)", ("x" * 1_000_000,))

    def limit(con: sqlite3.Connection, pages: int) -> None:
        con.execute(f"PRAGMA max_page_count = {pages}")

    await banco.unit(None, limit, 10)
    outcomes = await _Company(banco).gather((_put, 1), (fill,))
    assert isinstance(outcomes[1], ErroServico)
    assert outcomes[1].categoria is Categoria.INDISPONIVEL
    kept = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
    assert await banco.read(None, _all) == kept
    await banco.unit(None, limit, 100_000)
    await banco.unit(None, fill)
    assert 9 in await banco.read(None, _all)


async def test_transacao_perdida_falha_para_todos(banco: Storage) -> None:
    """When an error takes the whole transaction with it, nobody in the batch is acknowledged."""
    await banco.unit(None, _put, 1)

    def rollback(con: sqlite3.Connection) -> None:
        con.execute("INSERT OR ROLLBACK INTO valores (n) VALUES (1)")

    outcomes = await _Company(banco).gather((_put, 2), (rollback,), (_put, 3))
    assert all(isinstance(outcome, Exception) for outcome in outcomes)
    assert await banco.read(None, _all) == [1]
    assert await banco.unit(None, _put, 4) == 4


async def test_uma_unidade_nao_pode_encerrar_a_transacao(banco: Storage) -> None:
    """A unit that commits by itself breaks the rule for all and is not acknowledged."""
    outcomes = await _Company(banco).gather(
        (_put, 1), (lambda con: con.execute("COMMIT") and None,)
    )
    assert all(isinstance(outcome, Exception) for outcome in outcomes)


async def test_banco_trancado_por_outro_e_indisponivel(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database locked by somebody else is unavailable after a while, then works again."""
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_MS", 10)
    banco = await Storage.open(path)
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(ErroServico) as caught:
                await banco.unit(None, _put, 1)
            assert caught.value.categoria is Categoria.INDISPONIVEL
            other.execute("ROLLBACK")
        assert await banco.unit(None, _put, 2) == 2
        assert await banco.read(None, _all) == [2]
    finally:
        await banco.close()


async def test_uma_leitura_ve_o_que_foi_confirmado(banco: Storage) -> None:
    """A read begun after an acknowledgement sees what was acknowledged."""
    for n in range(50):
        await banco.unit(None, _put, n)
        assert (await banco.read(None, _all))[-1] == n


async def test_uma_leitura_nao_escreve(banco: Storage) -> None:
    """The reading connection cannot change anything."""
    with pytest.raises(ErroServico) as caught:
        await banco.read(None, _put, 1)
    assert caught.value.categoria is Categoria.INDISPONIVEL
    assert await banco.read(None, _all) == []


async def test_fechar_faz_o_que_foi_entregue(path: Path) -> None:
    """Closing runs every unit handed over before it; afterwards the storage is unavailable."""
    banco = await Storage.open(path)
    tasks = [asyncio.create_task(banco.unit(None, _put, n)) for n in range(batching.BATCH_MAX + 5)]
    await asyncio.sleep(0)
    await banco.close()
    assert await asyncio.gather(*tasks) == list(range(batching.BATCH_MAX + 5))
    with closing(sqlite3.connect(path)) as other:
        assert len(_all(other)) == batching.BATCH_MAX + 5
    with pytest.raises(ErroServico) as caught:
        await banco.unit(None, _put, -1)
    assert caught.value.categoria is Categoria.INDISPONIVEL


async def test_abrir_o_que_nao_existe_e_indisponivel(tmp_path: Path) -> None:
    """A database is never made by opening it."""
    with pytest.raises(ErroServico):
        await Storage.open(tmp_path / "nenhum.db")
    assert not (tmp_path / "nenhum.db").exists()


async def test_o_tempo_do_banco_entra_no_registro(banco: Storage) -> None:
    """A call's record holds the time it spent waiting for storage, the commit within it."""
    ctx = Contexto()
    await banco.unit(ctx, _put, 1)
    assert 0 < ctx.account.commit <= ctx.account.waits[0].length / 1e6 + 1e-6


def _pragma(con: sqlite3.Connection, name: str) -> Any:
    return con.execute(f"PRAGMA {name}").fetchone()[0]


async def test_a_conexao_e_duravel_por_omissao(banco: Storage) -> None:
    """WAL, every commit flushed, foreign keys checked."""
    values = [await banco.unit(None, _pragma, name) for name in (
        "journal_mode", "synchronous", "foreign_keys"
    )]  # fmt: skip
    assert values == ["wal", 2, 1]


async def test_connect_so_leitura_recusa_escrever(path: Path) -> None:
    """The auditor's connection is read-only."""
    connect(path).close()
    with closing(connect(path, read_only=True)) as con, pytest.raises(sqlite3.OperationalError):
        _put(con, 1)


class _Busy(Pressure):
    """A process on a machine that is as busy as the test says."""

    def __init__(self, pressure: float) -> None:
        super().__init__()
        self._level = pressure

    def read(self) -> float:
        return self._level


def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units have been coming fast enough for company to be expected."""
    monkeypatch.setattr(batching.Company, "_rate", lambda self, now: 1_000.0)


def _batches(banco: Storage, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    sizes: list[int] = []
    run = batching.run_batch

    def counted(con: sqlite3.Connection, begin: str, batch: list[Any]) -> Any:
        sizes.append(len(batch))
        return run(con, begin, batch)

    monkeypatch.setattr(module, "run_batch", counted)
    return sizes


async def test_numa_maquina_folgada_ninguem_espera_companhia(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without pressure a batch begins at once, however often units come."""
    monkeypatch.setattr(batching, "COMPANY_WAIT_S", 60.0)
    _often(monkeypatch)
    banco = await Storage.open(path, pressure=_Busy(0.0))
    assert await asyncio.wait_for(banco.unit(None, _put, 1), 10) == 1
    await banco.close()


async def test_sob_pressao_o_lote_comeca_quando_ha_companhia_bastante(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under pressure units wait until they are many, and then no longer."""
    monkeypatch.setattr(batching, "COMPANY_WAIT_S", 60.0)
    _often(monkeypatch)
    banco = await Storage.open(path, pressure=_Busy(1.0))
    sizes = _batches(banco, monkeypatch)
    enough = batching.BATCH_ENOUGH
    first = [asyncio.ensure_future(banco.unit(None, _put, n)) for n in range(enough - 1)]
    await asyncio.wait(first, timeout=0.05)
    assert sizes == []
    last = banco.unit(None, _put, enough)
    await asyncio.wait_for(asyncio.gather(*first, last), 10)
    assert sizes == [enough]
    await banco.close()


async def test_sob_pressao_ninguem_espera_para_sempre(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Company that does not come is waited for as long as the limit says, in proportion."""
    monkeypatch.setattr(batching, "COMPANY_WAIT_S", 0.1)
    _often(monkeypatch)
    banco = await Storage.open(path, pressure=_Busy(0.5))
    loop = asyncio.get_running_loop()
    start = loop.time()
    await asyncio.wait_for(banco.unit(None, _put, 1), 10)
    assert loop.time() - start >= 0.05
    await banco.close()


async def test_sob_pressao_quem_esta_so_nao_espera(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where units come seldom nobody would join a batch, so it begins at once."""
    monkeypatch.setattr(batching, "COMPANY_WAIT_S", 60.0)
    banco = await Storage.open(path, pressure=_Busy(1.0))
    assert await asyncio.wait_for(banco.unit(None, _put, 1), 10) == 1
    await banco.close()


async def test_o_ritmo_e_o_do_ultimo_intervalo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units a second are counted over a whole interval, and forgotten when none come."""
    monkeypatch.setattr(batching, "_RATE_OVER_S", 0.0)
    company = batching.Company(_Busy(1.0))
    company._counted_from = 1_000.0
    for _ in range(50):
        company.arrived()
    assert company._rate(1_000.5) == pytest.approx(100.0)
    assert company._rate(1_001.0) == 0.0
