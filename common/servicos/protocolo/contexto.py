"""The context of a call, carried with its message: the deadline, the key, its trace."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from common.erros import indisponivel
from common.servicos.protocolo.account import Account


class Contexto:
    """One call's deadline (monotonic seconds) and idempotency key; `account` holds its time."""

    __slots__ = (
        "account", "ausente", "chave", "completo", "pedido_id", "prazo", "primeira", "rastro",
        "rastro_estado", "rastro_pai", "sondagem", "tentativa",
    )  # fmt: skip

    def __init__(
        self, prazo: float = inf, chave: str | None = None, account: Account | None = None
    ) -> None:
        self.prazo = prazo
        self.chave = chave
        # The time of the call, as far as it has come.
        self.account = Account() if account is None else account
        # Says whether the caller has gone, where the transport knows and does not cancel the call.
        self.ausente: Callable[[], bool] | None = None
        # Which attempt at an order the next call is, when its caller counts them; 0 when not.
        self.tentativa = 0
        # True when the caller vouches that this service has never been asked about the order. A
        # hint that may save a look-up, never a ground to do or leave out an effect.
        self.primeira = False
        # True when the call under way tries a neighbour whose circuit breaker is open.
        self.sondagem = False
        # True when the next hop is to tell its time in full.
        self.completo = False
        # The trace that the call belongs to, as it travels, "" for none, and the vendors' list.
        self.rastro = ""
        self.rastro_estado = ""
        # At the edge, the span of the caller, whose place in `rastro` an id of our own has taken.
        self.rastro_pai = ""
        # The order that it is about, where the message says so; 0 where it does not.
        self.pedido_id = 0

    def conferir_presenca(self) -> None:
        """Before an effect. Raises ErroServico (unavailable) when the caller has gone."""
        if self.ausente is not None and self.ausente():
            raise indisponivel("quem chamou já se foi")

    def derivar(self, prazo: float) -> Contexto:
        """The context of a task on this call's behalf; measured when this one is."""
        outro = Contexto(prazo, account=self.account.fork())
        outro.completo = self.completo
        outro.seguir(self)
        return outro

    def seguir(self, outro: Contexto) -> None:
        """Belong to the other's trace."""
        self.rastro, self.rastro_estado = outro.rastro, outro.rastro_estado
