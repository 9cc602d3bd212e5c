"""Catalogo: owns names and prices, and asks Estoque for quantities."""

from __future__ import annotations

import sqlite3
from typing import Final

from common import contratos as c
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.memoria import Memoria
from common.servicos.protocolo.portas import Clock, Database, Saldos, Tasks
from common.servicos.protocolo.sql import Importada

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


class Catalogo:
    """The shop's window; not a step of the chain."""

    def __init__(self, database: Database, clock: Clock, tasks: Tasks, estoque: Saldos) -> None:
        self._database = database
        self._estoque = estoque
        self._saldos = Memoria(self._buscar_saldos, clock, tasks)

    async def listar_produtos(
        self, ctx: Contexto, req: c.ListarProdutosRequest
    ) -> c.ListaProdutosResponse:
        """Every product with its stock. Raises ErroServico (unavailable) without Estoque."""
        saldos = await self._saldos.obter(ctx, IDADE_SALDOS_MAX_S)
        produtos = await self._database.read(ctx, _produtos)
        return c.ListaProdutosResponse(
            tuple(
                c.ProdutoInfo(produto_id, nome, saldos.get(produto_id, 0), preco)
                for produto_id, nome, preco in produtos
            )
        )

    async def consultar_precos(
        self, ctx: Contexto, req: c.ConsultarPrecosRequest
    ) -> c.ListaPrecosResponse:
        """Every price."""
        produtos = await self._database.read(ctx, _produtos)
        return c.ListaPrecosResponse(
            tuple(c.PrecoProduto(produto_id, preco) for produto_id, _, preco in produtos)
        )

    async def _buscar_saldos(self, ctx: Contexto) -> dict[int, int]:
        lista = await self._estoque.listar_estoque(ctx, c.ListarEstoqueRequest())
        return {saldo.produto_id: saldo.quantidade for saldo in lista.saldos}


def _produtos(con: sqlite3.Connection) -> list[tuple[int, str, int]]:
    return con.execute("SELECT id, nome, preco_centavos FROM produtos ORDER BY id").fetchall()
