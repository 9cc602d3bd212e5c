"""Where does the time go, and what moves when the load grows?

`python -m loadgen.attribution RESULT [OTHER]` reads saved results and computes everything from the sampled records that they keep.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from loadgen.attribution.bands import PARTS, Attribution, Ways, Where, attribution, lightest
from loadgen.attribution.hops import RESIDUAL, Sample

EXIT_OK: Final = 0
EXIT_UNUSABLE: Final = 2
EXIT_RESIDUAL: Final = 3
# Share of the median order that may be left unaccounted for.
RESIDUAL_MAX: Final = 0.05
# Milliseconds. A part that is shorter everywhere has no row.
_SHOWN_MIN_MS: Final = 0.005
# Parts of a growth that are named, largest first, and the least share of it worth naming.
_NAMED_MAX: Final = 4
_NAMED_MIN: Final = 0.02

_EXPLAINED: Final = """parts of an order, in milliseconds:
  atraso     from the instant it was meant to be sent until the generator sent it
  fila       in the queue for admission
  espera     ready to run but not running: the loop was busy with others, every worker was taken,
             or a core or the interpreter was busy
  vez        a call or an answer on its way until this hop took it up, beyond what the way takes
             when few wait: the turn of the loop that receives; on threads most of it is in espera
  trabalho   processor time of the hop's own code
  banco      from handing work to the storage until its batch was about to commit
  commit     the shared commit
  gateway    the simulated payment
  caminho    what the way to the next hop and back takes when few wait: there and back, each the
             5th percentile in this run, or in the one of two in which it is shorter
  tentativas earlier attempts at the next hop, whose answer was lost
  proximo    waiting for a next hop that told nothing
  consultas  asking again after an order that was accepted first
  residuo    what no instrument accounts for

Compare espera and vez together between loops and threads. In a run that is loaded from begin to end
the 5th percentile holds waiting, too: then vez is too small. Give a run of a light load beside it.

