"""The study's statistics against known truths: intervals, the two laws, and the knee."""

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.results.recorder import Recording
from loadgen.study.analysis.statistics import (
    RUNS_PUBLISHED,
    Little,
    carried,
    compare,
    fit_usl,
    interval,
    little,
    ranking,
    recovery,
    shown,
    usl,
)
from loadgen.study.design.knee import (
    Search,
    backlog,
    drained_after_s,
    grows,
    kept_up,
    knee,
)
from loadgen.study.records.record import Flow, Found

LOADS = (1, 8, 32, 128, 512, 2_000, 4_000)


def runs(truth: float, n: int, draw: Random, spread: float = 0.05) -> list[float]:
    return [truth * draw.lognormvariate(0, spread) for _ in range(n)]


# --- intervals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [3, 5])
def test_intervalo_cobre_a_verdade_em_95_por_cento(n: int) -> None:
    """Of two thousand sets of runs, 95 in a hundred have the true median within their interval."""
    draw = Random(n)
    sets = [interval(runs(100.0, n, draw, 0.2)) for _ in range(2_000)]
    covered = sum(each.low <= 100.0 <= each.high for each in sets) / len(sets)
    # Four standard deviations of a count of 2,000 with 95 %.
    assert covered == pytest.approx(0.95, abs=0.02)


def test_intervalo_e_o_do_livro() -> None:
    """Three runs give exactly what Student's t with two degrees of freedom gives on logarithms."""
    found = interval([math.exp(1), math.exp(2), math.exp(3)])
    half = 4.302652729911275 / math.sqrt(3)
    assert found.mean == pytest.approx(math.exp(2))
    assert found.low == pytest.approx(math.exp(2 - half))
    assert found.high == pytest.approx(math.exp(2 + half))


def test_poucas_corridas_nao_tem_intervalo() -> None:
    """Two runs have no interval, three one that is not published, five one that is."""
    assert interval([1.0, 2.0]).low is None
    assert interval([1.0, 2.0, 3.0]).low is not None
    assert not interval([1.0] * (RUNS_PUBLISHED - 1)).published
    assert interval([1.0] * RUNS_PUBLISHED).published


@pytest.mark.parametrize("figures", [[], [1.0, 0.0], [-1.0]])
def test_nao_positivo_nao_tem_media(figures: list[float]) -> None:
    """No figure, or one that has no logarithm, is refused."""
    with pytest.raises(ValueError, match="positive"):
        interval(figures)


# The first one waits for scipy.
@settings(deadline=None)
@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=8), st.floats(0.01, 100))
def test_intervalo_nao_depende_da_unidade(figures: list[float], scale: float) -> None:
    """Milliseconds or seconds: the interval is the same, in the other unit."""
    one, other = interval(figures), interval([figure * scale for figure in figures])
    assert other.mean == pytest.approx(one.mean * scale)
    if one.low is not None:
        assert other.low == pytest.approx(one.low * scale)
        assert one.low <= one.mean * (1 + 1e-9)
        assert one.high >= one.mean * (1 - 1e-9)


def test_comparacao_so_afirma_o_que_os_intervalos_mostram() -> None:
    """Overlap reads as no difference, two runs as too few, apart as higher or lower."""
    near, same, far = [100.0, 104.0, 97.0], [101.0, 99.0, 105.0], [200.0, 204.0, 197.0]
    assert compare(near, same).shown == "no difference shown"
    assert compare(far, near).shown == "higher"
    assert compare(near, far).shown == "lower"
    assert compare(near, far[:2]).shown == "too few runs"
    assert compare(far, near).ratio == pytest.approx(2, rel=0.02)


def test_pares_iguais_raramente_diferem() -> None:
    """Two sets of the same truth are told apart far less often than one time in twenty."""
    draw = Random(1)
    told = sum(
        compare(runs(50, 5, draw), runs(50, 5, draw)).shown != "no difference shown"
        for _ in range(500)
    )
    assert told <= 25


def test_ordem_diz_so_os_pares_separados() -> None:
    """A ranking holds the pairs whose intervals do not overlap, and no other."""
    sets = {"a": [100.0, 101.0, 99.0], "b": [100.5, 99.5, 101.5], "c": [50.0, 50.5, 49.5]}
    assert ranking(sets) == [("a", "c"), ("b", "c")]


