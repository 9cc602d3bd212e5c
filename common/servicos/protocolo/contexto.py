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

Of an order in a trace each entry ends in `rastro`: the call's arrival on the machine's monotonic
clock, then what it waited for, as a letter and from when to when after its arrival, then after a `!`
the category of an answer that is an error. All in microseconds; `b` is storage, `g` the gateway, `p` a
step in the next service, `x` its undoing there, `c` a question to another one. A wait that was the only
one of its section says only when it began, since that section says how long it was. A call that was
answered with an error says so after a `!`, one that was not answered ends in `?`:

    fiscal;dur=3.490;banco=0.790;commit=0.510;proximo=2.310;rastro=62984341690|b210|p1090
    fiscal;dur=40.100;…;rastro=62984341690|b210|p1090-3400?|p23400-40000!conflito|!conflito
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from math import inf
from typing import Any, Final, Literal, Protocol, TypeVar

from common.erros import ErroServico, indisponivel

R = TypeVar("R")

# What a call may wait for.
Secao = Literal["banco", "gateway", "proximo"]
# What a wait was for, as `trechos` says it.
Trecho = Literal["b", "g", "p", "x", "c"]
# Waits of one call that its record tells; an order that is asked for again and again has more.
TRECHOS_MAX: Final = 32
# The section of each.
SECOES: Final[dict[str, Secao]] = {
    "b": "banco", "g": "gateway", "p": "proximo", "x": "proximo", "c": "proximo",
}  # fmt: skip
# What begins the part of an entry that only a trace asks for: its last parameter.
RASTRO: Final = ";rastro="


class Medidor(Protocol):
    """Measures one sampled call in its process; see `common/telemetry/timing.py`. Instants are seconds."""

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
        "abaixo", "ausente", "banco", "calado", "chave", "chegada", "commit", "completo", "desfechos", "fila", "gateway",
        "instantes", "medidor", "pedido_id", "prazo", "primeira", "proximo", "rastro",
        "rastro_estado", "rastro_pai", "rastro_proprio", "resposta", "sondagem", "tentativa",
        "trechos", "vigia",
    )  # fmt: skip

    def __init__(self, prazo: float = inf, chave: str | None = None) -> None:
        self.prazo = prazo
        self.chave = chave
        # Says whether the caller has gone, where the transport knows and does not cancel the call.
        self.ausente: Callable[[], bool] | None = None
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
        # The trace that the call belongs to, as it travels, "" for none; the vendors' list beside it;
        # whether the trace began with this call; the call's arrival (monotonic) and its waits, a letter
        # and two instants each, microseconds after it.
        self.rastro = ""
        self.rastro_estado = ""
        self.rastro_proprio = False
        # At the edge, the span of the caller, whose place in `rastro` an id of our own has taken.
        self.rastro_pai = ""
        self.chegada = 0.0
        self.trechos = ""
        # Of calls that failed, by their place among the waits, how.
        self.desfechos: dict[int, str] | None = None
        self.instantes: list[float] = []
        # Whether there were waits besides, so that a section may be longer than those that are told.
        self.calado = False
        # Who is told of this call, and its answer once there is one.
        self.vigia: Any = None
        # The order that it is about, where the message says so; 0 where it does not.
        self.pedido_id = 0
        self.resposta: Any = None

    def conferir_presenca(self) -> None:
        """Before an effect. Raises ErroServico (unavailable) when the caller has gone."""
        if self.ausente is not None and self.ausente():
            raise indisponivel("quem chamou já se foi")

    def derivar(self, prazo: float) -> Contexto:
        """The context of a task on this call's behalf; measured when this one is."""
        outro = Contexto(prazo)
        outro.seguir(self)
        if self.medidor is not None:
            outro.completo, outro.medidor = True, self.medidor.outro()
        return outro

    def seguir(self, outro: Contexto) -> None:
        """Belong to the other's trace."""
        self.rastro, self.rastro_estado = outro.rastro, outro.rastro_estado
        self.chegada = outro.chegada

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

    def esperou(self, por: Trecho, inicio: float, fim: float) -> None:
        """The call waited for something from one instant to another; adds to the time spent on it."""
        if por == "b":
            self.banco += fim - inicio
        elif por == "g":
            self.gateway += fim - inicio
        else:
            self.proximo += fim - inicio
        if self.rastro and len(self.trechos) >= TRECHOS_MAX:
            self.calado = True
        elif self.rastro:
            desde = self.chegada
            self.trechos += por
            self.instantes += ((inicio - desde) * 1e6, (fim - desde) * 1e6)
            erro = sys.exc_info()[1]
            if erro is not None and SECOES[por] == "proximo":
                # Whoever answered, if only with an error, has its entry here already.
                if self.abaixo and isinstance(erro, ErroServico):
                    self.falhou(f"!{erro.categoria.value}")
                else:
                    self.falhou("?")

    def falhou(self, como: str) -> None:
        """The last wait was for a call that failed: `!` and a category, or `?` for no answer."""
        if self.trechos:
            if self.desfechos is None:
                self.desfechos = {}
            self.desfechos[len(self.trechos) - 1] = como

    def esperas(self, por: Trecho) -> int:
        """How often it has waited for this."""
        return self.trechos.count(por)

    def absorver(self, outro: Contexto) -> None:
        """Add the time that a task spent on this call's behalf."""
        self.fila += outro.fila
        self.banco += outro.banco
        self.commit += outro.commit
        self.gateway += outro.gateway
        self.proximo += outro.proximo
        self.abaixo = outro.abaixo or self.abaixo
        if outro.desfechos:
            before = len(self.trechos)
            theirs = {before + place: como for place, como in outro.desfechos.items()}
            self.desfechos = (self.desfechos or {}) | theirs
        if outro.instantes:
            # A drive that somebody else had begun counts from another arrival.
            antes = (outro.chegada - self.chegada) * 1e6
            self.trechos += outro.trechos
            self.instantes += [antes + instante for instante in outro.instantes]
        elif outro.banco or outro.gateway or outro.proximo:
            self.calado = True
        self.calado = self.calado or outro.calado
        if self.medidor is not None and outro.medidor is not None:
            self.medidor.absorver(outro.medidor)

    def registro(self, servico: str, duracao_s: float, erro: str = "") -> str:
        """The timing record so far, this hop first.

        `erro` is the category of the answer where that is an error.
        """
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
        if self.rastro:
            texto += self._para_o_rastro(erro)
        return f"{texto}, {self.abaixo}" if self.abaixo else texto

    def _para_o_rastro(self, erro: str) -> str:
        """What the entry says for a trace."""
        pela_secao = self.medidor is None and not self.calado
        forma, quais = (_FORMAS if pela_secao else _FORMAS_CHEIAS)[self.trechos]
        instantes = self.instantes
        if quais is not None:
            instantes = [instantes[qual] for qual in quais]
        texto = forma % (self.chegada * 1e6, *instantes)
        if self.desfechos is not None:
            texto = _com_desfechos(texto, self.desfechos)
        return f"{texto}|!{erro}" if erro else texto


