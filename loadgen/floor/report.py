"""What the pairs of a floor run mean: absolute rates, ratios, and where the processor time went."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any, Final

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from loadgen.machine.usage import Used
from loadgen.pairs.command import Findings, cell, table
from loadgen.pairs.turns import Ratios, doubts, ratio
from loadgen.results.result import Result
from loadgen.study.analysis.statistics import Interval

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
        gone = [
            f"{each} ended during the run: its CPU is unknown" for each in used if each not in cpu
        ]
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
            invalid_reasons=[*result.invalid_reasons, *gone],
            examples=result.examples,
        )

    @property
    def services_ms(self) -> float:
        """Milliseconds of processor time an order, of all services together."""
        return sum(spent for name, spent in self.cpu_ms.items() if name != GERADOR)

    @property
    def doubts(self) -> list[str]:
        """Why it cannot be compared; a side that leaves orders undone looks faster than it is."""
        if not self.not_terminal:
            return self.invalid_reasons
        undone = f"{self.not_terminal} of {self.orders} orders without a terminal answer"
        return [*self.invalid_reasons, undone]


class Pair(Struct, frozen=True):
    """The floor and the real arm, one after the other; `appends_ms` only with one caller."""

    floor: Run
    real: Run
    appends_ms: float | None

    @property
    def ratio(self) -> float | None:
        """Real by floor: of rates (higher is better) or, with one caller, of medians (lower is)."""
        if self.appends_ms is None:
            return ratio(self.real.rate_per_s, self.floor.rate_per_s)
        if self.floor.p50_ms is None:
            return None
        return ratio(self.real.p50_ms, self.floor.p50_ms + self.appends_ms)

    @property
    def cpu_ratio(self) -> float | None:
        """The services' processor time an order, real by floor."""
        return ratio(self.real.services_ms, self.floor.services_ms)

    def words(self) -> str:
        """The pair in a line."""
        rates = f"{self.floor.rate_per_s:,.1f} and {self.real.rate_per_s:,.1f} orders/s"
        return f"{rates}, ratio {cell(self.ratio)}; services' CPU, ratio {cell(self.cpu_ratio)}"


class Floor(Findings, frozen=True, kw_only=True):
    """The JSON of a floor run. Ratios are real by floor, those of CPU of all services an order."""

    mode: str
    concurrency: int
    measure: str
    ratio_median: float | None
    ratio_interval: Interval | None
    ratios: list[float | None]
    cpu_ratio_median: float | None
    cpu_ratio_interval: Interval | None
    cpu_ratios: list[float | None]
    generator_share_median: float | None
    not_terminal: int
    rss_peak_mb: dict[str, float]
    pairs: list[Pair]


def summarise(
    mode: str,
    concurrency: int,
    pairs: Sequence[Pair],
    *,
    wanted: int,
    memory_disk: str | None,
    **surroundings: Any,
) -> Floor:
    """The middle of the pairs and whether it can be believed."""
    reasons = doubts(pairs, wanted)
    if memory_disk is not None:
        reasons.append(f"the data lies on {memory_disk}, a memory disk: nothing was made durable")
    for number, pair in enumerate(pairs, 1):
        for run in (pair.floor, pair.real):
            reasons += [f"pair {number}, {run.name}: {reason}" for reason in run.doubts]
    rates, cpu = (Ratios(pair.ratio for pair in pairs), Ratios(pair.cpu_ratio for pair in pairs))
    shares = [pair.real.generator_share for pair in pairs if pair.real.generator_share is not None]
    peaks = [pair.real.rss_peak_mb for pair in pairs]
    return Floor(
        mode=mode,
        concurrency=concurrency,
        measure="median latency" if _of_latency(pairs) else "terminal answers a second",
        ratio_median=rates.median,
        ratio_interval=rates.interval,
        ratios=rates.each,
        cpu_ratio_median=cpu.median,
        cpu_ratio_interval=cpu.interval,
        cpu_ratios=cpu.each,
        generator_share_median=round(median(shares), 4) if shares else None,
        not_terminal=sum(pair.floor.not_terminal + pair.real.not_terminal for pair in pairs),
        rss_peak_mb={name: max(each[name] for each in peaks if name in each) for name in peaks[0]},
        valid=not reasons,
        invalid_reasons=reasons,
        pairs=list(pairs),
        **surroundings,
    )


