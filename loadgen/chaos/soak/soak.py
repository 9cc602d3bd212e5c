"""The soak: callers who never give up, strikes on a schedule, then healing, waiting and judging."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from common.faults.failpoints import Rule
from loadgen.chaos.arm import AttackedArm
from loadgen.chaos.customers.crowd import Crowd, Phase, Sample, arrivals
from loadgen.chaos.customers.customer import Customer
from loadgen.chaos.progress import View
from loadgen.chaos.result import Series, SoakResult, Struck, rate, recovery
from loadgen.chaos.run import PATIENCE_S, play, settled_audit
from loadgen.chaos.soak.schedule import Strike, change_of_mind
from loadgen.workload.history import History
from loadgen.workload.targets import Basket

# Seconds without faults before the first strike: what goodput is compared with.
CALM_S: Final = 5.0
# Seconds that a killed service may take to be ready again, and a strike may wait for its target.
RESTART_S: Final = 15.0
# Seconds. The deadline of one call of a customer.
ATTEMPT_S: Final = 5.0


class Soak:
    """One soak of one running arm."""

    def __init__(
        self,
        mode: str,
        arm: AttackedArm,
        pedidos: Any,
        baskets: Sequence[Basket],
        strikes: Sequence[Strike],
        *,
        callers: int,
        rate_per_s: float | None,
        duration_s: float,
        seed: int,
        run_id: str,
        history: Path,
        environment: dict[str, object],
        view: View,
    ) -> None:
        self._mode = mode
        self._arm = arm
        self._strikes = strikes
        self._callers = callers
        self._rate_per_s = rate_per_s
        self._duration_s = duration_s
        self._seed = seed
        self._history_path = history
        self._history = History(history)
        self._environment = environment
        self._view = view
        self._customer = Customer(pedidos, self._history, attempt_s=ATTEMPT_S, seed=seed)
        self._crowd = Crowd(
            self._customer, baskets, run_id=run_id, patience_s=duration_s + PATIENCE_S,
            insist=True, record=self._record,
            change_of_mind=lambda number: change_of_mind(number, seed),
        )  # fmt: skip
        self._stopping = asyncio.Event()
        self._outcomes: Counter[str] = Counter()
        self._series = Series()
        self._struck: list[Struck] = []
        self._missed = 0
        self._attack_s = (CALM_S, CALM_S)
        self._rules: dict[int, tuple[Rule, ...]] = {}

    async def run(self) -> SoakResult:
        """Attack, heal, wait, judge."""
        settled, broken = await play(
            self._buy(), self._script(), stopping=self._stopping, history=self._history,
            beat=self._beat,
        )  # fmt: skip
        if broken:
            self._attack_s = (self._attack_s[0], self._now())
        return await self._judged(settled, broken)

    async def _script(self) -> None:
        await asyncio.sleep(CALM_S)
        begin = self._now()
        self._attack_s = (begin, begin)
        await self._attack()
        left = begin + self._duration_s - self._now()
        if left > 0:
            await asyncio.sleep(left)
        self._arm.set_rules()
        await self._arm.whole(RESTART_S)
        self._attack_s = (begin, self._now())
        self._view.event(self._now(), "healed: no new orders, those under way end")

    # --- the callers --------------------------------------------------------------------------

    async def _buy(self) -> None:
        if self._rate_per_s is None:
            await self._crowd.closed_loop(self._callers, self._stopping)
            return
        # Longer than any attack takes: told to stop, it stops.
        length_s = CALM_S + 2 * self._duration_s + PATIENCE_S
        times = arrivals([Phase("attack", self._rate_per_s, length_s)], self._seed)
        await self._crowd.open_loop(times, self._stopping)

    def _record(self, sample: Sample) -> None:
        self._outcomes[sample.outcome] += 1
        if sample.terminal:
            self._series.add(sample.ended_s, sample.ended_s - sample.due_s)

    # --- the strikes --------------------------------------------------------------------------

    async def _attack(self) -> None:
        """Every strike at its time, or as soon after as its target is there; they may overlap."""
        begin = time.monotonic()
        under_way: list[asyncio.Task[None]] = []
        try:
            for number, strike in enumerate(self._strikes):
                await asyncio.sleep(max(0.0, begin + strike.at_s - time.monotonic()))
                under_way.append(asyncio.create_task(self._strike(number, strike)))
                if strike.fault in {"kill", "pause"}:
                    # One process at a time is taken away: what several at once do, the matrix shows.
                    await under_way[-1]
            await asyncio.gather(*under_way)
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _strike(self, number: int, strike: Strike) -> None:
        self._view.event(self._now(), f"{strike.fault} {strike.service}")
        if strike.fault == "kill":
            struck_at = await self._kill(strike)
        elif strike.fault == "pause":
            struck_at = await self._pause(strike)
        else:
            struck_at = self._now()
            self._rules[number] = strike.rules
            self._put_in_force()
            await asyncio.sleep(strike.length_s)
            del self._rules[number]
            self._put_in_force()
            if not self._arm.hits(strike.rules[0].id):
                self._missed += 1
                return
        if struck_at is None:
            self._missed += 1
            return
        self._struck.append(Struck(strike.fault, strike.service, struck_at, self._now()))

    def _put_in_force(self) -> None:
        self._arm.set_rules([rule for rules in self._rules.values() for rule in rules])

    async def _kill(self, strike: Strike) -> float | None:
        # Only who is ready: one that dies before it ever was is given up on, as it should be.
        await self._arm.whole(RESTART_S)
        at = self._now()
        struck = self._arm.strike((strike.service,), signal.SIGKILL)
        if not struck:
            return None
        await self._arm.whole(RESTART_S, replaced=struck)
        return at

    async def _pause(self, strike: Strike) -> float | None:
        at = self._now()
        struck = self._arm.strike((strike.service,), signal.SIGSTOP)
        if not struck:
            return None
        try:
            await asyncio.sleep(strike.length_s)
        finally:
            self._arm.resume(*struck.values())
        return at

    # --- the rest -----------------------------------------------------------------------------

    def _now(self) -> float:
        return self._crowd.now()

    def _beat(self) -> None:
        """Tell how it goes."""
        cells = {
            "ended": str(self._series.total),
            "calls failed": str(sum(self._customer.errors.values())),
            "strikes": f"{len(self._struck)}/{len(self._strikes)}",
        }
        self._view.beat(self._now(), self._series.last_second(self._now()), cells)

    async def _judged(self, settled: float | None, broken: tuple[str, ...]) -> SoakResult:
        attack_from, attack_to = self._attack_s
        invalid: list[str] = []
        report = await settled_audit(self._arm, self._history_path)
        completed = self._series.completed(attack_to)
        strikes = tuple(sorted(self._struck, key=lambda one: one.begin_s))
        baseline = rate(completed, min(1.0, CALM_S / 2), attack_from)
        if not baseline:
            invalid += ["nothing ended before the first strike: there is no base line"]
        invalid += self._crowd.lateness()
        if not strikes:
            invalid += ["no strike had any effect"]
        return SoakResult(
            mode=self._mode,
            seed=self._seed,
            callers=self._callers,
            rate_per_s=self._rate_per_s,
            asked=self._crowd.asked,
            outcomes=dict(self._outcomes),
            errors=dict(self._customer.errors),
            struck=dict(Counter(one.fault for one in strikes)),
            missed=self._missed,
            strikes=strikes,
            completed=completed,
            latency_ms=self._series.latency_ms(attack_to),
            attack_s=self._attack_s,
            baseline_per_s=baseline,
            goodput_per_s=rate(completed, attack_from, attack_to),
            recovery_s=recovery(completed, strikes, baseline, attack_to),
            settled_s=settled,
            audit=report,
            invalid_reasons=tuple(invalid),
            broken=broken,
            environment=self._environment,
        )
