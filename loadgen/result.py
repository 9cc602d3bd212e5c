"""What a recording means: the figures of the contract, computed from raw data and nothing else."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from hdrh.histogram import HdrHistogram
from msgspec import Struct

from loadgen.hops import Attribution, attribution, means
from loadgen.plan import Plan
from loadgen.recorder import CELL_NS, Recording, decoded
from loadgen.selfcheck import invalid_reasons

# Samples. Below it the slowest thousandth is a handful of orders, and no statistic.
AMOSTRAS_P999: Final = 10_000
# Share of orders without stock above which a run says more about stock than about services.
SEM_ESTOQUE_MAX: Final = 0.05
# Cells. A steady phase shorter than a second has no rate.
CELULAS_CONSTANTE_MIN: Final = 10
_CELLS_PER_S: Final = 1_000_000_000 // CELL_NS


class Outcomes(Struct, frozen=True):
    """How many orders ended how; together they are all that were sent."""

    enviado: int
    cancelado: dict[str, int]
    pendente: int
    recusado: int
    erro: dict[str, int]

    def total(self) -> int:
        """Their sum."""
        parts = (sum(self.cancelado.values()), sum(self.erro.values()))
        return self.enviado + self.pendente + self.recusado + sum(parts)


class Latency(Struct, frozen=True):
    """Milliseconds; None where there are too few samples to say."""

    mean: float | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    p999: float | None
    max: float | None
    samples: int


class Steady(Struct, frozen=True):
    """The part of the run after the warm-up in which every caller had a next order to send."""

    from_s: float
    to_s: float
    completed: int
    throughput_per_s: float


class Second(Struct, frozen=True):
    """One second of the run, warm-up included."""

    t: int
    sent: int
    completed: int
    failed: int


class Generator(Struct, frozen=True):
    """What the generator itself used, and how late its loop was."""

    processes: int
    cpu_s: float
    cpu_us_per_order: float | None
    rss_max_mb: float
    loop_lag_p99_ms: float
    loop_lag_max_ms: float


class Result(Struct, frozen=True, kw_only=True):
    """The JSON of a run; the first fields are the contract's, the rest explains them."""

    offered: int
    sent: int
    completed: int
    duration_s: float
    throughput_per_s: float
    goodput_per_s: float | None
    outcomes: Outcomes
    latency_ms: Latency
    valid: bool
    invalid_reasons: list[str]
    mode: str
    seed: int
    environment: dict[str, Any]
    loop: str = "closed"
    concurrency: int
    warmup_s: float
    warmup: Outcomes
    timeout_s: float
    steady: Steady | None
    recusado_por: dict[str, int]
    examples: dict[str, str]
    generator: Generator
    hops_ms: dict[str, dict[str, float]]
    attribution: Attribution | None
    timeline: list[Second]
    plan: Plan
    recording: Recording

    @property
    def clean(self) -> bool:
        """True when every order, those of the warm-up too, came to a terminal answer."""
        warm = self.warmup
        left = warm.pendente + warm.recusado + sum(warm.erro.values())
        return self.completed == self.sent and left == 0


def to_json(result: Result) -> bytes:
    """The result as JSON, a line each field: readable, though some fields hold long series."""
    fields: dict[str, Any] = msgspec.to_builtins(result)
    lines = [
        msgspec.json.encode(name) + b": " + msgspec.json.encode(value)
        for name, value in fields.items()
    ]
    return b"{\n" + b",\n".join(lines) + b"\n}\n"


