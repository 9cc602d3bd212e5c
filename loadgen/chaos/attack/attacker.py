"""Attackers: each besieges one order after the other, with all that a caller can do to it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final

from common import contratos as c
from common.erros import Categoria, ErroServico
from loadgen.chaos.attack.siege import Call, Move, Siege
from loadgen.chaos.customers.crowd import OPEN, REFUSED_PAUSE_S
from loadgen.chaos.customers.customer import Customer, Request

# Callers of the history that one attacker may be at once: the one that follows, and one for each
# call of a siege.
CALLERS: Final = 32
# Seconds that a call which names an order's number waits to be told of it.
WHICH_ORDER_S: Final = 0.2
# A number that no order of an attack reaches.
NO_ORDER: Final = 1_000_000_000
# Orders that an attacker left to the services and asks for again at the end.
ASKED_AGAIN: Final = 3

# No caller was told the order's end.
LEFT: Final = "left to the services"
# The caller left.
HUNG_UP: Final = "hung up"
# Nobody had been told the order's number, so that there was nothing to ask about.
NOT_MADE: Final = "not made"

# Told of each order whose end was answered: when it was begun and when it ended, monotonic seconds.
OnEnd = Callable[[float, float], None]


class Besieged:
    """One besieged order, and what its callers have been told of it."""

    def __init__(
        self, number: int, key: str, request: c.CriarPedidoRequest, other: c.CriarPedidoRequest
    ) -> None:
        self.number = number
        self.key = key
        self.request = request
        self.other = other
        self.begun = time.monotonic()
        # The order's number, once told, its terminal answer, and how it ended in one word.
        self.which: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.end: c.PedidoResponse | None = None
        self.outcome = LEFT


class Attackers:
    """Besieges orders through several connections; counts what came of every call and order."""

    def __init__(
        self,
        customers: Sequence[Customer],
        requests: Sequence[c.CriarPedidoRequest],
        plan: Callable[[int], Siege],
        *,
        run_id: str,
        until: float,
        on_end: OnEnd,
    ) -> None:
        """`customers` have a connection each; orders are followed `until` then (monotonic)."""
        self._customers = customers
        self._requests = requests
        self._plan = plan
        self._run_id = run_id
        self._until = until
        self._on_end = on_end
        self._newest = 0
        self._left: dict[int, deque[Besieged]] = {}
        self.asked = 0
        # Of each move, how often it came to what: a status or reason, a category of error, a caller
        # who hung up.
        self.moves: dict[Move, Counter[str]] = {}
        self.outcomes: Counter[str] = Counter()
        # The same of orders that were asked for again.
        self.asked_again: Counter[str] = Counter()

    @property
    def errors(self) -> Counter[str]:
        """Calls that failed, by category."""
        return sum((Counter(customer.errors) for customer in self._customers), Counter[str]())

    async def attack(self, attackers: int, stopping: asyncio.Event) -> None:
        """Besiege orders until told to stop; those under way are followed to their end."""
        async with asyncio.TaskGroup() as group:
            for attacker in range(attackers):
                group.create_task(self._attack(attacker, stopping))

    async def ask_again(self) -> None:
        """Ask for the last orders that each attacker left: their keys must know what became of them."""
        async with asyncio.TaskGroup() as group:
            for attacker, orders in self._left.items():
                group.create_task(self._ask_again(attacker, orders))

    async def besiege(self, attacker: int, stopping: asyncio.Event) -> Besieged:
        """All that is planned for the next order; what is late is left out once told to stop."""
        number = self.asked
        self.asked += 1
        siege = self._plan(number)
        order = self._next(number)
        calls = list(enumerate(siege.calls, attacker * CALLERS + 1))
        async with asyncio.TaskGroup() as group:
            if siege.followed_s is not None:
                group.create_task(self._follow_later(attacker, order, siege.followed_s))
            for caller, call in calls:
                if not call.late:
                    group.create_task(self._make(caller, order, call))
        if not stopping.is_set():
            async with asyncio.TaskGroup() as group:
                for caller, call in calls:
                    if call.late:
                        group.create_task(self._make(caller, order, call))
        self.outcomes[order.outcome] += 1
        return order

    # --- how ----------------------------------------------------------------------------------

    async def _attack(self, attacker: int, stopping: asyncio.Event) -> None:
        left = self._left[attacker] = deque(maxlen=ASKED_AGAIN)
        while not stopping.is_set():
            order = await self.besiege(attacker, stopping)
            if order.end is None:
                left.append(order)
                # Where everything is refused at once, attackers would only attack the processors.
                await asyncio.sleep(REFUSED_PAUSE_S)

    async def _ask_again(self, attacker: int, orders: Sequence[Besieged]) -> None:
        for order in orders:
            self.asked_again[await self._follow(attacker, order)] += 1

    def _next(self, number: int) -> Besieged:
        count = len(self._requests)
        request, other = self._requests[number % count], self._requests[(number + 1) % count]
        return Besieged(number, f"{self._run_id}-{number}", request, other)

    async def _follow_later(self, attacker: int, order: Besieged, after_s: float) -> None:
        await asyncio.sleep(after_s)
        outcome = await self._follow(attacker, order)
        if order.end is None:
            order.outcome = outcome

    async def _follow(self, attacker: int, order: Besieged) -> str:
        """Ask until the order has ended, whichever body its key was taken with; how it ended."""
        caller, customer = attacker * CALLERS, self._customers[0]
        try:
            try:
                answer = await customer.buy(caller, order.key, order.request, until=self._until)
            except ErroServico as error:
                if error.categoria is not Categoria.CONFLITO:
                    raise
                answer = await customer.buy(caller, order.key, order.other, until=self._until)
        except ErroServico as error:
            return f"refused: {error.categoria.value}"
        if answer is None:
            return OPEN
        self._told(order, answer)
        return order.outcome

    async def _make(self, caller: int, order: Besieged, call: Call) -> None:
        """Make one call when it is due, and count what came of it."""
        await asyncio.sleep(call.at_s)
        self.moves.setdefault(call.move, Counter())[await self._came_of(caller, order, call)] += 1

    async def _came_of(self, caller: int, order: Besieged, call: Call) -> str:
        request = await self._request(order, call.move)
        if request is None:
            return NOT_MADE
        # Of a number that was only guessed the key is another order's, or nobody's.
        key = None if call.move in {"cancel_next", "cancel_unknown"} else order.key
        customer = self._customers[caller % len(self._customers)]
        deadline = time.monotonic() + call.deadline_s
        try:
            async with asyncio.timeout(call.hang_up_s):
                answer = await customer.call(caller, key, request, deadline)
        except TimeoutError:
            return HUNG_UP
        except ErroServico as error:
            return error.categoria.value
        if key is not None:
            self._told(order, answer)
        return answer.motivo or answer.status

    async def _request(self, order: Besieged, move: Move) -> Request | None:
        """What a move sends; None when it names an order that nobody was told of in time."""
        if move in {"cancel", "look_up"}:
            await asyncio.wait((order.which,), timeout=WHICH_ORDER_S)
            if not order.which.done():
                return None
            by_number = c.CancelarPedidoRequest if move == "cancel" else c.ConsultarPedidoRequest
            return by_number(order.which.result())
        if move in {"cancel_next", "cancel_unknown"}:
            foreseen = self._newest + 1 if move == "cancel_next" else NO_ORDER + order.number
            return c.CancelarPedidoRequest(foreseen)
        return order.other if move == "other_body" else order.request

    def _told(self, order: Besieged, answer: c.PedidoResponse) -> None:
        if not order.which.done():
            order.which.set_result(answer.pedido_id)
            self._newest = max(self._newest, answer.pedido_id)
        if order.end is None and answer.status in c.TERMINAIS:
            order.end, order.outcome = answer, answer.motivo or answer.status
            self._on_end(order.begun, time.monotonic())
