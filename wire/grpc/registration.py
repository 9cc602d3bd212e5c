"""What a gRPC server of ours serves: its operations, the standard health service, reflection."""

from __future__ import annotations

from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection


def register(
    server: Any, nome: str, methods: dict[str, grpc.RpcMethodHandler[Any, Any]], health: Any
) -> tuple[str, str]:
    """Add a service's methods, health and reflection to a server of either API, before it starts.

    Returns the names under which its health is asked for: the whole server and the service `nome`.
    """
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(nome, methods),))
    add_HealthServicer_to_server(health, server)
    names = (nome, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
    reflection.enable_server_reflection((*names, reflection.SERVICE_NAME), server)
    return ("", nome)