def make_result(plan: Plan, recording: Recording, environment: dict[str, Any]) -> Result:
    """The figures of a run from its raw data."""
    outcomes = _outcomes(recording.outcomes)
    completed = outcomes.enviado + sum(outcomes.cancelado.values())
    from_ns = recording.start_ns + int(plan.warmup_s * 1e9)
    duration_s = max(0.0, (recording.end_ns - from_ns) / 1e9)
    reasons = invalid_reasons(recording)
    return Result(
        offered=outcomes.total(),
        sent=outcomes.total(),
        completed=completed,
        duration_s=round(duration_s, 6),
        throughput_per_s=_rate(completed, duration_s),
        goodput_per_s=_rate(recording.in_time, duration_s),
        outcomes=outcomes,
        latency_ms=latency(decoded(recording.latency)),
        valid=not reasons,
        invalid_reasons=reasons,
        mode=plan.mode,
        seed=plan.seed,
        environment=environment,
        concurrency=plan.concurrency,
        warmup_s=plan.warmup_s,
        warmup=_outcomes(recording.warmup),
        timeout_s=plan.timeout_s,
        steady=steady(plan, recording),
        recusado_por=recording.outcomes.get("recusado", {}),
        examples=recording.examples,
        generator=_generator(recording),
        hops_ms=means(recording.hops),
        attribution=attribution(recording.samples, recording.sampled),
        timeline=timeline(recording),
        plan=plan,
        recording=recording,
    )


def latency(histogram: HdrHistogram) -> Latency:
    """Percentiles of a histogram in microseconds."""
    samples = histogram.get_total_count()
    if samples == 0:
        return Latency(None, None, None, None, None, None, None, 0)
    values = histogram.get_percentile_to_value_dict([50, 90, 95, 99, 99.9])
    p999 = values[99.9] / 1e3 if samples >= AMOSTRAS_P999 else None
    return Latency(
        mean=round(histogram.get_mean_value() / 1e3, 3),
        p50=values[50] / 1e3,
        p90=values[90] / 1e3,
        p95=values[95] / 1e3,
        p99=values[99] / 1e3,
        p999=p999,
        max=histogram.get_max_value() / 1e3,
        samples=samples,
    )


def steady(plan: Plan, recording: Recording) -> Steady | None:
    """The rate while every caller was busy: neither the warm-up nor the last orders of each.

    Terminal answers are counted by when they came, whenever they were sent. None when that phase
    is shorter than a second.
    """
    first = -(-int(plan.warmup_s * 1e9) // CELL_NS)
    last = (recording.last_send_ns - recording.start_ns) // CELL_NS
    if last - first < CELULAS_CONSTANTE_MIN:
        return None
    completed = sum(recording.completed[first:last])
    return Steady(
        from_s=first / _CELLS_PER_S,
        to_s=last / _CELLS_PER_S,
        completed=completed,
        throughput_per_s=_rate(completed, (last - first) / _CELLS_PER_S),
    )


def timeline(recording: Recording) -> list[Second]:
    """Counts per second since the start."""
    series = (recording.sent, recording.completed, recording.failed)
    seconds = -(-max(map(len, series)) // _CELLS_PER_S)
    return [
        Second(t, *(sum(cells[t * _CELLS_PER_S : (t + 1) * _CELLS_PER_S]) for cells in series))
        for t in range(seconds)
    ]


def without_stock(outcomes: Outcomes) -> float:
    """The share of orders that ended for want of stock."""
    total = outcomes.total()
    return outcomes.cancelado.get("estoque_insuficiente", 0) / total if total else 0.0


def _outcomes(counts: dict[str, dict[str, int]]) -> Outcomes:
    return Outcomes(
        enviado=sum(counts.get("enviado", {}).values()),
        cancelado=counts.get("cancelado", {}),
        pendente=sum(counts.get("pendente", {}).values()),
        recusado=sum(counts.get("recusado", {}).values()),
        erro=counts.get("erro", {}),
    )


def _generator(recording: Recording) -> Generator:
    lag = decoded(recording.lag)
    orders = sum(recording.completed) + sum(recording.failed)
    return Generator(
        processes=len(recording.cpu_s),
        cpu_s=round(sum(recording.cpu_s), 3),
        cpu_us_per_order=round(sum(recording.cpu_s) / orders * 1e6, 1) if orders else None,
        rss_max_mb=round(max(recording.rss_max_bytes, default=0) / 2**20, 1),
        loop_lag_p99_ms=lag.get_value_at_percentile(99) / 1e3,
        loop_lag_max_ms=lag.get_max_value() / 1e3,
    )


def _rate(count: int, duration_s: float) -> float:
    return round(count / duration_s, 3) if duration_s > 0 else 0.0
