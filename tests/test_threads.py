"""The ports of the arms on threads, and what threads share: nothing is lost between two of them."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from math import inf
from pathlib import Path
from typing import Any

import pytest

from blocking import execution
from blocking.execution import (
    TaskStoppedError,
    ThreadClock,
    ThreadExecution,
    ThreadPromise,
    in_task,
    interruptible,
    run_to_end,
    wait,
)
from blocking.grpc_threads.client import _made
from common import contratos as c
from common.admission import Slots
from common.circuit_breaker import FAILURES, CircuitBreaker, Timing
from common.erros import Categoria, ErroServico, indisponivel
from common.load import InFlight
from common.servicos import livro
from common.servicos.contexto import Contexto
from common.servicos.memoria import Memoria
from common.servicos.retentativa import Orcamento
from loadgen.arms import THREAD_ARMS
from tests.cluster import open_cluster

# Seconds. Far more than anything here takes; a hang fails by name.
PATIENCE_S = 10.0
CALLERS = 8


@pytest.fixture
def tasks() -> Iterator[ThreadExecution]:
    """An execution of the test's own, ended afterwards."""
    made = ThreadExecution()
    yield made
    run_to_end(made.encerrar())


def _soon(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


def _all_at_once(work: Callable[[int], object], callers: int = CALLERS) -> None:
    """Have so many threads work at the same time, each with its number; raises what one raises."""
    errors: list[BaseException] = []
    start = threading.Barrier(callers)

    def run(number: int) -> None:
        start.wait(PATIENCE_S)
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


# --- how a coroutine runs, and how a task stops ---------------------------------------------------


def test_uma_corrotina_cujas_portas_bloqueiam_vai_ao_fim_de_uma_vez() -> None:
    """Driven once it has its value, or raises what it raises."""

    async def works() -> int:
        await ThreadClock().dormir(0.001)
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


def test_uma_tarefa_para_na_espera_em_que_esta(tasks: ThreadExecution) -> None:
    """Asked to stop while it waits, a task stops there, whatever it waits for, and cleans up."""
    promise = ThreadPromise[int]()
    waits = {
        "event": lambda: wait(threading.Event()),
        "promise": lambda: run_to_end(promise.esperar(inf)),
        "sleep": lambda: run_to_end(ThreadClock().dormir(PATIENCE_S)),
    }
    left: list[str] = []

    async def stuck(name: str) -> None:
        assert in_task()
        try:
            waits[name]()
        finally:
            left.append(name)

    started = [tasks.iniciar(stuck(name)) for name in waits]
    time.sleep(0.01)
    assert tasks.em_curso() == 3
    assert tasks.em_curso(exceto=started[0]) == 2
    for task in started:
        task.cancelar()
    _soon(lambda: tasks.em_curso() == 0)
    assert sorted(left) == sorted(waits)
    assert promise._vigias == []


def test_uma_tarefa_para_na_proxima_espera(tasks: ThreadExecution) -> None:
    """Asked to stop while it works, a task goes on until it would wait, and no further."""
    working, go, reached = threading.Event(), threading.Event(), []

    async def works() -> None:
        working.set()
        go.wait(PATIENCE_S)  # work, not a port
        reached.append("the end of the work")
        wait(threading.Event(), time.monotonic())
        reached.append("beyond")

    task = tasks.iniciar(works())
    assert working.wait(PATIENCE_S)
    task.cancelar()
    go.set()
    _soon(lambda: tasks.em_curso() == 0)
    assert reached == ["the end of the work"]


@pytest.mark.parametrize("raises", [True, False], ids=["call fails", "call ends"])
def test_parar_interrompe_a_chamada_em_curso(tasks: ThreadExecution, raises: bool) -> None:
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

    task = tasks.iniciar(calls())
    time.sleep(0.01)
    task.cancelar()
    _soon(lambda: tasks.em_curso() == 0)
    assert seen == [TaskStoppedError]


@pytest.mark.parametrize("asked", ["before the call", "as it is sent"])
def test_uma_tarefa_que_deve_parar_nao_deixa_chamada_para_tras(
    tasks: ThreadExecution, asked: str
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

    task = tasks.iniciar(calls())
    assert begun.wait(PATIENCE_S)
    task.cancelar()
    go.set()
    _soon(lambda: tasks.em_curso() == 0)
    assert [call.cancelled() for call in sent] == [True] * (asked == "as it is sent")


def test_uma_falha_que_nao_e_parada_fica_como_e(tasks: ThreadExecution) -> None:
    """What a call raises by itself reaches whoever made it."""
    seen = []

    async def calls() -> None:
        with pytest.raises(OSError, match="broken"), interruptible(lambda: None):
            raise OSError("broken")
        seen.append(True)

    tasks.iniciar(calls())
    _soon(lambda: tasks.em_curso() == 0)
    assert seen == [True]


def test_threads_sem_tarefa_servem_outra_vez(
    tasks: ThreadExecution, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One task after the other runs in one thread, which ends when it has been idle long enough."""
    monkeypatch.setattr(execution, "OCIOSA_S", 0.05)
    seen: set[int] = set()

    async def note() -> None:
        seen.add(threading.get_ident())

    for _ in range(20):
        tasks.iniciar(note())
        _soon(lambda: tasks.em_curso() == 0)
    assert len(seen) == 1
    _soon(lambda: tasks._idle == 0)


def test_nenhuma_tarefa_se_perde_entre_threads_que_terminam(
    tasks: ThreadExecution, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task handed to a thread in the moment that this gives up waiting runs all the same."""
    monkeypatch.setattr(execution, "OCIOSA_S", 0.0005)
    done = Counter[int]()
    lock = threading.Lock()

    async def note(number: int) -> None:
        with lock:
            done[number] += 1

    def hand_over(number: int) -> None:
        for _ in range(50):
            tasks.iniciar(note(number))
            time.sleep(0.0005)

    _all_at_once(hand_over, 4)
    _soon(lambda: tasks.em_curso() == 0)
    assert done == dict.fromkeys(range(4), 50)


def test_um_defeito_numa_tarefa_fica_no_registro(
    tasks: ThreadExecution, caplog: pytest.LogCaptureFixture
) -> None:
    """What a task raises by mistake is logged; a task that was stopped says nothing."""

    async def defect() -> None:
        raise ValueError("oops")

    async def stopped() -> None:
        raise TaskStoppedError

    with caplog.at_level(logging.ERROR):
        tasks.iniciar(stopped())
        tasks.iniciar(defect())
        _soon(lambda: tasks.em_curso() == 0)
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["oops"]


def test_encerrar_nao_espera_para_sempre(monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be woken is left behind after a while, and daemonic; all else has ended."""
    monkeypatch.setattr(execution, "PARADA_S", 0.05)
    tasks, free = ThreadExecution(), threading.Event()

    async def deaf() -> None:
        free.wait(PATIENCE_S)

    async def waits() -> None:
        wait(threading.Event())

    tasks.iniciar(deaf())
    tasks.iniciar(waits())
    run_to_end(tasks.encerrar())
    assert tasks.em_curso() == 1
    free.set()
    _soon(lambda: tasks.em_curso() == 0)


def test_uma_promessa_acorda_todos_e_fica_com_o_primeiro_valor() -> None:
    """Any number of threads wait; the first setting counts, and who is late sees it too."""
    promise = ThreadPromise[int]()
    got = []

    def take(number: int) -> None:
        if number < 4:
            got.append(run_to_end(promise.esperar(inf)))
        else:
            promise.resolver(number)

    _all_at_once(take)
    assert len(got) == 4
    assert len(set(got)) == 1
    promise.falhar(indisponivel("tarde"))
    assert run_to_end(promise.esperar(0.0)) == got[0]


def test_uma_espera_tem_o_seu_fim() -> None:
    """A promise that is not kept in time gives None, and forgets who waited."""
    promise = ThreadPromise[int]()
    assert run_to_end(promise.esperar(time.monotonic() + 0.01)) is None
    assert promise._vigias == []


# --- what threads share ---------------------------------------------------------------------------


def test_vagas_nunca_sao_mais_do_que_ha(tasks: ThreadExecution) -> None:
    """Under any interleaving at most so many places are held, and in the end none is."""
    slots = Slots(em_voo_max=6, ativas_max=3, execucao=tasks)
    held, peak, lock = 0, 0, threading.Lock()
    outcomes: list[Categoria | None] = []

    def buy(number: int) -> None:
        nonlocal held, peak
        drawn = random.Random(number)
        for _ in range(60):
            patience = drawn.choice((0.0005, 0.005, PATIENCE_S))
            try:
                slot = run_to_end(slots.ocupar(Contexto(time.monotonic() + patience)))
            except ErroServico as error:
                outcomes.append(error.categoria)
                continue
            with lock:
                held += 1
                peak = max(peak, held)
            time.sleep(drawn.random() * 0.001)
            with lock:
                held -= 1
            slot.liberar()
            slot.liberar()
            outcomes.append(None)

    _all_at_once(buy)
    assert peak == 3
    assert (slots.ativas, slots.esperando) == (0, 0)
    assert set(outcomes) == {None, Categoria.SOBRECARGA}


def test_fechar_as_vagas_responde_a_todos(tasks: ThreadExecution) -> None:
    """Whoever waits when the places are closed is told so, also in the moment its time runs out."""
    for _ in range(20):
        slots = Slots(em_voo_max=CALLERS, ativas_max=1, execucao=tasks)
        first = run_to_end(slots.ocupar(Contexto()))
        ends = time.monotonic() + 0.005
        seen: list[Categoria] = []

        def wait_in_line(number: int, slots=slots, ends=ends, seen=seen) -> None:
            if number == 0:
                time.sleep(max(0.0, ends - time.monotonic()))
                slots.fechar()
                return
            with pytest.raises(ErroServico) as told:
                run_to_end(slots.ocupar(Contexto(ends)))
            seen.append(told.value.categoria)

        _all_at_once(wait_in_line)
        assert set(seen) <= {Categoria.INDISPONIVEL, Categoria.SOBRECARGA}
        assert len(seen) == CALLERS - 1
        first.liberar()
        assert (slots.ativas, slots.esperando) == (0, 0)


def test_o_disjuntor_conta_certo_entre_threads(tasks: ThreadExecution) -> None:
    """However calls interleave none is left counted, and an answer leaves it closed."""
    breaker = CircuitBreaker("estoque", Timing(5.0, 0.001), tasks, random.Random(1).random)
    failing, categories = threading.Event(), set()
    failing.set()

    async def method(ctx: Contexto, req: Any) -> Any:
        time.sleep(0.0002)
        if failing.is_set():
            raise indisponivel("fora")
        return req

    guarded = breaker.guard(method)

    def call(number: int) -> None:
        for turn in range(40):
            if number == 0 and turn == 20:
                failing.clear()
            try:
                run_to_end(guarded(Contexto(), number))
            except ErroServico as error:
                categories.add(error.categoria)
                run_to_end(breaker.esperar(time.monotonic() + 0.01))

    _all_at_once(call)
    assert categories == {Categoria.INDISPONIVEL}
    assert (breaker._waiting, breaker._trials) == (0, 0)
    run_to_end(breaker.esperar(time.monotonic() + PATIENCE_S))
    assert run_to_end(guarded(Contexto(), 1)) == 1
    assert breaker.firme()
    assert breaker._failures == 0 < FAILURES


def test_a_memoria_busca_uma_so_vez_ao_mesmo_tempo(tasks: ThreadExecution) -> None:
    """Never two fetches at once; nobody is given an older value than asked for, or an older error."""
    under_way, peak, lock = 0, 0, threading.Lock()

    async def fetch(ctx: Contexto) -> float:
        nonlocal under_way, peak
        with lock:
            under_way += 1
            peak = max(peak, under_way)
        begun = time.monotonic()
        time.sleep(0.0005)
        with lock:
            under_way -= 1
        return begun

    memory = Memoria(fetch, ThreadClock(), tasks)

    def ask(number: int) -> None:
        for _ in range(40):
            asked = time.monotonic()
            value = run_to_end(memory.obter(Contexto(), 0.001))
            # From a moment before the fetch's own reading of the clock on.
            assert value >= asked - 0.001
            if number % 2:
                memory.renovar()

    _all_at_once(ask)
    assert peak == 1
    _soon(lambda: memory._em_curso is None)


def test_uma_busca_que_falhou_nao_e_de_quem_vem_depois(tasks: ThreadExecution) -> None:
    """Who asks after a fetch has failed begins another one."""
    fetches = 0

    async def fetch(ctx: Contexto) -> int:
        nonlocal fetches
        fetches += 1
        raise indisponivel("fora")

    memory = Memoria(fetch, ThreadClock(), tasks)
    for number in range(1, 51):
        with pytest.raises(ErroServico):
            run_to_end(memory.obter(Contexto(), 1.0))
        assert fetches == number


def test_passos_em_voo_nunca_passam_do_limite() -> None:
    """Counted in many threads, steps stay within their bound and come back to nothing."""
    busy = InFlight()
    refused = 0

    def step(number: int) -> None:
        nonlocal refused
        for _ in range(200):
            if busy.enter(step=True, steps_max=3):
                assert busy.passos <= 3
                busy.leave(step=True)
            else:
                refused += 1

    _all_at_once(step)
    assert (busy.total, busy.passos) == (0, 0)


class _Shaky:
    """Pagamentos as Pedidos sees it: fails half of the time, and watches who calls it."""

    def __init__(self) -> None:
        self.twice: list[int] = []
        self._under_way: set[int] = set()
        self._lock = threading.Lock()
        self._draw = random.Random(3)

    async def processar_pagamento(
        self, ctx: Contexto, req: c.ProcessarPagamentoRequest
    ) -> c.AndamentoResponse:
        with self._lock:
            if req.pedido_id in self._under_way:
                self.twice.append(req.pedido_id)
            self._under_way.add(req.pedido_id)
            fails = self._draw.random() < 0.5
        time.sleep(0.001)
        with self._lock:
            self._under_way.discard(req.pedido_id)
        if fails:
            raise indisponivel("fora")
        return c.AndamentoResponse(req.pedido_id, "cancelado", "pagamento_rejeitado")


async def test_nunca_duas_conducoes_de_um_pedido_entre_threads(shop: Path, tmp_path: Path) -> None:
    """Claims of one key, retries and sweeps in many threads: one order a key, one drive at a time."""
    orders, shaky = 12, _Shaky()
    async with open_cluster(
        "grpc-threads", tmp_path, shop, "pedidos", circuit_breaker=False
    ) as cluster:
        app = cluster.apps["pedidos"]
        condutor, slots = app._condutor, app.slots
        condutor._pagamentos = shaky
        condutor._orcamento = Orcamento(lambda: 0.0)
        ids: dict[str, set[int]] = {f"k{n}": set() for n in range(orders)}

        def buy(number: int) -> None:
            if number < 2:
                for _ in range(40):
                    run_to_end(condutor.varrer())
                return
            for key, seen in ids.items():
                itens = (livro.ItemPrecificado(1, 1, 100),)
                novo = livro.NovoPedido(key, b"resumo", 1, "pix", itens)
                vaga = run_to_end(slots.ocupar(Contexto()))
                conducao = condutor.reivindicar(novo, vaga, Contexto())
                linha = run_to_end(conducao.reivindicada.esperar(inf))
                if not conducao.minha and not linha.terminal:
                    conducao = condutor.retomar(linha)
                run_to_end(conducao.fim.esperar(inf if conducao.minha else time.monotonic()))
                seen.add(linha.pedido_id)

        await cluster.arm.run(_as_coroutine(lambda: _all_at_once(buy)))
        for seen in ids.values():
            assert len(seen) == 1
            assert (await cluster.terminal(*seen))["status"] == "cancelado"
        assert shaky.twice == []
        assert cluster.orders() == orders
        await cluster.idle()
        _soon(lambda: slots.ativas == 0)
        recovery = condutor._recuperacao
        assert (condutor._vivas, condutor._reivindicando) == ({}, set())
        assert (recovery._em_curso, recovery._tentadas) == (set(), {})


async def _as_coroutine(work: Callable[[], object]) -> None:
    work()


@pytest.mark.parametrize("arm", THREAD_ARMS)
async def test_o_ritmo_e_trabalhadores_por_espera(arm: str, shop: Path, tmp_path: Path) -> None:
    """W workers, each held by its payment for p seconds, end W / p orders a second and no more."""
    workers, payment_s, rounds = 4, 0.4, 3
    latency = {"payment_latency_min_s": payment_s, "payment_latency_max_s": payment_s}
    async with open_cluster(arm, tmp_path, shop, workers=workers, **latency) as cluster:
        await cluster.create()
        start = time.monotonic()
        replies = await asyncio.gather(*(cluster.create() for _ in range(workers * rounds)))
        took = time.monotonic() - start
    assert {reply.body["status"] for reply in replies} == {"enviado"}
    # One at a time they would take four times as long; the rest is for a busy test machine.
    assert rounds * payment_s <= took < 3 * rounds * payment_s
