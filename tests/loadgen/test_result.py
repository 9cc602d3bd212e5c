"""What a recording means: figures, merging, validity, exit codes."""

import io
import json
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from common.servicos.protocolo.record import Hop
from loadgen import cli
from loadgen.attribution.hops import Hops, means
from loadgen.results import selfcheck
from loadgen.results.histograms import PRECISION, decoded, encoded, lag_histogram, latency_histogram
from loadgen.results.merge import merge
from loadgen.results.percentiles import P999_SAMPLES, latency
from loadgen.results.recorder import RECENT, Recorder, Recording
from loadgen.results.result import make_result, to_json
from loadgen.results.table import show
from loadgen.workload.outcomes import Kind, Outcome
from tests.support.loadgen_support import plan

MS = 1_000_000
OUTCOMES = st.builds(
    Outcome,
    st.sampled_from(get_args(Kind)),
    st.sampled_from(["", "prazo_esgotado", "indisponivel", "estoque_insuficiente"]),
)
# (sent after, lasted, outcome): milliseconds.
ORDERS = st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 70_000), OUTCOMES), max_size=60)


def record(orders, *, warmup_s: float = 0.0, lag_us=(100,)) -> Recording:
    recorder = Recorder(0, warmup_s, 60.0)
    for after_ms, lasted_ms, outcome in sorted(orders, key=lambda order: order[0]):
        sent = after_ms * MS
        recorder.sent(sent)
        recorder.ended(sent, sent, sent + lasted_ms * MS, outcome, "")
    lag = lag_histogram()
    for value in lag_us:
        lag.record_value(value)
    recording = recorder.recording(lag)
    recording.cpu_s = [0.01]
    return recording


def result_of(recording: Recording, **changes):
    return make_result(plan(**changes), recording, {})


@given(ORDERS, st.sampled_from([0.0, 1.0]))
@settings(max_examples=25, deadline=None)
def test_desfechos_somam_o_que_foi_enviado(orders, warmup_s: float) -> None:
    """Whatever happened, the outcomes sum to sent, and with the warm-up to all orders."""
    result = result_of(record(orders, warmup_s=warmup_s), warmup_s=warmup_s)
    counted = json.loads(to_json(result))
    outcomes = counted["outcomes"]
    total = outcomes["enviado"] + outcomes["pendente"] + outcomes["recusado"]
    total += sum(outcomes["cancelado"].values()) + sum(outcomes["erro"].values())
    assert total == counted["sent"] == counted["offered"]
    assert counted["sent"] + result.warmup.total() == len(orders)
    assert counted["completed"] <= counted["sent"]
    assert sum(second["sent"] for second in counted["timeline"]) == len(orders)


