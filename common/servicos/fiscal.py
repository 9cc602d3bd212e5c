"""Fiscal: issues the invoice, with a number that leaves no hole and a 44-digit access key."""

from __future__ import annotations

from datetime import date
from typing import ClassVar, NamedTuple

from common import contratos as c
from common.servicos.protocolo.chave_acesso import montar_chave
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
from common.servicos.protocolo.tabelas import Facts, Look, Read, Table
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


class Nota(NamedTuple):
    """An invoice."""

    pedido_id: int
    numero: str
    sequencia: int | None
    data_emissao: str
    chave_acesso: str
    valor_centavos: int
    status: str


class Numeracao(NamedTuple):
    """The counter of invoice numbers: one row, with id 1."""

    id: int
    ultimo: int


NOTAS: Table[int, Nota] = Table("notas_fiscais", Nota, "pedido_id", changes=("status",))
NUMERACAO: Table[int, Numeracao] = Table("numeracao", Numeracao, "id", changes=("ultimo",))


def chave_da_nota(pedido_id: int, sequencia: int, instante: str) -> str:
    """The access key of an order's invoice, the `sequencia`-th, issued at `instante` (ISO 8601).

    Raises ValueError when a value does not fit the key's digits.
    """
    # The eight free digits: spread by a prime, so that they do not just repeat the number.
    codigo = (pedido_id * 48_271 + 11) % 100_000_000
    return montar_chave(
        emitida_em=date.fromisoformat(instante[:10]), numero=sequencia, codigo=codigo
    )


class PassoFiscal(Passo[c.EmitirNotaFiscalRequest]):
    """Issue the invoice, with the next number."""

    TRANSICOES: ClassVar[Transicoes] = TRANSICOES
    DESFAZER: ClassVar[str] = "cancelar"

    def fatos(self, req: c.EmitirNotaFiscalRequest) -> tuple[Read, ...]:
        """See Passo."""
        return NOTAS.of(req.pedido_id), NUMERACAO.of(1)

    def documentos(self, pedido_id: int) -> tuple[Read, ...]:
        """See Passo."""
        return (NOTAS.of(pedido_id),)

    def aplicar(
        self, fatos: Facts, req: c.EmitirNotaFiscalRequest, preparo: None, instante: str
    ) -> Feito:
        """See Passo."""
        sequencia = existente(fatos.get(NUMERACAO, 1)).ultimo + 1
        fatos.change(NUMERACAO, Numeracao(1, sequencia))
        numero = f"NF{sequencia:09d}"
        chave = chave_da_nota(req.pedido_id, sequencia, instante)
        valor = req.valor_total_centavos
        nota = Nota(req.pedido_id, numero, sequencia, instante, chave, valor, "emitida")
        fatos.insert(NOTAS, nota)
        return Feito("emitir", _partes(nota))

    def desfazer(self, fatos: Facts, pedido_id: int, instante: str) -> None:
        """See Passo. A cancelled invoice keeps its number."""
        nota = existente(fatos.get(NOTAS, pedido_id))
        fatos.change(NOTAS, nota._replace(status="cancelada"))

    def partes(self, fatos: Look, pedido_id: int, estado: str) -> Partes:
        """See Passo."""
        return {} if estado == TOMBSTONE else _partes(existente(fatos.get(NOTAS, pedido_id)))

    def proxima(self, req: c.EmitirNotaFiscalRequest, partes: Partes) -> c.AgendarEnvioRequest:
        """See Passo."""
        return c.AgendarEnvioRequest(req.pedido_id, req.cliente_id, partes["nota_fiscal"])


class Fiscal:
    """The fourth service of the chain."""

    def __init__(
        self, database: Database, continuation: Continuation[c.EmitirNotaFiscalRequest]
    ) -> None:
        self._database = database
        self._continuation = continuation

    async def emitir_nota_fiscal(
        self, ctx: Contexto, req: c.EmitirNotaFiscalRequest
    ) -> c.AndamentoResponse:
        """Issue the invoice, then have the parcel booked."""
        return await self._continuation.advance(ctx, req)

    async def cancelar_nota_fiscal(
        self, ctx: Contexto, req: c.CancelarPassoRequest
    ) -> c.AndamentoResponse:
        """Cancel the invoice behind a tombstone; it keeps its number."""
        return await self._continuation.cancel(ctx, req)

    async def consultar_nota_fiscal(
        self, ctx: Contexto, req: c.ConsultarPassoRequest
    ) -> c.NotaFiscalResponse:
        """What is stored of an order's invoice."""
        reads = PASSOS.of(req.pedido_id), NOTAS.of(req.pedido_id)
        return await self._database.read(ctx, reads, _consultar, req.pedido_id)


def _partes(nota: Nota) -> Partes:
    return {"nota_fiscal": c.ResumoNotaFiscal(nota.numero, nota.chave_acesso)}


def _consultar(fatos: Look, pedido_id: int) -> c.NotaFiscalResponse:
    passo = consultar_passo(fatos, pedido_id)
    nota = fatos.get(NOTAS, pedido_id)
    if nota is None:
        return c.NotaFiscalResponse(pedido_id, passo.estado, passo.motivo, None, None, None, None)
    return c.NotaFiscalResponse(
        pedido_id, nota.status, passo.motivo, nota.numero, nota.chave_acesso,
        nota.valor_centavos, nota.data_emissao,
    )  # fmt: skip
