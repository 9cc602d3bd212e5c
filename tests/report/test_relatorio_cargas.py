"""The report on load: verdicts and what stands beside them, from made-up results that could mislead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import pytest

from common.arms import MODES
from loadgen.report.composition import compose
from loadgen.report.figures import estimates
from loadgen.report.figures.collection import Gathered, gather
from loadgen.report.rendering import markdown
from loadgen.report.sections import ceilings, loads, waterfalls
from loadgen.report.sections.scaling import fits
from loadgen.study.records import record as r
from loadgen.study.records import store
from loadgen.study.records.plan import NO_WAIT, SHOP_WAIT, Curve, Study
from tests.support.made_results import make_results
from tests.support.made_runs import SAMPLED

PLAN: Final = Study(
    name="loads",
    experiments=(
        Curve(name="grid", arms=MODES, repetitions=5, concurrency=(16, 1_000)),
        Curve(name="workers", arms=("grpc-threads",), repetitions=5, concurrency=(1_000,),
              workers=(1_000,)),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_results(tmp_path_factory.mktemp("loads"), plan=PLAN, orders_a_run=250)


def spaced(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def text_of(gathered: Gathered) -> str:
    return spaced(markdown.rendered(compose(gathered)))


def changed(gathered: Gathered, change: Callable[[r.RunRecord], r.RunRecord]) -> Gathered:
    """The same with each run changed."""
    for group in gathered.groups:
        group.runs[:] = map(change, group.runs)
    return gathered


def test_tres_execucoes_nao_dao_veredito(whole: Path) -> None:
    """What five runs tell apart is not told by three of them, in no table and no sentence."""
    gathered = gather([whole])
    assert "melhor, por" in text_of(gathered)
    for group in gathered.groups:
        del group.runs[3:], group.directories[3:]
    text = text_of(gathered)
    assert "melhor, por" not in text
    assert "×)" not in text
    assert "execuções de menos" in text


def test_braco_de_threads_diz_quantas(whole: Path) -> None:
    """An arm on threads is named with how many it has, for that number decides the result."""
    gathered = gather([whole])
    [group] = gathered.select(experiment="grid", arm="grpc-threads", concurrency=16)
    assert spaced(loads.arm_label([group], "grpc-threads")) == "gRPC (200 threads)"
    assert "gRPC (laço) × gRPC (200 threads)" in text_of(gathered)
    # Of several numbers none is the arm's.
    every = gathered.select(arm="grpc-threads")
    assert spaced(loads.arm_label(every, "grpc-threads")) == "gRPC (threads)"


def test_teto_e_lugares_por_espera(whole: Path) -> None:
    """The ceiling is places by mean wait, with as many places as threads, callers or drives there are."""
    gathered = gather([whole])

    def ceiling(arm: str, callers: int, experiment: str = "grid") -> float | None:
        [group] = gathered.select(experiment=experiment, arm=arm, concurrency=callers)
        return ceilings.ceiling_per_s(group.cell)

    mean_s = sum(SHOP_WAIT) / 2
    assert ceiling("grpc-threads", 1_000) == 200 / mean_s
    assert ceiling("grpc-threads", 1_000, "workers") == 1_000 / mean_s
    assert ceiling("grpc", 1_000) == 1_000 / mean_s
    assert ceiling("grpc", 16) == ceiling("grpc-threads", 16) == 16 / mean_s
    [group] = gathered.select(experiment="grid", arm="grpc", concurrency=16)
    free = msgspec.structs.replace(group.cell, payment_wait_s=NO_WAIT)
    assert ceilings.ceiling_per_s(free) is None


def test_laco_se_compara_com_mais_threads(whole: Path) -> None:
    """Loops stand against the other numbers of threads at the same load, in results and conclusion."""
    text = text_of(gather([whole]))
    assert "gRPC (laço) × gRPC (1.000 threads)" in text
    assert "Com outros números de threads, na mesma carga:" in text
    alone = gather([whole])
    kept = tuple(group for group in alone.groups if group.cell.experiment == "grid")
    without = Gathered(alone.sources, kept, ())
    assert "outro número, na mesma carga, é aqui não medido" in text_of(without)


def test_percentil_no_limite_de_espera_e_um_minimo(whole: Path) -> None:
    """Orders that timed out are not latencies: at least so much, their share shown, no ratio."""

    def late(run: r.RunRecord) -> r.RunRecord:
        assert run.result is not None
        if run.cell.arm != "http" or run.cell.concurrency != 1_000:
            return run
        latency = msgspec.structs.replace(run.result.latency_ms, p99=59_900.0)
        left = int(run.result.offered * 0.75)
        result = msgspec.structs.replace(run.result, latency_ms=latency, completed=left)
        return msgspec.structs.replace(run, result=result)

    before = gather([whole])
    assert "todo pedido medido teve uma resposta terminal" in text_of(before)
    gathered = changed(before, late)
    [group] = gathered.select(experiment="grid", arm="http", concurrency=1_000)
    assert isinstance(estimates.estimate(group, estimates.P99), estimates.AtLeast)
    assert not isinstance(estimates.estimate(group, estimates.P50), estimates.AtLeast)
    text = text_of(gathered)
    assert "sem razão: no limite de espera" in text
    assert "Pontos no limite de espera são um mínimo" in text
    assert "Pedidos sem resposta terminal" in text
    assert "25," in text


def test_threads_que_esperam_nao_tem_ajuste(tmp_path: Path) -> None:
    """Threads with a wait stop at threads by wait, which no law of contention describes."""
    curve = Curve(name="grid", arms=("grpc", "grpc-threads"), repetitions=1,
                  payment_waits=(SHOP_WAIT, NO_WAIT), concurrency=(1, 4, 16, 64, 256, 1_000))  # fmt: skip
    plan = Study(name="law", experiments=(curve,))
    gathered = gather([make_results(tmp_path, plan=plan, orders_a_run=40)])
    assert [
        each.name.split("\N{NO-BREAK SPACE}")[1] for each in fits(gathered, curve, SHOP_WAIT)
    ] == ["(laço)"]
    assert len(fits(gathered, curve, NO_WAIT)) == 2


def test_atribuicao_junta_as_repeticoes(tmp_path: Path) -> None:
    """Sampled orders of all runs are told together, and growth begins at the lightest load with enough."""
    curve = Curve(name="grid", arms=("grpc",), repetitions=3, concurrency=(1, 8, 64))
    directory = make_results(
        tmp_path, plan=Study(name="told", experiments=(curve,)), orders_a_run=40
    )
    gathered = gather([directory])
    [heavy] = gathered.select(concurrency=64)
    told = waterfalls.attributed(heavy, {})
    assert told is not None
    assert told.runs == 3
    assert told.median.n == pytest.approx(3 * SAMPLED / 10, abs=2)
    assert "gRPC (laço), de 1 cliente para 64: de" in text_of(gathered)
    [light] = gathered.select(concurrency=1)
    for run in light.runs:
        kept = store.read_run(directory, run.id)
        assert kept.result is not None
        recording = msgspec.structs.replace(
            kept.result.recording, samples=kept.result.recording.samples[:2]
        )
        result = msgspec.structs.replace(kept.result, recording=recording)
        store.write_run(directory, msgspec.structs.replace(kept, result=result))
    assert "gRPC (laço), de 8 clientes para 64: de" in text_of(gather([directory]))


def test_percentil_que_as_amostras_nao_sustentam_nao_e_dito(tmp_path: Path) -> None:
    """Of fifteen orders the 99th percentile is the slowest one: no figure, and no verdict on it."""
    curve = Curve(name="grid", arms=("grpc", "http"), repetitions=5, concurrency=(1,))
    plan = Study(name="few", experiments=(curve,))
    gathered = gather([make_results(tmp_path, plan=plan, orders_a_run=15)])
    [group] = gathered.select(arm="grpc")
    assert estimates.estimate(group, estimates.P99) is None
    assert estimates.estimate(group, estimates.P50) is not None
