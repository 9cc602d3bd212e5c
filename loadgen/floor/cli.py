"""How near the real arm comes to its floor: `python -m loadgen.floor --mode grpc|http`.

The floor is the same number of hops with plain handlers and stubs. Both are driven by the same
generator, alternately, in fresh processes, and compared pair by pair: on a small machine a single
run varies by a fifth, so only ratios within a pair and their median mean something.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec
from rich.console import Console

from common.settings import add_lab_options, latency_range, natural, positive, seconds
from loadgen.cli import run_interruptibly
from loadgen.driver.crew import Crew, CrewError
from loadgen.floor.report import PAIRS_MIN, Floor, Pair, Run, show, summarise
from loadgen.machine.disk import appends_ms, memory_disk
from loadgen.machine.environment import environment
from loadgen.machine.usage import Meter
from loadgen.options import EXIT_INVALID, EXIT_OK, EXIT_UNUSABLE, warmup
from loadgen.results.result import make_result
from loadgen.testbed.chains import Chain, ChainError, bare_chain, real_arm
from loadgen.workload.dial import LOOP_ARMS
from loadgen.workload.plan import Plan

EPILOG: Final = """One caller compares median latency with that of the bare chain plus six appends with fdatasync one
after the other on the data directory's disk; more callers compare the steady rate of terminal
answers. --against N compares the real arm at --concurrency with itself at N callers instead, and
--baseline OPTION with itself under another option: then the processor time an order tells most.

exit codes: 0 measured, 2 wrong options or a chain that does not start, 3 INVALID (the words say why;
an order without a terminal answer on either side is enough)"""


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = _parse(argv)
    console = Console()
    args.data_dir = args.data_dir.absolute()
    try:
        args.data_dir.mkdir(parents=True, exist_ok=True)
        floor = asyncio.run(_measure(args, Console(stderr=True)))
    except (ChainError, OSError) as error:
        print(f"floor: {error}", file=sys.stderr)
        return EXIT_UNUSABLE
    except CrewError as error:
        print(f"floor: INVALID: {error}", file=sys.stderr)
        return EXIT_INVALID
    show(floor, console)
    if args.json is not None:
        args.json.write_bytes(msgspec.json.format(msgspec.json.encode(floor), indent=1))
    return EXIT_OK if floor.valid else EXIT_INVALID


async def _measure(args: argparse.Namespace, console: Console) -> Floor:
    pairs: list[Pair] = []
    with tempfile.TemporaryDirectory(prefix="floor-", dir=args.data_dir) as name:
        directory = Path(name)
        disk = memory_disk(directory)
        for number in range(1, args.pairs + 1):
            # Alternating which goes first cancels what drifts over the run.
            floor_first = number % 2 == 1
            runs: dict[bool, Run] = {}
            for is_floor in (floor_first, not floor_first):
                runs[is_floor] = await _run(args, directory, is_floor=is_floor)
            appends = appends_ms(directory) if args.concurrency == 1 else []
            pair = Pair(runs[True], runs[False], median(appends) if appends else None)
            pairs.append(pair)
            console.print(f"pair {number}/{args.pairs}: {pair.words()}", highlight=False)
    options = {key: str(value) for key, value in vars(args).items()}
    return summarise(
        args.mode,
        args.concurrency,
        pairs,
        memory_disk=disk,
        options=options,
        environment=environment(args.data_dir),
    )


async def _run(args: argparse.Namespace, directory: Path, *, is_floor: bool) -> Run:
    """One side of a pair, from a fresh start to its end."""
    if is_floor and args.baseline:
        async with real_arm(args.mode, args.payment_wait, directory, args.baseline) as chain:
            return await _drive(args, chain, " ".join(args.baseline), args.concurrency)
    if is_floor and args.against is None:
        async with bare_chain(args.mode, args.payment_wait) as chain:
            return await _drive(args, chain, "bare chain", args.concurrency)
    callers = args.against if is_floor else args.concurrency
    async with real_arm(args.mode, args.payment_wait, directory) as chain:
        return await _drive(args, chain, f"real arm, {callers} callers", callers)


async def _drive(args: argparse.Namespace, chain: Chain, name: str, callers: int) -> Run:
    plan = Plan(
        mode=args.mode,
        address=chain.address,
        population=chain.population,
        run_id=secrets.token_hex(6),
        concurrency=callers,
        checkouts=args.checkouts,
        duration_s=None if args.checkouts else args.warmup + args.seconds,
        warmup_s=args.warmup,
        timeout_s=args.timeout,
        seed=args.seed,
        # The bare chain has nothing to tell: neither is asked.
        sample_every=0,
    )
    meter = Meter(chain.pids)
    recording = await run_interruptibly(Crew(plan))
    used = meter.read()
    result = make_result(plan, recording, {})
    return Run.of(name, result, used)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadgen.floor",
        description="Compare the real arm with a bare chain of five hops, alternately.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add: Any = parser.add_argument
    add("--mode", choices=LOOP_ARMS, required=True, help="the arm")
    add("--concurrency", type=positive, default=100, metavar="N", help="callers (default 100)")
    add(
        "--pairs", type=positive, default=PAIRS_MIN, metavar="N",
        help=f"interleaved pairs (default {PAIRS_MIN}; fewer are INVALID)",
    )  # fmt: skip
    add(
        "--payment-wait", type=latency_range, default=(0.0, 0.0), metavar="MIN:MAX",
        help="seconds that the payment takes in both (default 0)",
    )  # fmt: skip
    add("--seconds", type=seconds, default=8.0, metavar="S", help="measured a run (default 8)")
    add("--checkouts", type=positive, metavar="N", help="orders a run, instead of --seconds")
    add("--warmup", type=warmup, default=2.0, metavar="S", help="before measuring (default 2)")
    add("--timeout", type=seconds, default=60.0, metavar="S", help="of an order (default 60)")
    add("--against", type=positive, metavar="N", help="compare with the real arm at N callers")
    add(
        "--baseline", action="append", metavar="OPTION",
        help="compare with the real arm under this option instead, such as"
        " --baseline=--telemetry=off; may be given again",
    )  # fmt: skip
    add("--seed", type=natural, default=42, metavar="N", help="seed of who buys what (default 42)")
    add(
        "--data-dir", type=Path, default=Path("dados"),
        help="a directory below it holds the data; its disk is measured (default dados)",
    )  # fmt: skip
    add("--json", type=Path, metavar="FILE", help="write every figure")
    args = parser.parse_args(argv)
    if args.baseline and args.against is not None:
        parser.error("--baseline and --against are two comparisons: give one")
    if args.baseline:
        # Told now, not when the first arm has failed to start.
        lab = argparse.ArgumentParser(f"{parser.prog} --baseline", add_help=False)
        add_lab_options(lab)
        unknown = lab.parse_known_args(args.baseline)[1]
        if unknown:
            parser.error(f"--baseline: run_all.py has no option {unknown[0]} that an arm is under")
    if args.json is not None and not args.json.absolute().parent.is_dir():
        parser.error(f"{args.json}: its directory does not exist")
    return args
