"""The grpc.aio arm: the same domain, called over gRPC on an event loop."""