# --- the Universal Scalability Law ----------------------------------------------------------------


@settings(max_examples=10, deadline=None)
@given(
    gamma=st.floats(20, 500), alpha=st.floats(0.02, 0.4), beta=st.floats(1e-7, 1e-4),
    seed=st.integers(0, 1_000),
)  # fmt: skip
def test_lei_e_recuperada_do_ruido(gamma: float, alpha: float, beta: float, seed: int) -> None:
    """The curve fitted to noisy runs lies near the true one at every measured load."""
    draw = Random(seed)
    rates = {load: runs(usl(load, gamma, alpha, beta), 5, draw, 0.03) for load in LOADS}
    fit = fit_usl(rates)
    for load in LOADS:
        assert fit.at(load) == pytest.approx(usl(load, gamma, alpha, beta), rel=0.1)
    assert fit.worst < 0.1


def test_parametros_da_lei_ficam_em_seus_intervalos() -> None:
    """In most of thirty fits each true parameter lies within its interval."""
    truth, draw, hits = (150.0, 0.15, 5e-6), Random(3), [0, 0, 0]
    for _ in range(30):
        rates = {load: runs(usl(load, *truth), 5, draw, 0.03) for load in LOADS}
        fit = fit_usl(rates)
        for index, found in enumerate((fit.gamma, fit.alpha, fit.beta)):
            hits[index] += found.low <= truth[index] <= found.high
    assert min(hits) >= 24


def test_lei_sem_ruido_da_os_parametros() -> None:
    """Exact rates give the exact parameters, and the peak where the law has it."""
    fit = fit_usl({load: [usl(load, 100.0, 0.05, 1e-5)] for load in LOADS})
    assert fit.gamma.mean == pytest.approx(100.0)
    assert fit.alpha.mean == pytest.approx(0.05)
    assert fit.beta.mean == pytest.approx(1e-5)
    assert fit.peak == pytest.approx(math.sqrt(0.95 / 1e-5))
    assert fit.gamma.low is None


def test_lei_nao_passa_do_que_foi_medido() -> None:
    """Neither a rate nor a peak is told beyond the measured loads."""
    fit = fit_usl({load: [usl(load, 100.0, 0.05, 1e-9)] for load in LOADS})
    with pytest.raises(ValueError, match="beyond the measured loads, 1 to 4000"):
        fit.at(4_001)
    assert fit.peak is None


def test_menos_de_seis_cargas_nao_tem_ajuste() -> None:
    """Five loads are refused, whatever the number of runs."""
    rates = {load: [usl(load, 100.0, 0.05, 1e-5)] * 9 for load in LOADS[:5]}
    with pytest.raises(ValueError, match="6 loads or more, there are 5"):
        fit_usl(rates)


# --- Little's law ---------------------------------------------------------------------------------


def test_lei_de_little_acusa_instrumentos() -> None:
    """It holds within five per cent, fails beyond, and says nothing of an idle hop."""
    assert little(Flow(10.0, 100.0, 0.098, 5.0, 500, 500)) == Little(
        pytest.approx(0.02), short=False
    )
    assert little(Flow(10.0, 100.0, 0.09, 5.0, 500, 500)) == Little(pytest.approx(0.1), short=False)
    assert little(Flow(0.0, 0.0, 0.0, 5.0, 500, 0)) == Little(None, short=True)


@pytest.mark.parametrize(
    "flow",
    [
        # Under 200 calls, too few seen under way, and a window of less than five calls' time.
        Flow(10.0, 39.0, 0.2, 5.0, 500, 195),
        Flow(0.9, 100.0, 0.001, 5.0, 500, 500),
        Flow(1_000.0, 300.0, 1.1, 5.0, 500, 1_500),
    ],
)
def test_janela_curta_nao_acusa_ninguem(flow: Flow) -> None:
    """A window too short for its calls is not judged: chance alone puts the two sides apart."""
    found = little(flow)
    assert found.off is not None
    assert found.off > 0.05
    assert found.short


# --- percentiles and recoveries -------------------------------------------------------------------


