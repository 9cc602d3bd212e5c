"""The auditor: judges every invariant on the services' files and the client's history.

It reads only, and may run at any time, also while the services work: an order is asked for its
full shape once it has ended, sums over all orders only when nothing moves.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

from common.audit import (
    books,
    endings,
    imported,
    instants,
    money,
    numbers,
    orders,
    promises,
    requests,
    schema,
    told,
    whole,
)
from common.audit.dossier import dossiers
from common.audit.history import ClientHistory
from common.audit.printing import print_report
from common.audit.report import (
    DOSSIERS_MAX,
    AuditError,
    AuditReport,
    Check,
    Dossier,
    Event,
    Violation,
    exit_code,
)
from common.audit.rules import judge
from common.audit.snapshot import attach, freeze

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "AuditError",
    "AuditReport",
    "Check",
    "Dossier",
    "Event",
    "Violation",
    "audit",
    "exit_code",
    "print_report",
    "story",
]

# Judged at any time.
_ANY_TIME: Final = (
    orders.RULES,
    endings.RULES,
    requests.RULES,
    money.RULES,
    books.RULES,
    numbers.RULES,
    instants.RULES,
    whole.RULES,
    imported.RULES,
)


def audit(
    data_dir: Path,
    *,
    history: Path | None = None,
    settled: bool = False,
    complete: bool = False,
) -> AuditReport:
    """Judge every rule on `data_dir` and, when given, on the client's `history`.

    `settled` makes an order that has not ended a violation; without it they are counted.
    `complete` says that the history is finished and covers every order of the data directory, so
    that an order it does not know is a violation. Raises AuditError when there is nothing to audit or it cannot be
    read; whatever is read and wrong is in the report.
    """
    try:
        with closing(attach(data_dir)) as con:
            client = ClientHistory(con, history) if history else None
            # What was acknowledged by now must be visible in everything read after.
            if client:
                client.load(late=False)
            freeze(con)
            if client:
                client.load(late=True)
            return _report(
                con, data_dir, settled=settled, history=history is not None, complete=complete
            )
    except sqlite3.Error as error:
        msg = f"the audit of {data_dir} cannot go on: {error}"
        raise AuditError(msg) from error


def story(data_dir: Path, pedido_id: int) -> Dossier:
    """All that the services' files hold of one order. Raises AuditError when they cannot be read."""
    try:
        with closing(attach(data_dir)) as con:
            freeze(con)
            [dossier] = dossiers(con, (pedido_id,), history=False)
    except sqlite3.Error as error:
        msg = f"the files of {data_dir} cannot be read: {error}"
        raise AuditError(msg) from error
    return dossier


def _report(
    con: sqlite3.Connection, data_dir: Path, *, settled: bool, history: bool, complete: bool
) -> AuditReport:
    open_orders, quiescent = _still_open(con)
    checks = [whole.integrity(data_dir), whole.foreign_keys(data_dir), schema.schema(con)]
    checks += _services(con, quiescent=quiescent, settled=settled)
    checks.append(imported.rows(con, data_dir))
    if history:
        checks += _client(con, complete=complete)
    concerned = dict.fromkeys(
        violation.pedido_id
        for check in checks
        for violation in check.violations
        if violation.pedido_id is not None
    )
    return AuditReport(
        data_dir=str(data_dir),
        quiescent=quiescent,
        orders=_by_status(con, imported=False),
        imported=_by_status(con, imported=True),
        open_orders=open_orders,
        checks=tuple(checks),
        dossiers=dossiers(con, list(concerned)[:DOSSIERS_MAX], history=history),
    )


def _services(con: sqlite3.Connection, *, quiescent: bool, settled: bool) -> list[Check]:
    moving = None if quiescent else "orders are still under way"
    unasked = None if settled else "orders may still be under way"
    return [
        judge(con, whole.OPEN_ORDERS, unasked),
        judge(con, money.MONEY_SUMS, moving),
        *(judge(con, rule) for rules in _ANY_TIME for rule in rules),
    ]


def _client(con: sqlite3.Connection, *, complete: bool) -> list[Check]:
    partial = None if complete else "the history may be one of several"
    return [
        *(judge(con, rule) for rule in (*promises.RULES, *told.RULES)),
        judge(con, promises.UNEXPECTED, partial),
        judge(con, told.UNASKED, partial),
    ]


def _still_open(con: sqlite3.Connection) -> tuple[int, bool]:
    """How many orders had not ended at the second reading, and whether nothing moved."""
    counting = "SELECT count(*), COALESCE(sum(status NOT IN ('enviado', 'cancelado')), 0) FROM "
    first = con.execute(counting + "driven").fetchone()
    second = con.execute(counting + "later").fetchone()
    return second[1], first == second and second[1] == 0


def _by_status(con: sqlite3.Connection, *, imported: bool) -> dict[str, int]:
    return dict(
        con.execute(
            """SELECT status, count(*) FROM pedidos.pedidos WHERE (origem <> 'loja') = ?
            GROUP BY status ORDER BY status""",
            (imported,),
        ).fetchall()
    )
