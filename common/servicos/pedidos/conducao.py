"""Driving an order to its end: claim, call down the chain, retry what is unknown.

The drive of an order is a task that Pedidos owns. It outlives the request that started it, there is
never more than one for an order, and whoever asks about the order meanwhile joins it. What a drive
leaves open is taken up again by `recuperacao.py`.
"""

from __future__ import annotations

import logging
from enum import Enum
from typing import Final

from common import contratos as c
from common.erros import ErroServico, indisponivel, prazo_esgotado
from common.servicos.pedidos import livro
from common.servicos.pedidos.caminho import Desistencia
from common.servicos.pedidos.livro import LinhaPedido, NovoPedido
from common.servicos.pedidos.recuperacao import Politica, Recuperacao
from common.servicos.pedidos.retentativa import Orcamento
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.portas import (
    Clock,
    Database,
    Passage,
    Place,
    Promise,
    Task,
    Tasks,
)
from common.servicos.protocolo.tabelas import Facts
from common.servicos.protocolo.vizinhos import VizinhoPagamentos

_LOG = logging.getLogger(__name__)

# Seconds. The longest that the drive begun by a request may last, however patient its client: a
# place among the orders in flight must come free, and the sweep goes on with what is left open.
DRIVE_MAX_S: Final = 60.0


class Direcao(Enum):
    """Where a drive goes."""

    AVANCAR = "avancar"
    CANCELAR = "cancelar"


class Conducao:
    """One drive: what is known of it while it lives."""

    __slots__ = (
        "chave", "ctx", "direcao", "fim", "minha", "pedido_id", "reivindicada", "tarefa",
        "tentada", "vaga",
    )  # fmt: skip

    def __init__(self, tasks: Tasks, direcao: Direcao, ctx: Contexto, chave: str | None) -> None:
        self.direcao = direcao
        self.ctx = ctx
        # The order's idempotency key: an id may be another order's after a commit that failed.
        self.chave = chave
        # Set to the order's row once claimed, or to the row that had the key before.
        self.reivindicada: Promise[LinhaPedido] = tasks.promise()
        # Set to the terminal row, or to None when the drive gave up for now.
        self.fim: Promise[LinhaPedido | None] = tasks.promise()
        self.minha = False
        # True once the chain was asked in vain: a call that was never sent is no attempt.
        self.tentada = False
        self.pedido_id = 0
        self.vaga: Place | None = None
        self.tarefa: Task | None = None

    def soltar_vaga(self) -> None:
        """Give back the place among the orders in flight, if this drive holds one."""
        if self.vaga is not None:
            self.vaga.release()
            self.vaga = None


