"""Does to a running arm what a timeline says, at the same instants in every arm."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from common.faults.failpoints import Rule
from loadgen.chaos.arm import AttackedArm
from loadgen.study.records.plan import Fault
from loadgen.study.records.record import Happened

# Seconds that a killed service may take to be started again, and to be ready.
RESTART_S: Final = 15.0


class Strikes:
    """The faults of one run; `events` is what happened, in seconds since the first order."""

    def __init__(self, data_dir: Path, rules: Path, faults: Sequence[Fault], seed: int) -> None:
        self._arm = AttackedArm(data_dir, rules, seed)
        self._faults = faults
        self._slow: dict[str, Rule] = {}
        self._begin = 0.0
        self.events: list[Happened] = []

    async def run(self, begin: float) -> None:
        """Strike as planned from a monotonic instant on. Raises ArmError when it cannot."""
        self._begin = begin
        async with asyncio.TaskGroup() as group:
            for number, fault in enumerate(self._faults):
                strike = self._down(fault) if fault.kind == "down" else self._slowed(fault, number)
                group.create_task(strike)

    async def _down(self, fault: Fault) -> None:
        await self._until(fault.at_s)
        self._note("down", fault)
        pid = await self._arm.keep_down(fault.service, RESTART_S)
        try:
            await self._until(fault.at_s + fault.for_s)
        finally:
            self._arm.resume(pid)
        self._note("resumed", fault)
        await self._arm.whole(RESTART_S)
        self._note("up", fault)

    async def _slowed(self, fault: Fault, number: int) -> None:
        await self._until(fault.at_s)
        name = f"slow-{number}"
        # Before its own commit: all that the service does for an order is late by this much.
        self._slow[name] = Rule(
            id=name, service=fault.service, point="P0", action="delay", seconds=fault.delay_s
        )
        self._arm.set_rules(self._slow.values())
        self._note("slow", fault)
        try:
            await self._until(fault.at_s + fault.for_s)
        finally:
            del self._slow[name]
            self._arm.set_rules(self._slow.values())
        self._note("usual", fault)

    async def _until(self, at_s: float) -> None:
        await asyncio.sleep(max(0.0, self._begin + at_s - time.monotonic()))

    def _note(self, what: str, fault: Fault) -> None:
        at_s = round(time.monotonic() - self._begin, 3)
        self.events.append(Happened(at_s, what, fault.service))