@given(ORDERS, st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_processos_juntos_valem_um_so(orders, processes: int) -> None:
    """Recordings merged across processes give the figures of one process that saw it all."""
    parts = [record(orders[index::processes]) for index in range(processes)]
    whole, merged = record(orders), merge(parts)
    assert latency(decoded(merged.latency)) == latency(decoded(whole.latency))
    assert (merged.outcomes, merged.in_time) == (whole.outcomes, whole.in_time)
    assert (merged.sent, merged.completed, merged.failed) == (
        whole.sent, whole.completed, whole.failed,
    )  # fmt: skip
    assert len(merged.cpu_s) == processes


@given(st.lists(st.integers(1, 60_000_000), min_size=1, max_size=500))
@settings(max_examples=25, deadline=None)
def test_percentis_estao_dentro_da_precisao_declarada(values) -> None:
    """A percentile is within a thousandth of the exact one on the raw samples."""
    histogram = latency_histogram(60.0)
    for value in values:
        histogram.record_value(value)
    figures = latency(decoded(encoded(histogram)))
    ordered = sorted(values)
    for name, share in (("p50", 50), ("p90", 90), ("p99", 99)):
        exact = ordered[max(0, int(share / 100 * len(values) + 0.5) - 1)] / 1e3
        assert getattr(figures, name) == pytest.approx(exact, rel=2e-3)
    assert figures.max == pytest.approx(ordered[-1] / 1e3, rel=2e-3)


@given(
    st.lists(st.integers(1, 60_000_000), min_size=1, max_size=300),
    st.integers(1, 4),
    st.sampled_from([0, 3_000, 250_000]),
)
@settings(max_examples=15, deadline=None)
def test_percentis_de_varios_processos_sao_os_das_amostras(values, processes, late_us) -> None:
    """Merged over processes, each percentile is that of all raw samples, within the precision.

    Both of latency, from the intended instant, and of service time, from the sending.
    """
    recordings = []
    for index in range(processes):
        recorder = Recorder(0, 0.0, 60.0)
        recorder.open_loop()
        for value in values[index::processes]:
            recorder.sent(late_us * 1_000, 0)
            end = (late_us + value) * 1_000
            recorder.ended(0, late_us * 1_000, end, Outcome("enviado"))
        recordings.append(recorder.recording(lag_histogram()))
    merged = merge(recordings)
    for text, ordered in (
        (merged.latency, sorted(late_us + value for value in values)),
        (merged.service, sorted(values)),
    ):
        figures = latency(decoded(text))
        for name, share in (("p50", 50), ("p90", 90), ("p95", 95), ("p99", 99), ("max", 100)):
            exact_us = ordered[max(0, int(share / 100 * len(values) + 0.5) - 1)]
            found_us = getattr(figures, name) * 1e3
            assert found_us == pytest.approx(exact_us, rel=10**-PRECISION, abs=1)


def test_sem_dez_mil_amostras_nao_ha_p999() -> None:
    """p99.9 is null below ten thousand samples, and there from then on."""
    histogram = latency_histogram(60.0)
    histogram.record_value(5_000, P999_SAMPLES - 1)
    assert latency(histogram).p999 is None
    histogram.record_value(5_000)
    assert latency(histogram).p999 == pytest.approx(5.0, rel=1e-3)


def test_sem_amostras_nao_ha_percentil() -> None:
    """Without samples every figure is null, not zero."""
    assert latency(latency_histogram(60.0)) == msgspec.convert(
        dict.fromkeys(("mean", "p50", "p90", "p95", "p99", "p999", "max")) | {"samples": 0},
        type=type(latency(latency_histogram(60.0))),
    )


def test_json_tem_o_contrato() -> None:
    """The result holds every field of the contract, under its name."""
    fields = json.loads(to_json(result_of(record([(0, 10, Outcome("enviado"))]))))
    assert {
        "offered", "sent", "completed", "duration_s", "throughput_per_s", "goodput_per_s",
        "outcomes", "latency_ms", "valid", "invalid_reasons", "mode", "seed", "environment",
    } <= set(fields)  # fmt: skip
    assert list(fields["outcomes"]) == ["enviado", "cancelado", "pendente", "recusado", "erro"]
    assert {"mean", "p50", "p90", "p95", "p99", "p999", "max"} <= set(fields["latency_ms"])
    # The raw data is kept, so that every figure can be computed again.
    again = msgspec.convert(fields["recording"], type=Recording)
    assert (
        result_of(again).latency_ms == result_of(record([(0, 10, Outcome("enviado"))])).latency_ms
    )


def test_terminal_depois_do_prazo_completa_mas_nao_e_goodput() -> None:
    """Goodput counts terminal answers within the deadline only."""
    result = result_of(record([(0, 10, Outcome("enviado")), (0, 61_000, Outcome("enviado"))]))
    assert result.completed == 2
    assert result.goodput_per_s == pytest.approx(result.throughput_per_s / 2, abs=0.001)


def test_taxa_constante_conta_enquanto_todos_tinham_o_que_enviar() -> None:
    """The steady rate leaves out the warm-up and the end, by when answers came."""
    orders = [(tenth * 100, 500, Outcome("enviado")) for tenth in range(31)]
    steady = result_of(record(orders, warmup_s=1.0), warmup_s=1.0).steady
    assert steady is not None
    assert (steady.from_s, steady.to_s) == (1.0, 3.0)
    assert steady.throughput_per_s == pytest.approx(10.0)
    assert result_of(record([(0, 10, Outcome("enviado"))])).steady is None


def test_quem_espera_atras_de_uma_fila_nao_invalida() -> None:
    """Where only orders of the warm-up are answered, a few a second, the rate counts and is valid."""
    queued = [(0, after * 100, Outcome("enviado")) for after in range(1, 41)]
    late = [(1_500 + each * 100, 60_000, Outcome("erro", "timeout")) for each in range(20)]
    result = result_of(
        record(queued + late, warmup_s=1.0), warmup_s=1.0, concurrency=40, duration_s=4.0
    )
    assert result.invalid_reasons == []
    assert result.completed == 0
    assert result.steady is not None
    assert result.steady.throughput_per_s == pytest.approx(10.0)


def test_taxa_de_um_so_chamador_vai_ate_o_fim_pedido() -> None:
    """A lone caller's rate is over the whole time asked for, the wait for the last answer with it."""
    orders = [(second * 1_000, 1_000, Outcome("enviado")) for second in range(11)]
    steady = result_of(record(orders, warmup_s=1.0), warmup_s=1.0, duration_s=11.0).steady
    assert steady is not None
    assert (steady.from_s, steady.to_s) == (1.0, 11.0)
    assert steady.throughput_per_s == pytest.approx(1.0)


GOOD = [(0, 1_000, Outcome("enviado"))]


@pytest.mark.parametrize(
    ("words", "recording"),
    [
        ("nothing was measured", record([])),
        ("none of 1 orders", record([(0, 1_000, Outcome("erro", "indisponivel"))])),
        ("loop was late by 103 ms", record(GOOD, lag_us=[103_000])),
        ("was the bottleneck", msgspec.structs.replace(record(GOOD), cpu_s=[0.99])),
        ("99% of a core", msgspec.structs.replace(record(GOOD), busiest=[0.3, 0.99])),
        ("interrupted", msgspec.structs.replace(record(GOOD), interrupted=True)),
        ("wall clock moved by -3.0 s", msgspec.structs.replace(record(GOOD), clock_step_s=-3.0)),
        ("open files", msgspec.structs.replace(record(GOOD), problems=["too few open files"])),
    ],
)
def test_gerador_fora_dos_seus_limites_invalida(words: str, recording: Recording) -> None:
    """Each way in which a generator fools itself makes the run invalid, with its reason."""
    result = result_of(recording)
    assert not result.valid
    assert any(words in reason for reason in result.invalid_reasons)
    assert cli.exit_code(result) == 3


def test_gerador_dentro_dos_seus_limites_vale() -> None:
    """On the near side of each bound the run is valid."""
    recording = record(GOOD, lag_us=[99_000])
    recording.cpu_s = [0.94]
    recording.busiest = [0.94]
    recording.clock_step_s = selfcheck.CLOCK_STEP_MAX_S
    assert result_of(recording).invalid_reasons == []


def test_a_espera_pelos_ultimos_nao_esconde_um_gerador_cheio() -> None:
    """A core full for twenty seconds is seen, though the last order takes a minute more to end."""
    clock = [0.0, 0.0]
    watch = selfcheck.LoopWatch(lambda: clock[0], lambda: clock[1])
    watch.look_at_cpu()
    assert watch.busiest is None
    for second in range(80):
        clock[0] += 1.0
        clock[1] += 1.0 if second < 20 else 0.01
        watch.look_at_cpu()
    assert watch.busiest == pytest.approx(1.0)
    recording = record([*GOOD, (20_000, 60_000, Outcome("erro", "prazo_esgotado"))])
    recording.cpu_s, recording.busiest = [20.6], [watch.busiest]
    merged = merge([recording, record(GOOD)])
    assert any("100% of a core" in reason for reason in result_of(merged).invalid_reasons)


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome("enviado"), 0),
        (Outcome("cancelado", "pagamento_rejeitado"), 0),
        (Outcome("recusado", "sobrecarga"), 1),
        (Outcome("erro", "indisponivel"), 1),
        (Outcome("pendente"), 1),
    ],
)
def test_codigo_de_saida_diz_se_todos_terminaram(outcome: Outcome, code: int) -> None:
    """Zero only when the run is valid and every order, of the warm-up too, is terminal."""
    assert cli.exit_code(result_of(record([*GOOD, (0, 5, outcome)]))) == code
    late = [(2_000, 1_000, Outcome("enviado")), (0, 5, outcome)]
    assert cli.exit_code(result_of(record(late, warmup_s=1.0), warmup_s=1.0)) == code


