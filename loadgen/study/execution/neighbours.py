"""What goes on beside a run on the same machine, and must not be taken for the run's own.

Another program on the processors makes any arm slow, and bytes on loopback are those of everybody:
the first is measured and doubts the run, of the second what an idle arm sends is taken off.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import psutil
from msgspec import Struct

# Seconds for which an idle arm is listened to before its load comes.
IDLE_S: Final = 0.3
# Share of the machine's processors that others may keep busy. Above it a run is doubted.
OTHERS_MAX: Final = 0.10


class Reading(Struct, frozen=True):
    """Running totals: processor seconds of everybody and of this process with all below it."""

    at_s: float
    everybody_s: float
    own_s: float
    loopback_bytes: int | None


def reading() -> Reading:
    """The totals now."""
    return Reading(time.monotonic(), _everybody_s(), _own_s(), _loopback_bytes())


def others_cores(before: Reading, after: Reading) -> float:
    """Cores that others kept busy between two readings."""
    everybody, own = after.everybody_s - before.everybody_s, after.own_s - before.own_s
    # The two are counted in ticks of their own, and may differ by one.
    return max(0.0, (everybody - own) / (after.at_s - before.at_s))


def bytes_per_s(before: Reading, after: Reading) -> float | None:
    """Bytes a second on loopback; None where the machine does not tell."""
    if before.loopback_bytes is None or after.loopback_bytes is None:
        return None
    return (after.loopback_bytes - before.loopback_bytes) / (after.at_s - before.at_s)


def doubt(cores: float, cpu_count: int) -> str | None:
    """Why a run beside which others kept so many cores busy is not believed; None when it is."""
    if cores <= OTHERS_MAX * cpu_count:
        return None
    return (
        f"other programs kept {cores:.2f} of {cpu_count} processors busy, more than"
        f" {OTHERS_MAX:.0%}; run it on a machine that does nothing else"
    )


class Beside:
    """Reads before a load and after it. `begin` it once the arm is ready and idle."""

    def __init__(self, idle_bytes_per_s: float | None) -> None:
        self.idle_bytes_per_s = idle_bytes_per_s
        self._before = reading()

    @classmethod
    async def begin(cls) -> Beside:
        """Listen to the idle arm for a moment; what follows is the load."""
        before = reading()
        await asyncio.sleep(IDLE_S)
        return cls(bytes_per_s(before, reading()))

    def end(self) -> tuple[float, float | None]:
        """Cores that others used since, and the load's own bytes on loopback."""
        after = reading()
        sent = bytes_per_s(self._before, after)
        own = None
        if sent is not None and self.idle_bytes_per_s is not None:
            own = max(0.0, sent - self.idle_bytes_per_s) * (after.at_s - self._before.at_s)
        return others_cores(self._before, after), own


def _everybody_s() -> float:
    times = psutil.cpu_times()
    # Interrupts are nobody's; what a hypervisor takes away is another's.
    return float(
        times.user + getattr(times, "nice", 0.0) + times.system + getattr(times, "steal", 0.0)
    )


def _own_s() -> float:
    """Of this process and all that came from it, those that have ended among them."""
    this = psutil.Process()
    total = 0.0
    for process in (this, *this.children(recursive=True)):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.Error:
            # Ended just now: its parent counts it.
            continue
    return total


def _loopback_bytes() -> int | None:
    """Since the machine started. Every byte sent there is received there: one way is counted."""
    counters = psutil.net_io_counters(pernic=True)
    loopback = counters.get("lo") or counters.get("lo0")
    return None if loopback is None else int(loopback.bytes_sent)
