"""One lock protocol for everything that may have one owner: a service's database, a supervisor.

The lock is a file of its own beside what it guards, so that SQLite's own locks are left alone. It
holds the number of the process that has it, and dies with that process, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

# Seconds. A reader looks at the lock for microseconds; an owner stays. This tells them apart.
_PATIENCE_S: Final = 0.2
_PAUSE_S: Final = 0.02


class InUseError(Exception):
    """What was asked for cannot be had; the message is one sentence that names the way out."""


@contextmanager
def held(lock: Path, what: Path | None = None) -> Iterator[None]:
    """Hold the lock file `lock`, which guards `what` or else its directory, for the block.

    The directory is made when missing. Raises InUseError, which names the owner when there is one.
    The file stays when the lock is released: removing it would let two processes lock two files
    of one name.
    """
    with ExitStack() as stack:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
            stack.callback(os.close, descriptor)
            if not _lock(descriptor):
                owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
                msg = (
                    f"{what or lock.parent} is in use by process {owner}: "
                    "stop that instance, or choose another --data-dir"
                )
                raise InUseError(msg)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        except OSError as error:
            msg = f"cannot use the data directory {lock.parent}: {error.strerror}"
            raise InUseError(msg) from error
        yield


def is_held(lock: Path) -> bool:
    """Whether a process holds the lock file. Raises OSError, also when there is no such file."""
    descriptor = os.open(lock, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _lock(descriptor: int) -> bool:
    give_up = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                return False
            time.sleep(_PAUSE_S)
        else:
            return True
