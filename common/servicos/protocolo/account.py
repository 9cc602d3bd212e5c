"""The time of one call, written down while it lasts. Its end makes one entry of the timing record."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final, Protocol, TypeVar

from common.servicos.protocolo.record import MORE, Hop, Inside, Kind, Section, Wait, encode

R = TypeVar("R")

# Waits of one call that are told one by one. An order that is asked for again and again has more.
WAITS_MAX: Final = 32


class Meter(Protocol):
    """Measures one sampled call from the inside; see `common/telemetry/timing.py`. Seconds."""

    def enter(self, section: Section) -> str:
        """Claim the waits from here on; returns the argument that `leave` wants."""

    def leave(self, before: str) -> None:
        """Give the claim up."""

    def ready(self, instant: float) -> None:
        """The thing that the last wait was for was there at `instant`."""

    def fork(self) -> Meter:
        """A meter for a task begun now on this call's behalf."""

    def measure(self, coroutine: Coroutine[Any, Any, R]) -> Coroutine[Any, Any, R]:
        """The coroutine, its steps measured."""

    def take_over(self, other: Any) -> None:
        """Have the segments of a task's meter count as this call's own while it was alive."""

    def inside(self) -> Inside:
        """The parts of the call's time so far, in microseconds."""


class Account:
    """The time of one call. `arrival` is monotonic seconds, `queue` and `commit` are seconds.

    `below` is the record of the last call to the next hop, "" for none. `meter` is None unless the
    call is measured from the inside.
    """

    __slots__ = ("_more", "arrival", "below", "commit", "meter", "queue", "waits")

    def __init__(self, arrival: float = 0.0, meter: Meter | None = None) -> None:
        self.arrival = arrival
        self.queue = 0.0
        self.commit = 0.0
        self.below = ""
        self.meter = meter
        self.waits: list[Wait] = []
        self._more: dict[Kind, int] | None = None

    def waited(self, kind: Kind, start: float, end: float, ended: str = "") -> None:
        """The call waited from one monotonic instant to another; `ended` as `Wait` has it."""
        length = int((end - start) * 1e6)
        self._add(Wait(kind, int((start - self.arrival) * 1e6), length, ended))

    def _add(self, wait: Wait) -> None:
        if len(self.waits) < WAITS_MAX:
            self.waits.append(wait)
            return
        if self._more is None:
            self._more = {}
        self._more[wait.kind] = self._more.get(wait.kind, 0) + wait.length

    def number(self, kind: Kind) -> int:
        """Which wait of its kind the next one is, from 1."""
        return 1 + sum([wait.kind == kind for wait in self.waits])

    # --- of a call that is measured from the inside -------------------------------------------

    def enter(self, section: Section) -> str:
        """The waits from here on are this section's; returns the argument that `leave` wants."""
        return "" if self.meter is None else self.meter.enter(section)

    def leave(self, before: str) -> None:
        """Leave a section."""
        if self.meter is not None:
            self.meter.leave(before)

    def ready(self, instant: float) -> None:
        """The last wait's object was there at `instant`; since then this call waited to run."""
        if self.meter is not None:
            self.meter.ready(instant)

    def measured(self, coroutine: Coroutine[Any, Any, R]) -> Coroutine[Any, Any, R]:
        """The coroutine that does this call's work, measured when the call is."""
        return coroutine if self.meter is None else self.meter.measure(coroutine)

    # --- of a task on the call's behalf -------------------------------------------------------

    def fork(self) -> Account:
        """The account of a task begun now on this call's behalf."""
        return Account(self.arrival, None if self.meter is None else self.meter.fork())

    def take_over(self, other: Account) -> None:
        """Add the time that a task spent on this call's behalf."""
        self.queue += other.queue
        self.commit += other.commit
        self.below = other.below or self.below
        # The task may have been begun by another call, and count from that one's arrival.
        shift = int((other.arrival - self.arrival) * 1e6)
        for wait in other.told():
            self._add(Wait(wait.kind, wait.start + shift, wait.length, wait.ended))
        if self.meter is not None and other.meter is not None:
            self.meter.take_over(other.meter)

    # --- at the call's end --------------------------------------------------------------------

    def told(self) -> list[Wait]:
        """All waits, those beyond the bound added up by kind."""
        if self._more is None:
            return self.waits
        return [*self.waits, *[Wait(kind, 0, sum_, MORE) for kind, sum_ in self._more.items()]]

    def hop(self, service: str, end: float, error: str = "") -> Hop:
        """The call as an entry of the record, answered at `end` with this error's category."""
        return Hop(
            service,
            int(self.arrival * 1e6),
            int((end - self.arrival) * 1e6),
            tuple(self.told()),
            int(self.queue * 1e6),
            int(self.commit * 1e6),
            error,
            None if self.meter is None else self.meter.inside(),
        )

    def record(self, service: str, end: float, error: str = "") -> str:
        """The timing record, this call's entry first."""
        return encode(self.hop(service, end, error), self.below)
