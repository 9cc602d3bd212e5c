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
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from common import contratos as c
from common.audit import AuditReport, audit
from common.database import database_path
from common.erros import ErroServico
from common.failpoints import Rule
from common.ready import EXIT_UNUSABLE
from common.servicos.gateway import sorteio
from common.servicos.pagamentos import chave_gateway
from common.storage import BUSY_TIMEOUT_MS
from loadgen.chaos.arm import ArmError, AttackedArm
from loadgen.chaos.cells import AT_WORK_S, PAUSE_LONG_S, Cell
from loadgen.chaos.customer import Customer
from loadgen.crew import ROOT
from loadgen.history import History
from loadgen.outcomes import TERMINAIS
from loadgen.plan import Population

# Seconds. An order must have ended so long after the last fault is healed.
SETTLE_S: Final = 10.0
# Seconds that a killed service may take to be ready again.
RESTART_S: Final = 15.0
# Seconds. The deadline of one call: shorter than the longer stop.
ATTEMPT_S: Final = 2.0
# Seconds after which a held order's first call returns, so that it can be cancelled.
FIRST_LOOK_S: Final = 0.3
# Seconds that an order is held at Logistica while it is cancelled.
HOLD_S: Final = 3.0
# Seconds that another process keeps a database locked: longer than the writer waits for it.
LOCK_S: Final = BUSY_TIMEOUT_MS / 1e3 + 1.0
# Units that no product of the matrix has.
TOO_MANY: Final = c.UNIDADES_POR_ITEM_MAX
# Units of each product: enough for every order of the matrix, fewer than TOO_MANY.
STOCK: Final = TOO_MANY - 1


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