def test_percentil_pede_dez_amostras_alem_dele() -> None:
    """A 99th percentile needs a thousand orders, a median twenty."""
    assert carried(99, 1_000)
    assert not carried(99, 999)
    assert carried(50, 20)
    assert not carried(50, 19)


def test_quem_nao_se_recuperou_nao_some() -> None:
    """One run that never recovered leaves no bounds to compare by; none at all leave no mean."""
    assert recovery([0.3, 0.4, 0.3, None, 0.4]) == recovery([0.3, 0.4, 0.3, 0.4, None])
    survivors = recovery([0.3, 0.4, 0.3, None, 0.4])
    assert (survivors.n, survivors.low, survivors.published) == (4, None, False)
    assert recovery([None, None]) is None


def test_recuperacoes_iguais_nao_sao_exatas() -> None:
    """Five runs that recovered in the same cell are known to half a cell, not better."""
    found = recovery([0.3] * 5)
    assert (found.low, found.high) == pytest.approx((0.25, 0.35))
    assert compare([0.3] * 5, [0.4] * 5).shown == "lower"
    assert shown(found, recovery([0.38] * 5)) == "no difference shown"
    assert recovery([0.0] * 5).mean > 0


# --- the knee -------------------------------------------------------------------------------------


@given(
    truth=st.floats(1.5, 900), first=st.floats(1, 200), growth=st.floats(1.2, 3),
    resolution=st.floats(0.05, 0.5),
)  # fmt: skip
def test_busca_acha_o_joelho(truth: float, first: float, growth: float, resolution: float) -> None:
    """With exact answers the search ends within its resolution, in as few steps as halving needs."""
    search = Search(first, 1_000, growth, resolution)
    while (rate := search.next()) is not None:
        search.note(rate, sustained=rate <= truth)
    # Up or down by the growth, and then by halvings.
    outward = math.log(1_000, growth) + 2
    halvings = math.log2(max(1.0, math.log(growth) / math.log(1 + resolution))) + 1
    assert search.steps <= outward + halvings
    if search.sustained is None:
        # It stops shrinking at one a second.
        assert truth < search.beyond < growth * 1.0001
        return
    assert search.sustained <= truth < search.beyond
    assert search.beyond / search.sustained <= (1 + resolution) * 1.0001


def test_busca_para_no_maximo_do_plano() -> None:
    """A rate that is sustained at the plan's most has nothing beyond it."""
    search = Search(100, 300, 2.0, 0.1)
    while (rate := search.next()) is not None:
        search.note(rate, sustained=True)
    assert (search.sustained, search.beyond) == (300, None)


def test_joelho_e_o_ultimo_degrau_antes_do_que_falhou() -> None:
    """A rung above one that failed does not count, even if it passed by chance."""
    found = knee({30: [True] * 5, 10: [True] * 5, 20: [True, True, False, True, None]})
    assert (found.rate_per_s, found.runs) == (10, 5)
    assert (found.beyond_per_s, found.missed, found.beyond_runs) == (20, 1, 4)
    assert knee({10: [False], 20: [True]}).rate_per_s is None
    assert knee({10: [True], 20: [True]}).beyond_per_s is None


def test_degrau_em_que_nao_se_acredita_nao_e_do_braco() -> None:
    """A rung of which no run is valid bounds what is known, and is not held against the arm."""
    found = knee({10: [True], 20: [None, None], 30: [False]})
    assert (found.rate_per_s, found.beyond_per_s, found.doubted_per_s) == (10, None, 20)


def simulated(draw: Random, rate: float, capacity: float) -> bool:
    """Whether a run at a rate seems sustained by an arm whose capacity varies a little by run."""
    return rate <= capacity * draw.gauss(1, 0.05)


def test_joelho_dos_degraus_quase_nunca_passa_da_capacidade() -> None:
    """Rungs of five runs put the knee above the true capacity in a few cases, one run in many."""
    draw, searched, climbed_above, brackets = Random(2), 0, 0, 0
    for _ in range(1_000):
        search = Search(150, 1_500, 2.0, 0.5)
        while (rate := search.next()) is not None:
            search.note(rate, sustained=simulated(draw, rate, 200))
        searched += search.sustained > 200
        middle = Found("k", "grpc", (0, 0), search.sustained, search.beyond).middle_per_s
        found = knee(
            {share * middle: [simulated(draw, share * middle, 200) for _ in range(5)]
             for share in (0.8, 1.0, 1.25)}
        )  # fmt: skip
        climbed_above += (found.rate_per_s or 0) > 200
        brackets += found.rate_per_s is not None and found.beyond_per_s is not None
    assert climbed_above < 20 < searched
    assert brackets > 850


