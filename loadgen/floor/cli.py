"""How near the real arm comes to its floor: `python -m loadgen.floor --mode grpc|http`.

The floor is the same number of hops with plain handlers and stubs, in fresh processes like the arm
beside it. An arm can be compared with itself or with another checkout instead: both then live side
by side, which varies less than fresh processes. One generator drives both sides, in alternate turns.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from msgspec import Struct
from rich.console import Console

from common import ROOT
from common.settings import add_lab_options, latency_range, natural, positive, seconds
from loadgen.floor.report import Floor, Pair, Run, show, summarise
from loadgen.machine.disk import appends_ms, memory_disk
from loadgen.machine.usage import Meter
from loadgen.options import warmup
from loadgen.pairs.command import add_pairs, execute, options, surroundings
from loadgen.pairs.turns import alternate
from loadgen.testbed.chains import Chain, bare_chain, real_arm
from loadgen.testbed.clients import driven
from loadgen.workload.dial import LOOP_ARMS

EPILOG: Final = """One caller compares median latency with that of the bare chain plus six appends with fdatasync one
after the other on the data directory's disk; more callers compare the steady rate of terminal
answers. --against N compares the real arm at --concurrency with itself at N callers instead,
--against DIR with the arm of another checkout of the project, and --baseline OPTION with itself
under another option: then the processor time of an order is the figure that varies least.

exit codes: 0 measured, 2 wrong options or a chain that does not start, 3 INVALID (the words say why;
an order without a terminal answer on either side is enough)"""

Turns = dict[str, Callable[[], Awaitable[Run]]]


class Side(Struct, frozen=True):
    """A real arm on one side of the pairs: its callers, its options, and the checkout it is from."""

    name: str
    callers: int
    options: tuple[str, ...] = ()
    checkout: Path = ROOT


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return execute("floor", _parse(argv), _measure, show)


async def _measure(args: argparse.Namespace, console: Console) -> Floor:
    args.data_dir = args.data_dir.absolute()
    args.data_dir.mkdir(parents=True, exist_ok=True)
    pairs: list[Pair] = []
    other = _other(args)
    async with AsyncExitStack() as stack:
        directory = Path(
            stack.enter_context(TemporaryDirectory(prefix="floor-", dir=args.data_dir))
        )
        disk = memory_disk(directory)
        if other is None:
            turns = _fresh(args, directory)
        else:
            turns = await _living(args, other, directory, stack)
        async for runs in alternate(turns, args.pairs):
            durable = appends_ms(directory) if other is None and args.concurrency == 1 else []
            pairs.append(Pair(**runs, appends_ms=median(durable) if durable else None))
            words = f"pair {len(pairs)}/{args.pairs}: {pairs[-1].words()}"
            console.print(words, markup=False, highlight=False)
    return summarise(
        args.mode,
        args.concurrency,
        pairs,
        wanted=args.pairs,
        memory_disk=disk,
        **surroundings(args, args.data_dir),
    )


def _real(args: argparse.Namespace) -> Side:
    return Side(f"real arm, {args.concurrency} callers", args.concurrency)


def _other(args: argparse.Namespace) -> Side | None:
    """The real arm that the real arm is compared with; None for the bare chain."""
    if args.baseline:
        return Side(" ".join(args.baseline), args.concurrency, tuple(args.baseline))
    if isinstance(args.against, Path):
        name = f"checkout {args.against.name}, {args.concurrency} callers"
        return Side(name, args.concurrency, checkout=args.against)
    return None if args.against is None else Side(f"real arm, {args.against} callers", args.against)


def _fresh(args: argparse.Namespace, directory: Path) -> Turns:
    """The bare chain and the real arm, each started anew for each of its turns."""

    async def bare() -> Run:
        async with bare_chain(args.mode, args.payment_wait) as chain:
            return await _drive(args, chain, "bare chain", args.concurrency, args.warmup)

    async def real() -> Run:
        side = _real(args)
        async with real_arm(args.mode, args.payment_wait, directory) as chain:
            return await _drive(args, chain, side.name, side.callers, args.warmup)

    return {"floor": bare, "real": real}


async def _living(
    args: argparse.Namespace, other: Side, directory: Path, stack: AsyncExitStack
) -> Turns:
    """Two real arms that live side by side until `stack` ends them, warmed up."""
    turns: Turns = {}
    for key, side in (("floor", other), ("real", _real(args))):
        home = directory / key
        home.mkdir()
        arm = real_arm(
            args.mode, args.payment_wait, home, side.options, checkout=side.checkout
        )  # fmt: skip
        chain = await stack.enter_async_context(arm)
        if args.warmup:
            await driven(args.mode, chain, concurrency=side.callers, duration_s=args.warmup)
        turns[key] = partial(_drive, args, chain, side.name, side.callers, 0.0)
    return turns


async def _drive(
    args: argparse.Namespace, chain: Chain, name: str, callers: int, warmup_s: float
) -> Run:
    meter = Meter(chain.pids)
    result = await driven(
        args.mode,
        chain,
        concurrency=callers,
        checkouts=args.checkouts,
        duration_s=None if args.checkouts else warmup_s + args.seconds,
        warmup_s=warmup_s,
        timeout_s=args.timeout,
        seed=args.seed,
        # The bare chain has nothing to tell: neither is asked.
        sample_every=0,
    )
    return Run.of(name, result, meter.read())


def _opponent(text: str) -> int | Path:
    """Parse a number of callers, or the directory of another checkout of the project."""
    if text.isdecimal():
        return positive(text)
    path = Path(text).absolute()
    if not (path / "run_all.py").is_file():
        raise argparse.ArgumentTypeError(f"expected callers or a checkout: no run_all.py in {text}")
    return path


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = options(
        "floor",
        "Compare the real arm with a bare chain of five hops, or with another arm, alternately.",
        EPILOG,
        length_s=8.0,
    )
    add_pairs(parser, callers=100)
    add = parser.add_argument
    add("--mode", choices=LOOP_ARMS, required=True, help="the arm")
    add(
        "--payment-wait", type=latency_range, default=(0.0, 0.0), metavar="MIN:MAX",
        help="seconds that the payment takes in both (default 0)",
    )  # fmt: skip
    add("--checkouts", type=positive, metavar="N", help="orders of each run, instead of --seconds")
    add("--warmup", type=warmup, default=2.0, metavar="S", help="before measuring (default 2)")
    add("--timeout", type=seconds, default=60.0, metavar="S", help="of an order (default 60)")
    add(
        "--against", type=_opponent, metavar="N|DIR",
        help="compare with the real arm at N callers, or with that of the checkout in DIR",
    )  # fmt: skip
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
    args: argparse.Namespace = parser.parse_args(argv)
    if args.baseline and args.against is not None:
        parser.error("--baseline and --against are two comparisons: give one")
    if args.baseline:
        # Told now, not when the first arm has failed to start.
        lab = argparse.ArgumentParser(f"{parser.prog} --baseline", add_help=False)
        add_lab_options(lab)
        unknown = lab.parse_known_args(args.baseline)[1]
        if unknown:
            parser.error(f"--baseline: run_all.py has no option {unknown[0]} that an arm is under")
    return args
