"""When orders are due in an open loop: the rule behind every schedule."""

from __future__ import annotations

from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from loadgen.workload.plan import Share
from loadgen.workload.schedule import (
    ARRIVALS,
    Schedule,
    Stretch,
    instants,
    ramp,
    share_of,
    steady,
    steps,
)
from tests.support.loadgen_support import plan

RATES = st.floats(0, 200)
SCHEDULES = st.builds(
    Schedule,
    st.lists(st.builds(Stretch, RATES, RATES, st.floats(0.1, 5)), min_size=1, max_size=4).map(
        tuple
    ),
    st.sampled_from(ARRIVALS),
)
SEEDS = st.integers(0, 2**32)


def expected_until(schedule: Schedule, at: float) -> float:
    """The integral of the rate up to an instant, by its definition."""
    total = 0.0
    for stretch in schedule.stretches:
        inside = min(max(at, 0.0), stretch.length_s)
        total += (stretch.from_per_s + stretch.rate(inside)) / 2 * inside
        at -= stretch.length_s
    return total


@given(SCHEDULES, SEEDS)
@settings(deadline=None)
def test_chegadas_sao_as_da_semente_e_tantas_quantas_pedidas(schedule: Schedule, seed: int) -> None:
    """The same seed gives the same instants, in order, within the length, as many as asked for."""
    times = list(instants(schedule, seed))
    assert times == list(instants(schedule, seed))
    assert times == sorted(times)
    assert len(times) == schedule.count == round(schedule.expected)
    assert all(0 <= at <= schedule.length_s for at in times)


@given(SCHEDULES, SEEDS, st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_processos_juntos_tem_o_horario_de_um_so(schedule: Schedule, seed: int, of: int) -> None:
    """The shares of any number of processes are the whole schedule, each arrival once."""
    whole = list(share_of(schedule, seed, 0, 1))
    parts = [list(share_of(schedule, seed, index, of)) for index in range(of)]
    assert sorted(arrival for part in parts for arrival in part) == whole
    assert [number for number, _ in whole] == list(range(schedule.count))


@given(SCHEDULES)
@settings(max_examples=50, deadline=None)
def test_chegadas_constantes_seguem_a_integral_da_taxa(schedule: Schedule) -> None:
    """The k-th of constant arrivals comes when k arrivals are expected, in ramps and steps too."""
    constant = Schedule(schedule.stretches, "constant")
    for number, at in enumerate(instants(constant, 0)):
        assert expected_until(constant, at) == pytest.approx(number, abs=1e-6)


@pytest.mark.parametrize(
    "schedule", [steady(300, 60), ramp(50, 550, 60), steps(((100, 30), (500, 30)))]
)
def test_chegadas_de_poisson_passam_no_teste(schedule: Schedule) -> None:
    """Gaps in operational time are exponential, and counts of equal parts of it are Poisson."""
    times = [expected_until(schedule, at) for at in instants(schedule, 42)]
    assert len(times) == 18_000
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert stats.kstest(gaps, "expon").pvalue > 0.01
    constant = Schedule(schedule.stretches, "constant")
    even = [expected_until(schedule, at) for at in instants(constant, 42)]
    gaps = [later - earlier for earlier, later in pairwise(even)]
    assert stats.kstest(gaps, "expon").pvalue < 1e-6


def test_um_ano_de_chegadas_comeca_na_hora() -> None:
    """Arrivals are drawn one by one: a year of them begins at once, and none is kept."""
    year = steady(3_000, 365 * 86_400)
    assert len(list(islice(instants(year, 1), 1_000))) == 1_000


def test_um_plano_tem_chamadores_ou_um_horario() -> None:
    """A plan without a loop, with both, or with two lengths is refused."""
    schedule = steady(10, 1)
    with pytest.raises(ValueError, match="either callers"):
        plan(concurrency=0)
    with pytest.raises(ValueError, match="either callers"):
        plan(schedule=schedule, checkouts=None)
    with pytest.raises(ValueError, match="its own length"):
        plan(concurrency=0, schedule=schedule, checkouts=5)
    given_plan = plan(concurrency=0, schedule=schedule, checkouts=None, under_way_max=7)
    assert (given_plan.orders, given_plan.length_s) == (10, 1)
    shares = [Share(plan=given_plan, index=index, of=3) for index in range(3)]
    assert [share.under_way_max() for share in shares] == [3, 2, 2]
    assert [number for number, _ in shares[1].arrivals()] == [1, 4, 7]
