"""What travels with a call besides its message: the deadline, the key and the timing record.

The timing record is one per order and grows hop by hop: each hop answers with its own entry in
front of those of the hops below. `Server-Timing` on REST, trailing metadata on gRPC, attribution
and spans all read this one text (https://www.w3.org/TR/server-timing/):

    pedidos;dur=9.212;banco=1.903;commit=0.804;proximo=6.911, pagamentos;dur=6.102;banco=...

All values are milliseconds; what took no time is left out. `dur` is the hop's time from arrival to
answer; within it `fila` was spent waiting for admission, `banco` waiting for storage (of which
`commit` in the shared commit), `gateway` in the outside world and `proximo` waiting for the next
hop. What is left is own work and waiting for the event loop or thread.
"""

from __future__ import annotations

from math import inf


class Contexto:
    """One call's deadline (monotonic seconds), idempotency key and time spent, in seconds."""

    __slots__ = (
        "abaixo", "banco", "chave", "commit", "fila", "gateway", "prazo", "primeira", "proximo",
        "sondagem", "tentativa",
    )  # fmt: skip

    def __init__(self, prazo: float = inf, chave: str | None = None) -> None:
        self.prazo = prazo
        self.chave = chave
        # Which attempt at an order the next call is, when its caller counts them; 0 when not.
        self.tentativa = 0
        # True when the caller vouches that this service has never been asked about the order. A
        # hint that may save a look-up, never a ground to do or leave out an effect.
        self.primeira = False
        # True when the call under way tries a neighbour whose circuit breaker is open.
        self.sondagem = False
        self.fila = 0.0
        self.banco = 0.0
        self.commit = 0.0
        self.gateway = 0.0
        self.proximo = 0.0
        self.abaixo = ""

    def absorver(self, outro: Contexto) -> None:
        """Add the time that a task spent on this call's behalf."""
        self.fila += outro.fila
        self.banco += outro.banco
        self.commit += outro.commit
        self.gateway += outro.gateway
        self.proximo += outro.proximo
        self.abaixo = outro.abaixo or self.abaixo

    def registro(self, servico: str, duracao_s: float) -> str:
        """The timing record so far, this hop first."""
        texto = f"{servico};dur={duracao_s * 1e3:.3f}"
        if self.fila:
            texto += f";fila={self.fila * 1e3:.3f}"
        if self.banco:
            texto += f";banco={self.banco * 1e3:.3f};commit={self.commit * 1e3:.3f}"
        if self.gateway:
            texto += f";gateway={self.gateway * 1e3:.3f}"
        if self.proximo:
            texto += f";proximo={self.proximo * 1e3:.3f}"
        return f"{texto}, {self.abaixo}" if self.abaixo else texto
