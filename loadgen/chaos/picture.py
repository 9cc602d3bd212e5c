"""A soak as a picture: goodput and latency over time, with the faults shaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from loadgen.chaos.result import CELL_S, SoakResult

# Okabe and Ito's palette, told apart by most colour-blind readers too.
COLOURS: Final = {
    "kill": "#d55e00", "pause": "#0072b2", "slow": "#e69f00",
    "error": "#cc79a7", "cut": "#56b4e9", "disk": "#009e73",
}  # fmt: skip
# Seconds that the line of goodput is averaged over.
SMOOTH_S: Final = 1.0


def draw(result: SoakResult, path: Path) -> None:
    """Write the picture; its format is that of the file's suffix. Raises OSError."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.patches import Patch

    figure, (goodput, latency) = plt.subplots(
        2, 1, sharex=True, figsize=(12, 6.5), layout="constrained", height_ratios=(3, 2)
    )
    seconds = [cell * CELL_S for cell in range(len(result.completed))]
    goodput.plot(seconds, _smoothed(result.completed), color="black", linewidth=1.2)
    goodput.axhline(
        result.baseline_per_s, color="grey", linestyle="--", linewidth=0.8,
        label="before the first strike",
    )  # fmt: skip
    goodput.set_ylabel("orders ended a second")
    goodput.set_ylim(bottom=0)
    points = [(s + 0.5, *pair) for s, pair in enumerate(result.latency_ms) if pair is not None]
    if points:
        at, p50, p99 = zip(*points, strict=True)
        latency.plot(at, p99, color="#d55e00", linewidth=1, label="p99")
        latency.plot(at, p50, color="#0072b2", linewidth=1, label="p50")
    latency.set_yscale("log")
    latency.set_ylabel("time to a terminal answer, ms")
    latency.set_xlabel("seconds since the start")
    latency.legend(loc="upper left", fontsize="small")
    _shade(result, goodput, latency)
    kinds = [
        Patch(color=COLOURS[kind], alpha=0.5, label=f"{kind} ({number})")
        for kind, number in result.struck.items()
    ]
    goodput.legend(
        handles=[*goodput.get_legend_handles_labels()[0], *kinds],
        loc="lower right", fontsize="small", ncols=4,
    )  # fmt: skip
    goodput.set_title(
        f"{result.mode}: {sum(result.struck.values())} strikes under {result.callers} callers, "
        f"seed {result.seed}, {result.audit.violations} violations",
        loc="left",
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _shade(result: SoakResult, *axes: Any) -> None:
    for strike in result.strikes:
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