def shown(recording: Recording) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    show(result_of(recording), console)
    return console.export_text()


def test_tabela_diz_quando_a_loja_esgotou() -> None:
    """Above 5 % without stock the table says so and names the option; below it does not."""
    no_stock = (0, 10, Outcome("cancelado", "estoque_insuficiente"))
    sent = (0, 10, Outcome("enviado"))
    assert "--stock" in shown(record([no_stock] * 6 + [sent] * 94))
    assert "--stock" not in shown(record([no_stock] * 5 + [sent] * 95))


def test_tabela_mostra_um_exemplo_de_cada_erro() -> None:
    """Errors are in the table by kind, with one example of their words each."""
    errors = [(0, 10, Outcome("erro", "indisponivel", f"caiu [{n}]")) for n in range(3)]
    text = shown(record([*GOOD, *errors]))
    assert "erro: indisponivel" in text
    assert "indisponivel, for example: caiu [0]" in text


def test_tempos_por_salto_sao_medias_de_uma_amostra() -> None:
    """The timing records of sampled orders are averaged hop by hop."""
    hops = Hops()
    for order in range(5):
        hops.note([Hop("pedidos", 0, order * 1_000), Hop("pagamentos", 0, 1_500)])
    assert means(hops.sums()) == {"pedidos": {"dur": 2.0}, "pagamentos": {"dur": 1.5}}


def test_o_visto_ao_vivo_e_de_todo_o_segundo() -> None:
    """Of more answers than are shown at once, those shown are drawn from all, not from the first."""
    recorder = Recorder(0, 0.0, 60.0)
    for number in range(10 * RECENT):
        recorder.ended(0, 0, (number + 1) * 1_000, Outcome("enviado"))
    shown = recorder.live().recent_ms
    assert len(shown) == RECENT
    assert sum(shown) / RECENT == pytest.approx(5 * RECENT / 1e3, rel=0.1)
    recorder.ended(0, 0, 7_000_000, Outcome("enviado"))
    assert recorder.live().recent_ms == [7.0]
