"""What a run is asked to do: decided before it starts, handed to every generator process."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from loadgen.hops import SAMPLE_EVERY

# Orders. What each caller places when the command names no length.
CHECKOUTS_POR_CHAMADOR: Final = 5


class Population(Struct, frozen=True):
    """Ids of the customers that may buy and of the products that may be bought."""

    clientes: tuple[int, ...]
    produtos: tuple[int, ...]


class Plan(Struct, frozen=True, kw_only=True):
    """A closed-loop run: `concurrency` callers, each placing its next order after the last.

    `checkouts` (orders over all callers) or `duration_s` (no new order after it; those under way
    finish) bounds the run. Orders sent in the first `warmup_s` seconds are counted apart.
    `timeout_s` is each order's deadline. `run_id` makes its idempotency keys unique. One order in
    `sample_every` is asked to tell its time in full; none when it is 0.
    """

    mode: str
    address: str
    population: Population
    run_id: str
    concurrency: int
    checkouts: int | None = None
    duration_s: float | None = None
    warmup_s: float = 0.0
    timeout_s: float = 60.0
    seed: int = 42
    itens_min: int = 1
    itens_max: int = 5
    sample_every: int = SAMPLE_EVERY


class Share(Struct, frozen=True, kw_only=True):
    """The part of a plan that one process runs: callers and orders `index`, `index + of`, ..."""

    plan: Plan
    index: int = 0
    of: int = 1
    history: str | None = None

    def callers(self) -> range:
        """The numbers of this process's callers; no two processes share one."""
        return range(self.index, self.plan.concurrency, self.of)

    def orders(self) -> range:
        """The numbers of this process's orders: all of them are those of the whole plan."""
        total = self.plan.checkouts
        # A run bounded by time ends long before this many.
        return range(self.index, 2**62 if total is None else total, self.of)
