"""A study as a whole: every run once, resumed where it was left, and what it says at its end."""

import asyncio
import io
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from rich.console import Console

from loadgen.results.result import Steady
from loadgen.study.analysis.comparison import compare_directories
from loadgen.study.analysis.ladder import sustained
from loadgen.study.analysis.summary import show
from loadgen.study.design.cells import Task, tasks
from loadgen.study.design.commands import commands, repeating
from loadgen.study.execution.campaign import Campaign, begin, resume
from loadgen.study.execution.neighbours import Reading, bytes_per_s, doubt, others_cores, reading
from loadgen.study.execution.progress import Progress
from loadgen.study.execution.repetition import read_only, repeat
from loadgen.study.execution.run import Bench
from loadgen.study.records import record as r
from loadgen.study.records import store
from loadgen.study.records.plan import NO_WAIT, Curve, Fault, Ladder, Study
from tests.support.made_runs import Made, cell_of

STUDY: Final = Study(
    name="made",
    experiments=(
        Curve(name="grid", arms=("grpc", "http"), repetitions=2, concurrency=(4, 8)),
        Ladder(
            name="knee", arms=("grpc", "http"), repetitions=2, objectives=("p99<2500ms",),
            first_per_s=40, most_per_s=1_000, rungs=(0.5, 1.0),
        ),
    ),
)  # fmt: skip
# What each made-up arm sustains, in orders a second.
KNEES: Final = {"grpc": 200.0, "http": 90.0}
SEARCH: Final = "knee-grpc-p0.5-1.5-search"


def quiet() -> Progress:
    return Progress(Console(file=io.StringIO()))


# Made-up runs by arm and whether it was beyond its knee: making one takes a while.
_MADE: dict[tuple[str, bool], r.RunRecord] = {}


class FakeRuns:
    """Makes up each run; the `stop_after`-th is cut off, as by an interrupt.

    `doubtful` runs are invalid, of `dirty` ones the audit found violations.
    """

    def __init__(
        self, stop_after: int | None = None, doubtful: Collection[str] = (), dirty: str = ""
    ) -> None:
        self._stop_after = stop_after
        self._doubtful = doubtful
        self._dirty = dirty
        self.asked: list[str] = []

    async def __call__(self, task: Task, bench: Bench) -> r.RunRecord:
        """Make up a run."""
        if len(self.asked) == self._stop_after:
            raise asyncio.CancelledError
        self.asked.append(task.id)
        cell = task.cell
        kind = (cell.arm, (cell.rate_per_s or 50.0) > KNEES[cell.arm])
        if kind not in _MADE:
            made = Made(Path())
            made.keep = lambda run: _MADE.update({kind: run})  # type: ignore[method-assign]
            made.run(cell, 1, cell.rate_per_s or 50.0, 9_000.0 if kind[1] else 300.0)
        run = msgspec.structs.replace(
            _MADE[kind], id=task.id, cell=cell, repetition=task.repetition, seed=task.seed
        )
        if task.id in self._doubtful:
            return msgspec.structs.replace(run, status="invalid", reasons=("the loop was late",))
        if task.id == self._dirty:
            audit = r.Verdict(clean=False, orders={}, rules=1, total=1, violations=("lost",))
            return msgspec.structs.replace(run, status="invalid", audit=audit)
        return run


async def go_on(directory: Path, manifest: r.Manifest, fakes: FakeRuns) -> Campaign:
    campaign = Campaign(directory, manifest, quiet(), fakes)
    await campaign.run()
    return campaign


# --- the whole ------------------------------------------------------------------------------------


