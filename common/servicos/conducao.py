"""Driving an order to its end: claim, call down the chain, retry what is unknown, recover.

The drive of an order is a task that Pedidos owns. It outlives the request that started it, there is
never more than one for an order, and whoever asks about the order meanwhile joins it.
"""

from __future__ import annotations

import logging
import sqlite3
from enum import Enum
from typing import Final, NamedTuple

from common import contratos as c
from common.erros import ErroServico, indisponivel
from common.servicos import livro
from common.servicos.contexto import Contexto
from common.servicos.livro import LinhaPedido, NovoPedido
from common.servicos.portas import (
    Banco,
    Execucao,
    Promessa,
    ProximoPagamentos,
    Relogio,
    Tarefa,
    Vaga,
)
from common.servicos.retentativa import Orcamento, espera

_LOG = logging.getLogger(__name__)

# Orders read from the book at a time by the sweep.
PAGINA: Final = 1_000


class Direcao(Enum):
    """Where a drive goes."""

    AVANCAR = "avancar"
    CANCELAR = "cancelar"


class Politica(NamedTuple):
    """How Pedidos recovers, by configuration.

    Seconds between sweeps; seconds that a recovering or cancelling call may take; seconds of age
    and number of attempts past which an order is given up; how many are recovered at once.
    """

    intervalo_varredura_s: float = 1.0
    prazo_conducao_s: float = 10.0
    idade_desistencia_s: float = 120.0
    tentativas_desistencia: int = 100
    recuperacoes_max: int = 256


class Conducao:
    """One drive: what is known of it while it lives."""

    __slots__ = (
        "ctx", "direcao", "fim", "minha", "pedido_id", "reivindicada", "tarefa", "vaga",
    )  # fmt: skip

    def __init__(self, execucao: Execucao, direcao: Direcao, ctx: Contexto) -> None:
        self.direcao = direcao
        self.ctx = ctx
        # Set to the order's row once claimed, or to the row that had the key before.
        self.reivindicada: Promessa[LinhaPedido] = execucao.promessa()
        # Set to the terminal row, or to None when the drive gave up for now.
        self.fim: Promessa[LinhaPedido | None] = execucao.promessa()
        self.minha = False
        self.pedido_id = 0
        self.vaga: Vaga | None = None
        self.tarefa: Tarefa | None = None

    def soltar_vaga(self) -> None:
        """Give back the place among the orders in flight, if this drive holds one."""
        if self.vaga is not None:
            self.vaga.liberar()
            self.vaga = None


