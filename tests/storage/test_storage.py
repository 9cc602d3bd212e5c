"""Storage: units share a commit and nothing else; what is acknowledged is kept."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from common.erros import Categoria, ErroServico
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.tabelas import DuplicateError, Facts, Look, UndeclaredError
from common.storage import company, connection
from common.storage.connection import connect
from common.storage.engine import Written
from common.storage.event_loop import Storage
from common.storage.overlay import Unit
from common.storage.pressure import Pressure
from common.storage.sqlite import SQLiteEngine
from tests.support.values import (
    NUMEROS,
    VALORES,
    in_file,
    make,
    on_connection,
    put,
    put_orphan,
    put_then_raise,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database without numbers."""
    return make(tmp_path / "banco.db")


@pytest_asyncio.fixture(loop_scope="module")
async def banco(path: Path) -> AsyncIterator[Storage]:
    """The storage on that database."""
    opened = await Storage.open(path)
    yield opened
    await opened.close()


async def _all(banco: Storage) -> list[int]:
    return [n for (n,) in await banco.select(None, NUMEROS)]


class _Company:
    """Holds the database thread until units are waiting, so that they go in one batch."""

    def __init__(self, banco: Storage) -> None:
        self._database = banco
        self._free = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._held = asyncio.Event()
        self.statements: list[str] = []

    async def gather(self, *units: tuple[Any, ...]) -> list[Any]:
        """Run rules that have all been waiting together, with their arguments; their outcomes."""
        holding = asyncio.create_task(self._database.unit(None, (), self._hold))
        await self._held.wait()
        tasks = [asyncio.create_task(self._database.unit(None, (), *unit)) for unit in units]
        await asyncio.sleep(0)
        self._free.set()
        await holding
        return await asyncio.gather(*tasks, return_exceptions=True)

    def _hold(self, facts: Any) -> None:
        facts._engine._con.set_trace_callback(self.statements.append)
        self._loop.call_soon_threadsafe(self._held.set)
        assert self._free.wait(10)

    @property
    def commits(self) -> int:
        """Commits so far, the one of the holding unit included."""
        return self.statements.count("COMMIT")


async def test_uma_unidade_devolve_o_seu_valor_depois_do_commit(banco: Storage, path: Path) -> None:
    """A unit's value comes once another connection can see what it wrote."""
    assert await banco.unit(None, (), put, 1) == 1
    assert in_file(path) == [1]


async def test_quem_espera_junto_partilha_um_commit(banco: Storage) -> None:
    """Units that wait together are committed together."""
    together = _Company(banco)
    assert await together.gather(*((put, n) for n in range(20))) == list(range(20))
    assert together.commits == 2


@pytest.mark.parametrize(("units", "commits"), [(company.BATCH_MAX, 2), (company.BATCH_MAX + 1, 3)])
async def test_um_lote_tem_um_tamanho_maximo(banco: Storage, units: int, commits: int) -> None:
    """A batch holds up to its limit; the rest goes in the next one."""
    together = _Company(banco)
    await together.gather(*((put, n) for n in range(units)))
    assert together.commits == commits


async def test_uma_unidade_que_falha_nao_prejudica_as_outras(banco: Storage) -> None:
    """What one unit raises rolls back its own work and is raised to its own caller."""
    outcomes = await _Company(banco).gather((put, 1), (put_then_raise, 2), (put, 3))
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
    outcomes = await _Company(banco).gather((put, 1), (put, 2))
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


async def test_um_commit_que_a_regra_de_uma_unidade_impede_falha_so_para_ela(
    banco: Storage,
) -> None:
    """A rule of the schema that is checked at the commit harms the unit that broke it alone."""
    outcomes = await _Company(banco).gather((put, 1), (put_orphan, 9), (put, 2))
    assert (outcomes[0], outcomes[2]) == (1, 2)
    assert isinstance(outcomes[1], sqlite3.IntegrityError)
    assert await _all(banco) == [1, 2]


class _Worn(SQLiteEngine):
    """An engine whose disk breaks at the commit of a batch that has the number 9 in it."""

    def write(self, written: Sequence[Written]) -> None:
        super().write(written)
        if any(row.n == 9 for _, added, _ in written for row in added):
            raise sqlite3.OperationalError("disk I/O error")


async def test_um_commit_que_falha_falha_para_todos(path: Path) -> None:
    """When the shared commit fails every unit of the batch is told so, and nothing is kept."""
    banco = await Storage.open(path, engine=_Worn)
    outcomes = await _Company(banco).gather((put, 1), (put, 9), (put, 2))
    assert [outcome.categoria for outcome in outcomes] == [Categoria.INDISPONIVEL] * 3
    assert await _all(banco) == []
    assert await banco.unit(None, (), put, 3) == 3
    await banco.close()


