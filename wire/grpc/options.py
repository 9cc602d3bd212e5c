"""How channels and servers of gRPC are set up, on an event loop and on threads alike."""

from __future__ import annotations

import socket
from typing import Any, Final

from common.settings import ORDER_BODY_MAX

CANAL: Final[tuple[tuple[str, Any], ...]] = (
    # Milliseconds. A restarted service is found again in a fifth of a second, not in eight.
    ("grpc.initial_reconnect_backoff_ms", 100),
    # Also the time that one attempt to connect may take: a busy peer needs more than an idle one.
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 200),
    # Pedidos is the one place that retries.
    ("grpc.enable_retries", 0),
    # Two clients of one process do not share a connection behind our back.
    ("grpc.use_local_subchannel_pool", 1),
    # A long list of products is not an attack; requests are bounded by the server.
    ("grpc.max_receive_message_length", -1),
)

# The core drops calls, without a word, once a thousand wait to be picked up; the bound is ours to
# keep, at the edge, where it comes with a clear refusal.
_PENDING_MAX: Final = 100_000

SERVIDOR: Final[tuple[tuple[str, Any], ...]] = (
    # An old process and its replacement must never answer on the same port.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", ORDER_BODY_MAX),
    ("grpc.server.max_pending_requests", _PENDING_MAX),
    ("grpc.server.max_pending_requests_hard_limit", _PENDING_MAX),
    # Seconds. Longer than any deadline: an order may wait its turn.
    ("grpc.server_max_unrequested_time_in_server", 3_600),
)


def free_or_taken(host: str, port: int) -> None:
    """Raises OSError when a port cannot be listened on.

    Asked with a socket of our own: gRPC's core would log lines of its own, and the exception that
    it raises does not tell why.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family):
        pass
