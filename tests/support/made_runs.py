"""Made-up but plausible runs of a study: throughput by the USL, latency by Little's law, noise from a seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any, Final

from common.arms import THREAD_ARMS
from common.contratos import SERVICOS
from common.servicos.protocolo.record import Hop, Inside, encode
from loadgen.attribution.hops import Sample
from loadgen.results.histograms import (
    PRECISION_SECOND,
    Tally,
    encoded,
    lag_histogram,
    latency_histogram,
    latency_max_us,
)
from loadgen.results.objectives import parse_objective
from loadgen.results.recorder import CELL_NS, Recording
from loadgen.results.result import make_result
from loadgen.study.records import record as r
from loadgen.study.records import store
from loadgen.study.records.plan import (
    WORKERS,
    Fault,
    Wait,
)
from loadgen.workload.plan import Plan, Population
from loadgen.workload.schedule import steady

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# By arm: orders a second at one caller without any wait, contention, crosstalk (the USL's).
SCALING: Final[dict[str, tuple[float, float, float]]] = {
    "grpc": (140.0, 0.12, 2e-7),
    "http": (110.0, 0.13, 4e-7),
    "grpc-threads": (150.0, 0.22, 6e-6),
    "http-threads": (95.0, 0.25, 9e-6),
    "bare-grpc": (420.0, 0.20, 1e-7),
    "bare-http": (360.0, 0.22, 1e-7),
}
# Orders of each run that tell their time in full.
SAMPLED: Final = 60
CPU_MS: Final = {
    "grpc": 0.9, "http": 1.2, "grpc-threads": 1.6, "http-threads": 2.1,
    "bare-grpc": 0.3, "bare-http": 0.4,
}  # fmt: skip
ENDS: Final = {"down": "resumed", "slow": "usual"}
# Seconds from the last order but one to the last: what a single timeout makes of a run.
TAIL_S: Final = 10


@dataclass
class Made:
    """A results directory under way."""

    directory: Path
    seed: int = 7
    orders_a_run: int = 300
    order: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.draw = Random(self.seed)

    def keep(self, run: r.RunRecord) -> None:
        """Write one run."""
        self.order.append(run.id)
        store.write_run(self.directory, run)

    def capacity(self, cell: r.Cell) -> float:
        """Orders a second that the cell's arm could do at most, or at its concurrency."""
        first, contention, crosstalk = SCALING[cell.arm]
        callers = cell.concurrency or 200
        usl = (
            first * callers / (1 + contention * (callers - 1) + crosstalk * callers * (callers - 1))
        )
        usl *= 0.7 if cell.storage == "plain" else 0.85 if cell.event_loop == "asyncio" else 1.0
        usl /= 1 + 0.01 * cell.items[1]
        wait = sum(cell.payment_wait_s) / 2
        if wait:
            served = min(callers, cell.workers or callers)
            usl = min(usl, served / (wait + served / max(usl, 1.0)))
        return usl

    def run(self, cell: r.Cell, repetition: int, rate: float, middle_ms: float) -> None:
        """Make up one run of so many orders a second with this median latency."""
        name = f"{cell.experiment}-{len(self.order):04}-r{repetition}"
        rate *= self.draw.lognormvariate(0, 0.03)
        result = make_result(
            load_plan(cell, repetition), self.recording(cell, rate, middle_ms),
            {"arm": {"mode": cell.arm}}, list(map(parse_objective, cell.objectives)),
        )  # fmt: skip
        spent = {
            service: r.Spent(CPU_MS[cell.arm] * self.draw.uniform(0.9, 1.1), 55.0 + index)
            for index, service in enumerate(SERVICOS)
        }
        run = r.RunRecord(
            format=r.FORMAT, id=name, cell=cell, repetition=repetition, seed=42 + repetition,
            status="ok" if result.valid else "invalid", reasons=tuple(result.invalid_reasons),
            started="2026-01-02T03:04:05+00:00", took_s=12.5,
            commands=(
                f"python run_all.py --mode {cell.arm} --fresh",
                f"python -m loadgen --concurrency {cell.concurrency}"
                if cell.concurrency
                else f"python -m loadgen --rate {cell.rate_per_s:.3f}",
                "python run_all.py --audit --settled",
            ),
            result=result,
            audit=None if cell.bare else r.Verdict(
                clean=True, orders={"enviado": result.sent}, rules=40, total=0, violations=(),
            ),
            events=tuple(
                r.Happened(at, what, fault.service)
                for fault in cell.faults
                for at, what in (
                    (fault.at_s + 0.05, fault.kind),
                    (fault.at_s + fault.for_s + 0.05, ENDS[fault.kind]),
                )
            ),
            spent=spent | {r.GENERATOR: r.Spent(0.25, 80.0)},
            bytes_per_order=(9_000 if cell.protocol == "grpc" else 14_000) * self.draw.uniform(0.99, 1.01),
            resources={name: self.series(cell, rate) for name in SERVICOS},
            flows={name: self.flow(rate, middle_ms, hop) for hop, name in enumerate(SERVICOS[:5])},
            commit="0" * 40,
        )  # fmt: skip
        self.keep(run)

    def recording(self, cell: r.Cell, rate: float, middle_ms: float) -> Recording:
        """Orders at an even pace, none while a service is down, with log-normal latencies."""
        histogram, lag = latency_histogram(cell.timeout_s), lag_histogram()
        # A thousand draws make the shape; more orders are more of each.
        draws = min(self.orders_a_run, 1_000)
        for _ in range(draws):
            value = int(middle_ms * 1e3 * self.draw.lognormvariate(0, 0.25))
            bounded = max(1, min(value, int(cell.timeout_s * 1e6)))
            histogram.record_value(bounded, self.orders_a_run // draws)
            lag.record_value(self.draw.randint(1, 3_000))
        cells = int((cell.warmup_s + cell.seconds) * 1e9 / CELL_NS)
        # The open loop offers what it was asked for; a closed one sends what was answered.
        sent = _evenly(cell.rate_per_s or rate, cells)
        answered = _evenly(min(rate, cell.rate_per_s or rate), cells)
        # What is answered was sent a while before, so the last answers come after the last order.
        delay = min(int(middle_ms / 100), int(cell.warmup_s * 10))
        spells = [(f, f.at_s + f.for_s + self.lag_s(cell)) for f in cell.faults]
        ended = [
            0 if any(f.kind == "down" and f.at_s <= i / 10 < end for f, end in spells) else number
            for i, number in enumerate([0] * delay + answered)
        ]
        measured = sum(sent[int(cell.warmup_s * 10) :]) or 1
        latency, late = encoded(histogram), encoded(lag)
        return Recording(
            start_ns=0, last_send_ns=cells * CELL_NS,
            sending_ended_ns=cells * CELL_NS, end_ns=cells * CELL_NS + TAIL_S * 1_000_000_000,
            outcomes={"enviado": {"": measured}}, warmup={"enviado": {"": sum(sent) - measured}},
            samples=self.samples(middle_ms), sampled=SAMPLED, in_time=measured, latency=latency,
            service="" if cell.rate_per_s is None else latency, lag=late, sent=sent,
            offered=[] if cell.rate_per_s is None else sent, late=late,
            seconds=self.seconds(cell, middle_ms, spells),
            completed=ended, failed=[0] * cells, cpu_s=[1.0], rss_max_bytes=[80 * 2**20],
            hops={
                name: {"n": 100.0, "dur": 100 * middle_ms * (1 - 0.15 * hop), "banco": 150.0,
                       "proximo": 100 * middle_ms * (0.85 - 0.15 * hop)}
                for hop, name in enumerate(SERVICOS[:5])
            },
        )  # fmt: skip

    def lag_s(self, cell: r.Cell) -> float:
        """How long an arm takes to come back from a fault in this run: threads longer than loops."""
        return self.draw.uniform(0.1, 1.9) * (2 if cell.io_model == "threads" else 1)

    def seconds(
        self, cell: r.Cell, middle_ms: float, spells: Sequence[tuple[Fault, float]]
    ) -> list[str]:
        """The latencies of each second of a timeline: three times as long in a fault and its lag."""
        told = []
        for second in range(int(cell.warmup_s + cell.seconds) if cell.faults else 0):
            struck = any(f.at_s <= second + 1 and second < end for f, end in spells)
            tally = Tally(latency_max_us(cell.timeout_s), PRECISION_SECOND)
            for _ in range(40):
                usual = middle_ms * 1e3 * self.draw.uniform(0.5, 1.5)
                tally.note(int(usual * (3 if struck else 1)))
            told.append(tally.encoded())
        return told

    def samples(self, middle_ms: float) -> list[Sample]:
        """Orders that told their time in full: each hop keeps some of it and hands on the rest."""
        made = []
        for number in range(SAMPLED):
            whole = middle_ms * self.draw.lognormvariate(0, 0.25)
            at, left, hops = 1_000.0 * number, whole, []
            for hop, name in enumerate(SERVICOS[:5]):
                way = 0.03 * left / 2
                at, left = at + way, left - 2 * way
                own = left if hop == 4 else 0.2 * left
                own_us, below_us = int(own * 1e3), int((left - own) * 1e3) if hop < 4 else 0
                parts = Inside(
                    espera=own_us // 4, trabalho=own_us * 3 // 10, banco=own_us * 3 // 10,
                    proximo=below_us, saida=int((at + own / 2) * 1e3),
                )  # fmt: skip
                hops.append(
                    Hop(
                        name, int(at * 1e3), int(left * 1e3), queue=own_us // 10,
                        commit=parts.banco * 6 // 10, inside=parts,
                    )
                )  # fmt: skip
                at, left = at + own / 2, left - own
            begin, end = 1_000_000_000 * number, 1_000_000_000 * number + int(whole * 1e6)
            made.append(Sample(begin, begin, end, end, ",".join(map(encode, hops))))
        return made

    def series(self, cell: r.Cell, rate: float) -> r.Series:
        """A service over time, a sample each half second."""
        samples = int(2 * (cell.warmup_s + cell.seconds))
        loops = cell.io_model == "loop"
        return r.Series(
            t_s=tuple(i / 2 for i in range(samples)),
            cpu=tuple(min(1.0, rate / 1e3 * self.draw.uniform(0.9, 1.1)) for _ in range(samples)),
            rss_mb=tuple(50 + i / 4 for i in range(samples)),
            open_files=(30 + (cell.workers or 0),) * samples,
            wal_kb=tuple(100.0 * (i % 8) for i in range(samples)),
            loop_lag_ms=tuple(self.draw.uniform(0.1, 4) if loops else None for _ in range(samples)),
            writer_queue=tuple(self.draw.randint(0, 9) for _ in range(samples)),
            in_flight=tuple(self.draw.randint(1, 60) for _ in range(samples)),
        )

    def flow(self, rate: float, middle_ms: float, hop: int) -> r.Flow:
        """Inputs of Little's law that agree within its bound."""
        time_s = middle_ms / 1e3 * (1 - 0.15 * hop)
        return r.Flow(
            rate * time_s * self.draw.uniform(0.97, 1.03), rate, time_s, 60.0, 6_000, int(60 * rate)
        )


def _evenly(rate: float, cells: int) -> list[int]:
    """So many a second, a tenth of a second at a time."""
    due = [int(rate * i / 10) for i in range(cells + 1)]
    return [after - before for before, after in pairwise(due)]


def cell_of(experiment: str, arm: str, wait: Wait, **changes: Any) -> r.Cell:
    """A cell of one arm, closed loop unless told otherwise."""
    threads = arm in THREAD_ARMS
    values: dict[str, Any] = {
        "experiment": experiment, "phase": "point", "arm": arm,
        "protocol": "grpc" if "grpc" in arm else "http",
        "io_model": "threads" if threads else "loop", "bare": arm.startswith("bare-"),
        "payment_wait_s": wait, "loop": "closed", "concurrency": None, "rate_per_s": None,
        "steps": (), "workers": WORKERS if threads else None,
        "event_loop": None if threads else "uvloop", "items": (1, 5), "storage": "shared",
        "faults": (), "objectives": (), "twin": "", "warmup_s": 2.0, "seconds": 5.0,
        "timeout_s": 60.0,
    }  # fmt: skip
    return r.Cell(**(values | changes))


def load_plan(cell: r.Cell, repetition: int) -> Plan:
    """What the generator was asked for in a cell."""
    length_s = cell.warmup_s + cell.seconds
    schedule = None if cell.rate_per_s is None else steady(cell.rate_per_s, length_s)
    return Plan(
        mode=cell.arm.removeprefix("bare-"), address="127.0.0.1:1",
        population=Population((1, 2), (1, 2)), run_id="made",
        concurrency=cell.concurrency or 0, schedule=schedule,
        duration_s=None if schedule else cell.warmup_s + cell.seconds,
        warmup_s=cell.warmup_s, timeout_s=cell.timeout_s, seed=42 + repetition,
    )  # fmt: skip
