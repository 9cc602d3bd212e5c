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
    import secrets

    from common.callers import CHAIN_GIVEN, secret_problem
    from common.contratos import SERVICOS
    from common.process.child import how_it_ended, python, run_errand
    from common.process.preflight import (
        HISTORY,
        RESULT,
        RefusedError,
        check_databases,
        check_packages,
        ensure_shop,
        has_data,
        remove_data,
        stock_refused,
    )
    from common.process.runfile import Run, supervising
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
    from common.settings import (
        BASE_PORT,
        LOOP,
        STORAGE,
        WORKERS,
        add_lab_options,
        lab_arguments,
        port,
        positive,
        strange_options,
    )
    from common.storage.lock import InUseError
except ModuleNotFoundError as missing:
    print(
        f"run_all.py: missing {missing.name}: run pip install -r requirements.txt", file=sys.stderr
    )
    sys.exit(2)


class Arm(NamedTuple):
    """An arm: its package, and the packages without which it cannot run."""

    package: str
    needs: tuple[str, ...]


_EVERY_ARM: Final = ("msgspec", "aiosqlite", "psutil", "prometheus_client")
_GRPC: Final = ("grpc", "grpc_health", "grpc_reflection", "grpc_status", "google.protobuf")
ARMS: Final = {
    "grpc": Arm("grpc_aio", (*_EVERY_ARM, *_GRPC)),
    "http": Arm("http_aio", (*_EVERY_ARM, "aiohttp")),
    "grpc-threads": Arm("blocking.grpc_threads", (*_EVERY_ARM, *_GRPC)),
    "http-threads": Arm("blocking.http_threads", (*_EVERY_ARM, "flask", "requests", "waitress")),
}
# REST on an event loop answers on its own port, whatever it is busy with; on threads a question for
# metrics would wait for a worker.
SHOW_METRICS: Final = ("http",)
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
    secret = _secret(args)
    check_packages((*arm.needs, *(_LOAD_NEEDS if args.load is not None or args.panel else ())))
    try:
        with supervising(args.data_dir), Ports() as ports:
            if not args.fresh:
                check_databases(args.data_dir, args.shop)
            new = args.fresh or not has_data(args.data_dir)
            if args.stock is not None and not new:
                raise RefusedError(stock_refused(args.data_dir))
            own = args.telemetry == "on" and args.mode not in SHOW_METRICS
            addresses = ports.many(args.base_port, SERVICOS, "--base-port")
            metrics = (
                ports.many(args.metrics_port or 0, SERVICOS, "--metrics-port") if own else None
            )
            if args.panel:
                args.panel_port = ports.one(args.panel_port, "the panel", "--panel-port")
            ports.chosen()
            if args.fresh:
                remove_data(args.data_dir)
            ensure_shop(args.shop, args.data_dir, say)
            work = None if args.load is None else _load_and_audit(args, complete=new)
            if args.panel and args.failpoints is None:
                # The panel's faults are rules like any other; there are none at first.
                from common.faults.failpoints import Rules, write_rules

                args.failpoints = args.data_dir / PANEL_RULES
                write_rules(args.failpoints, Rules())
            plan = _plan(args, addresses, metrics, secret)
            return asyncio.run(_supervise(plan, work, _panel(args)))
    except InUseError as error:
        raise RefusedError(str(error)) from None


def _secret(args: argparse.Namespace) -> str | None:
    """What the services share if steps are taken from the hop before alone: given, or drawn."""
    # For the services alone: what else is started here has no use for it.
    secret = os.environ.pop(CHAIN_GIVEN, None)
    if secret is None:
        return secrets.token_urlsafe(24) if args.chain_token else None
    if (problem := secret_problem(secret)) is not None:
        raise RefusedError(problem)
    return secret


async def _supervise(plan: Plan, work: Work | None, panel: Sequence[str]) -> int:
    """Run the services, and beside them the panel."""
    supervisor = Supervisor(plan)
    if not panel:
        return await supervisor.run(work)
    # The same for the panel's whole life, so that a page outlives its death.
    token = {PANEL_GIVEN: secrets.token_urlsafe(24)}
    async with beside("the panel", panel, say, token):
        return await supervisor.run(work)


def _panel(args: argparse.Namespace) -> list[str]:
    """The panel's command; empty where none is wanted."""
    if not args.panel:
        return []
    return python(
        "-m", "panel", f"--data-dir={args.data_dir}", f"--port={args.panel_port}",
        f"--failpoints={args.failpoints}", "--exit-with-parent",
    )  # fmt: skip


def _plan(
    args: argparse.Namespace,
    addresses: dict[str, str],
    metrics: dict[str, str] | None = None,
    secret: str | None = None,
) -> Plan:
    """`metrics` are the ports on which services show them that do not speak HTTP, or not at once.

    `secret` is what the services share if steps are taken from the hop before alone.
    """
    others = [f"--address={servico}={address}" for servico, address in addresses.items()]

    def command(servico: str) -> list[str]:
        package = ARMS[args.mode].package
        side = [] if metrics is None else [f"--metrics-port={metrics[servico].rpartition(':')[2]}"]
        return python(
            "-m", package, servico, "--exit-with-parent", *lab_arguments(args), *others, *side
        )

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
        loop=None if threads else args.loop or LOOP,
        stats=args.stats == "on",
        telemetry=args.telemetry == "on",
        trace_share=args.trace_share,
        chain_token=secret is not None,
        workers=args.workers or WORKERS if threads else None,
        storage=args.storage or STORAGE,
    )
    return Plan(
        data_dir=args.data_dir,
        run=run,
        addresses=addresses,
        metrics={
            servico: f"http://{address}/metrics"
            for servico, address in (metrics or addresses).items()
            if args.telemetry == "on"
        },
        command=command,
        variables={} if secret is None else {CHAIN_GIVEN: secret},
        started=_STARTED,
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


def _log(args: argparse.Namespace) -> int:
    """Print what is known of one order in any service, by time."""
    check_packages(("msgspec",))
    from common.telemetry.order_log import order_log

    found = order_log(args.data_dir, args.log)
    if found.lines:
        # Whoever reads may have seen enough.
        say(str(found))
    if found.problem:
        raise RefusedError(found.problem)
    if found.known and not found.lines:
        raise RefusedError(f"order {args.log} is of the imported past: it has no steps and no log")
    if not found.known:
        raise RefusedError(
            f"no service of {args.data_dir} knows an order {args.log}: --data-dir names another shop's"
        )
    return EXIT_OK


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
    add(
        "--metrics-port",
        type=port,
        metavar="N",
        help="port of pedidos' metrics where they have their own, the others follow"
        " (default: the system chooses; run.json and prometheus.json name them)",
    )
    add("--panel", action="store_true", help="show the arm in a browser, live")
    add(
        "--panel-port",
        type=port,
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
        type=positive,
        metavar="N",
        help="drive N concurrent checkouts, audit, stop",
    )
    add(
        "--log",
        type=positive,
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
    if args.base_port is None and args.mode:
        args.base_port = BASE_PORT[args.mode]
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
    if args.mode is not None and (sentence := strange_options(args.mode, args)) is not None:
        parser.error(sentence)
    if not args.audit and args.log is None and args.mode is None:
        parser.error(f"--mode is required: one of {', '.join(ARMS)}")


def _refuse(sentence: str, code: int = EXIT_REFUSED) -> int:
    print(f"run_all.py: {sentence}", file=sys.stderr)
    return code


def _interrupt(_sign: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
