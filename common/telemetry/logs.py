"""Logs: a line of JSON for each event, with its trace and its order.

Each service appends to `<data-dir>/logs/<service>.jsonl`; a line that a person should see at once goes
to the terminal too, as a sentence. A file that has grown is set aside and begun anew, so that logs
never fill a disk.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from contextvars import ContextVar
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.record import Hop
from common.telemetry.trace_context import trace_of

LOGS: Final = "logs"
# Bytes of a file, and old files that are kept with the one that grows.
FILE_MAX: Final = 16 * 2**20
KEPT_MAX: Final = 3

# The call that this task or thread works for.
current: ContextVar[Contexto | None] = ContextVar("current", default=None)


class Entry(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line. `time` is seconds since 1970; ids are absent where there is none.

    `server_timing` is for people, `hops` for programs: the same record.
    """

    time: Annotated[float, msgspec.Meta(ge=0, lt=2**33)]
    level: str
    service: str
    message: str
    trace_id: str = ""
    pedido_id: int = 0
    operation: str = ""
    code: str = ""
    duration_ms: float = 0.0
    server_timing: str = ""
    hops: tuple[Hop, ...] = ()
    kept: str = ""
    error: str = ""


_encode = msgspec.json.Encoder().encode


class _Json(logging.Formatter):
    """A record as one line of JSON."""

    def __init__(self, servico: str) -> None:
        super().__init__()
        self._servico = servico

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        ctx = current.get()
        said: dict[str, Any] = getattr(record, "said", {})
        entry = Entry(
            time=round(record.created, 6),
            level=record.levelname,
            service=self._servico,
            message=record.getMessage(),
            error=self.formatException(record.exc_info) if record.exc_info else "",
            **said,
        )
        if ctx is not None:
            if ctx.rastro and not entry.trace_id:
                entry.trace_id = trace_of(ctx.rastro)
            entry.pedido_id = entry.pedido_id or ctx.pedido_id
        return _encode(entry).decode()


class _File(RotatingFileHandler):
    """The service's file, made with the first line: a service that is refused leaves nothing."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            path, maxBytes=FILE_MAX, backupCount=KEPT_MAX, encoding="utf-8", delay=True
        )

    def _open(self) -> TextIOWrapper:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return super()._open()


def configure(servico: str, data_dir: Path | None) -> None:
    """Send warnings to the terminal as sentences, and all from INFO on to the service's file.

    Without a directory there is none.
    """
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    terminal = logging.StreamHandler()
    terminal.setLevel(logging.WARNING)
    terminal.setFormatter(logging.Formatter(f"%(asctime)s {servico} %(levelname)s %(message)s"))
    root.addHandler(terminal)
    if data_dir is None:
        return
    kept = _File(log_path(data_dir, servico))
    kept.setFormatter(_Json(servico))
    root.addHandler(kept)


def log_path(data_dir: Path, servico: str) -> Path:
    """Where a service logs."""
    return data_dir / LOGS / f"{servico}.jsonl"


def log_paths(data_dir: Path, servico: str) -> list[Path]:
    """The files of a service's log, the newest first."""
    newest = log_path(data_dir, servico)
    return [newest, *(newest.with_name(f"{newest.name}.{n}") for n in range(1, KEPT_MAX + 1))]


def entries(data_dir: Path, *holding: str) -> Iterator[Entry]:
    """All lines of the services that hold one of these words, if any are given; oldest files first.

    Broken lines are left out; so is a file that was set aside meanwhile.
    """
    decode, words = msgspec.json.Decoder(Entry).decode, [word.encode() for word in holding]
    for path in sorted((data_dir / LOGS).glob("*.jsonl*"), key=lambda p: p.name, reverse=True):
        with suppress(FileNotFoundError), path.open("rb") as file:
            for line in file:
                if words and not any(word in line for word in words):
                    continue
                # Cut by a kill in the middle of a line.
                with suppress(msgspec.DecodeError):
                    yield decode(line)


def of_order(data_dir: Path, order: int) -> list[Entry]:
    """All lines on one order, in any service, and on the traces that it was in; by time."""
    number = f'"pedido_id":{order}'
    own = [entry for entry in entries(data_dir, number) if entry.pedido_id == order]
    traces = {entry.trace_id for entry in own if entry.trace_id}
    if traces:
        own += [
            entry
            for entry in entries(data_dir, *traces)
            if entry.pedido_id != order and entry.trace_id in traces
        ]
    return sorted(own, key=lambda entry: entry.time)
