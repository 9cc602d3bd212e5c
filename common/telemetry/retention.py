"""Which traces are kept, decided at the end of an order: a share, and all that failed or were slow.

A decision at the beginning knows nothing of what will be worth a look. Here the record is there
already, so all that is saved by not keeping is making the spans.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Final, Literal

from msgspec import Struct

from common.servicos.protocolo.record import Hop
from common.telemetry.trace_context import TraceContext, draw_of, wanted

Why = Literal["asked", "failed", "slow", "share"]

# Share of orders that are slow: the slowest hundredth of the latest.
SLOW_SHARE: Final = 0.01
# When a crowd comes at once, each order takes longer than all before it, and all would count as slow.
# So the share of slow orders is at most BURST times SLOW_SHARE, and at most RUN_MAX follow each other.
BURST: Final = 5
RUN_MAX: Final = 20
# An order is compared with so many before it. They are sorted once in LOOK_EVERY orders, from the
# first on: a sort for each would cost more than the trace.
RECENT_ORDERS: Final = 512
LOOK_EVERY: Final = 64

# Digits of a trace's draw, and a text that sorts above all of them.
_DIGITS: Final = 14
_ALL: Final = "g"


class Kept(Struct, frozen=True, kw_only=True):
    """A trace that is kept: the hops of its timing record, and the edge's knowledge of it.

    `order` is None where none came to be, `pending` whether it was answered before its end, `left`
    whether its caller had gone before that.
    """

    hops: tuple[Hop, ...]
    operation: str
    context: TraceContext
    why: Why
    order: int | None = None
    pending: bool = False
    left: bool = False


class Slow:
    """Whether an order took longer than nearly all of the latest; of a crowd only some did."""

    def __init__(self, share: float = SLOW_SHARE) -> None:
        self._share = share
        self._late: deque[float] = deque(maxlen=RECENT_ORDERS)
        self._left = LOOK_EVERY
        self._bound_s = inf
        self._credit = float(RUN_MAX)

    def note(self, seconds: float) -> bool:
        """Take an order into account; True when it was slow."""
        self._credit = min(self._credit + BURST * self._share, RUN_MAX)
        slow = seconds > self._bound_s and self._credit >= 1
        if slow:
            self._credit -= 1
        self._late.append(seconds)
        self._left -= 1
        if self._left <= 0:
            ordered = sorted(self._late)
            self._bound_s = ordered[-1 - int(len(ordered) * self._share)]
            self._left = LOOK_EVERY
        return slow


class Keeping:
    """Decides on each order's trace."""

    def __init__(self, share: float) -> None:
        """`share` of all traces is kept, the same ones in every process and every run."""
        # As a text, which sorts as the number does.
        self._below = _ALL if share >= 1 else f"{int(share * 16**_DIGITS):0{_DIGITS}x}"
        self._slow = Slow()

    def why(self, trace: str, seconds: float, *, failed: bool) -> Why | None:
        """Why this trace (a header's text) is kept; None when it is not."""
        slow = self._slow.note(seconds)
        if wanted(trace):
            return "asked"
        if failed:
            return "failed"
        if slow:
            return "slow"
        return "share" if draw_of(trace) < self._below else None
