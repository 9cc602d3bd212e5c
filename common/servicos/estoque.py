"""Estoque: takes all items of an order or none, and keeps the ledger of every movement."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from common import contratos as c
from common.erros import nao_encontrado
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.continuation import Continuation
from common.servicos.protocolo.passo import (
    ESQUEMA_PASSOS,
    PASSOS,
    TOMBSTONE,
    Feito,
    Partes,
    Passo,
    Recusado,
    consultar_passo,
    existente,
)
from common.servicos.protocolo.portas import Database
from common.servicos.protocolo.sql import Importada
from common.servicos.protocolo.tabelas import Facts, Ledger, Look, Query, Read, Table
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


class Produto(NamedTuple):
    """A product's available units."""

    id: int
    quantidade_estoque: int


class Movimento(NamedTuple):
    """One entry of the ledger, signed."""

    produto_id: int
    pedido_id: int | None
    tipo: str
    quantidade: int
    instante: str


PRODUTOS: Table[int, Produto] = Table("produtos", Produto, "id", changes=("quantidade_estoque",))
MOVIMENTOS: Ledger[int, Movimento] = Ledger("movimentos", Movimento, "pedido_id")
SALDOS: Query[Produto] = Query("SELECT id, quantidade_estoque FROM produtos ORDER BY id", Produto)


class PassoEstoque(Passo[c.SepararEstoqueRequest]):
    """Take all items of an order, or none."""

    TRANSICOES: ClassVar[Transicoes] = TRANSICOES
    DESFAZER: ClassVar[str] = "devolver"

    def fatos(self, req: c.SepararEstoqueRequest) -> tuple[Read, ...]:
        """See Passo."""
        return tuple([PRODUTOS.of(item.produto_id) for item in req.itens])

    def documentos(self, pedido_id: int) -> tuple[Read, ...]:
        """See Passo. The order's movements say which products."""
        return (MOVIMENTOS.then(pedido_id, PRODUTOS, "produto_id"),)

    def aplicar(
        self, fatos: Facts, req: c.SepararEstoqueRequest, preparo: None, instante: str
    ) -> Feito | Recusado:
        """See Passo."""
        baixas = []
        for item in req.itens:
            produto = fatos.get(PRODUTOS, item.produto_id)
            if produto is None or produto.quantidade_estoque < item.quantidade:
                return Recusado("recusar", "estoque_insuficiente", _partes("insuficiente"))
            baixas.append(Produto(produto.id, produto.quantidade_estoque - item.quantidade))
        for produto in baixas:
            fatos.change(PRODUTOS, produto)
        movimentos = [
            Movimento(item.produto_id, req.pedido_id, "separacao", -item.quantidade, instante)
            for item in req.itens
        ]
        fatos.insert(MOVIMENTOS, *movimentos)
        return Feito("separar", _partes("separado"))

    def desfazer(self, fatos: Facts, pedido_id: int, instante: str) -> None:
        """See Passo."""
        for tomado in _separados(fatos, pedido_id):
            produto = existente(fatos.get(PRODUTOS, tomado.produto_id))
            quantidade = -tomado.quantidade
            fatos.change(PRODUTOS, Produto(produto.id, produto.quantidade_estoque + quantidade))
            fatos.insert(
                MOVIMENTOS,
                tomado._replace(tipo="devolucao", quantidade=quantidade, instante=instante),
            )

    def partes(self, fatos: Look, pedido_id: int, estado: str) -> Partes:
        """See Passo."""
        return {} if estado == TOMBSTONE else _partes(estado)

    def proxima(self, req: c.SepararEstoqueRequest, partes: Partes) -> c.EmitirNotaFiscalRequest:
        """See Passo."""
        return c.EmitirNotaFiscalRequest(req.pedido_id, req.cliente_id, req.valor_total_centavos)


class Estoque:
    """The third service of the chain."""

    def __init__(
        self, database: Database, continuation: Continuation[c.SepararEstoqueRequest]
    ) -> None:
        self._database = database
        self._continuation = continuation

    async def separar_estoque(
        self, ctx: Contexto, req: c.SepararEstoqueRequest
    ) -> c.AndamentoResponse:
        """Take the items, then have the order invoiced."""
        c.validar_itens(req.itens)
        return await self._continuation.advance(ctx, req)

    async def cancelar_separacao(
        self, ctx: Contexto, req: c.CancelarPassoRequest
    ) -> c.AndamentoResponse:
        """Give the items back behind a tombstone."""
        return await self._continuation.cancel(ctx, req)

    async def consultar_separacao(
        self, ctx: Contexto, req: c.ConsultarPassoRequest
    ) -> c.SeparacaoResponse:
        """What is stored of an order's picking."""
        reads = PASSOS.of(req.pedido_id), MOVIMENTOS.of(req.pedido_id)
        return await self._database.read(ctx, reads, _consultar, req.pedido_id)

    async def consultar_estoque(
        self, ctx: Contexto, req: c.ConsultarEstoqueRequest
    ) -> c.SaldoEstoque:
        """Available units of one product."""
        reads = (PRODUTOS.of(req.produto_id),)
        return await self._database.read(ctx, reads, _saldo, req.produto_id)

    async def listar_estoque(
        self, ctx: Contexto, req: c.ListarEstoqueRequest
    ) -> c.ListaEstoqueResponse:
        """Available units of every product."""
        produtos = await self._database.select(ctx, SALDOS)
        return c.ListaEstoqueResponse(tuple([c.SaldoEstoque(*produto) for produto in produtos]))


def _partes(estado: str) -> Partes:
    return {"separacao": c.ResumoSeparacao(estado)}


def _separados(fatos: Look, pedido_id: int) -> list[Movimento]:
    """What was taken for an order."""
    return [each for each in fatos.rows(MOVIMENTOS, pedido_id) if each.tipo == "separacao"]


def _consultar(fatos: Look, pedido_id: int) -> c.SeparacaoResponse:
    passo = consultar_passo(fatos, pedido_id)
    itens = [
        c.ItemPedido(tomado.produto_id, -tomado.quantidade)
        for tomado in _separados(fatos, pedido_id)
    ]
    return c.SeparacaoResponse(pedido_id, passo.estado, passo.motivo, tuple(itens))


def _saldo(fatos: Look, produto_id: int) -> c.SaldoEstoque:
    produto = fatos.get(PRODUTOS, produto_id)
    if produto is None:
        raise nao_encontrado(f"o produto {produto_id} não existe")
    return c.SaldoEstoque(*produto)
