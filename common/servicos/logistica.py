"""Logistica: books the shipment. Its row is the pivot of the chain and the sole arbiter."""

from __future__ import annotations

import sqlite3
from typing import Any, ClassVar

from common import contratos as c
from common.erros import invalido
from common.servicos.protocolo.chave_acesso import chave_valida
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.elo import (
    ESQUEMA_PASSOS,
    PASSOS_IMPORTADOS,
    TOMBSTONE,
    Passo,
    Passos,
)
from common.servicos.protocolo.sql import Importada
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

_PROXIMO_CODIGO = "UPDATE rastreamento SET ultimo = ultimo + 1 RETURNING ultimo"
_INSERIR = """
INSERT INTO envios (pedido_id, numero_nota, data_despacho, codigo_rastreamento, status)
VALUES (?, ?, ?, ?, 'enviado') ON CONFLICT (codigo_rastreamento) DO NOTHING
"""
_LER = """
SELECT codigo_rastreamento, status, numero_nota, data_despacho FROM envios WHERE pedido_id = ?
"""


def _responder(pedido_id: int, passo: Passo) -> c.AndamentoResponse:
    """A tombstone refuses; the row of a shipment is the yes that everything waits for."""
    status: c.Desfecho = "cancelado" if passo.estado == TOMBSTONE else "enviado"
    return c.AndamentoResponse(pedido_id, status, passo.motivo, **passo.partes)


class Logistica(Passos[c.AgendarEnvioRequest]):
    """The last service of the chain."""

    TRANSICOES: ClassVar[Transicoes] = TRANSICOES

    async def agendar_envio(self, ctx: Contexto, req: c.AgendarEnvioRequest) -> c.AndamentoResponse:
        """Book the shipment; after this row nothing can cancel the order."""
        if not chave_valida(req.nota_fiscal.chave_acesso):
            raise invalido("nota_fiscal.chave_acesso", "não tem 44 dígitos com verificador correto")
        passo = await self.executar(ctx, req)
        if self.falhas is not None:
            await self.falhas.em("P5", req.pedido_id)
        return _responder(req.pedido_id, passo)

    async def cancelar_envio(
        self, ctx: Contexto, req: c.CancelarPassoRequest
    ) -> c.AndamentoResponse:
        """Fence the order with a tombstone, or say that it was already sent."""
        if self.falhas is not None:
            await self.falhas.em("P4", req.pedido_id)
        passo = await self._database.unit(ctx, self._cercar, req.pedido_id, req.motivo)
        if self.falhas is not None:
            await self.falhas.em("P5", req.pedido_id)
        return _responder(req.pedido_id, passo)

    async def consultar_envio(self, ctx: Contexto, req: c.ConsultarPassoRequest) -> c.EnvioResponse:
        """What is stored of an order's shipment."""
        return await self._database.read(ctx, self._consultar, req.pedido_id)

    def _fazer(
        self, con: sqlite3.Connection, req: c.AgendarEnvioRequest, preparo: None, instante: str
    ) -> tuple[str, None, dict[str, Any]]:
        while True:
            (numero,) = con.execute(_PROXIMO_CODIGO).fetchone()
            codigo = f"BR{numero:09d}PY"
            linha = (req.pedido_id, req.nota_fiscal.numero, instante, codigo)
            # An imported parcel may already have drawn this number: take the next one.
            if con.execute(_INSERIR, linha).rowcount == 1:
                return "agendar", None, {"envio": c.ResumoEnvio(codigo, "enviado")}

    def _ler_partes(self, con: sqlite3.Connection, pedido_id: int) -> dict[str, Any]:
        linha = con.execute(_LER, (pedido_id,)).fetchone()
        return {} if linha is None else {"envio": c.ResumoEnvio(linha[0], linha[1])}

    def _consultar(self, con: sqlite3.Connection, pedido_id: int) -> c.EnvioResponse:
        estado, motivo = self._consultar_passo(con, pedido_id)
        linha = con.execute(_LER, (pedido_id,)).fetchone()
        codigo, status, numero_nota, despacho = linha or (None, estado, None, None)
        return c.EnvioResponse(pedido_id, status, motivo, codigo, numero_nota, despacho)
