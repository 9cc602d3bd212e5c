"""What will be done to the arm, and when: made before the run, from the seed alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Final, Literal, get_args

import msgspec
from msgspec import Struct

from common import contratos as c
from common.faults.failpoints import Rule
from common.faults.points import Point
from loadgen.chaos.matrix.cells import CHAIN
from loadgen.workload.targets import Basket

# kill: SIGKILL; pause: SIGSTOP, then SIGCONT; slow: every order waits at P0; error: unavailable
# before the effect (P0) or after it (P5); cut: the request (P1) or the reply (P3) of the next call
# is lost; disk: a full disk or an I/O error in a unit of work.
Fault = Literal["kill", "pause", "slow", "error", "cut", "disk"]
FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)
# Services that are killed and stopped; Catalogo has no step of an order, so no failpoints.
SERVICES: Final = (*CHAIN, "catalogo")
# Seconds that a fault which does not end by itself lasts.
LENGTH_S: Final = (0.5, 2.0)
# Seconds that each order waits at a slow service.
SLOW_S: Final = 0.3
# Share of the orders or units of work that an error, a cut or a bad disk strikes.
SHARE: Final = 0.3
# One order in so many asks for as many units of one product as may be asked for, and units of each
# product at the start: enough for a fifth of these in a run of minutes, and for all else.
GREEDY_EVERY: Final = 20
STOCK_OF_A_SOAK: Final = 200_000
# Share of the orders that their customer cancels, and the seconds after which they do, while most
# are still under way.
CANCELLED_SHARE: Final = 0.05
CANCELLED_AFTER_S: Final = (0.0, 0.3)
_POINTS: Final[dict[str, tuple[Point, ...]]] = {
    "slow": ("P0",), "error": ("P0", "P5"), "cut": ("P1", "P3"), "disk": ("banco",)
}  # fmt: skip


class Strike(Struct, frozen=True):
    """One fault: seconds after the attack's begin, what, to whom, for how long, and its rules."""

    at_s: float
    fault: Fault
    service: str
    length_s: float
    rules: tuple[Rule, ...] = ()


def schedule(faults: Sequence[Fault], count: int, duration_s: float, seed: int) -> list[Strike]:
    """`count` strikes over `duration_s` seconds, evenly in time with jitter, in order.

    Every fault has its equal share, in a drawn order.
    """
    draw = Random(f"chaos {seed}")
    kinds = [faults[number % len(faults)] for number in range(count)]
    draw.shuffle(kinds)
    gap = duration_s / max(count, 1)
    strikes = []
    for number, kind in enumerate(kinds):
        at = (number + draw.uniform(0.0, 0.8)) * gap
        length = 0.0 if kind == "kill" else draw.uniform(*LENGTH_S)
        service = draw.choice(SERVICES if kind in {"kill", "pause"} else CHAIN)
        strikes.append(Strike(at, kind, service, length, _rules(number, kind, service, draw)))
    return strikes


def change_of_mind(number: int, seed: int) -> float | None:
    """Seconds after which the customer of an order cancels it; None for one who does not."""
    draw = Random(f"change of mind {seed} {number}")
    return draw.uniform(*CANCELLED_AFTER_S) if draw.random() < CANCELLED_SHARE else None


def with_greed(baskets: Sequence[Basket]) -> list[Basket]:
    """The baskets, some of which ask for very many units of one product, until it is sold out.

    From then on they are refused for want of stock, and what was charged is given back.
    """
    products = Counter(item.produto_id for basket in baskets for item in basket.request.itens)
    # The least wanted: its end hurts few others.
    item = c.ItemPedido(min(products, key=lambda one: products[one]), c.UNIDADES_POR_ITEM_MAX)
    greedy = list(baskets)
    for number in range(0, len(greedy), GREEDY_EVERY):
        request = msgspec.structs.replace(greedy[number].request, itens=(item,))
        greedy[number] = Basket(request, msgspec.Raw(msgspec.json.encode(request)))
    return greedy


def _rules(number: int, kind: Fault, service: str, draw: Random) -> tuple[Rule, ...]:
    if kind in {"kill", "pause"}:
        return ()
    points = _POINTS[kind]
    if service == "logistica" and kind == "cut":
        # Nothing lies behind it: its own answer is lost instead.
        points = ("P5",)
    point = draw.choice(points)
    name = f"strike {number}"
    if kind == "slow":
        return (Rule(id=name, service=service, point=point, action="delay", seconds=SLOW_S),)
    if kind == "disk":
        return (
            Rule(
                id=name, service=service, point=point, probability=SHARE,
                action=draw.choice(("disk_full", "io_error")),
            ),
        )  # fmt: skip
    return (Rule(id=name, service=service, point=point, action="error", probability=SHARE),)
