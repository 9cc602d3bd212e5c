"""The skeleton of `loadgen.floor`, `.cost` and `.pacing`: options, interruption, exit codes."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from common.option_types import positive, seconds
from loadgen.driver.crew import CrewError
from loadgen.machine.environment import environment
from loadgen.options import EXIT_INVALID, EXIT_OK, EXIT_UNUSABLE
from loadgen.pairs.turns import PAIRS_MIN
from loadgen.testbed.chains import ChainError
from loadgen.testbed.clients import ClientError

# The measurement is valid and below its bar.
EXIT_BELOW: Final = 1


class Findings(Struct, frozen=True, kw_only=True):
    """The part of the JSON that these commands share; `options` are those of the command line."""

    valid: bool
    invalid_reasons: list[str]
    options: dict[str, str]
    environment: dict[str, Any]

    @property
    def met(self) -> bool:
        """Whether the bar is reached, where there is one."""
        return True


Found = TypeVar("Found", bound=Findings)


def options(name: str, words: str, epilog: str, length_s: float, callers: int | None = None) -> Any:
    """A parser with the options of every such command; with `callers`, also those of pairs.

    `length_s` and `callers` are defaults. Untyped, so that an option is a line.
    """
    parser: Any = argparse.ArgumentParser(
        prog=f"python -m loadgen.{name}", description=words, epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add(
        "--seconds", type=seconds, default=length_s, metavar="S",
        help=f"measured in each run (default {length_s:g})",
    )  # fmt: skip
    add("--json", type=new_file, metavar="FILE", help="write every figure")
    if callers is not None:
        add(
            "--concurrency", type=positive, default=callers, metavar="N",
            help=f"callers (default {callers})",
        )  # fmt: skip
        add(
            "--pairs", type=positive, default=PAIRS_MIN, metavar="N",
            help=f"interleaved pairs (default {PAIRS_MIN}; fewer are INVALID)",
        )  # fmt: skip
    return parser


def new_file(text: str) -> Path:
    """Parse the path of a file to write, before the run spends time on its content."""
    path = Path(text)
    if not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path}: its directory does not exist")
    return path


def execute(
    name: str,
    args: argparse.Namespace,
    measure: Callable[[argparse.Namespace, Console], Coroutine[Any, Any, Found]],
    show: Callable[[Found, Console], None],
) -> int:
    """Measure, show what was found and write it; returns the exit code."""
    console = Console()
    try:
        found = asyncio.run(_interruptibly(measure(args, Console(stderr=True))))
        show(found, console)
        if args.json is not None:
            args.json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1))
    except (ChainError, ClientError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return EXIT_UNUSABLE
    except (CrewError, asyncio.CancelledError) as error:
        print(f"{name}: INVALID: {str(error) or 'interrupted'}", file=sys.stderr)
        return EXIT_INVALID
    for reason in found.invalid_reasons:
        console.print(f"INVALID: {reason}", markup=False, highlight=False)
    if not found.valid:
        return EXIT_INVALID
    return EXIT_OK if found.met else EXIT_BELOW


async def _interruptibly(measuring: Coroutine[Any, Any, Found]) -> Found:
    """An interrupt cancels the measurement, so that every process it started ends with it."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for sign in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sign, task.cancel)
    try:
        return await measuring
    finally:
        for sign in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(sign)


def surroundings(args: argparse.Namespace, data_dir: Path | None = None) -> dict[str, Any]:
    """The fields of `Findings` that do not depend on what was found."""
    given = {key: str(value) for key, value in vars(args).items()}
    return {"options": given, "environment": environment(data_dir)}


def table(title: str | None, first: str, *figures: str) -> Table:
    """A table whose first column is words and the others figures."""
    made = Table(title=title, title_justify="left")
    made.add_column(first, no_wrap=True)
    for name in figures:
        made.add_column(name, justify="right", overflow="fold")
    return made


def cell(figure: float | None, digits: int = 3) -> str:
    """A figure in a table, a dash where there is none."""
    return "-" if figure is None else f"{figure:,.{digits}f}"
