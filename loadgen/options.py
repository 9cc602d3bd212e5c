"""The options of `python -m loadgen`, and the loop that they ask for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

from common.contratos import ITENS_POR_PEDIDO_MAX
from common.option_types import DEADLINE_DEFAULT_S, natural, positive, seconds
from loadgen.attribution.hops import SAMPLE_EVERY, SAMPLES_WANTED
from loadgen.results.objectives import GRAMMAR, Objective, ObjectiveError, parse_objective
from loadgen.workload.plan import CHECKOUTS_PER_CALLER, OPEN_RUN_S, RUNNING_MAX
from loadgen.workload.schedule import ARRIVALS, Schedule, ramp, steady, steps

EXIT_OK: Final = 0
EXIT_NOT_ALL_TERMINAL: Final = 1
EXIT_UNUSABLE: Final = 2
EXIT_INVALID: Final = 3
EXIT_MISSED: Final = 4

# Orders a second, or seconds of a level: far beyond any machine, and finite.
RATE_MAX: Final = 1e7

EXIT_CODES: Final = f"""exit codes, the highest of 3, 4, 1 and 0 in this order that applies:
  0  valid, every objective met, and every order got a terminal answer (or an objective on errors
     or on completed says how many need not, and is met)
  1  valid, but some orders were refused, still pending at their deadline, unsent, or ended in an
     error
  2  wrong options, or nothing to drive: no arm runs, or its shop is empty
  3  INVALID: the generator was out of its own bounds (loop lag, lateness, rate, unsent orders, CPU,
     limits, clock), nothing completed, or the run was interrupted; the figures say why and are not
     to be believed
  4  valid, and an objective was missed

Closed loop (--concurrency): throughput is completed / duration; "steady" is the rate after the
warm-up and before callers run out of orders. An order refused or in error makes its caller pause,
0.1 s at first, 1 s at most.

Open loop (--rate, --ramp, --step): each order is sent at its instant of a schedule that is drawn
from the seed beforehand, however long others take; latency counts from that instant, service time
from the sending. A schedule has as many orders as its rate and length come to, whatever the seed.

objectives: {GRAMMAR}"""


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The options of a command line; ends the program, with one line, when they are wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m loadgen",
        description="Drive the running arm with checkouts: callers, each placing its next order"
        " after the end of its last, or orders on a schedule.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_loop(parser)
    _add_orders(parser)
    _add_output(parser)
    args = parser.parse_args(argv)
    if problem := _problem(args):
        parser.error(problem)
    return args


def loop_of(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of a plan that say which loop it is, and how long."""
    schedule = _schedule(args)
    if schedule is not None:
        return {"schedule": schedule, "under_way_max": args.under_way_max}
    checkouts = args.checkouts
    if checkouts is None and args.duration is None:
        checkouts = CHECKOUTS_PER_CALLER * args.concurrency
    return {
        "concurrency": args.concurrency,
        "checkouts": checkouts,
        "duration_s": args.duration,
    }


def _schedule(args: argparse.Namespace) -> Schedule | None:
    length_s = args.duration or OPEN_RUN_S
    if args.rate is not None:
        if args.checkouts is not None:
            length_s = args.checkouts / args.rate
        return steady(args.rate, length_s, args.arrival)
    if args.ramp is not None:
        return ramp(args.ramp[0], args.ramp[1], length_s, args.arrival)
    return steps(args.step, args.arrival) if args.step is not None else None


def _add_loop(parser: argparse.ArgumentParser) -> None:
    loop = parser.add_argument_group("the loop: one of").add_mutually_exclusive_group(required=True)
    loop.add_argument("--concurrency", type=positive, metavar="N", help="closed: so many callers")
    loop.add_argument("--rate", type=rate, metavar="R", help="open: orders a second")
    loop.add_argument(
        "--ramp",
        type=rate_range,
        metavar="FROM:TO",
        help="open: orders a second at the begin and at the end, even in between",
    )
    loop.add_argument(
        "--step",
        type=levels,
        metavar="R:S,...",
        help="open: R orders a second for S seconds, then the next; 0 is a pause",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--checkouts",
        type=positive,
        metavar="N",
        help=f"orders, altogether (default of callers: {CHECKOUTS_PER_CALLER} each)",
    )
    length.add_argument(
        "--duration",
        type=seconds,
        metavar="S",
        help="seconds after which no new order is placed; those under way finish (default of"
        f" --rate and --ramp: {OPEN_RUN_S:g})",
    )
    add = parser.add_argument
    add(
        "--arrival",
        choices=ARRIVALS,
        default="poisson",
        help="how the orders of a schedule are spread (default poisson)",
    )
    add(
        "--under-way-max",
        type=positive,
        default=RUNNING_MAX,
        metavar="N",
        help="open: orders under way at once, over all processes; one that is due beyond it is not"
        f" sent but counted as unsent (default {RUNNING_MAX:,})",
    )