async def test_cada_corrida_uma_vez_e_nada_mais(tmp_path: Path) -> None:
    """A study makes every run of its plan once, searches each knee, climbs it, and is complete."""
    fakes = FakeRuns()
    campaign = await go_on(tmp_path, begin(tmp_path, STUDY, "command"), fakes)
    manifest = store.read_manifest(tmp_path)
    assert manifest.complete
    assert sorted(fakes.asked) == sorted(manifest.order)
    assert len(set(fakes.asked)) == len(fakes.asked)
    assert {task.id for task in tasks(STUDY)} <= set(fakes.asked)
    found = {search.arm: search for search in manifest.searches}
    for arm, truth in KNEES.items():
        assert found[arm].rate_per_s <= truth < found[arm].beyond_per_s
    # Two rungs and an overload, twice, in each arm.
    rungs = [run for run in store.read_runs(tmp_path) if run.cell.phase in {"rung", "recovery"}]
    assert len(rungs) == 12
    assert campaign.statuses == {"ok": len(fakes.asked)}
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("stop_after", [0, 3, 9, 15])
async def test_interrompido_continua_sem_repetir(tmp_path: Path, stop_after: int) -> None:
    """Wherever it is cut off, what was complete is not made again and the rest is what it was."""
    whole = FakeRuns()
    await go_on(tmp_path / "whole", begin(tmp_path / "whole", STUDY, "command"), whole)
    directory = tmp_path / "cut"
    first = FakeRuns(stop_after)
    with pytest.raises(asyncio.CancelledError):
        await go_on(directory, begin(directory, STUDY, "command"), first)
    assert not store.read_manifest(directory).complete
    second = FakeRuns()
    await go_on(directory, resume(directory, "again"), second)
    assert first.asked + second.asked == whole.asked
    manifest = store.read_manifest(directory)
    assert manifest.complete
    assert manifest.order == store.read_manifest(tmp_path / "whole").order
    assert [sitting.command for sitting in manifest.sittings] == ["command", "again"]
    assert all(sitting.ended for sitting in manifest.sittings)


async def test_passo_duvidoso_da_busca_e_repetido(tmp_path: Path) -> None:
    """One invalid run does not bound a search: its rate is asked for once more."""
    fakes = FakeRuns(doubtful=[f"{SEARCH}-40ps-1"])
    await go_on(tmp_path, begin(tmp_path, STUDY, "command"), fakes)
    assert [name for name in fakes.asked if name.startswith(SEARCH)][:3] == [
        f"{SEARCH}-40ps-1", f"{SEARCH}-40ps-2", f"{SEARCH}-64ps-1",
    ]  # fmt: skip
    found = searched(tmp_path)
    assert found.rate_per_s <= KNEES["grpc"] < found.beyond_per_s
    assert found.doubts == ()


async def test_busca_limitada_pelo_gerador_diz_por_que(tmp_path: Path) -> None:
    """A rate that could not be believed twice bounds the search, and what was found says why."""
    fakes = FakeRuns(doubtful=[f"{SEARCH}-40ps-1", f"{SEARCH}-40ps-2"])
    await go_on(tmp_path, begin(tmp_path, STUDY, "command"), fakes)
    found = searched(tmp_path)
    assert (found.beyond_per_s, found.doubts) == (40, ("the loop was late",))


async def test_de_novo_recomeca_a_busca_inteira(tmp_path: Path) -> None:
    """Made again, a search that was misled starts anew: neither its rungs nor its rates stay."""
    misled = FakeRuns(doubtful=[f"{SEARCH}-40ps-1", f"{SEARCH}-40ps-2"])
    await go_on(tmp_path, begin(tmp_path, STUDY, "command"), misled)
    assert searched(tmp_path).rate_per_s < 40
    whole = FakeRuns()
    await go_on(tmp_path / "whole", begin(tmp_path / "whole", STUDY, "command"), whole)
    second = FakeRuns()
    await go_on(tmp_path, resume(tmp_path, "again", again=True), second)
    manifest = store.read_manifest(tmp_path)
    assert set(manifest.searches) == set(store.read_manifest(tmp_path / "whole").searches)
    assert sorted(manifest.order) == sorted(whole.asked)
    assert store.finished(tmp_path) == set(whole.asked)
    assert not [name for name in second.asked if name.startswith("knee-http")]
    assert set(misled.asked) - set(whole.asked) <= set(store.discarded(tmp_path))


async def test_auditoria_suja_nunca_se_perde(tmp_path: Path) -> None:
    """Going on with --again leaves a run whose audit found violations where it is."""
    dirty = "grid-grpc-p0.5-1.5-c4-r1"
    await go_on(tmp_path, begin(tmp_path, STUDY, "command"), FakeRuns(dirty=dirty))
    second = FakeRuns()
    await go_on(tmp_path, resume(tmp_path, "again", again=True), second)
    assert second.asked == []
    assert store.discarded(tmp_path) == ()
    assert store.read_run(tmp_path, dirty).status == "invalid"


