"""The cells of the fault matrix, as data: service x point x fault, and what must come of it.

A cell is one order that meets one fault. Its name says which; its rules make it happen; its
scenario says what is done with the order. Every cell says the one end that its order must have.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from msgspec import Struct

from common.faults.failpoints import Action, Rule
from common.faults.points import Point

CHAIN: Final = ("pedidos", "pagamentos", "estoque", "fiscal", "logistica")
# What is done with the order: bought; bought by a caller who hangs up and never asks again; bought
# with too little stock; bought with a payment that will be refused; the same key twice at once;
# cancelled while it is held at Logistica; cancelled while its step is under way and nobody waits
# for that step any more, so that it comes late, or in time.
Scenario = Literal[
    "buy", "hang_up", "no_stock", "payment_refused", "twice", "cancel", "step_late", "step_first"
]
# What is done from outside, beside the rules: every service killed at once, a second process on a
# port that is taken.
Outside = Literal["", "kill_all", "second_process"]
# Seconds. A stop shorter than a call of the client's may take, and one longer.
PAUSE_SHORT_S: Final = 0.4
PAUSE_LONG_S: Final = 3.0
# Seconds that a slow service takes more.
SLOW_S: Final = 0.5
# Seconds that the next hop is kept at work, so that P2 strikes while it is.
AT_WORK_S: Final = 0.4
# Seconds after which Pedidos gives up on a call that goes on.
GIVE_UP_S: Final = 0.2
# Seconds that a database is locked: less than a writer waits for it, and more.
LOCK_SHORT_S: Final = 0.5
LOCK_LONG_S: Final = 6.0

FORWARD: Final[dict[str, tuple[Point, ...]]] = {
    "pedidos": ("P0", "P1", "P2", "P3", "P4", "P5"),
    "pagamentos": ("gateway", "P0", "P1", "P2", "P3", "P5"),
    "estoque": ("P0", "P1", "P2", "P3", "P5"),
    "fiscal": ("P0", "P1", "P2", "P3", "P5"),
    "logistica": ("P0", "P5"),
}
CANCELLING: Final[dict[str, tuple[Point, ...]]] = {
    "pedidos": ("P0", "P1", "P2", "P3", "P4", "P5"),
    "pagamentos": ("P1", "P2", "P3", "gateway", "P4", "P5"),
    "estoque": ("P1", "P2", "P3", "P4", "P5"),
    "fiscal": ("P1", "P2", "P3", "P4", "P5"),
    "logistica": ("P4", "P5"),
}
_BEGIN_END: Final[tuple[Point, ...]] = ("P0", "P5")
# An error at a point, by what it stands for.
ERRORS: Final[dict[Point, str]] = {
    "gateway": "error before",
    "P0": "error before",
    "P1": "request cut",
    "P2": "given up on",
    "P3": "reply cut",
    "P4": "error before",
    "P5": "error after",
}
MOTIVOS: Final[dict[Scenario, str]] = {
    "buy": "", "hang_up": "", "twice": "", "step_first": "",
    "cancel": "solicitado", "step_late": "solicitado",
    "no_stock": "estoque_insuficiente", "payment_refused": "pagamento_rejeitado",
}  # fmt: skip
SENT: Final = "enviado"
CANCELLED: Final = "cancelado"


class Cell(Struct, frozen=True, kw_only=True):
    """One cell: the fault, where it strikes, and how the order must end; "" where there is none.

    `rule` is the fault and must be hit as often as its `times` say; `beside` are rules that set the
    scene for it and must each be hit. Where a rule names no order the matrix has it choose the
    cell's, unless it strikes the claim, which knows none yet. `pause_s` is how long a stopped
    process is left so; `motivo` is the reason that a cancelled order must have.
    """

    fault: str
    service: str
    point: str
    scenario: Scenario = "buy"
    expected: str = SENT
    rule: Rule | None = None
    beside: tuple[Rule, ...] = ()
    claim: bool = False
    outside: Outside = ""
    pause_s: float = 0.0

    @property
    def motivo(self) -> str:
        """Why the order must have been cancelled, if it was."""
        return MOTIVOS[self.scenario]

    @property
    def name(self) -> str:
        """A name that no other cell has."""
        return _name(self.fault, self.scenario, self.service, self.point)


def _name(fault: str, scenario: Scenario, service: str, point: str) -> str:
    return f"{fault} | {scenario} | {service} {point}"


def cells() -> list[Cell]:
    """Every cell, in the order in which they are run."""
    return [
        *_killed(), *_killed_again(), *_stopped(), *_slow(), *_errors(), *_storage(),
        *_refused(), *_cancelled_early(), *_outside(),
    ]  # fmt: skip


def _cell(
    fault: str,
    service: str,
    point: Point,
    action: Action,
    *,
    scenario: Scenario = "buy",
    times: int = 1,
    seconds: float = 0.0,
    pause_s: float = 0.0,
    skip: int = 0,
    unit: int = 1,
) -> Cell:
    """A cell with one rule; `unit` is which of the service's units of work `banco` strikes."""
    place = point if unit == 1 else f"{point} {unit}"
    name = _name(fault, scenario, service, place)
    cancelling = scenario == "cancel"
    beside: tuple[Rule, ...] = ()
    if point == "P2":
        after = CHAIN[CHAIN.index(service) + 1]
        where: Point = "P0"
        if cancelling:
            where = "P4" if after == "logistica" else "P1"
        beside = (
            Rule(
                id=f"{name} at work", service=after, point=where, action="delay",
                times=times, seconds=AT_WORK_S,
            ),
        )  # fmt: skip
    # The claim comes before all that is done for an order by its number, so it is not among those.
    claim = service == "pedidos" and point in {"P0", "banco"} and unit == 1 and not cancelling
    if cancelling and unit > 1:
        skip = unit - 1
    rule = Rule(
        id=name, service=service, point=point, action=action, skip=skip, times=times,
        seconds=seconds,
    )  # fmt: skip
    expected = SENT if scenario in {"buy", "hang_up", "twice", "step_first"} else CANCELLED
    return Cell(
        fault=fault, service=service, point=place, scenario=scenario, expected=expected,
        rule=rule, beside=beside, claim=claim, pause_s=pause_s,
    )  # fmt: skip


