"""One checkout, whatever the arm: followed to its end, recorded, written to the history."""

import asyncio
from pathlib import Path

import pytest

from common.erros import Categoria, ErroServico
from loadgen.results.histograms import decoded
from loadgen.results.recorder import Recording
from loadgen.results.selfcheck import LoopWatch
from loadgen.workload.outcomes import SEM_EFEITO
from tests.support.loadgen_support import FakePedidos, checkout, lines, order


def recording_of(recorder) -> Recording:
    return recorder.recording(LoopWatch().lag)


async def test_resposta_terminal_e_o_desfecho() -> None:
    """A terminal answer ends the checkout at once, with its motivo."""
    answers = {
        1: order(1),
        2: order(2, "cancelado", "pagamento_rejeitado"),
        3: order(3, "entregue"),
    }
    pedidos = FakePedidos(answers.__getitem__)
    place, recorder, _ = checkout(pedidos)
    for number in range(3):
        assert (await place.place(0, number)).completed
    assert recording_of(recorder).outcomes == {
        "enviado": {"": 2},
        "cancelado": {"pagamento_rejeitado": 1},
    }
    assert pedidos.looks == 0


async def test_pedido_aceito_e_consultado_ate_o_fim_e_a_latencia_vai_ate_la(tmp_path: Path) -> None:
    """An order accepted with 202 is looked up until it is terminal; its latency runs to there."""
    seen = {1: order(1, "pendente"), 2: order(1, "cancelando")}
    pedidos = FakePedidos(lambda _: order(1, "pendente"), lambda look: seen.get(look, order(1)))
    place, recorder, history = checkout(pedidos, history=tmp_path / "h")
    outcome = await place.place(0, 0)
    history.close()
    assert outcome.kind == "enviado"
    assert pedidos.looks == 3
    # 50, 100 and 200 ms between the looks.
    assert decoded(recording_of(recorder).latency).get_max_value() >= 350_000
    reads = [line for line in lines(tmp_path / "h") if line["op"] == "consultar_pedido"]
    assert [line["type"] for line in reads] == ["invoke", "ok"] * 3
    assert {line["pedido_id"] for line in reads} == {1}


async def test_pedido_que_nao_termina_a_tempo_fica_pendente_no_seu_prazo() -> None:
    """An order still open at its deadline counts as pending, at the timeout in the latencies."""
    pedidos = FakePedidos(lambda _: order(1, "pendente"), lambda _: order(1, "pendente"))
    place, recorder, _ = checkout(pedidos, timeout_s=0.2)
    outcome = await place.place(0, 0)
    assert outcome.kind == "pendente"
    latency = decoded(recording_of(recorder).latency)
    assert latency.get_total_count() == 1
    assert latency.values_are_equivalent(latency.get_max_value(), 200_000)


async def test_consulta_que_falha_nao_e_o_fim_do_pedido() -> None:
    """A look-up that fails without certainty, or is shed, is tried again."""
    failures = {
        1: ErroServico(Categoria.INDISPONIVEL, "fora"),
        2: ErroServico(Categoria.SOBRECARGA, "cheio"),
    }
    pedidos = FakePedidos(lambda _: order(1, "pendente"), lambda look: failures.get(look, order(1)))
    place, _, _ = checkout(pedidos)
    assert (await place.place(0, 0)).kind == "enviado"


async def test_pedido_aceito_e_depois_desconhecido_e_um_erro() -> None:
    """A service that does not know an order it accepted is an error, not a refusal."""
    pedidos = FakePedidos(
        lambda _: order(1, "pendente"),
        lambda _: ErroServico(Categoria.NAO_ENCONTRADO, "não existe"),
    )
    place, recorder, _ = checkout(pedidos)
    await place.place(0, 0)
    assert recording_of(recorder).outcomes == {"erro": {"nao_encontrado": 1}}


@pytest.mark.parametrize("category", list(Categoria))
async def test_cada_categoria_de_erro_e_classificada(category: Categoria, tmp_path: Path) -> None:
    """Every category is a refusal without effect (`fail`) or an unknown outcome (`info`)."""
    place, recorder, history = checkout(
        FakePedidos(lambda _: ErroServico(category, "porque sim")), history=tmp_path / "h"
    )
    await place.place(3, 0)
    history.close()
    certain = category in SEM_EFEITO
    kind = "recusado" if certain else "erro"
    recording = recording_of(recorder)
    assert recording.outcomes == {kind: {category.value: 1}}
    assert recording.examples == {category.value: "porque sim"}
    invoke, end = lines(tmp_path / "h")
    assert invoke["type"] == "invoke"
    assert end["type"] == ("fail" if certain else "info")
    assert end["error"] == {"kind": category.value, "detail": "porque sim"}
    assert end["process"] == 3


def test_so_recusa_sem_efeito_quem_o_sabe_com_certeza() -> None:
    """Unavailable, too late and internal errors leave the effect unknown; nothing else does."""
    unknown = {Categoria.INDISPONIVEL, Categoria.PRAZO, Categoria.INTERNO}
    assert set(Categoria) - SEM_EFEITO == unknown


async def test_prazo_esgotado_conta_no_seu_prazo_e_outros_erros_nao_tem_latencia() -> None:
    """A timeout counts at its timeout; how fast another error came is not a latency."""
    errors = {
        1: ErroServico(Categoria.PRAZO, "tarde"),
        2: ErroServico(Categoria.INDISPONIVEL, "fora"),
    }
    place, recorder, _ = checkout(FakePedidos(errors.__getitem__), timeout_s=3.0)
    await place.place(0, 0)
    await place.place(0, 1)
    latency = decoded(recording_of(recorder).latency)
    assert latency.get_total_count() == 1
    assert latency.values_are_equivalent(latency.get_max_value(), 3_000_000)


async def test_defeito_do_cliente_e_contado_com_o_seu_nome() -> None:
    """An exception that no client should raise is counted and shown, never swallowed."""
    place, recorder, _ = checkout(FakePedidos(lambda _: ZeroDivisionError("ops")))
    await place.place(0, 0)
    recording = recording_of(recorder)
    assert recording.outcomes == {"erro": {"defeito": 1}}
    assert recording.examples == {"defeito": "ZeroDivisionError: ops"}


async def test_pedido_interrompido_tambem_entra_na_conta(tmp_path: Path) -> None:
    """An order under way when the run is left is unknown in the history and in the counts."""
    place, recorder, history = checkout(FakePedidos(delay_s=30), history=tmp_path / "h")
    task = asyncio.create_task(place.place(0, 0))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    history.close()
    assert recording_of(recorder).outcomes == {"erro": {"interrompido": 1}}
    assert [line["type"] for line in lines(tmp_path / "h")] == ["invoke", "info"]


async def test_latencia_conta_do_instante_pretendido() -> None:
    """An order sent late is as slow as its customer found it."""
    place, recorder, _ = checkout(FakePedidos(), begun_s=2.0)
    await place.place(0, 0, intended_ns=recorder.recording(LoopWatch().lag).start_ns)
    assert decoded(recording_of(recorder).latency).get_max_value() >= 2_000_000
