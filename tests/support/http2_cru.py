"""A gRPC call in bare HTTP/2 frames: a deadline whose client neither keeps it nor hangs up."""

from __future__ import annotations

import asyncio
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING = 0x0, 0x1, 0x4, 0x6
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def _field(name: str, value: str) -> bytes:
    """A header field as a literal, never indexed, without Huffman's code (RFC 7541, 6.2.3)."""
    assert len(name) < 127
    assert len(value) < 127
    return b"\x10" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()


class Chamada:
    """One call on a connection of its own, which is made before anything is asked."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def ligar(cls, address: str) -> Chamada:
        """Connect, and wait for the server's own first frame."""
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(PREFACE + _frame(SETTINGS, 0, 0))
        chamada = cls(reader, writer)
        await chamada._next()
        return chamada

    def pedir(self, path: str, message: bytes, timeout_ms: int) -> None:
        """Send the call, with gRPC's own deadline."""
        fields = (
            (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
            ("te", "trailers"), ("content-type", "application/grpc"),
            ("grpc-timeout", f"{timeout_ms}m"),
        )  # fmt: skip
        block = b"".join(_field(name, value) for name, value in fields)
        body = b"\0" + len(message).to_bytes(4) + message
        self._writer.write(
            _frame(HEADERS, END_HEADERS, 1, block) + _frame(DATA, END_STREAM, 1, body)
        )

    async def fim(self) -> None:
        """Wait until the server has ended the call."""
        ended = False
        while not ended:
            kind, flags, stream, payload = await self._next()
            if kind == PING and not flags & ACK:
                self._writer.write(_frame(PING, ACK, 0, payload))
            # A reset (kind 3) ends it too.
            ended = stream == 1 and (kind == 0x3 or bool(flags & END_STREAM))
        self._writer.close()

    async def _next(self) -> tuple[int, int, int, bytes]:
        head = await self._reader.readexactly(9)
        payload = await self._reader.readexactly(int.from_bytes(head[:3]))
        kind, flags = head[3], head[4]
        if kind == SETTINGS and not flags & ACK:
            self._writer.write(_frame(SETTINGS, ACK, 0))
        return kind, flags, int.from_bytes(head[5:]), payload
