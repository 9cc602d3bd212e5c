"""Whether a plan can be done at all: said before it starts, in one line, never after an hour."""

from __future__ import annotations

import re
import resource
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import psutil
from msgspec import Struct

from common.arms import LOOP_ARMS, MODES, THREAD_ARMS
from common.contratos import ITENS_POR_PEDIDO_MAX, SERVICOS
from common.faults.failpoints import POINTS
from common.settings import ACTIVE_MAX, EXTRA_CONNECTIONS, IN_FLIGHT_MAX
from loadgen.driver.limits import OUTROS_ARQUIVOS
from loadgen.results.objectives import ObjectiveError, parse_objective
from loadgen.study.design.cells import tasks
from loadgen.study.design.duration import estimate_s
from loadgen.study.records.plan import (
    BARE_ARMS,
    Curve,
    Experiment,
    Fault,
    Ladder,
    PlanError,
    Study,
    Timeline,
)
from loadgen.study.records.record import Cell

# MiB of six services and a generator that do nothing, measured; of a caller with its connection at
# both ends and its order under way, and of a thread in six services, both rounded up.
IDLE_MB: Final = 600
CALLER_MB: Final = 0.06
WORKER_MB: Final = 1.0
# Share of the machine's memory that a run may take.
MEMORY_SHARE: Final = 0.8
_NAME: Final = re.compile(r"[a-z][a-z0-9-]*")
_PORTS: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


class Machine(Struct, frozen=True):
    """What bounds a load: open files a process, local ports, MiB of memory."""

    open_files: int
    ports: int
    memory_mb: int


