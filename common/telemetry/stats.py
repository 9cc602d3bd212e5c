"""The inside of a service while it runs: one line of JSON every quarter of a second.

Only with `--stats on`. A thread of its own reads the meters and appends to
`<data-dir>/stats/<service>.jsonl`; it knows no event loop and no transport. Cumulative figures
count from the start of the process, so a reader takes differences; a process that was started
again goes on in the same file under another pid.
"""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from common.telemetry.meters import Lag, Meters, Taken

# Seconds between lines.
SAMPLE_INTERVAL_S: Final = 0.25
# Looks at the calls in flight between two lines, one in ten milliseconds. A mean over half a minute
# then has some 3,000 of them: where one call is in flight, it is known to some 2 %.
LOOKS_PER_LINE: Final = 25

_LOG = logging.getLogger(__name__)


class PoolLine(Struct, frozen=True):
    """A pool of `workers` threads, and the calls that wait for one of them.

    `waiting` is the mean of the looks in the interval before, `waiting_now` the number now, of
    which the oldest has waited `head_s` seconds; `taken` is cumulative.
    """

    workers: int
    waiting: float
    waiting_now: int
    head_s: float
    taken: Taken


class Line(Struct, kw_only=True):
    """A service at the instant `t` (monotonic seconds; `time` is since 1970).

    `in_flight` is the mean of `looks` looks in the interval before, `in_flight_now` the number at
    `t`; `steps_now` are the steps of orders among those. `operations` are calls ended and their
    summed seconds, from arrival to answer, by operation, `units` of work in `batches` and the seconds of their commits,
    `collections` of the garbage collector and their seconds, and the processor seconds used: all
    cumulative. What concerns the writer is None where there is none that others share
    (`--storage plain`). `open_breakers` names neighbours that are not called now. `driven` and `waiting` are
    orders with a place and in the queue for one, None but at the edge; `loop` is None where there
    is no event loop, `pool` where no threads serve. A call that waits for a worker is in `pool` and
    not yet in `in_flight`; its wait is in the seconds of `operations` once it has ended.
    """

    service: str
    pid: int
    t: float
    time: float
    in_flight: float
    in_flight_now: int
    steps_now: int
    looks: int
    operations: dict[str, tuple[int, float]]
    queue: int | None
    batches: int | None
    units: int | None
    commit_s: float | None
    open_breakers: list[str]
    driven: int | None
    waiting: int | None
    loop: Lag | None
    pool: PoolLine | None
    collections: int
    collecting_s: float
    threads: int
    cpu_s: float


class _Collector:
    """How often and how long the garbage collector has run since `watch`."""

    def __init__(self) -> None:
        self.collections = 0
        self.seconds = 0.0
        self._start = 0.0

    def watch(self) -> None:
        gc.callbacks.append(self._note)

    def leave(self) -> None:
        gc.callbacks.remove(self._note)

    def _note(self, phase: str, _: dict[str, int]) -> None:
        now = time.monotonic()
        if phase == "start":
            self._start = now
        else:
            self.collections += 1
            self.seconds += now - self._start


class Sampler:
    """The thread that looks and writes, from `start` to `stop`."""

    def __init__(
        self, path: Path, meters: Meters, *, interval_s: float = SAMPLE_INTERVAL_S
    ) -> None:
        self._path = path
        self._meters = meters
        self._interval_s = interval_s
        self._collector = _Collector()
        self._told = threading.Event()
        self._looks: list[int] = []
        self._queued: list[int] = []
        self._thread = threading.Thread(target=self._run, name="stats", daemon=True)

    def start(self) -> None:
        """Begin. Raises OSError when the file cannot be written."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab"):
            pass
        self._collector.watch()
        self._thread.start()

    def stop(self) -> None:
        """Write a last line and end."""
        self._told.set()
        self._thread.join()
        self._collector.leave()

    def _run(self) -> None:
        try:
            # Unbuffered: a process that is killed leaves whole lines.
            with self._path.open("ab", buffering=0) as file:
                last = False
                while not last:
                    for _ in range(LOOKS_PER_LINE):
                        self._look()
                        last = self._told.wait(self._interval_s / LOOKS_PER_LINE)
                        if last:
                            break
                    file.write(msgspec.json.encode(self._line()) + b"\n")
        except OSError as error:
            _LOG.warning("%s: %s; nada mais será escrito", self._path, error.strerror)

    def _look(self) -> None:
        self._looks.append(self._meters.in_flight.total)
        if self._meters.pool is not None:
            self._queued.append(self._meters.pool.waiting)

    def _pool(self) -> PoolLine | None:
        pool, queued = self._meters.pool, self._queued
        self._queued = []
        if pool is None or not queued:
            return None
        mean = round(sum(queued) / len(queued), 3)
        return PoolLine(pool.workers, mean, pool.waiting, round(pool.head_s(), 6), pool.taken())

    def _line(self) -> Line:
        meters, looks = self._meters, self._looks
        self._looks = []
        writer, places = meters.writer, meters.places
        return Line(
            service=meters.servico,
            pid=os.getpid(),
            t=round(time.monotonic(), 6),
            time=round(time.time(), 3),
            in_flight=round(sum(looks) / len(looks), 3),
            in_flight_now=meters.in_flight.total,
            steps_now=meters.in_flight.passos,
            looks=len(looks),
            operations=meters.ended(),
            queue=writer.queue if writer else None,
            batches=writer.batches if writer else None,
            units=writer.units if writer else None,
            commit_s=round(writer.commit_s, 6) if writer else None,
            open_breakers=[nome for nome, closed in meters.closed.items() if not closed()],
            driven=places.driven if places else None,
            waiting=places.waiting if places else None,
            loop=meters.lag.read() if meters.lag else None,
            pool=self._pool(),
            collections=self._collector.collections,
            collecting_s=round(self._collector.seconds, 6),
            threads=threading.active_count(),
            cpu_s=round(time.process_time(), 6),
        )
