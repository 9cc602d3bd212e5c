"""Runs the cells of the fault matrix against one running arm, one after the other.

The cells share a cluster, which is healed between them. A cell has passed when its fault was hit,
its order ended as it must within the bound after healing, and the same key still gets the same
answer; the audit at the end judges all orders together.
"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from common import ROOT
from common import contratos as c
from common.arms import ARMS
from common.audit import AuditReport
from common.erros import ErroServico
from common.process.ready import EXIT_UNUSABLE
from loadgen.chaos.arm import ArmError, AttackedArm
from loadgen.chaos.matrix.cells import AT_WORK_S, Cell
from loadgen.chaos.matrix.orders import PATIENCE_S, RESTART_S, Case, CellError, Orders
from loadgen.chaos.result import SETTLE_S
from loadgen.chaos.run import settled_audit
from loadgen.workload.history import History
from loadgen.workload.plan import Population

# Seconds. What a lock may take longer to be gone than its rule says.
LATE_S: Final = 0.2


class CellResult(Struct, frozen=True):
    """What came of a cell. `settled_s` is from healing to the order's end, null when it had none."""

    name: str
    fault: str
    service: str
    point: str
    scenario: str
    hits: int
    outcome: str
    settled_s: float | None
    problem: str

    @property
    def passed(self) -> bool:
        """True when the fault was hit and everything came out as it must."""
        return not self.problem


class MatrixResult(Struct, frozen=True):
    """All cells of one arm, and the audit of all their orders together."""

    mode: str
    seed: int
    cells: tuple[CellResult, ...]
    audit: AuditReport
    seconds: float

    @property
    def passed(self) -> bool:
        """True when every cell passed and the audit is clean."""
        return (
            bool(self.cells)
            and not self.audit.violations
            and all(cell.passed for cell in self.cells)
        )


