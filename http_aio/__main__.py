"""Run one service of the aiohttp arm: `python -m http_aio pagamentos --help`."""

from common.options import parse_service
from common.runtime.lifecycle import main

if __name__ == "__main__":
    settings = parse_service("http")
    # After the command line: --help and its errors need not wait for aiohttp.
    from http_aio.server import serving

    main(settings, serving)
