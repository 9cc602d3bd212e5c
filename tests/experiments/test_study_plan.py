"""Plans: what they mean, which cannot be done, and that the presets are what they promise."""

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from common import ROOT
from common.arms import LOOP_ARMS, MODES, THREAD_ARMS
from loadgen.study.design.cells import climbs, hunts, step, tasks
from loadgen.study.design.checks import Machine, check, this_machine
from loadgen.study.design.commands import commands, load_plan
from loadgen.study.design.duration import estimate_s, hunt_seconds, seconds_of
from loadgen.study.design.presets import FULL, PRESETS, QUICK, STANDARD
from loadgen.study.records.plan import (
    NO_WAIT,
    SHOP_WAIT,
    WORKERS,
    Curve,
    Fault,
    Ladder,
    PlanError,
    Study,
    Timeline,
    read_plan,
)
from loadgen.study.records.record import Found
from loadgen.testbed.chains import Chain
from loadgen.workload.plan import Population

BIG = Machine(open_files=100_000, ports=60_000, memory_mb=64_000)
CURVE = Curve(name="a", arms=("grpc",), repetitions=1, concurrency=(1,))
LADDER = Ladder(
    name="a", arms=("grpc",), repetitions=1, objectives=("p99<1s",), first_per_s=10, most_per_s=100
)
DOWN = Fault(service="estoque", kind="down", at_s=3, for_s=1)
TIMELINE = Timeline(name="a", arms=("grpc",), repetitions=1, rate_per_s=10, faults=(DOWN,))


def curve(**changes: Any) -> Curve:
    return msgspec.structs.replace(CURVE, **changes)


def ladder(**changes: Any) -> Ladder:
    return msgspec.structs.replace(LADDER, **changes)


def timeline(**changes: Any) -> Timeline:
    return msgspec.structs.replace(TIMELINE, **changes)


def fault(**changes: Any) -> Timeline:
    return timeline(faults=(msgspec.structs.replace(DOWN, **changes),))


# --- what cannot be done --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("experiment", "words"),
    [
        (curve(arms=("soap",)), "unknown arm 'soap', expected some of grpc, http"),
        (curve(arms=()), "arms must not be empty"),
        (curve(arms=("grpc", "grpc")), "arms names one value twice"),
        (ladder(arms=("bare-grpc",)), "unknown arm 'bare-grpc'"),
        (curve(name="A b"), "a name is lower-case"),
        (curve(repetitions=0), "repetitions must be at least 1"),
        (curve(payment_waits=((2.0, 1.0),)), "a payment wait is 0 <= least <= most"),
        (curve(payment_waits=((0.0, 60.0),)), "the timeout of 60 s"),
        (curve(seconds=0.5), "seconds at least 1"),
        (curve(warmup_s=-1.0), "warmup_s must be at least 0"),
        (curve(concurrency=(4, 4)), "concurrency names one value twice"),
        (curve(concurrency=(0,)), "concurrency and workers must be at least 1"),
        (curve(items=((0, 3),)), "items are 1 to 50 lines, not 0:3"),
        (curve(items=((1, 51),)), "items are 1 to 50 lines, not 1:51"),
        (curve(workers=(10, 100)), "workers need an arm on threads; grpc have none"),
        (curve(storages=("plain",)), "plain storage needs an arm on threads"),
        (curve(arms=("grpc-threads",), event_loops=("asyncio",)), "event loops need an arm"),
        (curve(arms=("grpc-threads",), loop_concurrency=(9,)), "loop_concurrency needs an arm"),
        (ladder(objectives=()), "a ladder needs objectives"),
        (ladder(objectives=("fast",)), "'fast' is no objective"),
        (ladder(objectives=("errors<5ms",)), "errors is given in %"),
        (ladder(first_per_s=200), "first_per_s <= most_per_s"),
        (ladder(growth=1.0), "growth and overload must be above 1"),
        (ladder(rungs=(0.0, 1.0)), "rungs must be above 0"),
        (ladder(recoveries=-1), "recoveries must be at least 0"),
        (ladder(workers=0), "workers must be at least 1"),
        (timeline(rate_per_s=0), "rate_per_s must be above 0"),
        (timeline(faults=()), "a timeline needs faults"),
        (fault(service="caixa"), "unknown service 'caixa'"),
        (fault(at_s=1), "must lie after the warm-up and before the end, 2 to 7 s"),
        (fault(for_s=5), "must lie after the warm-up"),
        (fault(for_s=0), "must last"),
        (fault(delay_s=1), "delay_s belongs to slow"),
        (fault(kind="slow"), "slow needs it"),
        (fault(kind="slow", delay_s=1, service="catalogo"), "has no part in an order"),
        (timeline(faults=(DOWN, DOWN)), "two faults of estoque overlap"),
    ],
)  # fmt: skip
def test_plano_impossivel_e_uma_linha(experiment: Any, words: str) -> None:
    """What contradicts itself or names what is not there is refused in one line that says where."""
    with pytest.raises(PlanError) as error:
        check(Study(name="x", experiments=(experiment,)), MODES, BIG)
    assert words in str(error.value)
    assert str(error.value).startswith(f"{experiment.name}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("experiment", "machine", "words"),
    [
        (curve(concurrency=(20_000,)), BIG, "an arm admits 16384 orders at once"),
        (curve(arms=("http",), concurrency=(4_000,)), Machine(4_096, 60_000, 64_000),
         "open files a process and this machine allows 4096"),
        (curve(arms=("http",), concurrency=(4_000,)), Machine(99_999, 1_000, 64_000),
         "local ports and this machine has 1000"),
        (curve(arms=("grpc-threads",), workers=(3_000,)), Machine(99_999, 60_000, 2_000),
         "this machine has 2000"),
    ],
)  # fmt: skip
def test_carga_que_a_maquina_nao_aguenta_e_uma_linha(
    experiment: Any, machine: Machine, words: str
) -> None:
    """A load beyond open files, ports or memory is refused with the figure; a large machine takes it."""
    study = Study(name="x", experiments=(experiment,))
    with pytest.raises(PlanError) as error:
        check(study, MODES, machine)
    assert words in str(error.value)
    if machine is not BIG:
        check(study, MODES, BIG)


