"""How coroutines and tasks run on threads: to the end at once, and stopped where they wait."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
import traceback
from collections import Counter
from concurrent.futures import Future
from contextlib import closing
from math import inf
from typing import TYPE_CHECKING, Any

import pytest

from blocking import execution
from blocking.execution import (
    TaskStoppedError,
    ThreadClock,
    ThreadPromise,
    ThreadTasks,
    in_task,
    interruptible,
    run_to_end,
    wait,
)
from blocking.grpc_threads.client import _made
from common.erros import Categoria, ErroServico, indisponivel, sobrecarga
from common.runtime.execution import AsyncTasks
from common.storage.batches import Batches
from common.storage.overlay import Unit
from common.storage.sqlite import SQLiteEngine
from tests.support.entre_threads import PATIENCE_S, all_at_once, soon
from tests.support.values import SCHEMA, put

if TYPE_CHECKING:
    from collections.abc import Iterator

# --- how a coroutine runs, and how a task stops ---------------------------------------------------


def test_uma_corrotina_cujas_portas_bloqueiam_vai_ao_fim_de_uma_vez() -> None:
    """Driven once it has its value, or raises what it raises."""

    async def works() -> int:
        await ThreadClock().sleep(0.001)
        return 7

    async def fails() -> None:
        raise indisponivel("fora")

    assert run_to_end(works()) == 7
    with pytest.raises(ErroServico):
        run_to_end(fails())


def test_uma_porta_que_suspende_e_um_defeito() -> None:
    """A port that suspends has nobody to wake it: said at once, with the coroutine closed."""
    closed = []

    class Suspends:
        def __await__(self) -> Iterator[None]:
            try:
                yield
            finally:
                closed.append(True)

    async def step() -> None:
        await Suspends()

    with pytest.raises(RuntimeError, match="suspended"):
        run_to_end(step())
    assert closed == [True]


def test_uma_tarefa_para_na_espera_em_que_esta(tasks: ThreadTasks) -> None:
    """Asked to stop while it waits, a task stops there, whatever it waits for, and cleans up."""
    promise = ThreadPromise[int]()
    waits = {
        "event": lambda: wait(threading.Event()),
        "promise": lambda: run_to_end(promise.wait(inf)),
        "sleep": lambda: run_to_end(ThreadClock().sleep(PATIENCE_S)),
    }
    left: list[str] = []

    async def stuck(name: str) -> None:
        assert in_task()
        try:
            waits[name]()
        finally:
            left.append(name)

    started = [tasks.start(stuck(name)) for name in waits]
    time.sleep(0.01)
    assert tasks.running() == 3
    assert tasks.running(exceto=started[0]) == 2
    for task in started:
        task.cancelar()
    soon(lambda: tasks.running() == 0)
    assert sorted(left) == sorted(waits)
    assert promise._vigias == []


def test_uma_tarefa_para_na_proxima_espera(tasks: ThreadTasks) -> None:
    """Asked to stop while it works, a task goes on until it would wait, and no further."""
    working, go, reached = threading.Event(), threading.Event(), []

    async def works() -> None:
        working.set()
        go.wait(PATIENCE_S)  # work, not a port
        reached.append("the end of the work")
        wait(threading.Event(), time.monotonic())
        reached.append("beyond")

    task = tasks.start(works())
    assert working.wait(PATIENCE_S)
    task.cancelar()
    go.set()
    soon(lambda: tasks.running() == 0)
    assert reached == ["the end of the work"]


@pytest.mark.parametrize("raises", [True, False], ids=["call fails", "call ends"])
def test_parar_interrompe_a_chamada_em_curso(tasks: ThreadTasks, raises: bool) -> None:
    """A call that holds the thread is made to fail; the task sees that it was stopped, no error."""
    interrupted, seen = threading.Event(), []

    def call() -> None:
        assert interrupted.wait(PATIENCE_S)
        if raises:
            raise OSError

    async def calls() -> None:
        try:
            with interruptible(interrupted.set):
                call()
        except BaseException as error:
            seen.append(type(error))
            raise

    task = tasks.start(calls())
    time.sleep(0.01)
    task.cancelar()
    soon(lambda: tasks.running() == 0)
    assert seen == [TaskStoppedError]


@pytest.mark.parametrize("asked", ["before the call", "as it is sent"])
def test_uma_tarefa_que_deve_parar_nao_deixa_chamada_para_tras(
    tasks: ThreadTasks, asked: str
) -> None:
    """Over gRPC a task that is to stop sends nothing more; what it was just sending is cancelled."""
    begun, go, sent = threading.Event(), threading.Event(), []

    class Channel:
        def future(self, data: bytes) -> Any:
            sent.append(Future())
            if asked == "as it is sent":
                begun.set()
                assert go.wait(PATIENCE_S)
            return sent[-1]

    async def calls() -> None:
        if asked == "before the call":
            begun.set()
            assert go.wait(PATIENCE_S)
        _made(Channel(), b"")

    task = tasks.start(calls())
    assert begun.wait(PATIENCE_S)
    task.cancelar()
    go.set()
    soon(lambda: tasks.running() == 0)
    assert [call.cancelled() for call in sent] == [True] * (asked == "as it is sent")


def test_uma_falha_que_nao_e_parada_fica_como_e(tasks: ThreadTasks) -> None:
    """What a call raises by itself reaches whoever made it."""
    seen = []

    async def calls() -> None:
        with pytest.raises(OSError, match="broken"), interruptible(lambda: None):
            raise OSError("broken")
        seen.append(True)

    tasks.start(calls())
    soon(lambda: tasks.running() == 0)
    assert seen == [True]


def test_threads_sem_tarefa_servem_outra_vez(
    tasks: ThreadTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One task after the other runs in one thread, which ends when it has been idle long enough."""
    monkeypatch.setattr(execution, "IDLE_AFTER_S", 0.05)
    seen: set[int] = set()

    async def note() -> None:
        seen.add(threading.get_ident())

    for _ in range(20):
        tasks.start(note())
        soon(lambda: tasks.running() == 0)
    assert len(seen) == 1
    soon(lambda: tasks._idle == 0)


