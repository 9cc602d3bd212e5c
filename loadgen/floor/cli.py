"""How near the real arm comes to its floor: `python -m loadgen.floor --mode grpc|http`.

The floor is the same number of hops with plain handlers and stubs, in fresh processes like the arm
beside it. An arm can be compared with itself or with another checkout instead: both then live side
by side, which varies less than fresh processes. One generator drives both sides, in alternate turns.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from msgspec import Struct
from rich.console import Console

from common import ROOT
from common.arms import LOOP_ARMS, MODES
from common.option_types import latency_range, natural, positive, seconds
from common.options import add_options
from loadgen.floor.report import Floor, Pair, Run, show, summarise
from loadgen.machine.disk import appends_ms, memory_disk
from loadgen.machine.environment import commit
from loadgen.machine.usage import Meter
from loadgen.options import warmup
from loadgen.pairs.command import execute, options, surroundings
from loadgen.pairs.turns import alternate
from loadgen.testbed.chains import Chain, bare_chain, real_arm
from loadgen.testbed.clients import driven

EPILOG: Final = """One caller compares median latency with that of the bare chain plus six appends with fdatasync one
after the other on the data directory's disk; more callers compare the steady rate of terminal
answers. --against N compares the real arm at --concurrency with itself at N callers instead,
--against DIR with the arm of another checkout of the project, and --baseline OPTION with itself
under another option: then the processor time of an order is the figure that varies least.

exit codes: 0 measured, 2 wrong options or a chain that does not start, 3 INVALID (the words say why;
an order without a terminal answer on either side is enough)"""


class Side(Struct, frozen=True):
    """One side of the pairs: its callers, and what starts its chain below a directory."""

    name: str
    callers: int
    chain: Callable[[Path], AbstractAsyncContextManager[Chain]]


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return execute("floor", _parse(argv), _measure, show)


async def _measure(args: argparse.Namespace, console: Console) -> Floor:
    args.data_dir = args.data_dir.absolute()
    args.data_dir.mkdir(parents=True, exist_ok=True)
    pairs: list[Pair] = []
    async with AsyncExitStack() as stack:
        name = stack.enter_context(TemporaryDirectory(prefix="floor-", dir=args.data_dir))
        directory = Path(name)
        turns = {
            key: await _turn(args, side, directory / key, stack)
            for key, side in _sides(args).items()
        }
        disk = memory_disk(directory)
        async for runs in alternate(turns, args.pairs):
            durable = appends_ms(directory) if _is_bare(args) and args.concurrency == 1 else []
            pairs.append(Pair(**runs, appends_ms=median(durable) if durable else None))
            console.print(f"pair {len(pairs)}/{args.pairs}: {pairs[-1].words()}", highlight=False)
    around = surroundings(args, args.data_dir)
    if isinstance(args.against, Path):
        around["environment"]["against_commit"] = commit(args.against)
    return summarise(
        args.mode, args.concurrency, pairs, wanted=args.pairs, memory_disk=disk, **around
    )


def _is_bare(args: argparse.Namespace) -> bool:
    return not args.baseline and args.against is None


def _sides(args: argparse.Namespace) -> dict[str, Side]:
    """The floor, or the arm in its place, and the real arm."""
    wait, callers, against = args.payment_wait, args.concurrency, args.against

    def arm(name: str, callers: int, options: Sequence[str] = (), checkout: Path = ROOT) -> Side:
        def start(home: Path) -> AbstractAsyncContextManager[Chain]:
            home.mkdir(exist_ok=True)
            return real_arm(args.mode, wait, home, options, checkout=checkout)

        return Side(name, callers, start)

    if args.baseline:
        other = arm(" ".join(args.baseline), callers, args.baseline)
    elif isinstance(against, Path):
        other = arm(f"checkout {against.name}", callers, checkout=against)
    elif against is not None:
        other = arm(f"real arm, {against} callers", against)
    else:
        other = Side("bare chain", callers, lambda _: bare_chain(args.mode, wait))
    return {"floor": other, "real": arm(f"real arm, {callers} callers", callers)}


async def _turn(
    args: argparse.Namespace, side: Side, home: Path, stack: AsyncExitStack
) -> Callable[[], Awaitable[Run]]:
    """The turn of one side: from a fresh start, or of an arm that lives until `stack` ends it."""
    if not _is_bare(args):
        chain = await stack.enter_async_context(side.chain(home))
        if args.warmup:
            await driven(args.mode, chain, concurrency=side.callers, duration_s=args.warmup)
        return partial(_drive, args, side, chain, warmup_s=0.0)

    async def fresh() -> Run:
        async with side.chain(home) as chain:
            return await _drive(args, side, chain, warmup_s=args.warmup)

    return fresh


async def _drive(args: argparse.Namespace, side: Side, chain: Chain, *, warmup_s: float) -> Run:
    meter = Meter(chain.pids)
    length_s = None if args.checkouts else warmup_s + args.seconds
    # The bare chain has nothing to tell: neither is asked.
    result = await driven(
        args.mode, chain, concurrency=side.callers, checkouts=args.checkouts, duration_s=length_s,
        warmup_s=warmup_s, timeout_s=args.timeout, seed=args.seed, sample_every=0,
    )  # fmt: skip
    return Run.of(side.name, result, meter.read())


def _opponent(text: str) -> int | Path:
    """Parse a number of callers, or the directory of another checkout of the project."""
    if text.isdecimal():
        return positive(text)
    path = Path(text).absolute()
    if not (path / "run_all.py").is_file():
        raise argparse.ArgumentTypeError(f"expected callers or a checkout: no run_all.py in {text}")
    return path


def _parse(argv: list[str] | None) -> argparse.Namespace:
    words = "Compare the real arm with a bare chain of five hops, or with another arm, alternately."
    parser = options("floor", words, EPILOG, length_s=8.0, callers=100)
    add = parser.add_argument
    add("--mode", choices=MODES, required=True, help="the arm")
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
    if _is_bare(args) and args.mode not in LOOP_ARMS:
        parser.error(f"{args.mode} has no bare chain: compare it by --against or --baseline")
    if args.baseline and args.against is not None:
        parser.error("--baseline and --against are two comparisons: give one")
    if args.baseline:
        # Told now, not when the first arm has failed to start.
        lab = argparse.ArgumentParser(f"{parser.prog} --baseline", add_help=False)
        add_options(lab)
        unknown = lab.parse_known_args(args.baseline)[1]
        if unknown:
            parser.error(f"--baseline: run_all.py has no option {unknown[0]} that an arm is under")
    return args
