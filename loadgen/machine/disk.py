"""What a durable append costs on the disk that holds the data: measured, not assumed."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from loadgen.machine.environment import filesystem

# Appends that a durable order makes one after the other: the claim, the four steps, the end.
APPENDS_PER_ORDER: Final = 6
# Bytes of one append: a page of a write-ahead log.
APPEND_BYTES: Final = 4_096
# Orders' worth of appends in one measurement: half a second on a slow disk.
ROUNDS_OF: Final = 100
# File systems in memory: an fdatasync on them does nothing.
MEMORIA: Final = frozenset({"tmpfs", "ramfs", "devtmpfs"})


def memory_disk(directory: Path) -> str | None:
    """The name of the memory file system that holds `directory`, or None on a real disk."""
    kind = filesystem(directory)
    return kind if kind in MEMORIA else None


def appends_ms(directory: Path, rounds: int = ROUNDS_OF) -> list[float]:
    """Milliseconds of six appends with fdatasync one after the other, `rounds` times."""
    path = directory / "appends"
    block = bytes(APPEND_BYTES)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return [_round_ms(file, block) for _ in range(rounds)]
    finally:
        os.close(file)
        path.unlink()


def _round_ms(file: int, block: bytes) -> float:
    start = time.perf_counter()
    for _ in range(APPENDS_PER_ORDER):
        os.write(file, block)
        os.fdatasync(file)
    return (time.perf_counter() - start) * 1e3
