"""A soak, an attack or a scenario as a picture: goodput and latency over time, with the faults shaded."""

from __future__ import annotations

from collections import Counter
from math import nan
from pathlib import Path
from typing import Any, Final

from loadgen.chaos.result import CELL_S, AttackResult, SoakResult, Struck
from loadgen.chaos.scenarios.stage import ScenarioResult

# Okabe and Ito's palette, told apart by most colour-blind readers too.
COLOURS: Final = {
    "kill": "#d55e00", "pause": "#0072b2", "slow": "#e69f00",
    "error": "#cc79a7", "cut": "#56b4e9", "disk": "#009e73",
    "stop": "#0072b2", "term": "#56b4e9", "stop-term": "#009e73",
    "overload": "#e69f00", "dead": "#d55e00", "hung": "#0072b2", "restart": "#56b4e9",
}  # fmt: skip
# Seconds that the line of goodput is averaged over.
SMOOTH_S: Final = 1.0


def draw_soak(result: SoakResult, path: Path) -> None:
    """Write the picture of a soak; its format is that of the file's suffix. Raises OSError."""
    title = (
        f"{result.mode}: {sum(result.struck.values())} strikes under {result.load}, "
        f"seed {result.seed}, {result.audit.violations} violations"
    )
    _draw(
        path, title, result.completed, result.latency_ms, result.strikes,
        baseline_per_s=result.baseline_per_s,
    )  # fmt: skip


def draw_attack(result: AttackResult, path: Path) -> None:
    """Write the picture of an attack, as that of a soak. Raises OSError."""
    title = (
        f"{result.mode}: {result.attackers} attackers, {len(result.strikes)} strikes, "
        f"seed {result.seed}, {result.audit.violations} violations"
    )
    _draw(path, title, result.completed, result.latency_ms, result.strikes)


def draw_scenario(result: ScenarioResult, path: Path) -> None:
    """Write the picture of a scenario, as that of a soak. Raises OSError."""
    options = ", ".join(f"{name} {value}" for name, value in result.options.items())
    title = (
        f"{result.mode}: {result.scenario} ({options}), seed {result.seed}, "
        f"{result.audit.violations} violations"
    )
    _draw(path, title, result.completed, result.latency_ms, result.marks, shed=result.shed)


def _draw(
    path: Path,
    title: str,
    completed: tuple[int, ...],
    latency_ms: tuple[tuple[float, float] | None, ...],
    marks: tuple[Struck, ...],
    *,
    shed: tuple[int, ...] = (),
    baseline_per_s: float | None = None,
) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.patches import Patch

    figure, (goodput, latency) = plt.subplots(
        2, 1, sharex=True, figsize=(12, 6.5), layout="constrained", height_ratios=(3, 2)
    )
    seconds = [cell * CELL_S for cell in range(len(completed))]
    goodput.plot(seconds, _smoothed(completed), color="black", linewidth=1.2, label="ended")
    if any(shed):
        goodput.plot(
            seconds[: len(shed)], _smoothed(shed), color="#999999", linewidth=1.0, label="refused"
        )
    if baseline_per_s is not None:
        goodput.axhline(
            baseline_per_s, color="grey", linestyle="--", linewidth=0.8,
            label="before the first strike",
        )  # fmt: skip
    goodput.set_ylabel("orders a second")
    goodput.set_ylim(bottom=0)
    # Where nothing ended there is no latency: the line breaks.
    pairs = [(nan, nan) if pair is None else pair for pair in latency_ms]
    if pairs:
        at = [second + 0.5 for second in range(len(pairs))]
        p50, p99 = zip(*pairs, strict=True)
        latency.plot(at, p99, color="#d55e00", linewidth=1, label="p99")
        latency.plot(at, p50, color="#0072b2", linewidth=1, label="p50")
    latency.set_yscale("log")
    latency.set_ylabel("time to a terminal answer, ms")
    latency.set_xlabel("seconds since the start")
    latency.legend(loc="upper left", fontsize="small")
    _shade(marks, goodput, latency)
    kinds = [
        Patch(color=COLOURS[kind], alpha=0.5, label=f"{kind} ({number})")
        for kind, number in Counter(mark.fault for mark in marks).items()
    ]
    goodput.legend(
        handles=[*goodput.get_legend_handles_labels()[0], *kinds],
        loc="lower right", fontsize="small", ncols=4,
    )  # fmt: skip
    goodput.set_title(title, loc="left")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _shade(marks: tuple[Struck, ...], *axes: Any) -> None:
    for strike in marks:
        for axis in axes:
            axis.axvspan(
                strike.begin_s, max(strike.healed_s, strike.begin_s + 0.1),
                color=COLOURS[strike.fault], alpha=0.18, linewidth=0,
            )  # fmt: skip


def _smoothed(completed: tuple[int, ...]) -> list[float]:
    """Rates a second over a centred window."""
    half = int(SMOOTH_S / CELL_S / 2)
    rates = []
    for cell in range(len(completed)):
        window = completed[max(0, cell - half) : cell + half + 1]
        rates.append(sum(window) / (len(window) * CELL_S))
    return rates
