"""The page of commands, made from the parsers of the commands: `python -m docs.commands [--check]`.

It imports every command, so that it belongs above all of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import gerador_dados
import loadgen.attribution.cli
import loadgen.calibration.cost
import loadgen.calibration.pacing
import loadgen.chaos.cli
import loadgen.cli
import loadgen.floor.cli
import loadgen.report.cli
import loadgen.study.cli
import panel.__main__
import run_all
from common import ROOT
from common.arms import ARMS
from common.options import parse_service

PAGE: Final = ROOT / "docs" / "reference" / "commands.md"
# Each command as it is typed, and its main function.
COMMANDS: Final[dict[str, Callable[[list[str]], object]]] = {
    "python run_all.py": run_all.main,
    "python gerador_dados.py": gerador_dados.main,
    "python -m loadgen": loadgen.cli.main,
    "python -m loadgen.attribution": loadgen.attribution.cli.main,
    "python -m loadgen.study": loadgen.study.cli.main,
    "python -m loadgen.report": loadgen.report.cli.main,
    "python -m loadgen.chaos": loadgen.chaos.cli.main,
    "python -m loadgen.floor": loadgen.floor.cli.main,
    "python -m loadgen.cost": loadgen.calibration.cost.main,
    "python -m loadgen.pacing": loadgen.calibration.pacing.main,
    "python -m panel": panel.__main__.main,
}
# A service of each arm; their options are the same.
SERVICES: Final[dict[str, Callable[[list[str]], object]]] = {
    f"python -m {arm.package}": partial(parse_service, mode) for mode, arm in ARMS.items()
}

_HEAD: Final = """# Commands

Made from the parsers of the commands by `python -m docs.commands`. Each command prints the same with
`--help`.
"""


class _Asked(BaseException):
    """A parser was asked for its help; no command catches it."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def _hand_over(parser: argparse.ArgumentParser, _file: object = None) -> None:
    raise _Asked(parser)


def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser of a command: taken from it at the moment at which it would print its help."""
    usual: Any = argparse.ArgumentParser.print_help
    changed: Any = argparse.ArgumentParser
    changed.print_help = _hand_over
    try:
        (COMMANDS | SERVICES)[command](["--help"])
    except _Asked as asked:
        return asked.parser
    finally:
        changed.print_help = usual
    raise LookupError(f"{command} --help shows no help")


def page() -> str:
    """The page as Markdown."""
    one, *others = SERVICES
    alike = " and ".join(f"`{command}`" for command in others)
    sections = [_section(command) for command in (*COMMANDS, one)]
    return "\n".join([_HEAD, *sections, f"{alike} take the same options; {_bases()}.\n"])


def _bases() -> str:
    bases = ", ".join(f"{arm.base_port} for `{arm.package}`" for arm in ARMS.values())
    return f"the default of `--base-port` is {bases}"


def _section(command: str) -> str:
    parser = parser_of(command)
    lines = [
        f"## `{command}`",
        "",
        parser.description or "",
        "",
        "| option | meaning |",
        "|---|---|",
    ]
    lines += _rows(parser)
    if parser.epilog:
        lines += ["", "```text", parser.epilog.strip(), "```"]
    return "\n".join([*lines, ""])


def _rows(parser: argparse.ArgumentParser) -> Iterator[str]:
    """A row for each option; arguments without dashes come in their place."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public list of them
        if action.help is None or action.dest == "help":
            continue
        words = action.help % (vars(action) | {"prog": parser.prog})
        if action.required and action.option_strings:
            words += " (required)"
        yield f"| `{_typed(action)}` | {_escaped(words)} |"


def _typed(action: argparse.Action) -> str:
    """An option as it is typed: `--payment-latency MIN:MAX`."""
    if action.metavar is not None:
        value = " ".join(action.metavar) if isinstance(action.metavar, tuple) else action.metavar
    elif action.choices is not None:
        value = "{" + ",".join(map(str, action.choices)) + "}"
    else:
        value = "" if action.nargs == 0 else action.dest.upper()
    return _escaped(" ".join([*action.option_strings[:1], *([value] if value else [])]))


def _escaped(words: str) -> str:
    return words.replace("|", "\\|")


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page, or with --check compare it; the exit code: 1 when it is out of date."""
    parser = argparse.ArgumentParser(prog="python -m docs.commands", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, only compare")
    args = parser.parse_args(argv)
    made, name = page(), PAGE.relative_to(ROOT)
    if not args.check:
        PAGE.write_text(made, encoding="utf-8")
        print(f"{name}: {len(COMMANDS)} commands")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != made:
        print(f"{name} is out of date; run python -m docs.commands", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
