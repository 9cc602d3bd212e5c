"""How many orders a second a cell may come to: arithmetic where the arm waits, a guess elsewhere.

Nothing that is measured depends on it. It says how long a run must warm up and how long it is going
to take.
"""

from __future__ import annotations

from typing import Final

from loadgen.study.records.record import Cell

# Orders a second that each arm does on two cores when nothing waits, and that one caller alone makes
# of it: rounded, of one machine, for estimates only.
BUSY_PER_S: Final = {
    "grpc": 700.0, "http": 500.0, "grpc-threads": 350.0, "http-threads": 250.0,
    "bare-grpc": 2_000.0, "bare-http": 1_500.0,
}  # fmt: skip
ALONE_PER_S: Final = 150.0


def ceiling_per_s(arm: str, wait_s: float, workers: int | None) -> float:
    """What an arm can do at most: a thread that waits for a payment serves no other order."""
    busy = BUSY_PER_S[arm]
    return busy if workers is None or wait_s <= 0 else min(busy, workers / wait_s)


def expected_per_s(cell: Cell) -> float:
    """About how many orders a second end in a cell."""
    wait_s = sum(cell.payment_wait_s) / 2
    ceiling = ceiling_per_s(cell.arm, wait_s, cell.workers)
    if cell.concurrency is None:
        return min(
            ceiling, max(rate for rate, _ in cell.steps) if cell.steps else cell.rate_per_s or 0
        )
    return min(ceiling, cell.concurrency / (wait_s + 1 / ALONE_PER_S))


def cycle_s(cell: Cell) -> float:
    """How long threads that wait for payments need to answer every caller of a closed loop once.

    Until then nothing is steady: of those that came at once the last still wait. More than the
    timeout when each of them times out; nought where the arithmetic says nothing.
    """
    if cell.concurrency is None or cell.workers is None:
        return 0.0
    return cell.concurrency * sum(cell.payment_wait_s) / 2 / cell.workers