class _CellError(Exception):
    """Why a cell has not passed."""


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
        self._population = population
        self._seed = seed
        self._run_id = run_id
        self._history = own_history
        self._history_path = history
        self._customer = Customer(pedidos, own_history, attempt_s=ATTEMPT_S, seed=seed)
        self._orders = 0
        self._last_id = 0
        self._scenarios: dict[str, Callable[[Cell, str], Awaitable[c.PedidoResponse]]] = {
            "buy": self._buy,
            "cancel": self._cancel,
            "no_stock": self._no_stock,
            "payment_refused": self._buy,
            "twice": self._twice,
        }

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
            await self._until_next(refused=cell.scenario == "payment_refused")
            self._orders += 1
            key = f"{self._run_id}-{self._orders}"
            if cell.outside == "second_process":
                await self._second_process(cell)
                hits, outcome = 1, "refused to start"
            elif cell.outside == "lock":
                hits, answer, settled = await self._locked(cell, key)
                outcome = answer.status
            else:
                hits, answer, settled = await self._struck(cell, key)
                outcome = answer.status if answer.motivo is None else f"cancelado: {answer.motivo}"
        except (_CellError, ArmError, ErroServico, sqlite3.Error, LookupError) as error:
            problem = str(error) or type(error).__name__
            hits = len(self._arm.hits(cell.rule.id)) if cell.rule else 0
        finally:
            self._arm.set_rules()
            self._history.flush()
        if cell.rule is not None and (cell.rule.point, cell.rule.action) == ("P2", "error"):
            # The call that was given up on is still at work: it must not meet the next cell's fault.
            await asyncio.sleep(2 * AT_WORK_S)
        try:
            await self._arm.whole(RESTART_S)
        except ArmError as error:
            problem = problem or f"healing failed: {error}"
        return CellResult(
            cell.name, cell.fault, cell.service, cell.point, cell.scenario, hits, outcome,
            settled, problem,
        )  # fmt: skip

    async def _struck(self, cell: Cell, key: str) -> tuple[int, c.PedidoResponse, float]:
        """Have the order meet its rule, heal, and judge how it ended."""
        assert cell.rule is not None
        healed = asyncio.create_task(self._heal(cell, cell.rule))
        order = asyncio.create_task(self._ordered(cell, key))
        try:
            answer, ended = await order
            # A unit of work and a claim do not know their order; all else must have met this one.
            known = (0, answer.pedido_id)
            hits = sum(hit.order_id in known for hit in self._arm.hits(cell.rule.id))
            if not hits:
                msg = "the fault was never hit by this order"
                raise _CellError(msg)
            at = await healed
        finally:
            for task in (healed, order):
                task.cancel()
            await asyncio.gather(healed, order, return_exceptions=True)
        settled = max(0.0, ended - at)
        if settled > SETTLE_S:
            msg = f"the order ended {settled:.1f} s after healing"
            raise _CellError(msg)
        return hits, answer, settled

    async def _ordered(self, cell: Cell, key: str) -> tuple[c.PedidoResponse, float]:
        answer = await self._scenarios[cell.scenario](cell, key)
        ended = time.monotonic()
        if answer.status not in cell.expected:
            msg = f"the order ended as {answer.status}, expected {' or '.join(cell.expected)}"
            raise _CellError(msg)
        if answer.status == "cancelado" and answer.motivo != cell.motivo:
            msg = f"the order was cancelled for {answer.motivo}, expected {cell.motivo}"
            raise _CellError(msg)
        return answer, ended

    async def _heal(self, cell: Cell, rule: Rule) -> float:
        """Wait for the hit, undo what does not undo itself; the instant when all was well again."""
        services = self._arm.run().services
        before = {name: one.pid for name, one in services.items() if one.pid is not None}
        hit = await self._arm.hit(rule.id, self._patience_s())
        if hit is None:
            return time.monotonic()
        if cell.outside == "kill_all":
            for name in before:
                self._arm.signal(name, signal.SIGKILL)
            await self._arm.whole(RESTART_S, replaced=before)
        elif rule.action == "kill":
            await self._arm.whole(RESTART_S, replaced={rule.service: before[rule.service]})
        elif rule.action == "pause":
            try:
                await asyncio.sleep(cell.pause_s)
            finally:
                self._arm.resume(before[rule.service])
        return time.monotonic()

    def _patience_s(self) -> float:
        return RESTART_S + PAUSE_LONG_S + SETTLE_S

    def _until(self) -> float:
        return time.monotonic() + self._patience_s()

    # --- scenarios ----------------------------------------------------------------------------

    def _request(self, units: int = 1) -> c.CriarPedidoRequest:
        customers, products = self._population.clientes, self._population.produtos
        return c.CriarPedidoRequest(
            cliente_id=customers[self._orders % len(customers)],
            itens=(c.ItemPedido(products[self._orders % len(products)], units),),
            metodo_pagamento="pix",
        )

    async def _buy(self, cell: Cell, key: str, units: int = 1) -> c.PedidoResponse:
        self._in_force(cell)
        request = self._request(units)
        return await self._same_again(key, request, await self._bought(key, request))

    async def _bought(self, key: str, request: c.CriarPedidoRequest) -> c.PedidoResponse:
        answer = await self._customer.buy(0, key, request, until=self._until())
        if answer is None:
            msg = "the order has not ended"
            raise _CellError(msg)
        self._last_id = max(self._last_id, answer.pedido_id)
        return answer

    async def _same_again(
        self, key: str, request: c.CriarPedidoRequest, answer: c.PedidoResponse
    ) -> c.PedidoResponse:
        again = await self._bought(key, request)
        if again != answer:
            msg = f"the same key got another answer: {again}, before it {answer}"
            raise _CellError(msg)
        return answer

    async def _no_stock(self, cell: Cell, key: str) -> c.PedidoResponse:
        return await self._buy(cell, key, units=TOO_MANY)

    async def _until_next(self, *, refused: bool) -> None:
        """Orders without a fault until the gateway's verdict on the next number is as wanted."""
        run = self._arm.run()
        while True:
            if self._last_id:
                _, verdict = sorteio(run.seed, chave_gateway(self._last_id + 1))
                if (verdict >= run.payment_approval) == refused:
                    return
            self._orders += 1
            await self._bought(f"{self._run_id}-{self._orders}", self._request())

    async def _twice(self, cell: Cell, key: str) -> c.PedidoResponse:
        self._in_force(cell)
        request = self._request()
        first, second = await asyncio.gather(
            self._bought(key, request), self._customer.buy(1, key, request, until=self._until())
        )
        if first != second:
            msg = f"one key, two answers: {first} and {second}"
            raise _CellError(msg)
        return first

    async def _cancel(self, cell: Cell, key: str) -> c.PedidoResponse:
        """Hold the order at Logistica, put the fault in force, cancel."""
        assert cell.rule is not None
        racing = cell.rule.service == "logistica" and cell.rule.point == "P0"
        hold = Rule(
            id=f"{cell.name} hold", service="logistica", point="P0", action="delay",
            times=1, seconds=HOLD_S,
        )  # fmt: skip
        self._arm.set_rules([cell.rule if racing else hold])
        request, until = self._request(), self._until()
        held = await self._customer.ask(0, key, request, until=until, attempt_s=FIRST_LOOK_S)
        if held is not None:
            self._last_id = max(self._last_id, held.pedido_id)
        if held is None or held.status in TERMINAIS:
            msg = f"the order was not held: {held}"
            raise _CellError(msg)
        if not racing:
            if not self._arm.hits(hold.id):
                msg = "the order was answered before it was held"
                raise _CellError(msg)
            self._in_force(cell)
        await self._customer.cancel(0, key, held.pedido_id)
        return await self._same_again(key, request, await self._bought(key, request))

    def _in_force(self, cell: Cell) -> None:
        if cell.rule is not None:
            self._arm.set_rules([cell.rule, *cell.beside])

    # --- faults from outside ------------------------------------------------------------------

    async def _locked(self, cell: Cell, key: str) -> tuple[int, c.PedidoResponse, float]:
        """Another process has the database locked for longer than the writer waits."""
        path = database_path(self._arm.data_dir, cell.service)
        request = self._request()
        with closing(sqlite3.connect(path, isolation_level=None, timeout=5)) as con:
            con.execute("BEGIN IMMEDIATE")
            order = asyncio.create_task(self._bought(key, request))
            await asyncio.sleep(LOCK_S)
            early = order.done()
            con.execute("ROLLBACK")
        healed = time.monotonic()
        answer = await order
        settled = time.monotonic() - healed
        if early:
            msg = f"the order ended as {answer.status} while {cell.service} was locked"
            raise _CellError(msg)
        if settled > SETTLE_S or answer.status not in cell.expected:
            msg = f"{answer.status} {settled:.1f} s after the lock was gone"
            raise _CellError(msg)
        await self._same_again(key, request, answer)
        return 1, answer, settled

    async def _second_process(self, cell: Cell) -> None:
        """A second process for a port that is taken leaves with one clear line."""
        run = self._arm.run()
        port = run.services[cell.service].address.rpartition(":")[2]
        package = "grpc_aio" if self._mode.startswith("grpc") else "http_aio"
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
            raise _CellError(msg) from None
        lines = words.decode(errors="replace").strip().splitlines()
        if process.returncode != EXIT_UNUSABLE or len(lines) != 1 or port not in lines[0]:
            msg = f"a second process ended with {process.returncode}: {' / '.join(lines)}"
            raise _CellError(msg)

    # --- the end ------------------------------------------------------------------------------

    async def _audited(self) -> AuditReport:
        """The audit of every order, once none moves any more."""
        until = time.monotonic() + SETTLE_S
        while True:
            self._history.flush()
            report = await asyncio.to_thread(
                audit, self._arm.data_dir, history=self._history_path, settled=True
            )
            # Orders still open are waited for; a violation of any other kind is not waited away.
            if not report.open_orders or time.monotonic() > until:
                return report
            await asyncio.sleep(0.5)