class Condutor:
    """The port `Caminho` by calls: owns the drives of all orders under way in this process."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        tasks: Tasks,
        pagamentos: VizinhoPagamentos,
        orcamento: Orcamento,
        politica: Politica,
        passage: Passage,
    ) -> None:
        """`passage` says whether a call to `pagamentos` would be made now, or fail fast."""
        self._database = database
        self._clock = clock
        self._tasks = tasks
        self._pagamentos = pagamentos
        self._orcamento = orcamento
        self._politica = politica
        self._passage = passage
        # Steps asked for again since the process began.
        self.retentativas = 0
        # The drives that live, and who waits for them, change under one lock. A drive is started
        # before it is entered: one that cannot be started leaves nothing behind, and one that has
        # begun waits for the lock before it looks.
        self._lock = tasks.lock()
        self._vivas: dict[int, Conducao] = {}
        # Orders in the book that have not ended, driven or not. One that ended while its drive could
        # not look is taken out by the sweep.
        self._abertas: set[int] = set()
        # Drives whose claim is on its way: the storage's thread sets their pedido_id, and nothing
        # else of ours, so the registers change on the service's side alone.
        self._reivindicando: set[Conducao] = set()
        self._recuperacao = Recuperacao(
            database=database,
            clock=clock,
            orcamento=orcamento,
            politica=politica,
            conduzida=self._conduzida,
            abertas=self._abertas,
            passage=passage,
            retomar=self.resume,
        )
        self.recuperar_sempre = self._recuperacao.recuperar_sempre
        self.varrer = self._recuperacao.varrer

    @property
    def abertas(self) -> int:
        """Orders in the book that have not ended, those that wait for the sweep included."""
        return len(self._abertas)

    async def contar_abertas(self) -> None:
        """Learn at start which orders the book holds open."""
        for aberto in await self._database.select(None, livro.IDS_ABERTOS):
            self._abertas.add(aberto.pedido_id)

    # --- starting a drive ---------------------------------------------------------------------

    def begin(self, novo: NovoPedido, vaga: Place, ctx: Contexto) -> Conducao:
        """Claim a new order and drive it, in a task that outlives the request of `ctx`.

        Takes the place over: it is given back at the drive's end, or here when the task cannot be
        started. Raises ErroServico (unavailable) then.
        """
        prazo = min(ctx.prazo, self._clock.now() + DRIVE_MAX_S)
        conducao = Conducao(self._tasks, Direcao.AVANCAR, ctx.derivar(prazo), novo.chave)
        conducao.vaga = vaga
        trabalho = self._reivindicar(conducao, novo)
        try:
            with self._lock:
                # Nobody finds this drive before it has a task.
                conducao.tarefa = self._tasks.start(conducao.ctx.account.measured(trabalho))
        except ErroServico:
            trabalho.close()
            vaga.release()
            raise
        return conducao

    def resume(self, linha: LinhaPedido, ctx: Contexto | None = None) -> Conducao | None:
        """Join the drive of an order that has not ended, or start one, for the request of `ctx`.

        A forward drive of an order that is cancelando is turned. None when too many are being
        recovered already, or no task can be started: the sweep will come to this one.
        """
        cancelando = linha.status == "cancelando"
        with self._lock:
            viva = self._viva(linha)
            if viva is not None:
                return self.turn(linha, ctx) if cancelando else viva
            if not self._recuperacao.cabe():
                return None
            direcao = Direcao.CANCELAR if cancelando else Direcao.AVANCAR
            conducao = self._iniciar(linha, direcao, ctx)
            if conducao is not None:
                self._recuperacao.comecou(linha.pedido_id)
            return conducao

    async def cancel(self, pedido_id: int, ctx: Contexto) -> Desistencia:
        """Flip an order to cancelando and turn its drive; see Caminho."""
        ctx.conferir_presenca()
        promessa: Promise[Desistencia] = self._tasks.promise()
        seu = ctx.derivar(ctx.prazo)
        # In a task that outlives the request: what was durably begun is pursued.
        trabalho = self._desistir(pedido_id, seu, promessa)
        try:
            self._tasks.start(seu.account.measured(trabalho))
        except ErroServico:
            trabalho.close()
            raise
        desistencia = await promessa.wait(ctx.prazo)
        if desistencia is None:
            raise prazo_esgotado("o cancelamento não foi registrado dentro do prazo")
        return desistencia

    def turn(self, linha: LinhaPedido, ctx: Contexto | None) -> Conducao | None:
        """Drive an order that is cancelando towards its end, in place of a forward drive.

        None when no task can be started: all is as before, and the sweep will turn the order.
        """
        with self._lock:
            viva = self._viva(linha)
            if viva is not None and viva.direcao is Direcao.CANCELAR:
                return viva
            return self._iniciar(linha, Direcao.CANCELAR, ctx, herdar=viva)

    def _conduzida(self, linha: LinhaPedido) -> bool:
        """True when an order has a drive that goes where the order does."""
        viva = self._viva(linha)
        if viva is None:
            return False
        return linha.status != "cancelando" or viva.direcao is Direcao.CANCELAR

    def _viva(self, linha: LinhaPedido) -> Conducao | None:
        """The drive of an order, also one whose claim is committed but not yet told of."""
        with self._lock:
            viva = self._vivas.get(linha.pedido_id)
            if viva is None:
                for nova in self._reivindicando:
                    if nova.pedido_id == linha.pedido_id and nova.chave == linha.chave:
                        return nova
            return viva

    def _iniciar(
        self,
        linha: LinhaPedido,
        direcao: Direcao,
        ctx: Contexto | None,
        herdar: Conducao | None = None,
    ) -> Conducao | None:
        """Start a drive, in place of `herdar` if there is one; None when it cannot be started."""
        prazo = self._clock.now() + self._politica.prazo_conducao_s
        seu = Contexto(prazo)
        if ctx is not None:
            # In the same trace, though the drive may outlast the request.
            seu.seguir(ctx)
        conducao = Conducao(self._tasks, direcao, seu, linha.chave)
        conducao.pedido_id = linha.pedido_id
        try:
            conducao.tarefa = self._tasks.start(self._conduzir(conducao, linha))
        except ErroServico as erro:
            _LOG.warning("pedido %d: a condução não começou: %s", linha.pedido_id, erro)
            return None
        self._vivas[linha.pedido_id] = conducao
        if herdar is not None:
            # Whoever waits for the order waits for its end, not for the task that was driving it.
            conducao.fim, conducao.vaga, herdar.vaga = herdar.fim, herdar.vaga, None
            if herdar.tarefa is not None:
                # Its call may be anywhere in the chain; Logistica arbitrates between it and ours.
                herdar.tarefa.cancelar()
        self._abriu(conducao)
        return conducao

    def _abriu(self, conducao: Conducao) -> None:
        """An order is in the book: from now on it is counted there, and not by its place."""
        self._abertas.add(conducao.pedido_id)
        if conducao.vaga is not None:
            conducao.vaga.abrir()

    # --- the drive ----------------------------------------------------------------------------

    async def _reivindicar(self, conducao: Conducao, novo: NovoPedido) -> None:
        with self._lock:
            self._reivindicando.add(conducao)
        try:
            reads = livro.leituras_da_reivindicacao(novo)
            linha, nova = await self._database.unit(
                conducao.ctx, reads, self.reivindicar, novo, conducao
            )
            if nova:
                self._assumir(conducao)
        except BaseException as erro:
            with self._lock:
                conducao.soltar_vaga()
                # The claim may have been committed and joined before its task was stopped: whoever
                # waits looks the order up, unless a cancelling drive took over those who wait.
                herdeira = self._vivas.get(conducao.pedido_id)
                if herdeira is None or herdeira.fim is not conducao.fim:
                    conducao.fim.resolve(None)
                # After a commit that failed the id is the next order's.
                conducao.pedido_id = 0
            if isinstance(erro, ErroServico):
                conducao.reivindicada.fail(erro)
                return
            conducao.reivindicada.fail(_interrompida())
            raise
        finally:
            with self._lock:
                self._reivindicando.discard(conducao)
        conducao.minha = nova
        conducao.reivindicada.resolve(linha)
        if nova:
            itens = tuple(c.ItemPedido(item.produto_id, item.quantidade) for item in novo.itens)
            await self._conduzir(conducao, linha, itens)
        else:
            conducao.soltar_vaga()

    def _assumir(self, conducao: Conducao) -> None:
        """Enter a drive whose claim is committed, unless a cancelling one came before."""
        with self._lock:
            if self._vivas.setdefault(conducao.pedido_id, conducao) is conducao:
                self._abriu(conducao)

    def reivindicar(
        self, fatos: Facts, novo: NovoPedido, conducao: Conducao
    ) -> livro.Reivindicacao:
        """Claim the key for this drive: the rule of a unit of work."""
        # A unit may run twice: the first run's id was rolled back and may be another's now.
        conducao.pedido_id = 0
        reivindicacao = livro.reivindicar(fatos, novo, self._clock.timestamp(), self._clock.epoch())
        if reivindicacao.nova:
            # Before the commit makes the row visible, so that the sweep can never take it for
            # abandoned: never two drives for one order.
            conducao.pedido_id = reivindicacao.linha.pedido_id
        return reivindicacao

    async def _desistir(
        self, pedido_id: int, ctx: Contexto, promessa: Promise[Desistencia]
    ) -> None:
        try:
            linha = await self._database.unit(
                ctx,
                (livro.PEDIDOS.of(pedido_id),),
                livro.desistir,
                pedido_id,
                "solicitado",
                self._clock.timestamp(),
            )
            conducao = None if linha.terminal else self.turn(linha, ctx)
        except ErroServico as erro:
            promessa.fail(erro)
        except BaseException:
            promessa.fail(indisponivel("o cancelamento foi interrompido"))
            raise
        else:
            promessa.resolve(Desistencia(linha, conducao, ctx))

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
            with self._lock:
                conducao.soltar_vaga()
                if final is not None:
                    self._abertas.discard(linha.pedido_id)
                # Not so when a cancelling drive took over, and with it those who wait.
                if self._vivas.get(linha.pedido_id) is conducao:
                    del self._vivas[linha.pedido_id]
                    self._recuperacao.terminou(
                        linha.pedido_id, final=final is not None, tentada=conducao.tentada
                    )
                    conducao.fim.resolve(final)

    async def _perseguir(
        self, conducao: Conducao, linha: LinhaPedido, itens: tuple[c.ItemPedido, ...] | None
    ) -> LinhaPedido | None:
        """Call until the chain decides; None when it stays unknown for this drive."""
        ctx = conducao.ctx
        if itens is not None:
            # Fresh from its claim: nobody behind us can know the order yet.
            ctx.tentativa = 1
        else:
            linha, itens = await self._reler(conducao, linha)
            if linha.terminal:
                return linha
        tentativa, ate = 1, None
        while True:
            if not self._passage.free():
                # Nothing would be sent: that is no attempt, so nothing is taken from the budget.
                ate = ate or min(ctx.prazo, self._clock.now() + self._politica.espera_passagem_s)
                if not await self._passage.wait(ate):
                    return None
                continue
            if tentativa == 1:
                with self._lock:
                    self._orcamento.primeira()
            try:
                andamento = await self._chamar(conducao, linha, itens)
            except ErroServico as erro:
                conducao.tentada = conducao.tentada or erro.enviada
                # Unknown, whatever its category: nothing is compensated on this ground.
                _LOG.info("pedido %d: desfecho desconhecido: %s", linha.pedido_id, erro)
            else:
                return await self._encerrar(ctx, linha, andamento)
            with self._lock:
                pausa = self._orcamento.proxima(tentativa, ctx.prazo - self._clock.now())
            if pausa is None:
                return None
            await self._clock.sleep(pausa)
            tentativa += 1
            self.retentativas += 1
            ctx.tentativa = tentativa

    async def _reler(
        self, conducao: Conducao, linha: LinhaPedido
    ) -> tuple[LinhaPedido, tuple[c.ItemPedido, ...]]:
        """The order as it is now that this drive is the only one, and its lines.

        The row at hand may be older than the end that an earlier drive has written.
        """
        pedido_id = linha.pedido_id
        reads = livro.PEDIDOS.of(pedido_id), livro.ITENS.of(pedido_id)
        linha, itens = await self._database.read(conducao.ctx, reads, livro.por_conduzir, pedido_id)
        if linha.status == "cancelando":
            conducao.direcao = Direcao.CANCELAR
        return linha, itens

    async def _encerrar(
        self, ctx: Contexto, linha: LinhaPedido, andamento: c.AndamentoResponse
    ) -> LinhaPedido:
        pedido_id = linha.pedido_id
        return await self._database.unit(
            ctx, (livro.PEDIDOS.of(pedido_id),), livro.encerrar, pedido_id, andamento,
            self._clock.timestamp(),
        )  # fmt: skip

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


def _interrompida() -> ErroServico:
    return indisponivel("o registro do pedido foi interrompido; repita com a mesma chave")