class Condutor:
    """Owns the drives of all orders that are under way in this process."""

    def __init__(
        self,
        *,
        banco: Banco,
        relogio: Relogio,
        execucao: Execucao,
        pagamentos: ProximoPagamentos,
        orcamento: Orcamento,
        politica: Politica,
    ) -> None:
        self._banco = banco
        self._relogio = relogio
        self._execucao = execucao
        self._pagamentos = pagamentos
        self._orcamento = orcamento
        self._politica = politica
        self._vivas: dict[int, Conducao] = {}
        # Of orders that the sweep has met: attempts so far, and the instant of the next one.
        self._recuperacoes: dict[int, tuple[int, float]] = {}
        self._em_recuperacao: set[int] = set()

    # --- starting a drive ---------------------------------------------------------------------

    def reivindicar(self, novo: NovoPedido, vaga: Vaga, ctx: Contexto) -> Conducao:
        """Claim a new order and drive it, in a task that outlives the request of `ctx`."""
        conducao = Conducao(self._execucao, Direcao.AVANCAR, Contexto(ctx.prazo))
        conducao.vaga = vaga
        conducao.tarefa = self._execucao.iniciar(self._reivindicar(conducao, novo))
        return conducao

    def retomar(self, linha: LinhaPedido) -> Conducao:
        """Join the drive of an order that has not ended, or start one."""
        viva = self._vivas.get(linha.pedido_id)
        if viva is not None:
            return viva
        direcao = Direcao.CANCELAR if linha.status == "cancelando" else Direcao.AVANCAR
        return self._iniciar(linha, direcao)

    def cancelar(self, linha: LinhaPedido) -> Conducao:
        """Turn the drive of an order that is cancelando towards its end."""
        viva = self._vivas.get(linha.pedido_id)
        if viva is None:
            return self._iniciar(linha, Direcao.CANCELAR)
        if viva.direcao is Direcao.AVANCAR and viva.tarefa is not None:
            # Its call may be anywhere in the chain; Logistica arbitrates between it and ours.
            viva.tarefa.cancelar()
            return self._iniciar(linha, Direcao.CANCELAR, herdar=viva)
        return viva

    def _iniciar(
        self, linha: LinhaPedido, direcao: Direcao, herdar: Conducao | None = None
    ) -> Conducao:
        prazo = self._relogio.agora() + self._politica.prazo_conducao_s
        conducao = Conducao(self._execucao, direcao, Contexto(prazo))
        conducao.pedido_id = linha.pedido_id
        if herdar is not None:
            # Whoever waits for the order waits for its end, not for the task that was driving it.
            conducao.fim, conducao.vaga, herdar.vaga = herdar.fim, herdar.vaga, None
        self._vivas[linha.pedido_id] = conducao
        conducao.tarefa = self._execucao.iniciar(self._conduzir(conducao, linha))
        return conducao

    # --- the drive ----------------------------------------------------------------------------

    async def _reivindicar(self, conducao: Conducao, novo: NovoPedido) -> None:
        try:
            linha, nova = await self._banco.unidade(conducao.ctx, self._registrar, conducao, novo)
        except BaseException as erro:
            if self._vivas.get(conducao.pedido_id) is conducao:
                del self._vivas[conducao.pedido_id]
            conducao.soltar_vaga()
            conhecido = isinstance(erro, ErroServico)
            conducao.reivindicada.falhar(erro if conhecido else _interrompida())
            if not conhecido:
                raise
            return
        conducao.minha = nova
        conducao.reivindicada.resolver(linha)
        if nova:
            itens = tuple(c.ItemPedido(item.produto_id, item.quantidade) for item in novo.itens)
            await self._conduzir(conducao, linha, itens)
        else:
            conducao.soltar_vaga()

    def _registrar(
        self, con: sqlite3.Connection, conducao: Conducao, novo: NovoPedido
    ) -> livro.Reivindicacao:
        reivindicacao = livro.reivindicar(
            con, novo, self._relogio.data_hora(), self._relogio.epoca()
        )
        if reivindicacao.nova:
            # Before the commit makes the row visible, so that the sweep can never take it for
            # abandoned: never two drives for one order.
            # A unit may run twice: the first run's id was rolled back and may be another's now.
            if self._vivas.get(conducao.pedido_id) is conducao:
                del self._vivas[conducao.pedido_id]
            conducao.pedido_id = reivindicacao.linha.pedido_id
            self._vivas[conducao.pedido_id] = conducao
        return reivindicacao

    async def _conduzir(
        self,
        conducao: Conducao,
        linha: LinhaPedido,
        itens: tuple[c.ItemPedido, ...] | None = None,
    ) -> None:
        final = None
        try:
            final = await self._perseguir(conducao, linha, itens)
        except ErroServico:
            # Storage failed on us: the order stays open in the book and the sweep goes on.
            _LOG.warning("pedido %d: condução interrompida", linha.pedido_id, exc_info=True)
        finally:
            conducao.soltar_vaga()
            # Not so when a cancelling drive took over, and with it those who wait.
            if self._vivas.get(linha.pedido_id) is conducao:
                del self._vivas[linha.pedido_id]
                self._em_recuperacao.discard(linha.pedido_id)
                if final is not None:
                    self._recuperacoes.pop(linha.pedido_id, None)
                conducao.fim.resolver(final)

    async def _perseguir(
        self, conducao: Conducao, linha: LinhaPedido, itens: tuple[c.ItemPedido, ...] | None
    ) -> LinhaPedido | None:
        """Call until the chain decides; None when it stays unknown for this drive."""
        ctx = conducao.ctx
        if itens is None:
            # Read again now that this drive is the only one: the row at hand may be older than the
            # end that an earlier drive has written.
            linha, lidos = await self._banco.leitura(ctx, livro.por_conduzir, linha.pedido_id)
            itens = lidos
            if linha.terminal:
                return linha
            if linha.status == "cancelando":
                conducao.direcao = Direcao.CANCELAR
        else:
            # Fresh from its claim: nobody behind us can know the order yet.
            ctx.tentativa = 1
        self._orcamento.primeira()
        tentativa = 1
        while True:
            try:
                andamento = await self._chamar(conducao, linha, itens)
            except ErroServico as erro:
                # Unknown, whatever its category: nothing is compensated on this ground.
                _LOG.info("pedido %d: desfecho desconhecido: %s", linha.pedido_id, erro)
            else:
                return await self._banco.unidade(
                    ctx, livro.encerrar, linha, andamento, self._relogio.data_hora()
                )
            pausa = self._orcamento.proxima(tentativa, ctx.prazo - self._relogio.agora())
            if pausa is None:
                return None
            await self._relogio.dormir(pausa)
            tentativa += 1
            ctx.tentativa = tentativa

    async def _chamar(
        self, conducao: Conducao, linha: LinhaPedido, itens: tuple[c.ItemPedido, ...]
    ) -> c.AndamentoResponse:
        if conducao.direcao is Direcao.CANCELAR:
            motivo: c.MotivoCancelamento = linha.motivo or "solicitado"
            return await self._pagamentos.cancelar_pagamento(
                conducao.ctx, c.CancelarPassoRequest(linha.pedido_id, motivo)
            )
        return await self._pagamentos.processar_pagamento(
            conducao.ctx,
            c.ProcessarPagamentoRequest(
                linha.pedido_id, linha.cliente_id, linha.valor_total_centavos, linha.metodo, itens
            ),
        )

    # --- recovery -----------------------------------------------------------------------------

    async def recuperar_sempre(self) -> None:
        """Sweep at start and on a timer, for the life of the service."""
        while True:
            try:
                await self.varrer()
            except ErroServico:
                _LOG.warning("varredura interrompida, repete em seguida", exc_info=True)
            await self._relogio.dormir(self._politica.intervalo_varredura_s)

    async def varrer(self) -> int:
        """Start a drive for every order that is open and has none; returns how many it started."""
        iniciadas, apos_id = 0, 0
        while pagina := await self._banco.leitura(None, livro.abertos, apos_id, PAGINA):
            apos_id = pagina[-1].pedido_id
            for linha in pagina:
                if len(self._em_recuperacao) >= self._politica.recuperacoes_max:
                    return iniciadas
                if linha.pedido_id not in self._vivas and await self._recuperar(linha):
                    iniciadas += 1
        return iniciadas

    async def _recuperar(self, linha: LinhaPedido) -> bool:
        pedido_id, agora = linha.pedido_id, self._relogio.agora()
        tentativas, proxima = self._recuperacoes.get(pedido_id, (0, agora))
        if proxima > agora:
            return False
        self._recuperacoes[pedido_id] = (
            tentativas + 1,
            agora + espera(tentativas + 1, 1.0),
        )
        idade_s = self._relogio.epoca() - linha.criado_epoca
        velho = idade_s > self._politica.idade_desistencia_s
        if linha.status == "pendente" and (
            velho or tentativas >= self._politica.tentativas_desistencia
        ):
            linha = await self._banco.unidade(
                None, livro.desistir, pedido_id, "expirado", self._relogio.data_hora()
            )
        if pedido_id in self._vivas or linha.terminal:
            return False
        self._em_recuperacao.add(pedido_id)
        self.retomar(linha)
        return True


def _interrompida() -> ErroServico:
    return indisponivel("o registro do pedido foi interrompido; repita com a mesma chave")
