"""Starts, watches and stops the six services of one arm: `python run_all.py --help`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

_STARTED: Final = time.monotonic()

try:
    import asyncio

    from common.child import how_it_ended, python, run_errand
    from common.lock import InUseError
    from common.preflight import (
        HISTORY,
        RESULT,
        RefusedError,
        check_databases,
        check_packages,
        choose_addresses,
        ensure_shop,
        has_data,
        remove_data,
        stock_refused,
    )
    from common.runfile import Run, supervising
    from common.settings import (
        ARMAZENAMENTO,
        BASE_PORT,
        LACO,
        TRABALHADORES,
        add_lab_options,
        lab_arguments,
        port,
        positive,
        strange_options,
    )
    from common.supervisor import EXIT_FAILED, EXIT_OK, EXIT_REFUSED, Plan, Supervisor, Work, say
except ModuleNotFoundError as missing:
    print(
        f"run_all.py: missing {missing.name}: run pip install -r requirements.txt", file=sys.stderr
    )
    sys.exit(2)


class Arm(NamedTuple):
    """An arm: its package, and the packages without which it cannot run."""

    package: str
    needs: tuple[str, ...]


_EVERY_ARM: Final = ("msgspec", "aiosqlite", "psutil")
_GRPC: Final = ("grpc", "grpc_health", "grpc_reflection", "grpc_status", "google.protobuf")
ARMS: Final = {
    "grpc": Arm("grpc_aio", (*_EVERY_ARM, *_GRPC)),
    "http": Arm("http_aio", (*_EVERY_ARM, "aiohttp")),
    "grpc-threads": Arm("blocking.grpc_threads", (*_EVERY_ARM, *_GRPC)),
    "http-threads": Arm("blocking.http_threads", (*_EVERY_ARM, "flask", "requests", "waitress")),
}
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
        return _audit(args) if args.audit else _run(args)
    except RefusedError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        return _refuse("interrupted", EXIT_FAILED)


def _run(args: argparse.Namespace) -> int:
    arm = ARMS[args.mode]
    check_packages(arm.needs if args.load is None else (*arm.needs, *_LOAD_NEEDS))
    try:
        with supervising(args.data_dir):
            if not args.fresh:
                check_databases(args.data_dir, args.shop)
            new = args.fresh or not has_data(args.data_dir)
            if args.stock is not None and not new:
                raise RefusedError(stock_refused(args.data_dir))
            addresses = choose_addresses(args.base_port)
            if args.fresh:
                remove_data(args.data_dir)
            ensure_shop(args.shop, args.data_dir, say)
            work = None if args.load is None else _load_and_audit(args, complete=new)
            return asyncio.run(_supervise(_plan(args, addresses), work))
    except InUseError as error:
        raise RefusedError(str(error)) from None


async def _supervise(plan: Plan, work: Work | None) -> int:
    return await Supervisor(plan).run(work)


def _plan(args: argparse.Namespace, addresses: dict[str, str]) -> Plan:
    others = [f"--address={servico}={address}" for servico, address in addresses.items()]

    def command(servico: str) -> list[str]:
        package = ARMS[args.mode].package
        return python("-m", package, servico, "--exit-with-parent", *lab_arguments(args), *others)

    threads = args.mode.endswith("-threads")
    run = Run(
        mode=args.mode,
        supervisor=os.getpid(),
        shop=str(args.shop),
        seed=args.seed,
        payment_latency=args.payment_latency,
        payment_approval=args.payment_approval,
        stock=args.stock,
        in_flight_max=args.in_flight_max,
        active_max=args.active_max,
        loop=None if threads else args.loop or LACO,
        stats=args.stats == "on",
        workers=args.workers or TRABALHADORES if threads else None,
        storage=args.storage or ARMAZENAMENTO,
    )
    return Plan(
        data_dir=args.data_dir, run=run, addresses=addresses, command=command, started=_STARTED
    )


def _load_and_audit(args: argparse.Namespace, *, complete: bool) -> Work:
    """Drive the arm and audit it; `complete` when no other orders can be there."""
    history, result = args.data_dir / HISTORY, args.data_dir / RESULT
    own_stock = ", on the shop's own stock: --stock N sets more" if args.stock is None else ""

    async def work() -> int:
        say(f"load: {args.load} concurrent checkouts{own_stock}")
        # What an earlier run left speaks of other orders.
        for left in (history, result):
            left.unlink(missing_ok=True)
        load = await run_errand(
            python(
                *("-m", "loadgen", f"--concurrency={args.load}", f"--checkouts={args.load}"),
                *(f"--data-dir={args.data_dir}", f"--seed={args.seed}"),
                *(f"--history={history}", f"--json={result}"),
            )
        )
        audit = python(__file__, "--audit", f"--data-dir={args.data_dir}", "--settled")
        if history.exists():
            audit += [f"--history={history}", *(["--complete"] if complete else [])]
        audited = await run_errand(audit)
        if audited != 0 and result.exists():
            _void_goodput(result)
        say(f"load {_verdict(load, 'valid')}, audit {_verdict(audited, 'clean')}")
        return EXIT_OK if load == audited == 0 else EXIT_FAILED

    return work


def _void_goodput(result: Path) -> None:
    """A run whose audit is not clean has no goodput: whatever it counted may be wrong."""
    import msgspec

    figures = msgspec.json.decode(result.read_bytes())
    figures["goodput_per_s"] = None
    result.write_bytes(msgspec.json.format(msgspec.json.encode(figures)))


def _verdict(code: int, good: str) -> str:
    return good if code == 0 else f"failed ({how_it_ended(code)})"


def _audit(args: argparse.Namespace) -> int:
    check_packages(("msgspec", "rich"))
    from rich.console import Console

    from common.audit import AuditError, audit, exit_code, print_report

    try:
        report = audit(
            args.data_dir,
            history=args.history,
            settled=args.settled,
            complete=args.complete,
        )
    except AuditError as error:
        raise RefusedError(str(error)) from None
    print_report(report, Console())
    return exit_code(report)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="run_all.py",
        description="Start, watch and stop the six services of one arm, or audit their data.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--mode", choices=tuple(ARMS), help="the arm to run")
    add_lab_options(parser)
    bases = ", ".join(f"{BASE_PORT[mode]} for {mode}" for mode in ARMS)
    add(
        "--base-port",
        type=port,
        metavar="N",
        help=f"port of pedidos, the others follow; 0 lets the system choose (default {bases})",
    )
    add("--fresh", action="store_true", help="remove the databases of --data-dir first")
    add(
        "--load",
        type=positive,
        metavar="N",
        help="drive N concurrent checkouts, audit, stop",
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
    if args.base_port is None and args.mode:
        args.base_port = BASE_PORT[args.mode]
    return args


def _check_together(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if args.audit and (args.mode or args.load or args.fresh):
        parser.error("--audit stands alone, with --data-dir, --history, --settled, --complete")
    if not args.audit and (args.history or args.settled or args.complete):
        parser.error("--history, --settled and --complete belong to --audit")
    if args.complete and not args.history:
        parser.error("--complete needs --history")
    if args.mode is not None and (sentence := strange_options(args.mode, args)) is not None:
        parser.error(sentence)
    if not args.audit and args.mode is None:
        parser.error(f"--mode is required: one of {', '.join(ARMS)}")


def _refuse(sentence: str, code: int = EXIT_REFUSED) -> int:
    print(f"run_all.py: {sentence}", file=sys.stderr)
    return code


def _interrupt(_sign: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
