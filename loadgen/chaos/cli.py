"""The command `python -m loadgen.chaos`: the matrix, the soak, the attack, the scenarios."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from rich.console import Console

from common.audit import AuditError
from common.faults.failpoints import Rules, write_rules
from loadgen.chaos.arm import AttackedArm
from loadgen.chaos.attack.attack import Attack
from loadgen.chaos.attack.siege import COPIES, raids
from loadgen.chaos.matrix.cells import cells
from loadgen.chaos.matrix.matrix import CellResult, Matrix, MatrixResult
from loadgen.chaos.matrix.orders import STOCK
from loadgen.chaos.options import (
    ATTACKERS,
    EXIT_INVALID,
    EXIT_MISSED,
    EXIT_NOT_TERMINAL,
    EXIT_OK,
    EXIT_UNUSABLE,
    EXIT_VIOLATION,
    SECONDS_A_STRIKE,
    parse,
)
from loadgen.chaos.picture import draw_attack, draw_scenario, draw_soak
from loadgen.chaos.progress import View
from loadgen.chaos.result import SETTLE_S, AttackResult, SoakResult
from loadgen.chaos.scenarios.catalogue import options_of, run_scenario
from loadgen.chaos.scenarios.stage import ScenarioResult
from loadgen.chaos.soak.schedule import STOCK_OF_A_SOAK, Fault, schedule, with_greed
from loadgen.chaos.soak.soak import Soak
from loadgen.chaos.table import show_attack, show_matrix, show_scenario, show_soak
from loadgen.machine.environment import environment
from loadgen.testbed.chains import Chain, ChainError, real_arm
from loadgen.workload.dial import dial_pedidos
from loadgen.workload.history import History
from loadgen.workload.plan import Plan
from loadgen.workload.targets import baskets

# Connections of the customers on REST.
CONNECTIONS: Final = 1_024


Result = MatrixResult | SoakResult | AttackResult | ScenarioResult


class _Target(NamedTuple):
    """An arm that stands ready to be attacked."""

    arm: AttackedArm
    chain: Chain
    pedidos: Any
    directory: Path


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = parse(argv)
    progress, answer = Console(stderr=True), Console()
    try:
        args.data_dir.mkdir(parents=True, exist_ok=True)
        results = []
        for mode in args.modes:
            results.append(asyncio.run(_run(args, mode, progress)))
            if args.json is not None:
                args.json.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1))
            _show(results[-1], args, answer)
    except (ChainError, AuditError, OSError) as error:
        print(f"chaos: {error}", file=sys.stderr)
        return EXIT_UNUSABLE
    except KeyboardInterrupt:
        print("chaos: interrupted", file=sys.stderr)
        return EXIT_INVALID
    codes = [exit_code(result) for result in results]
    # What was found wrong comes before what could not be told.
    return min((code for code in codes if code), default=EXIT_OK)


def exit_code(result: Result) -> int:
    """What a result is to whoever called the command."""
    if isinstance(result, MatrixResult):
        return EXIT_OK if result.passed else EXIT_VIOLATION
    late = result.settled_s is None or result.settled_s > SETTLE_S
    if any(check.total for check in result.audit.checks if check.id != "open-orders"):
        return EXIT_VIOLATION
    if isinstance(result, AttackResult) and result.not_pursued:
        return EXIT_VIOLATION
    if late or result.broken or result.audit.open_orders:
        return EXIT_NOT_TERMINAL
    if result.invalid_reasons:
        return EXIT_INVALID
    missed = isinstance(result, ScenarioResult) and any(f.met is False for f in result.figures)
    return EXIT_MISSED if missed else EXIT_OK


def _show(result: Result, args: argparse.Namespace, console: Console) -> None:
    if isinstance(result, MatrixResult):
        show_matrix(result, console)
        return
    if isinstance(result, ScenarioResult):
        show_scenario(result, console)
    elif isinstance(result, AttackResult):
        show_attack(result, console)
    else:
        show_soak(result, console)
    if args.picture is not None:
        path = args.picture
        if args.mode is None:
            path = path.with_stem(f"{path.stem}-{result.mode}")
        if isinstance(result, ScenarioResult):
            draw_scenario(result, path)
        elif isinstance(result, AttackResult):
            draw_attack(result, path)
        else:
            draw_soak(result, path)
        console.print(f"picture: {path}", highlight=False)


@contextmanager
def _directory(args: argparse.Namespace, mode: str) -> Iterator[Path]:
    """A directory that is removed at the end, unless it is wanted or holds evidence."""
    path = Path(tempfile.mkdtemp(prefix=f"chaos-{mode}-", dir=args.data_dir))
    args.evidence = False
    try:
        yield path
    finally:
        if args.keep or args.evidence:
            print(f"chaos: the data are in {path}", file=sys.stderr)
        else:
            shutil.rmtree(path)


@asynccontextmanager
async def _attacked(
    args: argparse.Namespace, mode: str, options: Sequence[str]
) -> AsyncIterator[_Target]:
    """The arm, fresh, with failpoints; removed at the end unless it is to be kept."""
    with _directory(args, mode) as directory:
        rules = directory / "failpoints.json"
        write_rules(rules, Rules(seed=args.seed))
        async with real_arm(
            mode, args.payment_latency, directory, (f"--failpoints={rules}", *options)
        ) as chain:
            pedidos = dial_pedidos(mode, chain.address, connections=CONNECTIONS)
            try:
                arm = AttackedArm(directory / "dados", rules, args.seed)
                yield _Target(arm, chain, pedidos, directory)
            finally:
                await pedidos.close()


async def _run(args: argparse.Namespace, mode: str, console: Console) -> Result:
    if args.matrix:
        return await _matrix(args, mode, console)
    if args.attack:
        return await _attack(args, mode, console)
    if args.scenario:
        return await _scenario(args, mode, console)
    return await _soak(args, mode, console)


async def _matrix(args: argparse.Namespace, mode: str, console: Console) -> MatrixResult:
    chosen = [cell for cell in cells() if args.only is None or args.only in cell.name]
    options = (
        f"--stock={STOCK}", "--payment-approval=0.9", f"--circuit-breaker={args.circuit_breaker}",
    )  # fmt: skip
    async with _attacked(args, mode, options) as target:
        path = target.directory / "history.jsonl"
        history = History(path)
        try:
            matrix = Matrix(
                mode, target.arm, target.pedidos, target.chain.population,
                history=path, seed=args.seed, run_id=secrets.token_hex(4), own_history=history,
            )  # fmt: skip

            def tell(number: int, cell: CellResult) -> None:
                words = cell.problem or f"{cell.hits} hits, {cell.outcome}"
                console.print(
                    f"{mode} {number}/{len(chosen)} {cell.name}: {words}",
                    highlight=False, markup=False, soft_wrap=True,
                )  # fmt: skip

            result = await matrix.run(chosen, tell)
            args.evidence = not result.passed
            return result
        finally:
            history.close()


async def _soak(args: argparse.Namespace, mode: str, console: Console) -> SoakResult:
    faults: tuple[Fault, ...] = args.faults or ("kill",)
    count = args.kills if args.kills is not None else int(args.duration / SECONDS_A_STRIKE)
    duration = args.duration or count * SECONDS_A_STRIKE
    strikes = schedule(faults, count, duration, args.seed)
    options = (
        f"--circuit-breaker={args.circuit_breaker}", f"--stock={STOCK_OF_A_SOAK}",
        "--payment-approval=0.9",
    )  # fmt: skip
    async with _attacked(args, mode, options) as target:
        plan = _plan(args, mode, target, duration)

        with View(console, mode) as view:
            soak = Soak(
                mode, target.arm, target.pedidos, with_greed(baskets(plan)), strikes,
                callers=args.concurrency, rate_per_s=args.rate, duration_s=duration,
                seed=args.seed, run_id=plan.run_id, history=target.directory / "history.jsonl",
                environment=environment(args.data_dir), view=view,
            )  # fmt: skip
            result = await soak.run()
        args.evidence = exit_code(result) != EXIT_OK
        return result


async def _attack(args: argparse.Namespace, mode: str, console: Console) -> AttackResult:
    options = (
        f"--circuit-breaker={args.circuit_breaker}", f"--stock={STOCK_OF_A_SOAK}",
        "--payment-approval=0.9",
    )  # fmt: skip
    async with _attacked(args, mode, options) as target, AsyncExitStack() as stack:
        plan = _plan(args, mode, target, args.duration)
        connections = [target.pedidos]
        # The copies of one order come over connections of their own.
        for _ in range(COPIES[1] - 1):
            client = dial_pedidos(mode, target.chain.address, connections=CONNECTIONS)
            stack.push_async_callback(client.close)
            connections.append(client)

        with View(console, mode) as view:
            attack = Attack(
                mode, target.arm, connections, with_greed(baskets(plan)),
                raids(args.duration, args.seed), attackers=plan.concurrency,
                duration_s=args.duration, seed=args.seed, run_id=plan.run_id,
                history=target.directory / "history.jsonl",
                environment=environment(args.data_dir), view=view,
            )  # fmt: skip
            result = await attack.run()
        args.evidence = exit_code(result) != EXIT_OK
        return result


async def _scenario(args: argparse.Namespace, mode: str, console: Console) -> ScenarioResult:
    async with _attacked(args, mode, options_of(args)) as target:
        plan = _plan(args, mode, target, args.duration or 0.0)

        with View(console, mode) as view:
            result = await run_scenario(
                args, mode, target.arm, chain=target.chain, pedidos=target.pedidos,
                baskets=baskets(plan), run_id=plan.run_id,
                history=target.directory / "history.jsonl",
                environment=environment(args.data_dir), view=view,
            )  # fmt: skip
        args.evidence = exit_code(result) != EXIT_OK
        return result


def _plan(args: argparse.Namespace, mode: str, target: _Target, duration: float) -> Plan:
    return Plan(
        mode=mode, address=target.chain.address, population=target.chain.population,
        run_id=secrets.token_hex(4), concurrency=args.concurrency or ATTACKERS[mode],
        checkouts=None, duration_s=duration, warmup_s=0.0, timeout_s=60.0, seed=args.seed,
    )  # fmt: skip
