"""The customers of an experiment: callers in a closed loop, or arrivals on a schedule.

Arrivals are drawn before the run (Poisson, from the seed); an order that the generator sends late
counts its latency from the instant at which it was meant to be sent all the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from common import contratos as c
from common.erros import Categoria, ErroServico
from loadgen.chaos.customers.customer import Customer
from loadgen.chaos.result import percentile
from loadgen.workload.schedule import instants, steps
from loadgen.workload.targets import Basket

# Seconds that a caller whose order was refused waits before the next one: a refusal in a closed
# loop would else be answered by a storm.
REFUSED_PAUSE_S: Final = 0.2
# Seconds by which one order in a hundred may be sent late before a run says nothing any more.
LATE_MAX_S: Final = 0.25
# Added to a caller's number for what it does in the history beside waiting for its order.
CANCELLERS: Final = 1_000_000
# What became of an order that was refused for want of room, and of one that did not end in time.
SHED: Final = "shed"
OPEN: Final = "open"


class Sample(NamedTuple):
    """One order: seconds since the run's start when it was meant to be sent, was sent and ended.

    `outcome` is the motivo or status of its terminal answer, SHED, OPEN or `refused: <category>`.
    """

    due_s: float
    sent_s: float
    ended_s: float
    outcome: str

    @property
    def terminal(self) -> bool:
        """True when its customer holds a terminal answer."""
        return self.outcome not in {SHED, OPEN} and not self.outcome.startswith("refused")


class Phase(NamedTuple):
    """A stretch of an open loop: its name, arrivals a second on average, and seconds."""

    name: str
    rate_per_s: float
    length_s: float


def arrivals(phases: Sequence[Phase], seed: int) -> list[float]:
    """The instants, in seconds from the first phase's begin, of a Poisson process; in order."""
    levels = tuple((phase.rate_per_s, phase.length_s) for phase in phases)
    return list(instants(steps(levels), seed))


class Crowd:
    """Places orders through one customer's client and tells what became of each."""

    def __init__(
        self,
        customer: Customer,
        baskets: Sequence[Basket],
        *,
        run_id: str,
        patience_s: float,
        insist: bool,
        record: Callable[[Sample], None],
        change_of_mind: Callable[[int], float | None] | None = None,
    ) -> None:
        """`patience_s` bounds one order; `insist` has a shed order asked for again.

        `change_of_mind` gives the seconds after which the customer of an order cancels it.
        """
        self._customer = customer
        self._baskets = baskets
        self._run_id = run_id
        self._patience_s = patience_s
        self._insist = insist
        self._record = record
        self._change_of_mind = change_of_mind
        self._start = time.monotonic()
        # Seconds by which orders of an open loop were sent after their instant.
        self._late: list[float] = []
        self.asked = 0

    def now(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    async def closed_loop(self, callers: int, stopping: asyncio.Event) -> None:
        """Callers with one order at a time each, until told to stop; those under way end first."""
        async with asyncio.TaskGroup() as group:
            for caller in range(callers):
                group.create_task(self._call(caller, stopping))

    async def open_loop(self, times: Sequence[float], stopping: asyncio.Event) -> None:
        """An order at each of these instants, counted from now; then those under way end."""
        begin = self.now()
        async with asyncio.TaskGroup() as group:
            for number, at in enumerate(times):
                wait = begin + at - self.now()
                if wait > 0:
                    await asyncio.sleep(wait)
                if stopping.is_set():
                    break
                self._late.append(max(0.0, self.now() - begin - at))
                group.create_task(self.place(number, begin + at))

    def lateness(self) -> tuple[str, ...]:
        """Why an open loop says nothing: the generator itself did not keep to its schedule."""
        late = percentile(self._late, 0.99) if self._late else 0.0
        if late <= LATE_MAX_S:
            return ()
        return (f"the generator was late: p99 of {late:.2f} s after the instant",)

    async def _call(self, caller: int, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            if not (await self.place(caller, self.now())).terminal:
                await asyncio.sleep(REFUSED_PAUSE_S)

    async def place(self, caller: int, due_s: float) -> Sample:
        """One order, from its first call to its end."""
        number = self.asked
        self.asked += 1
        request = self._baskets[number % len(self._baskets)].request
        key = f"{self._run_id}-{number}"
        sent_s = self.now()
        outcome = await self._outcome(caller, number, key, request)
        sample = Sample(due_s, sent_s, self.now(), outcome)
        self._record(sample)
        return sample

    async def _outcome(
        self, caller: int, number: int, key: str, request: c.CriarPedidoRequest
    ) -> str:
        until = time.monotonic() + self._patience_s
        after_s = self._change_of_mind(number) if self._change_of_mind else None
        try:
            if after_s is None:
                answer = await self._customer.buy(
                    caller, key, request, until=until, insist=self._insist
                )
            else:
                answer = await self._customer.buy_and_cancel(
                    caller, key, request, until=until, after_s=after_s,
                    canceller=CANCELLERS + caller,
                )  # fmt: skip
        except ErroServico as error:
            if error.categoria is Categoria.SOBRECARGA:
                return SHED
            return f"refused: {error.categoria.value}"
        return OPEN if answer is None else answer.motivo or answer.status
