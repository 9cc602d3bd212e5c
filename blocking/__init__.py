"""The control arm: the same services on threads, one thread a request.

Everything a service awaits is a port; here each blocks its thread, so a step runs to its end the
first time it is driven (`execution.run_to_end`) and there is no event loop anywhere. Two packages
show how calls travel: `grpc_threads` and `http_threads`, with the same file names as the other arms.
"""
