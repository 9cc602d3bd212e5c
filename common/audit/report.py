"""What an audit found: plain values that print, encode as JSON and decide an exit code."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

# Violations listed by one check; all of them are counted. A systematic defect breaks every order,
# and nobody reads more than the first few.
VIOLATIONS_LISTED_MAX: Final = 50
# Orders whose history is told in full.
DOSSIERS_MAX: Final = 50

CLEAN: Final = 0
VIOLATED: Final = 1


class AuditError(Exception):
    """The audit cannot be done; the message is one clear sentence for a person."""


class Violation(Struct, frozen=True):
    """One broken rule; `pedido_id` is None when it concerns no single order."""

    pedido_id: int | None
    detail: str


class Check(Struct, frozen=True):
    """One rule and what came of it.

    `invariants` are the numbers of the reliability rules that it belongs to, `examined` the rows
    it looked at, `total` how many violations there are, of which `violations` lists the first.
    `skipped` says why the rule was not judged, and is None when it was.
    """

    id: str
    title: str
    invariants: tuple[int, ...]
    examined: int
    total: int
    violations: tuple[Violation, ...]
    skipped: str | None = None


class Event(Struct, frozen=True):
    """One row of a service's transition log; `instante` is the wall clock, ISO 8601 in UTC."""

    instante: str
    servico: str
    text: str


class Dossier(Struct, frozen=True):
    """All that is known of one order.

    `events` is the log of the five services by instant, `facts` what each holds now, `client` the
    lines of the client's history in the order of its own clock.
    """

    pedido_id: int
    events: tuple[Event, ...]
    facts: tuple[str, ...]
    client: tuple[str, ...]


class AuditReport(Struct, frozen=True):
    """The outcome of one audit.

    `orders` counts driven orders by status and `imported` those of the past, at the first reading
    of Pedidos; `open_orders` counts those that had not ended at the second. `quiescent` is true
    when no order was open in either reading and none came between them.
    """

    data_dir: str
    quiescent: bool
    orders: dict[str, int]
    imported: dict[str, int]
    open_orders: int
    checks: tuple[Check, ...]
    dossiers: tuple[Dossier, ...]

    @property
    def violations(self) -> int:
        """Violations of all checks together."""
        return sum(check.total for check in self.checks)


def exit_code(report: AuditReport) -> int:
    """0 when nothing is violated, otherwise 1."""
    return VIOLATED if report.violations else CLEAN
