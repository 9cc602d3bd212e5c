"""The command `python -m loadgen`: parse, find the running arm, run, show, say how it went."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from common.erros import ErroServico
from common.process.runfile import NotRunningError, Run, read_run
from loadgen.driver.crew import Crew, CrewError
from loadgen.machine.environment import environment
from loadgen.options import (
    EXIT_INVALID,
    EXIT_MISSED,
    EXIT_NOT_ALL_TERMINAL,
    EXIT_OK,
    EXIT_UNUSABLE,
    loop_of,
    parse,
)
from loadgen.results.csv_file import to_csv
from loadgen.results.objectives import SHARES
from loadgen.results.progress import Progress
from loadgen.results.recorder import Recording
from loadgen.results.result import Result, make_result, to_json
from loadgen.results.table import show
from loadgen.workload.plan import Plan, Population
from loadgen.workload.targets import EmptyShopError, fetch_population


class NothingRunsError(Exception):
    """There is no arm to drive; the message says how to start one."""


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = parse(argv)
    progress, answer = Console(stderr=True), Console()
    try:
        result = asyncio.run(_run(args, progress))
    except (NothingRunsError, EmptyShopError, OSError) as error:
        print(f"loadgen: {error}", file=sys.stderr)
        return EXIT_UNUSABLE
    except CrewError as error:
        print(f"loadgen: INVALID: {error}", file=sys.stderr)
        return EXIT_INVALID
    show(result, answer)
    for path, content in ((args.json, to_json), (args.csv, to_csv)):
        if path is None:
            continue
        try:
            path.write_bytes(content(result))
        except OSError as error:
            print(f"loadgen: cannot write {path}: {error.strerror}", file=sys.stderr)
            return EXIT_UNUSABLE
    return exit_code(result)


def exit_code(result: Result) -> int:
    """What a result is to whoever called the command."""
    if not result.valid:
        return EXIT_INVALID
    if not all(objective.met for objective in result.objectives):
        return EXIT_MISSED
    # Who says how many errors there may be has been answered above.
    tolerant = any(objective.figure in SHARES for objective in result.objectives)
    return EXIT_OK if result.clean or tolerant else EXIT_NOT_ALL_TERMINAL


async def _run(args: argparse.Namespace, console: Console) -> Result:
    arm = running_arm(args.data_dir)
    plan = await _plan(args, arm)
    with Progress(console, total=plan.orders, duration_s=plan.length_s) as progress:
        crew = Crew(
            plan, processes=args.processes, history=args.history, on_progress=progress.show_run
        )
        recording = await run_interruptibly(crew)
    surroundings = environment(args.data_dir) | {"arm": arm_options(arm)}
    return make_result(plan, recording, surroundings, args.objective)


async def run_interruptibly(crew: Crew) -> Recording:
    """Run a crew; the first interrupt lets orders under way finish, the second does not."""
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sign, crew.stop)
    try:
        return await crew.run()
    finally:
        for sign in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(sign)


async def _plan(args: argparse.Namespace, arm: Run) -> Plan:
    """The plan of these options against the arm that runs. Raises NothingRunsError."""
    population = await _population(arm)
    plan = Plan(
        mode=arm.mode,
        address=arm.services["pedidos"].address,
        population=population,
        # Two runs with one seed on the same data must not reuse keys.
        run_id=secrets.token_hex(6),
        **loop_of(args),
        warmup_s=args.warmup,
        timeout_s=args.timeout,
        seed=args.seed,
        itens_min=args.items[0],
        itens_max=args.items[1],
        sample_every=args.sample_every or 0,
    )
    if args.sample_every is not None:
        return plan
    return plan.well_sampled(sum(arm.payment_latency) / 2, arm.workers)


async def _population(arm: Run) -> Population:
    pedidos = arm.services["pedidos"].address
    try:
        return await fetch_population(arm.mode, pedidos, arm.services["catalogo"].address)
    except ErroServico as error:
        raise NothingRunsError(
            f"{arm.mode} at {pedidos} does not answer: {error.detalhe}"
        ) from None


def running_arm(data_dir: Path) -> Run:
    """What `run.json` says of the arm that runs on `data_dir`. Raises NothingRunsError."""
    try:
        arm = read_run(data_dir)
    except NotRunningError as error:
        raise NothingRunsError(str(error)) from None
    except (OSError, ValueError) as error:
        raise NothingRunsError(f"{data_dir / 'run.json'} cannot be read: {error}") from None
    missing = {"pedidos", "catalogo"} - set(arm.services)
    if missing:
        raise NothingRunsError(f"{arm.mode} on {data_dir} is still starting; try again in a moment")
    return arm


def arm_options(arm: Run) -> dict[str, Any]:
    """The options of the arm that its figures must be read with."""
    options: dict[str, Any] = msgspec.to_builtins(arm)
    return {key: value for key, value in options.items() if key not in {"services", "supervisor"}}
