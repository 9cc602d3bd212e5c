"""Run one service of the arm of REST on threads: `python -m blocking.http_threads SERVICE`."""

from blocking.ports import run_on_threads
from common.runtime.lifecycle import main
from common.settings import parse_service

if __name__ == "__main__":
    settings = parse_service("blocking.http_threads", "http-threads")
    # After the command line: --help and its errors need not wait for flask.
    from blocking.http_threads.server import serving

    main(settings, serving, run_on_threads)
