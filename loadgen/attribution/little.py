"""The lines of `run_all.py --stats on`, read back, and Little's law from them.

Little's law holds for any hop and any window in which as much comes as goes: the mean number in
flight L is the rate X times the mean time W (https://doi.org/10.1287/opre.9.3.383). L is counted by
looking, X and W by timing calls: where the two sides differ by much the instruments are wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from common.contratos import SERVICOS
from common.settings import stats_path
from common.telemetry.stats import Line

# A window must hold so many for a verdict. Calls: those that only begin or only end in it are counted
# on one side. Looks: ten seconds of them, so that a thread that was kept from looking for a moment
# does not decide. Calls seen, over all looks: that many, each seen at random, are known to 2.5 %,
# and the bound is 5 %.
CALLS_MIN: Final = 200
LOOKS_MIN: Final = 1_000
SEEN_MIN: Final = 1_600


class StatsError(Exception):
    """A file of lines cannot be used; the message names it."""


class Little(Struct, frozen=True):
    """Little's law at one hop over a window of `seconds`.

    On threads the queue for a worker belongs to the hop, on both sides of the law.
    `gap` is |L - XW| / L; None when the window holds too little to tell: fewer looks than
    LOOKS_MIN, fewer calls that ended than CALLS_MIN, or fewer seen at all looks than SEEN_MIN.
    """

    seconds: float
    looks: int
    calls: int
    in_flight: float
    per_s: float
    mean_s: float
    gap: float | None


def read_stats(data_dir: Path) -> dict[str, list[Line]]:
    """The lines of every service that told any, oldest first.

    The last line of a process that was killed may be cut off and is left out. Raises StatsError.
    """
    found = {}
    for servico in SERVICOS:
        path = stats_path(data_dir, servico)
        if path.exists():
            found[servico] = read_lines(path)
    return found


def read_lines(path: Path) -> list[Line]:
    """One service's lines; see `read_stats`."""
    try:
        texts = path.read_bytes().split(b"\n")
    except OSError as error:
        raise StatsError(f"{path}: {error.strerror}") from None
    lines = []
    for number, text in enumerate(texts[:-1], 1):
        try:
            lines.append(msgspec.json.decode(text, type=Line))
        except msgspec.MsgspecError as error:
            raise StatsError(f"{path}, line {number}: {error}") from None
    return lines


def littles_law(lines: Sequence[Line], from_s: float, to_s: float) -> Little | None:
    """Little's law over the lines between two monotonic instants, all operations together.

    None where the window holds less than two lines of one process, or no call that ended.
    """
    window = [line for line in lines if from_s <= line.t <= to_s]
    if len({line.pid for line in window}) != 1 or len(window) < 2:
        return None
    first, last = window[0], window[-1]
    seconds = last.t - first.t
    ended = _ended(last) - _ended(first)
    if ended == 0:
        return None
    # A line speaks of the interval before it: the first one's lies outside.
    looks = sum(line.looks for line in window[1:])
    in_flight = (
        sum(under_way(line) * (line.t - before.t) for before, line in pairwise(window)) / seconds
    )
    spent = _spent(last) - _spent(first)
    law = Little(seconds, looks, ended, in_flight, ended / seconds, spent / ended, None)
    if not enough(looks, ended, in_flight):
        return law
    return msgspec.structs.replace(law, gap=abs(in_flight - spent / seconds) / in_flight)


def enough(looks: int, calls: int, in_flight: float) -> bool:
    """Whether so many looks and calls, with so many in flight on average, carry a verdict."""
    return looks >= LOOKS_MIN and calls >= CALLS_MIN and looks * in_flight >= SEEN_MIN


def under_way(line: Line) -> float:
    """Calls at the hop, those that wait for a worker too."""
    return line.in_flight + (line.pool.waiting if line.pool is not None else 0.0)


def _ended(line: Line) -> int:
    return sum(ended for ended, _ in line.operations.values())


def _spent(line: Line) -> float:
    """Seconds of calls that ended, waits for a worker included."""
    return sum(seconds for _, seconds in line.operations.values())
