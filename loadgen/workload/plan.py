"""What a run is asked to do: decided before it starts, handed to every generator process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct

from loadgen.attribution.hops import SAMPLE_EVERY, sample_every
from loadgen.workload.schedule import Schedule, share_of

# Orders. What each caller places when the command names no length.
CHECKOUTS_PER_CALLER: Final = 5
# Seconds of an open loop whose command names no length.
OPEN_RUN_S: Final = 60.0
# Orders of an open loop under way at once: what ten seconds at a thousand a second come to. Beyond
# it an order is not sent but counted, so that a system that stands still does not fill the memory.
RUNNING_MAX: Final = 10_000


# Orders a second that any machine ends, where callers and their waits allow as many: a guess low
# enough that a run of some seconds has its samples.
RATE_CAUTIOUS: Final = 100.0


class Population(Struct, frozen=True):
    """Ids of the customers that may buy and of the products that may be bought."""

    clientes: tuple[int, ...]
    produtos: tuple[int, ...]


class Plan(Struct, frozen=True, kw_only=True):
    """A closed loop of `concurrency` callers, or an open loop on a `schedule`.

    In a closed loop each caller places its next order after the end of its last; `checkouts`
    (orders over all callers) or `duration_s` (no new order after it; those under way finish) bounds
    the run. In an open loop each order is sent at its instant of the schedule, which has a length
    of its own, unless `under_way_max` orders are under way: then it counts as unsent.

    Orders due in the first `warmup_s` seconds are counted apart. `timeout_s` is each order's
    deadline, from its sending. `run_id` makes its idempotency keys unique. One order in
    `sample_every` is asked to tell its time in full; none when it is 0.
    """

    mode: str
    address: str
    population: Population
    run_id: str
    concurrency: int = 0
    checkouts: int | None = None
    duration_s: float | None = None
    schedule: Schedule | None = None
    under_way_max: int = RUNNING_MAX
    warmup_s: float = 0.0
    timeout_s: float = 60.0
    seed: int = 42
    itens_min: int = 1
    itens_max: int = 5
    sample_every: int = SAMPLE_EVERY

    def __post_init__(self) -> None:
        """A plan is one of the two loops. Raises ValueError."""
        if (self.schedule is None) == (self.concurrency == 0):
            raise ValueError("a plan has either callers (concurrency) or a schedule")
        if self.schedule is not None and (self.checkouts, self.duration_s) != (None, None):
            raise ValueError(
                "a schedule has its own length: no checkouts and no duration_s with it"
            )

    @property
    def length_s(self) -> float | None:
        """Seconds after which no order is placed, where the plan says so."""
        return self.duration_s if self.schedule is None else self.schedule.length_s

    @property
    def orders(self) -> int | None:
        """How many orders it places, where that is known beforehand."""
        return self.checkouts if self.schedule is None else self.schedule.count

    def well_sampled(self, wait_s: float, workers: int | None) -> Plan:
        """The same plan with a `sample_every` fine enough for the orders that may be expected.

        `wait_s` is what a payment takes on average, `workers` how many threads serve.
        """
        if self.orders is not None:
            expected = float(self.orders)
        else:
            served = min(self.concurrency, workers or self.concurrency)
            rate = min(RATE_CAUTIOUS, served / wait_s) if wait_s else RATE_CAUTIOUS
            expected = rate * (self.length_s or 0.0)
        if self.length_s:
            expected *= max(0.0, 1 - self.warmup_s / self.length_s)
        return msgspec.structs.replace(self, sample_every=sample_every(expected))


class Share(Struct, frozen=True, kw_only=True):
    """The part of a plan that one process runs: callers and orders `index`, `index + of`, ...

    Of `under_way_max` it has its part too, but at most the `connections` that the machine grants.
    """

    plan: Plan
    index: int = 0
    of: int = 1
    history: str | None = None
    connections: int | None = None

    def callers(self) -> range:
        """The numbers of this process's callers; no two processes share one."""
        return range(self.index, self.plan.concurrency, self.of)

    def orders(self) -> range:
        """The numbers of this process's orders: all of them are those of the whole plan."""
        total = self.plan.checkouts
        # A run bounded by time ends long before this many.
        return range(self.index, 2**62 if total is None else total, self.of)

    def arrivals(self) -> Iterator[tuple[int, float]]:
        """The orders of this process in an open loop: (number, seconds after the start), in order."""
        schedule = self.plan.schedule
        if schedule is None:
            return iter(())
        return share_of(schedule, self.plan.seed, self.index, self.of)

    def under_way_max(self) -> int:
        """Orders that this process may have under way at once."""
        plan = self.plan
        most = plan.concurrency if plan.schedule is None else plan.under_way_max
        part = len(range(self.index, most, self.of))
        return part if self.connections is None else min(part, self.connections)
