"""What a soak and the scenarios have in common: customers beside a script, and the end of a run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from common.audit import AuditReport, audit
from loadgen.chaos.arm import ArmError, AttackedArm
from loadgen.chaos.result import SETTLE_S
from loadgen.workload.history import WRITE_INTERVAL_S, History

# Seconds that orders may take to end before the run itself is given up.
PATIENCE_S: Final = 60.0


async def play(
    customers: Coroutine[Any, Any, None],
    script: Coroutine[Any, Any, None],
    *,
    stopping: asyncio.Event,
    history: History,
    beat: Callable[[], None],
) -> tuple[float | None, tuple[str, ...]]:
    """Run the script while the customers buy; then stop them and wait for their orders.

    `beat` is called once a second. Closes the history. Returns the seconds until the last order had
    ended, None when one did not, and what broke.
    """
    keeper = asyncio.create_task(_keep(history, beat))
    buyers = asyncio.create_task(customers)
    settled: float | None = None
    broken: tuple[str, ...] = ()
    try:
        await script
        stopping.set()
        stopped = time.monotonic()
        done, _ = await asyncio.wait((buyers,), timeout=PATIENCE_S)
        if done:
            buyers.result()
            settled = time.monotonic() - stopped
    except ArmError as error:
        broken = (str(error),)
    finally:
        for task in (keeper, buyers):
            task.cancel()
        await asyncio.gather(keeper, buyers, return_exceptions=True)
        history.close()
    return settled, broken


async def settled_audit(arm: AttackedArm, history: Path) -> AuditReport:
    """The audit of an arm at rest. Orders still open are waited for, SETTLE_S at most."""
    until = time.monotonic() + SETTLE_S
    while True:
        report = await asyncio.to_thread(
            audit, arm.data_dir, history=history, settled=True, complete=True
        )
        # A violation of any other kind is not waited away.
        if not report.open_orders or time.monotonic() > until:
            return report
        await asyncio.sleep(0.5)


async def _keep(history: History, beat: Callable[[], None]) -> None:
    """Write the history, and tell how it goes once a second."""
    halves = 0
    while True:
        await asyncio.sleep(WRITE_INTERVAL_S)
        history.flush()
        halves += 1
        if halves % 2 == 0:
            beat()