def test_nenhuma_tarefa_se_perde_entre_threads_que_terminam(
    tasks: ThreadTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task handed to a thread in the moment that this gives up waiting runs all the same."""
    monkeypatch.setattr(execution, "IDLE_AFTER_S", 0.0005)
    done = Counter[int]()
    lock = threading.Lock()

    async def note(number: int) -> None:
        with lock:
            done[number] += 1

    def hand_over(number: int) -> None:
        for _ in range(50):
            tasks.start(note(number))
            time.sleep(0.0005)

    all_at_once(hand_over, 4)
    soon(lambda: tasks.running() == 0)
    assert done == dict.fromkeys(range(4), 50)


def test_um_defeito_numa_tarefa_fica_no_registro(
    tasks: ThreadTasks, caplog: pytest.LogCaptureFixture
) -> None:
    """What a task raises by mistake is logged; a task that was stopped says nothing."""

    async def defect() -> None:
        raise ValueError("oops")

    async def stopped() -> None:
        raise TaskStoppedError

    with caplog.at_level(logging.ERROR):
        tasks.start(stopped())
        tasks.start(defect())
        soon(lambda: tasks.running() == 0)
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["oops"]


def test_encerrar_nao_espera_para_sempre(monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be woken is left behind after a while, and daemonic; all else has ended."""
    monkeypatch.setattr(execution, "HALT_S", 0.05)
    tasks, free = ThreadTasks(), threading.Event()

    async def deaf() -> None:
        free.wait(PATIENCE_S)

    async def waits() -> None:
        wait(threading.Event())

    tasks.start(deaf())
    tasks.start(waits())
    run_to_end(tasks.stop())
    assert tasks.running() == 1
    free.set()
    soon(lambda: tasks.running() == 0)


def test_uma_promessa_acorda_todos_e_fica_com_o_primeiro_valor() -> None:
    """Any number of threads wait; the first setting counts, and who is late sees it too."""
    promise = ThreadPromise[int]()
    got = []

    def take(number: int) -> None:
        if number < 4:
            got.append(run_to_end(promise.wait(inf)))
        else:
            promise.resolve(number)

    all_at_once(take)
    assert len(got) == 4
    assert len(set(got)) == 1
    promise.fail(indisponivel("tarde"))
    assert run_to_end(promise.wait(0.0)) == got[0]


def test_uma_espera_tem_o_seu_fim() -> None:
    """A promise that is not kept in time gives None, and forgets who waited."""
    promise = ThreadPromise[int]()
    assert run_to_end(promise.wait(time.monotonic() + 0.01)) is None
    assert promise._vigias == []


# --- errors that many wait for --------------------------------------------------------------------

MANY = 200
# Frames of a traceback: that of the wait and that of whoever asked.
FRAMES_MAX = 4


def _apart(errors: list[ErroServico]) -> None:
    """Each is an exception of its own, with a trace of its own, that says the same."""
    assert len({id(error) for error in errors}) == MANY
    for error in errors:
        assert len(traceback.extract_tb(error.__traceback__)) <= FRAMES_MAX
        assert (error.categoria, error.detalhe) == (Categoria.SOBRECARGA, "cheio")
        assert error.repetir_apos_s == 2.0


async def test_whoever_waits_on_a_loop_gets_an_error_of_its_own() -> None:
    """One exception raised by thousands would grow a frame with each of them."""
    promise = AsyncTasks().promise()
    waiting = [asyncio.create_task(promise.wait(inf)) for _ in range(MANY)]
    await asyncio.sleep(0)
    promise.fail(sobrecarga("cheio", 2.0))
    _apart(await asyncio.gather(*waiting, return_exceptions=True))


def test_whoever_waits_in_a_thread_gets_an_error_of_its_own() -> None:
    """The same on threads, also for those who come when it has failed already."""
    promise = ThreadTasks().promise()
    promise.fail(sobrecarga("cheio", 2.0))
    errors = []
    for _ in range(MANY):
        with pytest.raises(ErroServico) as caught:
            run_to_end(promise.wait(inf))
        errors.append(caught.value)
    _apart(errors)


def test_each_unit_of_a_batch_that_fails_gets_an_error_of_its_own() -> None:
    """A disk error ends the work of all that shared the transaction, and each is told by itself."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as con:
        con.executescript(SCHEMA)
        batch = [Unit((), put, (n,), None) for n in range(3)]
        con.set_authorizer(_no_commit)
        outcomes, _ = Batches(SQLiteEngine(con)).run(batch)
    errors = [error for _, error in outcomes]
    assert len({id(error) for error in errors}) == 3
    assert {type(error) for error in errors} == {sqlite3.DatabaseError}
    assert len({(str(error), error.sqlite_errorcode) for error in errors}) == 1


def _no_commit(action: int, name: str | None, *_rest: object) -> int:
    """Refuses to end the transaction."""
    ends = action == sqlite3.SQLITE_TRANSACTION and name == "COMMIT"
    return sqlite3.SQLITE_DENY if ends else sqlite3.SQLITE_OK
