"""The options of `python -m loadgen.chaos`, what they exclude, and its exit codes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final, NoReturn, get_args

from common.arms import LOOP_ARMS, MODES, THREAD_ARMS
from common.option_types import latency_range, natural, positive, seconds
from loadgen.chaos.matrix.cells import CHAIN, cells
from loadgen.chaos.scenarios.catalogue import ADMITTED, SCENARIOS, payment_of
from loadgen.chaos.scenarios.outage import How
from loadgen.chaos.soak.schedule import FAULTS, Fault

EXIT_OK: Final = 0
EXIT_VIOLATION: Final = 1
EXIT_NOT_TERMINAL: Final = 2
EXIT_INVALID: Final = 3
EXIT_UNUSABLE: Final = 4
EXIT_MISSED: Final = 5

EXIT_CODES: Final = """exit codes:
  0  clean: every order ended and no invariant is violated; with --matrix every cell hit and passed
  1  a violation; with --matrix a cell that was not hit or did not pass
  2  not every order ended within its bound
  3  INVALID: the run itself went wrong, its figures mean nothing; the words say why
  4  wrong options, or an arm that does not start
  5  clean, but a scenario missed one of its bars

The arm is started here, on free ports and a fresh data directory below --data-dir, and removed
afterwards unless --keep is given. Strikes are drawn from --seed before the run begins."""

# Seconds of a soak for each strike, when only their number is given: kill, restart, and a moment.
SECONDS_A_STRIKE: Final = 1.5
# Callers, unless their number is given. Attackers are fewer, since each is several at once; fewer
# still on threads, where more would only be told that ten workers have too much to do.
CALLERS: Final = 200
ATTACKERS: Final = dict.fromkeys(LOOP_ARMS, 50) | dict.fromkeys(THREAD_ARMS, 15)
# Seconds of an attack on one arm.
ATTACK_S: Final = 600.0
# Seconds that the payment takes in a soak and an attack.
SOAK_PAYMENT_S: Final = (0.05, 0.15)


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


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The options; wrong ones end the process with one line."""
    parser = _Parser(
        prog="python -m loadgen.chaos",
        description="Attack an arm and judge what it did: every cell of the fault matrix, one "
        "order each (--matrix); one question with its bar (--scenario); callers who do all that a "
        "caller can while services are struck (--attack); or a soak of strikes under load.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add: Any = parser.add_argument
    add("--mode", choices=MODES, help="the arm (default: grpc, then http; with --attack all four)")
    add("--matrix", action="store_true", help="run the cells of the fault matrix")
    add(
        "--attack", action="store_true",
        help="duplicates, other bodies, cancels, hang-ups, short deadlines, look-ups; services "
        "killed, stopped and told to end, one, three and all at once",
    )  # fmt: skip
    add(
        "--scenario", choices=SCENARIOS,
        help="beyond capacity; one slow hop; one hop gone for a while; all restarted in turn",
    )  # fmt: skip
    add("--service", choices=CHAIN[1:], help="slow-hop, outage: the service (default estoque)")
    add(
        "--how", choices=get_args(How),
        help="outage: dead, nothing listens; hung, connections stand and nobody answers "
        "(default dead)",
    )  # fmt: skip
    add(
        "--in-flight-max", type=positive, metavar="N",
        help=f"overload: orders admitted at once (default {ADMITTED})",
    )  # fmt: skip
    add(
        "--offer", type=seconds, metavar="X",
        help="overload: orders that come, as a multiple of the peak (default 3)",
    )  # fmt: skip
    add(
        "--active-max", type=positive, metavar="N",
        help="slow-hop: orders driven at once; with fewer than come meanwhile a queue forms",
    )  # fmt: skip
    add(
        "--circuit-breaker", choices=("on", "off"), default="on",
        help="whether services fail fast while the next one does not answer (default on)",
    )  # fmt: skip
    add("--only", metavar="TEXT", help="with --matrix: the cells whose name holds TEXT")
    add(
        "--faults", type=fault_list, metavar="LIST",
        help=f"all, or some of {','.join(FAULTS)} (default kill)",
    )  # fmt: skip
    add("--kills", type=positive, metavar="N", help="strikes in all (default: from --duration)")
    add(
        "--duration", type=seconds, metavar="S",
        help="seconds of the soak, of the attack (default 600), the overload (default 60) or the "
        "outage (default 60)",
    )  # fmt: skip
    add(
        "--concurrency", type=positive, metavar="N",
        help=f"callers (default {CALLERS}; with --attack {ATTACKERS[MODES[0]]}, on threads "
        f"{ATTACKERS[MODES[-1]]})",
    )  # fmt: skip
    add(
        "--rate", type=seconds, metavar="R",
        help="soak: an open loop of R orders a second instead of callers; outage: its rate "
        "(default 30)",
    )  # fmt: skip
    add("--seed", type=natural, default=42, metavar="N", help="seed of strikes and orders")
    add(
        "--payment-latency", type=latency_range, metavar="MIN:MAX",
        help="seconds that the payment takes (default 0.05:0.15; overload 0.5:1.5)",
    )  # fmt: skip
    add("--data-dir", type=Path, default=Path("dados"), help="a directory below it holds the data")
    add("--keep", action="store_true", help="leave that directory where it is")
    add("--json", type=Path, metavar="FILE", help="write every figure")
    add("--picture", type=Path, metavar="FILE", help="draw the soak (.png, .svg or .pdf)")
    args = parser.parse_args(argv)
    args.data_dir = args.data_dir.absolute()
    _check_kind(parser, args)
    for path in (args.json, args.picture):
        if path is not None and not path.absolute().parent.is_dir():
            parser.error(f"{path}: its directory does not exist")
    if args.picture is not None and args.picture.suffix not in {".png", ".svg", ".pdf"}:
        parser.error(f"{args.picture}: expected a name that ends in .png, .svg or .pdf")
    return args


# Options that only some scenarios know.
_ONLY_IN: Final = {
    "service": ("slow-hop", "outage"),
    "how": ("outage",),
    "in_flight_max": ("overload",),
    "active_max": ("slow-hop",),
    "offer": ("overload",),
}


def _check_kind(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse options that the chosen kind of run does not know; fill in its defaults."""
    if args.matrix + args.attack + bool(args.scenario) > 1:
        parser.error("--matrix, --attack and --scenario are runs of their own: choose one")
    if args.only and not args.matrix:
        parser.error("--only needs --matrix")
    for option, scenarios in _ONLY_IN.items():
        if getattr(args, option) is not None and args.scenario not in scenarios:
            parser.error(f"--{option.replace('_', '-')} needs --scenario {' or '.join(scenarios)}")
    args.modes = (args.mode,) if args.mode else MODES if args.attack else LOOP_ARMS
    if not args.attack:
        args.concurrency = args.concurrency or CALLERS
    if args.matrix:
        _check_matrix(parser, args)
    elif args.attack:
        _check_attack(parser, args)
    elif args.scenario:
        _check_scenario(parser, args)
    else:
        _check_soak(parser, args)


def _check_matrix(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if args.kills or args.duration or args.faults or args.picture or args.rate:
        parser.error(
            "--matrix runs its own faults: leave --faults, --kills, --duration, --rate, --picture out"
        )
    if not any(args.only is None or args.only in cell.name for cell in cells()):
        parser.error(f"--only {args.only!r}: no cell has that in its name")
    args.payment_latency = (0.0, 0.0)


def _check_attack(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if args.kills or args.faults or args.rate:
        parser.error("--attack brings its own strikes: leave --faults, --kills and --rate out")
    args.duration = args.duration or ATTACK_S
    args.payment_latency = args.payment_latency or SOAK_PAYMENT_S


def _check_scenario(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if args.kills or args.faults:
        parser.error("--scenario brings its own faults: leave --faults and --kills out")
    if args.rate and args.scenario != "outage":
        parser.error(f"--scenario {args.scenario} sets its own rate: leave --rate out")
    args.payment_latency = payment_of(args)
    args.service, args.how = args.service or "estoque", args.how or "dead"
    args.in_flight_max = args.in_flight_max or ADMITTED


def _check_soak(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if args.kills is None and args.duration is None:
        parser.error(
            "say how long: --kills N, --duration S or both; or --matrix, --attack, --scenario"
        )
    if args.kills is None and args.duration < SECONDS_A_STRIKE:
        parser.error(f"--duration: at least {SECONDS_A_STRIKE:g} seconds make one strike")
    args.payment_latency = args.payment_latency or SOAK_PAYMENT_S
