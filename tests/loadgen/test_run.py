"""A closed-loop run: who sends when, what is left out, what the history holds."""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from common.erros import Categoria, ErroServico
from loadgen.driver import crew as crew_module
from loadgen.driver.callers import ClosedLoop
from loadgen.driver.crew import Crew, CrewError
from loadgen.driver.worker import Report
from loadgen.workload.history import History, Line, join_histories
from loadgen.workload.outcomes import PENDING, SENT
from loadgen.workload.plan import Share
from tests.support.loadgen_support import FakePedidos, lines, order, plan, run, share_run


async def test_cada_pedido_e_enviado_uma_vez_por_no_maximo_n_chamadores() -> None:
    """The callers share the orders, and never have more under way than there are callers."""
    pedidos = FakePedidos(delay_s=0.001)
    recording = await run(plan(concurrency=4, checkouts=50), pedidos)
    assert len(pedidos.placed) == 50
    assert pedidos.most_under_way == 4
    assert recording.outcomes == {"enviado": {"": 50}}


async def test_chaves_nunca_se_repetem() -> None:
    """Every order of a run has its own key, and another run with the same seed has others."""
    keys = []
    for run_id in ("a", "b"):
        pedidos = FakePedidos()
        await run(plan(run_id=run_id), pedidos)
        keys += [key for key, _ in pedidos.placed]
    assert len(set(keys)) == len(keys) == 40


def test_processos_dividem_chamadores_e_pedidos_sem_sobra() -> None:
    """The shares of any number of processes are the whole plan, each part once."""
    given = plan(concurrency=10, checkouts=33)
    for count in (1, 2, 3, 7):
        shares = [Share(plan=given, index=index, of=count) for index in range(count)]
        assert sorted(n for share in shares for n in share.callers()) == list(range(10))
        assert sorted(n for share in shares for n in share.orders()) == list(range(33))


async def test_duracao_para_de_enviar_e_termina_o_que_esta_em_curso() -> None:
    """After the duration no new order is sent; those under way come to their end."""
    pedidos = FakePedidos(delay_s=0.3)
    start = time.monotonic()
    recording = await run(plan(concurrency=3, checkouts=None, duration_s=0.4), pedidos)
    assert 0.4 <= time.monotonic() - start < 2
    assert sum(recording.outcomes["enviado"].values()) == len(pedidos.placed)
    # Two orders a caller, the second of which was under way at the end.
    assert 3 <= len(pedidos.placed) <= 6
    assert not recording.interrupted


async def test_aquecimento_fica_de_fora_por_regra() -> None:
    """Orders sent during the warm-up are counted apart and are not in the latencies."""
    pedidos = FakePedidos(delay_s=0.02)
    recording = await run(plan(concurrency=2, checkouts=40, warmup_s=0.2), pedidos)
    warm, measured = recording.warmup["enviado"][""], recording.outcomes["enviado"][""]
    assert warm + measured == 40
    assert warm >= 2
    assert measured >= 10


async def test_interrupcao_termina_o_que_esta_em_curso_e_a_segunda_nao() -> None:
    """A first interrupt lets orders under way finish; a second leaves them, still accounted for."""
    for second in (False, True):
        share = Share(plan=plan(concurrency=3, checkouts=1000))
        running = share_run(share, FakePedidos(delay_s=0.2))
        task = asyncio.create_task(running.run())
        await asyncio.sleep(0.05)
        running.stop()
        if second:
            running.abort()
        recording = await task
        assert recording.interrupted
        expected = {"erro": {"interrompido": 3}} if second else {"enviado": {"": 3}}
        assert recording.outcomes == expected


async def test_quem_falha_espera_antes_do_proximo() -> None:
    """A refusal is not answered by a storm: the pause doubles up to a second, and is forgotten."""
    pauses = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def place(caller: int, number: int):
        return SENT if number in {5, 7} else PENDING

    await ClosedLoop(place, range(9), [0], sleep=sleep).run()
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.0, 0.1, 0.1]


