"""Run one service of the grpc.aio arm: `python -m grpc_aio pagamentos --help`."""

from common.options import parse_service
from common.runtime.lifecycle import main

if __name__ == "__main__":
    settings = parse_service("grpc")
    # After the command line: --help and its errors need not wait for grpc.
    from grpc_aio.server import serving

    main(settings, serving)
