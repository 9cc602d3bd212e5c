"""What is done with the one order of a cell: who asks for it, who cancels it, who hangs up.

Each order has its own key. Its number is foreseen from the book, so that a cell's rules can choose
it alone: what an earlier cell left behind meets none of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from common import contratos as c
from common.erros import Categoria, ErroServico
from common.faults.failpoints import Rule
from common.servicos.pagamentos.gateway import sorteio
from common.servicos.pagamentos.pagamentos import chave_gateway
from common.servicos.protocolo.contexto import Contexto
from loadgen.chaos.arm import LOOK_S, AttackedArm
from loadgen.chaos.customers.customer import Customer
from loadgen.chaos.matrix.cells import PAUSE_LONG_S, Cell
from loadgen.chaos.result import SETTLE_S
from loadgen.workload.dial import dial_pedidos
from loadgen.workload.history import History
from loadgen.workload.plan import Population

# Seconds that a killed service may take to be ready again.
RESTART_S: Final = 15.0
# Seconds in which everything about one order must have come to pass.
PATIENCE_S: Final = RESTART_S + PAUSE_LONG_S + SETTLE_S
# Seconds. The deadline of one call: shorter than the longer stop.
ATTEMPT_S: Final = 2.0
# Seconds before a cancel that got no answer is sent again.
AGAIN_S: Final = 0.1
# Units that no product of the matrix has.
TOO_MANY: Final = c.UNIDADES_POR_ITEM_MAX
# Units of each product: enough for every order of the matrix, fewer than TOO_MANY.
STOCK: Final = TOO_MANY - 1


class CellError(Exception):
    """Why a cell has not passed."""


class Case(Struct, frozen=True):
    """A cell's order: its key, its number, what is asked for, and the rules that choose it."""

    cell: Cell
    key: str
    order_id: int
    request: c.CriarPedidoRequest
    rule: Rule
    beside: tuple[Rule, ...]


