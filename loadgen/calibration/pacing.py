"""Does the open loop do what it says? `python -m loadgen.pacing` shows it on a trivial server.

It compares the rate that was asked for with what was offered and sent, over the whole run and in
each tenth of it, and the orders actually sent in each tenth of a second with a Poisson process given
its count. With --stall the server stands still once: the open
loop must show that in its latency, while one naive caller in a closed loop, which asks nothing while
it waits, hardly notices (coordinated omission; Tene, How NOT to Measure Latency, 2013).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct
from rich.console import Console
from rich.table import Table
from scipy import stats

from common.option_types import natural, positive, seconds
from loadgen.options import rate
from loadgen.pairs.command import Findings, execute, options, surroundings
from loadgen.results.percentiles import Latency
from loadgen.results.recorder import CELL_NS
from loadgen.results.result import Result
from loadgen.results.selfcheck import RATE_DIFFERENCE_MAX
from loadgen.results.timeline import OpenLoop
from loadgen.testbed.chains import trivial_server
from loadgen.testbed.clients import driven
from loadgen.testbed.trivial import PROTOCOLS
from loadgen.workload.schedule import steady

# Below it the counts are not those of a Poisson process; one seed in a hundred fails by chance.
P_MIN: Final = 0.01
# Windows of equal length whose rates are compared. The number of orders of the whole is decided
# beforehand, so that the rate over all of it could hardly be wrong; that of a part could.
WINDOWS: Final = 10
# Counts that a class must be expected to hold, for the chi-square distribution to apply.
EXPECTED_MIN: Final = 5.0
# Of the p99 that a stall must cause, the least that the open loop shows; of the stall's length, the
# most that the naive caller may show.
SHOWN_MIN: Final = 0.8
NOTED_MAX: Final = 0.1

EPILOG: Final = """exit codes: 0 every check passed, 1 one did not, 2 wrong options or a server that does not start,
3 INVALID: the generator was out of its own bounds, as the words say"""


class Check(Struct, frozen=True):
    """One thing that must be so: what it says, what was found, what would do, and whether it is."""

    name: str
    found: str
    bound: str
    passed: bool


class Pacing(Findings, frozen=True, kw_only=True):
    """The JSON of a run. `naive_ms` is what one caller in a closed loop saw, with --stall."""

    mode: str
    checks: list[Check]
    open_loop: OpenLoop
    latency_ms: Latency
    service_ms: Latency
    naive_ms: Latency | None

    @property
    def met(self) -> bool:
        """True when every check passed."""
        return all(check.passed for check in self.checks)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return execute("pacing", _parse(argv), _measure, show)


async def _measure(args: argparse.Namespace, console: Console) -> Pacing:
    schedule = steady(args.rate, args.seconds, "poisson")
    console.print(f"open loop, {args.rate:g}/s for {args.seconds:g} s", highlight=False)
    opened = await _run(args, schedule=schedule)
    kept = opened.open_loop
    assert kept is not None
    sent = opened.recording.sent
    checks = [
        rate_check(kept),
        windows_check(sent, args.seconds),
        poisson_check(sent, args.rate, args.seconds),
    ]
    naive = None
    if args.stall:
        console.print(f"closed loop, one caller for {args.seconds:g} s", highlight=False)
        naive = await _run(args, concurrency=1, duration_s=args.seconds)
        checks += stall_checks(opened, naive, args.stall, args.seconds)
    reasons = opened.invalid_reasons + (naive.invalid_reasons if naive is not None else [])
    return Pacing(
        mode=args.mode,
        checks=checks,
        open_loop=kept,
        latency_ms=opened.latency_ms,
        service_ms=opened.service_ms,
        naive_ms=naive.latency_ms if naive is not None else None,
        valid=not reasons,
        invalid_reasons=reasons,
        **surroundings(args),
    )


async def _run(args: argparse.Namespace, **loop: Any) -> Result:
    """One run against a fresh server, which stands still in the middle of it when asked to."""
    async with trivial_server(
        args.mode, stall_at_s=(args.seconds - args.stall) / 2, stall_s=args.stall
    ) as chain:
        return await driven(args.mode, chain, processes=args.processes, seed=args.seed, **loop)


def rate_check(kept: OpenLoop) -> Check:
    """Whether as many orders were sent a second as were asked for."""
    share = kept.sent_per_s / kept.asked_per_s
    return Check(
        name="sent against asked",
        found=f"{kept.sent_per_s:,.2f} of {kept.asked_per_s:,.2f} a second, {share - 1:+.2%}",
        bound=f"within {RATE_DIFFERENCE_MAX:.0%}",
        passed=abs(share - 1) <= RATE_DIFFERENCE_MAX,
    )


def windows_check(sent: Sequence[int], length_s: float) -> Check:
    """Whether the rate is the same in each tenth of the run, by Pearson's chi-square.

    Given their number, each order of a Poisson process falls into each window with the same chance.
    """
    width = max(1, int(length_s * 1_000_000_000 // CELL_NS) // WINDOWS)
    counts = [sum(sent[first : first + width]) for first in range(0, WINDOWS * width, width)]
    rates = [count / (width * CELL_NS / 1e9) for count in counts]
    told = sum(counts) >= EXPECTED_MIN * WINDOWS
    p_value = float(stats.chisquare(counts).pvalue) if told else 0.0
    return Check(
        name=f"rate in each of {WINDOWS} windows, by chi-square",
        found=f"{min(rates):,.1f} to {max(rates):,.1f} a second, p = {p_value:.3f}"
        if told
        else "too few orders to say",
        bound=f"p >= {P_MIN}",
        passed=p_value >= P_MIN,
    )


def poisson_check(sent: Sequence[int], rate_per_s: float, length_s: float) -> Check:
    """Whether the orders sent in each cell of the series are Poisson's, by Pearson's chi-square."""
    whole = int(length_s * 1_000_000_000 // CELL_NS)
    cells = [*sent[:whole], *[0] * (whole - len(sent))]
    found = chi_square(cells, rate_per_s * CELL_NS / 1e9)
    p_value = found if found is not None else 0.0
    return Check(
        name="Poisson given its count, by chi-square",
        found="too few orders to say" if found is None else f"p = {p_value:.3f}",
        bound=f"p >= {P_MIN}",
        passed=p_value >= P_MIN,
    )


def chi_square(counts: Sequence[int], mean: float) -> float | None:
    """The p-value of these counts under Poisson's law of that mean; None for too few to say.

    Neighbouring values are joined until each class is expected to hold EXPECTED_MIN counts.
    """
    observed: list[int] = []
    expected: list[float] = []
    seen, awaited = 0, 0.0
    last = max(counts, default=0)
    for value in range(last + 1):
        seen += counts.count(value)
        awaited += len(counts) * float(stats.poisson.pmf(value, mean))
        rest = len(counts) * float(stats.poisson.sf(value, mean))
        if awaited >= EXPECTED_MIN and rest >= EXPECTED_MIN:
            observed.append(seen)
            expected.append(awaited)
            seen, awaited = 0, 0.0
    observed.append(seen)
    expected.append(len(counts) - sum(expected))
    if len(observed) < 3:
        return None
    return float(stats.chisquare(observed, expected).pvalue)


def stall_checks(opened: Result, naive: Result, stall_s: float, length_s: float) -> list[Check]:
    """Whether the open loop shows a stall and one caller of a closed loop does not.

    Of the orders due in the stall each waits for what is left of it, so that one in a hundred of the
    whole run waits longer than the stall less a hundredth of the run.
    """
    due_ms = (stall_s - length_s / 100) * 1e3
    shown, noticed = opened.latency_ms.p99 or 0.0, naive.latency_ms.p99 or 0.0
    return [
        Check(
            name="the open loop's p99 shows the stall",
            found=f"{shown:,.0f} ms",
            bound=f">= {SHOWN_MIN * due_ms:,.0f} ms, {due_ms:,.0f} ms by theory",
            passed=shown >= SHOWN_MIN * due_ms > 0,
        ),
        Check(
            name="a naive caller's p99 does not",
            found=f"{noticed:,.1f} ms",
            bound=f"< {NOTED_MAX * stall_s * 1e3:,.0f} ms",
            passed=noticed < NOTED_MAX * stall_s * 1e3,
        ),
    ]


def show(pacing: Pacing, console: Console) -> None:
    """Print the checks, then how late the generator was."""
    table = Table("check", "found", "bound", "passed")
    for check in pacing.checks:
        table.add_row(check.name, check.found, check.bound, "yes" if check.passed else "NO")
    console.print(table)
    late = pacing.open_loop.late_ms
    console.print(
        f"{pacing.mode}: sent late by {late.p50} ms (p50), {late.p99} ms (p99), {late.max} ms (max);"
        f" latency p99 {pacing.latency_ms.p99} ms, service time p99 {pacing.service_ms.p99} ms",
        highlight=False,
    )


def _parse(argv: list[str] | None) -> argparse.Namespace:
    words = "Check the open loop against a server that answers at once."
    parser = options("pacing", words, EPILOG, length_s=60.0)
    add = parser.add_argument
    add("--mode", choices=PROTOCOLS, default="grpc", help="the protocol (default grpc)")
    add("--rate", type=rate, default=300.0, metavar="R", help="orders a second (default 300)")
    add(
        "--stall", type=seconds, default=0.0, metavar="S",
        help="have the server stand still so long, in the middle, and compare with one caller",
    )  # fmt: skip
    add("--processes", type=positive, default=1, metavar="K", help="of the generator (default 1)")
    add("--seed", type=natural, default=42, metavar="N", help="of the schedule (default 42)")
    args: argparse.Namespace = parser.parse_args(argv)
    if args.stall and args.stall <= args.seconds / 100:
        parser.error("--stall must be longer than a hundredth of --seconds, or no p99 can show it")
    if args.stall >= args.seconds:
        parser.error("--stall must be shorter than --seconds")
    return args
