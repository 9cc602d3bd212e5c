"""The attack: orders besieged by all that a caller can do, services struck one, three and all at once.

Then everything is healed, every order must end whether or not anybody still asks for it, and the
auditor judges.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from common.faults.failpoints import Rule
from loadgen.chaos.arm import LOOK_S, AttackedArm
from loadgen.chaos.attack.attacker import Attackers
from loadgen.chaos.attack.pursuit import not_pursued
from loadgen.chaos.attack.siege import Raid, siege
from loadgen.chaos.customers.customer import Customer
from loadgen.chaos.progress import View
from loadgen.chaos.result import AttackResult, Series, Struck, rate
from loadgen.chaos.run import PATIENCE_S, play, settled_audit
from loadgen.chaos.soak.schedule import SERVICES
from loadgen.workload.history import History
from loadgen.workload.targets import Basket

# Seconds that services may take to be ready again when all of them start at once.
RESTART_S: Final = 30.0
# Seconds. The deadline of one call of a customer who asks for the order's end.
ATTEMPT_S: Final = 2.0
# Waits that make room for a race: some payments are so slow that a cancel comes meanwhile and ends,
# and some time passes between a charge that is voided and Pagamentos' own undo.
WAITS: Final = (
    Rule(
        id="slow payment", service="pagamentos", point="gateway", action="delay", probability=0.15,
        seconds=1.0,
    ),
    Rule(
        id="slow undo", service="pagamentos", point="P4", action="delay", probability=0.15,
        seconds=0.2,
    ),
)  # fmt: skip


class Attack:
    """One attack on one running arm."""

    def __init__(
        self,
        mode: str,
        arm: AttackedArm,
        connections: Sequence[Any],
        baskets: Sequence[Basket],
        raids: Sequence[Raid],
        *,
        attackers: int,
        duration_s: float,
        seed: int,
        run_id: str,
        history: Path,
        environment: dict[str, object],
        view: View,
    ) -> None:
        """`connections` are clients of Pedidos, each with connections of its own."""
        self._mode = mode
        self._arm = arm
        self._raids = raids
        self._number = attackers
        self._duration_s = duration_s
        self._seed = seed
        self._history_path = history
        self._history = History(history)
        self._environment = environment
        self._view = view
        self._start, self._epoch = time.monotonic(), arm.epoch()
        self._attackers = Attackers(
            [
                Customer(client, self._history, attempt_s=ATTEMPT_S, seed=seed)
                for client in connections
            ],
            [basket.request for basket in baskets],
            partial(siege, seed=seed),
            run_id=run_id,
            until=self._start + duration_s + 2 * PATIENCE_S,
            on_end=self._ended,
        )
        self._stopping = asyncio.Event()
        self._series = Series()
        self._struck: list[tuple[Raid, Struck]] = []
        self._missed = 0
        self._end_s = duration_s

    async def run(self) -> AttackResult:
        """Attack, heal, wait, judge."""
        self._arm.set_rules(WAITS)
        settled, broken = await play(
            self._besiege(), self._script(), stopping=self._stopping, history=self._history,
            beat=self._beat,
        )  # fmt: skip
        if broken:
            self._end_s = self._now()
        return await self._judged(settled, broken)

    async def _besiege(self) -> None:
        await self._attackers.attack(self._number, self._stopping)
        # What nobody asks for must end as well; only then may asking for it have any part in it.
        while True:
            _, still_open = self._arm.book()
            if not still_open:
                break
            await asyncio.sleep(LOOK_S)
        self._view.event(self._now(), "every order has ended: those that were left are asked for")
        await self._attackers.ask_again()

    def _ended(self, begun: float, ended: float) -> None:
        self._series.add(ended - self._start, ended - begun)

    # --- the strikes --------------------------------------------------------------------------

    async def _script(self) -> None:
        for number, raid in enumerate(self._raids):
            await asyncio.sleep(max(0.0, raid.at_s - self._now()))
            if self._now() >= self._duration_s:
                # Those before took longer than there is time for.
                self._missed += len(self._raids) - number
                break
            await self._raid(raid)
        await asyncio.sleep(max(0.0, self._duration_s - self._now()))
        self._arm.set_rules()
        await self._arm.whole(RESTART_S)
        self._end_s = self._now()
        self._view.event(self._end_s, "healed: no new orders, those under way end")

    async def _raid(self, raid: Raid) -> None:
        # Only who is ready: one that dies before it ever was is given up on, as it should be.
        await self._arm.whole(RESTART_S)
        begin, names = self._now(), ", ".join(raid.services)
        if len(raid.services) == len(SERVICES):
            names = "all"
        self._view.event(begin, f"{raid.sign} {names}")
        first = {"kill": signal.SIGKILL, "term": signal.SIGTERM}.get(raid.sign, signal.SIGSTOP)
        struck = self._arm.strike(raid.services, first)
        try:
            await self._until_healed(raid, struck)
        finally:
            # Also one that did not heal: it is what the picture shows then.
            self._struck.append((raid, Struck(raid.sign, names, begin, self._now())))

    async def _until_healed(self, raid: Raid, struck: dict[str, int]) -> None:
        try:
            await asyncio.sleep(raid.length_s)
            if raid.sign == "stop-term":
                # It hears of it when it is woken.
                self._arm.strike(struck, signal.SIGTERM)
        finally:
            self._arm.resume(*struck.values())
        if raid.sign != "stop":
            await self._arm.whole(RESTART_S, replaced=struck)

    # --- the rest -----------------------------------------------------------------------------

    def _now(self) -> float:
        return time.monotonic() - self._start

    def _beat(self) -> None:
        """Tell how it goes."""
        cells = {
            "orders": str(self._attackers.asked),
            "calls failed": str(self._attackers.errors.total()),
            "strikes": f"{len(self._struck)}/{len(self._raids)}",
        }
        self._view.beat(self._now(), self._series.last_second(self._now()), cells)

    async def _judged(self, settled: float | None, broken: tuple[str, ...]) -> AttackResult:
        report = await settled_audit(self._arm, self._history_path)
        stretches = [
            (self._epoch + one.begin_s, self._epoch + one.healed_s) for _, one in self._struck
        ]
        struck: dict[str, Counter[int]] = {}
        for raid, _ in self._struck:
            struck.setdefault(raid.sign, Counter())[len(raid.services)] += 1
        invalid = []
        if not self._struck:
            invalid.append("no strike had any effect")
        if not self._series.total:
            invalid.append("no order ended under attack")
        completed = self._series.completed(self._end_s)
        attackers = self._attackers
        return AttackResult(
            mode=self._mode,
            seed=self._seed,
            attackers=self._number,
            duration_s=self._duration_s,
            asked=attackers.asked,
            outcomes=dict(attackers.outcomes),
            asked_again=dict(attackers.asked_again),
            moves={move: dict(counts) for move, counts in attackers.moves.items()},
            errors=dict(attackers.errors),
            struck={sign: dict(counts) for sign, counts in struck.items()},
            missed=self._missed,
            strikes=tuple(one for _, one in self._struck),
            completed=completed,
            latency_ms=self._series.latency_ms(self._end_s),
            goodput_per_s=rate(completed, 0.0, self._end_s),
            settled_s=settled,
            not_pursued=await asyncio.to_thread(not_pursued, self._arm.data_dir, stretches),
            audit=report,
            broken=broken,
            invalid_reasons=tuple(invalid),
            environment=self._environment,
        )
