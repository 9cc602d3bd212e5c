"""Writes docs/reference/commands.md from the commands' own help: `python -m common.reference [--check]`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from common import ROOT
from common.arms import ARMS

PAGE: Final = ROOT / "docs" / "reference" / "commands.md"
# Every command, as it is typed.
COMMANDS: Final[tuple[str, ...]] = (
    "run_all.py",
    *(f"-m {arm.package}" for arm in ARMS.values()),
    "-m panel",
    "gerador_dados.py",
    "-m loadgen",
    "-m loadgen.attribution",
    "-m loadgen.floor",
    "-m loadgen.cost",
    "-m loadgen.pacing",
    "-m loadgen.chaos",
    "-m loadgen.study",
    "-m loadgen.report",
)
# Columns of the help on the page.
_WIDTH: Final = 100
# At once: each loads the command that it asks.
_AT_ONCE: Final = 2

_HEAD: Final = """\
# Commands

Written by `python -m common.reference` from the commands' own help; `make check` compares.
"""


def written() -> str:
    """The page, from what every command says of itself."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        helps = list(pool.map(_help, COMMANDS))
    parts = [
        f"\n## python {command}\n\n```text\n{text.strip()}\n```\n"
        for command, text in zip(COMMANDS, helps, strict=True)
    ]
    return _HEAD + "".join(parts)


def _help(command: str) -> str:
    environment = os.environ | {"COLUMNS": str(_WIDTH), "PYTHONPATH": str(ROOT)}
    asked = subprocess.run(  # noqa: S603 - commands of ours
        [sys.executable, *command.split(), "--help"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return asked.stdout


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page, or with --check compare; the exit code: 1 when it is out of date."""
    parser = argparse.ArgumentParser(prog="python -m common.reference", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, only compare")
    args = parser.parse_args(argv)
    text = written()
    if PAGE.exists() and PAGE.read_text("utf-8") == text:
        print(f"{PAGE.name}: up to date")
        return 0
    if args.check:
        print(f"{PAGE.name} is out of date; run python -m common.reference", file=sys.stderr)
        return 1
    PAGE.write_text(text, "utf-8")
    print(f"{PAGE.name}: written anew")
    return 0


if __name__ == "__main__":
    sys.exit(main())
