"""Where a sampled call's time goes, from the inside: own work, waiting to run, and waits.

A `Meter` cuts the life of one call in one process into segments that follow each other without a
gap: steps, in which the call's own code has the thread, and waits. Of a step the thread's processor
time is own work; the rest of it, while the thread wanted to run and could not (another process had
the core, another thread had the interpreter), is `espera`. A wait belongs to the section that a
port has entered (`banco`, `gateway`, `proximo`); the part of it after the instant at which what was
waited for was ready is `espera` too: the loop, or a thread, was busy with others. A wait that no
port has claimed is counted nowhere and shows as what is missing from the call's duration.

Nothing here knows an event loop. On one, `measured` drives the coroutine and marks its steps. On
threads a port that blocks marks them itself: `pause` before it blocks, `resume` after, and `ready`
with the instant when it knows one. All instants are seconds on the monotonic clock, which on Linux
is the same for every process of a machine. A meter serves one call in one thread at a time.
"""

from __future__ import annotations

import threading
import time
import types
from collections.abc import Coroutine, Generator
from typing import Any, Final, TypeVar

from common.servicos.protocolo.record import Inside, Section

R = TypeVar("R")

# The word that a caller sends, in `pipeline.HEADER_SAMPLE`, to have its order measured.
FULL_TIMING: Final = "full"

_TRABALHO: Final = "trabalho"
_ESPERA: Final = "espera"
_PROXIMO: Final = "proximo"
# Waits for the next service before its last call.
_TENTATIVAS: Final = "tentativas"
# A wait that no port has claimed.
_UNCLAIMED: Final = ""

# A kind, its begin and end, and for a step the processor seconds in it.
_Segment = tuple[str, float, float, float]

_this_thread = threading.local()


def running() -> Meter | None:
    """The meter of the call whose step this thread is running; None when none is measured."""
    meter: Meter | None = getattr(_this_thread, "meter", None)
    return meter


