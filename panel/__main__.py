"""Show the panel of an arm: `python -m panel --data-dir dados --port 8080`."""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from aiohttp import web

from common.option_types import port
from common.runtime.lifecycle import watch_parent
from panel.guard import HOST, Guard
from panel.server import Panel

PORT: Final = 8080
# Who starts the panel may give it its token so, that it keeps it over a new start.
GIVEN: Final = "CHECKOUT_PANEL_TOKEN"


def main(argv: Sequence[str] | None = None) -> int:
    """Run until told to stop; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m panel",
        description="Show what an arm does, in a browser on this machine.",
        epilog="exit codes: 0 stopped as asked, 2 wrong options, 3 the port cannot be used",
    )
    parser.add_argument("--data-dir", type=Path, default=Path("dados"), help="that of the arm")
    parser.add_argument(
        "--port",
        type=port,
        default=PORT,
        metavar="N",
        help=f"default {PORT}, 0 lets the system choose",
    )
    parser.add_argument(
        "--failpoints", type=Path, metavar="FILE", help="the file of rules that the arm was given"
    )
    parser.add_argument("--exit-with-parent", action="store_true", help="stop when stdin ends")
    args = parser.parse_args(argv)
    try:
        asyncio.run(_serve(args))
    except OSError as error:
        words = error.strerror or str(error)
        print(f"panel: cannot listen on {HOST}:{args.port}: {words}; "
              "choose another with --panel-port", file=sys.stderr)  # fmt: skip
        return 3
    return 0


async def _serve(args: argparse.Namespace) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sign, told.set)
    if args.exit_with_parent:
        watch_parent(lambda: loop.call_soon_threadsafe(told.set))
    with closing(_listening(args.port)) as listener:
        chosen: int = listener.getsockname()[1]
        token = os.environ.get(GIVEN, "") or secrets.token_urlsafe(24)
        panel = Panel(args.data_dir, Guard(chosen, token), args.failpoints)
        runner = web.AppRunner(panel.application(), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            print(f"panel: http://{HOST}:{chosen}/?token={token}", flush=True)
            await told.wait()
        finally:
            await runner.cleanup()


def _listening(port: int) -> socket.socket:
    """A listening socket on loopback; the system chooses the port for 0. Raises OSError."""
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


if __name__ == "__main__":
    sys.exit(main())
