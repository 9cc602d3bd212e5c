"""One run of a study: an arm from a fresh start, a load, what it used, the audit, and its end."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from common.audit import AuditError, AuditReport, audit
from common.erros import ErroServico
from common.faults.failpoints import Rules, write_rules
from common.process.runfile import NotRunningError, read_run
from loadgen.attribution.little import StatsError, read_stats
from loadgen.chaos.arm import ArmError
from loadgen.chaos.result import SETTLE_S
from loadgen.driver.crew import Crew, CrewError
from loadgen.machine.usage import Meter
from loadgen.results.objectives import parse_objective
from loadgen.results.result import Result, make_result, without_goodput
from loadgen.study.design.cells import Task
from loadgen.study.design.commands import arm_mode, arm_options, commands, load_plan, processes
from loadgen.study.execution.faults import Strikes
from loadgen.study.execution.neighbours import Beside, doubt
from loadgen.study.execution.resources import Sampler, flows
from loadgen.study.records.record import (
    FORMAT,
    GENERATOR,
    Flow,
    Happened,
    RunRecord,
    Series,
    Spent,
    Status,
    Verdict,
)
from loadgen.testbed.chains import DADOS, LOJA, Chain, ChainError, bare_chain, real_arm
from loadgen.workload.targets import EmptyShopError

# Sentences of an audit that are kept; all violations are counted.
SENTENCES_MAX: Final = 5
# Seconds between looks at orders that have not ended.
LOOK_S: Final = 0.5
# The rules of a run's failpoints, and what its customers saw.
RULES: Final = "rules.json"
HISTORY: Final = "history.jsonl"
# What may go wrong with one run without the next being lost too.
RUN_ERRORS: Final = (
    ChainError, CrewError, ArmError, AuditError, EmptyShopError, ErroServico, OSError,
    NotRunningError, StatsError, ExceptionGroup,
)  # fmt: skip

Tell = Callable[[str], None]


class Bench(Struct, frozen=True):
    """Where runs are made: a directory for their data, the shop, and what all of them share.

    `memory_disk` names the file system when the data would lie in memory, where a commit costs
    nothing.
    """

    work: Path
    shop: Path
    memory_disk: str | None
    commit: str | None


class _Measured(Struct):
    """What was seen of a run."""

    result: Result
    spent: dict[str, Spent]
    bytes_per_order: float | None
    idle_bytes_per_s: float | None
    others_cores: float
    resources: dict[str, Series]
    flows: dict[str, Flow]
    events: list[Happened]
    audit: AuditReport | None
    broken: list[str]


async def perform(task: Task, bench: Bench) -> RunRecord:
    """Make one run. Whatever goes wrong with it is in the record; only cancelling raises."""
    begin, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    directory = bench.work / task.id
    measured: _Measured | None = None
    reasons: list[str] = []
    try:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        shutil.copy(bench.shop, directory / LOJA)
        measured = await _measure(task, directory)
    except RUN_ERRORS as error:
        reasons.append(_words(error))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if measured is not None:
        reasons += _doubts(measured, bench)
    return _record(task, bench, measured, reasons, started, took_s=time.monotonic() - begin)


async def _measure(task: Task, directory: Path) -> _Measured:
    cell = task.cell
    async with _chain(task, directory) as chain:
        data_dir = None if cell.bare else directory / DADOS
        history = directory / HISTORY if cell.faults else None
        strikes = Strikes(directory / DADOS, directory / RULES, cell.faults, task.seed)
        sampler = Sampler(_pids(chain, data_dir), data_dir)
        plan = load_plan(cell, chain, task.seed)
        tasks: list[asyncio.Task[None]] = [asyncio.create_task(sampler.run())]

        def on_start(start_ns: int) -> None:
            if cell.faults:
                tasks.append(asyncio.create_task(strikes.run(start_ns / 1e9)))

        meter, beside = Meter(chain.pids), await Beside.begin()
        try:
            crew = Crew(plan, processes=processes(cell), history=history, on_start=on_start)
            recording = await crew.run()
            used, (others, sent_bytes) = meter.read(), beside.end()
            if len(tasks) > 1:
                await tasks[1]
        finally:
            for each in tasks:
                each.cancel()
            broken = await asyncio.gather(*tasks, return_exceptions=True)
        told = {} if data_dir is None else read_stats(data_dir)
        objectives = list(map(parse_objective, cell.objectives))
        result = make_result(plan, recording, {}, objectives)
        orders = result.sent + result.warmup.total()
        spent = {
            name: Spent(
                None if use.cpu_s is None else _per(use.cpu_s * 1e3, orders), use.rss_peak_mb
            )
            for name, use in used.items()
        }
        own = result.generator
        spent[GENERATOR] = Spent(_per(own.cpu_s * 1e3, orders), own.rss_max_mb)
        return _Measured(
            result=result,
            spent=spent,
            bytes_per_order=None if sent_bytes is None else _per(sent_bytes, orders),
            idle_bytes_per_s=beside.idle_bytes_per_s,
            others_cores=round(others, 4),
            resources=sampler.series(recording.start_ns, told),
            flows=flows(recording, cell.warmup_s, told),
            events=strikes.events,
            audit=None if data_dir is None else await _audited(data_dir, history),
            broken=[_words(error) for error in broken if isinstance(error, Exception)],
        )


@asynccontextmanager
async def _chain(task: Task, directory: Path) -> AsyncIterator[Chain]:
    cell = task.cell
    if cell.bare:
        async with bare_chain(cell.protocol, cell.payment_wait_s) as chain:
            yield chain
        return
    options = arm_options(cell, task.seed)
    if cell.faults:
        write_rules(directory / RULES, Rules())
        options.append(f"--failpoints={directory / RULES}")
    mode, wait = arm_mode(cell), cell.payment_wait_s
    async with real_arm(mode, wait, directory, options) as chain:
        yield chain


def _pids(chain: Chain, data_dir: Path | None) -> Callable[[], dict[str, int]]:
    """Who lives now: a service that was killed has another process after it."""

    def now() -> dict[str, int]:
        if data_dir is None:
            return chain.pids
        try:
            services = read_run(data_dir).services
        except (OSError, ValueError):
            return {}
        return {name: one.pid for name, one in services.items() if one.pid is not None}

    return now


async def _audited(data_dir: Path, history: Path | None) -> AuditReport:
    """The audit of an arm at rest. Orders still open are waited for, SETTLE_S at most."""
    until = time.monotonic() + SETTLE_S
    while True:
        report = await asyncio.to_thread(
            audit, data_dir, history=history, settled=True, complete=history is not None
        )
        if not report.open_orders or time.monotonic() > until:
            return report
        await asyncio.sleep(LOOK_S)


# --- the record -----------------------------------------------------------------------------------


def _doubts(measured: _Measured, bench: Bench) -> list[str]:
    """Why the figures cannot be believed; empty when they can."""
    reasons = [*measured.result.invalid_reasons, *measured.broken]
    if measured.audit is not None and measured.audit.violations:
        reasons.append(f"the audit found {measured.audit.violations} violations")
    busy = doubt(measured.others_cores, os.cpu_count() or 1)
    if busy is not None:
        reasons.append(busy)
    if bench.memory_disk is not None:
        reasons.append(f"the databases were on {bench.memory_disk}, where a commit costs nothing")
    return reasons


def _record(
    task: Task,
    bench: Bench,
    measured: _Measured | None,
    reasons: list[str],
    started: str,
    *,
    took_s: float,
) -> RunRecord:
    status: Status = "failed" if measured is None else "invalid" if reasons else "ok"
    more: dict[str, Any] = {}
    if measured is not None:
        result = measured.result
        if measured.audit is not None and measured.audit.violations:
            result = without_goodput(result)
        more = {
            "result": result,
            "audit": None if measured.audit is None else _verdict(measured.audit),
            "events": tuple(measured.events),
            "spent": measured.spent,
            "bytes_per_order": measured.bytes_per_order,
            "idle_bytes_per_s": measured.idle_bytes_per_s,
            "others_cores": measured.others_cores,
            "resources": measured.resources,
            "flows": measured.flows,
        }
    return RunRecord(
        format=FORMAT,
        id=task.id,
        cell=task.cell,
        repetition=task.repetition,
        seed=task.seed,
        status=status,
        reasons=tuple(reasons),
        started=started,
        took_s=round(took_s, 2),
        commands=commands(task.cell, task.seed),
        commit=bench.commit,
        **({"result": None, "audit": None} | more),
    )


def _verdict(report: AuditReport) -> Verdict:
    sentences = [
        f"{check.title}: {violation.detail}"
        for check in report.checks
        for violation in check.violations
    ]
    return Verdict(
        clean=report.violations == 0,
        orders=report.orders,
        rules=sum(check.skipped is None for check in report.checks),
        total=report.violations,
        violations=tuple(sentences[:SENTENCES_MAX]),
    )


def _per(amount: float, orders: int) -> float | None:
    return round(amount / orders, 4) if orders else None


def _words(error: BaseException) -> str:
    """One line on what went wrong, also of several errors in one."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_words(each) for each in error.exceptions)
    return str(error).strip() or type(error).__name__