def _of_latency(pairs: Sequence[Pair]) -> bool:
    return pairs[0].appends_ms is not None


def show(floor: Floor, console: Console) -> None:
    """Print the pairs, their middle, and where the microseconds go."""
    console.print(_pairs(floor))
    console.print(_processes(floor))
    lines = [
        f"median ratio of {len(floor.pairs)} pairs: {Ratios(floor.ratios).words()}",
        f"services' CPU an order, median ratio: {Ratios(floor.cpu_ratios).words()}",
        f"orders without a terminal answer, both sides: {floor.not_terminal}",
    ]
    if floor.generator_share_median is not None:
        lines.append(f"generator: {floor.generator_share_median:.1%} of all CPU (real arm)")
    runs = [run for pair in floor.pairs for run in (pair.floor, pair.real)]
    examples = {kind: detail for run in runs for kind, detail in run.examples.items()}
    lines += [f"{kind}, for example: {detail}" for kind, detail in examples.items()]
    for line in lines:
        console.print(line, markup=False, highlight=False)


def _pairs(floor: Floor) -> Table:
    latency = _of_latency(floor.pairs)
    sides = (floor.pairs[0].floor.name, floor.pairs[0].real.name)
    unit = "ms" if latency else "per s"
    made = table(
        f"{floor.mode}, {floor.concurrency:,} callers: {floor.measure},"
        " and the services' CPU ms an order",
        "pair", f"{sides[0]} {unit}", *(["six appends ms"] if latency else []),
        f"{sides[1]} {unit}", "ratio", f"{sides[0]} CPU", f"{sides[1]} CPU", "CPU ratio",
    )  # fmt: skip
    for number, pair in enumerate(floor.pairs, 1):
        bare, real = (
            cell(run.p50_ms if latency else run.rate_per_s, 2) for run in (pair.floor, pair.real)
        )
        appends = [cell(pair.appends_ms, 2)] if latency else []
        cpu = (pair.floor.services_ms, pair.real.services_ms, pair.cpu_ratio)
        made.add_row(str(number), bare, *appends, real, cell(pair.ratio), *map(cell, cpu))
    return made


def _processes(floor: Floor) -> Table:
    sides = [[pair.floor for pair in floor.pairs], [pair.real for pair in floor.pairs]]
    made = table(
        "CPU ms an order (median of the pairs), and real by floor",
        "process", *(runs[0].name for runs in sides),
        "ratio", "95 % of its mean", "ratio of each pair", "peak MB",
    )  # fmt: skip
    names = list(dict.fromkeys(name for pair in floor.pairs for name in pair.real.cpu_ms))
    for name in names:
        found = Ratios(
            ratio(pair.real.cpu_ms.get(name), pair.floor.cpu_ms.get(name)) for pair in floor.pairs
        )
        made.add_row(
            name, *(cell(_median_ms(runs, name)) for runs in sides), cell(found.median),
            found.range(), " ".join(cell(each, 2) for each in found.each),
            cell(floor.rss_peak_mb.get(name), 0),
        )  # fmt: skip
    made.add_section()
    made.add_row(
        "all",
        *(cell(sum(_median_ms(runs, name) or 0.0 for name in names)) for runs in sides),
    )
    return made


def _median_ms(runs: Sequence[Run], name: str) -> float | None:
    values = [run.cpu_ms[name] for run in runs if name in run.cpu_ms]
    return median(values) if values else None
