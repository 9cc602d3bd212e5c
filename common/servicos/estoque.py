"""Estoque: takes all items of an order or none, and keeps the ledger of every movement."""

from __future__ import annotations

import sqlite3
from typing import Any, ClassVar

from common import contratos as c
from common.erros import nao_encontrado
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.elo import ESQUEMA_PASSOS, TOMBSTONE, Elo, Passo
from common.servicos.protocolo.portas import Clock, Database, ProximoFiscal
from common.servicos.protocolo.sql import Importada, inserir
from common.servicos.protocolo.transicoes import AUSENTE, Transicoes

TRANSICOES: Transicoes = {
    (AUSENTE, "separar"): "separado",
    (AUSENTE, "recusar"): "insuficiente",
    (AUSENTE, "anular"): TOMBSTONE,
    ("separado", "devolver"): "devolvido",
}

# `produtos` keeps the shop's column; `movimentos` is its ledger, signed, the opening stock first,
# so that the sum of a product's movements is its available quantity at every moment.
ESQUEMA = (
    ESQUEMA_PASSOS
    + """
CREATE TABLE produtos (
    id INTEGER PRIMARY KEY,
    quantidade_estoque INTEGER NOT NULL CHECK (quantidade_estoque >= 0)
);
CREATE TABLE movimentos (
    id INTEGER PRIMARY KEY,
    produto_id INTEGER NOT NULL REFERENCES produtos (id),
    pedido_id INTEGER,
    tipo TEXT NOT NULL CHECK (tipo IN ('abertura', 'separacao', 'devolucao')),
    quantidade INTEGER NOT NULL,
    instante TEXT NOT NULL
);
CREATE INDEX movimentos_por_pedido ON movimentos (pedido_id) WHERE pedido_id IS NOT NULL;
"""
)

# :estoque overrides the shop's own quantities when it is not null.
IMPORTACAO = """
INSERT INTO produtos (id, quantidade_estoque)
SELECT id, COALESCE(:estoque, quantidade_estoque) FROM loja.produtos ORDER BY id;
INSERT INTO movimentos (produto_id, tipo, quantidade, instante)
SELECT id, 'abertura', quantidade_estoque, :instante FROM produtos ORDER BY id;
"""
IMPORTADO = (
    Importada("produtos", ("id",)),
    Importada(
        "movimentos", ("id", "produto_id", "pedido_id", "quantidade", "instante"),
        "tipo = 'abertura'",
    ),
)  # fmt: skip

_BAIXAR = """
UPDATE produtos SET quantidade_estoque = quantidade_estoque - ?
WHERE id = ? AND quantidade_estoque >= ?
"""
_REPOR = "UPDATE produtos SET quantidade_estoque = quantidade_estoque + ? WHERE id = ?"
_MOVIMENTAR = "movimentos (produto_id, pedido_id, tipo, quantidade, instante)"
_SEPARADOS = """
SELECT produto_id, -quantidade FROM movimentos
WHERE pedido_id = ? AND tipo = 'separacao' ORDER BY id
"""