async def test_disco_cheio_nao_confirma_nada(banco: Storage) -> None:
    """A full disk is unavailable to the units of its batch and leaves the storage usable."""
    await banco.unit(None, (), on_connection, "PRAGMA max_page_count = 10")
    outcomes = await _Company(banco).gather((put, 1), (put, 9, "x" * 1_000_000))
    assert [outcome.categoria for outcome in outcomes] == [Categoria.INDISPONIVEL] * 2
    assert await _all(banco) == []
    await banco.unit(None, (), on_connection, "PRAGMA max_page_count = 100000")
    await banco.unit(None, (), put, 9, "x" * 1_000_000)
    assert await _all(banco) == [9]


@pytest.mark.parametrize("end", ["ROLLBACK", "COMMIT"])
async def test_transacao_perdida_falha_para_todos(banco: Storage, end: str) -> None:
    """When the shared transaction ended early nobody is acknowledged, and nothing is written."""
    outcomes = await _Company(banco).gather((put, 2), (on_connection, end), (put, 3))
    assert [outcome.categoria for outcome in outcomes] == [Categoria.INDISPONIVEL] * 3
    assert await _all(banco) == []
    assert await banco.unit(None, (), put, 4) == 4


async def test_o_que_nao_foi_declarado_e_um_defeito(banco: Storage) -> None:
    """A row that was not named, and a key that is known as taken, are raised as they are."""
    await banco.unit(None, (), put, 1)
    with pytest.raises(UndeclaredError):
        await banco.unit(None, (), lambda facts: facts.get(VALORES, 1))

    def put_again(facts: Facts) -> None:
        assert facts.get(VALORES, 1) is not None
        put(facts, 1)

    with pytest.raises(DuplicateError):
        await banco.unit(None, (VALORES.of(1),), put_again)


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
        assert await banco.read(None, (VALORES.of(n),), _known, n)


def _known(look: Look, n: int) -> bool:
    return look.get(VALORES, n) is not None


async def test_uma_leitura_ve_um_so_instante(banco: Storage, path: Path) -> None:
    """What is committed while a reading function runs is not there for it, nor for its batch."""
    reading, written = threading.Event(), threading.Event()

    def twice(look: Any) -> tuple[list[Any], list[Any]]:
        before = look.select(NUMEROS)
        reading.set()
        assert written.wait(10)
        return before, look.select(NUMEROS)

    first = asyncio.create_task(banco.read(None, (), twice))
    await asyncio.to_thread(reading.wait, 10)
    await banco.unit(None, (), put, 1)
    both = asyncio.gather(banco.select(None, NUMEROS), banco.select(None, NUMEROS))
    await asyncio.sleep(0)
    written.set()
    assert await first == ([], [])
    assert await both == [[(1,)], [(1,)]]
    # The two that waited meanwhile shared a snapshot.
    assert banco._reader.company.batches == 2


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
    assert len(in_file(path)) == company.BATCH_MAX + 5
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


async def test_a_conexao_e_duravel_por_omissao(banco: Storage) -> None:
    """WAL, every commit flushed, foreign keys checked."""
    values = [await banco.unit(None, (), on_connection, f"PRAGMA {name}") for name in (
        "journal_mode", "synchronous", "foreign_keys"
    )]  # fmt: skip
    assert values == ["wal", 2, 1]


async def test_connect_so_leitura_recusa_escrever(path: Path) -> None:
    """The auditor's connection is read-only."""
    connect(path).close()
    with closing(connect(path, read_only=True)) as con, pytest.raises(sqlite3.OperationalError):
        con.execute("INSERT INTO pais VALUES (1)")


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
    enough = company.BATCH_ENOUGH
    first = [asyncio.ensure_future(banco.unit(None, (), put, n)) for n in range(enough - 1)]
    await asyncio.wait(first, timeout=0.05)
    assert banco.writer.batches == 0
    last = banco.unit(None, (), put, enough)
    await asyncio.wait_for(asyncio.gather(*first, last), 10)
    assert (banco.writer.batches, banco.writer.units) == (1, enough)
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
    units = company.Company(_Busy(1.0))
    units._counted_from = 1_000.0
    for n in range(50):
        units.join(Unit((), put, (n,), None))
    assert units._rate(1_000.5) == pytest.approx(100.0)
    assert units._rate(1_001.0) == 0.0
