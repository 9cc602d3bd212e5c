"""Storage on threads: shared commits as on the loops, plain ones as the textbook has them."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from blocking.execution import TaskStoppedError, ThreadTasks, run_to_end
from blocking.storage import PlainStorage, SharedStorage
from common.arms import THREAD_ARMS
from common.erros import Categoria, ErroServico
from common.servicos.protocolo.contexto import Contexto
from common.storage import company, connection
from common.storage.overlay import Overlay
from common.storage.pressure import Pressure
from tests.support.cluster import open_cluster
from tests.support.values import (
    NUMEROS,
    VALORES,
    Valor,
    in_file,
    make,
    on_connection,
    put,
    put_then_raise,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from common.servicos.protocolo.tabelas import Facts

AnyStorage = SharedStorage | PlainStorage
CALLERS = 20
# Seconds. Far more than anything here takes; a hang fails by name.
PATIENCE_S = 10.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database without numbers."""
    return make(tmp_path / "banco.db")


def _shared(path: Path) -> SharedStorage:
    return SharedStorage(path, synchronous="FULL", pressure=Pressure())


def _plain(path: Path) -> PlainStorage:
    return PlainStorage(path, synchronous="FULL")


@pytest.fixture(params=[_shared, _plain], ids=["shared", "plain"])
def open_storage(request: pytest.FixtureRequest) -> Callable[[Path], AnyStorage]:
    """Each way to store, in turn."""
    return request.param


@pytest.fixture
def banco(open_storage: Callable[[Path], AnyStorage], path: Path) -> Iterator[AnyStorage]:
    """The storage on that database."""
    opened = open_storage(path)
    yield opened
    run_to_end(opened.close())


def _write(banco: AnyStorage, *unit: Any) -> Any:
    return run_to_end(banco.unit(None, (), *unit))


def _all(banco: AnyStorage) -> list[int]:
    return [n for (n,) in run_to_end(banco.select(None, NUMEROS))]


def _together(banco: AnyStorage, units: list[tuple[Any, ...]]) -> list[Any]:
    """Run units in a thread each, all of them handed over while the first unit of all still runs.

    Their outcomes, in order; an error is one, too.
    """
    held, free = threading.Event(), threading.Event()
    outcomes: list[Any] = [None] * len(units)

    def hold(_: Facts) -> None:
        held.set()
        assert free.wait(PATIENCE_S)

    def run(place: int, unit: tuple[Any, ...]) -> None:
        try:
            outcomes[place] = _write(banco, *unit)
        except Exception as error:
            outcomes[place] = error

    threads = [threading.Thread(target=_write, args=(banco, hold))]
    threads[0].start()
    assert held.wait(PATIENCE_S)
    threads += [threading.Thread(target=run, args=each) for each in enumerate(units)]
    for thread in threads[1:]:
        thread.start()
    until = time.monotonic() + PATIENCE_S
    while isinstance(banco, SharedStorage) and banco.writer.queue < len(units):
        assert time.monotonic() < until
        time.sleep(0.001)
    free.set()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    return outcomes


def test_quem_espera_junto_partilha_um_commit(path: Path) -> None:
    """Units that wait together are one transaction; each caller has its own value."""
    banco = _shared(path)
    try:
        outcomes = _together(banco, [(put, n) for n in range(CALLERS)])
        assert outcomes == list(range(CALLERS))
        assert (banco.writer.units, banco.writer.batches) == (CALLERS + 1, 2)
        assert banco.writer.commit_s > 0
    finally:
        run_to_end(banco.close())


