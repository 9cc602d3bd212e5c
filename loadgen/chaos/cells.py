"""The cells of the fault matrix, as data: service x point x fault, and what must come of it.

A cell is one order that meets one fault. Its name says which; its rules make it happen; its
scenario says what is done with the order. Outcomes that a race leaves open list both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from msgspec import Struct

from common.failpoints import Action, Rule
from common.servicos.portas import Ponto

CHAIN: Final = ("pedidos", "pagamentos", "estoque", "fiscal", "logistica")
# What is done with the order: bought; bought and cancelled while it is held at Logistica; bought
# with too little stock; bought with a payment that will be refused; the same key twice at once.
Scenario = Literal["buy", "cancel", "no_stock", "payment_refused", "twice"]
# What is done from outside, beside the rules: every service killed at once, a database locked by
# another process, a second process on a port that is taken.
Outside = Literal["", "kill_all", "lock", "second_process"]
# Seconds. A stop shorter than a call of the client's may take, and one longer.
PAUSE_SHORT_S: Final = 0.4
PAUSE_LONG_S: Final = 3.0
# Seconds that a slow service takes more.
SLOW_S: Final = 0.5
# Seconds that the next hop is kept at work, so that P2 strikes while it is.
AT_WORK_S: Final = 0.4

FORWARD: Final[dict[str, tuple[Ponto, ...]]] = {
    "pedidos": ("P0", "P1", "P2", "P3", "P4", "P5"),
    "pagamentos": ("P0", "P1", "P2", "P3", "P5"),
    "estoque": ("P0", "P1", "P2", "P3", "P5"),
    "fiscal": ("P0", "P1", "P2", "P3", "P5"),
    "logistica": ("P0", "P5"),
}
CANCELLING: Final[dict[str, tuple[Ponto, ...]]] = {
    "pedidos": ("P1", "P2", "P3", "P4", "P5"),
    "pagamentos": ("P1", "P2", "P3", "P4", "P5"),
    "estoque": ("P1", "P2", "P3", "P4", "P5"),
    "fiscal": ("P1", "P2", "P3", "P4", "P5"),
    "logistica": ("P4", "P5"),
}
# An error at a point, by what it stands for.
ERRORS: Final[dict[Ponto, str]] = {
    "P0": "error before",
    "P1": "request cut",
    "P2": "given up on",
    "P3": "reply cut",
    "P4": "error before",
    "P5": "error after",
}
MOTIVOS: Final[dict[Scenario, str]] = {
    "buy": "", "twice": "", "cancel": "solicitado", "no_stock": "estoque_insuficiente",
    "payment_refused": "pagamento_rejeitado",
}  # fmt: skip
SENT: Final = ("enviado",)
CANCELLED: Final = ("cancelado",)
EITHER: Final = ("enviado", "cancelado")


class Cell(Struct, frozen=True, kw_only=True):
    """One cell: the fault, where it strikes, and how the order must end.

    `pause_s` is how long a stopped process is left so; `beside` are rules that set the scene for
    `rule`; `motivo` is the reason that a cancelled order must have.
    """

    fault: str
    service: str
    point: str
    scenario: Scenario = "buy"
    expected: tuple[str, ...] = SENT
    rule: Rule | None = None
    beside: tuple[Rule, ...] = ()
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
    return [*_killed(), *_stopped(), *_slow(), *_errors(), *_storage(), *_business(), *_outside()]


def _cell(
    fault: str,
    service: str,
    point: Ponto,
    action: Action,
    *,
    scenario: Scenario = "buy",
    expected: tuple[str, ...] = SENT,
    seconds: float = 0.0,
    pause_s: float = 0.0,
) -> Cell:
    name = _name(fault, scenario, service, point)
    beside: tuple[Rule, ...] = ()
    if point == "P2":
        after = CHAIN[CHAIN.index(service) + 1]
        place: Ponto = "P0"
        if scenario == "cancel":
            place = "P4" if after == "logistica" else "P1"
        beside = (
            Rule(
                id=f"{name} at work", service=after, point=place, action="delay",
                times=1, seconds=AT_WORK_S,
            ),
        )  # fmt: skip
    rule = Rule(id=name, service=service, point=point, action=action, times=1, seconds=seconds)
    return Cell(
        fault=fault, service=service, point=point, scenario=scenario, expected=expected,
        rule=rule, beside=beside, pause_s=pause_s,
    )  # fmt: skip


def _everywhere(where: dict[str, tuple[Ponto, ...]]) -> Iterator[tuple[str, Ponto]]:
    for service, points in where.items():
        for point in points:
            yield service, point


def _killed() -> Iterator[Cell]:
    for service, point in _everywhere(FORWARD):
        yield _cell("kill -9", service, point, "kill")
    for service, point in _everywhere(CANCELLING):
        yield _cell("kill -9", service, point, "kill", scenario="cancel", expected=CANCELLED)


def _stopped() -> Iterator[Cell]:
    for service in CHAIN:
        for fault, pause_s in (
            ("stopped, shorter", PAUSE_SHORT_S),
            ("stopped, longer", PAUSE_LONG_S),
        ):
            for point in ("P0", "P5"):
                yield _cell(fault, service, point, "pause", pause_s=pause_s)


def _slow() -> Iterator[Cell]:
    for service in CHAIN:
        yield _cell("slow", service, "P0", "delay", seconds=SLOW_S)


def _errors() -> Iterator[Cell]:
    for service, point in _everywhere(FORWARD):
        yield _cell(ERRORS[point], service, point, "error")
    for service, point in _everywhere(CANCELLING):
        yield _cell(ERRORS[point], service, point, "error", scenario="cancel", expected=CANCELLED)


def _storage() -> Iterator[Cell]:
    for service in CHAIN:
        yield _cell("disk full", service, "banco", "disk_full")
        yield _cell("I/O error", service, "banco", "io_error")
        yield Cell(fault="database locked", service=service, point="banco", outside="lock")


def _business() -> Iterator[Cell]:
    """Durable refusals, and a process killed while it unwinds one."""
    for service, point in (
        ("estoque", "P5"), ("pagamentos", "P3"), ("pagamentos", "P4"), ("pagamentos", "P5"),
        ("pedidos", "P3"), ("pedidos", "P4"), ("pedidos", "P5"),
    ):  # fmt: skip
        yield _cell(
            "kill -9", service, point, "kill",  # type: ignore[arg-type] # literals, all of them
            scenario="no_stock", expected=CANCELLED,
        )  # fmt: skip
    for service, point in (("pagamentos", "P5"), ("pedidos", "P3"), ("pedidos", "P4")):
        yield _cell(
            "kill -9", service, point, "kill",  # type: ignore[arg-type] # literals, all of them
            scenario="payment_refused", expected=CANCELLED,
        )  # fmt: skip
    # The cancel and the forward step meet at the pivot: one of them wins.
    yield _cell(
        "cancel racing the pivot", "logistica", "P0", "delay",
        scenario="cancel", expected=EITHER, seconds=AT_WORK_S,
    )  # fmt: skip
    yield _cell("same key twice", "pagamentos", "P0", "delay", scenario="twice", seconds=AT_WORK_S)


def _outside() -> Iterator[Cell]:
    yield Cell(
        fault="everything killed at once", service="all", point="P2", outside="kill_all",
        rule=Rule(
            id="everything killed at once", service="logistica", point="P0", action="delay",
            times=1, seconds=AT_WORK_S,
        ),
    )  # fmt: skip
    for service in CHAIN:
        yield Cell(
            fault="two processes, one port", service=service, point="start",
            outside="second_process",
        )  # fmt: skip
