"""A fault as it came to pass, and when a run is again what it was: rate and latency, both."""

from pathlib import Path
from typing import Any, Final

import msgspec

from loadgen.results.timeline import Second
from loadgen.study.analysis.recovery import Spell, recovered_after_s, spells, usual
from loadgen.study.records import record as r
from loadgen.study.records.plan import NO_WAIT, Fault
from tests.support.made_runs import Made, cell_of

DOWN: Final = Fault(service="estoque", kind="down", at_s=5.0, for_s=3.0)
SLOW: Final = Fault(service="fiscal", kind="slow", at_s=14.0, for_s=5.0, delay_s=2.0)
CELL: Final = cell_of(
    "faults", "grpc", NO_WAIT, phase="timeline", loop="open", rate_per_s=40.0,
    faults=(SLOW, DOWN), seconds=28.0,
)  # fmt: skip
EVENTS: Final = (
    r.Happened(5.1, "down", "estoque"), r.Happened(8.2, "resumed", "estoque"),
    r.Happened(8.9, "up", "estoque"), r.Happened(14.0, "slow", "fiscal"),
    r.Happened(19.3, "usual", "fiscal"),
)  # fmt: skip


def made(**by_second: dict[int, Any]) -> r.RunRecord:
    """A run at 40/s and a p99 of 100 ms, but where `completed` or `p99_ms` say otherwise."""
    kept: list[r.RunRecord] = []
    maker = Made(Path())
    maker.keep = kept.append  # type: ignore[method-assign]
    maker.run(CELL, 1, 40.0, 50.0)
    usual_of = {"completed": 40, "p99_ms": 100.0}
    timeline = [
        Second(
            t=t, offered=40, sent=40, unsent=0, failed=0, p50_ms=50.0,
            **{name: by_second.get(name, {}).get(t, value) for name, value in usual_of.items()},
        )
        for t in range(40)
    ]  # fmt: skip
    assert kept[0].result is not None
    result = msgspec.structs.replace(kept[0].result, timeline=timeline)
    return msgspec.structs.replace(kept[0], result=result, events=EVENTS)


def test_faixas_sao_as_medidas() -> None:
    """A fault lies where it was seen to come and go, up to the next one or the schedule's end."""
    assert spells(made()) == [Spell(DOWN, 5.1, 8.2, 14.0), Spell(SLOW, 14.0, 19.3, 30.0)]
    unseen = msgspec.structs.replace(made(), events=())
    assert [(each.begin_s, each.end_s) for each in spells(unseen)] == [(5.0, 8.0), (14.0, 19.0)]


def test_usual_e_antes_da_primeira_falha() -> None:
    """What is usual is taken between the warm-up and the first fault, the slowest second's p99."""
    before = usual(made(completed={0: 1, 5: 0}, p99_ms={1: 900.0, 3: 120.0, 6: 5_000.0}))
    assert before is not None
    assert (before.completed_per_s, before.p99_ms) == (40.0, 120.0)
    assert usual(msgspec.structs.replace(made(), result=None)) is None


def test_ritmo_de_volta_com_latencia_alta_nao_e_recuperacao() -> None:
    """An arm that completes as many, but late, has not recovered until the latency is back too."""
    run = made(p99_ms=dict.fromkeys(range(14, 24), 2_100.0))
    slow = spells(run)[1]
    after = recovered_after_s(run, slow)
    assert after is not None
    assert abs(after - (24 - 19.3)) < 1e-9


def test_recuperacao_dura_tres_segundos() -> None:
    """One good second between bad ones is no recovery; three are."""
    run = made(completed={**dict.fromkeys(range(19, 26), 0), 21: 40})
    after = recovered_after_s(run, spells(run)[1])
    assert after is not None
    assert abs(after - (26 - 19.3)) < 1e-9


def test_nao_se_procura_alem_da_falha_seguinte() -> None:
    """What is not back when the next fault comes never came back."""
    run = made(completed=dict.fromkeys(range(5, 12), 0))
    down, slow = spells(run)
    assert recovered_after_s(run, down) is None
    assert recovered_after_s(run, slow) is not None