def _com_desfechos(escrito: str, desfechos: dict[int, str]) -> str:
    chegada, *trechos = escrito.split("|")
    ditos = [trecho + desfechos.get(lugar, "") for lugar, trecho in enumerate(trechos)]
    return "|".join([chegada, *ditos])


class _Formas(dict[str, tuple[str, list[int] | None]]):
    """How waits of a sequence of kinds are written, and which of their instants, None for all.

    Few sequences ever occur, but a caller that asks again and again makes longer ones.
    """

    def __init__(self, *, pela_secao: bool) -> None:
        """`pela_secao`: a wait that is alone in its section is as long as that."""
        super().__init__()
        self._pela_secao = pela_secao

    def __missing__(self, trechos: str) -> tuple[str, list[int] | None]:
        quantos = Counter(SECOES[por] for por in trechos)
        forma, quais = f"{RASTRO}%d", []
        for lugar, por in enumerate(trechos):
            so = self._pela_secao and quantos[SECOES[por]] == 1
            forma += f"|{por}%d" if so else f"|{por}%d-%d"
            quais += [2 * lugar] if so else [2 * lugar, 2 * lugar + 1]
        dita = (forma, quais if len(quais) < 2 * len(trechos) else None)
        if len(self) < _FORMAS_MAX:
            self[trechos] = dita
        return dita


_FORMAS_MAX: Final = 1_024
_FORMAS: Final = _Formas(pela_secao=True)
# A call that is measured has its sections from elsewhere, and one that tells not all has them longer.
_FORMAS_CHEIAS: Final = _Formas(pela_secao=False)


def sem_rastro(registro: str) -> str:
    """A record without what only a trace asks for."""
    return ", ".join([entrada.partition(RASTRO)[0] for entrada in registro.split(", ")])
