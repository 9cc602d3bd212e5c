"""What a recording means: the figures of the contract, computed from raw data and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from loadgen.attribution.bands import Attribution, attribution
from loadgen.attribution.hops import means
from loadgen.results.histograms import decoded
from loadgen.results.objectives import LATENCIES, Judged, Objective, judged
from loadgen.results.percentiles import Latency, latency
from loadgen.results.recorder import Recording
from loadgen.results.selfcheck import invalid_reasons
from loadgen.results.timeline import OpenLoop, Second, Steady, open_loop, rate, steady, timeline
from loadgen.workload.plan import Plan

# Share of orders without stock above which a run says more about stock than about services.
OUT_OF_STOCK_MAX: Final = 0.05


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


class Generator(Struct, frozen=True):
    """What the generator itself used, and how late its loop was."""

    processes: int
    cpu_s: float
    cpu_us_per_order: float | None
    rss_max_mb: float
    loop_lag_p99_ms: float
    loop_lag_max_ms: float


class Result(Struct, frozen=True, kw_only=True):
    """The JSON of a run; the first fields are the contract's, the rest explains them.

    `throughput_per_s` is `completed`, and `goodput_per_s` those in time, over `duration_s`, which
    runs from the warm-up's end to the end of the last order: a single one that times out makes it a
    timeout longer. The rates while orders were being sent are in `steady`.
    """

    offered: int
    sent: int
    unsent: int = 0
    completed: int
    duration_s: float
    throughput_per_s: float
    goodput_per_s: float | None
    outcomes: Outcomes
    latency_ms: Latency
    service_ms: Latency
    valid: bool
    invalid_reasons: list[str]
    mode: str
    seed: int
    environment: dict[str, Any]
    loop: Literal["closed", "open"]
    open_loop: OpenLoop | None = None
    objectives: list[Judged] = msgspec.field(default_factory=list)
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
        return self.completed == self.sent and left + sum(self.recording.unsent) == 0

    @property
    def sustained_per_s(self) -> float:
        """Terminal answers a second while orders were sent; over the run where that was short."""
        return self.throughput_per_s if self.steady is None else self.steady.throughput_per_s

    @property
    def sustained_goodput_per_s(self) -> float | None:
        """The same of answers in time; None after a failed audit."""
        steady = self.steady
        if self.goodput_per_s is None or steady is None or steady.goodput_per_s is None:
            return self.goodput_per_s
        return steady.goodput_per_s


def without_goodput(result: Result) -> Result:
    """The result after an audit that was not clean: whatever it counted may be wrong."""
    steady = result.steady
    if steady is not None:
        steady = msgspec.structs.replace(steady, goodput_per_s=None)
    return msgspec.structs.replace(result, goodput_per_s=None, steady=steady)


def to_json(result: Result) -> bytes:
    """The result as JSON, a line each field: readable, though some fields hold long series."""
    fields: dict[str, Any] = msgspec.to_builtins(result)
    lines = [
        msgspec.json.encode(name) + b": " + msgspec.json.encode(value)
        for name, value in fields.items()
    ]
    return b"{\n" + b",\n".join(lines) + b"\n}\n"


def make_result(
    plan: Plan,
    recording: Recording,
    environment: dict[str, Any],
    objectives: Sequence[Objective] = (),
) -> Result:
    """The figures of a run from its raw data, and which of the objectives it met."""
    outcomes = _outcomes(recording.outcomes)
    completed = outcomes.enviado + sum(outcomes.cancelado.values())
    from_ns = recording.start_ns + int(plan.warmup_s * 1e9)
    duration_s = max(0.0, (recording.end_ns - from_ns) / 1e9)
    reasons = invalid_reasons(plan, recording)
    latency_ms = latency(decoded(recording.latency))
    result = Result(
        offered=outcomes.total() + recording.unsent_measured,
        unsent=recording.unsent_measured,
        sent=outcomes.total(),
        completed=completed,
        duration_s=round(duration_s, 6),
        throughput_per_s=rate(completed, duration_s),
        goodput_per_s=rate(recording.in_time, duration_s),
        outcomes=outcomes,
        latency_ms=latency_ms,
        service_ms=latency(decoded(recording.service)) if recording.service else latency_ms,
        valid=not reasons,
        invalid_reasons=reasons,
        mode=plan.mode,
        seed=plan.seed,
        environment=environment,
        loop="closed" if plan.schedule is None else "open",
        open_loop=open_loop(plan, recording),
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
    return msgspec.structs.replace(result, objectives=judged(objectives, figures(result)))


def figures(result: Result) -> dict[str, float | None]:
    """Every figure that an objective may name: milliseconds, a second, or a share of one."""
    done = result.completed / result.offered if result.offered else None
    found: dict[str, float | None] = {
        "throughput": result.sustained_per_s,
        "goodput": result.sustained_goodput_per_s,
        "completed": done,
        "errors": None if done is None else 1 - done,
    }
    for name in LATENCIES:
        found[name] = getattr(result.latency_ms, name)
        found[f"service-{name}"] = getattr(result.service_ms, name)
    return found


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
