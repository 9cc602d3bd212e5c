"""The timing record as results of version 0.1.0 keep it: the text of `Server-Timing`."""

from __future__ import annotations

from typing import Any

from msgspec import MsgspecError, convert

from common.servicos.protocolo.record import Hop, Inside

# One kind of wait for each section: that text says how long a section was, not of which waits.
_KINDS = {"banco": "b", "gateway": "g", "proximo": "p"}


def earlier(text: str) -> tuple[Hop, ...]:
    """The hops of such a text, their waits without instants; none where one of them is broken."""
    try:
        return convert([_hop(entry) for entry in text.split(", ") if entry], tuple[Hop, ...])
    except (KeyError, ValueError, OverflowError, MsgspecError):
        return ()


def _hop(entry: str) -> list[Any]:
    """An entry as `Hop` has it, yet to be checked."""
    service, *fields = entry.split(";")
    micros = {
        name: round(float(ms) * 1e3) for name, _, ms in (each.partition("=") for each in fields)
    }
    waits = [[kind, 0, micros[name]] for name, kind in _KINDS.items() if name in micros]
    full = {"em", "trabalho"} <= micros.keys()
    return [
        service,
        micros.get("em", 0),
        micros["dur"],
        waits,
        micros.get("fila", 0),
        micros.get("commit", 0),
        "",
        [micros.get(name, 0) for name in Inside.__struct_fields__] if full else None,
    ]
