"""The rule of a step, and the arbiter that holds an order to it. Nothing here awaits.

A room supplies its rule (`Passo`): what it does, how it takes that back, which message comes next.
The arbiter (`Arbitro`) is the same in the four services behind Pedidos: one row per order says what
became of the step, and what was done once is found done ever after. How an order goes on after a
step is decided elsewhere (`continuation.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from hashlib import blake2b
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import msgspec

from common import contratos as c
from common.erros import conflito, nao_encontrado, precondicao
from common.servicos.protocolo.portas import Clock
from common.servicos.protocolo.sql import Importada
from common.servicos.protocolo.tabelas import Facts, Ledger, Look, Read, Table
from common.servicos.protocolo.transicoes import AUSENTE, Transicoes, transicionar

TOMBSTONE = "tombstone"
IMPORTADO = "importado"


class LinhaPasso(NamedTuple):
    """What became of an order's step. A tombstone has no `resumo`: nothing was asked."""

    pedido_id: int
    estado: str
    motivo: Any
    resumo: bytes | None


class Transicao(NamedTuple):
    """One change of an order's state."""

    pedido_id: int
    de: str
    para: str
    motivo: str | None
    instante: str


PASSOS: Table[int, LinhaPasso] = Table(
    "passos", LinhaPasso, "pedido_id", changes=("estado", "motivo")
)
TRANSICOES: Ledger[int, Transicao] = Ledger("transicoes", Transicao, "pedido_id")

ESQUEMA_PASSOS = """
CREATE TABLE passos (
    pedido_id INTEGER PRIMARY KEY,
    estado TEXT NOT NULL,
    motivo TEXT,
    resumo BLOB
);
CREATE TABLE transicoes (
    id INTEGER PRIMARY KEY,
    pedido_id INTEGER NOT NULL,
    de TEXT NOT NULL,
    para TEXT NOT NULL,
    motivo TEXT,
    instante TEXT NOT NULL
);
"""
# The part of the import in a room whose steps were imported, besides its documents.
PASSOS_IMPORTADOS = Importada("passos", ("pedido_id", "motivo", "resumo"), "estado = 'importado'")

_codificar = msgspec.msgpack.Encoder().encode

# What a service adds to an order's answer, by field.
Partes = dict[str, Any]


def resumo_de(mensagem: c.Mensagem) -> bytes:
    """A hash of a message's values, the same however they were written on the wire."""
    return blake2b(_codificar(mensagem), digest_size=16).digest()


class Feito(NamedTuple):
    """The step was done: the event in the room's table of transitions, and the answer's parts."""

    evento: str
    partes: Partes


class Recusado(NamedTuple):
    """The business says no, durably: the event, the reason, and the answer's parts."""

    evento: str
    motivo: str
    partes: Partes


class Situacao(NamedTuple):
    """What a service holds of an order. `motivo` is None while the step stands."""

    estado: str
    motivo: Any
    partes: Partes


Req = TypeVar(
    "Req",
    c.ProcessarPagamentoRequest,
    c.SepararEstoqueRequest,
    c.EmitirNotaFiscalRequest,
    c.AgendarEnvioRequest,
)


class Passo(ABC, Generic[Req]):
    """The rule of one service: pure, over facts that it names beforehand."""

    TRANSICOES: ClassVar[Transicoes]
    # The event that takes a done step back. The pivot has none: nothing takes it back.
    DESFAZER: ClassVar[str] = ""

    @abstractmethod
    def fatos(self, req: Req) -> tuple[Read, ...]:
        """Name the rows that `aplicar` needs."""

    @abstractmethod
    def documentos(self, pedido_id: int) -> tuple[Read, ...]:
        """Name the rows that `desfazer` and `partes` need."""

    @abstractmethod
    def aplicar(self, fatos: Facts, req: Req, preparo: Any, instante: str) -> Feito | Recusado:
        """Do the local effect. `preparo` is what the outside world said beforehand.

        Raises ErroServico where it can neither be done nor refused now: nothing is kept.
        """

    def desfazer(self, fatos: Facts, pedido_id: int, instante: str) -> None:
        """Take the local effect back."""

    @abstractmethod
    def partes(self, fatos: Look, pedido_id: int, estado: str) -> Partes:
        """The answer's parts of an order that stands in `estado` here."""

    @abstractmethod
    def proxima(self, req: Req, partes: Partes) -> c.Mensagem | None:
        """The message to the next service; None at the pivot."""


