"""The client's history: what it asked and what it was told, one JSON object a line.

    {"type": "invoke", "op": "criar_pedido", "key": "k1", "process": 3, "time_ns": 12,
     "request": {"cliente_id": 1, "itens": [...], "metodo_pagamento": "pix"}}
    {"type": "ok", "op": "criar_pedido", "key": "k1", "process": 3, "time_ns": 90,
     "pedido_id": 7, "answer": {"pedido_id": 7, "status": "enviado", ...}}

`ok` carries the answer, `fail` means for certain no effect, `info` anything else; an `invoke` that
nothing follows counts as `info`. `time_ns` is the monotonic clock, shared by all callers. A caller
(`process`) does one thing at a time, so an outcome belongs to the invoke before it.

The lines go to a temporary table, not to memory: a study writes millions.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from common import contratos as c
from common.audit.report import AuditError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

# Lines inserted at a time: enough to make the call's own cost vanish, little memory.
_BATCH: Final = 5_000

# `late` lines were written after the services' files were frozen: of those, only that something
# was asked may be used. `body` is a request and `answer` an answer, both in a canonical text that
# Pedidos' rows can be turned into as well; `ended` says that the answer is terminal. `pedido_id` is
# the order that an answer is about, `named_id` the one that the line itself names.
_TABLE: Final = """
CREATE TEMP TABLE history (
    line INTEGER PRIMARY KEY, late INTEGER, type TEXT, op TEXT, key TEXT, process INTEGER,
    time_ns INTEGER, pedido_id INTEGER, named_id INTEGER, status TEXT, ended INTEGER, answer TEXT,
    body TEXT, kind TEXT
)
"""
_INSERT: Final = "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

# `outcome` are the outcomes, each with what was asked and when. `answered` are the answers, and the
# refusals that tell of an order: one that is not found is
# said not to exist, one that can no longer be cancelled to be sent. `refused` are the refusals.
_INDEXES: Final = """
CREATE INDEX temp.history_key ON history (key);
CREATE INDEX temp.history_pedido ON history (pedido_id);
CREATE TEMP TABLE outcome AS
SELECT * FROM (
    SELECT *, LAG(time_ns) OVER caller AS invoked_ns, LAG(body) OVER caller AS invoked_body,
        LAG(pedido_id) OVER caller AS asked_id
    FROM history WHERE NOT late WINDOW caller AS (PARTITION BY process, op, key ORDER BY line))
WHERE type IN ('ok', 'fail');
CREATE TEMP TABLE answered AS
SELECT line, type, op, key, COALESCE(pedido_id, asked_id) AS pedido_id, named_id, asked_id,
    COALESCE(status, CASE kind WHEN 'precondicao' THEN 'enviado' ELSE 'ausente' END) AS status,
    ended, answer, time_ns, invoked_ns, invoked_body
FROM outcome
WHERE type = 'ok' OR (op <> 'criar_pedido' AND kind = 'nao_encontrado')
    OR (op = 'cancelar_pedido' AND kind = 'precondicao');
CREATE INDEX temp.answered_pedido ON answered (pedido_id);
CREATE TEMP TABLE refused AS
SELECT line, op, key, kind, invoked_body, COALESCE(pedido_id, asked_id) AS target_id
FROM outcome WHERE type = 'fail'
"""

# What fits a column.
_Int: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Failure(Struct, frozen=True):
    """Why there was no answer: `kind` is the error's category, `detail` its text."""

    kind: str
    detail: str = ""


class Line(Struct, frozen=True):
    """One line of the history; `request` and `answer` stay as they were written."""

    type: Literal["invoke", "ok", "fail", "info"]
    op: Literal["criar_pedido", "cancelar_pedido", "consultar_pedido"]
    process: _Int
    time_ns: _Int
    key: str | None = None
    pedido_id: _Int | None = None
    request: msgspec.Raw = msgspec.Raw()
    answer: msgspec.Raw = msgspec.Raw()
    error: Failure | None = None


class ClientHistory:
    """A history being read into the audit's connection, in two helpings.

    What is read before the services' files are frozen must be visible in them; the rest only
    explains orders that were made meanwhile. Raises AuditError, with the number of the line, for
    one that cannot be read; a last line without its end is still being written, and waits.
    """

    def __init__(self, con: sqlite3.Connection, path: Path) -> None:
        self._con = con
        self._path = path
        self._lines = 0
        self._offset = 0
        self._line = msgspec.json.Decoder(Line)
        self._request = msgspec.json.Decoder(c.CriarPedidoRequest)
        self._answer = msgspec.json.Decoder(c.PedidoResponse)
        self._encode = msgspec.json.Encoder().encode
        con.execute(_TABLE)

    def load(self, *, late: bool) -> None:
        """Read on from where the last reading stopped."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                rows = self._rows(file, late=late)
                while batch := list(islice(rows, _BATCH)):
                    self._con.executemany(_INSERT, batch)
        except OSError as error:
            msg = f"cannot read the history {self._path}: {error.strerror}"
            raise AuditError(msg) from error
        if late:
            for statement in _INDEXES.split(";"):
                self._con.execute(statement)

    def _rows(self, file: BinaryIO, *, late: bool) -> Iterator[tuple[Any, ...]]:
        for text in file:
            if not text.endswith(b"\n"):
                return
            self._lines += 1
            self._offset += len(text)
            try:
                yield self._row(text, late=late)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                msg = f"line {self._lines} of the history {self._path} cannot be read: {error}"
                raise AuditError(msg) from error

    def _row(self, text: bytes, *, late: bool) -> tuple[Any, ...]:
        line = self._line.decode(text)
        pedido_id, status, ended, answer, body = line.pedido_id, None, False, None, None
        if line.type == "ok":
            told = self._answer.decode(line.answer)
            pedido_id, status = told.pedido_id, told.status
            ended, answer = status in c.TERMINAIS, self._encode(told).decode()
        elif line.type == "invoke" and line.op == "criar_pedido":
            asked = self._request.decode(line.request)
            itens = ",".join(f"{item.produto_id}:{item.quantidade}" for item in asked.itens)
            body = f"{asked.cliente_id}|{asked.metodo_pagamento}|{itens}"
        kind = line.error.kind if line.error else None
        return (
            self._lines, late, line.type, line.op, line.key, line.process,
            line.time_ns, pedido_id, line.pedido_id, status, ended, answer, body, kind,
        )  # fmt: skip
