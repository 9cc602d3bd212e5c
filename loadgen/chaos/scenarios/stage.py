"""What the scenarios share: customers, a clock, what was seen, and the end that every run has.

A scenario is one question about one arm, with its bar: what happens beyond capacity, with a slow or
a dead hop, while services are restarted. At its end everything is healed, every order must end and
the auditor judges, as after a soak.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from common.audit import AuditReport
from loadgen.chaos.arm import AttackedArm
from loadgen.chaos.customers.crowd import SHED, Crowd, Sample
from loadgen.chaos.customers.customer import Customer, OnError
from loadgen.chaos.progress import View
from loadgen.chaos.result import CELL_S, Struck, latencies
from loadgen.chaos.run import PATIENCE_S, play, settled_audit
from loadgen.workload.history import History
from loadgen.workload.targets import Basket


class Figure(Struct, frozen=True):
    """One figure of a scenario, as text with its unit; `met` is null where there is no bar."""

    what: str
    value: str
    bar: str = ""
    met: bool | None = None


class ScenarioResult(Struct, frozen=True, kw_only=True):
    """The outcome of a scenario on one arm.

    `completed` and `shed` count orders a cell of CELL_S since the start; `latency_ms` holds a pair
    (p50, p99) a second, null where nothing ended. `marks` are the stretches that are shaded.
    """

    mode: str
    scenario: str
    options: dict[str, str]
    seed: int
    figures: tuple[Figure, ...]
    outcomes: dict[str, int]
    errors: dict[str, int]
    completed: tuple[int, ...]
    shed: tuple[int, ...]
    latency_ms: tuple[tuple[float, float] | None, ...]
    marks: tuple[Struck, ...]
    settled_s: float | None
    audit: AuditReport
    broken: tuple[str, ...]
    invalid_reasons: tuple[str, ...]
    environment: dict[str, object]


class Stage:
    """One arm, its customers and what is seen of them."""

    def __init__(
        self,
        mode: str,
        arm: AttackedArm,
        pedidos: Any,
        baskets: Sequence[Basket],
        *,
        seed: int,
        run_id: str,
        history: Path,
        environment: dict[str, object],
        view: View,
        insist: bool,
        attempt_s: float,
        pause_max_s: float,
        on_error: OnError | None = None,
    ) -> None:
        self.mode = mode
        self.arm = arm
        self.pedidos = pedidos
        self.seed = seed
        self.samples: list[Sample] = []
        self.marks: list[Struck] = []
        self.invalid: list[str] = []
        self._history_path = history
        self._history = History(history)
        self._environment = environment
        self._view = view
        self._customer = Customer(
            pedidos, self._history, attempt_s=attempt_s, seed=seed, pause_max_s=pause_max_s,
            on_error=on_error,
        )  # fmt: skip
        self.crowd = Crowd(
            self._customer, baskets, run_id=run_id, patience_s=2 * PATIENCE_S, insist=insist,
            record=self.samples.append,
        )  # fmt: skip
        self.stopping = asyncio.Event()

    def now(self) -> float:
        """Seconds since the start."""
        return self.crowd.now()

    def say(self, words: str) -> None:
        """Tell what is done, in one line."""
        self._view.event(self.now(), words)

    def mark(self, fault: str, service: str, begin_s: float) -> None:
        """Remember a stretch that ends now."""
        self.marks.append(Struck(fault, service, begin_s, self.now()))

    async def play(
        self,
        customers: Coroutine[Any, Any, None],
        script: Coroutine[Any, Any, None],
    ) -> tuple[float | None, tuple[str, ...]]:
        """Run the script while the customers buy; then stop them and wait for their orders.

        Returns the seconds until the last order had ended, None when one did not, and what broke.
        """
        return await play(
            customers, script, stopping=self.stopping, history=self._history, beat=self._beat
        )

    def errors(self, kind: str) -> int:
        """Calls that failed with this category."""
        return self._customer.errors.get(kind, 0)

    async def result(
        self,
        scenario: str,
        options: dict[str, str],
        figures: Sequence[Figure],
        settled_s: float | None,
        broken: tuple[str, ...],
    ) -> ScenarioResult:
        """Judge, and put everything together."""
        report = await settled_audit(self.arm, self._history_path)
        if not self.samples:
            self.invalid.append("no order was placed")
        self.invalid += self.crowd.lateness()
        ended = [sample for sample in self.samples if sample.terminal]
        seconds = max((sample.ended_s for sample in self.samples), default=0.0)
        by_second: dict[int, list[float]] = {}
        for sample in ended:
            waited = (sample.ended_s - sample.due_s) * 1e3
            by_second.setdefault(int(sample.ended_s), []).append(waited)
        return ScenarioResult(
            mode=self.mode,
            scenario=scenario,
            options=options,
            seed=self.seed,
            figures=tuple(figures),
            outcomes=dict(Counter(sample.outcome for sample in self.samples)),
            errors=dict(self._customer.errors),
            completed=_cells(ended, seconds),
            shed=_cells([s for s in self.samples if s.outcome == SHED], seconds),
            latency_ms=tuple(
                latencies(by_second.get(second)) for second in range(int(seconds) + 1)
            ),
            marks=tuple(self.marks),
            settled_s=settled_s,
            audit=report,
            broken=broken,
            invalid_reasons=tuple(self.invalid),
            environment=self._environment,
        )

    def ended_between(self, begin_s: float, end_s: float) -> list[Sample]:
        """Orders whose terminal answer came in a stretch of the run."""
        return [s for s in self.samples if s.terminal and begin_s <= s.ended_s < end_s]

    def goodput(self, begin_s: float, end_s: float) -> float:
        """Terminal answers a second in a stretch of the run."""
        return len(self.ended_between(begin_s, end_s)) / (end_s - begin_s)

    def _beat(self) -> None:
        """Tell how it goes."""
        now = self.now()
        recent = [s for s in self.samples[-4_000:] if s.ended_s >= now - 1]
        shed = sum(s.outcome == SHED for s in recent)
        ended = sum(s.terminal for s in recent)
        under_way = self.crowd.asked - len(self.samples)
        cells = {"refused a second": str(shed), "under way": str(under_way)}
        self._view.beat(now, float(ended), cells)


def _cells(samples: Sequence[Sample], seconds: float) -> tuple[int, ...]:
    counts = Counter(int(sample.ended_s / CELL_S) for sample in samples)
    return tuple(counts[cell] for cell in range(int(seconds / CELL_S) + 1))
