"""Beyond capacity: the edge refuses early and cheaply, goodput stays, and all is well afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from statistics import median
from typing import Final

from loadgen.chaos.customers.crowd import SHED, Phase, Sample, arrivals
from loadgen.chaos.result import percentile
from loadgen.chaos.scenarios.stage import Figure, ScenarioResult, Stage
from loadgen.machine.usage import Meter

# Seconds of each stretch: as many callers as are admitted (the peak), half the peak (what is
# normal), the overload, and half the peak again.
PEAK_S: Final = 15.0
NORMAL_S: Final = 15.0
OVER_S: Final = 60.0
AFTER_S: Final = 20.0
# Seconds at a stretch's begin that are left out of its figures: the longest payment, and a bit.
SETTLING_S: Final = 2.0
# Offer of the overload, unless asked for otherwise, and of normal times, as multiples of the peak.
OVER: Final = 3.0
HALF: Final = 0.5
# Latency is normal again when the median of a second's arrivals is below so many times the normal
# one, and none of them is refused.
NORMAL_LATENCY: Final = 1.2
GOODPUT_MIN: Final = 0.90
NORMAL_AGAIN_MAX_S: Final = 5.0


async def overload(
    stage: Stage, *, admitted: int, over_s: float, offer: float, pids: dict[str, int], judged: bool
) -> ScenarioResult:
    """Measure the peak, offer `offer` times as much for `over_s` seconds, then half of it.

    `judged` unless the processors are the limit: there refusing takes from what orders could use.
    """
    bounds: dict[str, tuple[float, float]] = {}
    spent: dict[str, tuple[float, float]] = {}
    peak = 0.0

    async def stretch(name: str, length_s: float, rate: float | None) -> None:
        begin, stopping = stage.now(), asyncio.Event()
        meter = Meter(pids)
        if rate is None:
            buying = asyncio.create_task(stage.crowd.closed_loop(admitted, stopping))
        else:
            times = arrivals([Phase(name, rate, length_s)], stage.seed)
            buying = asyncio.create_task(stage.crowd.open_loop(times, stopping))
        buyers.append(buying)
        await asyncio.sleep(length_s)
        stopping.set()
        bounds[name] = (begin, stage.now())
        used = meter.read()
        edge = used["pedidos"].cpu_s or 0.0
        spent[name] = (edge, sum(each.cpu_s or 0.0 for each in used.values()))

    buyers: list[asyncio.Task[None]] = []

    async def script() -> None:
        nonlocal peak
        stage.say(f"the peak: {admitted} callers in a closed loop")
        await stretch("peak", PEAK_S, None)
        peak = stage.goodput(bounds["peak"][0] + SETTLING_S, bounds["peak"][1])
        stage.say(f"the peak is {peak:.0f} a second; half of it is what is normal")
        await stretch("normal", NORMAL_S, HALF * peak)
        stage.say(f"{offer:g} times as much: {offer * peak:.0f} a second for {over_s:g} s")
        begin = stage.now()
        await stretch("overload", over_s, offer * peak)
        stage.mark("overload", "pedidos", begin)
        stage.say("half again")
        await stretch("after", AFTER_S, HALF * peak)

    async def customers() -> None:
        await stage.stopping.wait()
        await asyncio.gather(*buyers)

    settled, broken = await stage.play(customers(), script())
    figures: list[Figure] = []
    if not broken:
        figures = _figures(stage, bounds, spent, peak)
        if not judged:
            figures = [Figure(figure.what, figure.value) for figure in figures]
    options = {
        "in_flight_max": str(admitted), "offer": f"{offer:g}", "seconds": f"{over_s:g}"
    }  # fmt: skip
    return await stage.result("overload", options, figures, settled, broken)


def _figures(
    stage: Stage,
    bounds: dict[str, tuple[float, float]],
    spent: dict[str, tuple[float, float]],
    peak: float,
) -> list[Figure]:
    begin, end = bounds["overload"]
    over = stage.goodput(begin + SETTLING_S, end)
    offered = [s for s in stage.samples if begin <= s.due_s < end]
    shed = [s for s in offered if s.outcome == SHED]
    refusals = [(s.ended_s - s.sent_s) * 1e3 for s in shed] or [0.0]
    ended = [s.ended_s - s.due_s for s in offered if s.terminal] or [0.0]
    normal = [
        s.ended_s - s.due_s
        for s in stage.samples
        if s.terminal and bounds["normal"][0] + SETTLING_S <= s.due_s < bounds["normal"][1]
    ]
    if not normal or not peak:
        stage.invalid.append("nothing ended in normal times: there is no base line")
        return []
    again = normal_again(stage.samples, bounds["after"], NORMAL_LATENCY * median(normal))
    # What as many orders cost at the peak, where none is refused, is taken off: the rest is refusing.
    orders_s = _share(spent, bounds, "peak")[1] * over / peak
    refusing_s = _share(spent, bounds, "overload")[1] - orders_s
    refused_per_s = len(shed) / (end - begin)
    return [
        Figure("peak: as many callers as are admitted", f"{peak:.0f} a second"),
        Figure("offered in the overload", f"{len(offered) / (end - begin):.0f} a second"),
        Figure("goodput in the overload", f"{over:.0f} a second"),
        Figure(
            "its share of the peak", f"{over / peak:.3f}", f">= {GOODPUT_MIN:.2f}",
            over / peak >= GOODPUT_MIN,
        ),
        Figure("refused", f"{len(shed)} of {len(offered)}"),
        Figure(
            "time to a refusal, p50 and p99",
            f"{median(refusals):.1f} and {percentile(refusals, 0.99):.1f} ms",
        ),
        Figure(
            "processor time of all services a refusal",
            f"{refusing_s / refused_per_s * 1e3:.2f} ms" if shed else "-",
        ),
        Figure(
            "processor time of Pedidos, peak and overload",
            f"{_share(spent, bounds, 'peak')[0]:.2f} and "
            f"{_share(spent, bounds, 'overload')[0]:.2f} of a core",
        ),
        Figure(
            "latency of orders that ended, p50 normal and overload",
            f"{median(normal):.2f} and {median(ended):.2f} s",
        ),
        Figure(
            "normal latency again after the fall to half",
            "-" if again is None else f"{again:.1f} s", f"<= {NORMAL_AGAIN_MAX_S:g} s",
            again is not None and again <= NORMAL_AGAIN_MAX_S,
        ),
    ]  # fmt: skip


def _share(
    spent: dict[str, tuple[float, float]], bounds: dict[str, tuple[float, float]], name: str
) -> tuple[float, float]:
    """Processor time a second in a stretch: that of Pedidos, and of all services."""
    (edge, every), (begin, end) = spent[name], bounds[name]
    return edge / (end - begin), every / (end - begin)


def normal_again(
    samples: Sequence[Sample], bounds: tuple[float, float], limit_s: float
) -> float | None:
    """Seconds from the fall of the load until every later second's arrivals fare as usual."""
    begin, end = bounds
    starts = [begin + step * 0.25 for step in range(int((end - begin - 1.0) / 0.25) + 1)]
    good = [_as_usual(samples, at, limit_s) for at in starts]
    if not good or not good[-1]:
        return None
    bad = [number for number, fine in enumerate(good) if not fine]
    return (bad[-1] + 1) * 0.25 if bad else 0.0


def _as_usual(samples: Sequence[Sample], at: float, limit_s: float) -> bool:
    window = [s for s in samples if at <= s.due_s < at + 1.0]
    waits = [s.ended_s - s.due_s for s in window if s.terminal]
    return bool(waits) and len(waits) == len(window) and median(waits) <= limit_s
