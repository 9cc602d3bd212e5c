"""Logistica: books the shipment. Its row is the pivot of the chain and the sole arbiter."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar, NamedTuple

from common import contratos as c
from common.erros import invalido
from common.servicos.protocolo.chave_acesso import chave_valida
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.continuation import Continuation
from common.servicos.protocolo.passo import (
    ESQUEMA_PASSOS,
    PASSOS,
    PASSOS_IMPORTADOS,
    TOMBSTONE,
    Feito,
    Partes,
    Passo,
    consultar_passo,
    existente,
)
from common.servicos.protocolo.portas import Database
from common.servicos.protocolo.sql import Importada
from common.servicos.protocolo.tabelas import Facts, Look, Query, Read, Table
from common.servicos.protocolo.transicoes import AUSENTE, Transicoes

TRANSICOES: Transicoes = {
    (AUSENTE, "agendar"): "enviado",
    (AUSENTE, "anular"): TOMBSTONE,
}

ESQUEMA = (
    ESQUEMA_PASSOS
    + """
CREATE TABLE envios (
    id INTEGER PRIMARY KEY,
    pedido_id INTEGER NOT NULL UNIQUE,
    numero_nota TEXT,
    data_despacho TEXT,
    codigo_rastreamento TEXT UNIQUE,
    status TEXT NOT NULL,
    origem TEXT NOT NULL DEFAULT 'loja'
);
CREATE TABLE rastreamento (id INTEGER PRIMARY KEY CHECK (id = 1), ultimo INTEGER NOT NULL);
INSERT INTO rastreamento VALUES (1, 0);
"""
)

IMPORTACAO = """
INSERT INTO envios (pedido_id, numero_nota, data_despacho, codigo_rastreamento, status, origem)
SELECT e.pedido_id, n.numero, e.data_despacho, e.codigo_rastreamento, e.status, 'importado'
FROM loja.envios e JOIN loja.pedidos p ON p.id = e.pedido_id
LEFT JOIN loja.notas_fiscais n ON n.id = e.nota_fiscal_id ORDER BY e.id;
INSERT INTO passos (pedido_id, estado) SELECT pedido_id, 'importado' FROM envios;
"""
IMPORTADO = (
    Importada(
        "envios",
        (
            "id", "pedido_id", "numero_nota", "data_despacho", "codigo_rastreamento", "status",
            "origem",
        ),
        "origem <> 'loja'",
    ),
    PASSOS_IMPORTADOS,
)  # fmt: skip


class Envio(NamedTuple):
    """A shipment."""

    pedido_id: int
    numero_nota: str | None
    data_despacho: str | None
    codigo_rastreamento: str
    status: str


class Rastreamento(NamedTuple):
    """The counter of tracking codes: one row, with id 1."""

    id: int
    ultimo: int


class Codigo(NamedTuple):
    """A tracking code that is taken."""

    codigo_rastreamento: str


ENVIOS: Table[int, Envio] = Table("envios", Envio, "pedido_id")
RASTREAMENTO: Table[int, Rastreamento] = Table(
    "rastreamento", Rastreamento, "id", changes=("ultimo",)
)
CODIGOS_IMPORTADOS: Query[Codigo] = Query(
    "SELECT codigo_rastreamento FROM envios "
    "WHERE origem <> 'loja' AND codigo_rastreamento IS NOT NULL",
    Codigo,
)


class PassoLogistica(Passo[c.AgendarEnvioRequest]):
    """Book the shipment: the pivot, after which nothing can cancel the order."""

    TRANSICOES: ClassVar[Transicoes] = TRANSICOES

    def __init__(self, importados: Collection[str] = ()) -> None:
        """`importados` are the tracking codes that imported parcels already have."""
        self._importados = frozenset(importados)

    def fatos(self, req: c.AgendarEnvioRequest) -> tuple[Read, ...]:
        """See Passo."""
        return ENVIOS.of(req.pedido_id), RASTREAMENTO.of(1)

    def documentos(self, pedido_id: int) -> tuple[Read, ...]:
        """See Passo."""
        return (ENVIOS.of(pedido_id),)

    def aplicar(
        self, fatos: Facts, req: c.AgendarEnvioRequest, preparo: None, instante: str
    ) -> Feito:
        """See Passo."""
        numero = existente(fatos.get(RASTREAMENTO, 1)).ultimo + 1
        while (codigo := f"BR{numero:09d}PY") in self._importados:
            numero += 1
        fatos.change(RASTREAMENTO, Rastreamento(1, numero))
        envio = Envio(req.pedido_id, req.nota_fiscal.numero, instante, codigo, "enviado")
        fatos.insert(ENVIOS, envio)
        return Feito("agendar", _partes(envio))

    def partes(self, fatos: Look, pedido_id: int, estado: str) -> Partes:
        """See Passo."""
        return {} if estado == TOMBSTONE else _partes(existente(fatos.get(ENVIOS, pedido_id)))

    def proxima(self, req: c.AgendarEnvioRequest, partes: Partes) -> None:
        """See Passo."""


class Logistica:
    """The last service of the chain."""

    def __init__(
        self, database: Database, continuation: Continuation[c.AgendarEnvioRequest]
    ) -> None:
        self._database = database
        self._continuation = continuation

    async def agendar_envio(self, ctx: Contexto, req: c.AgendarEnvioRequest) -> c.AndamentoResponse:
        """Book the shipment."""
        if not chave_valida(req.nota_fiscal.chave_acesso):
            raise invalido("nota_fiscal.chave_acesso", "não tem 44 dígitos com verificador correto")
        return await self._continuation.advance(ctx, req)

    async def cancelar_envio(
        self, ctx: Contexto, req: c.CancelarPassoRequest
    ) -> c.AndamentoResponse:
        """Fence the order with a tombstone, or say that it was already sent."""
        return await self._continuation.cancel(ctx, req)

    async def consultar_envio(self, ctx: Contexto, req: c.ConsultarPassoRequest) -> c.EnvioResponse:
        """What is stored of an order's shipment."""
        reads = PASSOS.of(req.pedido_id), ENVIOS.of(req.pedido_id)
        return await self._database.read(ctx, reads, _consultar, req.pedido_id)


def _partes(envio: Envio) -> Partes:
    return {"envio": c.ResumoEnvio(envio.codigo_rastreamento, envio.status)}


def _consultar(fatos: Look, pedido_id: int) -> c.EnvioResponse:
    passo = consultar_passo(fatos, pedido_id)
    envio = fatos.get(ENVIOS, pedido_id)
    if envio is None:
        return c.EnvioResponse(pedido_id, passo.estado, passo.motivo, None, None, None)
    return c.EnvioResponse(
        pedido_id, envio.status, passo.motivo, envio.codigo_rastreamento, envio.numero_nota,
        envio.data_despacho,
    )  # fmt: skip
