"""An order's way as Pedidos asks for it: begun, resumed, cancelled.

How an order goes on is the business of whatever implements this: calls down the chain today
(`conducao.py`).
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from common.servicos.pedidos.livro import LinhaPedido, NovoPedido
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.portas import Place, Promise


class Andar(Protocol):
    """One order under way, for whoever waits for it."""

    @property
    def ctx(self) -> Contexto:
        """The time that it took so far."""

    @property
    def fim(self) -> Promise[LinhaPedido | None]:
        """Set to the order's row when it ends; to None when it stays open for now."""


class Reivindicando(Andar, Protocol):
    """A new order under way."""

    @property
    def reivindicada(self) -> Promise[LinhaPedido]:
        """Set once the key is claimed: to the new row, or to the row that had the key before."""

    @property
    def minha(self) -> bool:
        """True when the claim made the row."""


class Desistencia(NamedTuple):
    """An order that somebody asked to cancel: its row, and its way while it has not ended.

    `andar` is None for an order that has ended, and where the sweep must come first. `ctx` holds
    the time that the change took.
    """

    linha: LinhaPedido
    andar: Andar | None
    ctx: Contexto


class Caminho(Protocol):
    """The way of every order."""

    def begin(self, novo: NovoPedido, place: Place, ctx: Contexto) -> Reivindicando:
        """Claim a new order and have it go its way, which outlives the request of `ctx`.

        Takes the place over. Raises ErroServico (unavailable) when it cannot be started.
        """

    def resume(self, linha: LinhaPedido, ctx: Contexto | None = None) -> Andar | None:
        """Join the way of an order that has not ended, or go on with it.

        None when too many are being resumed already: the sweep will come to this one.
        """

    async def cancel(self, pedido_id: int, ctx: Contexto) -> Desistencia:
        """Turn an order, durably, and pursue its cancelling, which outlives the request.

        Raises ErroServico: unavailable when the caller has gone or it cannot be started, deadline
        when the change was not durable in time.
        """