def test_plano_sem_experimentos_ou_com_dois_de_um_nome_e_recusado() -> None:
    """A plan needs experiments, and each its own name."""
    with pytest.raises(PlanError, match="needs an experiment"):
        check(Study(name="x", experiments=()), MODES, BIG)
    with pytest.raises(PlanError, match="two experiments have this name"):
        check(Study(name="x", experiments=(CURVE, CURVE)), MODES, BIG)


@pytest.mark.parametrize("name", ["bad/../x", "", "Two words", "../x"])
def test_nome_de_plano_nao_e_caminho(name: str) -> None:
    """A plan's name becomes part of a directory's, and so is a name and nothing else."""
    with pytest.raises(PlanError, match="is no name of a plan"):
        check(Study(name=name, experiments=(CURVE,)), MODES, BIG)


def test_braco_que_esta_construcao_nao_tem_e_recusado() -> None:
    """An arm of the study that is not built is refused with those that are."""
    study = Study(name="x", experiments=(curve(arms=("http-threads",)),))
    with pytest.raises(PlanError, match="this build has no arm http-threads; it has grpc, http"):
        check(study, ("grpc", "http"), BIG)
    check(study, MODES, BIG)


def test_tempo_acima_do_orcamento_e_recusado() -> None:
    """A plan that takes longer than its budget says how long it would take."""
    study = Study(name="x", experiments=(curve(repetitions=100),), budget_minutes=5)
    with pytest.raises(PlanError, match="more than its budget of 5"):
        check(study, MODES, BIG)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("p.toml", "name = ", "p.toml"),
        ("p.json", "{", "p.json"),
        ("p.toml", 'name = "x"\nexperiments = []\nsed = 1', "unknown field `sed`"),
        ("p.json", '{"name": "x", "experiments": [{"type": "spiral"}]}', "spiral"),
        ("p.yaml", "name: x", "a plan is a .toml or a .json file"),
    ],
)
def test_arquivo_de_plano_errado_e_uma_linha(
    tmp_path: Path, name: str, content: str, words: str
) -> None:
    """A file that is no plan is refused with its name and what is wrong in it."""
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(PlanError) as error:
        read_plan(path)
    assert words in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("study", PRESETS.values(), ids=list(PRESETS))
def test_plano_vai_e_volta_de_um_arquivo(tmp_path: Path, study: Study) -> None:
    """A preset written as JSON is the same plan when it is read: presets are data."""
    path = tmp_path / "plan.json"
    path.write_bytes(msgspec.json.encode(study))
    assert read_plan(path) == study


