"""Fiscal: issues the invoice, with a number that leaves no hole and a 44-digit access key."""

from __future__ import annotations

import sqlite3
from datetime import date
from typing import Any, ClassVar

from common import contratos as c
from common.servicos.protocolo.chave_acesso import montar_chave
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.elo import ESQUEMA_PASSOS, PASSOS_IMPORTADOS, TOMBSTONE, Elo, Passo
from common.servicos.protocolo.portas import Clock, Database, ProximoLogistica
from common.servicos.protocolo.sql import Importada
from common.servicos.protocolo.transicoes import AUSENTE, Transicoes

TRANSICOES: Transicoes = {
    (AUSENTE, "emitir"): "emitida",
    (AUSENTE, "anular"): TOMBSTONE,
    ("emitida", "cancelar"): "cancelada",
}

# `sequencia` counts 1..N without a hole, and `numero` is made of it; imported invoices stand apart
# and have none.
ESQUEMA = (
    ESQUEMA_PASSOS
    + """
CREATE TABLE notas_fiscais (
    id INTEGER PRIMARY KEY,
    pedido_id INTEGER NOT NULL UNIQUE,
    numero TEXT NOT NULL,
    sequencia INTEGER,
    data_emissao TEXT NOT NULL,
    chave_acesso TEXT,
    valor_centavos INTEGER NOT NULL,
    status TEXT NOT NULL,
    origem TEXT NOT NULL DEFAULT 'loja',
    UNIQUE (origem, numero)
);
CREATE TABLE numeracao (id INTEGER PRIMARY KEY CHECK (id = 1), ultimo INTEGER NOT NULL);
INSERT INTO numeracao VALUES (1, 0);
"""
)

IMPORTACAO = """
INSERT INTO notas_fiscais
    (pedido_id, numero, data_emissao, chave_acesso, valor_centavos, status, origem)
SELECT n.pedido_id, n.numero, n.data_emissao, n.chave_acesso,
       CAST(ROUND(COALESCE(p.valor_total, 0) * 100) AS INTEGER), 'emitida', 'importado'
FROM loja.notas_fiscais n JOIN loja.pedidos p ON p.id = n.pedido_id ORDER BY n.id;
INSERT INTO passos (pedido_id, estado) SELECT pedido_id, 'importado' FROM notas_fiscais;
"""
IMPORTADO = (
    Importada(
        "notas_fiscais",
        (
            "id", "pedido_id", "numero", "sequencia", "data_emissao", "chave_acesso",
            "valor_centavos", "status", "origem",
        ),
        "origem <> 'loja'",
    ),
    PASSOS_IMPORTADOS,
)  # fmt: skip

_NUMERAR = "UPDATE numeracao SET ultimo = ultimo + 1 RETURNING ultimo"
_INSERIR = """
INSERT INTO notas_fiscais
    (pedido_id, numero, sequencia, data_emissao, chave_acesso, valor_centavos, status)
VALUES (?, ?, ?, ?, ?, ?, 'emitida')
"""
_CANCELAR = "UPDATE notas_fiscais SET status = 'cancelada' WHERE pedido_id = ?"
_LER = """
SELECT numero, chave_acesso, valor_centavos, data_emissao, status
FROM notas_fiscais WHERE pedido_id = ?
"""


def chave_da_nota(pedido_id: int, sequencia: int, instante: str) -> str:
    """The access key of an order's invoice, the `sequencia`-th, issued at `instante` (ISO 8601).

    Raises ValueError when a value does not fit the key's digits.
    """
    # The eight free digits: spread by a prime, so that they do not just repeat the number.
    codigo = (pedido_id * 48_271 + 11) % 100_000_000
    return montar_chave(
        emitida_em=date.fromisoformat(instante[:10]), numero=sequencia, codigo=codigo
    )


class Fiscal(Elo[c.EmitirNotaFiscalRequest]):
    """The fourth service of the chain."""

    TRANSICOES: ClassVar[Transicoes] = TRANSICOES
    DESFAZER: ClassVar[str] = "cancelar"

    def __init__(self, database: Database, clock: Clock, logistica: ProximoLogistica) -> None:
        super().__init__(database, clock)
        self._logistica = logistica

    async def emitir_nota_fiscal(
        self, ctx: Contexto, req: c.EmitirNotaFiscalRequest
    ) -> c.AndamentoResponse:
        """Issue the invoice, then have the parcel booked."""
        return await self.avancar(ctx, req)

    async def cancelar_nota_fiscal(
        self, ctx: Contexto, req: c.CancelarPassoRequest
    ) -> c.AndamentoResponse:
        """Cancel the invoice behind a tombstone; it keeps its number."""
        return await self.cancelar(ctx, req)

    async def consultar_nota_fiscal(
        self, ctx: Contexto, req: c.ConsultarPassoRequest
    ) -> c.NotaFiscalResponse:
        """What is stored of an order's invoice."""
        return await self._database.read(ctx, self._consultar, req.pedido_id)

    def _fazer(
        self, con: sqlite3.Connection, req: c.EmitirNotaFiscalRequest, preparo: None, instante: str
    ) -> tuple[str, None, dict[str, Any]]:
        (sequencia,) = con.execute(_NUMERAR).fetchone()
        numero = f"NF{sequencia:09d}"
        chave = chave_da_nota(req.pedido_id, sequencia, instante)
        con.execute(
            _INSERIR,
            (req.pedido_id, numero, sequencia, instante, chave, req.valor_total_centavos),
        )
        return "emitir", None, {"nota_fiscal": c.ResumoNotaFiscal(numero, chave)}

    def _desfazer(self, con: sqlite3.Connection, pedido_id: int, instante: str) -> None:
        con.execute(_CANCELAR, (pedido_id,))

    def _ler_partes(self, con: sqlite3.Connection, pedido_id: int) -> dict[str, Any]:
        linha = con.execute(_LER, (pedido_id,)).fetchone()
        return {} if linha is None else {"nota_fiscal": c.ResumoNotaFiscal(linha[0], linha[1])}

    async def _seguir(
        self, ctx: Contexto, req: c.EmitirNotaFiscalRequest, passo: Passo
    ) -> c.AndamentoResponse:
        nota: c.ResumoNotaFiscal = passo.partes["nota_fiscal"]
        return await self._logistica.agendar_envio(
            ctx, c.AgendarEnvioRequest(req.pedido_id, req.cliente_id, nota)
        )

    async def _seguir_cancelando(
        self, ctx: Contexto, req: c.CancelarPassoRequest
    ) -> c.AndamentoResponse:
        return await self._logistica.cancelar_envio(ctx, req)

    def _consultar(self, con: sqlite3.Connection, pedido_id: int) -> c.NotaFiscalResponse:
        estado, motivo = self._consultar_passo(con, pedido_id)
        linha = con.execute(_LER, (pedido_id,)).fetchone()
        numero, chave, valor, emissao, status = linha or (None, None, None, None, estado)
        return c.NotaFiscalResponse(pedido_id, status, motivo, numero, chave, valor, emissao)
