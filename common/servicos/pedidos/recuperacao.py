"""Recovering: every order that is open and that nobody drives gets a drive, a bounded number at once.

The sweep goes round the book and keeps its place, so that orders which cannot end for now do not
keep those behind them from their turn.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf
from typing import Final, NamedTuple

from common.erros import ErroServico
from common.servicos.pedidos import livro
from common.servicos.pedidos.livro import LinhaPedido
from common.servicos.pedidos.retentativa import Orcamento
from common.servicos.protocolo.portas import Clock, Database, Passage

_LOG = logging.getLogger(__name__)

# Seconds until the sweep looks again for the orders that there was no room for.
ROUND_S: Final = 0.1
# Drives that asked the chain in vain before an order may be given up: each makes several calls.
GIVE_UP_DRIVES: Final = 5
# Orders read from the book at a time by the sweep.
SWEEP_PAGE: Final = 1_000


class Politica(NamedTuple):
    """How Pedidos recovers, by configuration.

    `intervalo_varredura_s` lies between two sweeps. `prazo_conducao_s` is what a recovering or
    cancelling call may take. An order is given up after `tentativas_desistencia` attempts over
    `idade_desistencia_s`, never untried. `recuperacoes_max` are recovered at once, by the sweep and for
    retries together. A drive waits `espera_passagem_s` for the way down the chain to be free, then
    leaves its order to the sweep: longer than a service takes to restart, short enough for a client to
    be told.
    """

    intervalo_varredura_s: float = 1.0
    prazo_conducao_s: float = 10.0
    idade_desistencia_s: float = 120.0
    tentativas_desistencia: int = GIVE_UP_DRIVES
    recuperacoes_max: int = 256
    espera_passagem_s: float = 3.0


class Tentativas(NamedTuple):
    """What came of an open order so far: drives that ended unknown, and two monotonic instants.

    `desde` is the end of the first of them, `proxima` when the next may begin.
    """

    vezes: int
    desde: float
    proxima: float


class Recuperacao:
    """Decides which open orders are driven again, and when.

    `conduzida` says whether an order has the drive that it needs. `abertas` are the orders that Pedidos
    counts as open; a sweep takes out those that the book does not hold open. `passage` says whether a
    call down the chain would be made now. `retomar` starts a drive, or returns None when there is no
    place for it.
    """

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        orcamento: Orcamento,
        politica: Politica,
        conduzida: Callable[[LinhaPedido], bool],
        abertas: set[int],
        passage: Passage,
        retomar: Callable[[LinhaPedido], object | None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._orcamento = orcamento
        self._politica = politica
        self._conduzida = conduzida
        self._abertas = abertas
        self._passage = passage
        self._retomar = retomar
        # Only of orders that are open. Ages are counted from an attempt of this process, by the
        # monotonic clock: a jump of the wall clock, or a long outage, gives no order up.
        self._tentadas: dict[int, Tentativas] = {}
        self._em_curso: set[int] = set()
        # True when the last sweep came to an order that there was no room for.
        self._falta = False
        # The last order that a sweep came to.
        self._lugar = 0

    # --- the bound ----------------------------------------------------------------------------

    def cabe(self) -> bool:
        """True when one more order may be recovered now."""
        return len(self._em_curso) < self._politica.recuperacoes_max

    def comecou(self, pedido_id: int) -> None:
        """Count an order among those being recovered."""
        self._em_curso.add(pedido_id)

    def terminou(self, pedido_id: int, *, final: bool, tentada: bool) -> None:
        """The drive of an order is over; `final` when the order is, too.

        `tentada` when the drive asked the chain at least once.
        """
        self._em_curso.discard(pedido_id)
        if final:
            self._tentadas.pop(pedido_id, None)
        elif tentada:
            agora = self._clock.now()
            antes = self._tentadas.get(pedido_id)
            vezes, desde = (1, agora) if antes is None else (antes.vezes + 1, antes.desde)
            proxima = agora + self._orcamento.pausa(vezes)
            self._tentadas[pedido_id] = Tentativas(vezes, desde, proxima)

    # --- the sweep ----------------------------------------------------------------------------

    async def recuperar_sempre(self) -> None:
        """Sweep at start and on a timer, for the life of the service."""
        while True:
            try:
                await self.varrer()
            except ErroServico:
                _LOG.warning("varredura interrompida, repete em seguida", exc_info=True)
            except Exception:
                # A defect that one order meets must not leave all others without a sweep.
                _LOG.exception("defeito na varredura, repete em seguida")
            intervalo = self._politica.intervalo_varredura_s
            await self._clock.sleep(min(intervalo, ROUND_S) if self._falta else intervalo)

    async def varrer(self) -> int:
        """Start a drive for every order that is open and has none; returns how many it started.

        Goes once round the book from where the sweep before it stopped, as far as there is room.
        """
        iniciadas, inicio, self._falta = 0, self._lugar, False
        contadas, vistas = set(self._abertas), set[int]()
        for apos_id, ate_id in ((inicio, inf), (0, inicio)):
            ultimo = apos_id
            while ultimo <= ate_id and (
                pagina := await self._database.select(None, livro.ABERTOS, ultimo, SWEEP_PAGE)
            ):
                for linha in pagina:
                    ultimo = linha.pedido_id
                    if ultimo > ate_id:
                        break
                    vistas.add(ultimo)
                    if not self._passage.free():
                        return iniciadas
                    if not self.cabe():
                        self._falta = True
                        return iniciadas
                    self._lugar = ultimo
                    iniciadas += await self._recuperar(linha)
                    if iniciadas and not self._passage.steady():
                        # One drive makes the next trial; more would only wait behind it.
                        return iniciadas
        # Whoever was counted before the round began and was not met on it has ended.
        self._abertas.difference_update(contadas - vistas)
        return iniciadas

    async def _recuperar(self, linha: LinhaPedido) -> bool:
        pedido_id = linha.pedido_id
        tentativas = self._tentadas.get(pedido_id)
        if tentativas is not None and tentativas.proxima > self._clock.now():
            return False
        if self._conduzida(linha):
            return False
        if linha.status == "pendente" and tentativas is not None and self._basta(tentativas):
            linha = await self._database.unit(
                None,
                (livro.PEDIDOS.of(pedido_id),),
                livro.desistir,
                pedido_id,
                "expirado",
                self._clock.timestamp(),
            )
            if linha.terminal:
                # It ended since the page was read.
                self._tentadas.pop(pedido_id, None)
        if linha.terminal or self._conduzida(linha):
            return False
        return self._retomar(linha) is not None

    def _basta(self, tentativas: Tentativas) -> bool:
        """True when an order has been tried often enough, and for long enough."""
        return (
            tentativas.vezes >= self._politica.tentativas_desistencia
            and self._clock.now() - tentativas.desde > self._politica.idade_desistencia_s
        )