class Meter:
    """Measures one call; the port `account.Meter`."""

    __slots__ = (
        "_called", "_cpu_s", "_section", "_segments", "_since", "_steps", "began", "departed", "ended",
    )  # fmt: skip

    def __init__(self, began: float | None = None) -> None:
        """Begin with a wait to run from `began` on (now by default), until the first `resume`."""
        self.began = time.monotonic() if began is None else began
        # When `measured` came to its end; None before.
        self.ended: float | None = None
        # When the latest call to the next service was on its way; 0 before.
        self.departed = 0.0
        # When that call was begun: waits for the next service before it were of earlier attempts.
        self._called = 0.0
        self._segments: list[_Segment] = []
        self._since = self.began
        self._cpu_s = 0.0
        self._section: str = _ESPERA
        self._steps = False

    # --- by the code that runs the call -------------------------------------------------------------

    def resume(self) -> None:
        """A step begins in this thread; harmless within one."""
        _this_thread.meter = self
        if self._steps:
            return
        now = time.monotonic()
        self._segments.append((self._section, self._since, now, 0.0))
        if self._section == _ESPERA:
            self._section = _UNCLAIMED
        self._steps = True
        self._since = now
        self._cpu_s = time.thread_time()

    def pause(self) -> None:
        """The step ends: the call waits from here on."""
        self._close_step()
        self._steps = False
        _this_thread.meter = None
        if self._section == _PROXIMO and not self.departed:
            self.departed = self._since

    def end(self) -> None:
        """The work handed over is done, in this step, which may go on."""
        self._close_step()
        self.ended = self._since
        _this_thread.meter = None

    def _close_step(self) -> None:
        if self._steps:
            cpu_s, now = time.thread_time(), time.monotonic()
            self._segments.append((_TRABALHO, self._since, now, cpu_s - self._cpu_s))
            self._since, self._cpu_s = now, cpu_s

    def measure(self, coroutine: Coroutine[Any, Any, R]) -> Coroutine[Any, Any, R]:
        """The coroutine, its steps measured; see `measured`."""
        return measured(self, coroutine)

    # --- by ports -----------------------------------------------------------------------------

    def enter(self, section: Section) -> str:
        """Claim the waits from here on; returns what `leave` wants. The outermost claim holds."""
        before = self._section
        if before == _UNCLAIMED:
            self._section = section
            if section == _PROXIMO:
                self.departed, self._called = 0.0, time.monotonic()
        return before

    def leave(self, before: str) -> None:
        """Give the claim up."""
        self._section = before

    def ready(self, instant: float) -> None:
        """The last wait was over at `instant`; from then on the call waited to run.

        Call it in the step after that wait.
        """
        if not self._segments:
            return
        kind, begin, end, _ = self._segments[-1]
        if kind != _TRABALHO and begin < instant < end:
            self._segments[-1:] = [(kind, begin, instant, 0.0), (_ESPERA, instant, end, 0.0)]

    # --- by the service -----------------------------------------------------------------------

    def fork(self) -> Meter:
        """A meter for a task begun now on this call's behalf."""
        # A step that goes on while the task runs in this very thread is cut here.
        self._close_step()
        return Meter()

    def take_over(self, other: Meter) -> None:
        """Have the task's segments stand for this call's own while the task was alive.

        The call's way led through the task: the call's own steps meanwhile, while it waited, were
        not on the way. The time from the task's end until the call ran again is `espera`.
        """
        self._close_step()
        own = self._segments
        waited = [last for kind, _, last, _ in own if kind != _TRABALHO and last > other.began]
        end = min(waited[-1] if waited else self._since, other.ended or self._since)
        begin = max(other.began, self.began)
        if begin < end:
            self._segments = [
                *_clipped(own, self.began, begin),
                *_clipped(list(other._segments), begin, end),
                *(
                    (kind or _ESPERA, first, last, cpu_s)
                    for kind, first, last, cpu_s in _clipped(own, end, self._since)
                ),
            ]
            self.departed = other.departed or self.departed
            self._called = other._called or self._called

    def inside(self) -> Inside:
        """The parts so far, as the timing record has them: microseconds."""
        micros = {name: round(seconds * 1e6) for name, seconds in self.seconds().items()}
        return Inside(**micros, saida=round(self.departed * 1e6))

    def seconds(self) -> dict[str, float]:
        """Seconds of each part so far; they sum to the call's life less the unclaimed waits."""
        self._close_step()
        parts: dict[str, float] = {}
        for kind, begin, end, cpu_s in self._segments:
            seconds = end - begin
            if kind == _TRABALHO:
                # The two clocks are read one after the other.
                work = min(cpu_s, seconds)
                parts[_TRABALHO] = parts.get(_TRABALHO, 0.0) + work
                parts[_ESPERA] = parts.get(_ESPERA, 0.0) + seconds - work
            elif kind == _PROXIMO and end <= self._called:
                parts[_TENTATIVAS] = parts.get(_TENTATIVAS, 0.0) + seconds
            elif kind != _UNCLAIMED:
                parts[kind] = parts.get(kind, 0.0) + seconds
        return parts


def _clipped(segments: list[_Segment], begin: float, end: float) -> list[_Segment]:
    """The segments as far as they lie in [begin, end]; a step's processor time in proportion."""
    inside = []
    for kind, first, last, cpu_s in segments:
        low, high = max(first, begin), min(last, end)
        if low < high:
            inside.append((kind, low, high, cpu_s * (high - low) / (last - first)))
    return inside


async def measured(meter: Meter, coroutine: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine to its end, telling the meter when it runs and when it waits.

    Returns what it returns, raises what it raises, and hands on what is thrown into it. The step
    that is under way at its end goes on: what follows in the same step is the call's work, too.
    """
    return await _stepped(meter, coroutine)


@types.coroutine
def _stepped(meter: Meter, coroutine: Coroutine[Any, Any, R]) -> Generator[Any, Any, R]:
    value: Any = None
    thrown: BaseException | None = None
    try:
        while True:
            meter.resume()
            try:
                wanted = coroutine.send(value) if thrown is None else coroutine.throw(thrown)
            except StopIteration as stop:
                result: R = stop.value
                return result
            meter.pause()
            value = thrown = None
            try:
                value = yield wanted
            except BaseException as error:
                # Handed on, whatever it is.
                thrown = error
    finally:
        meter.end()
