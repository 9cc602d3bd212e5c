"""Pedidos: the edge of the chain. Claims an order once, drives it to its end, and answers.

This module holds the operations; `caminho.py` is an order's way as they ask for it, `conducao.py`
drives an order, `recuperacao.py` finds those left
open, `livro.py` is the order book (states, schema and rules).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from common import contratos as c
from common.erros import ErroServico, invalido, prazo_esgotado
from common.servicos.pedidos import livro
from common.servicos.pedidos.caminho import Andar, Caminho
from common.servicos.pedidos.livro import LinhaPedido
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.memoria import Memoria
from common.servicos.protocolo.passo import resumo_de
from common.servicos.protocolo.portas import Admission, Clock, Database, Tasks
from common.servicos.protocolo.vizinhos import VizinhoCatalogo

# Seconds. A price may be this old when an order is taken; renewed in the background from half of it.
IDADE_PRECOS_MAX_S: Final = 10.0


class Pedidos:
    """The first service of the chain."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        tasks: Tasks,
        admission: Admission,
        catalogo: VizinhoCatalogo,
        caminho: Caminho,
        nova_chave: Callable[[], str],
    ) -> None:
        self._database = database
        self._clock = clock
        self._tasks = tasks
        self._admission = admission
        self._catalogo = catalogo
        self._caminho = caminho
        self._nova_chave = nova_chave
        self._precos = Memoria(self._buscar_precos, clock, tasks)

    # --- operations ---------------------------------------------------------------------------

    async def criar_pedido(self, ctx: Contexto, req: c.CriarPedidoRequest) -> c.PedidoResponse:
        """Claim the order under its key, drive it, and answer with its terminal status.

        A known key is answered from the book, before pricing and admission. When the deadline
        comes first the answer carries the current status and the work goes on.
        """
        c.validar_itens(req.itens)
        chave = self._chave(ctx)
        resumo = resumo_de(req)
        # A known key neither waits nor is refused.
        if not self._imediato() and (conhecida := await self._conhecida(ctx, chave)) is not None:
            return await self._responder_conhecida(ctx, conhecida, resumo)
        try:
            itens = await self._precificar(ctx, req)
            place = await self._admission.take(ctx)
        except Exception:
            # It may have been claimed while this call waited.
            conhecida = await self._conhecida(ctx, chave)
            if conhecida is None:
                raise
            return await self._responder_conhecida(ctx, conhecida, resumo)
        try:
            ctx.conferir_presenca()
        except ErroServico:
            place.release()
            raise
        novo = livro.NovoPedido(chave, resumo, req.cliente_id, req.metodo_pagamento, itens)
        andar = self._caminho.begin(novo, place, ctx)
        linha = await andar.reivindicada.wait(ctx.prazo)
        if linha is None:
            raise prazo_esgotado("o pedido não foi registrado dentro do prazo")
        ctx.pedido_id = linha.pedido_id
        if not andar.minha:
            # Its attempt to claim the key is all that it did, and was on our way.
            ctx.account.take_over(andar.ctx.account)
            return await self._responder_conhecida(ctx, linha, resumo)
        return await self._aguardar(ctx, andar, linha)

    async def consultar_pedido(
        self, ctx: Contexto, req: c.ConsultarPedidoRequest
    ) -> c.PedidoResponse:
        """An order as it stands."""
        linha = await self._atual(ctx, req.pedido_id)
        return linha.resposta()

    async def cancelar_pedido(
        self, ctx: Contexto, req: c.CancelarPedidoRequest
    ) -> c.PedidoResponse:
        """Flip the order to cancelando, durably, and pursue it until it ends.

        Raises ErroServico (precondition) for an order that was sent, also when it was sent while
        the cancelling call was on its way.
        """
        desistencia = await self._caminho.cancel(req.pedido_id, ctx)
        ctx.account.take_over(desistencia.ctx.account)
        linha, andar = desistencia.linha, desistencia.andar
        if andar is not None:
            linha = await andar.fim.wait(ctx.prazo) or linha
            ctx.account.take_over(andar.ctx.account)
        if linha.origem != "loja" or linha.status == "enviado":
            raise livro.ja_enviado(linha)
        return linha.resposta()

    async def listar_clientes(
        self, ctx: Contexto, req: c.ListarClientesRequest
    ) -> c.ListaClientesResponse:
        """A page of customers."""
        limite = req.limite or c.CLIENTES_POR_PAGINA_MAX
        linhas = await self._database.select(ctx, livro.PAGINA_CLIENTES, req.apos_id, limite)
        return c.ListaClientesResponse(tuple(c.ClienteInfo(*linha) for linha in linhas))

    # --- how ----------------------------------------------------------------------------------

    def _chave(self, ctx: Contexto) -> str:
        """The idempotency key of the call; made here, and returned, when the caller sent none."""
        chave = ctx.chave
        if chave is None:
            chave = ctx.chave = self._nova_chave()
        elif not 1 <= len(chave) <= c.CHAVE_IDEMPOTENCIA_MAX:
            raise invalido(
                "idempotency-key", f"deve ter de 1 a {c.CHAVE_IDEMPOTENCIA_MAX} caracteres"
            )
        elif not (chave.isascii() and chave.isprintable()) or chave.strip() != chave:
            # HTTP takes spaces off the ends, gRPC leaves them: one key would be two.
            raise invalido(
                "idempotency-key", "só admite caracteres ASCII imprimíveis, sem espaço nas pontas"
            )
        return chave

    def _imediato(self) -> bool:
        return self._admission.free() and self._precos.idade() <= IDADE_PRECOS_MAX_S

    async def _precificar(
        self, ctx: Contexto, req: c.CriarPedidoRequest
    ) -> tuple[livro.ItemPrecificado, ...]:
        precos = await self._precos.obter(ctx, IDADE_PRECOS_MAX_S)
        try:
            return tuple(
                [
                    livro.ItemPrecificado(item.produto_id, item.quantidade, precos[item.produto_id])
                    for item in req.itens
                ]
            )
        except KeyError as erro:
            produto = erro.args[0]
            posicao = next(n for n, item in enumerate(req.itens) if item.produto_id == produto)
            raise invalido(
                f"itens[{posicao}].produto_id", f"o produto {produto} não existe"
            ) from None

    async def _buscar_precos(self, ctx: Contexto) -> dict[int, int]:
        lista = await self._catalogo.consultar_precos(ctx, c.ConsultarPrecosRequest())
        return {preco.id: preco.preco_centavos for preco in lista.precos}

    async def _responder_conhecida(
        self, ctx: Contexto, linha: LinhaPedido, resumo: bytes
    ) -> c.PedidoResponse:
        ctx.pedido_id = linha.pedido_id
        livro.conferir_resumo(linha, resumo)
        if linha.terminal:
            return linha.resposta()
        return await self._aguardar(ctx, self._caminho.resume(linha, ctx), linha)

    async def _aguardar(
        self, ctx: Contexto, andar: Andar | None, linha: LinhaPedido
    ) -> c.PedidoResponse:
        """The terminal answer when it comes in time, else the order as it stands."""
        final = None
        if andar is not None:
            final = await andar.fim.wait(ctx.prazo)
            ctx.account.take_over(andar.ctx.account)
        if final is None:
            final = await self._atual(ctx, linha.pedido_id)
        return final.resposta()

    async def _conhecida(self, ctx: Contexto, chave: str) -> LinhaPedido | None:
        reads = (livro.PEDIDOS_POR_CHAVE.of(chave),)
        return await self._database.read(ctx, reads, livro.por_chave, chave)

    async def _atual(self, ctx: Contexto, pedido_id: int) -> LinhaPedido:
        """An order as the book has it. Raises ErroServico (not found)."""
        reads = (livro.PEDIDOS.of(pedido_id),)
        return await self._database.read(ctx, reads, livro.por_id, pedido_id)
