"""The command `python -m loadgen.chaos`: the fault matrix, and the soak under load."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

import msgspec
from rich.console import Console

from common.audit import AuditError
from common.failpoints import Rules, write_rules
from common.settings import latency_range, natural, positive, seconds
from loadgen.arms import ARMS, dial
from loadgen.chains import Chain, ChainError, real_arm
from loadgen.chaos.arm import AttackedArm
from loadgen.chaos.cells import cells
from loadgen.chaos.matrix import CellResult, Matrix, MatrixResult
from loadgen.chaos.orders import STOCK
from loadgen.chaos.picture import draw
from loadgen.chaos.result import SoakResult
from loadgen.chaos.schedule import FAULTS, Fault, schedule
from loadgen.chaos.soak import Progress, Soak
from loadgen.chaos.table import show_matrix, show_soak
from loadgen.environment import environment
from loadgen.history import History
from loadgen.plan import Plan
from loadgen.targets import baskets

EXIT_OK: Final = 0
EXIT_VIOLATION: Final = 1
EXIT_NOT_TERMINAL: Final = 2
EXIT_INVALID: Final = 3
EXIT_UNUSABLE: Final = 4

EXIT_CODES: Final = """exit codes:
  0  clean: every order ended and no invariant is violated; with --matrix every cell hit and passed
  1  a violation; with --matrix a cell that was not hit or did not pass
  2  not every order ended within its bound
  3  INVALID: the run itself went wrong, its figures mean nothing; the words say why
  4  wrong options, or an arm that does not start