class Estoque(Elo[c.SepararEstoqueRequest]):
    """The third service of the chain."""

    TRANSICOES: ClassVar[Transicoes] = TRANSICOES
    DESFAZER: ClassVar[str] = "devolver"

    def __init__(self, database: Database, clock: Clock, fiscal: ProximoFiscal) -> None:
        super().__init__(database, clock)
        self._fiscal = fiscal

    async def separar_estoque(
        self, ctx: Contexto, req: c.SepararEstoqueRequest
    ) -> c.AndamentoResponse:
        """Take the items, then have the order invoiced."""
        c.validar_itens(req.itens)
        return await self.avancar(ctx, req)

    async def cancelar_separacao(
        self, ctx: Contexto, req: c.CancelarPassoRequest
    ) -> c.AndamentoResponse:
        """Give the items back behind a tombstone."""
        return await self.cancelar(ctx, req)

    async def consultar_separacao(
        self, ctx: Contexto, req: c.ConsultarPassoRequest
    ) -> c.SeparacaoResponse:
        """What is stored of an order's picking."""
        return await self._database.read(ctx, self._consultar, req.pedido_id)

    async def consultar_estoque(
        self, ctx: Contexto, req: c.ConsultarEstoqueRequest
    ) -> c.SaldoEstoque:
        """Available units of one product."""
        return await self._database.read(ctx, _saldo, req.produto_id)

    async def listar_estoque(
        self, ctx: Contexto, req: c.ListarEstoqueRequest
    ) -> c.ListaEstoqueResponse:
        """Available units of every product."""
        return await self._database.read(ctx, _saldos)

    def _fazer(
        self, con: sqlite3.Connection, req: c.SepararEstoqueRequest, preparo: None, instante: str
    ) -> tuple[str, str | None, dict[str, Any]]:
        for posicao, item in enumerate(req.itens):
            baixa = (item.quantidade, item.produto_id, item.quantidade)
            if con.execute(_BAIXAR, baixa).rowcount == 0:
                for tomado in req.itens[:posicao]:
                    con.execute(_REPOR, (tomado.quantidade, tomado.produto_id))
                partes = {"separacao": c.ResumoSeparacao("insuficiente")}
                return "recusar", "estoque_insuficiente", partes
        inserir(
            con,
            _MOVIMENTAR,
            [
                (item.produto_id, req.pedido_id, "separacao", -item.quantidade, instante)
                for item in req.itens
            ],
        )
        return "separar", None, {"separacao": c.ResumoSeparacao("separado")}

    def _desfazer(self, con: sqlite3.Connection, pedido_id: int, instante: str) -> None:
        separados = con.execute(_SEPARADOS, (pedido_id,)).fetchall()
        for produto_id, quantidade in separados:
            con.execute(_REPOR, (quantidade, produto_id))
        inserir(
            con,
            _MOVIMENTAR,
            [
                (produto_id, pedido_id, "devolucao", quantidade, instante)
                for produto_id, quantidade in separados
            ],
        )

    def _ler_partes(self, con: sqlite3.Connection, pedido_id: int) -> dict[str, Any]:
        estado, _ = self._consultar_passo(con, pedido_id)
        return {} if estado == TOMBSTONE else {"separacao": c.ResumoSeparacao(estado)}

    async def _seguir(
        self, ctx: Contexto, req: c.SepararEstoqueRequest, passo: Passo
    ) -> c.AndamentoResponse:
        return await self._fiscal.emitir_nota_fiscal(
            ctx, c.EmitirNotaFiscalRequest(req.pedido_id, req.cliente_id, req.valor_total_centavos)
        )

    async def _seguir_cancelando(
        self, ctx: Contexto, req: c.CancelarPassoRequest
    ) -> c.AndamentoResponse:
        return await self._fiscal.cancelar_nota_fiscal(ctx, req)

    def _consultar(self, con: sqlite3.Connection, pedido_id: int) -> c.SeparacaoResponse:
        estado, motivo = self._consultar_passo(con, pedido_id)
        linhas = con.execute(_SEPARADOS, (pedido_id,)).fetchall()
        itens = tuple(c.ItemPedido(produto, quantidade) for produto, quantidade in linhas)
        return c.SeparacaoResponse(pedido_id, estado, motivo, itens)


def _saldo(con: sqlite3.Connection, produto_id: int) -> c.SaldoEstoque:
    linha = con.execute(
        "SELECT quantidade_estoque FROM produtos WHERE id = ?", (produto_id,)
    ).fetchone()
    if linha is None:
        raise nao_encontrado(f"o produto {produto_id} não existe")
    return c.SaldoEstoque(produto_id, linha[0])


def _saldos(con: sqlite3.Connection) -> c.ListaEstoqueResponse:
    linhas = con.execute("SELECT id, quantidade_estoque FROM produtos ORDER BY id")
    return c.ListaEstoqueResponse(tuple(c.SaldoEstoque(*linha) for linha in linhas))
