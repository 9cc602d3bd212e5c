"""What the pairs of a floor run mean: absolute rates, ratios, and where the processor time went."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any, Final

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from loadgen.machine.usage import Used
from loadgen.results.result import Result

# Pairs below which a median says nothing here: single runs vary by a fifth.
PAIRS_MIN: Final = 5
# The generator's name beside those of the services.
GERADOR: Final = "generator"


class Run(Struct, frozen=True, kw_only=True):
    """One side of a pair. `cpu_ms` are milliseconds of processor time an order, by process."""

    name: str
    rate_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    orders: int
    not_terminal: int
    cpu_ms: dict[str, float]
    generator_share: float | None
    rss_peak_mb: dict[str, float]
    invalid_reasons: list[str]
    examples: dict[str, str]

    @staticmethod
    def of(name: str, result: Result, used: dict[str, Used]) -> Run:
        """The figures of a driven run; processor time is that of all its orders, warm-up too."""
        orders = result.sent + result.warmup.total()
        completed = result.completed + result.warmup.enviado + sum(result.warmup.cancelado.values())
        cpu = {each: use.cpu_s for each, use in used.items() if use.cpu_s is not None}
        cpu = {GERADOR: result.generator.cpu_s} | cpu
        total = sum(cpu.values())
        peaks = {each: use.rss_peak_mb for each, use in used.items() if use.rss_peak_mb is not None}
        return Run(
            name=name,
            rate_per_s=result.sustained_per_s,
            p50_ms=result.latency_ms.p50,
            p99_ms=result.latency_ms.p99,
            orders=orders,
            not_terminal=orders - completed,
            cpu_ms={each: round(spent * 1e3 / max(orders, 1), 4) for each, spent in cpu.items()},
            generator_share=round(cpu[GERADOR] / total, 4) if total else None,
            rss_peak_mb={each: round(peak, 1) for each, peak in peaks.items()},
            invalid_reasons=result.invalid_reasons,
            examples=result.examples,
        )


class Pair(Struct, frozen=True):
    """The floor and the real arm, one after the other; `appends_ms` only with one caller."""

    floor: Run
    real: Run
    appends_ms: float | None

    @property
    def ratio(self) -> float | None:
        """Real by floor: of rates (higher is better) or, with one caller, of medians (lower is)."""
        if self.appends_ms is None:
            return self.real.rate_per_s / self.floor.rate_per_s if self.floor.rate_per_s else None
        if self.real.p50_ms is None or self.floor.p50_ms is None:
            return None
        return self.real.p50_ms / (self.floor.p50_ms + self.appends_ms)

    @property
    def cpu_ratio(self) -> float | None:
        """The services' processor time an order, real by floor."""
        sides = [
            sum(spent for name, spent in run.cpu_ms.items() if name != GERADOR)
            for run in (self.real, self.floor)
        ]
        return sides[0] / sides[1] if all(sides) else None

    def words(self) -> str:
        """The pair in a line."""
        ratio = "no ratio" if self.ratio is None else f"ratio {self.ratio:.3f}"
        if self.appends_ms is None:
            sides = f"{self.floor.name} {self.floor.rate_per_s:.0f}/s, {self.real.name}"
            return f"{sides} {self.real.rate_per_s:.0f}/s, {ratio}"
        floor = f"{self.floor.p50_ms} ms + {self.appends_ms:.2f} ms of appends"
        return f"{self.floor.name} {floor}, {self.real.name} {self.real.p50_ms} ms, {ratio}"


class Floor(Struct, frozen=True, kw_only=True):
    """The JSON of a floor run."""

    mode: str
    concurrency: int
    measure: str
    ratio_median: float | None
    ratios: list[float | None]
    cpu_ratio_median: float | None
    cpu_ratios: list[float | None]
    generator_share_median: float | None
    not_terminal: int
    rss_peak_mb: dict[str, float]
    valid: bool
    invalid_reasons: list[str]
    pairs: list[Pair]
    options: dict[str, str]
    environment: dict[str, Any]


