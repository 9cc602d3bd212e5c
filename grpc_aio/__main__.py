"""Run one service of the grpc.aio arm: `python -m grpc_aio pagamentos --help`."""

from common.runtime.lifecycle import main
from common.settings import parse_service

if __name__ == "__main__":
    settings = parse_service("grpc_aio", "grpc")
    # After the command line: --help and its errors need not wait for grpc.
    from grpc_aio.server import serving

    main(settings, serving)
