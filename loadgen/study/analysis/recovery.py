"""A fault as it came to pass in a run, and when the run was what it had been before.

An arm that completes as much as before may still be late with all of it, so both are asked for: the
rate and the 99th percentile of each second, for several seconds on end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from loadgen.results.timeline import Second
from loadgen.study.records.plan import Fault
from loadgen.study.records.record import Happened, RunRecord

# Seconds on end that must be as before.
CALM_S: Final = 3
# Of the usual rate, over those seconds.
RATE_BACK: Final = 0.9
# Of the highest 99th percentile that a second had before the first fault: a second has few orders,
# and its percentile is mostly chance.
LATENCY_BACK: Final = 1.25
# Half a second: a time that is read from whole seconds is known no better.
SECOND_HALF_S: Final = 0.5
_ENDS: Final = {"down": "resumed", "slow": "usual"}


class Spell(Struct, frozen=True):
    """A fault with the instants at which it really came and went, in seconds since the first order.

    `end_s` is when a service that was down may start again: starting is part of recovering.
    `until_s` is when the next fault comes or the schedule ends: later is not looked at.
    """

    fault: Fault
    begin_s: float
    end_s: float
    until_s: float


class Usual(Struct, frozen=True):
    """What a run was like before its first fault: orders a second, and its slowest second's p99."""

    completed_per_s: float
    p99_ms: float


def spells(run: RunRecord) -> list[Spell]:
    """The faults of a run in the order in which they came."""
    came = sorted(
        (
            _instant(run.events, fault.kind, fault, fault.at_s),
            _instant(run.events, _ENDS[fault.kind], fault, fault.at_s + fault.for_s),
            fault.service,
            fault,
        )
        for fault in run.cell.faults
    )
    ends_s = run.cell.warmup_s + run.cell.seconds
    begins = [*(begin for begin, *_ in came[1:]), ends_s]
    return [
        Spell(fault, begin, end, until)
        for (begin, end, _, fault), until in zip(came, begins, strict=True)
    ]


def _instant(events: Sequence[Happened], what: str, fault: Fault, planned_s: float) -> float:
    """When something was done to a service: the time that was taken, nearest to the planned one."""
    taken = [each.at_s for each in events if (each.what, each.service) == (what, fault.service)]
    return min(taken, key=lambda at_s: abs(at_s - planned_s), default=planned_s)


def usual(run: RunRecord) -> Usual | None:
    """The seconds after the warm-up and before the first fault; None when nothing ended in them."""
    if run.result is None or not run.cell.faults:
        return None
    first_s = min(spell.begin_s for spell in spells(run))
    seconds = run.result.timeline[math.ceil(run.cell.warmup_s) : int(first_s)]
    tails = [second.p99_ms for second in seconds if second.p99_ms is not None]
    if not tails:
        return None
    return Usual(sum(second.completed for second in seconds) / len(seconds), max(tails))


def recovered_after_s(run: RunRecord, spell: Spell) -> float | None:
    """Seconds from a fault's end until the rate and the 99th percentile are back, and stay so.

    The instant is that of the first of CALM_S whole seconds. None when there are none before the
    next fault or the schedule's end.
    """
    before = usual(run)
    if run.result is None or before is None:
        return None
    seconds = run.result.timeline
    for start in range(math.ceil(spell.end_s), int(spell.until_s) - CALM_S + 1):
        if _calm(seconds[start : start + CALM_S], before):
            return start - spell.end_s
    return None


def _calm(seconds: Sequence[Second], before: Usual) -> bool:
    bound_ms = LATENCY_BACK * before.p99_ms
    return (
        len(seconds) == CALM_S
        and sum(each.completed for each in seconds) >= RATE_BACK * before.completed_per_s * CALM_S
        and all(each.p99_ms is not None and each.p99_ms <= bound_ms for each in seconds)
    )
