"""The life of a service process: prepare, open, listen, announce, serve, drain, close.

Shutdown has named phases: stop accepting, drain (bounded), cancel what is left, close storage. A
second signal leaves at once.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from typing import Final, NoReturn, Protocol

import msgspec

from common.erros import ErroServico
from common.faults.failpoints import FailpointsError
from common.faults.points import Faults
from common.process.ready import EXIT_UNUSABLE, Ready
from common.runtime.app import App, open_app
from common.runtime.event_loop import EventLoopPorts
from common.runtime.site import Dial, Ports
from common.settings import DRAIN_MAX_S, NOTICE_S, Loop, Settings
from common.shop.schema import ShopError
from common.storage.files import (
    GATEWAY,
    SALAS,
    DatabaseError,
    examine_gateway,
    exclusive,
    prepare,
)
from common.storage.lock import InUseError
from common.telemetry.logs import configure as configure_logs

# How Python says that the system could not start a thread.
NO_THREAD: Final = "can't start new thread"


class AddressError(Exception):
    """An address that cannot be listened on; the message is one clear sentence for a person."""


class Transport(Protocol):
    """An arm's server for one service."""

    async def start(self) -> str:
        """Listen and serve; returns the address. Raises OSError when the port is taken."""

    async def say_not_ready(self) -> None:
        """Tell whoever asks that this service is about to stop; calls are served as before."""

    async def stop_accepting(self) -> None:
        """Take no new connections, where what is refused need not come in at all."""

    async def stop(self, grace_s: float) -> None:
        """Let calls under way end within `grace_s`, then end them."""


MakeTransport = Callable[[App], Transport]
Serve = Callable[[Settings], AbstractAsyncContextManager[tuple[App, str]]]
# Runs a service in this process until it is told to stop.
Run = Callable[[Settings, Serve], None]


@asynccontextmanager
async def serving(
    settings: Settings,
    dial: Dial,
    make_transport: MakeTransport,
    ports: Ports | None = None,
    faults: Faults | None = None,
) -> AsyncIterator[tuple[App, str]]:
    """A service that listens for the life of the block; yields it with its address.

    On an event loop, unless `ports` wait otherwise. `faults` are set into the service's ports. Raises
    AddressError when it cannot listen.
    """
    async with open_app(settings, dial, ports or EventLoopPorts(), faults) as app:
        transport = make_transport(app)
        try:
            address = await transport.start()
        except OSError as error:
            msg = f"cannot listen on {settings.host}:{settings.port}: {error}"
            raise AddressError(msg) from error
        app.start_background()
        try:
            yield app, address
        finally:
            await transport.say_not_ready()
            await app.clock.sleep(NOTICE_S)
            app.refuse_new()
            await transport.stop_accepting()
            await app.drain(DRAIN_MAX_S)
            await app.release()
            await transport.stop(DRAIN_MAX_S)


def prepare_databases(settings: Settings) -> None:
    """Make a service's databases or bring them forward. Raises DatabaseError or ShopError."""
    with_gateway = settings.servico == "pagamentos"
    if with_gateway:
        # Refused, if it must be, before the service's own is made or changed.
        examine_gateway(settings.data_dir)
    shop = settings.shop if settings.shop.exists() else None
    prepare(settings.data_dir, SALAS[settings.servico], shop, settings.stock)
    if with_gateway:
        prepare(settings.data_dir, GATEWAY, None)


def run_on_loop(settings: Settings, serve: Serve) -> None:
    """Serve on an event loop until told to stop."""
    with runner(settings.loop) as loop:
        loop.run(_serve_until_told(settings, serve))


def main(settings: Settings, serve: Serve, run: Run = run_on_loop) -> NoReturn:
    """Run one service until it is told to stop; ends the process."""
    raise_open_files()
    with ExitStack() as stack:
        try:
            configure_logs(settings.servico, settings.data_dir if settings.telemetry else None)
            stack.enter_context(exclusive(settings.data_dir, settings.servico))
            prepare_databases(settings)
            run(settings, serve)
        except (
            AddressError,
            DatabaseError,
            InUseError,
            ShopError,
            FailpointsError,
            ErroServico,
            OSError,
        ) as error:
            _leave(settings, str(error))
        except RuntimeError as error:
            if str(error) != NO_THREAD:
                raise
            _leave(settings, "the system gives this user no more threads (ulimit -u)")
    sys.exit(0)


def runner(loop: Loop = "uvloop") -> asyncio.Runner:
    """An event loop's life; asyncio's own loop where the platform has no uvloop."""
    if loop == "uvloop":
        try:
            import uvloop
        except ImportError:
            pass
        else:
            return asyncio.Runner(loop_factory=uvloop.new_event_loop)
    return asyncio.Runner()


async def _serve_until_told(settings: Settings, serve: Serve) -> None:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sign, leave_at_once_or, told)
    if settings.exit_with_parent:
        watch_parent(lambda: loop.call_soon_threadsafe(told.set))
    async with serve(settings) as (_, address):
        announce(settings, address)
        await told.wait()


def leave_at_once_or(told: asyncio.Event | threading.Event) -> None:
    """What a signal does: the first one tells, a second one leaves without draining."""
    if told.is_set():
        os._exit(1)
    told.set()


def announce(settings: Settings, address: str) -> None:
    """Tell the supervisor that the service answers."""
    calm_collector()
    ready = Ready(settings.servico, address, os.getpid())
    print(msgspec.json.encode(ready).decode(), flush=True)


def calm_collector() -> None:
    """Let the garbage collector look at what calls leave behind, not at the program itself.

    Modules and tables live as long as the process; a call frees nearly all it makes by reference
    counts. The defaults would walk through everything hundreds of times a second under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def watch_parent(gone: Callable[[], object]) -> None:
    """Call `gone` when standard input ends: the supervisor holds its other end and has died."""

    def watch() -> None:
        while os.read(0, 1024):
            pass
        gone()

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def raise_open_files() -> int:
    """Raise this process's limit of open files as far as it may; returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard or hard == resource.RLIM_INFINITY:
        wanted = 1_048_576 if hard == resource.RLIM_INFINITY else hard
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError):
            return soft
        return wanted
    return soft


def _leave(settings: Settings, sentence: str) -> NoReturn:
    print(f"{settings.servico}: {sentence}", file=sys.stderr)
    sys.exit(EXIT_UNUSABLE)
