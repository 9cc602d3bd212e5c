"""Builds of the services that are known to be bad: the auditor must report each, by name.

`deduplication off` is what a service without an arbiter does: a step that is asked again has its
effect again, with a fresh key at the gateway, and its tables have nothing unique that would stop
it. `tombstone off` cancels without leaving a tombstone, so a late forward step goes through.

A hook of the tests alone: inside a test `bad_build` patches the rooms of its own process;
`environment` has every process that is started with it patched by `bad_build_site/sitecustomize.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from itertools import count
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from common.servicos.fiscal import NOTAS, Nota
from common.servicos.logistica import ENVIOS, Envio
from common.servicos.pagamentos.pagamentos import PAGAMENTOS, Cobranca, Pagamento, chave_gateway
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.passo import (
    PASSOS,
    TOMBSTONE,
    TRANSICOES,
    Arbitro,
    LinhaPasso,
    Recusado,
    Situacao,
    Transicao,
)
from common.servicos.protocolo.tabelas import Facts, Ledger, Look
from common.servicos.protocolo.transicoes import AUSENTE, transicionar
from common.storage.files import SALAS
from common.storage.sqlite import SQLiteEngine

DEDUPLICATION_OFF: Final = "deduplication off"
TOMBSTONE_OFF: Final = "tombstone off"

# Names the build for the processes that are started.
VARIABLE: Final = "KNOWN_BAD_BUILD"
_SITE: Final = Path(__file__).parent / "bad_build_site"

_registrar: Final = Arbitro.registrar
_cercar: Final = Arbitro.cercar
_preparar: Final = Cobranca.prepare
_write: Final = SQLiteEngine.write
_numeros: Final = count(2)

# The documents of orders as if an order could have several.
_LOOSE: Final[dict[Any, Any]] = {
    PAGAMENTOS: Ledger("pagamentos", Pagamento, "pedido_id"),
    NOTAS: Ledger("notas_fiscais", Nota, "pedido_id"),
    ENVIOS: Ledger("envios", Envio, "pedido_id"),
}


class _Loosely:
    """Facts that take a second document of an order."""

    def __init__(self, fatos: Facts) -> None:
        self._fatos = fatos

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fatos, name)

    def insert(self, source: Any, *rows: Any) -> None:
        """See Facts."""
        self._fatos.insert(_LOOSE.get(source, source), *rows)


@wraps(_registrar)
def _fazer_de_novo(self: Arbitro[Any], fatos: Facts, req: Any, preparo: Any) -> Situacao:
    """The local effect, once for every time that it is asked for; what was refused stays so."""
    linha = fatos.get(PASSOS, req.pedido_id)
    if linha is None or linha.motivo is not None:
        return _registrar(self, fatos, req, preparo)
    instante = self._clock.timestamp()
    loosely: Any = _Loosely(fatos)
    feito = self.passo.aplicar(loosely, req, preparo, instante)
    motivo = feito.motivo if isinstance(feito, Recusado) else None
    estado = transicionar(self.passo.TRANSICOES, AUSENTE, feito.evento)
    fatos.insert(TRANSICOES, Transicao(req.pedido_id, AUSENTE, estado, None, instante))
    return Situacao(estado, motivo, feito.partes)


async def _cobrar_de_novo(self: Cobranca, ctx: Contexto, req: Any) -> Any:
    """A charge under a fresh key for an order that has been charged already."""
    linha = await self._database.read(ctx, (PASSOS.of(req.pedido_id),), _passo, req.pedido_id)
    if linha is None or linha.motivo is not None:
        return await _preparar(self, ctx, req)
    chave = f"{chave_gateway(req.pedido_id)}-{next(_numeros)}"
    return await self._gateway.cobrar(ctx, chave, req.valor_total_centavos)


def _passo(fatos: Look, pedido_id: int) -> LinhaPasso | None:
    return fatos.get(PASSOS, pedido_id)


@wraps(_cercar)
def _sem_lapide(self: Arbitro[Any], fatos: Facts, pedido_id: int, motivo: Any) -> Situacao:
    """The stored step; where there is none, nothing is written and the answer is the same."""
    if fatos.get(PASSOS, pedido_id) is None:
        return Situacao(TOMBSTONE, motivo, {})
    return _cercar(self, fatos, pedido_id, motivo)


def _write_apart(self: SQLiteEngine, written: Any) -> None:
    """Write changed rows one by one: together they are found by a key that must be unique."""
    for source, added, changed in written:
        _write(self, [(source, added, [])])
        for row in changed:
            _write(self, [(source, [], [row])])


@contextmanager
def bad_build(name: str) -> Iterator[None]:
    """Make this process's services those of a bad build, or leave them good when it is empty."""
    with ExitStack() as stack:
        if name == DEDUPLICATION_OFF:
            stack.enter_context(patch.object(Arbitro, "registrar", _fazer_de_novo))
            stack.enter_context(patch.object(Cobranca, "prepare", _cobrar_de_novo))
            stack.enter_context(patch.object(SQLiteEngine, "write", _write_apart))
            unique = "pedido_id INTEGER NOT NULL UNIQUE"
            loose = {
                nome: sala._replace(
                    esquema=sala.esquema.replace(unique, unique.removesuffix(" UNIQUE"))
                )
                for nome, sala in SALAS.items()
            }
            stack.enter_context(patch.dict(SALAS, loose))
        elif name == TOMBSTONE_OFF:
            stack.enter_context(patch.object(Arbitro, "cercar", _sem_lapide))
        elif name:
            raise LookupError(name)
        yield


def environment(name: str) -> dict[str, str]:
    """What a process must be started with to run a bad build, and so must its children."""
    paths = [str(_SITE), str(_SITE.parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths), VARIABLE: name}