def this_machine() -> Machine:
    """The machine that this process runs on."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = 2**31 if hard == resource.RLIM_INFINITY else hard
    try:
        low, high = map(int, _PORTS.read_text().split())
    except (OSError, ValueError):
        # The range that the Internet Assigned Numbers Authority leaves to them.
        low, high = 49_152, 65_535
    return Machine(files, high - low + 1, psutil.virtual_memory().total // 2**20)


def check(study: Study, arms: Collection[str], machine: Machine) -> None:
    """Raise PlanError with the first thing that is wrong. `arms` are those that this build has."""
    if not _NAME.fullmatch(study.name):
        raise PlanError(
            f"{study.name!r} is no name of a plan: lower-case letters, digits and dashes, for its"
            " results are kept under it"
        )
    if not study.experiments:
        raise PlanError(f"{study.name}: a plan needs an experiment")
    for name, times in Counter(each.name for each in study.experiments).items():
        if times > 1:
            raise PlanError(f"{name}: two experiments have this name")
    for experiment in study.experiments:
        try:
            _check_experiment(study, experiment, arms)
        except PlanError as error:
            raise PlanError(f"{experiment.name}: {error}") from None
    for task in tasks(study):
        _check_load(task.cell, machine)
    _check_time(study)


def _check_experiment(study: Study, experiment: Experiment, arms: Collection[str]) -> None:
    if not _NAME.fullmatch(experiment.name):
        raise PlanError("a name is lower-case letters, digits and dashes; results are named by it")
    _check_arms(experiment, arms)
    if experiment.repetitions < 1:
        raise PlanError("repetitions must be at least 1")
    _distinct("payment_waits", experiment.payment_waits)
    timeout_s = study.timeout_s if experiment.timeout_s is None else experiment.timeout_s
    for least, most in experiment.payment_waits:
        if not 0 <= least <= most < timeout_s:
            raise PlanError(
                f"a payment wait is 0 <= least <= most < the timeout of {timeout_s:g} s,"
                f" not {least:g}:{most:g}"
            )
    warmup_s = study.warmup_s if experiment.warmup_s is None else experiment.warmup_s
    seconds = study.seconds if experiment.seconds is None else experiment.seconds
    if warmup_s < 0 or seconds < 1:
        raise PlanError("warmup_s must be at least 0 and seconds at least 1")
    if isinstance(experiment, Curve):
        _check_curve(experiment)
    elif isinstance(experiment, Ladder):
        _check_ladder(experiment)
    else:
        _check_timeline(experiment, warmup_s, seconds)


def _check_arms(experiment: Experiment, arms: Collection[str]) -> None:
    _distinct("arms", experiment.arms)
    known = (*MODES, *BARE_ARMS) if isinstance(experiment, Curve) else MODES
    for arm in experiment.arms:
        if arm not in known:
            raise PlanError(f"unknown arm {arm!r}, expected some of {', '.join(known)}")
        if arm not in arms and arm not in BARE_ARMS:
            raise PlanError(f"this build has no arm {arm}; it has {', '.join(arms)}")


def _distinct(what: str, values: Sequence[object]) -> None:
    if not values:
        raise PlanError(f"{what} must not be empty")
    if len(set(values)) < len(values):
        raise PlanError(f"{what} names one value twice")


def _check_curve(curve: Curve) -> None:
    _distinct("concurrency", (*curve.concurrency, *curve.loop_concurrency))
    for name in ("workers", "storages", "event_loops", "items"):
        _distinct(name, getattr(curve, name))
    if min(*curve.concurrency, *curve.loop_concurrency, *curve.workers, 1) < 1:
        raise PlanError("concurrency and workers must be at least 1")
    for low, high in curve.items:
        if not 1 <= low <= high <= ITENS_POR_PEDIDO_MAX:
            raise PlanError(f"items are 1 to {ITENS_POR_PEDIDO_MAX} lines, not {low}:{high}")
    threads = any(arm in THREAD_ARMS for arm in curve.arms)
    loops = any(arm in LOOP_ARMS for arm in curve.arms)
    contradictions = (
        (len(curve.workers) > 1 and not threads, "workers need an arm on threads"),
        ("plain" in curve.storages and not threads, "plain storage needs an arm on threads"),
        ("asyncio" in curve.event_loops and not loops, "event loops need an arm that has one"),
        (bool(curve.loop_concurrency) and not loops, "loop_concurrency needs an arm on loops"),
    )
    for wrong, words in contradictions:
        if wrong:
            raise PlanError(f"{words}; {', '.join(curve.arms)} have none")


def _check_ladder(ladder: Ladder) -> None:
    if not ladder.objectives:
        raise PlanError("a ladder needs objectives, such as p99<2500ms")
    try:
        for text in ladder.objectives:
            parse_objective(text)
    except ObjectiveError as error:
        raise PlanError(str(error)) from None
    _distinct("rungs", ladder.rungs)
    if not 0 < ladder.first_per_s <= ladder.most_per_s:
        raise PlanError("rates are 0 < first_per_s <= most_per_s")
    if ladder.growth <= 1 or ladder.resolution <= 0 or ladder.overload <= 1:
        raise PlanError("growth and overload must be above 1, resolution above 0")
    if min(ladder.rungs) <= 0 or ladder.overload_s < 1 or ladder.recovery_s < 1:
        raise PlanError("rungs must be above 0, overload_s and recovery_s at least 1")
    if ladder.recoveries is not None and ladder.recoveries < 0:
        raise PlanError("recoveries must be at least 0")
    if ladder.workers < 1:
        raise PlanError("workers must be at least 1")


def _check_timeline(timeline: Timeline, warmup_s: float, seconds: float) -> None:
    if timeline.rate_per_s <= 0 or timeline.workers < 1:
        raise PlanError("rate_per_s must be above 0 and workers at least 1")
    if not timeline.faults:
        raise PlanError("a timeline needs faults")
    by_service: dict[str, list[Fault]] = {}
    for fault in timeline.faults:
        _check_fault(fault)
        if fault.at_s < warmup_s or fault.at_s + fault.for_s > warmup_s + seconds:
            raise PlanError(
                f"the fault of {fault.service} must lie after the warm-up and before the end,"
                f" {warmup_s:g} to {warmup_s + seconds:g} s"
            )
        by_service.setdefault(fault.service, []).append(fault)
    for service, faults in by_service.items():
        ordered = sorted(faults, key=lambda fault: fault.at_s)
        for one, next_one in pairwise(ordered):
            if one.at_s + one.for_s > next_one.at_s:
                raise PlanError(f"two faults of {service} overlap")


def _check_fault(fault: Fault) -> None:
    if fault.service not in SERVICOS:
        raise PlanError(f"unknown service {fault.service!r}, expected one of {', '.join(SERVICOS)}")
    if fault.for_s <= 0:
        raise PlanError(f"the fault of {fault.service} must last: for_s above 0")
    if (fault.kind == "slow") != (fault.delay_s > 0):
        raise PlanError(f"{fault.service}: delay_s belongs to slow, and slow needs it")
    if fault.kind == "slow" and not POINTS[fault.service]:
        raise PlanError(f"{fault.service} has no part in an order, so it cannot make one slow")


def _check_load(cell: Cell, machine: Machine) -> None:
    """Whether the machine holds this load. An open loop is bounded by what the arm admits."""
    callers = cell.concurrency
    if callers is None:
        return
    where = f"{cell.experiment}: {callers} callers of {cell.arm}"
    if callers > IN_FLIGHT_MAX:
        raise PlanError(f"{where}: an arm admits {IN_FLIGHT_MAX} orders at once")
    if cell.protocol == "http":
        # Pedidos has one connection a caller, and its own to the next hop.
        files = callers + ACTIVE_MAX + EXTRA_CONNECTIONS + OUTROS_ARQUIVOS
        if files > machine.open_files:
            raise PlanError(
                f"{where} need {files} open files a process and this machine allows"
                f" {machine.open_files}; raise the hard limit (ulimit -Hn)"
            )
        if callers > machine.ports:
            raise PlanError(
                f"{where} need as many local ports and this machine has {machine.ports};"
                " widen net.ipv4.ip_local_port_range"
            )
    memory = IDLE_MB + callers * CALLER_MB + (cell.workers or 0) * WORKER_MB
    if memory > MEMORY_SHARE * machine.memory_mb:
        raise PlanError(
            f"{where} need about {memory:.0f} MB and this machine has {machine.memory_mb}"
        )


def _check_time(study: Study) -> None:
    minutes = estimate_s(study) / 60
    if minutes > study.budget_minutes:
        raise PlanError(
            f"{study.name}: it would take about {minutes:.0f} minutes, more than its budget of"
            f" {study.budget_minutes:g}; fewer repetitions or loads, or a larger budget_minutes"
        )
