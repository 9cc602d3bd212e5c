"""What the generator itself costs: `python -m loadgen.cost`.

One process of it drives a server that answers at once, and so does a bare client loop in the same
protocol that records nothing, alternately in one run. Where Locust is at hand its FastHttpUser
drives the same REST server. The pairs give ratios of rates; each run gives processor time a request.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from common.settings import positive, seconds
from loadgen.driver.crew import CrewError
from loadgen.machine.environment import environment
from loadgen.testbed.chains import ChainError, trivial_server
from loadgen.testbed.clients import ClientError, Cost, bare, generator, has_locust, locust
from loadgen.testbed.trivial import PROTOCOLS

# Of the bare loop's rate, the least that the generator may reach.
RATIO_MIN: Final = 0.80
# Pairs below which a median says nothing: single runs vary by a fifth on a small machine.
PAIRS_MIN: Final = 5

# What stands beside Locust's figure: it does less for an order than the other two.
LOCUST_WORDS: Final = (
    "Locust sends one and the same basket, without a key and a deadline, and does not read what the"
    " answer says: the others do all of that, so its processor time an order is a lower bound"
)

EXIT_OK: Final = 0
EXIT_BELOW: Final = 1
EXIT_UNUSABLE: Final = 2
EXIT_INVALID: Final = 3

EPILOG: Final = f"""exit codes: 0 the median ratio reaches {RATIO_MIN:.2f} in each protocol, 1 it does not, 2 wrong
options or a client that does not run, 3 INVALID (fewer than {PAIRS_MIN} pairs, or an order without an end)

