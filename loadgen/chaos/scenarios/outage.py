"""One service gone for a while: what is still asked of it, what customers are told, how it ends."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from contextlib import closing
from datetime import datetime
from math import inf
from pathlib import Path
from statistics import median
from typing import Final, Literal

from common.faults.call_log import MadeCall, read_calls
from common.storage.connection import connect
from common.storage.files import database_path
from loadgen.chaos.customers.crowd import Phase, arrivals
from loadgen.chaos.matrix.cells import CHAIN
from loadgen.chaos.result import RECOVERED, SETTLE_S, WINDOW_S
from loadgen.chaos.scenarios.stage import Figure, ScenarioResult, Stage

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
        times["ready"], epochs["ready"] = stage.now(), stage.arm.epoch()
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
        claimed = claims(stage.arm.data_dir, epochs["gone"], epochs["back"])
        within = [call for call in calls if epochs["gone"] <= call.instant < epochs["back"]]
        figures = _tried(stage, claimed, [call for call in within if call.to == service])
        figures += _before_and_after(stage, times["gone"], times["ready"])
        figures += _attempts(calls, claimed)
        figures.append(_ended(stage, claimed, epochs["ready"]))
    options = {"service": service, "how": how, "circuit_breaker": breaker}
    return await stage.result("outage", options, figures, settled, broken)


def claims(data_dir: Path, begin: float, end: float) -> set[int]:
    """The orders that Pedidos accepted in a stretch of time, in seconds since 1970: its own book."""
    with closing(connect(database_path(data_dir, "pedidos"), read_only=True)) as con:
        rows = con.execute(
            "SELECT id FROM pedidos "
            "WHERE origem = 'loja' AND criado_epoca >= ? AND criado_epoca < ?",
            (begin, end),
        ).fetchall()
    return {pedido_id for (pedido_id,) in rows}


def _ended(stage: Stage, claimed: set[int], ready: float) -> Figure:
    """When the last order of the outage had ended, by Pedidos' log."""
    last = -inf
    with closing(connect(database_path(stage.arm.data_dir, "pedidos"), read_only=True)) as con:
        for pedido_id, instant in con.execute(
            "SELECT pedido_id, max(instante) FROM transicoes GROUP BY pedido_id"
        ):
            if pedido_id in claimed:
                last = max(last, datetime.fromisoformat(instant).timestamp())
    after = max(0.0, last - ready)
    return Figure(
        "its last order ended, after it was ready", f"{after:.1f} s", f"<= {SETTLE_S:g} s",
        after <= SETTLE_S,
    )  # fmt: skip


def _tried(stage: Stage, claimed: set[int], at_it: list[MadeCall]) -> list[Figure]:
    tried = sum(not call.trial for call in at_it)
    ratio = tried / max(1, len(claimed))
    return [
        Figure("orders accepted during the outage", str(len(claimed))),
        Figure("calls shed at the edge in the whole run", str(stage.errors("sobrecarga"))),
        Figure("calls tried at it, probes apart", str(tried)),
        Figure("probes", str(len(at_it) - tried)),
        Figure(
            "calls tried an order accepted", f"{ratio:.2f}", f"<= {TRIED_MAX:.1f}",
            ratio <= TRIED_MAX,
        ),
    ]  # fmt: skip


def _before_and_after(stage: Stage, gone: float, ready: float) -> list[Figure]:
    base = stage.goodput(1.0, gone)
    back = _back(stage, ready, base)
    return [
        Figure("goodput before", f"{base:.1f} a second"),
        Figure("back to 90 % after it was ready", "-" if back is None else f"{back:.1f} s"),
    ]


def _attempts(calls: list[MadeCall], claimed: set[int]) -> list[Figure]:
    """How often each hop was asked for each order of the outage."""
    figures = []
    for hop in CHAIN[1:]:
        attempts = Counter(
            call.order_id
            for call in calls
            if call.order_id in claimed and call.operation == FORWARD[hop]
        )
        if attempts:
            numbers = list(attempts.values())
            figures.append(
                Figure(
                    f"calls at {hop} for each of these, mean, median and most",
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