exit codes: 0 told, 2 a file cannot be used, 3 more than 5 % of a median order is unaccounted for"""


class ResultError(Exception):
    """A result cannot be used; the message is one sentence that names it."""


class _Raw(Struct):
    samples: list[Sample]
    sampled: int


class _Asked(Struct):
    asked_per_s: float


class Saved(Struct):
    """The fields that are read of a saved result; `open_loop` is null in a closed one."""

    mode: str
    concurrency: int
    valid: bool
    recording: _Raw
    open_loop: _Asked | None = None

    def title(self) -> str:
        """The arm and the load."""
        if self.open_loop is not None:
            return f"{self.mode}, open loop, {self.open_loop.asked_per_s:,g} orders/s"
        return f"{self.mode}, {self.concurrency:,} callers"


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m loadgen.attribution",
        description="Where a median and a slow order of a saved result (--json of python -m loadgen)"
        " spent their time, hop by hop; with two results, what moved between them.",
        epilog=_EXPLAINED,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("result", type=Path, metavar="RESULT", help="a saved result")
    parser.add_argument(
        "other", type=Path, nargs="?", metavar="OTHER", help="another one, of a heavier load"
    )
    args = parser.parse_args(argv)
    console = Console()
    try:
        told = [_read(path) for path in (args.result, args.other) if path is not None]
    except ResultError as error:
        print(f"loadgen.attribution.cli: {error}", file=sys.stderr)
        return EXIT_UNUSABLE
    ways = lightest(found.ways for _, found in told)
    for title, found in told:
        console.print(title, markup=False, highlight=False)
        show_attribution(found, console, ways)
    if len(told) == 2:
        show_change(told[0][1], told[1][1], ways, console)
    over = [found.median.residual_share for _, found in told if found.median is not None]
    return EXIT_RESIDUAL if max(over, default=0.0) > RESIDUAL_MAX else EXIT_OK


def _read(path: Path) -> tuple[str, Attribution]:
    """A saved result's title and attribution, with a median, or the knowledge that it got no answer.

    Raises ResultError.
    """
    try:
        saved = msgspec.json.decode(path.read_bytes(), type=Saved)
    except OSError as error:
        raise ResultError(f"{path}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        msg = f"{path} is not a result of this version of python -m loadgen: {error}"
        raise ResultError(msg) from None
    found = attribution(saved.recording.samples, saved.recording.sampled)
    if found is None or (found.median is None and not found.median_unanswered):
        told = 0 if found is None else found.told
        msg = f"{path}: {told} of its orders told their time in full, too few; see --sample-every"
        raise ResultError(msg)
    invalid = "" if saved.valid else ", INVALID"
    return f"{path}: {saved.title()}{invalid}", found


def show_attribution(found: Attribution, console: Console, ways: Ways | None = None) -> None:
    """Print where a median and a slow order spent their time, and how much of it is known.

    `ways` are the light ones, by default those of the same run.
    """
    ways = found.ways if ways is None else ways
    if found.unanswered:
        share = f"{found.unanswered / found.kept:.0%}"
        words = f"{found.unanswered} of {found.kept} sampled orders ({share}) got no answer in time"
        console.print(words, highlight=False)
    for name, where, unanswered in (
        ("median", found.median, found.median_unanswered),
        ("slow", found.slow, found.slow_unanswered),
    ):
        if unanswered:
            console.print(f"the {name} order got no answer: there is no time of its to tell")
        if where is None:
            continue
        low, high = where.percentiles
        title = f"a {name} order, {milliseconds(where.latency_ms)} ms"
        lost = f", {where.unanswered} more without an answer" if where.unanswered else ""
        console.print(_table(where, ways, f"{title} (p{low:g} to p{high:g}, n = {where.n}{lost})"))
        console.print(
            f"residual {milliseconds(where.residual_ms)} ms, {where.residual_share:.2%} of it",
            highlight=False,
        )
    if found.slow is None and not found.slow_unanswered:
        console.print(f"{found.told} sampled orders: too few to tell a slow one", highlight=False)


def _table(where: Where, ways: Ways, title: str) -> Table:
    """A row a part and a column a hop: so it fits into 80 columns."""
    table = Table("ms", title=title, title_justify="left", padding=(0, 0), collapse_padding=True)
    hops = where.shown(ways)
    for name in (*hops, "sum", "share"):
        table.add_column(name, justify="right")
    totals = where.by_part(ways)
    whole = sum(totals.values())
    for part, total in totals.items():
        if any(abs(hop.get(part, 0.0)) >= _SHOWN_MIN_MS for hop in hops.values()):
            cells = [milliseconds(hop[part]) if part in hop else "" for hop in hops.values()]
            table.add_row(part, *cells, milliseconds(total), f"{total / whole:z.1%}")
    table.add_section()
    sums = [milliseconds(sum(hop.values())) for hop in hops.values()]
    table.add_row("sum", *sums, milliseconds(whole), "100%")
    return table


def show_change(light: Attribution, heavy: Attribution, ways: Ways, console: Console) -> None:
    """Print what moved between two loads, in the median and in the slow order."""
    for name, one, other in (
        ("median", light.median, heavy.median),
        ("slow", light.slow, heavy.slow),
    ):
        if one is not None and other is not None:
            console.print(_change(name, one, other, ways))
            console.print(moved(name, one, other, ways), highlight=False)


def _change(name: str, one: Where, other: Where, ways: Ways) -> Table:
    table = Table(f"a {name} order, ms", "before", "after", "change", "share of it")
    for column in table.columns[1:]:
        column.justify = "right"
    before, after = one.by_part(ways), other.by_part(ways)
    grown = other.latency_ms - one.latency_ms
    for part in PARTS:
        old, new = before.get(part, 0.0), after.get(part, 0.0)
        if max(abs(old), abs(new)) >= _SHOWN_MIN_MS:
            table.add_row(part, milliseconds(old), milliseconds(new), *_growth(old, new, grown))
    table.add_section()
    old, new = one.latency_ms, other.latency_ms
    table.add_row("sum", milliseconds(old), milliseconds(new), *_growth(old, new, grown))
    return table


def _growth(old: float, new: float, grown: float) -> tuple[str, str]:
    change = f"{'+' if new >= old else '-'}{milliseconds(abs(new - old))}"
    return change, f"{(new - old) / grown:z.0%}" if grown else ""


def moved(name: str, one: Where, other: Where, ways: Ways) -> str:
    """In a sentence: by how much an order changed, and which parts of which hops did."""
    grown = other.latency_ms - one.latency_ms
    before, after = one.shown(ways), other.shown(ways)
    changes = [
        (
            after.get(hop, {}).get(part, 0.0) - before.get(hop, {}).get(part, 0.0),
            f"{part} at {hop}",
        )
        for hop in dict.fromkeys([*before, *after])
        for part in PARTS
        if part != RESIDUAL
    ]
    same_way = sorted((each for each in changes if each[0] * grown > 0), key=lambda c: -abs(c[0]))
    named = [
        f"{change / grown:.0%} {where}"
        for change, where in same_way[:_NAMED_MAX]
        if change / grown >= _NAMED_MIN
    ]
    word = "longer" if grown >= 0 else "shorter"
    of_it = f"; of that {', '.join(named)}" if named else ""
    return f"a {name} order is {milliseconds(abs(grown))} ms {word}{of_it}"


def milliseconds(value: float) -> str:
    """Three or more digits: what is slow needs no decimals, and a terminal has 80 columns."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.{2 if abs(value) < 10 else 1}f}"
