"""The ports of a run: chosen before its services start, and nobody else's until it ends.

A port that was merely seen to be free may be anybody's when its service comes to listen there, at the
start or after a death: the system gives it to the next outgoing connection. So each is bound here for
the whole run, without listening, which on Linux leaves a server that sets SO_REUSEADDR, as all ours do,
free to listen on it (socket(7)). Elsewhere that is not so, and a port is let go once all are chosen.
Two runs that begin at once on the same ports do not see each other here: their services will.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import Final

from common.process.preflight import RefusedError

HOST: Final = "127.0.0.1"
_SHARES: Final = sys.platform == "linux"


class Ports(ExitStack):
    """Chooses ports and holds them for the block."""

    def __init__(self) -> None:
        super().__init__()
        self._whose: dict[int, str] = {}

    def one(self, port: int, name: str, option: str) -> int:
        """The port, or one that the system chooses for 0.

        Raises RefusedError, with the option that names another, when it cannot be listened on.
        """
        if port in self._whose:
            # Those that are held without listening do not keep each other away.
            raise RefusedError(
                f"port {port} ({name}) is that of {self._whose[port]}: choose another with {option}"
            )
        listener = self.enter_context(closing(socket.socket()))
        # As servers do: the remains of closed connections are not in the way.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise RefusedError(_refused(port, name, option, error)) from None
        chosen: int = listener.getsockname()[1]
        self._whose[chosen] = name
        return chosen

    def many(self, base: int, names: Sequence[str], option: str) -> dict[str, str]:
        """An address for each name, from the port `base` on, or where the system chooses for 0.

        Raises RefusedError like `one`.
        """
        ports = (base + place if base else 0 for place in range(len(names)))
        return {
            name: f"{HOST}:{self.one(port, name, option)}"
            for name, port in zip(names, ports, strict=True)
        }

    def chosen(self) -> None:
        """All are: where a held port cannot be listened on, they are let go."""
        if not _SHARES:
            self.close()


def _refused(port: int, name: str, option: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} ({name}) is taken: stop what listens there, "
            f"or choose other ports with {option}"
        )
    return f"cannot use port {port} ({name}): {error.strerror}; choose others with {option}"
