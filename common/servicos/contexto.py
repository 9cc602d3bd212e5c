"""What travels with a call besides its message: the deadline, the key and the timing record.

The timing record is one per order and grows hop by hop: each hop answers with its own entry in
front of those of the hops below. `Server-Timing` on REST, trailing metadata on gRPC, attribution
and spans all read this one text (https://www.w3.org/TR/server-timing/):

    pedidos;dur=9.212;banco=1.903;commit=0.804;proximo=6.911, pagamentos;dur=6.102;banco=...

All values are milliseconds; what took no time is left out. `dur` is the hop's time from arrival to
answer; within it `fila` was spent waiting for admission, `banco` waiting for storage (of which
`commit` in the shared commit), `gateway` in the outside world and `proximo` waiting for the next
hop. What is left is own work and waiting for the event loop or thread.

The caller may ask for one order's record to be complete (`completo`). Each hop then measures the
call from the inside (the port `Medidor`), and its entry tells all parts apart: `trabalho` is the
processor time of the hop's own code, `espera` the time it could have run and did not, and `banco`,
`gateway` and `proximo` end when what was waited for was there. `proximo` is then of the last call to
the next hop alone, and `tentativas` of those before it, whose answer was lost. `em` and `saida` are instants on the
machine's monotonic clock: the call's arrival, and the departure of the call to the next hop.
"""

from __future__ import annotations

from collections.abc import Coroutine
from math import inf
from typing import Any, Literal, Protocol, TypeVar

R = TypeVar("R")

# What a call may wait for.
Secao = Literal["banco", "gateway", "proximo"]


class Medidor(Protocol):
    """Measures one sampled call in its process; see `common/timing.py`. Instants are seconds."""

    inicio: float
    saida: float

    def entrar(self, secao: Secao) -> str:
        """Claim the waits from here on; returns what `sair` wants."""

    def sair(self, antes: str) -> None:
        """Give the claim up."""

    def pronto(self, instante: float) -> None:
        """What the last wait was for was there at `instante`."""

    def outro(self) -> Medidor:
        """A meter for a task begun now on this call's behalf."""

    def medir(self, corrotina: Coroutine[Any, Any, R]) -> Coroutine[Any, Any, R]:
        """The coroutine, its steps measured."""

    def absorver(self, outro: Any) -> None:
        """Have the segments of a task's meter stand for this call's own while it was alive."""

    def partes(self) -> dict[str, float]:
        """Seconds of each part so far."""


class Contexto:
    """One call's deadline (monotonic seconds), idempotency key and time spent, in seconds."""

    __slots__ = (
        "abaixo", "banco", "chave", "commit", "completo", "fila", "gateway", "medidor", "prazo",
        "primeira", "proximo", "sondagem", "tentativa",
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
        # True when the next hop is to tell its time in full; this hop does when it has a meter.
        self.completo = False
        self.medidor: Medidor | None = None

    def derivar(self, prazo: float) -> Contexto:
        """The context of a task on this call's behalf; measured when this one is."""
        outro = Contexto(prazo)
        if self.medidor is not None:
            outro.completo, outro.medidor = True, self.medidor.outro()
        return outro

    def medir(self, corrotina: Coroutine[Any, Any, R]) -> Coroutine[Any, Any, R]:
        """The coroutine that does this call's work, measured when the call is."""
        return corrotina if self.medidor is None else self.medidor.medir(corrotina)

    def entrar(self, secao: Secao) -> str:
        """The waits from here on are this section's; returns what `sair` wants."""
        return "" if self.medidor is None else self.medidor.entrar(secao)

    def sair(self, antes: str) -> None:
        """Leave a section."""
        if self.medidor is not None:
            self.medidor.sair(antes)

    def pronto(self, instante: float) -> None:
        """What the last wait was for was there at `instante`; since then this call waited to run."""
        if self.medidor is not None:
            self.medidor.pronto(instante)

    def absorver(self, outro: Contexto) -> None:
        """Add the time that a task spent on this call's behalf."""
        self.fila += outro.fila
        self.banco += outro.banco
        self.commit += outro.commit
        self.gateway += outro.gateway
        self.proximo += outro.proximo
        self.abaixo = outro.abaixo or self.abaixo
        if self.medidor is not None and outro.medidor is not None:
            self.medidor.absorver(outro.medidor)

    def registro(self, servico: str, duracao_s: float) -> str:
        """The timing record so far, this hop first."""
        texto = f"{servico};dur={duracao_s * 1e3:.3f}"
        medidor = self.medidor
        banco, gateway, proximo = self.banco, self.gateway, self.proximo
        partes: dict[str, float] = {}
        if medidor is not None:
            partes = medidor.partes()
            texto += f";em={medidor.inicio * 1e3:.3f}"
            texto += f";espera={partes.get('espera', 0.0) * 1e3:.3f}"
            texto += f";trabalho={partes.get('trabalho', 0.0) * 1e3:.3f}"
            banco, gateway = partes.get("banco", 0.0), partes.get("gateway", 0.0)
            proximo = partes.get("proximo", 0.0)
        if self.fila:
            texto += f";fila={self.fila * 1e3:.3f}"
        if banco:
            texto += f";banco={banco * 1e3:.3f};commit={self.commit * 1e3:.3f}"
        if gateway:
            texto += f";gateway={gateway * 1e3:.3f}"
        if proximo:
            texto += f";proximo={proximo * 1e3:.3f}"
            if (tentativas := partes.get("tentativas", 0.0)) > 0:
                texto += f";tentativas={tentativas * 1e3:.3f}"
            if medidor is not None:
                texto += f";saida={medidor.saida * 1e3:.3f}"
        return f"{texto}, {self.abaixo}" if self.abaixo else texto