async def test_dez_mil_chamadores_comecam_em_levas() -> None:
    """A thousand callers start at once, more of them in waves that no listening queue notices."""
    pauses = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def place(caller: int, number: int):
        return SENT

    await ClosedLoop(place, range(10_000), range(10_000), sleep=sleep).run()
    assert sum(pauses) == pytest.approx(4.5, abs=0.1)
    pauses.clear()
    await ClosedLoop(place, range(999), range(999), sleep=sleep).run()
    assert pauses == []


async def test_historia_tem_inicio_antes_do_fim_e_um_fim_para_cada_inicio(tmp_path: Path) -> None:
    """Every call has one invoke, written and stamped before its one completion."""
    answers = {3: ErroServico(Categoria.SOBRECARGA, "cheio"), 5: order(5, "pendente")}
    pedidos = FakePedidos(lambda n: answers.get(n, order(n)), lambda _: order(5))
    await run(plan(checkouts=30), pedidos, tmp_path / "h")
    invoked: dict[tuple[str, str], int] = {}
    ended: Counter[tuple[str, str]] = Counter()
    for line in lines(tmp_path / "h"):
        call = (line["key"], line["op"])
        if line["type"] == "invoke":
            invoked[call] = line["time_ns"]
        else:
            assert invoked[call] <= line["time_ns"]
            ended[call] += 1
    assert set(invoked) == set(ended)
    assert len(ended) == 31
    first = lines(tmp_path / "h")[0]
    assert set(first) == {"type", "op", "key", "process", "time_ns", "request"}
    assert set(first["request"]) == {"cliente_id", "itens", "metodo_pagamento"}
    sent = next(line for line in lines(tmp_path / "h") if line["type"] == "ok")
    assert set(sent["answer"]) == {
        "pedido_id", "status", "motivo", "valor_total_centavos",
        "pagamento", "nota_fiscal", "envio",
    }  # fmt: skip
    assert sent["pedido_id"] == sent["answer"]["pedido_id"]


def test_historias_de_processos_juntam_se_por_tempo(tmp_path: Path) -> None:
    """The histories of several processes become one, in order of time, and the parts go."""
    parts = [tmp_path / "h.0", tmp_path / "h.1"]
    for index, part in enumerate(parts):
        history = History(part)
        for step in range(5):
            history.write(
                Line(
                    type="invoke",
                    op="criar_pedido",
                    key="k",
                    process=index,
                    time_ns=2 * step + index,
                )
            )
        history.close()
    join_histories(parts, tmp_path / "h")
    assert [line["time_ns"] for line in lines(tmp_path / "h")] == list(range(10))
    assert not any(part.exists() for part in parts)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
async def test_historia_que_nao_se_pode_escrever_invalida_a_corrida() -> None:
    """A full disk ends the history, not the run, and the run says so."""
    recording = await run(plan(), FakePedidos(), Path("/dev/full"))
    assert recording.outcomes == {"enviado": {"": 20}}
    assert recording.problems == ["the history could not be written: No space left on device"]


async def test_parar_antes_do_comeco_e_dito_pela_equipe() -> None:
    """A stop while the processes prepare starts nothing, and one sentence says so."""
    crew = Crew(plan(), processes=2)
    running = asyncio.create_task(crew.run())
    await asyncio.sleep(0)
    crew.stop()
    with pytest.raises(CrewError, match="interrupted before its first order"):
        await running


async def test_processo_que_deve_parar_antes_do_comeco_termina_calado() -> None:
    """A process that is told to stop instead of when to start ends well, without a word."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "loadgen.driver.worker", stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    said, problem = await process.communicate(msgspec.json.encode(Share(plan=plan())) + b"\nstop\n")
    assert msgspec.json.decode(said, type=Report) == Report(ready=True)
    assert (process.returncode, problem) == (0, b"")


async def test_gravacao_mais_longa_que_qualquer_linha_chega_inteira(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The length of a recording has no bound in the protocol, that of a line has."""
    monkeypatch.setattr(crew_module, "LINE_MAX", 256)
    # Nobody listens there: every order fails at once.
    recording = await Crew(plan(concurrency=4, checkouts=4)).run()
    assert recording.outcomes == {"erro": {"indisponivel": 4}}
    assert len(msgspec.json.encode(recording)) > 256
