"""Run one service of the arm of gRPC on threads: `python -m blocking.grpc_threads SERVICE`."""

from blocking.ports import run_on_threads
from common.options import parse_service
from common.runtime.lifecycle import main

if __name__ == "__main__":
    settings = parse_service("grpc-threads")
    # After the command line: --help and its errors need not wait for grpc.
    from blocking.grpc_threads.server import serving

    main(settings, serving, run_on_threads)
