"""Starts, watches and stops the six services of one arm: `python run_all.py --help`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

_STARTED: Final = time.monotonic()

try:
    import asyncio
    import secrets

    from common import option_types as parse
    from common.arms import ARMS, MODES
    from common.callers import CHAIN_GIVEN, secret_problem
    from common.contratos import SERVICOS
    from common.options import add_options, chosen, default
    from common.process.child import python
    from common.process.planning import plan
    from common.process.preflight import (
        RefusedError,
        check_databases,
        check_packages,
        ensure_shop,
        has_data,
        remove_data,
        stock_refused,
    )
    from common.process.runfile import supervising
    from common.process.sidecar import beside
    from common.process.supervisor import (
        EXIT_FAILED,
        EXIT_OK,
        EXIT_REFUSED,
        Plan,
        Supervisor,
        Work,
        say,
    )
    from common.process.tcp_ports import Ports
    from common.process.work import load_and_audit
    from common.settings import Settings
    from common.storage.lock import InUseError
except ModuleNotFoundError as missing:
    print(
        f"run_all.py: missing {missing.name}: run pip install -r requirements.txt", file=sys.stderr
    )
    sys.exit(2)


PANEL_PORT: Final = 8080
# In the data directory: what the panel's buttons have services fail with.
PANEL_RULES: Final = "painel-falhas.json"
# The variable by which the panel is given its token: a command line is seen by every user.
PANEL_GIVEN: Final = "CHECKOUT_PANEL_TOKEN"
_LOAD_NEEDS: Final = ("hdrh", "rich", "aiohttp", "grpc")

EXIT_CODES: Final = """exit codes:
  0  stopped as asked; with --load: a valid run and a clean audit; with --audit: clean
  1  gave up on a service, the load or the audit failed, or killed by a second signal
  2  refused, with the reason in one line: options, ports, packages, databases, another instance

