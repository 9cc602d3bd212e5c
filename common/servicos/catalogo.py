"""Catalogo: owns names and prices, and asks Estoque for quantities."""

from __future__ import annotations

from typing import Final, NamedTuple

from common import contratos as c
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.memoria import Memoria
from common.servicos.protocolo.portas import Clock, Database, Tasks
from common.servicos.protocolo.sql import Importada
from common.servicos.protocolo.tabelas import Query
from common.servicos.protocolo.vizinhos import VizinhoEstoque

# Seconds. The contract's bound on how old a listed quantity may be.
IDADE_SALDOS_MAX_S: Final = 1.0

ESQUEMA = """
CREATE TABLE produtos (
    id INTEGER PRIMARY KEY,
    nome TEXT NOT NULL,
    preco_centavos INTEGER NOT NULL CHECK (preco_centavos > 0)
);
"""

IMPORTACAO = """
INSERT INTO produtos (id, nome, preco_centavos)
SELECT id, nome, CAST(ROUND(preco * 100) AS INTEGER) FROM loja.produtos ORDER BY id;
"""
IMPORTADO = (Importada("produtos", ("id", "nome", "preco_centavos")),)


class Produto(NamedTuple):
    """A product's name and price."""

    id: int
    nome: str
    preco_centavos: int


PRODUTOS: Query[Produto] = Query(
    "SELECT id, nome, preco_centavos FROM produtos ORDER BY id", Produto
)


class Catalogo:
    """The shop's window; not a step of the chain."""

    def __init__(
        self, database: Database, clock: Clock, tasks: Tasks, estoque: VizinhoEstoque
    ) -> None:
        self._database = database
        self._estoque = estoque
        self._saldos = Memoria(self._buscar_saldos, clock, tasks)

    async def listar_produtos(
        self, ctx: Contexto, req: c.ListarProdutosRequest
    ) -> c.ListaProdutosResponse:
        """Every product with its stock. Raises ErroServico (unavailable) without Estoque."""
        saldos = await self._saldos.obter(ctx, IDADE_SALDOS_MAX_S)
        produtos = await self._database.select(ctx, PRODUTOS)
        return c.ListaProdutosResponse(
            tuple(
                c.ProdutoInfo(
                    produto.id, produto.nome, saldos.get(produto.id, 0), produto.preco_centavos
                )
                for produto in produtos
            )
        )

    async def consultar_precos(
        self, ctx: Contexto, req: c.ConsultarPrecosRequest
    ) -> c.ListaPrecosResponse:
        """Every price."""
        produtos = await self._database.select(ctx, PRODUTOS)
        return c.ListaPrecosResponse(
            tuple(c.PrecoProduto(produto.id, produto.preco_centavos) for produto in produtos)
        )

    async def _buscar_saldos(self, ctx: Contexto) -> dict[int, int]:
        lista = await self._estoque.listar_estoque(ctx, c.ListarEstoqueRequest())
        return {saldo.produto_id: saldo.quantidade for saldo in lista.saldos}