def test_sem_partilha_cada_chamada_tem_o_seu_commit(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plain way begins and commits for each call, on a connection that it opens and closes."""
    opened: list[sqlite3.Connection] = []
    statements: list[str] = []
    connect = connection.connect

    def watched(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        con = connect(*args, **kwargs)
        con.set_trace_callback(statements.append)
        opened.append(con)
        return con

    banco = _plain(path)
    monkeypatch.setattr("blocking.storage.connect", watched)
    try:
        assert _together(banco, [(put, n) for n in range(CALLERS)]) == list(range(CALLERS))
        assert (len(opened), statements.count("COMMIT")) == (CALLERS + 1, CALLERS + 1)
        assert banco.writer is None
        for con in opened:
            with pytest.raises(sqlite3.ProgrammingError, match="closed"):
                con.execute("SELECT 1")
    finally:
        run_to_end(banco.close())


def test_uma_unidade_devolve_o_seu_valor_depois_do_commit(banco: AnyStorage, path: Path) -> None:
    """A unit's value comes once another connection can see what it wrote."""
    assert _write(banco, put, 1) == 1
    assert in_file(path) == [1]


def test_uma_unidade_que_falha_nao_prejudica_as_outras(banco: AnyStorage) -> None:
    """What one unit raises rolls back its own work and is raised to its own caller."""
    outcomes = _together(banco, [(put, 1), (put_then_raise, 2), (put, 3)])
    assert (outcomes[0], outcomes[2]) == (1, 3)
    assert outcomes[1].categoria is Categoria.CONFLITO
    assert _all(banco) == [1, 3]


def test_uma_regra_do_esquema_quebrada_e_um_defeito(banco: AnyStorage) -> None:
    """A broken constraint is raised as such; trouble of the storage's own is unavailable."""
    _write(banco, put, 1)
    with pytest.raises(sqlite3.IntegrityError):
        _write(banco, put, 1)
    with pytest.raises(ErroServico) as caught:
        _write(banco, on_connection, "SELECT * FROM nada")
    assert caught.value.categoria is Categoria.INDISPONIVEL


def test_uma_leitura_ve_o_confirmado_e_nao_escreve(banco: AnyStorage) -> None:
    """A read begun after an acknowledgement sees what was acknowledged, and can change nothing."""
    for n in range(10):
        _write(banco, put, n)
        assert _all(banco)[-1] == n
        found = run_to_end(banco.read(None, (VALORES.of(n),), Overlay.get, VALORES, n))
        assert found == Valor(n)
    with pytest.raises(ErroServico):
        run_to_end(banco.read(None, (), put, 99))
    assert _all(banco) == list(range(10))


def test_escritores_de_muitas_threads_nao_se_perdem(banco: AnyStorage) -> None:
    """Each of many threads has every one of its units done, once."""
    threads = [
        threading.Thread(target=lambda k=k: [_write(banco, put, 100 * k + n) for n in range(10)])
        for k in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert _all(banco) == sorted(100 * k + n for k in range(8) for n in range(10))


def test_cada_commit_e_levado_ao_disco(banco: AnyStorage) -> None:
    """WAL, every commit flushed, foreign keys checked, whichever connection writes."""
    names = ("journal_mode", "synchronous", "foreign_keys")
    assert [_write(banco, on_connection, f"PRAGMA {name}") for name in names] == ["wal", 2, 1]


def test_fechado_e_indisponivel(open_storage: Callable[[Path], AnyStorage], path: Path) -> None:
    """What was acknowledged is there after closing; whoever comes later is told."""
    banco = open_storage(path)
    _write(banco, put, 1)
    run_to_end(banco.close())
    for call in (lambda: _write(banco, put, 2), lambda: _all(banco)):
        with pytest.raises(ErroServico) as caught:
            call()
        assert caught.value.categoria is Categoria.INDISPONIVEL
    assert in_file(path) == [1]


def test_fechar_faz_o_que_foi_entregue(path: Path) -> None:
    """Closing runs every unit handed over before it."""
    banco = _shared(path)
    done: list[int] = []
    free = threading.Event()
    units = [(lambda _: free.wait(PATIENCE_S),), *((put, n) for n in range(9))]
    threads = [
        threading.Thread(target=lambda unit=unit: done.append(_write(banco, *unit)))
        for unit in units
    ]
    for thread in threads:
        thread.start()
    while banco.writer.units + banco.writer.queue < len(units) - 1:
        time.sleep(0.001)
    closing_thread = threading.Thread(target=lambda: run_to_end(banco.close()))
    closing_thread.start()
    free.set()
    for thread in [*threads, closing_thread]:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert len(done) == len(units)


def test_abrir_o_que_nao_existe_e_indisponivel(
    open_storage: Callable[[Path], AnyStorage], tmp_path: Path
) -> None:
    """A database is never made by opening it."""
    with pytest.raises(ErroServico) as caught:
        open_storage(tmp_path / "nenhum.db")
    assert caught.value.categoria is Categoria.INDISPONIVEL
    assert not (tmp_path / "nenhum.db").exists()


def test_uma_tarefa_parada_tem_a_sua_unidade_feita(path: Path) -> None:
    """Stopping the task that waits does not undo a unit that was handed over."""
    banco, tasks = _shared(path), ThreadTasks()
    held, free, seen = threading.Event(), threading.Event(), []

    def slow(facts: Facts) -> None:
        held.set()
        assert free.wait(PATIENCE_S)
        put(facts, 1)

    async def waits() -> None:
        try:
            await banco.unit(None, (), slow)
        except TaskStoppedError:
            seen.append("stopped")
            raise

    task = tasks.start(waits())
    assert held.wait(PATIENCE_S)
    task.cancelar()
    run_to_end(tasks.stop())
    assert seen == ["stopped"]
    free.set()
    run_to_end(banco.close())
    assert in_file(path) == [1]


def test_o_tempo_do_banco_entra_no_registro(banco: AnyStorage) -> None:
    """A call's record holds the time it spent waiting for storage, the commit within it."""
    ctx = Contexto()
    run_to_end(banco.unit(ctx, (), put, 1))
    assert 0 < ctx.account.commit <= ctx.account.waits[0].length / 1e6 + 1e-6


def test_sob_pressao_o_lote_espera_por_companhia(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer thread waits for company by the same rule as the loops' storage."""
    monkeypatch.setattr(company.Company, "patience", lambda self, now: 60.0)
    banco = _shared(path)
    enough = company.BATCH_ENOUGH
    threads = [threading.Thread(target=_write, args=(banco, put, n)) for n in range(enough)]
    for thread in threads[:-1]:
        thread.start()
    while banco.writer.queue < enough - 1:
        time.sleep(0.001)
    assert banco.writer.batches == 0
    threads[-1].start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert (banco.writer.batches, banco.writer.units) == (1, enough)
    run_to_end(banco.close())


@pytest.mark.parametrize("arm", THREAD_ARMS)
async def test_pedidos_terminam_com_um_commit_por_chamada(
    arm: str, shop: Path, tmp_path: Path
) -> None:
    """With plain storage orders end as with shared commits, and the books agree."""
    async with open_cluster(arm, tmp_path, shop, storage="plain", stats=True) as cluster:
        replies = await asyncio.gather(*(cluster.create() for _ in range(12)))
        assert {reply.body["status"] for reply in replies} == {"enviado"}
        for reply in replies:
            cluster.check_shipped(reply.body["pedido_id"])
        cluster.check_books()
