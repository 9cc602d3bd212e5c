"""What an attack will do, as data: the calls at one order, and the strikes at the services.

Both follow from the seed alone, so that the same seed attacks in the same way.
"""

from __future__ import annotations

from itertools import product
from math import exp, log
from random import Random
from typing import Final, Literal, get_args

from msgspec import Struct

from loadgen.chaos.soak.schedule import SERVICES

# create: the order's own key and body; duplicate: the same once more; other_body: another body under
# the same key; cancel, look_up: by the order's number; cancel_next: the number that the next order
# will get; cancel_unknown: a number that no order will get.
Move = Literal[
    "create", "duplicate", "other_body", "cancel", "cancel_next", "cancel_unknown", "look_up"
]
MOVES: Final[tuple[Move, ...]] = get_args(Move)

# Seconds, drawn evenly in ratio: the deadline of a call, and after which a caller hangs up.
DEADLINE_S: Final = (0.001, 2.0)
HANG_UP_S: Final = (0.0002, 0.5)
# Seconds after which the caller of a cancel hangs up: long enough for it to arrive, too short for
# its answer.
CANCEL_HANG_UP_S: Final = (0.0005, 0.005)
# Times that the same key and body are sent at once.
COPIES: Final = (2, 5)
# Seconds from an order's begin until the last of the calls that do not wait for its end.
UNDER_WAY_S: Final = 0.5
# Seconds after the begin and until its deadline of the duplicate that tells the order's number.
TELLING_AT_S: Final = (0.0, 0.05)
TELLING_DEADLINE_S: Final = (0.05, 0.15)

# Shares of the orders: those sent several times at once; with other bodies; that are cancelled;
# cancelled twice at once; looked up; whose end its customer asks for.
DUPLICATED: Final = 0.5
OTHER_BODY: Final = 0.3
CANCELLED: Final = 0.5
CANCELLED_TWICE: Final = 0.3
CANCELLED_BLIND: Final = 0.1
LOOKED_UP: Final = 0.5
FOLLOWED: Final = 0.7
# Shares of the calls whose caller hangs up.
HUNG_UP: Final = 0.25
CANCEL_HUNG_UP: Final = 0.5
# Share of the other bodies, cancels and duplicates that come after the order's end.
LATE: Final = 0.3

# kill: SIGKILL; stop: SIGSTOP, then SIGCONT; term: SIGTERM; stop-term: SIGTERM while stopped.
Sign = Literal["kill", "stop", "term", "stop-term"]
SIGNS: Final[tuple[Sign, ...]] = get_args(Sign)
# Services that one strike hits.
AT_ONCE: Final = (1, 3, len(SERVICES))
# Seconds that stopped services stand still: shorter and longer than deadlines.
STOPPED_S: Final = (0.1, 3.0)
# Seconds of an attack for each strike: as long as a restart of all services takes, and calm.
SECONDS_A_STRIKE: Final = 6.0


class Call(Struct, frozen=True):
    """One call: what is sent, seconds from the order's begin, or when `late` from its end.

    Of an order that its customer does not follow, late calls come when all others have ended.

    Its caller hangs up after `hang_up_s` seconds, or waits for its deadline when that is None.
    """

    at_s: float
    move: Move
    deadline_s: float
    hang_up_s: float | None = None
    late: bool = False


class Siege(Struct, frozen=True):
    """All that is done with one order.

    Its customer asks until it has ended, from `followed_s` seconds after the begin on; None leaves
    it to the services.
    """

    calls: tuple[Call, ...]
    followed_s: float | None


class Raid(Struct, frozen=True):
    """One strike: seconds after the attack's begin, how, at whom, seconds that they stand still."""

    at_s: float
    sign: Sign
    services: tuple[str, ...]
    length_s: float


def siege(number: int, seed: int) -> Siege:
    """What is done with the attack's n-th order."""
    draw = Random(f"siege {seed} {number}")
    calls = [_call(draw, 0.0, "create")]
    if draw.random() < DUPLICATED:
        late = draw.random() < LATE
        copies = draw.randint(*COPIES) - 1
        calls += [_call(draw, 0.0, "duplicate", late=late) for _ in range(copies)]
    if draw.random() < OTHER_BODY:
        # At once with the first in one of four: then only one of the two may be taken.
        at_s = draw.choice((0.0, *[draw.uniform(0.0, UNDER_WAY_S)] * 3))
        calls.append(_call(draw, at_s, "other_body", late=draw.random() < LATE))
    if draw.random() < CANCELLED:
        cancel = _call(
            draw, draw.uniform(0.0, UNDER_WAY_S), "cancel", late=draw.random() < LATE
        )  # fmt: skip
        calls.append(cancel)
        if draw.random() < CANCELLED_TWICE:
            calls.append(_call(draw, cancel.at_s, "cancel", late=cancel.late))
    if draw.random() < CANCELLED_BLIND:
        move: Move = draw.choice(("cancel_next", "cancel_unknown"))
        calls.append(_call(draw, draw.uniform(0.0, UNDER_WAY_S), move))
    if draw.random() < LOOKED_UP:
        calls += [
            _call(draw, draw.uniform(0.0, UNDER_WAY_S), "look_up", late=draw.random() < LATE)
            for _ in range(draw.randint(1, 3))
        ]
    if any(call.move in {"cancel", "look_up"} and not call.late for call in calls):
        # Only an answer tells the order's number, and its own may come with its end.
        calls.append(
            Call(draw.uniform(*TELLING_AT_S), "duplicate", draw.uniform(*TELLING_DEADLINE_S))
        )
    followed = draw.uniform(0.0, UNDER_WAY_S) if draw.random() < FOLLOWED else None
    return Siege(tuple(calls), followed)


def raids(duration_s: float, seed: int) -> list[Raid]:
    """The strikes of an attack, evenly in time with jitter, in order.

    Each way of striking meets each number of services as often as the others, in a drawn order.
    """
    draw = Random(f"raids {seed}")
    count = max(1, int(duration_s / SECONDS_A_STRIKE))
    ways = list(product(SIGNS, AT_ONCE))
    chosen: list[tuple[Sign, int]] = []
    while len(chosen) < count:
        draw.shuffle(ways)
        chosen += ways
    gap = duration_s / count
    return [
        Raid(
            (number + draw.uniform(0.2, 0.6)) * gap,
            sign,
            tuple(draw.sample(SERVICES, at_once)),
            draw.uniform(*STOPPED_S) if sign in {"stop", "stop-term"} else 0.0,
        )
        for number, (sign, at_once) in enumerate(chosen[:count])
    ]


def _call(draw: Random, at_s: float, move: Move, *, late: bool = False) -> Call:
    hang_up_s = None
    if move == "cancel" and draw.random() < CANCEL_HUNG_UP:
        hang_up_s = draw.uniform(*CANCEL_HANG_UP_S)
    elif draw.random() < HUNG_UP:
        hang_up_s = _in_ratio(draw, HANG_UP_S)
    return Call(at_s, move, _in_ratio(draw, DEADLINE_S), hang_up_s, late)


def _in_ratio(draw: Random, bounds: tuple[float, float]) -> float:
    """A value between two bounds, each of its powers of ten as likely as the others."""
    low, high = bounds
    return min(high, max(low, exp(draw.uniform(log(low), log(high)))))
