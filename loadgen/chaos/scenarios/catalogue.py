"""The scenarios by name: how each wants its arm, its customers and its question."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal, get_args

from common.settings import ACTIVE_MAX
from loadgen.chaos.arm import AttackedArm
from loadgen.chaos.progress import View
from loadgen.chaos.scenarios.outage import RATE_PER_S, outage
from loadgen.chaos.scenarios.overload import OVER, OVER_S, overload
from loadgen.chaos.scenarios.rolling import Failures, rolling_restart
from loadgen.chaos.scenarios.slow_hop import slow_hop
from loadgen.chaos.scenarios.stage import ScenarioResult, Stage
from loadgen.testbed.chains import Chain
from loadgen.workload.dial import dial_catalogo
from loadgen.workload.targets import Basket

Scenario = Literal["overload", "slow-hop", "outage", "rolling-restart"]
SCENARIOS: Final[tuple[Scenario, ...]] = get_args(Scenario)

# Seconds that the payment takes, when not asked for otherwise: the shop's own where waiting is the
# point, less where it would only make the run longer.
PAYMENT_S: Final[dict[Scenario, tuple[float, float]]] = {
    "overload": (0.5, 1.5),
    "slow-hop": (0.05, 0.15),
    "outage": (0.05, 0.15),
    "rolling-restart": (0.05, 0.15),
}
# Seconds of an outage.
OUTAGE_S: Final = 60.0
# Orders admitted at once in the overload, and customers of the rolling restart.
ADMITTED: Final = 200
# Seconds. The deadline of one call of a customer, and the longest pause before the next: in an
# outage thousands wait, and they may not become a load of their own.
ATTEMPT_S: Final = 10.0
PAUSE_MAX_S: Final[dict[Scenario, float]] = {
    "overload": 1.0, "slow-hop": 1.0, "outage": 10.0, "rolling-restart": 1.0
}  # fmt: skip


def payment_of(args: argparse.Namespace) -> tuple[float, float]:
    """Seconds that the payment takes: as asked for, or as the scenario wants it."""
    chosen: tuple[float, float] = args.payment_latency or PAYMENT_S[args.scenario]
    return chosen


def options_of(args: argparse.Namespace) -> list[str]:
    """What run_all.py is told beside the rest."""
    options = [f"--circuit-breaker={args.circuit_breaker}"]
    if args.active_max is not None:
        options.append(f"--active-max={args.active_max}")
    if args.scenario == "overload":
        options.append(f"--in-flight-max={args.in_flight_max}")
    return options


async def run_scenario(
    args: argparse.Namespace,
    mode: str,
    arm: AttackedArm,
    *,
    chain: Chain,
    pedidos: Any,
    baskets: Sequence[Basket],
    run_id: str,
    history: Path,
    environment: dict[str, object],
    view: View,
) -> ScenarioResult:
    """Play one scenario on an arm that stands ready."""
    scenario: Scenario = args.scenario
    failures = Failures()
    stage = Stage(
        mode, arm, pedidos, baskets, seed=args.seed, run_id=run_id, history=history,
        environment=environment, view=view, insist=scenario != "overload", attempt_s=ATTEMPT_S,
        pause_max_s=PAUSE_MAX_S[scenario],
        on_error=failures.note if scenario == "rolling-restart" else None,
    )  # fmt: skip
    if scenario == "overload":
        return await overload(
            stage, admitted=args.in_flight_max, over_s=args.duration or OVER_S,
            offer=args.offer or OVER, pids=chain.pids,
            judged=args.payment_latency[0] > 0,
        )  # fmt: skip
    if scenario == "rolling-restart":
        return await rolling_restart(stage, callers=args.concurrency, failures=failures)
    if scenario == "outage":
        return await outage(
            stage, service=args.service, how=args.how, length_s=args.duration or OUTAGE_S,
            rate_per_s=args.rate or RATE_PER_S, breaker=args.circuit_breaker,
        )  # fmt: skip
    catalogo = dial_catalogo(mode, arm.run().services["catalogo"].address, connections=64)
    try:
        return await slow_hop(
            stage, service=args.service, catalogo=catalogo,
            places=args.active_max or ACTIVE_MAX,
        )  # fmt: skip
    finally:
        await catalogo.close()
