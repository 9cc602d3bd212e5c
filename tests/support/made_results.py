"""A made-up but complete results directory, for tests of whoever reads results.

The figures are plausible and come from a seed: throughput by the Universal Scalability Law with
noise, latency by Little's law, a dip where a fault is, one order in each run that ends long after
all others, a recovery that differs from run to run. Nothing here was measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from common.arms import MODES, THREAD_ARMS
from loadgen.study.records import record as r
from loadgen.study.records import store
from loadgen.study.records.plan import (
    BARE_ARMS,
    NO_WAIT,
    SHOP_WAIT,
    Curve,
    Fault,
    Ladder,
    Study,
    Timeline,
    Wait,
)
from tests.support.made_runs import Made, cell_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

FAULTS: Final = (
    Fault(service="estoque", kind="down", at_s=6.0, for_s=3.0),
    Fault(service="fiscal", kind="slow", at_s=14.0, for_s=4.0, delay_s=1.0),
)
OBJECTIVES: Final = ("p99<2500ms", "errors<0.1%")
PLAN: Final = Study(
    name="made",
    experiments=(
        Curve(
            name="grid", arms=MODES, repetitions=5, payment_waits=(SHOP_WAIT, NO_WAIT),
            concurrency=(1, 8, 64, 256, 1_000, 4_000), loop_concurrency=(10_000,),
        ),
        Curve(name="floor", arms=BARE_ARMS, repetitions=3, payment_waits=(NO_WAIT,),
              concurrency=(1, 64)),
        Curve(name="noise", arms=("grpc",), repetitions=5, concurrency=(256,), twins=True),
        Curve(name="workers", arms=("grpc-threads", "http-threads"), repetitions=3,
              concurrency=(1_000,), workers=(10, 100, 1_000)),
        Curve(name="storage", arms=("grpc-threads", "http-threads"), repetitions=3,
              payment_waits=(NO_WAIT,), concurrency=(64,), storages=("shared", "plain")),
        Curve(name="event-loop", arms=("grpc", "http"), repetitions=3, payment_waits=(NO_WAIT,),
              concurrency=(64,), event_loops=("uvloop", "asyncio")),
        Curve(name="payload", arms=MODES, repetitions=3, payment_waits=(NO_WAIT,),
              concurrency=(64,), items=((1, 1), (10, 10), (50, 50))),
        Ladder(name="knee", arms=MODES, repetitions=3, objectives=OBJECTIVES,
               first_per_s=20, most_per_s=1_000),
        Timeline(name="faults", arms=MODES, repetitions=3, rate_per_s=40, faults=FAULTS,
                 seconds=25.0),
    ),
    limits=("made up: nothing here was measured",),
)  # fmt: skip


def make_results(
    directory: Path,
    seed: int = 7,
    *,
    repetitions: int | None = None,
    orders_a_run: int = 300,
    only: Collection[str] | None = None,
    plan: Study = PLAN,
) -> Path:
    """Write a complete study of a plan, every run valid; returns the directory.

    `repetitions` overrules those of the plan's experiments, `orders_a_run` is how many latencies
    each run's histogram holds, `only` names the experiments that are wanted: each run takes a
    twentieth of a second, and all of them are some four hundred.
    """
    made = Made(directory, seed, orders_a_run)
    searches: list[r.Found] = []
    chosen = [each for each in plan.experiments if only is None or each.name in only]
    plan = msgspec.structs.replace(plan, experiments=tuple(chosen))
    for experiment in chosen:
        times = range(1, (repetitions or experiment.repetitions) + 1)
        for arm in experiment.arms:
            for wait in experiment.payment_waits:
                if isinstance(experiment, Curve):
                    _curve(made, experiment, arm, wait, times)
                elif isinstance(experiment, Ladder):
                    searches.append(_ladder(made, experiment, arm, wait, times))
                else:
                    _timeline(made, experiment, arm, wait, times)
    environment: dict[str, Any] = {
        "python": "3.11.0", "packages": {"grpcio": "1.0"}, "platform": "Linux", "cpu_count": 2,
        "processor": "made up", "memory_mb": 8_000, "filesystem": "ext4", "commit": "0" * 40,
        "command": "python -m loadgen.study --standard", "date": "2026-01-02T03:00:00+00:00",
    }  # fmt: skip
    sitting = r.Sitting(
        environment["date"], "2026-01-02T04:00:00+00:00", environment["command"], "0" * 40,
        environment,
    )  # fmt: skip
    manifest = r.Manifest(
        format=r.FORMAT, preset="made", plan=plan, seed=plan.seed,
        durability="WAL, synchronous=FULL", environment=environment, order=tuple(made.order),
        sittings=(sitting,), searches=tuple(searches), complete=True,
    )  # fmt: skip
    store.write_manifest(directory, manifest)
    return directory


def _curve(made: Made, experiment: Curve, arm: str, wait: Wait, times: range) -> None:
    threads = arm in THREAD_ARMS
    loads = experiment.concurrency + (() if threads else experiment.loop_concurrency)
    for callers in loads:
        for workers in experiment.workers if threads else (None,):
            for storage in experiment.storages:
                for loop in (None,) if threads else experiment.event_loops:
                    for items in experiment.items:
                        for twin in ("A", "B") if experiment.twins else ("",):
                            cell = cell_of(
                                experiment.name, arm, wait, concurrency=callers, workers=workers,
                                storage=storage, event_loop=loop, items=items, twin=twin,
                            )  # fmt: skip
                            rate = made.capacity(cell)
                            for repetition in times:
                                made.run(cell, repetition, rate, callers / rate * 1e3)


def _ladder(made: Made, experiment: Ladder, arm: str, wait: Wait, times: range) -> r.Found:
    knee = made.capacity(cell_of(experiment.name, arm, wait)) * 0.8
    base_ms = sum(wait) / 2 * 1e3 + 20

    def go(phase: str, share: float, repetition: int, **changes: Any) -> None:
        rate = knee * share
        cell = cell_of(
            experiment.name, arm, wait, phase=phase, loop="open", rate_per_s=rate,
            objectives=experiment.objectives, **changes,
        )  # fmt: skip
        slower = 1.0 if share < 1 else 1 + 4 * (share - 1)
        made.run(cell, repetition, min(rate, 1.1 * knee), base_ms * slower)

    for share in (0.3, 0.6, 0.95, 1.2):
        go("search", share, 1)
    for repetition in times:
        for share in experiment.rungs:
            go("rung", share, repetition)
        beyond, back = knee * experiment.overload, knee / 2
        go(
            "recovery", experiment.overload, repetition,
            steps=((beyond, 2 + experiment.overload_s), (back, experiment.recovery_s)),
            seconds=experiment.overload_s + experiment.recovery_s,
        )  # fmt: skip
    return r.Found(experiment.name, arm, wait, knee * 0.95, knee * 1.2)


def _timeline(made: Made, experiment: Timeline, arm: str, wait: Wait, times: range) -> None:
    cell = cell_of(
        experiment.name, arm, wait, phase="timeline", loop="open",
        rate_per_s=experiment.rate_per_s, faults=experiment.faults,
        seconds=experiment.seconds or 5.0,
    )  # fmt: skip
    for repetition in times:
        made.run(cell, repetition, experiment.rate_per_s, sum(wait) / 2 * 1e3 + 30)