Ctrl-C stops everything within five seconds; a second one kills. python -m loadgen drives what
runs here, python run_all.py --audit checks it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = _parse(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if args.log is not None:
            return _log(args)
        return _audit(args) if args.audit else _run(args)
    except RefusedError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        return _refuse("interrupted", EXIT_FAILED)


def _run(args: argparse.Namespace) -> int:
    arm = ARMS[args.mode]
    settings = Settings(servico="", mode=args.mode, chain_token=_secret(args), **args.given)
    check_packages((*arm.needs, *(_LOAD_NEEDS if args.load is not None or args.panel else ())))
    try:
        with supervising(settings.data_dir), Ports() as ports:
            if not args.fresh:
                check_databases(settings.data_dir, settings.shop)
            new = args.fresh or not has_data(settings.data_dir)
            if settings.stock is not None and not new:
                raise RefusedError(stock_refused(settings.data_dir))
            base = arm.base_port if args.base_port is None else args.base_port
            addresses = ports.many(base, SERVICOS, "--base-port")
            metrics = None
            if settings.telemetry and not arm.metrics_inside:
                metrics = ports.many(args.metrics_port or 0, SERVICOS, "--metrics-port")
            if args.panel:
                args.panel_port = ports.one(args.panel_port, "the panel", "--panel-port")
            ports.chosen()
            if args.fresh:
                remove_data(settings.data_dir)
            ensure_shop(settings.shop, settings.data_dir, say)
            work = None
            if args.load is not None:
                work = load_and_audit(settings, args.load, complete=new)
            if args.panel and settings.failpoints is None:
                settings = _with_rules(settings)
            planned = plan(settings, addresses, metrics, _STARTED)
            return asyncio.run(_supervise(planned, work, _panel(args, settings)))
    except InUseError as error:
        raise RefusedError(str(error)) from None


def _with_rules(settings: Settings) -> Settings:
    """The panel's faults are rules like any other; there are none at first."""
    from msgspec.structs import replace

    from common.faults.failpoints import Rules, write_rules

    rules = settings.data_dir / PANEL_RULES
    write_rules(rules, Rules())
    return replace(settings, failpoints=rules)


def _secret(args: argparse.Namespace) -> str | None:
    """What the services share if steps are taken from the hop before alone: given, or drawn."""
    # For the services alone: what else is started here has no use for it.
    secret = os.environ.pop(CHAIN_GIVEN, None)
    if secret is None:
        return secrets.token_urlsafe(24) if args.chain_token else None
    if (problem := secret_problem(secret)) is not None:
        raise RefusedError(problem)
    return secret


async def _supervise(planned: Plan, work: Work | None, panel: Sequence[str]) -> int:
    """Run the services, and beside them the panel."""
    supervisor = Supervisor(planned)
    if not panel:
        return await supervisor.run(work)
    # The same for the panel's whole life, so that a page outlives its death.
    token = {PANEL_GIVEN: secrets.token_urlsafe(24)}
    async with beside("the panel", panel, say, token):
        return await supervisor.run(work)


def _panel(args: argparse.Namespace, settings: Settings) -> list[str]:
    """The panel's command; empty where none is wanted."""
    if not args.panel:
        return []
    return python(
        "-m", "panel", f"--data-dir={settings.data_dir}", f"--port={args.panel_port}",
        f"--failpoints={settings.failpoints}", "--exit-with-parent",
    )  # fmt: skip


def _audit(args: argparse.Namespace) -> int:
    check_packages(("msgspec", "rich"))
    from rich.console import Console

    from common.audit import AuditError, audit, exit_code, print_report

    try:
        report = audit(
            _data_dir(args),
            history=args.history,
            settled=args.settled,
            complete=args.complete,
        )
    except AuditError as error:
        raise RefusedError(str(error)) from None
    print_report(report, Console())
    return exit_code(report)


def _log(args: argparse.Namespace) -> int:
    """Print what is known of one order in any service, by time."""
    check_packages(("msgspec",))
    from common.telemetry.order_log import order_log

    found = order_log(_data_dir(args), args.log)
    if found.lines:
        # Whoever reads may have seen enough.
        say(str(found))
    if found.problem:
        raise RefusedError(found.problem)
    if found.known and not found.lines:
        raise RefusedError(f"order {args.log} is of the imported past: it has no steps and no log")
    if not found.known:
        raise RefusedError(
            f"no service of {_data_dir(args)} knows an order {args.log}: --data-dir names another shop's"
        )
    return EXIT_OK


def _data_dir(args: argparse.Namespace) -> Path:
    """Where the databases to be looked at live."""
    chosen_dir: Path = args.data_dir or default("data_dir")
    return chosen_dir


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="run_all.py",
        description="Start, watch and stop the six services of one arm, or audit their data.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--mode", choices=MODES, help="the arm to run")
    add_options(parser)
    bases = ", ".join(f"{arm.base_port} for {mode}" for mode, arm in ARMS.items())
    add(
        "--base-port",
        type=parse.port,
        metavar="N",
        help=f"port of pedidos, the others follow; 0 lets the system choose (default {bases})",
    )
    add(
        "--metrics-port",
        type=parse.port,
        metavar="N",
        help="port of pedidos' metrics where they have their own, the others follow"
        " (default: the system chooses; run.json and prometheus.json name them)",
    )
    add("--panel", action="store_true", help="show the arm in a browser, live")
    add(
        "--panel-port",
        type=parse.port,
        default=PANEL_PORT,
        metavar="N",
        help=f"port of the panel, on this machine only (default {PANEL_PORT})",
    )
    add(
        "--chain-token",
        action="store_true",
        help="take steps and their undoing from the hop before alone, by a token that is drawn"
        f" (default: from anybody on this machine, unless {CHAIN_GIVEN} names a token)",
    )
    add("--fresh", action="store_true", help="remove the databases of --data-dir first")
    add(
        "--load",
        type=parse.positive,
        metavar="N",
        help="drive N concurrent checkouts, audit, stop",
    )
    add(
        "--log",
        type=parse.positive,
        metavar="ORDER",
        help="what the services of --data-dir logged and wrote of one order, running or not",
    )
    add("--audit", action="store_true", help="check the data of --data-dir, running or not")
    add("--history", type=Path, metavar="FILE", help="with --audit: what the clients saw")
    add(
        "--settled",
        action="store_true",
        help="with --audit: an order that has not ended is a violation",
    )
    add(
        "--complete",
        action="store_true",
        help="with --audit: an order that --history does not know is a violation",
    )
    args = parser.parse_args(argv)
    _check_together(parser, args)
    return args


def _check_together(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if args.log is not None and (args.mode or args.load or args.fresh or args.audit):
        parser.error("--log stands alone, with --data-dir")
    if args.audit and (args.mode or args.load or args.fresh):
        parser.error("--audit stands alone, with --data-dir, --history, --settled, --complete")
    if not args.audit and (args.history or args.settled or args.complete):
        parser.error("--history, --settled and --complete belong to --audit")
    if args.complete and not args.history:
        parser.error("--complete needs --history")
    if args.mode is not None:
        try:
            args.given = chosen(args, args.mode)
        except ValueError as error:
            parser.error(str(error))
    if not args.audit and args.log is None and args.mode is None:
        parser.error(f"--mode is required: one of {', '.join(MODES)}")


def _refuse(sentence: str, code: int = EXIT_REFUSED) -> int:
    print(f"run_all.py: {sentence}", file=sys.stderr)
    return code


def _interrupt(_sign: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