class Arbitro(Generic[Req]):
    """Holds every order to one outcome of one rule: sync functions for units of work."""

    def __init__(self, passo: Passo[Req], clock: Clock) -> None:
        self.passo: Passo[Req] = passo
        self._clock = clock

    def leituras(self, req: Req) -> tuple[Read, ...]:
        """Name the rows that `registrar` needs."""
        return PASSOS.of(req.pedido_id), *self.passo.fatos(req)

    def registrar(self, fatos: Facts, req: Req, preparo: Any) -> Situacao:
        """The forward step: done once, found done ever after.

        Raises ErroServico (conflict) for an order that was received with other values.
        """
        pedido_id, resumo = req.pedido_id, resumo_de(req)
        linha = fatos.get(PASSOS, pedido_id)
        if linha is None:
            instante = self._clock.timestamp()
            feito = self.passo.aplicar(fatos, req, preparo, instante)
            motivo = feito.motivo if isinstance(feito, Recusado) else None
            estado = transicionar(self.passo.TRANSICOES, AUSENTE, feito.evento)
            fatos.insert(PASSOS, LinhaPasso(pedido_id, estado, motivo, resumo))
            fatos.insert(TRANSICOES, Transicao(pedido_id, AUSENTE, estado, motivo, instante))
            return Situacao(estado, motivo, feito.partes)
        if linha.estado != TOMBSTONE and linha.resumo != resumo:
            raise conflito(f"o pedido {pedido_id} já foi recebido com outros valores")
        return self._situacao(fatos, linha)

    def leituras_de(self, pedido_id: int) -> tuple[Read, ...]:
        """Name the rows that everything but `registrar` needs."""
        return PASSOS.of(pedido_id), *self.passo.documentos(pedido_id)

    def cercar(self, fatos: Facts, pedido_id: int, motivo: Any) -> Situacao:
        """The stored step, or a fresh tombstone where there is none.

        Raises ErroServico (precondition) for an imported order.
        """
        linha = fatos.get(PASSOS, pedido_id)
        if linha is None:
            estado = transicionar(self.passo.TRANSICOES, AUSENTE, "anular")
            fatos.insert(PASSOS, LinhaPasso(pedido_id, estado, motivo, None))
            instante = self._clock.timestamp()
            fatos.insert(TRANSICOES, Transicao(pedido_id, AUSENTE, estado, motivo, instante))
            return Situacao(estado, motivo, {})
        _recusar_importado(linha)
        return self._situacao(fatos, linha)

    def anular(self, fatos: Facts, pedido_id: int, motivo: Any) -> Partes:
        """Undo the step, or fence the order off where there is none; undone once."""
        situacao = self.cercar(fatos, pedido_id, motivo)
        if situacao.motivo is not None:
            return situacao.partes
        instante = self._clock.timestamp()
        novo = transicionar(self.passo.TRANSICOES, situacao.estado, self.passo.DESFAZER)
        self.passo.desfazer(fatos, pedido_id, instante)
        linha = existente(fatos.get(PASSOS, pedido_id))
        fatos.change(PASSOS, linha._replace(estado=novo, motivo=motivo))
        fatos.insert(TRANSICOES, Transicao(pedido_id, situacao.estado, novo, motivo, instante))
        return self.passo.partes(fatos, pedido_id, novo)

    def partes(self, fatos: Look, pedido_id: int) -> Partes:
        """The answer's parts; none for an order that is unknown here."""
        linha = fatos.get(PASSOS, pedido_id)
        return {} if linha is None else self.passo.partes(fatos, pedido_id, linha.estado)

    def _situacao(self, fatos: Look, linha: LinhaPasso) -> Situacao:
        partes = self.passo.partes(fatos, linha.pedido_id, linha.estado)
        return Situacao(linha.estado, linha.motivo, partes)


def conferir_cancelavel(fatos: Look, pedido_id: int) -> None:
    """Raises ErroServico (precondition) for an imported order; one unknown here passes."""
    linha = fatos.get(PASSOS, pedido_id)
    if linha is not None:
        _recusar_importado(linha)


def consultar_passo(fatos: Look, pedido_id: int) -> LinhaPasso:
    """The stored step. Raises ErroServico (not found) for an order never seen here."""
    linha = fatos.get(PASSOS, pedido_id)
    if linha is None:
        raise nao_encontrado(f"o pedido {pedido_id} não é conhecido por este serviço")
    return linha


def _recusar_importado(linha: LinhaPasso) -> None:
    if linha.estado == IMPORTADO:
        raise precondicao(f"o pedido {linha.pedido_id} é do histórico importado")


T = TypeVar("T")


def existente(linha: T | None) -> T:
    """A row that must be there: its absence is a defect."""
    assert linha is not None
    return linha
