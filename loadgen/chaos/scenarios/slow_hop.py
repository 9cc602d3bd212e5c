"""One slow service: requests that do not need it must not notice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any, Final

from common import contratos as c
from common.erros import ErroServico
from common.faults.failpoints import Rule
from common.servicos.protocolo.contexto import Contexto
from loadgen.chaos.customers.crowd import Phase, arrivals
from loadgen.chaos.result import percentile
from loadgen.chaos.scenarios.stage import Figure, ScenarioResult, Stage

# Stretches without and with the slow service, alternating, and seconds of each.
ROUNDS: Final = 5
STRETCH_S: Final = 10.0
# Seconds at a stretch's begin that are left out: orders of the one before are still under way.
SETTLING_S: Final = 2.0
# Orders and look-ups of each kind a second.
ORDERS_PER_S: Final = 50.0
LOOKUPS_PER_S: Final = 100.0
# The slow service makes the whole order so many times slower.
SLOWER: Final = 10.0
# Seconds that a look-up may take.
LOOKUP_MAX_S: Final = 5.0
WORSE_MAX: Final = 1.20
# Look-ups of one kind in one stretch below which nothing is said of their p99.
SAMPLES_MIN: Final = 500

# Whether the service was slow, and from when to when.
_Stretch = tuple[bool, float, float]
# One look-up: when it was due, how long it took from then in ms, whether it succeeded.
Looked = tuple[float, float, bool]


class _Lookups:
    """Readers on a schedule of their own."""

    def __init__(self, stage: Stage, catalogo: Any) -> None:
        self._stage = stage
        self._kinds: dict[str, Callable[[Contexto], Awaitable[Any]]] = {
            "catalogue": lambda ctx: catalogo.listar_produtos(ctx, c.ListarProdutosRequest()),
            "order looked up": lambda ctx: stage.pedidos.consultar_pedido(
                ctx, c.ConsultarPedidoRequest(1)
            ),
            "customers": lambda ctx: stage.pedidos.listar_clientes(
                ctx, c.ListarClientesRequest(limite=50)
            ),
        }
        self.seen: dict[str, list[Looked]] = {kind: [] for kind in self._kinds}

    async def read(self, length_s: float) -> None:
        """Read everything at its rate for so long."""
        async with asyncio.TaskGroup() as group:
            for number, kind in enumerate(self._kinds):
                times = arrivals([Phase(kind, LOOKUPS_PER_S, length_s)], self._stage.seed + number)
                group.create_task(self._read(kind, times))

    async def _read(self, kind: str, times: list[float]) -> None:
        begin = self._stage.now()
        async with asyncio.TaskGroup() as group:
            for at in times:
                await asyncio.sleep(max(0.0, begin + at - self._stage.now()))
                group.create_task(self._one(kind, begin + at))

    async def _one(self, kind: str, due_s: float) -> None:
        try:
            await self._kinds[kind](Contexto(time.monotonic() + LOOKUP_MAX_S))
        except ErroServico:
            worked = False
        else:
            worked = True
        self.seen[kind].append((due_s, (self._stage.now() - due_s) * 1e3, worked))


async def slow_hop(stage: Stage, *, service: str, catalogo: Any, places: int) -> ScenarioResult:
    """Alternate between normal times and a slow `service`; compare the p99 of all look-ups.

    `places` is how many orders the arm drives at once.
    """
    stretches: list[_Stretch] = []
    lookups = _Lookups(stage, catalogo)
    length_s = (2 * ROUNDS + 1) * STRETCH_S
    delay = 0.0

    async def script() -> None:
        nonlocal delay
        reading = asyncio.create_task(lookups.read(length_s))
        try:
            stage.say("warming up")
            await asyncio.sleep(STRETCH_S)
            usual = [s.ended_s - s.due_s for s in stage.samples if s.terminal] or [0.0]
            delay = (SLOWER - 1) * median(usual)
            rule = Rule(id="slow", service=service, point="P0", action="delay", seconds=delay)
            for slow in (False, True) * ROUNDS:
                begin = stage.now()
                stage.say(f"{service} slow by {delay:.2f} s an order" if slow else "normal")
                stage.arm.set_rules((rule,) if slow else ())
                await asyncio.sleep(STRETCH_S)
                stretches.append((slow, begin + SETTLING_S, stage.now()))
                if slow:
                    stage.mark("slow", service, begin)
            stage.arm.set_rules()
            await reading
        finally:
            reading.cancel()

    orders = arrivals([Phase("orders", ORDERS_PER_S, length_s)], stage.seed)
    settled, broken = await stage.play(stage.crowd.open_loop(orders, stage.stopping), script())
    figures: list[Figure] = []
    if not broken:
        figures = _figures(stage, lookups, stretches, delay)
    return await stage.result(
        "slow-hop", {"service": service, "places": str(places)}, figures, settled, broken
    )


def _figures(
    stage: Stage,
    lookups: _Lookups,
    stretches: list[_Stretch],
    delay: float,
) -> list[Figure]:
    normal = [(begin, end) for slow, begin, end in stretches if not slow]
    slow = [(begin, end) for slow, begin, end in stretches if slow]
    figures = [
        Figure("added to each order", f"{delay:.2f} s"),
        Figure(
            "latency of an order, p50, normal and slow",
            f"{_order_median(stage, normal):.2f} and {_order_median(stage, slow):.2f} s",
        ),
    ]
    for kind, seen in lookups.seen.items():
        usual = [_times(seen, stretch) for stretch in normal]
        meanwhile = [_times(seen, stretch) for stretch in slow]
        failed = sum(not ok for _, _, ok in seen)
        if min(map(len, (*usual, *meanwhile))) < SAMPLES_MIN:
            stage.invalid.append(f"too few look-ups of kind {kind!r} for a p99")
            continue
        # Pair by pair, as everything here is compared: a stall of the machine is in one pair.
        ratios = sorted(
            percentile(one, 0.99) / percentile(other, 0.99)
            for one, other in zip(meanwhile, usual, strict=True)
        )
        worse = median(ratios)
        figures += [
            Figure(
                f"{kind}: p50 and p99, normal, then slow",
                f"{_both(usual)}, {_both(meanwhile)} ms",
            ),
            Figure(
                f"{kind}: p99 against normal, median of {len(ratios)} pairs (range)",
                f"{worse:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})", f"<= {WORSE_MAX:.2f}",
                worse <= WORSE_MAX,
            ),
            Figure(f"{kind}: failed", str(failed), "0", failed == 0),
        ]  # fmt: skip
    return figures


def _within(stretches: list[tuple[float, float]], due_s: float) -> bool:
    return any(begin <= due_s < end for begin, end in stretches)


def _times(seen: list[Looked], stretch: tuple[float, float]) -> list[float]:
    return [ms for due, ms, ok in seen if ok and _within([stretch], due)]


def _both(stretches: list[list[float]]) -> str:
    """The p50 and p99 of several stretches together."""
    every = [ms for times in stretches for ms in times]
    return f"{median(every):.1f} and {percentile(every, 0.99):.1f}"


def _order_median(stage: Stage, stretches: list[tuple[float, float]]) -> float:
    waits = [
        s.ended_s - s.due_s for s in stage.samples if s.terminal and _within(stretches, s.due_s)
    ]
    return median(waits) if waits else 0.0