The arm is started here, on free ports and a fresh data directory below --data-dir, and removed
afterwards unless --keep is given. Strikes are drawn from --seed before the run begins."""

# Seconds of a soak for each strike, when only their number is given: kill, restart, and a moment.
SECONDS_A_STRIKE: Final = 1.5
# Connections of the customers on REST.
CONNECTIONS: Final = 1_024
# Seconds. Every order must have ended so long after the last heal.
SETTLED_MAX_S: Final = 10.0


class _Attack(NamedTuple):
    """An arm that stands ready to be attacked."""

    arm: AttackedArm
    chain: Chain
    pedidos: Any
    directory: Path


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = _parse(argv)
    progress, answer = Console(stderr=True), Console()
    try:
        args.data_dir.mkdir(parents=True, exist_ok=True)
        modes = (args.mode,) if args.mode else ARMS
        results = []
        for mode in modes:
            results.append(asyncio.run(_attack(args, mode, progress)))
            if args.json is not None:
                args.json.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1))
            _show(results[-1], args, answer)
    except (ChainError, AuditError, OSError) as error:
        print(f"chaos: {error}", file=sys.stderr)
        return EXIT_UNUSABLE
    except KeyboardInterrupt:
        print("chaos: interrupted", file=sys.stderr)
        return EXIT_INVALID
    codes = [exit_code(result) for result in results]
    # What was found wrong comes before what could not be told.
    return min((code for code in codes if code), default=EXIT_OK)


def exit_code(result: MatrixResult | SoakResult) -> int:
    """What a result is to whoever called the command."""
    if isinstance(result, MatrixResult):
        return EXIT_OK if result.passed else EXIT_VIOLATION
    late = result.settled_s is None or result.settled_s > SETTLED_MAX_S
    if result.audit.violations and not result.audit.open_orders:
        return EXIT_VIOLATION
    if late or result.broken or result.audit.open_orders:
        return EXIT_NOT_TERMINAL
    return EXIT_INVALID if result.invalid_reasons else EXIT_OK


def _show(result: MatrixResult | SoakResult, args: argparse.Namespace, console: Console) -> None:
    if isinstance(result, MatrixResult):
        show_matrix(result, console)
        return
    show_soak(result, console)
    if args.picture is not None:
        path = args.picture
        if args.mode is None:
            path = path.with_stem(f"{path.stem}-{result.mode}")
        draw(result, path)
        console.print(f"picture: {path}", highlight=False)


@contextmanager
def _directory(args: argparse.Namespace, mode: str) -> Iterator[Path]:
    """A directory that is removed at the end, unless it is wanted or holds evidence."""
    path = Path(tempfile.mkdtemp(prefix=f"chaos-{mode}-", dir=args.data_dir))
    args.evidence = False
    try:
        yield path
    finally:
        if args.keep or args.evidence:
            print(f"chaos: the data are in {path}", file=sys.stderr)
        else:
            shutil.rmtree(path)


@asynccontextmanager
async def _attacked(
    args: argparse.Namespace, mode: str, options: Sequence[str]
) -> AsyncIterator[_Attack]:
    """The arm, fresh, with failpoints; removed at the end unless it is to be kept."""
    with _directory(args, mode) as directory:
        rules = directory / "failpoints.json"
        write_rules(rules, Rules(seed=args.seed))
        async with real_arm(
            mode, args.payment_latency, directory, (f"--failpoints={rules}", *options)
        ) as chain:
            pedidos = dial(mode, "pedidos", chain.address, connections=CONNECTIONS)
            try:
                arm = AttackedArm(directory / "dados", rules, args.seed)
                yield _Attack(arm, chain, pedidos, directory)
            finally:
                await pedidos.close()


async def _attack(
    args: argparse.Namespace, mode: str, console: Console
) -> MatrixResult | SoakResult:
    if args.matrix:
        return await _matrix(args, mode, console)
    return await _soak(args, mode, console)


async def _matrix(args: argparse.Namespace, mode: str, console: Console) -> MatrixResult:
    chosen = [cell for cell in cells() if args.only is None or args.only in cell.name]
    async with _attacked(args, mode, (f"--stock={STOCK}", "--payment-approval=0.9")) as attack:
        path = attack.directory / "history.jsonl"
        history = History(path)
        try:
            matrix = Matrix(
                mode, attack.arm, attack.pedidos, attack.chain.population,
                history=path, seed=args.seed, run_id=secrets.token_hex(4), own_history=history,
            )  # fmt: skip

            def tell(number: int, cell: CellResult) -> None:
                words = cell.problem or f"{cell.hits} hits, {cell.outcome}"
                console.print(
                    f"{mode} {number}/{len(chosen)} {cell.name}: {words}",
                    highlight=False, markup=False, soft_wrap=True,
                )  # fmt: skip

            result = await matrix.run(chosen, tell)
            args.evidence = not result.passed
            return result
        finally:
            history.close()


async def _soak(args: argparse.Namespace, mode: str, console: Console) -> SoakResult:
    faults: tuple[Fault, ...] = args.faults or ("kill",)
    count = args.kills if args.kills is not None else int(args.duration / SECONDS_A_STRIKE)
    duration = args.duration or count * SECONDS_A_STRIKE
    strikes = schedule(faults, count, duration, args.seed)
    async with _attacked(args, mode, ()) as attack:
        plan = Plan(
            mode=mode, address=attack.chain.address, population=attack.chain.population,
            run_id=secrets.token_hex(4), concurrency=args.concurrency, checkouts=None,
            duration_s=duration, warmup_s=0.0, timeout_s=60.0, seed=args.seed,
        )  # fmt: skip

        def tell(now: Progress) -> None:
            console.print(
                f"{mode} {now.second:5.0f} s  {now.ended} ended  {now.per_s:5.0f} a second  "
                f"{now.errors} calls failed  strike {now.struck}/{now.strikes} {now.last}",
                highlight=False, soft_wrap=True,
            )  # fmt: skip

        soak = Soak(
            mode, attack.arm, attack.pedidos, baskets(plan), strikes,
            callers=args.concurrency, duration_s=duration, seed=args.seed, run_id=plan.run_id,
            history=attack.directory / "history.jsonl",
            environment=environment(args.data_dir), tell=tell,
        )  # fmt: skip
        result = await soak.run()
        args.evidence = exit_code(result) != EXIT_OK
        return result


def fault_list(text: str) -> tuple[Fault, ...]:
    """Parse `kill,pause` or `all` into faults."""
    if text == "all":
        return FAULTS
    chosen = tuple(part for part in FAULTS if part in text.split(","))
    if not chosen or set(text.split(",")) - set(FAULTS):
        msg = f"expected all, or a list of {', '.join(FAULTS)}, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return chosen


class _Parser(argparse.ArgumentParser):
    """Its own exit code for wrong options: argparse's 2 says something else here."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_UNUSABLE, f"{self.prog}: error: {message}\n")


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = _Parser(
        prog="python -m loadgen.chaos",
        description="Attack an arm and judge what it did: every cell of the fault matrix, one "
        "order each (--matrix), or a soak of strikes under load.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add: Any = parser.add_argument
    add("--mode", choices=ARMS, help="the arm (default: both, one after the other)")
    add("--matrix", action="store_true", help="run the cells of the fault matrix")
    add("--only", metavar="TEXT", help="with --matrix: the cells whose name holds TEXT")
    add(
        "--faults", type=fault_list, metavar="LIST",
        help=f"all, or some of {','.join(FAULTS)} (default kill)",
    )  # fmt: skip
    add("--kills", type=positive, metavar="N", help="strikes in all (default: from --duration)")
    add("--duration", type=seconds, metavar="S", help="seconds of the attack")
    add("--concurrency", type=positive, default=200, metavar="N", help="callers (default 200)")
    add("--seed", type=natural, default=42, metavar="N", help="seed of strikes and orders")
    add(
        "--payment-latency", type=latency_range, default=(0.05, 0.15), metavar="MIN:MAX",
        help="seconds that the payment takes (default 0.05:0.15)",
    )  # fmt: skip
    add("--data-dir", type=Path, default=Path("dados"), help="a directory below it holds the data")
    add("--keep", action="store_true", help="leave that directory where it is")
    add("--json", type=Path, metavar="FILE", help="write every figure")
    add("--picture", type=Path, metavar="FILE", help="draw the soak (.png, .svg or .pdf)")
    args = parser.parse_args(argv)
    args.data_dir = args.data_dir.absolute()
    if args.matrix:
        args.payment_latency = (0.0, 0.0)
        if args.kills or args.duration or args.faults or args.picture:
            parser.error(
                "--matrix runs its own faults: leave --faults, --kills, --duration, --picture out"
            )
    elif args.only:
        parser.error("--only needs --matrix")
    elif args.kills is None and args.duration is None:
        parser.error("say how long: --kills N, --duration S or both; or --matrix")
    if args.matrix and not any(args.only is None or args.only in cell.name for cell in cells()):
        parser.error(f"--only {args.only!r}: no cell has that in its name")
    if not args.matrix and args.kills is None and args.duration < SECONDS_A_STRIKE:
        parser.error(f"--duration: at least {SECONDS_A_STRIKE:g} seconds make one strike")
    for path in (args.json, args.picture):
        if path is not None and not path.absolute().parent.is_dir():
            parser.error(f"{path}: its directory does not exist")
    if args.picture is not None and args.picture.suffix not in {".png", ".svg", ".pdf"}:
        parser.error(f"{args.picture}: expected a name that ends in .png, .svg or .pdf")
    return args
