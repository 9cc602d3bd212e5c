"""One service gone for a while: what is still asked of it, what customers are told, how it ends."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from statistics import median
from typing import Final, Literal

from common.noted_calls import Call, read_calls
from loadgen.chaos.cells import CHAIN
from loadgen.chaos.crowd import Phase, arrivals
from loadgen.chaos.result import RECOVERED, WINDOW_S
from loadgen.chaos.stage import Figure, ScenarioResult, Stage

# dead: the process is killed and its next life does not begin; nothing listens. hung: the process
# is stopped; connections stand and nobody answers.
How = Literal["dead", "hung"]

# Seconds before and after the outage, in which orders come as well.
CALM_S: Final = 8.0
AFTER_S: Final = 10.0
# Orders a second, unless asked for otherwise.
RATE_PER_S: Final = 30.0
# Seconds that a service may take to be ready once it may start.
RESTART_S: Final = 20.0
# Calls tried at the service that is gone, for each order accepted meanwhile.
TRIED_MAX: Final = 1.2
# Operations by which an order travels forward, by the service that has it.
FORWARD: Final = {
    "pagamentos": "processar_pagamento",
    "estoque": "separar_estoque",
    "fiscal": "emitir_nota_fiscal",
    "logistica": "agendar_envio",
}


async def outage(
    stage: Stage, *, service: str, how: How, length_s: float, rate_per_s: float, breaker: str
) -> ScenarioResult:
    """Take `service` away for `length_s` seconds while orders come at `rate_per_s`."""
    times: dict[str, float] = {}
    epochs: dict[str, float] = {}

    async def script() -> None:
        await asyncio.sleep(CALM_S)
        stage.say(f"{service} is {how} for {length_s:g} s")
        times["gone"], epochs["gone"] = stage.now(), stage.arm.epoch()
        if how == "dead":
            pid = await stage.arm.keep_down(service, RESTART_S)
        else:
            pid = stage.arm.signal_or_fail(service, signal.SIGSTOP)
        try:
            await asyncio.sleep(length_s)
        finally:
            epochs["back"] = stage.arm.epoch()
            stage.arm.resume(pid)
        await stage.arm.whole(RESTART_S)
        times["ready"] = stage.now()
        stage.say(f"{service} is ready again")
        stage.mark(how, service, times["gone"])
        await asyncio.sleep(AFTER_S)

    coming = [Phase("orders", rate_per_s, CALM_S + length_s + AFTER_S + RESTART_S)]
    orders = arrivals(coming, stage.seed)
    stage.arm.note_calls()
    settled, broken = await stage.play(stage.crowd.open_loop(orders, stage.stopping), script())
    figures: list[Figure] = []
    if not broken:
        calls = read_calls(stage.arm.rules)
        within = [call for call in calls if epochs["gone"] <= call.instant < epochs["back"]]
        figures = _figures(stage, times, within, calls, service)
    options = {"service": service, "how": how, "circuit_breaker": breaker}
    return await stage.result("outage", options, figures, settled, broken)


def _figures(
    stage: Stage, times: dict[str, float], within: list[Call], calls: list[Call], service: str
) -> list[Figure]:
    gone, ready = times["gone"], times["ready"]
    # An order's key is claimed when it first comes: those of the outage, were they shed or not.
    meanwhile = [s for s in stage.samples if gone <= s.due_s < ready]
    accepted = [s for s in meanwhile if s.outcome != "shed" and not s.outcome.startswith("refused")]
    at_it = [call for call in within if call.to == service]
    tried = [call for call in at_it if not call.trial]
    base = stage.goodput(1.0, gone)
    back = _back(stage, ready, base)
    ratio = len(tried) / max(1, len(accepted))
    figures = [
        Figure("orders accepted during the outage", str(len(accepted))),
        Figure("refused at the edge during it", str(len(meanwhile) - len(accepted))),
        Figure("calls tried at it, probes apart", str(len(tried))),
        Figure("probes", str(len(at_it) - len(tried))),
        Figure(
            "calls tried an order accepted", f"{ratio:.2f}", f"<= {TRIED_MAX:.1f}",
            ratio <= TRIED_MAX,
        ),
        Figure("goodput before", f"{base:.1f} a second"),
        Figure("back to 90 % after it was ready", "-" if back is None else f"{back:.1f} s"),
    ]  # fmt: skip
    for hop in CHAIN[1:]:
        attempts = Counter(
            call.order_id for call in calls if call.to == hop and call.operation == FORWARD[hop]
        )
        if attempts:
            numbers = list(attempts.values())
            figures.append(
                Figure(
                    f"calls an order at {hop}, mean, median and most",
                    f"{sum(numbers) / len(numbers):.2f}, {median(numbers):g}, {max(numbers)}",
                )
            )
    return figures


def _back(stage: Stage, ready: float, base: float) -> float | None:
    """Seconds from readiness until the goodput of a window is what it was."""
    at = ready
    last = max((s.ended_s for s in stage.samples), default=ready)
    while at + WINDOW_S <= last:
        if stage.goodput(at, at + WINDOW_S) >= RECOVERED * base:
            return at - ready
        at += 0.1
    return None