def _add_orders(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--warmup",
        type=warmup,
        default=0.0,
        metavar="S",
        help="leave out what is due in the first S seconds (default 0)",
    )
    add(
        "--timeout",
        type=seconds,
        default=DEADLINE_DEFAULT_S,
        metavar="S",
        help=f"seconds until an order is given up (default {DEADLINE_DEFAULT_S:g})",
    )
    add("--data-dir", type=Path, default=Path("dados"), help="where run.json is (default dados)")
    add(
        "--seed",
        type=natural,
        default=42,
        metavar="N",
        help="seed of who buys what, and of the schedule (default 42)",
    )
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
        metavar="N",
        help="ask one order in N to tell its time hop by hop, 0 for none (default"
        f" {SAMPLE_EVERY}, or less where so few orders are expected that {SAMPLES_WANTED} need it)",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--objective",
        type=objective,
        action="append",
        default=[],
        metavar="TEXT",
        help='what the run must reach, such as "p99<500ms" or "errors<0.1%%"; may be repeated',
    )
    add("--json", type=Path, metavar="FILE", help="write the result")
    add("--csv", type=Path, metavar="FILE", help="write a row a second: counts and latencies")
    add(
        "--history", type=Path, metavar="FILE", help="write every call and its outcome, for --audit"
    )


def _problem(args: argparse.Namespace) -> str | None:
    """What is wrong with options that are right one by one."""
    for name in ("checkouts", "duration"):
        if args.step is not None and getattr(args, name) is not None:
            return f"--step says how long it takes: leave out --{name}"
    if args.ramp is not None and args.checkouts is not None:
        return "--ramp takes --duration, not --checkouts"
    schedule = _schedule(args)
    if schedule is not None and schedule.count == 0:
        return f"the schedule comes to no order: {schedule.expected:.2g} in all"
    length_s = args.duration if schedule is None else schedule.length_s
    if length_s is not None and args.warmup >= length_s:
        return f"--warmup must be shorter than the run of {length_s:g} s, which includes it"
    for path in (args.json, args.csv, args.history):
        if path is not None and not path.absolute().parent.is_dir():
            return f"{path}: its directory does not exist"
    return None


def warmup(text: str) -> float:
    """Parse a number of seconds that may be 0."""
    return 0.0 if text in {"0", "0.0"} else seconds(text)


def rate(text: str) -> float:
    """Parse a number of orders a second, above 0."""
    value = _rate_or_none(text)
    if not value:
        raise argparse.ArgumentTypeError(f"expected orders a second, above 0, got {text!r}")
    return value


def rate_range(text: str) -> tuple[float, float]:
    """Parse `50:500`: orders a second at the begin and at the end, not both 0."""
    ends = [_rate_or_none(part) for part in text.split(":")]
    if len(ends) != 2 or ends[0] is None or ends[1] is None or not any(ends):
        msg = f"expected FROM:TO in orders a second, such as 50:500, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return ends[0], ends[1]


def levels(text: str) -> tuple[tuple[float, float], ...]:
    """Parse `100:10,200:10`: orders a second and seconds of each level."""
    found = []
    for part in text.split(","):
        rate_text, _, length = part.partition(":")
        level, length_s = _rate_or_none(rate_text), _rate_or_none(length)
        if level is None or not length_s:
            msg = f"expected R:S,... in orders a second and seconds, such as 100:10,200:10, got {text!r}"
            raise argparse.ArgumentTypeError(msg)
        found.append((level, length_s))
    return tuple(found)


def _rate_or_none(text: str) -> float | None:
    """A finite number from 0, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= RATE_MAX else None


def objective(text: str) -> Objective:
    """Parse an objective."""
    try:
        return parse_objective(text)
    except ObjectiveError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


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
