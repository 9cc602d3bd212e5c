"""Run one service of the aiohttp arm: `python -m http_aio pagamentos --help`."""

from common.runtime.lifecycle import main
from common.settings import parse_service

if __name__ == "__main__":
    settings = parse_service("http_aio", "http")
    # After the command line: --help and its errors need not wait for aiohttp.
    from http_aio.server import serving

    main(settings, serving)
