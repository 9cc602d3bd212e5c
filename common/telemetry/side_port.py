"""Metrics on a port of their own, where a service does not speak HTTP or is busy with calls."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any


class SidePort:
    """Listens from its making on; what answers is loaded when somebody first asks."""

    def __init__(self, host: str, port: int, page: Callable[[], bytes]) -> None:
        """Raises OSError when the port is taken."""
        self._listener = socket.create_server((host, port))
        self._page = page
        self.address = f"{host}:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, name="metrics", daemon=True).start()

    def close(self) -> None:
        """Take no more questions; one under way ends with the process."""
        # Closed alone, it would leave the thread waiting on it.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection, address), daemon=True).start()

    def _answer(self, connection: socket.socket, address: Any) -> None:
        from common.telemetry.exposition import answer

        # Whoever left in the middle is told nothing.
        with suppress(OSError):
            answer(connection, address, self._page)
