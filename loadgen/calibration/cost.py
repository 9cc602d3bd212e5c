"""What the generator itself costs: `python -m loadgen.cost`.

One process of it drives a server that answers at once, and so does a bare client loop in the same
protocol that records nothing, alternately in one run. Where Locust is at hand its FastHttpUser
drives the same REST server. The pairs give ratios of rates; each run gives processor time a request.
"""

from __future__ import annotations

import argparse
from functools import partial
from statistics import median
from typing import Final

from msgspec import Struct
from rich.console import Console

from loadgen.pairs.command import Findings, cell, execute, options, surroundings, table
from loadgen.pairs.turns import PAIRS_MIN, Ratios, alternate, doubts
from loadgen.testbed.chains import trivial_server
from loadgen.testbed.clients import ClientError, Cost, bare, generator, has_locust, locust
from loadgen.testbed.trivial import PROTOCOLS

# Of the bare loop's rate, the least that the generator may reach.
RATIO_MIN: Final = 0.80

# What stands beside Locust's figure: it does less for an order than the other two.
LOCUST_WORDS: Final = (
    "Locust sends one and the same basket, without a key and a deadline, and does not read what the"
    " answer says: the others do all of that, so its processor time an order is a lower bound"
)

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


class Costs(Findings, frozen=True, kw_only=True):
    """The JSON of a run."""

    arms: list[Arm]
    bar: float

    @property
    def met(self) -> bool:
        """True when each protocol reaches the bar."""
        return all(arm.met for arm in self.arms)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return execute("cost", _parse(argv), _measure, show)


async def _measure(args: argparse.Namespace, console: Console) -> Costs:
    if args.locust is not None and not await has_locust(args.locust):
        raise ClientError(f"{args.locust} has no Locust: make an environment for it, see --help")
    arms, reasons = [], []
    for protocol in args.mode:
        pairs: list[Pair] = []
        async with trivial_server(protocol) as chain:
            load = (chain, args.concurrency, args.seconds)
            turns = {
                "generator": partial(generator, protocol, *load),
                "bare": partial(bare, protocol, *load),
            }
            if args.locust is not None and protocol == "http":
                turns["locust"] = partial(locust, args.locust, *load)
            async for runs in alternate(turns, args.pairs):
                pairs.append(Pair(**runs))
                words = f"{protocol} pair {len(pairs)}/{args.pairs}: {cell(pairs[-1].ratio)}"
                console.print(f"{words} of the bare client's rate", highlight=False)
        arms.append(Arm.of(protocol, pairs))
        undone = [reason for pair in pairs for reason in pair.generator.invalid_reasons]
        found = [*doubts(pairs, args.pairs), *undone]
        reasons += [f"{protocol}: {reason}" for reason in found]
        if len(pairs) < args.pairs:
            break
    return Costs(
        arms=arms,
        bar=RATIO_MIN,
        valid=not reasons,
        invalid_reasons=reasons,
        **surroundings(args),
    )


def show(costs: Costs, console: Console) -> None:
    """Print a table of the clients, the ratios and whether they reach the bar."""
    clients = table(
        None, "client", "runs", "orders/s", "CPU us an order", "core used", "server's core"
    )
    for arm in costs.arms:
        runs: dict[str, list[Cost]] = {
            "generator": [pair.generator for pair in arm.pairs],
            "bare client": [pair.bare for pair in arm.pairs],
            "Locust FastHttpUser": [pair.locust for pair in arm.pairs if pair.locust is not None],
        }
        for name, each in runs.items():
            if each:
                clients.add_row(f"{arm.protocol}: {name}", *_row(each))
    console.print(clients)
    for arm in costs.arms:
        console.print(
            f"{arm.protocol}: the generator's rate by the bare client's, median of"
            f" {len(arm.pairs)}: {Ratios(pair.ratio for pair in arm.pairs).words()};"
            f" {costs.bar:.2f} is the bar: {'met' if arm.met else 'NOT met'}",
            highlight=False,
        )
    if not any(pair.locust for arm in costs.arms for pair in arm.pairs):
        console.print("Locust was not compared: --locust PYTHON names an interpreter that has it")
    else:
        console.print(LOCUST_WORDS, highlight=False)


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
    words = "Compare the generator with a client that records nothing, alternately."
    parser = options("cost", words, EPILOG, length_s=5.0, callers=50)
    add = parser.add_argument
    add("--mode", choices=PROTOCOLS, nargs="+", default=PROTOCOLS, help="default: both")
    add(
        "--locust", metavar="PYTHON", help="an interpreter that has Locust: compare it too, on http"
    )
    args: argparse.Namespace = parser.parse_args(argv)
    return args
