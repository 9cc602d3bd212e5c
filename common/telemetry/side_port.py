"""Metrics on a port of their own, where a service does not speak HTTP or is busy with calls."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from common.callers import Hosts

# Connections at once, each with a thread: a few scrapers and the panel. One more is closed.
TOGETHER_MAX: Final = 16
# Seconds until a connection is taken again after one could not be: descriptors may be short.
PAUSE_BETWEEN_S: Final = 0.2

_LOG = logging.getLogger(__name__)


class SidePort:
    """Listens from its making on; what answers is loaded when somebody first asks."""

    def __init__(
        self, host: str, port: int, page: Callable[[], bytes], allowed: Iterable[str] = ()
    ) -> None:
        """`allowed` are further names under which it is asked. Raises OSError when it is taken."""
        self._listener = socket.create_server((host, port))
        self._page = page
        self._hosts = Hosts(host, self._listener.getsockname()[1], allowed)
        self._free = threading.Semaphore(TOGETHER_MAX)
        self._closed = threading.Event()
        self.address = f"{host}:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, name="metrics", daemon=True).start()

    def close(self) -> None:
        """Take no more questions; one under way ends with the process."""
        self._closed.set()
        # Closed alone, it would leave the thread waiting on it.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        failed = False
        while not self._closed.is_set():
            try:
                connection, address = self._listener.accept()
                self._begin(connection, address)
            except (OSError, RuntimeError) as error:
                # Also without a thread left to start, the next may be answered.
                if not failed and not self._closed.is_set():
                    _LOG.warning("metrics: a connection could not be taken: %s", error)
                failed = True
                self._closed.wait(PAUSE_BETWEEN_S)
            else:
                failed = False

    def _begin(self, connection: socket.socket, address: Any) -> None:
        if not self._free.acquire(blocking=False):
            connection.close()
            return
        try:
            threading.Thread(target=self._answer, args=(connection, address), daemon=True).start()
        except RuntimeError:
            self._free.release()
            connection.close()
            raise

    def _answer(self, connection: socket.socket, address: Any) -> None:
        from common.telemetry.exposition import answer

        try:
            # A caller that left in the middle is told nothing.
            with suppress(OSError):
                answer(connection, address, self._page, self._hosts)
        finally:
            self._free.release()
