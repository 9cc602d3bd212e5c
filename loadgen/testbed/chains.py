"""Starts and stops what is measured: a bare chain of five hops, the real arm, a trivial server.

All are context managers that yield where to send orders and which processes do the work. Every
process is started by exec and ends with the block, however it is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from common import ROOT
from common.contratos import SERVICOS
from common.process.runfile import Run, read_run
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
ESTOQUE: Final = 1_000_000
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
    pids: dict[str, int] = {}
    address = ""
    async with AsyncExitStack() as stack:
        # From the last hop to the first, so that each is told where the next one listens.
        for name in reversed(CHAIN):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                f"loadgen.testbed.bare_{mode}",
                name,
                f"--next={address}",
                f"--payment-wait={payment_wait[0]}:{payment_wait[1]}",
                stdin=PIPE,
                stdout=PIPE,
                cwd=ROOT,
                start_new_session=True,
            )
            stack.push_async_callback(_end_bare, process)
            address = await _address_of(process, name)
            pids[name] = process.pid
        yield Chain(address, {name: pids[name] for name in CHAIN}, LOJA_PADRAO)


@asynccontextmanager
async def trivial_server(
    protocol: str, *, stall_at_s: float = 0.0, stall_s: float = 0.0
) -> AsyncIterator[Chain]:
    """One process that answers every order at once, and may stand still once."""
    stall = [f"--stall={stall_s}", f"--stall-at={stall_at_s}"] if stall_s else []
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "loadgen.testbed.trivial", protocol, *stall,
        stdin=PIPE, stdout=PIPE, cwd=ROOT, start_new_session=True,
    )  # fmt: skip
    try:
        address = await _address_of(process, protocol)
        yield Chain(address, {"server": process.pid}, LOJA_PADRAO)
    finally:
        await _end_bare(process)


async def _address_of(process: Process, name: str) -> str:
    assert process.stdout is not None
    with contextlib.suppress(TimeoutError, ValueError):
        async with asyncio.timeout(READY_MAX_S):
            line = await process.stdout.readline()
        address: str = json.loads(line)["address"]
        return address
    raise ChainError(f"the bare server {name} did not start")


async def _end_bare(process: Process) -> None:
    assert process.stdin is not None
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
    mode: str, payment_wait: tuple[float, float], directory: Path, options: Sequence[str] = ()
) -> AsyncIterator[Chain]:
    """The real arm by `run_all.py` on a fresh data directory below `directory`.

    `options` are added to the command, and overrule those that are set here.
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
            cwd=ROOT,
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