class Matrix:
    """The matrix on one running arm."""

    def __init__(
        self,
        mode: str,
        arm: AttackedArm,
        pedidos: Any,
        population: Population,
        *,
        history: Path,
        seed: int,
        run_id: str,
        own_history: History,
    ) -> None:
        self._mode = mode
        self._arm = arm
        self._seed = seed
        self._history = own_history
        self._history_path = history
        self._orders = Orders(mode, arm, pedidos, population, own_history, seed=seed, run_id=run_id)

    async def run(
        self, chosen: list[Cell], tell: Callable[[int, CellResult], None]
    ) -> MatrixResult:
        """Run the cells in order; `tell` hears of each as it ends."""
        start = time.monotonic()
        results: list[CellResult] = []
        for cell in chosen:
            results.append(await self._run_cell(cell))
            tell(len(results), results[-1])
        self._arm.set_rules()
        report = await self._audited()
        return MatrixResult(
            self._mode, self._seed, tuple(results), report, time.monotonic() - start
        )

    # --- one cell -----------------------------------------------------------------------------

    async def _run_cell(self, cell: Cell) -> CellResult:
        hits, outcome, settled, problem = 0, "", None, ""
        try:
            if cell.outside == "second_process":
                hits, outcome = await self._second_process(cell), "refused to start"
            else:
                hits, answer, settled = await self._struck(cell)
                outcome = answer.status if answer.motivo is None else f"cancelado: {answer.motivo}"
        except (CellError, ArmError, ErroServico, sqlite3.Error, LookupError) as error:
            problem = str(error) or type(error).__name__
            hits = len(self._arm.hits(cell.rule.id)) if cell.rule else 0
        finally:
            self._arm.set_rules()
            self._history.flush()
        if cell.rule is not None and (cell.rule.point, cell.rule.action) == ("P2", "error"):
            # The call that was given up on is still at work: it must not be killed with the next.
            await asyncio.sleep(2 * AT_WORK_S)
        try:
            await self._arm.whole(RESTART_S)
        except ArmError as error:
            problem = problem or f"healing failed: {error}"
        return CellResult(
            cell.name, cell.fault, cell.service, cell.point, cell.scenario, hits, outcome,
            settled, problem,
        )  # fmt: skip

    async def _struck(self, cell: Cell) -> tuple[int, c.PedidoResponse, float]:
        """Have the order meet its rules, heal, and judge how it ended."""
        case = await self._orders.case(cell)
        healed = asyncio.create_task(self._heal(case))
        order = asyncio.create_task(self._ended(case))
        try:
            answer, ended = await order
            if not self._hits(case, case.rule.id):
                msg = "the fault was never hit by this order"
                raise CellError(msg)
            at = await healed
        finally:
            for task in (healed, order):
                task.cancel()
            await asyncio.gather(healed, order, return_exceptions=True)
        for rule in (case.rule, *case.beside):
            hits, wanted = self._hits(case, rule.id), rule.times or 1
            if hits < wanted:
                msg = f"{rule.id}: {hits} hits of {wanted}"
                raise CellError(msg)
        if case.rule.action == "locked" and ended < at - LATE_S:
            msg = f"the order ended as {answer.status} while {cell.service} was locked"
            raise CellError(msg)
        settled = max(0.0, ended - at)
        if settled > SETTLE_S:
            msg = f"the order ended {settled:.1f} s after healing"
            raise CellError(msg)
        return self._hits(case, case.rule.id), answer, settled

    def _hits(self, case: Case, rule: str) -> int:
        """The hits of a rule by the cell's order; the claim knows no order yet."""
        order_id = 0 if case.cell.claim and rule == case.rule.id else case.order_id
        return sum(hit.order_id == order_id for hit in self._arm.hits(rule))

    async def _ended(self, case: Case) -> tuple[c.PedidoResponse, float]:
        """The order's answer and when it came. Raises CellError when it is not the expected one."""
        cell = case.cell
        answer = await self._orders.ended(case)
        ended = time.monotonic()
        if answer.pedido_id != case.order_id:
            msg = f"order {answer.pedido_id} came where {case.order_id} was foreseen"
            raise CellError(msg)
        if answer.status != cell.expected:
            msg = f"the order ended as {answer.status}, expected {cell.expected}"
            raise CellError(msg)
        if answer.status == "cancelado" and answer.motivo != cell.motivo:
            msg = f"the order was cancelled for {answer.motivo}, expected {cell.motivo}"
            raise CellError(msg)
        return answer, ended

    async def _heal(self, case: Case) -> float:
        """Wait for the last hit, undo what does not undo itself; the instant when all was well."""
        services = self._arm.run().services
        before = {name: one.pid for name, one in services.items() if one.pid is not None}
        hit = await self._arm.hit(case.rule.id, PATIENCE_S, case.rule.times or 1)
        if hit is None:
            return time.monotonic()
        if case.cell.outside == "kill_all":
            for name in before:
                self._arm.signal(name, signal.SIGKILL)
            await self._arm.whole(RESTART_S, replaced=before)
        elif case.rule.action == "kill":
            await self._arm.whole(RESTART_S, replaced={hit.service: hit.pid})
        elif case.rule.action == "pause":
            try:
                await asyncio.sleep(case.cell.pause_s)
            finally:
                self._arm.resume(hit.pid)
        elif case.rule.action == "locked":
            await asyncio.sleep(hit.instant + case.rule.seconds - time.time())
        return time.monotonic()

    # --- faults from outside ------------------------------------------------------------------

    async def _second_process(self, cell: Cell) -> int:
        """How many second processes for a port that is taken left with one clear line."""
        run = self._arm.run()
        port = run.services[cell.service].address.rpartition(":")[2]
        package = ARMS[self._mode].package
        elsewhere = self._arm.data_dir.parent / f"second-{cell.service}"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", package, cell.service, f"--data-dir={elsewhere}",
            f"--shop={run.shop}", f"--port={port}",
            cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(RESTART_S):
                _, words = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            msg = "a second process on the same port started"
            raise CellError(msg) from None
        lines = words.decode(errors="replace").strip().splitlines()
        refusals = sum(port in line for line in lines)
        if process.returncode != EXIT_UNUSABLE or len(lines) != 1 or not refusals:
            msg = f"a second process ended with {process.returncode}: {' / '.join(lines)}"
            raise CellError(msg)
        return refusals

    # --- the end ------------------------------------------------------------------------------

    async def _audited(self) -> AuditReport:
        """The audit of every order, once none moves any more."""
        self._history.flush()
        return await settled_audit(self._arm, self._history_path)
