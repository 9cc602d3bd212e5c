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
from common.servicos.protocolo.tabelas import Facts
from common.storage import company, connection
from common.storage.batches import Batches
from common.storage.connection import connect
from common.storage.event_loop import Storage
from common.storage.overlay import Unit
from common.storage.pressure import Pressure
from tests.support.values import (
    SCHEMA,
    TODOS,
    Watched,
    numbers,
    put,
    put_much,
    put_orphan,
    put_then_raise,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An empty database with a table of values."""
    made = tmp_path / "banco.db"
    with closing(sqlite3.connect(made)) as con:
        con.executescript(SCHEMA)
    return made


@pytest_asyncio.fixture(loop_scope="module")
async def banco(path: Path, watched: Watched) -> AsyncIterator[Storage]:
    """The storage on that database."""
    opened = await Storage.open(path, engine=watched.engine)
    yield opened
    await opened.close()


@pytest.fixture
def watched() -> Watched:
    """What the engine that writes is seen to do."""
    return Watched()


async def _gather(banco: Storage, *units: tuple[Any, ...]) -> list[Any]:
    """Run units that have all been waiting together, behind one that holds the thread."""
    free, held, loop = threading.Event(), asyncio.Event(), asyncio.get_running_loop()

    def hold(_: Facts) -> None:
        loop.call_soon_threadsafe(held.set)
        assert free.wait(10)

    holding = asyncio.create_task(banco.unit(None, (), hold))
    await held.wait()
    tasks = [asyncio.create_task(banco.unit(None, (), *unit)) for unit in units]
    await asyncio.sleep(0)
    free.set()
    await holding
    return await asyncio.gather(*tasks, return_exceptions=True)


async def _all(banco: Storage) -> list[int]:
    return [valor.n for valor in await banco.select(None, TODOS)]


async def test_uma_unidade_devolve_o_seu_valor_depois_do_commit(banco: Storage, path: Path) -> None:
    """A unit's value comes once another connection can see what it wrote."""
    assert await banco.unit(None, (), put, 1) == 1
    with closing(sqlite3.connect(path)) as other:
        assert numbers(other) == [1]


async def test_quem_espera_junto_partilha_um_commit(banco: Storage, watched: Watched) -> None:
    """Units that wait together are committed together."""
    assert await _gather(banco, *((put, n) for n in range(20))) == list(range(20))
    assert watched.commits == 2


@pytest.mark.parametrize(("units", "commits"), [(company.BATCH_MAX, 2), (company.BATCH_MAX + 1, 3)])
async def test_um_lote_tem_um_tamanho_maximo(
    banco: Storage, watched: Watched, units: int, commits: int
) -> None:
    """A batch holds up to its limit; the rest goes in the next one."""
    await _gather(banco, *((put, n) for n in range(units)))
    assert watched.commits == commits


async def test_uma_unidade_que_falha_nao_prejudica_as_outras(banco: Storage) -> None:
    """What one unit raises rolls back its own work and is raised to its own caller."""
    outcomes = await _gather(banco, (put, 1), (put_then_raise, 2), (put, 3))
    assert (outcomes[0], outcomes[2]) == (1, 3)
    assert outcomes[1].categoria is Categoria.CONFLITO
    assert await _all(banco) == [1, 3]


async def test_uma_unidade_sozinha_que_falha_nao_deixa_nada(banco: Storage) -> None:
    """Alone in its transaction, a unit that fails leaves nothing and blocks nobody."""
    with pytest.raises(ErroServico):
        await banco.unit(None, (), put_then_raise, 1)
    assert await banco.unit(None, (), put, 2) == 2
    assert await _all(banco) == [2]


async def test_uma_regra_do_esquema_quebrada_e_um_defeito(banco: Storage) -> None:
    """A broken constraint is raised as such: it is no passing trouble of the storage."""
    await banco.unit(None, (), put, 1)
    outcomes = await _gather(banco, (put, 1), (put, 2))
    assert isinstance(outcomes[0], sqlite3.IntegrityError)
    assert outcomes[1] == 2


async def test_quem_e_cancelado_tem_a_sua_unidade_feita(banco: Storage) -> None:
    """Cancelling the caller does not undo a unit that was handed over."""
    free = threading.Event()
    holding = asyncio.create_task(banco.unit(None, (), lambda _: free.wait(10)))
    await asyncio.sleep(0)
    leaving = asyncio.create_task(banco.unit(None, (), put, 1))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert leaving.cancelled()
    free.set()
    await holding
    await banco.unit(None, (), put, 2)
    assert await _all(banco) == [1, 2]


async def test_quem_o_commit_recusa_falha_sozinho(banco: Storage) -> None:
    """A unit that breaks a rule at the commit is found out, and harms no other of its batch."""
    outcomes = await _gather(banco, (put, 1), (put_orphan,), (put, 2))
    assert (outcomes[0], outcomes[2]) == (1, 2)
    assert isinstance(outcomes[1], sqlite3.IntegrityError)
    assert await _all(banco) == [1, 2]


async def test_um_commit_que_falha_falha_para_todos(banco: Storage, watched: Watched) -> None:
    """When the storage fails at the commit every unit is told so, and nothing is kept."""

    def break_disk(facts: Facts) -> None:
        watched.error = sqlite3.OperationalError("disk I/O error")

    outcomes = await _gather(banco, (put, 1), (break_disk,), (put, 2))
    assert all(isinstance(outcome, ErroServico) for outcome in outcomes)
    assert len({id(outcome.__cause__) for outcome in outcomes}) == 3
    assert await _all(banco) == []
    assert await banco.unit(None, (), put, 3) == 3


async def test_disco_cheio_nao_confirma_nada(banco: Storage, watched: Watched) -> None:
    """A full disk is unavailable to all of the batch and leaves the storage usable."""

    def limit(_: Facts, pages: int) -> None:
        watched.connections[0].execute(f"PRAGMA max_page_count = {pages}")

    await banco.unit(None, (), limit, 10)
    outcomes = await _gather(banco, (put, 1), (put_much,))
    assert {outcome.categoria for outcome in outcomes} == {Categoria.INDISPONIVEL}
    assert await _all(banco) == []
    await banco.unit(None, (), limit, 100_000)
    await banco.unit(None, (), put_much)
    assert await _all(banco) == [9]


async def test_transacao_perdida_falha_para_todos(banco: Storage, watched: Watched) -> None:
    """When the whole transaction is lost, nobody in the batch is acknowledged."""
    await banco.unit(None, (), put, 1)

    def lose(facts: Facts) -> None:
        watched.lose = True

    outcomes = await _gather(banco, (put, 2), (lose,), (put, 3))
    assert all(isinstance(outcome, Exception) for outcome in outcomes)
    assert await banco.unit(None, (), put, 4) == 4
    assert (await _all(banco))[0] == 1
    assert 4 in await _all(banco)


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
                await banco.unit(None, (), put, 1)
            assert caught.value.categoria is Categoria.INDISPONIVEL
            other.execute("ROLLBACK")
        assert await banco.unit(None, (), put, 2) == 2
        assert await _all(banco) == [2]
    finally:
        await banco.close()


async def test_uma_leitura_ve_o_que_foi_confirmado(banco: Storage) -> None:
    """A read begun after an acknowledgement sees what was acknowledged."""
    for n in range(50):
        await banco.unit(None, (), put, n)
        assert (await _all(banco))[-1] == n


async def test_uma_leitura_nao_escreve(banco: Storage) -> None:
    """The reading connection cannot change anything."""
    with pytest.raises(ErroServico) as caught:
        await banco.read(None, (), put, 1)
    assert caught.value.categoria is Categoria.INDISPONIVEL
    assert await _all(banco) == []


async def test_fechar_faz_o_que_foi_entregue(path: Path) -> None:
    """Closing runs every unit handed over before it; afterwards the storage is unavailable."""
    banco = await Storage.open(path)
    tasks = [
        asyncio.create_task(banco.unit(None, (), put, n)) for n in range(company.BATCH_MAX + 5)
    ]
    await asyncio.sleep(0)
    await banco.close()
    assert await asyncio.gather(*tasks) == list(range(company.BATCH_MAX + 5))
    with closing(sqlite3.connect(path)) as other:
        assert len(numbers(other)) == company.BATCH_MAX + 5
    with pytest.raises(ErroServico) as caught:
        await banco.unit(None, (), put, -1)
    assert caught.value.categoria is Categoria.INDISPONIVEL


async def test_abrir_o_que_nao_existe_e_indisponivel(tmp_path: Path) -> None:
    """A database is never made by opening it."""
    with pytest.raises(ErroServico):
        await Storage.open(tmp_path / "nenhum.db")
    assert not (tmp_path / "nenhum.db").exists()


async def test_o_tempo_do_banco_entra_no_registro(banco: Storage) -> None:
    """A call's record holds the time it spent waiting for storage, the commit within it."""
    ctx = Contexto()
    await banco.unit(ctx, (), put, 1)
    assert 0 < ctx.account.commit <= ctx.account.waits[0].length / 1e6 + 1e-6


async def test_a_conexao_e_duravel_por_omissao(banco: Storage, watched: Watched) -> None:
    """WAL, every commit flushed, foreign keys checked."""

    def pragmas(_: Facts) -> list[Any]:
        (con,) = watched.connections
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [con.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert await banco.unit(None, (), pragmas) == ["wal", 2, 1]


async def test_connect_so_leitura_recusa_escrever(path: Path) -> None:
    """The auditor's connection is read-only."""
    connect(path).close()
    with closing(connect(path, read_only=True)) as con, pytest.raises(sqlite3.OperationalError):
        con.execute("INSERT INTO valores (n) VALUES (1)")


class _Busy(Pressure):
    """A process on a machine that is as busy as the test says."""

    def __init__(self, pressure: float) -> None:
        super().__init__()
        self._level = pressure

    def read(self) -> float:
        return self._level


def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units have been coming fast enough for company to be expected."""
    monkeypatch.setattr(company.Company, "_rate", lambda self, now: 1_000.0)


def _batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    sizes: list[int] = []
    run = Batches.run

    def counted(self: Batches, batch: Any) -> Any:
        sizes.append(len(batch))
        return run(self, batch)

    monkeypatch.setattr(Batches, "run", counted)
    return sizes


async def test_numa_maquina_folgada_ninguem_espera_companhia(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without pressure a batch begins at once, however often units come."""
    monkeypatch.setattr(company, "COMPANY_WAIT_S", 60.0)
    _often(monkeypatch)
    banco = await Storage.open(path, pressure=_Busy(0.0))
    assert await asyncio.wait_for(banco.unit(None, (), put, 1), 10) == 1
    await banco.close()


async def test_sob_pressao_o_lote_comeca_quando_ha_companhia_bastante(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under pressure units wait until they are many, and then no longer."""
    monkeypatch.setattr(company, "COMPANY_WAIT_S", 60.0)
    _often(monkeypatch)
    banco = await Storage.open(path, pressure=_Busy(1.0))
    sizes = _batches(monkeypatch)
    enough = company.BATCH_ENOUGH
    first = [asyncio.ensure_future(banco.unit(None, (), put, n)) for n in range(enough - 1)]
    await asyncio.wait(first, timeout=0.05)
    assert sizes == []
    last = banco.unit(None, (), put, enough)
    await asyncio.wait_for(asyncio.gather(*first, last), 10)
    assert sizes == [enough]
    await banco.close()


async def test_sob_pressao_ninguem_espera_para_sempre(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Company that does not come is waited for as long as the limit says, in proportion."""
    monkeypatch.setattr(company, "COMPANY_WAIT_S", 0.1)
    _often(monkeypatch)
    banco = await Storage.open(path, pressure=_Busy(0.5))
    loop = asyncio.get_running_loop()
    start = loop.time()
    await asyncio.wait_for(banco.unit(None, (), put, 1), 10)
    assert loop.time() - start >= 0.05
    await banco.close()


async def test_sob_pressao_quem_esta_so_nao_espera(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where units come seldom nobody would join a batch, so it begins at once."""
    monkeypatch.setattr(company, "COMPANY_WAIT_S", 60.0)
    banco = await Storage.open(path, pressure=_Busy(1.0))
    assert await asyncio.wait_for(banco.unit(None, (), put, 1), 10) == 1
    await banco.close()


async def test_o_ritmo_e_o_do_ultimo_intervalo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units a second are counted over a whole interval, and forgotten when none come."""
    monkeypatch.setattr(company, "_RATE_OVER_S", 0.0)
    waiting = company.Company(_Busy(1.0))
    waiting._counted_from = 1_000.0
    for _ in range(50):
        waiting.join(Unit((), put, (), None))
    assert waiting._rate(1_000.5) == pytest.approx(100.0)
    assert waiting._rate(1_001.0) == 0.0