Locust must not be installed beside this project (gevent replaces parts of the standard library):
python -m venv elsewhere && elsewhere/bin/pip install locust, then --locust elsewhere/bin/python"""


class Pair(Struct, frozen=True):
    """Both clients, one right after the other."""

    generator: Cost
    bare: Cost
    locust: Cost | None = None

    @property
    def ratio(self) -> float:
        """The generator's rate as a share of the bare loop's."""
        return self.generator.rate_per_s / self.bare.rate_per_s


class Arm(Struct, frozen=True):
    """What came of one protocol; `ratio` is the median of its pairs."""

    protocol: str
    pairs: list[Pair]
    ratio: float
    ratio_min: float
    ratio_max: float
    met: bool

    @staticmethod
    def of(protocol: str, pairs: list[Pair]) -> Arm:
        """The figures of these pairs."""
        ratios = [pair.ratio for pair in pairs]
        return Arm(
            protocol=protocol,
            pairs=pairs,
            ratio=round(median(ratios), 4),
            ratio_min=round(min(ratios), 4),
            ratio_max=round(max(ratios), 4),
            met=median(ratios) >= RATIO_MIN,
        )


class Costs(Struct, frozen=True):
    """The JSON of a run."""

    arms: list[Arm]
    bar: float
    valid: bool
    invalid_reasons: list[str]
    options: dict[str, str]
    environment: dict[str, Any]


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = _parse(argv)
    try:
        costs = asyncio.run(_measure(args, Console(stderr=True)))
        if args.json is not None:
            args.json.write_bytes(msgspec.json.format(msgspec.json.encode(costs), indent=1))
    except (ChainError, ClientError, OSError) as error:
        print(f"cost: {error}", file=sys.stderr)
        return EXIT_UNUSABLE
    except CrewError as error:
        print(f"cost: INVALID: {error}", file=sys.stderr)
        return EXIT_INVALID
    show(costs, Console())
    if not costs.valid:
        return EXIT_INVALID
    return EXIT_OK if all(arm.met for arm in costs.arms) else EXIT_BELOW


async def _measure(args: argparse.Namespace, console: Console) -> Costs:
    if args.locust is not None and not await has_locust(args.locust):
        raise ClientError(f"{args.locust} has no Locust: make an environment for it, see --help")
    arms = []
    for protocol in args.mode:
        async with trivial_server(protocol) as chain:
            pairs = []
            for number in range(1, args.pairs + 1):
                order = [generator, bare]
                # Alternating which goes first cancels what drifts over the run.
                if number % 2 == 0:
                    order.reverse()
                found = {
                    client.__name__: await client(protocol, chain, args.concurrency, args.seconds)
                    for client in order
                }
                if args.locust is not None and protocol == "http":
                    found["locust"] = await locust(
                        args.locust, chain, args.concurrency, args.seconds
                    )
                pairs.append(Pair(**found))
                words = f"{protocol} pair {number}/{args.pairs}: {pairs[-1].ratio:.3f} of the bare"
                console.print(f"{words} client's rate", highlight=False)
            arms.append(Arm.of(protocol, pairs))
    return _costs(args, arms)


def _costs(args: argparse.Namespace, arms: list[Arm]) -> Costs:
    reasons = [
        f"{arm.protocol}: {reason}"
        for arm in arms
        for pair in arm.pairs
        for reason in pair.generator.invalid_reasons
    ]
    if args.pairs < PAIRS_MIN:
        reasons.append(f"{args.pairs} pairs say nothing, {PAIRS_MIN} are needed")
    options = {key: str(value) for key, value in vars(args).items()}
    return Costs(arms, RATIO_MIN, not reasons, reasons, options, environment())


def show(costs: Costs, console: Console) -> None:
    """Print a table of the clients, the ratios and whether they reach the bar."""
    table = Table("client")
    for name in ("runs", "orders/s", "CPU us an order", "core used", "server's core"):
        table.add_column(name, justify="right")
    for arm in costs.arms:
        runs: dict[str, list[Cost]] = {
            "generator": [pair.generator for pair in arm.pairs],
            "bare client": [pair.bare for pair in arm.pairs],
            "Locust FastHttpUser": [pair.locust for pair in arm.pairs if pair.locust is not None],
        }
        for name, each in runs.items():
            if each:
                table.add_row(f"{arm.protocol}: {name}", *_row(each))
    console.print(table)
    for arm in costs.arms:
        console.print(
            f"{arm.protocol}: the generator reaches {arm.ratio:.3f} of the bare client's rate"
            f" (median of {len(arm.pairs)}, {arm.ratio_min:.3f} to {arm.ratio_max:.3f});"
            f" {costs.bar:.2f} is the bar: {'met' if arm.met else 'NOT met'}",
            highlight=False,
        )
    if not any(pair.locust for arm in costs.arms for pair in arm.pairs):
        console.print("Locust was not compared: --locust PYTHON names an interpreter that has it")
    else:
        console.print(LOCUST_WORDS, highlight=False)
    for reason in costs.invalid_reasons:
        console.print(f"INVALID: {reason}", markup=False, highlight=False)


def _row(costs: list[Cost]) -> list[str]:
    """Medians over the runs, with the range of what varies most."""
    rates = [cost.rate_per_s for cost in costs]
    cpu = [cost.cpu_us for cost in costs]
    return [
        f"{len(costs)}",
        f"{median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})",
        f"{median(cpu):.0f} ({min(cpu):.0f} to {max(cpu):.0f})",
        f"{median(cost.busy for cost in costs):.0%}",
        f"{median(cost.server_busy for cost in costs):.0%}",
    ]


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadgen.cost",
        description="Compare the generator with a client that records nothing, alternately.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add: Any = parser.add_argument
    add("--mode", choices=PROTOCOLS, nargs="+", default=PROTOCOLS, help="default: both")
    add("--concurrency", type=positive, default=50, metavar="N", help="callers (default 50)")
    add(
        "--pairs", type=positive, default=PAIRS_MIN, metavar="N",
        help=f"interleaved pairs (default {PAIRS_MIN}; fewer are INVALID)",
    )  # fmt: skip
    add("--seconds", type=seconds, default=5.0, metavar="S", help="of each run (default 5)")
    add(
        "--locust", metavar="PYTHON", help="an interpreter that has Locust: compare it too, on http"
    )
    add("--json", type=Path, metavar="FILE", help="write every figure")
    args = parser.parse_args(argv)
    if args.json is not None and not args.json.absolute().parent.is_dir():
        parser.error(f"{args.json}: its directory does not exist")
    return args
