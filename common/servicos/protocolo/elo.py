"""One link of the chain: the protocol of a step, written once for the four services behind Pedidos.

Forward: commit the own effect, then call the next hop. Done: add the own data to the answer.
Refused: undo the own effect durably, then say refused. Anything else is unknown and compensates
nothing, so it simply propagates as an error.

Cancelling: write nothing on the way down, and do not go down at all for an imported order. At the
pivot (Logistica) the tombstone or the shipment decides. On the way back from a tombstone each link, in one unit, undoes its row or, having none,
writes its own tombstone, which a late forward step will meet.

Why that is safe: an undone row or a tombstone arises only behind Logistica's tombstone or behind a
durable no, so a refusal implies that no shipment exists or ever will.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from hashlib import blake2b
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import msgspec

from common import contratos as c
from common.erros import conflito, nao_encontrado, precondicao
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.portas import Clock, Database, Faults
from common.servicos.protocolo.sql import Importada
from common.servicos.protocolo.transicoes import AUSENTE, Transicoes, transicionar

TOMBSTONE = "tombstone"
IMPORTADO = "importado"

# The arbiter of a service: one row an order, and the log of what happened to it. `resumo` is the
# hash of the values that the step was asked with; a tombstone has none.
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
# What a room that has steps imported, beside its documents.
PASSOS_IMPORTADOS = Importada("passos", ("pedido_id", "motivo", "resumo"), "estado = 'importado'")

_LER = "SELECT estado, motivo, resumo FROM passos WHERE pedido_id = ?"
_INSERIR = "INSERT INTO passos (pedido_id, estado, motivo, resumo) VALUES (?, ?, ?, ?)"
_MUDAR = "UPDATE passos SET estado = ?, motivo = ? WHERE pedido_id = ?"
_LOG = "INSERT INTO transicoes (pedido_id, de, para, motivo, instante) VALUES (?, ?, ?, ?, ?)"

_codificar = msgspec.msgpack.Encoder().encode


def resumo_de(mensagem: c.Mensagem) -> bytes:
    """A hash of a message's values, the same however they were written on the wire."""
    return blake2b(_codificar(mensagem), digest_size=16).digest()


class Passo(NamedTuple):
    """What a service holds of an order: its state, why, and what it adds to the answer.

    `motivo` is None as long as the step stands; a refused, undone or fenced one has its reason.
    """

    estado: str
    motivo: Any
    partes: dict[str, Any]


def _recusar_importado(pedido_id: int, estado: str) -> None:
    if estado == IMPORTADO:
        raise precondicao(f"o pedido {pedido_id} é do histórico importado")


Req = TypeVar(
    "Req",
    c.ProcessarPagamentoRequest,
    c.SepararEstoqueRequest,
    c.EmitirNotaFiscalRequest,
    c.AgendarEnvioRequest,
)


class Passos(ABC, Generic[Req]):
    """The local half of a step: what one service does with an order in its own database."""

    TRANSICOES: ClassVar[Transicoes]
    # Set where faults are meant to happen; None in every normal run.
    falhas: Faults | None = None

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @abstractmethod
    def _fazer(
        self, con: sqlite3.Connection, req: Req, preparo: Any, instante: str
    ) -> tuple[str, str | None, dict[str, Any]]:
        """Do the local effect; returns the event, the reason of a no, and the answer's parts."""

    @abstractmethod
    def _ler_partes(self, con: sqlite3.Connection, pedido_id: int) -> dict[str, Any]:
        """What this service adds to the answer for an order that it knows."""

    async def _preparar(self, ctx: Contexto, req: Req) -> Any:
        """What must be known before the local effect, outside of any transaction."""

    async def executar(self, ctx: Contexto, req: Req) -> Passo:
        """The local half of the forward step; done once, found done ever after."""
        preparo = await self._preparar(ctx, req)
        if self.falhas is not None:
            await self.falhas.em("P0", req.pedido_id)
        ctx.conferir_presenca()
        return await self._database.unit(ctx, self._registrar, req, preparo)

    def _registrar(self, con: sqlite3.Connection, req: Req, preparo: Any) -> Passo:
        pedido_id, resumo = req.pedido_id, resumo_de(req)
        linha = con.execute(_LER, (pedido_id,)).fetchone()
        if linha is None:
            instante = self._clock.timestamp()
            evento, motivo, partes = self._fazer(con, req, preparo, instante)
            estado = transicionar(self.TRANSICOES, AUSENTE, evento)
            con.execute(_INSERIR, (pedido_id, estado, motivo, resumo))
            con.execute(_LOG, (pedido_id, AUSENTE, estado, motivo, instante))
            return Passo(estado, motivo, partes)
        estado, motivo, resumo_gravado = linha
        if estado != TOMBSTONE and resumo_gravado != resumo:
            raise conflito(f"o pedido {pedido_id} já foi recebido com outros valores")
        return Passo(estado, motivo, self._ler_partes(con, pedido_id))

    def _cercar(self, con: sqlite3.Connection, pedido_id: int, motivo: Any) -> Passo:
        """The stored step, or a fresh tombstone where there is none."""
        linha = con.execute(_LER, (pedido_id,)).fetchone()
        if linha is None:
            estado = transicionar(self.TRANSICOES, AUSENTE, "anular")
            con.execute(_INSERIR, (pedido_id, estado, motivo, None))
            con.execute(_LOG, (pedido_id, AUSENTE, estado, motivo, self._clock.timestamp()))
            return Passo(estado, motivo, {})
        _recusar_importado(pedido_id, linha[0])
        return Passo(linha[0], linha[1], self._ler_partes(con, pedido_id))

    def _conferir_cancelavel(self, con: sqlite3.Connection, pedido_id: int) -> None:
        """Raises ErroServico (precondition) for an imported order; one unknown here passes."""
        linha = con.execute(_LER, (pedido_id,)).fetchone()
        if linha is not None:
            _recusar_importado(pedido_id, linha[0])

    def _consultar_passo(self, con: sqlite3.Connection, pedido_id: int) -> tuple[str, Any]:
        """State and reason. Raises ErroServico (not found) for an order never seen here."""
        linha = con.execute(_LER, (pedido_id,)).fetchone()
        if linha is None:
            raise nao_encontrado(f"o pedido {pedido_id} não é conhecido por este serviço")
        return linha[0], linha[1]