def _everywhere(where: dict[str, tuple[Point, ...]]) -> Iterator[tuple[str, Point]]:
    for service, points in where.items():
        for point in points:
            yield service, point


def _killed() -> Iterator[Cell]:
    for service, point in _everywhere(FORWARD):
        yield _cell("kill -9", service, point, "kill")
    for service, point in _everywhere(CANCELLING):
        yield _cell("kill -9", service, point, "kill", scenario="cancel")


def _killed_again() -> Iterator[Cell]:
    """Killed, and killed once more while that is recovered from."""
    again = "killed again while recovering"
    # The caller is gone: what drives the order the second time is the sweep of Pedidos alone.
    for point in FORWARD["pedidos"][1:5]:
        yield _cell(again, "pedidos", point, "kill", scenario="hang_up", times=2)
    for service in CHAIN[1:4]:
        yield _cell(again, service, "P1", "kill", times=2)
    for service in CHAIN:
        yield _cell(again, service, "P4", "kill", scenario="cancel", times=2)
    yield _cell(again, "pagamentos", "P4", "kill", scenario="no_stock", times=2)


def _stopped() -> Iterator[Cell]:
    for service in CHAIN:
        for fault, pause_s in (
            ("stopped, shorter", PAUSE_SHORT_S),
            ("stopped, longer", PAUSE_LONG_S),
        ):
            for point in _BEGIN_END:
                yield _cell(fault, service, point, "pause", pause_s=pause_s)


def _slow() -> Iterator[Cell]:
    for service in CHAIN:
        yield _cell("slow", service, "P0", "delay", seconds=SLOW_S)
    yield _cell("slow", "pagamentos", "gateway", "delay", seconds=SLOW_S)


def _errors() -> Iterator[Cell]:
    for service, point in _everywhere(FORWARD):
        yield _cell(ERRORS[point], service, point, "error")
    for service, point in _everywhere(CANCELLING):
        yield _cell(ERRORS[point], service, point, "error", scenario="cancel")