async def test_corrida_de_outro_plano_nao_e_lida_por_esta(tmp_path: Path) -> None:
    """A run that is there but is not what the plan asks for is refused in one line."""
    await go_on(tmp_path, begin(tmp_path, STUDY, "command"), FakeRuns())
    run = store.read_run(tmp_path, f"{SEARCH}-40ps-1")
    cell = msgspec.structs.replace(run.cell, rate_per_s=50.0)
    store.write_run(tmp_path, msgspec.structs.replace(run, cell=cell))
    with pytest.raises(store.ResultsError, match="was made from another plan"):
        await go_on(tmp_path, resume(tmp_path, "again"), FakeRuns())


def searched(directory: Path) -> r.Found:
    """What the search of the gRPC arm found."""
    return next(each for each in store.read_manifest(directory).searches if each.arm == "grpc")


def made_run(**cell: Any) -> r.RunRecord:
    """One made-up run of a cell, at 50 orders a second."""
    kept: list[r.RunRecord] = []
    made = Made(Path())
    made.keep = kept.append  # type: ignore[method-assign]
    made.run(cell_of("grid", "grpc", NO_WAIT, **cell), 1, 50.0, 300.0)
    return kept[0]


def changed(run: r.RunRecord, **changes: Any) -> r.RunRecord:
    """A run whose result differs in this."""
    assert run.result is not None
    return msgspec.structs.replace(run, result=msgspec.structs.replace(run.result, **changes))


def test_sustentar_pede_objetivo_conclusao_e_fila_parada() -> None:
    """A rate is sustained only with its objectives met, 99 % completed, and no growing backlog."""
    good = made_run(phase="rung", loop="open", rate_per_s=50.0, objectives=("p99<2500ms",))
    assert good.result is not None
    assert sustained(good)
    assert not sustained(msgspec.structs.replace(good, status="invalid"))
    assert not sustained(changed(good, completed=int(0.98 * good.result.offered)))
    assert [objective.met for objective in good.result.objectives] == [True]
    missed = msgspec.structs.replace(good.result.objectives[0], met=False)
    assert not sustained(changed(good, objectives=[missed]))
    stuck = msgspec.structs.replace(good.result.recording, completed=[0])
    assert not sustained(changed(good, recording=stuck))


def test_ordens_que_se_contradizem_sao_ditas(tmp_path: Path) -> None:
    """Two results that rank two arms in opposite ways are told with the load and both arms."""
    study = msgspec.structs.replace(STUDY, experiments=(
        Curve(name="grid", arms=("grpc", "http"), repetitions=3, concurrency=(8,)),
    ))  # fmt: skip
    base = made_run(concurrency=8)
    for name, rates in (("one", (50.0, 100.0)), ("other", (100.0, 50.0)), ("same", (51.0, 99.0))):
        begin(tmp_path / name, study, "command")
        for task in tasks(study):
            rate = rates[task.cell.arm == "http"] + task.repetition
            steady = Steady(2.0, 7.0, int(5 * rate), rate)
            run = msgspec.structs.replace(changed(base, steady=steady), id=task.id, cell=task.cell)
            store.write_run(tmp_path / name, run)
        order = tuple(task.id for task in tasks(study))
        manifest = msgspec.structs.replace(store.read_manifest(tmp_path / name), order=order)
        store.write_manifest(tmp_path / name, manifest)
    out = io.StringIO()
    console = Console(file=out, width=200)
    assert compare_directories(tmp_path / "one", tmp_path / "same", console) == 0
    assert "1 pairs of arms ranked alike, 0 otherwise" in out.getvalue()
    assert compare_directories(tmp_path / "one", tmp_path / "other", console) == 1
    assert "8 callers" in out.getvalue()


async def test_resumo_diz_o_joelho_dos_degraus(tmp_path: Path) -> None:
    """The tables end with the knee that the rungs tell, how many runs it rests on, and any doubt."""
    doubtful = [f"{SEARCH}-{rate}ps-{attempt}" for rate in (262, 207) for attempt in (1, 2)]
    await go_on(tmp_path, begin(tmp_path, STUDY, "command"), FakeRuns(doubtful=doubtful))
    out = io.StringIO()
    show(tmp_path, Console(file=out, width=200))
    said = out.getvalue()
    assert "knee, http, payments 0.5 to 1.5 s: knee at 85.9 orders a second" in said
    assert "sustained by 2 runs" in said
    assert "no run could be believed: the loop was late" in said


