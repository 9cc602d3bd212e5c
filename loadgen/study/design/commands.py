"""What a run gives to the arm and to the generator, and the same as commands to be typed."""

from __future__ import annotations

import secrets
import shlex
from pathlib import Path
from typing import Final

from loadgen.study.records.record import Cell
from loadgen.testbed.chains import DADOS, LOJA, Chain, arm_command
from loadgen.workload.plan import Plan, Population
from loadgen.workload.schedule import Schedule, steady, steps

# The one shop of every run: enough products for an order of fifty lines, and always the same day.
SHOP_PRODUCTS: Final = 60
SHOP_SEED: Final = 42
SHOP_DAY: Final = "2025-01-01"
# Callers of a closed loop without any wait from which two processes generate the load. Answers come
# as commits do, many at once, and a single loop was seen to be late by more than a tenth of the
# median latency from some hundreds of callers on.
CROWD: Final = 256
# Where whoever types the commands has the data.
_HERE: Final = Path()


def arm_mode(cell: Cell) -> str:
    """The mode of run_all.py that a cell's arm is."""
    return cell.arm


def arm_options(cell: Cell, seed: int) -> list[str]:
    """The options of run_all.py that are this cell's own.

    Arms are measured without telemetry: what that costs is measured by itself (`loadgen.floor.cli`).
    """
    options = [f"--seed={seed}", "--stats=on", "--telemetry=off"]
    if cell.event_loop is not None:
        options.append(f"--loop={cell.event_loop}")
    if cell.workers is not None:
        options += [f"--workers={cell.workers}", f"--storage={cell.storage}"]
    return options


def load_plan(cell: Cell, chain: Chain, seed: int) -> Plan:
    """What the generator is asked for."""
    return _plan(cell, chain.address, chain.population, secrets.token_hex(6), seed)


def _plan(cell: Cell, address: str, population: Population, run_id: str, seed: int) -> Plan:
    length_s = cell.warmup_s + cell.seconds
    plan = Plan(
        mode=cell.protocol,
        address=address,
        population=population,
        run_id=run_id,
        concurrency=cell.concurrency or 0,
        duration_s=None if cell.concurrency is None else length_s,
        schedule=_schedule(cell, length_s),
        warmup_s=cell.warmup_s,
        timeout_s=cell.timeout_s,
        seed=seed,
        itens_min=cell.items[0],
        itens_max=cell.items[1],
    )
    return plan.well_sampled(sum(cell.payment_wait_s) / 2, cell.workers)


def sample_every(cell: Cell) -> int:
    """One order in how many tells its time in full: of a run's plan, wherever it is made."""
    return _plan(cell, "", Population((), ()), "", 0).sample_every


def processes(cell: Cell) -> int:
    """How many processes generate the load, the same in every arm."""
    crowded = (cell.concurrency or 0) >= CROWD and not any(cell.payment_wait_s)
    return 2 if crowded else 1


def _schedule(cell: Cell, length_s: float) -> Schedule | None:
    """When orders are due in the open loop; None in the closed one."""
    if cell.rate_per_s is None:
        return None
    return steps(cell.steps) if cell.steps else steady(cell.rate_per_s, length_s)


def repeating(directory: Path, run_id: str) -> str:
    """The command that makes one run of a results directory again, faults and all."""
    return shlex.join(["python", "-m", "loadgen.study", "--only", run_id, "--from", str(directory)])


def commands(cell: Cell, seed: int) -> tuple[str, ...]:
    """The shop, the arm, the load and the audit, to be given one after the other.

    None for a bare chain and for a run with faults: there only `repeating` does the same again.
    """
    if cell.bare or cell.faults:
        return ()
    shop = [
        "python", "gerador_dados.py", f"--produtos={SHOP_PRODUCTS}", f"--seed={SHOP_SEED}",
        f"--data={SHOP_DAY}", f"--output={LOJA}",
    ]  # fmt: skip
    arm = [
        "python",
        *arm_command(arm_mode(cell), cell.payment_wait_s, _HERE, arm_options(cell, seed)),
    ]
    load = [
        "python", "-m", "loadgen", f"--data-dir={DADOS}", *_load(cell),
        f"--warmup={cell.warmup_s:g}", f"--timeout={cell.timeout_s:g}", f"--seed={seed}",
        "--items={}:{}".format(*cell.items), f"--sample-every={sample_every(cell)}",
        f"--processes={processes(cell)}",
    ]  # fmt: skip
    audit = ["python", "run_all.py", "--audit", f"--data-dir={DADOS}", "--settled"]
    return tuple(map(shlex.join, (shop, arm, load, audit)))


def _load(cell: Cell) -> list[str]:
    """The loop, its length and its objectives as options of the generator."""
    length = f"--duration={cell.warmup_s + cell.seconds:g}"
    objectives = [f"--objective={text}" for text in cell.objectives]
    if cell.concurrency is not None:
        return [f"--concurrency={cell.concurrency}", length, *objectives]
    if cell.steps:
        levels = ",".join(f"{rate:g}:{seconds:g}" for rate, seconds in cell.steps)
        return [f"--step={levels}", *objectives]
    return [f"--rate={cell.rate_per_s:g}", length, *objectives]
