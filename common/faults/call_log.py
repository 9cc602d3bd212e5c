"""Calls between services, noted one by one: what is really asked of each hop.

Switched on by the rules of failpoints (`note_calls`), so that an experiment can count attempts. It
stands below the circuit breaker: a call that fails fast was not made.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from common.contratos import Operacao
from common.faults.failpoints import Failpoints
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.portas import Call


class MadeCall(Struct, frozen=True):
    """A line of the calls file: a call that was really made, `trial` through an open breaker."""

    to: str
    operation: str
    order_id: int
    trial: bool
    instant: float


def calls_path(path: Path) -> Path:
    """Where the calls between services are noted."""
    return path.with_name(f"{path.name}.calls")


def read_calls(path: Path) -> list[MadeCall]:
    """Every call noted so far beside the rules file `path`."""
    try:
        lines = calls_path(path).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [msgspec.json.decode(line, type=MadeCall) for line in lines]


def logged_call(call: Call, servico: str, failpoints: Failpoints) -> Call:
    """A way to another service that writes every call down while the rules want that."""
    file = calls_path(failpoints.path)

    async def logged(operacao: Operacao, ctx: Contexto, req: Any) -> Any:
        if failpoints.wants_calls():
            order = getattr(req, "pedido_id", 0)
            made = MadeCall(servico, operacao.nome, order, ctx.sondagem, time.time())
            failpoints.note(file, made)
        return await call(operacao, ctx, req)

    return logged
