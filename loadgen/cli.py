"""The command `python -m loadgen`: parse, find the running arm, run, show, say how it went."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import sys
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console

from common.contratos import ITENS_POR_PEDIDO_MAX
from common.erros import ErroServico
from common.runfile import NotRunningError, Run, read_run
from common.settings import DEADLINE_PADRAO_S, natural, positive, seconds
from loadgen.crew import Crew, CrewError
from loadgen.environment import environment
from loadgen.hops import SAMPLE_EVERY
from loadgen.live import Progress
from loadgen.plan import CHECKOUTS_POR_CHAMADOR, Plan, Population
from loadgen.recorder import Recording
from loadgen.result import Result, make_result, to_json
from loadgen.table import show
from loadgen.targets import EmptyShopError, fetch_population

EXIT_OK: Final = 0
EXIT_NOT_ALL_TERMINAL: Final = 1
EXIT_UNUSABLE: Final = 2
EXIT_INVALID: Final = 3

EXIT_CODES: Final = """exit codes:
  0  valid, and every order got a terminal answer
  1  valid, but some orders were refused, still pending at their deadline, or ended in an error
  2  wrong options, or nothing to drive: no arm runs, or its shop is empty
  3  INVALID: the generator was out of its own bounds (loop lag, CPU, limits, clock), nothing
     completed, or the run was interrupted; the figures say why and are not to be believed

Throughput is completed / duration; "steady" is the rate after the warm-up and before callers run
out of orders. An order refused or in error makes its caller pause, 0.1 s at first, 1 s at most."""


class NothingRunsError(Exception):
    """There is no arm to drive; the message says how to start one."""


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = _parse(argv)
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
    if args.json is not None:
        try:
            args.json.write_bytes(to_json(result))
        except OSError as error:
            print(f"loadgen: cannot write {args.json}: {error.strerror}", file=sys.stderr)
            return EXIT_UNUSABLE
    return exit_code(result)


def exit_code(result: Result) -> int:
    """What a result is to whoever called the command."""
    if not result.valid:
        return EXIT_INVALID
    return EXIT_OK if result.clean else EXIT_NOT_ALL_TERMINAL


async def _run(args: argparse.Namespace, console: Console) -> Result:
    arm = running_arm(args.data_dir)
    plan = await _plan(args, arm)
    with Progress(console, total=plan.checkouts, duration_s=plan.duration_s) as progress:
        crew = Crew(
            plan, processes=args.processes, history=args.history, on_progress=progress.show_run
        )
        recording = await run_interruptibly(crew)
    surroundings = environment(args.data_dir) | {"arm": arm_options(arm)}
    return make_result(plan, recording, surroundings)


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
    checkouts = args.checkouts
    if checkouts is None and args.duration is None:
        checkouts = CHECKOUTS_POR_CHAMADOR * args.concurrency
    return Plan(
        mode=arm.mode,
        address=arm.services["pedidos"].address,
        population=population,
        # Two runs with one seed on the same data must not reuse keys.
        run_id=secrets.token_hex(6),
        concurrency=args.concurrency,
        checkouts=checkouts,
        duration_s=args.duration,
        warmup_s=args.warmup,
        timeout_s=args.timeout,
        seed=args.seed,
        itens_min=args.items[0],
        itens_max=args.items[1],
        sample_every=args.sample_every,
    )


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


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadgen",
        description="Drive the running arm with checkouts: a closed loop of callers, each placing "
        "its next order after the end of its last.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--concurrency", type=positive, required=True, metavar="N", help="callers")
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--checkouts",
        type=positive,
        metavar="N",
        help=f"orders, over all callers (default: {CHECKOUTS_POR_CHAMADOR} a caller)",
    )
    length.add_argument(
        "--duration",
        type=seconds,
        metavar="S",
        help="seconds after which no new order is placed; those under way finish",
    )
    add(
        "--warmup",
        type=warmup,
        default=0.0,
        metavar="S",
        help="leave out what is sent in the first S seconds (default 0)",
    )
    add(
        "--timeout",
        type=seconds,
        default=DEADLINE_PADRAO_S,
        metavar="S",
        help=f"seconds until an order is given up (default {DEADLINE_PADRAO_S:g})",
    )
    add("--data-dir", type=Path, default=Path("dados"), help="where run.json is (default dados)")
    add("--seed", type=natural, default=42, metavar="N", help="seed of who buys what (default 42)")
    add(
        "--processes", type=positive, default=1, metavar="K", help="generator processes (default 1)"
    )
    add(
        "--items",
        type=item_range,
        default=(1, 5),
        metavar="MIN:MAX",
        help="lines of an order (default 1:5)",
    )
    add(
        "--sample-every",
        type=natural,
        default=SAMPLE_EVERY,
        metavar="N",
        help=f"ask one order in N to tell its time hop by hop, 0 for none (default {SAMPLE_EVERY})",
    )
    add("--json", type=Path, metavar="FILE", help="write the result")
    add(
        "--history", type=Path, metavar="FILE", help="write every call and its outcome, for --audit"
    )
    args = parser.parse_args(argv)
    if args.duration is not None and args.warmup >= args.duration:
        parser.error("--warmup must be shorter than --duration, which includes it")
    for path in (args.json, args.history):
        if path is not None and not path.absolute().parent.is_dir():
            parser.error(f"{path}: its directory does not exist")
    return args


def warmup(text: str) -> float:
    """Parse a number of seconds that may be 0."""
    return 0.0 if text in {"0", "0.0"} else seconds(text)


def item_range(text: str) -> tuple[int, int]:
    """Parse `1:5` or `3` into numbers of lines, lowest first."""
    low, _, high = text.partition(":")
    high = high or low
    if not (low.isdecimal() and high.isdecimal() and 1 <= int(low) <= int(high)):
        msg = f"expected MIN:MAX with 1 <= MIN <= MAX, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    if int(high) > ITENS_POR_PEDIDO_MAX:
        msg = f"an order has at most {ITENS_POR_PEDIDO_MAX} lines, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(low), int(high)