def summarise(
    mode: str,
    concurrency: int,
    pairs: Sequence[Pair],
    *,
    memory_disk: str | None,
    options: dict[str, str],
    environment: dict[str, Any],
) -> Floor:
    """The median of the pairs and whether it can be believed."""
    reasons = []
    if memory_disk is not None:
        reasons.append(f"the data lies on {memory_disk}, a memory disk: nothing was made durable")
    if len(pairs) < PAIRS_MIN:
        reasons.append(f"{len(pairs)} pairs are too few for a median: {PAIRS_MIN} are needed")
    for number, pair in enumerate(pairs, 1):
        for run in (pair.floor, pair.real):
            reasons += [f"pair {number}, {run.name}: {reason}" for reason in _doubts(run)]
    ratios = [pair.ratio for pair in pairs]
    known = [ratio for ratio in ratios if ratio is not None]
    cpu = [pair.cpu_ratio for pair in pairs]
    cpu_known = [ratio for ratio in cpu if ratio is not None]
    shares = [pair.real.generator_share for pair in pairs if pair.real.generator_share is not None]
    peaks: dict[str, float] = {}
    for pair in pairs:
        for name, peak in pair.real.rss_peak_mb.items():
            peaks[name] = max(peak, peaks.get(name, 0.0))
    return Floor(
        mode=mode,
        concurrency=concurrency,
        measure="median latency" if concurrency == 1 else "terminal answers a second",
        ratio_median=round(median(known), 4) if known else None,
        ratios=[None if ratio is None else round(ratio, 4) for ratio in ratios],
        cpu_ratio_median=round(median(cpu_known), 4) if cpu_known else None,
        cpu_ratios=[None if ratio is None else round(ratio, 4) for ratio in cpu],
        generator_share_median=round(median(shares), 4) if shares else None,
        not_terminal=sum(pair.floor.not_terminal + pair.real.not_terminal for pair in pairs),
        rss_peak_mb=peaks,
        valid=not reasons,
        invalid_reasons=reasons,
        pairs=list(pairs),
        options=options,
        environment=environment,
    )


def _doubts(run: Run) -> list[str]:
    """Why a run cannot be compared; a side that leaves orders undone looks faster than it is."""
    if not run.not_terminal:
        return run.invalid_reasons
    undone = f"{run.not_terminal} of {run.orders} orders without a terminal answer"
    return [*run.invalid_reasons, undone]


def show(floor: Floor, console: Console) -> None:
    """Print the pairs, the median, and where the microseconds go."""
    console.print(_pairs(floor))
    console.print(_processes(floor))
    shown = "-" if floor.ratio_median is None else f"{floor.ratio_median:.3f}"
    lines = [
        f"median ratio of {len(floor.pairs)} pairs: {shown}",
        f"orders without a terminal answer, both sides: {floor.not_terminal}",
    ]
    cpu = [ratio for ratio in floor.cpu_ratios if ratio is not None]
    if floor.cpu_ratio_median is not None:
        lines.append(
            f"services' CPU an order, median ratio: {floor.cpu_ratio_median:.3f}"
            f" ({min(cpu):.3f} to {max(cpu):.3f})"
        )
    if floor.generator_share_median is not None:
        lines.append(f"generator: {floor.generator_share_median:.1%} of all CPU (real arm)")
    runs = [run for pair in floor.pairs for run in (pair.floor, pair.real)]
    examples = {kind: detail for run in runs for kind, detail in run.examples.items()}
    lines += [f"{kind}, for example: {detail}" for kind, detail in examples.items()]
    lines += [f"INVALID: {reason}" for reason in floor.invalid_reasons]
    for line in lines:
        console.print(line, markup=False, highlight=False)


def _pairs(floor: Floor) -> Table:
    table = Table(
        title=f"{floor.mode}, {floor.concurrency:,} callers: {floor.measure}", title_justify="left"
    )
    latency = floor.concurrency == 1
    unit = "ms" if latency else "per s"
    names = ["pair", f"{floor.pairs[0].floor.name} {unit}"]
    names += ["six appends ms"] if latency else []
    for name in [*names, f"{floor.pairs[0].real.name} {unit}", "ratio"]:
        table.add_column(name, justify="right")
    for number, pair in enumerate(floor.pairs, 1):
        sides = [run.p50_ms if latency else run.rate_per_s for run in (pair.floor, pair.real)]
        cells = ["-" if side is None else f"{side:,.2f}" for side in sides]
        if pair.appends_ms is not None:
            cells.insert(1, f"{pair.appends_ms:.2f}")
        table.add_row(str(number), *cells, "-" if pair.ratio is None else f"{pair.ratio:.3f}")
    return table


def _processes(floor: Floor) -> Table:
    table = Table(title="CPU ms an order (median of the pairs)", title_justify="left")
    sides = [[pair.floor for pair in floor.pairs], [pair.real for pair in floor.pairs]]
    table.add_column("process")
    for runs in sides:
        table.add_column(runs[0].name, justify="right")
    table.add_column("peak MB", justify="right")
    names = list(dict.fromkeys(name for pair in floor.pairs for name in pair.real.cpu_ms))
    for name in names:
        cells = [_median_ms(runs, name) for runs in sides]
        peak = floor.rss_peak_mb.get(name)
        table.add_row(
            name,
            *("-" if cell is None else f"{cell:.3f}" for cell in cells),
            "-" if peak is None else f"{peak:.0f}",
        )
    sums = [sum(filter(None, (_median_ms(runs, name) for name in names))) for runs in sides]
    table.add_section()
    table.add_row("all", *(f"{total:.3f}" for total in sums), "")
    return table


def _median_ms(runs: Sequence[Run], name: str) -> float | None:
    values = [run.cpu_ms[name] for run in runs if name in run.cpu_ms]
    return median(values) if values else None