# --- one run again --------------------------------------------------------------------------------


async def test_uma_corrida_de_novo(tmp_path: Path) -> None:
    """A single run, of a search even, is made again with its cell and seed into its own directory."""
    await go_on(tmp_path / "whole", begin(tmp_path / "whole", STUDY, "command"), FakeRuns())
    first = read_only(tmp_path / "whole", f"{SEARCH}-40ps-1")
    run = await repeat(tmp_path / "whole", first, tmp_path / "one", "command", FakeRuns())
    assert (run.id, run.cell, run.seed) == (first.id, first.cell, first.seed)
    manifest = store.read_manifest(tmp_path / "one")
    assert [each.id for each in store.read_runs(tmp_path / "one")] == list(manifest.order)
    assert (manifest.preset, manifest.complete) == ("only", True)
    with pytest.raises(store.ResultsError, match="has no complete run 'x'"):
        read_only(tmp_path / "whole", "x")


async def test_uma_corrida_cortada_nao_deixa_estudo(tmp_path: Path) -> None:
    """Interrupted, a run that is made again leaves nothing that has to be gone on with."""
    await go_on(tmp_path / "whole", begin(tmp_path / "whole", STUDY, "command"), FakeRuns())
    first = read_only(tmp_path / "whole", f"{SEARCH}-40ps-1")
    with pytest.raises(asyncio.CancelledError):
        await repeat(tmp_path / "whole", first, tmp_path / "one", "command", FakeRuns(0))
    assert not (tmp_path / "one" / store.MANIFEST).exists()


def test_corrida_com_falhas_se_repete_por_um_comando() -> None:
    """What no typing repeats, faults and bare chains, has one command that does."""
    fault = Fault(service="estoque", kind="down", at_s=3, for_s=1)
    assert commands(cell_of("f", "grpc", NO_WAIT, rate_per_s=9.0, faults=(fault,)), 1) == ()
    assert commands(cell_of("f", "bare-grpc", NO_WAIT, concurrency=1), 1) == ()
    words = "python -m loadgen.study --only a-r1 --from 'my results'"
    assert repeating(Path("my results"), "a-r1") == words


# --- where a study is made ------------------------------------------------------------------------


def test_retomar_em_outra_maquina_e_recusado(tmp_path: Path) -> None:
    """Going on with other packages or another machine is refused with what differs, unless asked for."""
    manifest = begin(tmp_path, STUDY, "command")
    then = manifest.sittings[0].environment
    other = then | {"cpu_count": 96, "packages": then["packages"] | {"grpcio": "0.1"}}
    sitting = msgspec.structs.replace(manifest.sittings[0], environment=other)
    store.write_manifest(tmp_path, msgspec.structs.replace(manifest, sittings=(sitting,)))
    with pytest.raises(store.ResultsError, match=r"cpu_count was 96 .*; grpcio was 0\.1 and is"):
        resume(tmp_path, "again")
    assert len(store.read_manifest(tmp_path).sittings) == 1
    there = resume(tmp_path, "again", elsewhere=True).sittings
    assert there[0].environment["cpu_count"] == 96
    assert there[1].environment == then | {
        name: there[1].environment[name] for name in ("date", "command")
    }
    resume(tmp_path, "once more")


def test_outros_programas_poem_a_corrida_em_duvida() -> None:
    """What others used of the processors is what everybody did less one's own, and is bounded."""
    before = Reading(0.0, 100.0, 10.0, 1_000)
    assert others_cores(before, Reading(10.0, 116.0, 25.0, None)) == pytest.approx(0.1)
    assert others_cores(before, Reading(10.0, 116.0, 27.0, None)) == 0
    assert doubt(0.2, 2) is None
    assert "0.21 of 2 processors" in (doubt(0.21, 2) or "")
    assert bytes_per_s(before, Reading(10.0, 0, 0, 6_000)) == 500
    assert bytes_per_s(before, Reading(10.0, 0, 0, None)) is None


def test_o_que_um_filho_gasta_e_proprio() -> None:
    """The processor time of a child that has ended is one's own, and no other program's."""
    before = reading()
    subprocess.run([sys.executable, "-c", "sum(range(10_000_000))"], check=True)
    after = reading()
    assert after.own_s - before.own_s >= 0.1
    assert after.at_s > before.at_s
