"""The payment gateway, simulated: the outside world, with books of its own.

Latency and verdict are drawn from the seed and the key, so a retry cannot change the verdict. A
key charges at most once. Voiding a key gives back what it was charged; voiding an unknown key
makes a later charge refused. Its books are as durable as a real gateway's: what it has answered is
on the disk, so that it never forgets a charge behind a shipment, or a refund.
"""

from __future__ import annotations

from collections.abc import Coroutine
from hashlib import blake2b
from typing import Any, NamedTuple, TypeVar

from common.erros import conflito
from common.servicos.protocolo.account import Account
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.portas import Clock, Database, Veredito
from common.servicos.protocolo.tabelas import Facts, Table
from common.servicos.protocolo.transicoes import AUSENTE, Transicoes

R = TypeVar("R")

TRANSICOES: Transicoes = {
    (AUSENTE, "capturar"): "capturada",
    (AUSENTE, "negar"): "negada",
    (AUSENTE, "anular"): "anulada",
    ("capturada", "anular"): "anulada",
    ("negada", "anular"): "anulada",
}

# The net charge of a key is cobrado_centavos - estornado_centavos.
ESQUEMA = """
CREATE TABLE cobrancas (
    chave TEXT PRIMARY KEY,
    valor_centavos INTEGER,
    situacao TEXT NOT NULL,
    cobrado_centavos INTEGER NOT NULL DEFAULT 0,
    estornado_centavos INTEGER NOT NULL DEFAULT 0,
    instante TEXT NOT NULL
);
"""


class Cobrada(NamedTuple):
    """A key that was charged or voided. `valor_centavos` is None where it was voided first."""

    chave: str
    valor_centavos: int | None
    situacao: Veredito
    cobrado_centavos: int
    estornado_centavos: int
    instante: str


COBRANCAS: Table[str, Cobrada] = Table(
    "cobrancas", Cobrada, "chave", changes=("situacao", "estornado_centavos")
)


def sorteio(semente: int, chave: str) -> tuple[float, float]:
    """Two uniform draws in [0, 1) that depend on the seed and the key alone."""
    bruto = blake2b(f"{semente}:{chave}".encode(), digest_size=16).digest()
    return (
        int.from_bytes(bruto[:8], "big") / 2**64,
        int.from_bytes(bruto[8:], "big") / 2**64,
    )


class GatewaySimulado:
    """Charges after `latencia_min_s`..`latencia_max_s`; approves a share `aprovacao` of keys."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        semente: int,
        latencia_min_s: float,
        latencia_max_s: float,
        aprovacao: float,
    ) -> None:
        self._database = database
        self._clock = clock
        self._semente = semente
        self._latencia_min_s = latencia_min_s
        self._latencia_max_s = latencia_max_s
        self._aprovacao = aprovacao

    async def cobrar(self, ctx: Contexto, chave: str, valor_centavos: int) -> Veredito:
        """Charge once for `chave`. Raises ErroServico (conflict) for a key with another value."""
        return await self._fora(ctx, self._cobrar(ctx, chave, valor_centavos))

    async def anular(self, ctx: Contexto, chave: str) -> None:
        """Void a key, charged or not."""
        await self._fora(
            ctx, self._database.unit(_nosso(ctx), (COBRANCAS.of(chave),), self._estornar, chave)
        )

    async def _fora(self, ctx: Contexto, chamada: Coroutine[Any, Any, R]) -> R:
        """Await what happens in the outside world: all its time is the gateway's."""
        inicio, antes = self._clock.now(), ctx.account.enter("gateway")
        try:
            return await chamada
        finally:
            ctx.account.leave(antes)
            ctx.account.waited("g", inicio, self._clock.now())

    async def _cobrar(self, ctx: Contexto, chave: str, valor_centavos: int) -> Veredito:
        demora, veredito = sorteio(self._semente, chave)
        latencia = self._latencia_min_s + demora * (self._latencia_max_s - self._latencia_min_s)
        if latencia > 0:
            ate = self._clock.now() + latencia
            await self._clock.sleep(latencia)
            ctx.account.ready(ate)
        pretendida: Veredito = "capturada" if veredito < self._aprovacao else "negada"
        return await self._database.unit(
            _nosso(ctx), (COBRANCAS.of(chave),), self._registrar, chave, valor_centavos, pretendida
        )

    def _registrar(
        self, fatos: Facts, chave: str, valor_centavos: int, situacao: Veredito
    ) -> Veredito:
        gravada = fatos.get(COBRANCAS, chave)
        if gravada is None:
            cobrado, instante = valor_centavos if situacao == "capturada" else 0, self._agora()
            fatos.insert(COBRANCAS, Cobrada(chave, valor_centavos, situacao, cobrado, 0, instante))
            return situacao
        if gravada.situacao != "anulada" and gravada.valor_centavos != valor_centavos:
            raise conflito(f"a chave {chave} já foi cobrada com outro valor")
        return gravada.situacao

    def _estornar(self, fatos: Facts, chave: str) -> None:
        gravada = fatos.get(COBRANCAS, chave)
        if gravada is None:
            fatos.insert(COBRANCAS, Cobrada(chave, None, "anulada", 0, 0, self._agora()))
        else:
            devolvido = gravada.cobrado_centavos
            fatos.change(
                COBRANCAS, gravada._replace(situacao="anulada", estornado_centavos=devolvido)
            )

    def _agora(self) -> str:
        return self._clock.timestamp()


def _nosso(ctx: Contexto) -> Contexto | None:
    """Where the gateway's own storage notes its time: with nobody, or with the meter alone."""
    if ctx.account.meter is None:
        return None
    return Contexto(ctx.prazo, account=Account(meter=ctx.account.meter))