class Elo(Passos[Req]):
    """A step with another behind it; a room supplies its table, effect, undo and next hop."""

    # The event that takes back a step that was done.
    DESFAZER: ClassVar[str]

    @abstractmethod
    def _desfazer(self, con: sqlite3.Connection, pedido_id: int, instante: str) -> None:
        """Take the local effect back."""

    @abstractmethod
    async def _seguir(self, ctx: Contexto, req: Req, passo: Passo) -> c.AndamentoResponse:
        """What comes next once the own effect is durable."""

    @abstractmethod
    async def _seguir_cancelando(
        self, ctx: Contexto, req: c.CancelarPassoRequest
    ) -> c.AndamentoResponse:
        """What comes next on the way down of a cancelling call."""

    async def _antes_de_desfazer(self, ctx: Contexto, pedido_id: int) -> None:
        """What must be undone outside before the local undo."""

    async def avancar(self, ctx: Contexto, req: Req) -> c.AndamentoResponse:
        """The forward step, in its two halves: commit the local effect, then go on."""
        passo = await self.executar(ctx, req)
        if passo.motivo is not None:
            if self.falhas is not None:
                await self.falhas.em("P5", req.pedido_id)
            return c.AndamentoResponse(req.pedido_id, "cancelado", passo.motivo, **passo.partes)
        if self.falhas is None:
            andamento = await self._seguir(ctx, req, passo)
        else:
            andamento = await self.falhas.chamada(
                req.pedido_id, lambda: self._seguir(ctx, req, passo)
            )
        if andamento.status == "enviado":
            if self.falhas is not None:
                await self.falhas.em("P5", req.pedido_id)
            return msgspec.structs.replace(andamento, **passo.partes)
        return await self._retroceder(ctx, req.pedido_id, andamento)

    async def cancelar(self, ctx: Contexto, req: c.CancelarPassoRequest) -> c.AndamentoResponse:
        """The cancelling step: down first, undo on the way back from a tombstone.

        Raises ErroServico (precondition) for an imported order, with nothing done.
        """
        # Before anything below or outside is touched. No order becomes imported later on.
        await self._database.read(ctx, self._conferir_cancelavel, req.pedido_id)
        if self.falhas is None:
            andamento = await self._seguir_cancelando(ctx, req)
        else:
            andamento = await self.falhas.chamada(
                req.pedido_id, lambda: self._seguir_cancelando(ctx, req)
            )
        if andamento.status == "enviado":
            partes = await self._database.read(ctx, self._ler_partes, req.pedido_id)
            return msgspec.structs.replace(andamento, **partes)
        return await self._retroceder(ctx, req.pedido_id, andamento)

    async def _retroceder(
        self, ctx: Contexto, pedido_id: int, andamento: c.AndamentoResponse
    ) -> c.AndamentoResponse:
        await self._antes_de_desfazer(ctx, pedido_id)
        if self.falhas is not None:
            await self.falhas.em("P4", pedido_id)
        partes = await self._database.unit(ctx, self._anular, pedido_id, andamento.motivo)
        if self.falhas is not None:
            await self.falhas.em("P5", pedido_id)
        return msgspec.structs.replace(andamento, **partes)

    def _anular(self, con: sqlite3.Connection, pedido_id: int, motivo: Any) -> dict[str, Any]:
        passo = self._cercar(con, pedido_id, motivo)
        if passo.motivo is not None:
            return passo.partes
        instante = self._clock.timestamp()
        novo = transicionar(self.TRANSICOES, passo.estado, self.DESFAZER)
        self._desfazer(con, pedido_id, instante)
        con.execute(_MUDAR, (novo, motivo, pedido_id))
        con.execute(_LOG, (pedido_id, passo.estado, novo, motivo, instante))
        return self._ler_partes(con, pedido_id)