class Orders:
    """Places the orders of the cells, one after the other."""

    def __init__(
        self,
        mode: str,
        arm: AttackedArm,
        pedidos: Any,
        population: Population,
        history: History,
        *,
        seed: int,
        run_id: str,
    ) -> None:
        self._mode = mode
        self._arm = arm
        self._pedidos = pedidos
        self._population = population
        self._history = history
        self._seed = seed
        self._run_id = run_id
        self._customer = Customer(pedidos, history, attempt_s=ATTEMPT_S, seed=seed)
        self._number = 0
        self._scenarios: dict[str, Callable[[Case], Awaitable[c.PedidoResponse]]] = {
            "buy": self._buy,
            "hang_up": self._hang_up,
            "no_stock": self._buy,
            "payment_refused": self._buy,
            "twice": self._twice,
            "cancel": self._cancel,
            "step_late": self._race,
            "step_first": self._race,
        }

    async def case(self, cell: Cell) -> Case:
        """The next order, for a cell, once nothing of those before it is open."""
        assert cell.rule is not None
        order_id = await self._turn(refused=cell.scenario == "payment_refused")
        self._number += 1
        rule = cell.rule if cell.claim else replace(cell.rule, order_id=order_id)
        beside = tuple(replace(other, order_id=order_id) for other in cell.beside)
        units = TOO_MANY if cell.scenario == "no_stock" else 1
        return Case(cell, self._key(), order_id, self._request(units), rule, beside)

    async def ended(self, case: Case) -> c.PedidoResponse:
        """Have the order meet its rules; its answer, which the same key has got twice.

        Raises CellError when it does not end, or not as the scenario has it.
        """
        answer = await self._scenarios[case.cell.scenario](case)
        again = await self._bought(case.key, case.request)
        if again != answer:
            msg = f"the same key got another answer: {again}, before it {answer}"
            raise CellError(msg)
        return answer

    # --- scenarios ----------------------------------------------------------------------------

    async def _buy(self, case: Case) -> c.PedidoResponse:
        self._arm.set_rules([case.rule, *case.beside])
        return await self._bought(case.key, case.request)

    async def _twice(self, case: Case) -> c.PedidoResponse:
        self._arm.set_rules([case.rule])
        first, second = await asyncio.gather(
            self._bought(case.key, case.request), self._bought(case.key, case.request, caller=1)
        )
        if first != second:
            msg = f"one key, two answers: {first} and {second}"
            raise CellError(msg)
        return first

    async def _hang_up(self, case: Case) -> c.PedidoResponse:
        """Ask, hang up once the order is struck, and only look until it has ended."""
        self._arm.set_rules([case.rule, *case.beside])
        client = dial_pedidos(
            self._mode, self._arm.run().services["pedidos"].address, connections=1
        )
        try:
            customer = Customer(client, self._history, attempt_s=PATIENCE_S, seed=self._seed)
            async with self._asking(case, customer) as asking:
                await self._stood(case.rule)
                if asking.done() and asking.result() is not None:
                    msg = "the order was answered before its client was gone"
                    raise CellError(msg)
                asking.cancel()
        finally:
            await client.close()
        if case.rule.action == "hold":
            self._arm.set_rules()
        request = c.ConsultarPedidoRequest(case.order_id)
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            try:
                deadline = time.monotonic() + ATTEMPT_S
                answer = await self._pedidos.consultar_pedido(Contexto(deadline), request)
            except ErroServico:
                # Not there yet, or killed: it is looked for, not asked for.
                answer = None
            if answer is not None and answer.status in c.TERMINAIS:
                found: c.PedidoResponse = answer
                return found
            await asyncio.sleep(LOOK_S)
        msg = "the order has not ended, though nobody but its client was missing"
        raise CellError(msg)

    async def _cancel(self, case: Case) -> c.PedidoResponse:
        """Hold the order at Logistica, put the fault in force, cancel until it is answered."""
        hold = Rule(
            id=f"{case.cell.name} hold", service="logistica", point="P0", action="hold",
            order_id=case.order_id,
        )  # fmt: skip
        self._arm.set_rules([hold])
        async with self._asking(case) as asking:
            await self._stood(hold)
            # Whatever takes its drive up again is held too: the step cannot win.
            self._arm.set_rules([case.rule, *case.beside, hold])
            cancelled = await self._cancelled(case)
            first = await asking
        answer = await self._bought(case.key, case.request)
        for other in (cancelled, first):
            # An answer that is not terminal says where the order stood.
            if other is not None and other.status in c.TERMINAIS and other != answer:
                msg = f"answered as {other}, then as {answer}"
                raise CellError(msg)
        return answer

    async def _race(self, case: Case) -> c.PedidoResponse:
        """Cancel while the step is held; then, or before the cancel comes through, let it go."""
        given_up, held, *cancel_held = case.beside
        self._arm.set_rules(case.beside)
        async with self._asking(case):
            await self._stood(given_up)
            await self._stood(held)
            cancelling = asyncio.create_task(self._cancelled(case))
            try:
                if cancel_held:
                    await self._stood(cancel_held[0])
                    self._arm.set_rules([case.rule, *cancel_held])
                    await self._stood(case.rule)
                    self._arm.set_rules([case.rule])
                    if (late := await cancelling) is not None:
                        msg = f"the cancel was answered {late.status}, though the step was first"
                        raise CellError(msg)
                else:
                    await cancelling
                    self._arm.set_rules([case.rule])
                    await self._stood(case.rule)
            finally:
                cancelling.cancel()
                await asyncio.gather(cancelling, return_exceptions=True)
        return await self._bought(case.key, case.request)

    # --- how ----------------------------------------------------------------------------------

    @asynccontextmanager
    async def _asking(
        self, case: Case, customer: Customer | None = None
    ) -> AsyncIterator[asyncio.Task[c.PedidoResponse | None]]:
        """One patient call for the order, under way for the block at most."""
        until = time.monotonic() + PATIENCE_S
        asking = asyncio.create_task(
            (customer or self._customer).ask(
                0, case.key, case.request, until=until, attempt_s=PATIENCE_S
            )
        )
        try:
            yield asking
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _stood(self, rule: Rule) -> None:
        """Wait until a rule was hit as often as it may be."""
        if await self._arm.hit(rule.id, PATIENCE_S, rule.times or 1) is None:
            msg = f"never hit: {rule.id}"
            raise CellError(msg)

    async def _cancelled(self, case: Case) -> c.PedidoResponse | None:
        """Cancel until the order has ended; None when the answer is that it was sent."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            try:
                answer = await self._customer.cancel(1, case.key, case.order_id)
            except ErroServico as error:
                if error.categoria is Categoria.PRECONDICAO:
                    return None
                raise
            if answer is not None and answer.status in c.TERMINAIS:
                return answer
            await asyncio.sleep(AGAIN_S)
        msg = "the cancel was never answered"
        raise CellError(msg)

    async def _bought(
        self, key: str, request: c.CriarPedidoRequest, caller: int = 0
    ) -> c.PedidoResponse:
        until = time.monotonic() + PATIENCE_S
        answer = await self._customer.buy(caller, key, request, until=until)
        if answer is None:
            msg = "the order has not ended"
            raise CellError(msg)
        return answer

    def _key(self) -> str:
        return f"{self._run_id}-{self._number}"

    def _request(self, units: int = 1) -> c.CriarPedidoRequest:
        customers, products = self._population.clientes, self._population.produtos
        return c.CriarPedidoRequest(
            cliente_id=customers[self._number % len(customers)],
            itens=(c.ItemPedido(products[self._number % len(products)], units),),
            metodo_pagamento="pix",
        )

    async def _turn(self, *, refused: bool) -> int:
        """The next order's number, when nothing is open and the gateway will judge it as wanted.

        Orders without a fault are placed until it will.
        """
        run = self._arm.run()
        until = time.monotonic() + SETTLE_S
        while True:
            last, still_open = self._arm.book()
            if still_open and time.monotonic() < until:
                await asyncio.sleep(LOOK_S)
                continue
            _, verdict = sorteio(run.seed, chave_gateway(last + 1))
            if (verdict >= run.payment_approval) == refused:
                return last + 1
            self._number += 1
            await self._bought(self._key(), self._request())
