"""Pagamentos: has the gateway charge an order, once, and gives the money back when it must."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from common import contratos as c
from common.erros import precondicao
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
    Recusado,
    consultar_passo,
    existente,
)
from common.servicos.protocolo.portas import Database, GatewayPagamento, Veredito
from common.servicos.protocolo.sql import Importada
from common.servicos.protocolo.tabelas import Facts, Look, Read, Table
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


class Pagamento(NamedTuple):
    """A payment. `metodo` is None in some imported ones."""

    pedido_id: int
    data_processamento: str
    status: str
    metodo: str | None
    valor_centavos: int


PAGAMENTOS: Table[int, Pagamento] = Table("pagamentos", Pagamento, "pedido_id", changes=("status",))


def chave_gateway(pedido_id: int) -> str:
    """The idempotency key under which an order is charged: the order itself."""
    return f"pedido-{pedido_id}"


def pedido_da_chave(chave: str) -> int:
    """The order that is charged under a key."""
    return int(chave.split("-")[1])


class PassoPagamentos(Passo[c.ProcessarPagamentoRequest]):
    """Record what the gateway said of an order's charge."""

    TRANSICOES: ClassVar[Transicoes] = TRANSICOES
    DESFAZER: ClassVar[str] = "estornar"

    def fatos(self, req: c.ProcessarPagamentoRequest) -> tuple[Read, ...]:
        """See Passo."""
        return (PAGAMENTOS.of(req.pedido_id),)

    def documentos(self, pedido_id: int) -> tuple[Read, ...]:
        """See Passo."""
        return (PAGAMENTOS.of(pedido_id),)

    def aplicar(
        self,
        fatos: Facts,
        req: c.ProcessarPagamentoRequest,
        preparo: Veredito | None,
        instante: str,
    ) -> Feito | Recusado:
        """See Passo. Raises ErroServico (precondition) for a key that was voided."""
        if preparo == "anulada":
            # The gateway denied nothing: there is nothing to record. To Pedidos that is unknown.
            # The cancelling that voided the key will say what became of the order.
            raise precondicao(f"o pagamento do pedido {req.pedido_id} está sendo cancelado")
        aprovado = preparo == "capturada"
        status, metodo = "aprovado" if aprovado else "rejeitado", req.metodo_pagamento
        valor = req.valor_total_centavos
        pagamento = Pagamento(req.pedido_id, instante, status, metodo, valor)
        fatos.insert(PAGAMENTOS, pagamento)
        if aprovado:
            return Feito("aprovar", _partes(pagamento))
        return Recusado("rejeitar", "pagamento_rejeitado", _partes(pagamento))

    def desfazer(self, fatos: Facts, pedido_id: int, instante: str) -> None:
        """See Passo."""
        pagamento = existente(fatos.get(PAGAMENTOS, pedido_id))
        fatos.change(PAGAMENTOS, pagamento._replace(status="estornado"))

    def partes(self, fatos: Look, pedido_id: int, estado: str) -> Partes:
        """See Passo."""
        return {} if estado == TOMBSTONE else _partes(existente(fatos.get(PAGAMENTOS, pedido_id)))

    def proxima(self, req: c.ProcessarPagamentoRequest, partes: Partes) -> c.SepararEstoqueRequest:
        """See Passo."""
        return c.SepararEstoqueRequest(
            req.pedido_id, req.cliente_id, req.valor_total_centavos, req.itens
        )


class Cobranca:
    """The outside of the step: the gateway charges before it and is voided before its undoing."""

    def __init__(self, database: Database, gateway: GatewayPagamento) -> None:
        self._database = database
        self._gateway = gateway

    async def prepare(self, ctx: Contexto, req: c.ProcessarPagamentoRequest) -> Veredito | None:
        """The gateway's verdict, or None for an order that is recorded here already."""
        # An order found here keeps its verdict: the gateway is not asked again, nor waited for. On
        # a first attempt there is nothing to find, and if there were the gateway knows its key.
        if not ctx.primeira and await self._database.read(
            ctx, (PASSOS.of(req.pedido_id),), _conhecido, req.pedido_id
        ):
            return None
        ctx.conferir_presenca()
        return await self._gateway.cobrar(
            ctx, chave_gateway(req.pedido_id), req.valor_total_centavos
        )

    async def undo(self, ctx: Contexto, pedido_id: int) -> None:
        """Void the charge, row or none: one whose row was never written is voided too."""
        await self._gateway.anular(ctx, chave_gateway(pedido_id))


class Pagamentos:
    """The second service of the chain."""

    def __init__(
        self, database: Database, continuation: Continuation[c.ProcessarPagamentoRequest]
    ) -> None:
        self._database = database
        self._continuation = continuation

    async def processar_pagamento(
        self, ctx: Contexto, req: c.ProcessarPagamentoRequest
    ) -> c.AndamentoResponse:
        """Have the order charged, then its stock taken."""
        c.validar_itens(req.itens)
        return await self._continuation.advance(ctx, req)

    async def cancelar_pagamento(
        self, ctx: Contexto, req: c.CancelarPassoRequest
    ) -> c.AndamentoResponse:
        """Give the money back behind a tombstone."""
        return await self._continuation.cancel(ctx, req)

    async def consultar_pagamento(
        self, ctx: Contexto, req: c.ConsultarPassoRequest
    ) -> c.PagamentoResponse:
        """What is stored of an order's payment."""
        reads = PASSOS.of(req.pedido_id), PAGAMENTOS.of(req.pedido_id)
        return await self._database.read(ctx, reads, _consultar, req.pedido_id)


def _partes(pagamento: Pagamento) -> Partes:
    return {"pagamento": c.ResumoPagamento(pagamento.status, pagamento.metodo or "")}


def _conhecido(fatos: Look, pedido_id: int) -> bool:
    return fatos.get(PASSOS, pedido_id) is not None


def _consultar(fatos: Look, pedido_id: int) -> c.PagamentoResponse:
    passo = consultar_passo(fatos, pedido_id)
    pagamento = fatos.get(PAGAMENTOS, pedido_id)
    if pagamento is None:
        return c.PagamentoResponse(pedido_id, passo.estado, passo.motivo, None, None, None)
    return c.PagamentoResponse(
        pedido_id, pagamento.status, passo.motivo, pagamento.metodo, pagamento.valor_centavos,
        pagamento.data_processamento,
    )  # fmt: skip
