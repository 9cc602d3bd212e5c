"""The client's history: every call and what came of it, one line of JSON each.

`invoke` is written before the call is sent; then `ok` with the answer, `fail` when it is certain
that there was no effect, or `info` for everything else. Lines are gathered in memory and written at
least twice a second: a crash of the services loses nothing, only a crash of the generator could.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final, Literal

import msgspec

from common import contratos as c

LineType = Literal["invoke", "ok", "fail", "info"]
Op = Literal["criar_pedido", "consultar_pedido", "cancelar_pedido"]

# Seconds between writes.
WRITE_INTERVAL_S: Final = 0.5
# Bytes gathered before a write is made at once: bounds the memory between two of the above.
BUFFER_MAX: Final = 1_048_576


class LineError(msgspec.Struct, frozen=True):
    """Why a call has no answer."""

    kind: str
    detail: str


class Line(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line; `process` is the caller, `time_ns` its monotonic clock.

    `key` is None of an order that its caller knows by its number alone.
    """

    type: LineType
    op: Op
    key: str | None = None
    process: int
    time_ns: int
    pedido_id: int | None = None
    request: msgspec.Raw | None = None
    answer: c.PedidoResponse | None = None
    error: LineError | None = None


class History:
    """Writes lines to a file; without a file it costs next to nothing."""

    def __init__(self, path: Path | None) -> None:
        self._file: BinaryIO | None = path.open("wb", buffering=0) if path else None
        self._buffer = bytearray()
        self._encode_into = msgspec.json.Encoder().encode_into
        self.wanted = path is not None
        self.failure = ""

    def write(self, line: Line) -> None:
        """Add a line; it reaches the file at the next flush."""
        self._encode_into(line, self._buffer, -1)
        self._buffer += b"\n"
        if len(self._buffer) >= BUFFER_MAX:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered; a failure is kept in `failure` and ends the writing."""
        if self._file is None or not self._buffer:
            return
        try:
            view = memoryview(self._buffer)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            self.failure = f"the history could not be written: {error.strerror or error}"
            self.wanted = False
            self._file.close()
            self._file = None
        self._buffer = bytearray()

    def close(self) -> None:
        """Write the rest and close the file."""
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None


class _Moment(msgspec.Struct):
    time_ns: int


def _timed(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    decode = msgspec.json.Decoder(_Moment).decode
    for line in lines:
        yield decode(line).time_ns, line


def join_histories(parts: list[Path], destination: Path) -> None:
    """Merge the histories of several processes by time, then remove the parts."""
    with ExitStack() as stack:
        # Within a part lines are ordered but for those of one instant: merging keeps each
        # process's own order.
        sources = [_timed(stack.enter_context(part.open("rb"))) for part in parts]
        with destination.open("wb") as out:
            out.writelines(line for _, line in heapq.merge(*sources, key=lambda pair: pair[0]))
    for part in parts:
        part.unlink()
