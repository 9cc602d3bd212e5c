"""The arms in one table: how each speaks, how it waits, and what it takes to run it."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Protocol = Literal["grpc", "http"]
Waiting = Literal["loop", "threads"]


class Arm(NamedTuple):
    """An arm. `package` serves one of its services by `python -m`.

    `needs` are the packages without which it cannot run. `base_port` is the port of pedidos; arms of
    one protocol share it, so that the same client reaches either. With `metrics_inside` a service
    shows its metrics on the port of its operations, whatever it is busy with.
    """

    package: str
    protocol: Protocol
    waiting: Waiting
    needs: tuple[str, ...]
    base_port: int
    metrics_inside: bool = False

    @property
    def threads(self) -> bool:
        """True where a call holds its thread while it waits."""
        return self.waiting == "threads"

    @property
    def one_connection(self) -> bool:
        """True where one connection carries any number of calls at once."""
        return self.protocol == "grpc"


_EVERY: Final = ("msgspec", "aiosqlite", "psutil", "prometheus_client")
_GRPC: Final = (*_EVERY, "grpc", "grpc_health", "grpc_reflection", "grpc_status", "google.protobuf")

ARMS: Final[dict[str, Arm]] = {
    "grpc": Arm("grpc_aio", "grpc", "loop", _GRPC, 50050),
    # On an event loop a question for metrics waits for no worker.
    "http": Arm("http_aio", "http", "loop", (*_EVERY, "aiohttp"), 8000, metrics_inside=True),
    "grpc-threads": Arm("blocking.grpc_threads", "grpc", "threads", _GRPC, 50050),
    "http-threads": Arm(
        "blocking.http_threads", "http", "threads",
        (*_EVERY, "flask", "requests", "waitress"), 8000,
    ),
}  # fmt: skip

# The names by which an arm is chosen.
MODES: Final = tuple(ARMS)
LOOP_ARMS: Final = tuple(mode for mode, arm in ARMS.items() if not arm.threads)
THREAD_ARMS: Final = tuple(mode for mode, arm in ARMS.items() if arm.threads)