def test_concluir_depois_nao_conta() -> None:
    """What a window offers must be completed in it, but for what chance leaves under way."""
    late = recording([10] * 100, [10] * 90 + [0] * 10 + [100])
    even = recording([10] * 100, [0, 0, 0, 0, 0, *[10] * 95, 50])
    assert not kept_up(late, 20, 100)
    assert kept_up(even, 20, 100)


def came_and_went(draw: Random, rate: float, served: float, seconds: int = 8) -> Recording:
    """A run of Poisson arrivals; an arm that ends at most `served` a second, each after a payment."""
    sent, completed = [0] * (10 * seconds), [0] * (10 * seconds + 600)
    at, free = draw.expovariate(rate), 0.0
    while at < seconds:
        sent[int(at * 10)] += 1
        free = max(at, free) + 1 / served
        completed[min(int((free + draw.uniform(0.5, 1.5)) * 10), len(completed) - 1)] += 1
        at += draw.expovariate(rate)
    return recording(sent, completed)


def climbs(run: Recording) -> bool:
    """Whether a run seems to keep up, from its second second on: as a rung is asked."""
    first, last = 20, len(run.sent)
    offered = sum(run.sent[first:last])
    return kept_up(run, first, last) and not grows(backlog(run)[first:last], offered)


@pytest.mark.parametrize("rate", [40, 150, 400])
def test_quem_acompanha_quase_nunca_e_recusado_pelo_acaso(rate: float) -> None:
    """Orders are under way together when they came together: that alone is no growing backlog."""
    draw = Random(rate)
    refused = sum(not climbs(came_and_went(draw, rate, 100 * rate)) for _ in range(500))
    assert refused <= 5


@pytest.mark.parametrize("rate", [40, 150, 400])
def test_quem_fica_para_tras_e_notado(rate: float) -> None:
    """An arm that ends four fifths of what comes is found out in nearly every run."""
    draw = Random(rate)
    kept = sum(climbs(came_and_went(draw, rate, 0.8 * rate)) for _ in range(200))
    assert kept <= (40 if rate == 40 else 4)


def test_fila_de_um_so_instante_nao_cresce() -> None:
    assert not grows([7], 10)


def recording(sent: list[int], completed: list[int]) -> Recording:
    return Recording(
        start_ns=0, last_send_ns=0, end_ns=0, outcomes={}, warmup={}, in_time=0, latency="", service="", lag="",
        sent=sent, completed=completed, failed=[1],
    )  # fmt: skip


def test_fila_e_o_que_foi_enviado_e_nao_terminou() -> None:
    """What is under way is all sent less all ended, cell by cell, though series differ in length."""
    assert backlog(recording([3, 2, 0], [0, 1, 2, 1])) == [2, 3, 1, 0]


def test_recuperacao_conta_ate_a_fila_assentar() -> None:
    """A backlog that falls to a level has recovered there, whatever it does once no more orders come."""
    # Ten seconds, two of them overloaded; some sixty orders are under way from the fifth on.
    sent = [30] * 20 + [6] * 80
    run = recording(sent, [12] * 20 + [16] * 30 + [6] * 50 + [6] * 10)
    assert backlog(run)[49] == backlog(run)[99] == 59
    assert drained_after_s(run, 2.0, 10.0) == pytest.approx(2.8, abs=0.2)
    # Taken to the last answer, its end would look like a backlog that still falls.
    assert drained_after_s(run, 2.0, 11.0) is None


def test_quem_ainda_cai_nao_se_recuperou() -> None:
    """None where what is under way still falls in the last quarter, or there is no quarter."""
    slow = recording([90] * 20 + [6] * 80, [15] * 20 + [12] * 80)
    assert drained_after_s(slow, 2.0, 10.0) is None
    assert drained_after_s(recording([5] * 6, [5] * 6), 0.5, 0.6) is None
