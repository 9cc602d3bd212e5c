"""The timing record: where one order's time went, hop by hop. Written and read here alone.

Each hop answers with its own entry in front of the entries of the hops below. Between services the
record is text: JSON arrays with a comma between them, and a hop puts its own in front without reading
the rest. Only the edge and the load generator decode it. All figures are whole microseconds;
instants lie on the machine's monotonic clock, which on Linux is the same for every process.

    ["fiscal",62984341690,3490,[["b",210,790,""],["p",1090,2310,""]],0,510,"",null]

Clients get the same as `Server-Timing` (https://www.w3.org/TR/server-timing/), in milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Struct

from common.contratos import SERVICOS
from common.erros import Categoria

# The sections of a call's time in which it waits for something.
Section = Literal["banco", "gateway", "proximo"]
# What one wait was for: storage, the gateway, a step in the next service, its undoing there, or a
# question to another service.
Kind = Literal["b", "g", "p", "x", "c"]
# How a wait ended when not well: the call got no answer, or the category of the error in its answer.
LOST: Final = "?"
# Not one wait but all of its kind beyond the bound of `Account`, added up.
MORE: Final = "+"

# A larger figure is no time, and may be too large for a float.
Micros = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]

if TYPE_CHECKING:
    Service = str
    Error = str
    Ended = str
else:
    # A stranger may have written a record: no other word passes.
    _CATEGORIES = tuple(categoria.value for categoria in Categoria)
    Service = Literal[SERVICOS]
    Error = Literal[("", *_CATEGORIES)]
    Ended = Literal[("", LOST, MORE, *_CATEGORIES)]


class Wait(Struct, frozen=True, array_like=True):
    """One wait: when it began, counted from the call's arrival, and how long it took.

    `start` is negative where the call joined work that an earlier call had begun.
    """

    kind: Kind
    start: Micros
    length: Micros
    ended: Ended = ""


class Inside(Struct, frozen=True, array_like=True):
    """Where a measured call's time went, from the inside; `saida` is an instant, 0 for none."""

    espera: Micros = 0
    trabalho: Micros = 0
    banco: Micros = 0
    gateway: Micros = 0
    proximo: Micros = 0
    tentativas: Micros = 0
    saida: Micros = 0


class Hop(Struct, frozen=True, array_like=True):
    """One entry of a record: a call at one service.

    `arrival` is an instant, `length` runs from there to the answer. `queue` was spent on admission,
    `commit` in shared commits. `error` is the category of the answer, "" for none. `inside` is None
    unless the call was measured from the inside.
    """

    service: Service
    arrival: Micros
    length: Micros
    waits: tuple[Wait, ...] = ()
    queue: Micros = 0
    commit: Micros = 0
    error: Error = ""
    inside: Inside | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[Hop, ...]).decode


def encode(hop: Hop, below: str = "") -> str:
    """A hop's entry in front of the record from below."""
    entry = _encode(hop).decode()
    return f"{entry},{below}" if below else entry


def decode(record: str) -> tuple[Hop, ...]:
    """The hops of a record, from the edge down; none where the text is no record."""
    try:
        return _decode(f"[{record}]")
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return ()


def figures(hop: Hop) -> dict[str, float]:
    """The hop's figures under their documented names, in their order; milliseconds, noughts left out.

    `dur` is always there; `em`, `espera` and `trabalho` are where the call was measured.
    """
    inside = hop.inside
    found: dict[str, float] = {"dur": hop.length / 1e3}
    if inside is None:
        banco, gateway, proximo = _sections(hop.waits)
    else:
        banco, gateway, proximo = inside.banco, inside.gateway, inside.proximo
        found["em"] = hop.arrival / 1e3
        found["espera"] = inside.espera / 1e3
        found["trabalho"] = inside.trabalho / 1e3
    if hop.queue:
        found["fila"] = hop.queue / 1e3
    if banco:
        found["banco"] = banco / 1e3
        found["commit"] = hop.commit / 1e3
    if gateway:
        found["gateway"] = gateway / 1e3
    if proximo:
        found["proximo"] = proximo / 1e3
        if inside is not None:
            if inside.tentativas:
                found["tentativas"] = inside.tentativas / 1e3
            found["saida"] = inside.saida / 1e3
    return found


def _sections(waits: tuple[Wait, ...]) -> tuple[int, int, int]:
    """Microseconds of all waits for storage, for the gateway, and for other services."""
    banco = gateway = proximo = 0
    for wait in waits:
        if wait.kind == "b":
            banco += wait.length
        elif wait.kind == "g":
            gateway += wait.length
        else:
            proximo += wait.length
    return banco, gateway, proximo


def server_timing(hops: tuple[Hop, ...]) -> str:
    """The record as clients read it."""
    return ", ".join([
        hop.service + "".join([f";{name}={ms:.3f}" for name, ms in figures(hop).items()])
        for hop in hops
    ])  # fmt: skip
