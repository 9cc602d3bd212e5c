"""Pagamentos: has the gateway charge an order, once, and gives the money back when it must."""

from __future__ import annotations

import sqlite3
from typing import Any, ClassVar

from common import contratos as c
from common.erros import precondicao
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.elo import ESQUEMA_PASSOS, PASSOS_IMPORTADOS, TOMBSTONE, Elo, Passo
from common.servicos.protocolo.portas import Clock, Database, GatewayPagamento, ProximoEstoque
from common.servicos.protocolo.sql import Importada
from common.servicos.protocolo.transicoes import AUSENTE, Transicoes

TRANSICOES: Transicoes = {
    (AUSENTE, "aprovar"): "aprovado",
    (AUSENTE, "rejeitar"): "rejeitado",
    (AUSENTE, "anular"): TOMBSTONE,
    ("aprovado", "estornar"): "estornado",
}

ESQUEMA = (
    ESQUEMA_PASSOS
    + """
CREATE TABLE pagamentos (
    id INTEGER PRIMARY KEY,
    pedido_id INTEGER NOT NULL UNIQUE,
    data_processamento TEXT NOT NULL,
    status TEXT NOT NULL,
    metodo TEXT,
    valor_centavos INTEGER NOT NULL,
    origem TEXT NOT NULL DEFAULT 'loja'
);
"""
)

IMPORTACAO = """
INSERT INTO pagamentos (pedido_id, data_processamento, status, metodo, valor_centavos, origem)
SELECT g.pedido_id, g.data_processamento, g.status, g.metodo,
       CAST(ROUND(COALESCE(p.valor_total, 0) * 100) AS INTEGER), 'importado'
FROM loja.pagamentos g JOIN loja.pedidos p ON p.id = g.pedido_id ORDER BY g.id;
INSERT INTO passos (pedido_id, estado) SELECT pedido_id, 'importado' FROM pagamentos;
"""
IMPORTADO = (
    Importada(
        "pagamentos",
        (
            "id", "pedido_id", "data_processamento", "status", "metodo", "valor_centavos", "origem",
        ),
        "origem <> 'loja'",
    ),
    PASSOS_IMPORTADOS,
)  # fmt: skip

_INSERIR = """
INSERT INTO pagamentos (pedido_id, data_processamento, status, metodo, valor_centavos)
VALUES (?, ?, ?, ?, ?)
"""
_ESTORNAR = "UPDATE pagamentos SET status = 'estornado' WHERE pedido_id = ?"
_LER = """
SELECT status, metodo, valor_centavos, data_processamento FROM pagamentos WHERE pedido_id = ?
"""


def chave_gateway(pedido_id: int) -> str:
    """The idempotency key under which an order is charged: the order itself."""
    return f"pedido-{pedido_id}"


class Pagamentos(Elo[c.ProcessarPagamentoRequest]):
    """The second service of the chain."""

    TRANSICOES: ClassVar[Transicoes] = TRANSICOES
    DESFAZER: ClassVar[str] = "estornar"

    def __init__(
        self,
        database: Database,
        clock: Clock,
        gateway: GatewayPagamento,
        estoque: ProximoEstoque,
    ) -> None:
        super().__init__(database, clock)
        self._gateway = gateway
        self._estoque = estoque

    async def processar_pagamento(
        self, ctx: Contexto, req: c.ProcessarPagamentoRequest
    ) -> c.AndamentoResponse:
        """Have the order charged, then its stock taken."""
        c.validar_itens(req.itens)
        return await self.avancar(ctx, req)

    async def cancelar_pagamento(
        self, ctx: Contexto, req: c.CancelarPassoRequest
    ) -> c.AndamentoResponse:
        """Give the money back behind a tombstone."""
        return await self.cancelar(ctx, req)

    async def consultar_pagamento(
        self, ctx: Contexto, req: c.ConsultarPassoRequest
    ) -> c.PagamentoResponse:
        """What is stored of an order's payment."""
        return await self._database.read(ctx, self._consultar, req.pedido_id)

    async def _preparar(self, ctx: Contexto, req: c.ProcessarPagamentoRequest) -> Any:
        """What the gateway says, or None for an order that is recorded here already."""
        # An order found here keeps its verdict: the gateway is not asked again, nor waited for. On
        # a first attempt there is nothing to find, and if there were the gateway knows its key.
        if not ctx.primeira and await self._database.read(ctx, _conhecido, req.pedido_id):
            return None
        if self.falhas is not None:
            await self.falhas.em("gateway", req.pedido_id)
        ctx.conferir_presenca()
        return await self._gateway.cobrar(
            ctx, chave_gateway(req.pedido_id), req.valor_total_centavos
        )

    def _fazer(
        self,
        con: sqlite3.Connection,
        req: c.ProcessarPagamentoRequest,
        preparo: Any,
        instante: str,
    ) -> tuple[str, str | None, dict[str, Any]]:
        if preparo == "anulada":
            # Nobody denied this payment: there is nothing to record. To Pedidos that is unknown, and
            # the cancelling that voided the key will say what became of the order.
            raise precondicao(f"o pagamento do pedido {req.pedido_id} está sendo cancelado")
        aprovado = preparo == "capturada"
        evento, status = ("aprovar", "aprovado") if aprovado else ("rejeitar", "rejeitado")
        con.execute(
            _INSERIR,
            (req.pedido_id, instante, status, req.metodo_pagamento, req.valor_total_centavos),
        )
        partes = {"pagamento": c.ResumoPagamento(status, req.metodo_pagamento)}
        return evento, None if aprovado else "pagamento_rejeitado", partes

    async def _antes_de_desfazer(self, ctx: Contexto, pedido_id: int) -> None:
        if self.falhas is not None:
            await self.falhas.em("gateway", pedido_id)
        # Row or none: a charge whose row was never written is voided here too.
        await self._gateway.anular(ctx, chave_gateway(pedido_id))

    def _desfazer(self, con: sqlite3.Connection, pedido_id: int, instante: str) -> None:
        con.execute(_ESTORNAR, (pedido_id,))

    def _ler_partes(self, con: sqlite3.Connection, pedido_id: int) -> dict[str, Any]:
        linha = con.execute(_LER, (pedido_id,)).fetchone()
        return {} if linha is None else {"pagamento": c.ResumoPagamento(linha[0], linha[1] or "")}

    async def _seguir(
        self, ctx: Contexto, req: c.ProcessarPagamentoRequest, passo: Passo
    ) -> c.AndamentoResponse:
        return await self._estoque.separar_estoque(
            ctx,
            c.SepararEstoqueRequest(
                req.pedido_id, req.cliente_id, req.valor_total_centavos, req.itens
            ),
        )

    async def _seguir_cancelando(
        self, ctx: Contexto, req: c.CancelarPassoRequest
    ) -> c.AndamentoResponse:
        return await self._estoque.cancelar_separacao(ctx, req)

    def _consultar(self, con: sqlite3.Connection, pedido_id: int) -> c.PagamentoResponse:
        estado, motivo = self._consultar_passo(con, pedido_id)
        linha = con.execute(_LER, (pedido_id,)).fetchone()
        status, metodo, valor, data = linha or (estado, None, None, None)
        return c.PagamentoResponse(pedido_id, status, motivo, metodo, valor, data)


def _conhecido(con: sqlite3.Connection, pedido_id: int) -> bool:
    return (
        con.execute("SELECT 1 FROM passos WHERE pedido_id = ?", (pedido_id,)).fetchone() is not None
    )