def _storage() -> Iterator[Cell]:
    """Every unit of work: a step and its undoing; at Pedidos the claim, giving up, the end."""
    faults: tuple[tuple[str, Action, float], ...] = (
        ("disk full", "disk_full", 0.0), ("I/O error", "io_error", 0.0),
        ("locked, shorter", "locked", LOCK_SHORT_S), ("locked, longer", "locked", LOCK_LONG_S),
    )  # fmt: skip
    scenarios: tuple[Scenario, ...] = ("buy", "cancel")
    for fault, action, seconds in faults:
        for scenario in scenarios:
            for service in CHAIN:
                for unit in (1, 2) if service == "pedidos" else (1,):
                    yield _cell(
                        fault, service, "banco", action,
                        scenario=scenario, seconds=seconds, unit=unit,
                    )  # fmt: skip


def _refused() -> Iterator[Cell]:
    """Durable refusals, and a process killed while it unwinds one."""
    unwinding: dict[Scenario, dict[str, tuple[Point, ...]]] = {
        "no_stock": {
            "estoque": ("P5",),
            "pagamentos": ("P3", "gateway", "P4", "P5"),
            "pedidos": ("P3", "P4", "P5"),
        },
        "payment_refused": {"pagamentos": ("gateway", "P0", "P5"), "pedidos": ("P3", "P4")},
    }
    for scenario, where in unwinding.items():
        for service, point in _everywhere(where):
            # The first time that an order comes to the gateway it is charged, the second time voided.
            voided = scenario == "no_stock" and point == "gateway"
            yield _cell("kill -9", service, point, "kill", scenario=scenario, skip=int(voided))


def _cancelled_early() -> Iterator[Cell]:
    """Cancelled while the step is under way: it meets a tombstone, or was first at the pivot."""
    places: tuple[tuple[str, Point], ...] = (
        ("pagamentos", "gateway"), ("pagamentos", "P0"), ("estoque", "P0"), ("fiscal", "P0"),
    )  # fmt: skip
    for service, point in places:
        yield _raced("cancelled before the step", service, point, "step_late")
    yield _raced("cancel racing the pivot, the cancel wins", "logistica", "P0", "step_late")
    yield _raced("cancel racing the pivot, the step wins", "logistica", "P0", "step_first")


def _raced(fault: str, service: str, point: Point, scenario: Scenario) -> Cell:
    """Two calls for one order: a step that Pedidos has given up on, held, and the cancel.

    Its retry is held too, and ends with the drive that the cancel takes over. The scenario puts the rule in force when it lets the step go: that the step went through to its
    end, though nobody hears its answer, is the hit.
    """
    name = _name(fault, scenario, service, point)
    beside = [
        Rule(
            id=f"{name} given up on", service="pedidos", point="P2", action="error",
            times=1, seconds=GIVE_UP_S,
        ),
        Rule(id=f"{name} held", service=service, point=point, action="hold", times=2),
    ]  # fmt: skip
    if scenario == "step_first":
        beside.append(
            Rule(id=f"{name} cancel held", service=service, point="P4", action="hold", times=1)
        )
    return Cell(
        fault=fault, service=service, point=point, scenario=scenario,
        expected=SENT if scenario == "step_first" else CANCELLED,
        rule=Rule(id=name, service=service, point="P5", action="delay", times=1),
        beside=tuple(beside),
    )  # fmt: skip


def _outside() -> Iterator[Cell]:
    yield _cell("same key twice", "pagamentos", "P0", "delay", scenario="twice", seconds=AT_WORK_S)
    yield _cell("client dies", "logistica", "P0", "hold", scenario="hang_up")
    yield Cell(
        fault="everything killed at once", service="all", point="P2", outside="kill_all",
        rule=Rule(
            id="everything killed at once", service="logistica", point="P0", action="delay",
            times=1, seconds=AT_WORK_S,
        ),
    )  # fmt: skip
    for service in (*CHAIN, "catalogo"):
        yield Cell(
            fault="two processes, one port", service=service, point="start", expected="",
            outside="second_process",
        )  # fmt: skip
