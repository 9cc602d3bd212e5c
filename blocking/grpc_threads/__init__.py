"""gRPC on threads: a pool of workers serves, and every worker waits for its own call."""
