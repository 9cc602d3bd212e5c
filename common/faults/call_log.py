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

from common.contratos import operacoes_de
from common.faults.failpoints import Failpoints
from common.servicos.protocolo.contexto import Contexto


class Call(Struct, frozen=True):
    """A line of the calls file: a call that was really made, `trial` through an open breaker."""

    to: str
    operation: str
    order_id: int
    trial: bool
    instant: float


def calls_path(path: Path) -> Path:
    """Where the calls between services are noted."""
    return path.with_name(f"{path.name}.calls")


def read_calls(path: Path) -> list[Call]:
    """Every call noted so far beside the rules file `path`."""
    try:
        lines = calls_path(path).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [msgspec.json.decode(line, type=Call) for line in lines]


class NotedClient:
    """A client of another service; its methods are the operations of the client."""

    def __init__(self, client: Any, servico: str, failpoints: Failpoints) -> None:
        self._servico = servico
        self._failpoints = failpoints
        self._file = calls_path(failpoints.path)
        for operacao in operacoes_de(servico):
            setattr(self, operacao.nome, self._noted(operacao.nome, getattr(client, operacao.nome)))

    def _noted(self, nome: str, method: Any) -> Any:
        async def call(ctx: Contexto, req: Any) -> Any:
            if self._failpoints.wants_calls():
                order = getattr(req, "pedido_id", 0)
                made = Call(self._servico, nome, order, ctx.sondagem, time.time())
                self._failpoints.note(self._file, made)
            return await method(ctx, req)

        return call
