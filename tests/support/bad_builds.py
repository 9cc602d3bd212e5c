"""Builds of the services that are known to be bad: the auditor must report each, by name.

`deduplication off` is what a service without an arbiter does: a step that is asked again has its
effect again, with a fresh key at the gateway, and its tables have nothing unique that would stop
it. `tombstone off` cancels without leaving a tombstone, so a late forward step goes through.

A hook of the tests alone: inside a test `bad_build` patches the rooms of its own process;
`environment` has every process that is started with it patched by `bad_build_site/sitecustomize.py`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from common.servicos.protocolo.elo import TOMBSTONE, Passo, Passos

from common.servicos.pagamentos.pagamentos import Pagamentos, chave_gateway
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.transicoes import AUSENTE, transicionar
from common.storage.files import SALAS

DEDUPLICATION_OFF: Final = "deduplication off"
TOMBSTONE_OFF: Final = "tombstone off"

# Names the build for the processes that are started.
VARIABLE: Final = "KNOWN_BAD_BUILD"
_SITE: Final = Path(__file__).parent / "bad_build_site"

_ESTADO: Final = "SELECT estado, motivo FROM passos WHERE pedido_id = ?"
_LOG: Final = "INSERT INTO transicoes (pedido_id, de, para, instante) VALUES (?, ?, ?, ?)"

_registrar: Final = Passos._registrar
_cercar: Final = Passos._cercar
_preparar: Final = Pagamentos._preparar
_numeros: Final = count(2)


def _fazer_de_novo(self: Passos[Any], con: sqlite3.Connection, req: Any, preparo: Any) -> Passo:
    """The local effect, once for every time that it is asked for; what was refused stays so."""
    linha = con.execute(_ESTADO, (req.pedido_id,)).fetchone()
    if linha is None or linha[1] is not None:
        return _registrar(self, con, req, preparo)
    instante = self._clock.timestamp()
    evento, motivo, partes = self._fazer(con, req, preparo, instante)
    estado = transicionar(self.TRANSICOES, AUSENTE, evento)
    con.execute(_LOG, (req.pedido_id, AUSENTE, estado, instante))
    return Passo(estado, motivo, partes)


async def _cobrar_de_novo(self: Pagamentos, ctx: Contexto, req: Any) -> Any:
    """A charge under a fresh key for an order that has been charged already."""
    linha = await self._database.read(
        ctx, lambda con: con.execute(_ESTADO, (req.pedido_id,)).fetchone()
    )
    if linha is None or linha[1] is not None:
        return await _preparar(self, ctx, req)
    chave = f"{chave_gateway(req.pedido_id)}-{next(_numeros)}"
    return await self._gateway.cobrar(ctx, chave, req.valor_total_centavos)


def _sem_lapide(self: Passos[Any], con: sqlite3.Connection, pedido_id: int, motivo: Any) -> Passo:
    """The stored step; where there is none, nothing is written and the answer is the same."""
    if con.execute(_ESTADO, (pedido_id,)).fetchone() is None:
        return Passo(TOMBSTONE, motivo, {})
    return _cercar(self, con, pedido_id, motivo)


@contextmanager
def bad_build(name: str) -> Iterator[None]:
    """Make this process's services those of a bad build, or leave them good when it is empty."""
    with ExitStack() as stack:
        if name == DEDUPLICATION_OFF:
            stack.enter_context(patch.object(Passos, "_registrar", _fazer_de_novo))
            stack.enter_context(patch.object(Pagamentos, "_preparar", _cobrar_de_novo))
            unique = "pedido_id INTEGER NOT NULL UNIQUE"
            loose = {
                nome: sala._replace(
                    esquema=sala.esquema.replace(unique, unique.removesuffix(" UNIQUE"))
                )
                for nome, sala in SALAS.items()
            }
            stack.enter_context(patch.dict(SALAS, loose))
        elif name == TOMBSTONE_OFF:
            stack.enter_context(patch.object(Passos, "_cercar", _sem_lapide))
        elif name:
            raise LookupError(name)
        yield


def environment(name: str) -> dict[str, str]:
    """What a process must be started with to run a bad build, and so must its children."""
    paths = [str(_SITE), str(_SITE.parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths), VARIABLE: name}