def test_plano_do_readme_e_um_plano(tmp_path: Path) -> None:
    """The plan that the README shows can be read and done."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    path = tmp_path / "plan.toml"
    path.write_text(readme.split("```toml\n")[1].split("```")[0], encoding="utf-8")
    check(read_plan(path), MODES, BIG)


# --- what the presets promise ---------------------------------------------------------------------


@pytest.mark.parametrize("study", PRESETS.values(), ids=list(PRESETS))
def test_predefinidos_podem_ser_feitos_e_seus_nomes_sao_unicos(study: Study) -> None:
    """Every preset passes its own checks on a large machine, and no two runs share a name."""
    check(study, MODES, BIG)
    searches = [
        Found(hunt.ladder.name, hunt.arm, hunt.payment_wait_s, 100.0, None) for hunt in hunts(study)
    ]
    names = [task.id for task in (*tasks(study), *climbs(study, searches))]
    names += [step(study, hunt, 50.0, attempt).id for hunt in hunts(study) for attempt in (1, 2)]
    assert max(Counter(names).values()) == 1


def test_rapido_tem_quatro_bracos_tres_vezes_em_cinco_minutos() -> None:
    """--quick: all four arms, three fresh runs each at one load, under five minutes, and says so."""
    planned = tasks(QUICK)
    assert Counter(task.cell.arm for task in planned) == dict.fromkeys(MODES, 3)
    assert len({(task.cell.concurrency, task.cell.payment_wait_s) for task in planned}) == 1
    assert not hunts(QUICK)
    assert estimate_s(QUICK) < 300
    assert any("no knee and no fit" in limit for limit in QUICK.limits)


@pytest.mark.parametrize("study", [STANDARD, FULL], ids=["standard", "full"])
def test_estudos_grandes_tem_o_que_se_pediu(study: Study) -> None:
    """The larger presets hold the whole grid, every factor, the floor, the noise, knee and faults."""
    cells = [task.cell for task in tasks(study)]
    grid = [cell for cell in cells if cell.experiment.startswith("grid")]
    for arm in MODES:
        for wait in (SHOP_WAIT, NO_WAIT):
            own = [cell for cell in grid if cell.arm == arm and cell.payment_wait_s == wait]
            loads = Counter(cell.concurrency for cell in own)
            assert {1, 1_000, 4_000} <= loads.keys()
            assert min(times for load, times in loads.items() if load <= 4_000) >= 5
            # The law is fitted where nothing waits.
            assert wait == SHOP_WAIT or len(loads) >= 6
        crowds = {cell.concurrency for cell in grid if cell.arm == arm}
        assert (10_000 in crowds) == (arm in LOOP_ARMS)
    threads = [cell for cell in cells if cell.arm in THREAD_ARMS]
    assert {cell.workers for cell in threads} == {10, 100, 200, 1_000}
    assert {cell.storage for cell in threads} == {"shared", "plain"}
    assert {cell.event_loop for cell in cells if cell.arm in LOOP_ARMS} == {"uvloop", "asyncio"}
    assert {(1, 1), (50, 50)} <= {cell.items for cell in cells}
    assert {cell.arm for cell in cells if cell.bare} == {"bare-grpc", "bare-http"}
    assert {cell.twin for cell in cells} == {"", "A", "B"}
    assert {hunt.arm for hunt in hunts(study)} == set(MODES)
    most = [cell for cell in threads if cell.workers == cell.concurrency == 1_000]
    assert min(Counter(cell.arm for cell in most if any(cell.payment_wait_s)).values()) >= 5
    assert all(
        ladder.repetitions >= 5 for ladder in study.experiments if isinstance(ladder, Ladder)
    )
    faulty = [cell for cell in cells if cell.faults]
    for fault in faulty[0].faults:
        held = faulty[0].rate_per_s * (sum(SHOP_WAIT) / 2 + fault.delay_s)
        assert fault.kind != "slow" or held > WORKERS
    assert {cell.arm for cell in faulty} == set(MODES)
    assert len({cell.faults for cell in faulty}) == 1
    assert {fault.kind for fault in faulty[0].faults} == {"down", "slow"}


def test_padrao_dura_o_que_promete() -> None:
    """--standard fits into its own budget, which is under two hours."""
    assert estimate_s(STANDARD) / 60 <= STANDARD.budget_minutes <= 120


def test_repeticoes_sao_blocos_em_ordem_sorteada() -> None:
    """Each block holds every cell once, in an order of its own that the seed decides."""
    study = Study(
        name="x",
        experiments=(curve(arms=("grpc", "http"), concurrency=(1, 2, 3), repetitions=3),),
    )
    planned = tasks(study)
    blocks = [[task.cell for task in planned if task.repetition == n] for n in (1, 2, 3)]
    assert [cell for block in blocks for cell in block] == [task.cell for task in planned]
    assert all(len(block) == len({str(cell) for cell in block}) == 6 for block in blocks)
    assert blocks[0] != blocks[1]
    assert tasks(study) == planned
    assert tasks(msgspec.structs.replace(study, seed=1)) != planned


def test_aquecimento_cresce_com_os_chamadores() -> None:
    """All callers come at once: the warm-up lasts until each of them can have been answered once.

    Four thousand callers of two hundred threads that wait a second each need twenty seconds. With
    ten workers a thousand callers would need a hundred, more than an order may take: nobody waits.
    """
    study = Study(name="x", experiments=(
        curve(concurrency=(1, 1_000, 4_000), arms=("grpc-threads",), workers=(10, 200)),
    ))  # fmt: skip
    warmups = {
        (task.cell.concurrency, task.cell.workers): task.cell.warmup_s - 2.0
        for task in tasks(study)
    }
    assert warmups[1, 200] == pytest.approx(0, abs=0.1)
    assert warmups[1_000, 200] == pytest.approx(5)
    assert warmups[4_000, 200] == pytest.approx(20)
    assert warmups[1_000, 10] == pytest.approx(1)


def test_um_chamador_tem_quinze_pedidos() -> None:
    """A lone caller who waits a second for each order is given fifteen; a crowd, what was planned."""
    planned = tasks(Study(name="x", experiments=(curve(concurrency=(1, 100)),)))
    assert {task.cell.concurrency: task.cell.seconds for task in planned} == {1: 15.0, 100: 5.0}
    free = tasks(Study(name="x", experiments=(curve(payment_waits=(NO_WAIT,)),)))
    assert [task.cell.seconds for task in free] == [5.0]


def test_poucos_pedidos_contam_todos_o_seu_tempo() -> None:
    """Where few orders come each one tells its time in full; the command that is typed asks for as many."""
    planned = tasks(Study(name="x", experiments=(curve(concurrency=(1, 4_000)),)))
    chain = Chain("127.0.0.1:1", {}, Population((1,), (1,)))
    asked = {}
    for task in planned:
        plan = load_plan(task.cell, chain, task.seed)
        asked[task.cell.concurrency] = plan.sample_every
        load = commands(task.cell, task.seed)[2]
        assert f"--sample-every={plan.sample_every}" in load.split()
    assert asked[1] == 1
    assert asked[4_000] > 1


def test_multidao_sem_espera_tem_dois_processos_em_todo_braco() -> None:
    """Where hundreds of answers come at once two processes take them, whatever the arm; the command says so."""
    waits = (SHOP_WAIT, NO_WAIT)
    study = Study(name="x", experiments=(
        curve(arms=("grpc", "http-threads"), payment_waits=waits, concurrency=(64, 256)),
    ))  # fmt: skip
    for task in tasks(study):
        crowded = task.cell.concurrency == 256 and task.cell.payment_wait_s == NO_WAIT
        load = commands(task.cell, task.seed)[2]
        assert f"--processes={2 if crowded else 1}" in load.split()


def test_tempo_conta_o_que_cada_braco_faz() -> None:
    """Threads that wait drain a crowd at their arithmetic rate, and a search is not taken at its longest."""
    study = Study(name="x", experiments=(
        curve(arms=("grpc", "grpc-threads"), concurrency=(4_000,)),
        ladder(name="b", first_per_s=150, most_per_s=1_500, growth=2.0, resolution=0.5),
    ))  # fmt: skip
    lasts = {task.cell.arm: seconds_of(task.cell) for task in tasks(study)}
    assert lasts["grpc-threads"] == pytest.approx(3 + 2 + 20 + 5 + 20, abs=0.5)
    assert lasts["grpc"] < lasts["grpc-threads"] / 2
    hunt = hunts(study)[0]
    run = step(study, hunt, 150, 1).cell
    assert hunt_seconds(study, hunt) / seconds_of(run) == pytest.approx(5)


def test_bracos_de_uma_repeticao_compram_o_mesmo() -> None:
    """All cells of a repetition have one seed, and no two repetitions the same."""
    planned = tasks(Study(name="x", experiments=(curve(arms=("grpc", "http"), repetitions=3),)))
    seeds = {(task.repetition, task.seed) for task in planned}
    assert len(seeds) == 3
    assert len({seed for _, seed in seeds}) == 3


def test_degraus_vem_da_busca() -> None:
    """Rungs are shares of the rate found, the overload lies beyond it and ends at half of it."""
    study = Study(
        name="x", experiments=(ladder(rungs=(0.5, 1.0), overload=2.0, repetitions=2, recoveries=1),)
    )
    planned = climbs(study, [Found("a", "grpc", SHOP_WAIT, 64.0, 100.0)])
    assert sorted(task.cell.rate_per_s for task in planned) == [40.0, 40.0, 80.0, 80.0, 160.0]
    last = next(task.cell for task in planned if task.cell.phase == "recovery")
    assert [rate for rate, _ in last.steps] == [160.0, 40.0]
    assert sum(length for _, length in last.steps) == last.warmup_s + last.seconds
    assert climbs(study, [Found("a", "grpc", SHOP_WAIT, None, 1.0)]) == []


def test_esta_maquina_diz_seus_limites() -> None:
    """The limits of the machine at hand are real numbers."""
    machine = this_machine()
    assert min(machine.open_files, machine.ports, machine.memory_mb) > 0
