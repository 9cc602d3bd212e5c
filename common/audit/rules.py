"""A rule as a value, and how one is judged.

A rule is two statements: how many rows it looks at, and one row (pedido_id or null, what is wrong)
for each violation. Rules are judged set by set inside the database, so a large shop costs sorting
and lookups, not memory.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, NamedTuple

from common.audit.report import VIOLATIONS_LISTED_MAX, Check, Violation

if TYPE_CHECKING:
    from collections.abc import Iterable


class Rule(NamedTuple):
    """One check: its stable id, what it says, the invariants it serves, and its two statements."""

    id: str
    title: str
    invariants: tuple[int, ...]
    examined: str
    violations: str


def judge(con: sqlite3.Connection, rule: Rule, skipped: str | None = None) -> Check:
    """Judge one rule, or only count what it would look at when `skipped` gives a reason."""
    examined = 0
    try:
        (examined,) = con.execute(rule.examined).fetchone()
        rows: Iterable[Any] = () if skipped else con.execute(rule.violations)
        return collect(rule, examined, rows, skipped)
    except sqlite3.OperationalError:
        # No memory, no disk for sorting, no time: the audit failed, not the shop.
        raise
    except sqlite3.DatabaseError as error:
        return collect(rule, examined, [(None, f"cannot be examined: {error}")])


def collect(
    rule: Rule,
    examined: int,
    rows: Iterable[tuple[int | None, str | None]],
    skipped: str | None = None,
) -> Check:
    """Count all violations and keep the first ones."""
    total, kept = 0, []
    for pedido_id, detail in rows:
        total += 1
        if total <= VIOLATIONS_LISTED_MAX:
            kept.append(Violation(pedido_id, detail or "a value that is told of is null"))
    return Check(rule.id, rule.title, rule.invariants, examined, total, tuple(kept), skipped)
