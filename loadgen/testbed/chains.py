"""Starts and stops what is measured: a bare chain of five hops, the real arm, a trivial server.

All are context managers that yield where to send orders and which processes do the work. Every
process is started by exec and ends with the block, however it is left.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from common import ROOT
from common.contratos import ESTOQUE_MAX, SERVICOS
from common.process.runfile import RUN_FILE, Run, read_run
from common.shop.generator import Opcoes
from loadgen.testbed.bare import CHAIN
from loadgen.workload.plan import Population
from loadgen.workload.targets import fetch_population

# Seconds. Twenty times what a start takes on two cores.
READY_MAX_S: Final = 60.0
# Seconds. Above what a clean stop may take.
HALT_MAX_S: Final = 15.0
# The ids of the shop that the generator makes by default, for chains that have none of their own.
_SHOP: Final = Opcoes()
LOJA_PADRAO: Final = Population(
    tuple(range(1, _SHOP.clientes + 1)), tuple(range(1, _SHOP.produtos + 1))
)
# Units of each product: no floor may end for want of stock.
ESTOQUE: Final = ESTOQUE_MAX
# Below the directory of a real arm: its databases, and the shop, which is made when missing.
DADOS: Final = "dados"
LOJA: Final = "loja.db"


class ChainError(Exception):
    """A chain did not start; the message says why."""


class Chain(Struct, frozen=True):
    """A chain that runs: where orders go, who may buy, and the pid of each service."""

    address: str
    pids: dict[str, int]
    population: Population


@asynccontextmanager
async def bare_chain(mode: str, payment_wait: tuple[float, float]) -> AsyncIterator[Chain]:
    """Five hops of plain handlers and stubs."""
    wait = f"--payment-wait={payment_wait[0]}:{payment_wait[1]}"
    pids: dict[str, int] = {}
    address = ""
    async with AsyncExitStack() as stack:
        # From the last hop to the first, so that each is told where the next one listens.
        for name in reversed(CHAIN):
            server = _bare_server(f"bare_{mode}", name, f"--next={address}", wait)
            address, pids[name] = await stack.enter_async_context(server)
        yield Chain(address, {name: pids[name] for name in CHAIN}, LOJA_PADRAO)


@asynccontextmanager
async def trivial_server(
    protocol: str, *, stall_at_s: float = 0.0, stall_s: float = 0.0
) -> AsyncIterator[Chain]:
    """One process that answers every order at once, and may stand still once."""
    stall = [f"--stall={stall_s}", f"--stall-at={stall_at_s}"] if stall_s else []
    async with _bare_server("trivial", protocol, *stall) as (address, pid):
        yield Chain(address, {"server": pid}, LOJA_PADRAO)


@asynccontextmanager
async def _bare_server(module: str, *words: str) -> AsyncIterator[tuple[str, int]]:
    """A module of this room as a process of its own; yields its address and its pid."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"loadgen.testbed.{module}", *words,
        stdin=PIPE, stdout=PIPE, cwd=ROOT, start_new_session=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        try:
            async with asyncio.timeout(READY_MAX_S):
                address = json.loads(await process.stdout.readline())["address"]
        except (TimeoutError, ValueError):
            raise ChainError(f"the server {module} {words[0]} did not start") from None
        yield address, process.pid
    finally:
        process.stdin.close()
        await _end(process)


def arm_command(
    mode: str, payment_wait: tuple[float, float], directory: Path, options: Sequence[str] = ()
) -> list[str]:
    """What `real_arm` gives to Python."""
    return [
        "run_all.py",
        f"--mode={mode}",
        "--fresh",
        f"--data-dir={directory / DADOS}",
        f"--shop={directory / LOJA}",
        "--base-port=0",
        f"--payment-latency={payment_wait[0]}:{payment_wait[1]}",
        "--payment-approval=1",
        f"--stock={ESTOQUE}",
        *options,
    ]


@asynccontextmanager
async def real_arm(
    mode: str,
    payment_wait: tuple[float, float],
    directory: Path,
    options: Sequence[str] = (),
    *,
    checkout: Path = ROOT,
) -> AsyncIterator[Chain]:
    """The real arm by `run_all.py` on a fresh data directory below `directory`.

    `options` are added to the command, and overrule those that are set here. `checkout` is the
    checkout of the project whose arm it is; the interpreter is always this one.
    """
    data_dir = directory / DADOS
    log = directory / "run_all.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arm_command(mode, payment_wait, directory, options),
            stdin=DEVNULL,
            stdout=out,
            stderr=STDOUT,
            cwd=checkout,
            start_new_session=True,
        )
    try:
        yield await _chain_of(process, mode, data_dir, log)
    finally:
        if process.returncode is None:
            process.terminate()
        await _end(process)


async def _chain_of(process: Process, mode: str, data_dir: Path, log: Path) -> Chain:
    try:
        async with asyncio.timeout(READY_MAX_S):
            while process.returncode is None:
                run = _ready(data_dir)
                if run is not None:
                    pedidos = run.services["pedidos"].address
                    catalogo = run.services["catalogo"].address
                    population = await fetch_population(mode, pedidos, catalogo)
                    each = run.services.items()
                    pids = {name: service.pid for name, service in each if service.pid is not None}
                    return Chain(pedidos, pids, population)
                await asyncio.sleep(0.05)
    except ValueError as error:
        raise ChainError(f"{data_dir / RUN_FILE} is of another form: {error}") from None
    except TimeoutError:
        pass
    raise ChainError(f"the {mode} arm did not start: {_last_line(log)}")


def _ready(data_dir: Path) -> Run | None:
    """What runs on `data_dir`, once every service of it is ready."""
    try:
        run = read_run(data_dir)
    except FileNotFoundError:
        return None
    complete = set(run.services) == set(SERVICOS)
    return run if complete and all(service.ready for service in run.services.values()) else None


def _last_line(log: Path) -> str:
    words = log.read_text(errors="replace").strip().splitlines()
    return words[-1] if words else "it said nothing"


async def _end(process: Process) -> None:
    try:
        async with asyncio.timeout(HALT_MAX_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
