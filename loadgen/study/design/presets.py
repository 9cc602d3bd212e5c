"""The studies that have a name, from five minutes to hours.

A preset is a plan like any other: `--list` shows its runs, `manifest.json` keeps it whole.
"""

from __future__ import annotations

from typing import Final

from common.arms import LOOP_ARMS, MODES, THREAD_ARMS
from loadgen.study.records.plan import (
    BARE_ARMS,
    NO_WAIT,
    SHOP_WAIT,
    Curve,
    Fault,
    Ladder,
    Study,
    Timeline,
)

# What an answer at the edge may take: the shop's slowest payment, and a second for all the rest.
OBJECTIVES: Final = ("p99<2500ms", "errors<0.1%")
# The same instants in every arm: one service dies and stays away, later another becomes slow, by
# so much that orders under way at FAULTS_PER_S come to more than an arm's threads: 45 x (1 + 4) s is
# 225 of 200. Without that a slow service is only waited for, and nothing in front of it fills up.
FAULTS: Final = (
    Fault(service="estoque", kind="down", at_s=7.0, for_s=3.0),
    Fault(service="fiscal", kind="slow", at_s=17.0, for_s=6.0, delay_s=4.0),
)
# What each arm sustains with its usual wait, with some margin.
FAULTS_PER_S: Final = 45.0
FAULTS_S: Final = 30.0

QUICK: Final = Study(
    name="quick",
    experiments=(
        Curve(name="arms", arms=MODES, repetitions=3, concurrency=(256,)),
    ),
    warmup_s=2.5,
    budget_minutes=5,
    limits=(
        "one load only: no curve, no knee and no fit of a law",
        "three runs of each arm: intervals are shown for the eye, none is published",
    ),
)  # fmt: skip

_GRID_NO_WAIT: Final = Curve(
    name="grid-no-wait", arms=MODES, repetitions=5, payment_waits=(NO_WAIT,),
    concurrency=(1, 16, 64, 256, 1_000, 4_000), seconds=4.0,
)  # fmt: skip

# Five runs on fewer loads rather than three on many: nothing can be said of three.
STANDARD: Final = Study(
    name="standard",
    experiments=(
        Curve(name="grid", arms=MODES, repetitions=5, concurrency=(1, 100, 1_000, 4_000)),
        Curve(name="grid-crowd", arms=LOOP_ARMS, repetitions=3, concurrency=(10_000,)),
        _GRID_NO_WAIT,
        Curve(name="floor", arms=BARE_ARMS, repetitions=3, payment_waits=(NO_WAIT,),
              concurrency=(1, 64)),
        Curve(name="noise", arms=("grpc",), repetitions=5, payment_waits=(NO_WAIT,),
              concurrency=(64,), twins=True),
        Curve(name="noise-wait", arms=("grpc-threads",), repetitions=5, concurrency=(100,),
              twins=True),
        # As many threads as callers, so that no limit of ours stands between the two models.
        Curve(name="workers-most", arms=THREAD_ARMS, repetitions=5, concurrency=(1_000,),
              workers=(1_000,)),
        Curve(name="workers", arms=THREAD_ARMS, repetitions=3, concurrency=(1_000,),
              workers=(10, 100)),
        Curve(name="storage", arms=THREAD_ARMS, repetitions=3, payment_waits=(NO_WAIT,),
              concurrency=(64,), storages=("plain",)),
        Curve(name="event-loop", arms=LOOP_ARMS, repetitions=3, payment_waits=(NO_WAIT,),
              concurrency=(64,), event_loops=("asyncio",)),
        Curve(name="payload", arms=LOOP_ARMS, repetitions=3, payment_waits=(NO_WAIT,),
              concurrency=(64,), items=((1, 1), (50, 50))),
        Ladder(name="knee", arms=MODES, repetitions=5, recoveries=3, objectives=OBJECTIVES,
               first_per_s=150, most_per_s=1_500, growth=2.0, resolution=0.5,
               rungs=(0.8, 1.0, 1.25), overload_s=5.0, recovery_s=10.0),
        Timeline(name="faults", arms=MODES, repetitions=3, rate_per_s=FAULTS_PER_S, faults=FAULTS,
                 seconds=FAULTS_S),
    ),
    budget_minutes=115,
    limits=(
        "three runs at most of ten thousand callers, a factor, an overload, a fault: no verdict",
        "with the shop's payment wait four loads are run: no law is fitted to them",
    ),
)  # fmt: skip

FULL: Final = Study(
    name="full",
    experiments=(
        Curve(name="grid", arms=MODES, repetitions=5, payment_waits=(SHOP_WAIT, NO_WAIT),
              concurrency=(1, 4, 16, 64, 128, 256, 512, 1_000, 2_000, 4_000),
              loop_concurrency=(10_000,)),
        Curve(name="floor", arms=BARE_ARMS, repetitions=5, payment_waits=(SHOP_WAIT, NO_WAIT),
              concurrency=(1, 16, 64, 256, 1_000, 4_000)),
        Curve(name="noise", arms=MODES, repetitions=5, payment_waits=(SHOP_WAIT, NO_WAIT),
              concurrency=(64,), twins=True),
        Curve(name="workers", arms=THREAD_ARMS, repetitions=5,
              payment_waits=(SHOP_WAIT, NO_WAIT), concurrency=(10, 100, 1_000),
              workers=(10, 100, 1_000)),
        Curve(name="storage", arms=THREAD_ARMS, repetitions=5, payment_waits=(SHOP_WAIT, NO_WAIT),
              concurrency=(1, 64, 256), storages=("shared", "plain")),
        Curve(name="event-loop", arms=LOOP_ARMS, repetitions=5, payment_waits=(SHOP_WAIT, NO_WAIT),
              concurrency=(1, 64, 1_000), event_loops=("uvloop", "asyncio")),
        Curve(name="payload", arms=MODES, repetitions=5, payment_waits=(NO_WAIT,),
              concurrency=(1, 64), items=((1, 1), (5, 5), (10, 10), (20, 20), (50, 50))),
        Ladder(name="knee", arms=MODES, repetitions=5,
               payment_waits=(SHOP_WAIT, NO_WAIT), objectives=OBJECTIVES,
               first_per_s=60, most_per_s=2_000, growth=1.5, resolution=0.1,
               rungs=(0.25, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5), overload_s=10.0,
               recovery_s=20.0),
        Timeline(name="faults", arms=MODES, repetitions=5, rate_per_s=FAULTS_PER_S, faults=FAULTS,
                 seconds=FAULTS_S),
    ),
    warmup_s=3.0,
    seconds=10.0,
)  # fmt: skip

PRESETS: Final = {study.name: study for study in (QUICK, STANDARD, FULL)}
