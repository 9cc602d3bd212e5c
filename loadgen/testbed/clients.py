"""The clients that drive a chain: ours, and on the trivial server a bare one and Locust's."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from common import ROOT
from loadgen.driver.crew import Crew
from loadgen.machine.usage import Meter
from loadgen.results.result import Result, make_result
from loadgen.testbed.bare_client import Spent
from loadgen.testbed.chains import Chain
from loadgen.workload.plan import Plan

# Seconds beyond its run that a client may take: imports, baskets, and its end.
BEYOND_MAX_S: Final = 60.0


class ClientError(Exception):
    """A client did not run to its end; the message says why."""


class Cost(Struct, frozen=True):
    """One run of one client: its rate, and microseconds of processor time an order.

    `busy` is the share of one core that it had, `server_busy` that of the server: a client that is
    not the busier one was not measured at its limit.
    """

    orders: int
    rate_per_s: float
    cpu_us: float
    busy: float
    server_busy: float
    invalid_reasons: list[str]


async def driven(mode: str, chain: Chain, *, processes: int = 1, **loop: Any) -> Result:
    """One run of the load generator on a chain; `loop` are further fields of its plan."""
    plan = Plan(
        mode=mode, address=chain.address, population=chain.population,
        run_id=secrets.token_hex(6), **loop,
    )  # fmt: skip
    return make_result(plan, await Crew(plan, processes=processes).run(), {})


async def generator(protocol: str, chain: Chain, callers: int, length_s: float) -> Cost:
    """One process of the load generator, as `python -m loadgen` runs it."""
    meter = Meter(chain.pids)
    result = await driven(protocol, chain, concurrency=callers, duration_s=length_s)
    spent = Spent(result.completed, result.duration_s, result.generator.cpu_s)
    # A generator at its limit is what is asked for here; all else stands.
    reasons = [] if result.clean else [f"{result.sent - result.completed} orders came to no end"]
    return _cost(spent, meter, reasons)


async def bare(protocol: str, chain: Chain, callers: int, length_s: float) -> Cost:
    """The plain library in a loop."""
    meter = Meter(chain.pids)
    words = [
        sys.executable, "-m", "loadgen.testbed.bare_client", protocol, chain.address,
        f"--concurrency={callers}", f"--seconds={length_s}",
    ]  # fmt: skip
    spent = msgspec.json.decode(await _ended(words, length_s), type=Spent)
    return _cost(spent, meter)


async def locust(python: str, chain: Chain, callers: int, length_s: float) -> Cost:
    """Locust's FastHttpUser, in an interpreter that has it."""
    meter = Meter(chain.pids)
    with tempfile.TemporaryDirectory(prefix="locust-") as name:
        out = Path(name) / "spent.json"
        words = [
            python, "-m", "locust", "-f", "loadgen/testbed/locustfile.py", "--headless", "--only-summary",
            "--loglevel=ERROR", "-u", str(callers), "-r", str(callers),
            "-t", f"{round(length_s)}s", "--host", f"http://{chain.address}",
        ]  # fmt: skip
        await _ended(words, length_s, os.environ | {"CUSTO_LOCUST": str(out)})
        spent = msgspec.json.decode(out.read_bytes(), type=Spent)
    return _cost(spent, meter)


async def has_locust(python: str) -> bool:
    """True when that interpreter runs and has Locust: it must answer with its version."""
    code = "import locust; print('locust', locust.__version__)"
    try:
        process = await asyncio.create_subprocess_exec(
            python, "-c", code, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
        )
    except OSError:
        return False
    out, _ = await process.communicate()
    return process.returncode == 0 and out.startswith(b"locust ")


def _cost(spent: Spent, meter: Meter, reasons: Sequence[str] = ()) -> Cost:
    if not spent.orders:
        raise ClientError("a client placed no order")
    return Cost(
        orders=spent.orders,
        rate_per_s=round(spent.orders / spent.seconds, 1),
        cpu_us=round(spent.cpu_s / spent.orders * 1e6, 2),
        busy=round(spent.cpu_s / spent.seconds, 3),
        server_busy=round((meter.read()["server"].cpu_s or 0.0) / spent.seconds, 3),
        invalid_reasons=list(reasons),
    )


async def _ended(words: list[str], length_s: float, env: dict[str, str] | None = None) -> bytes:
    """What a command printed. Raises ClientError when it failed or took too long."""
    process = await asyncio.create_subprocess_exec(
        *words, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, cwd=ROOT, env=env, start_new_session=True
    )
    try:
        async with asyncio.timeout(length_s + BEYOND_MAX_S):
            out, problem = await process.communicate()
    except TimeoutError:
        raise ClientError(f"{' '.join(words[1:4])} did not end") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        last = problem.decode(errors="replace").strip().splitlines()
        raise ClientError(f"{' '.join(words[1:4])} failed: {last[-1] if last else 'no words'}")
    return out
