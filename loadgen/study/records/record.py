"""What is kept of a study: its manifest and its runs. `store` writes and reads them."""

from __future__ import annotations

import math
from typing import Any, Final, Literal

from msgspec import Struct

from loadgen.results.result import Result
from loadgen.study.records.plan import EventLoop, Fault, Storage, Study, Wait

# Raised when a reader of the older format would misread or miss something.
FORMAT: Final = 2

Protocol = Literal["grpc", "http"]
IoModel = Literal["loop", "threads"]
Status = Literal["ok", "invalid", "failed"]
# What a run is for: a point of a curve; of a ladder its search, its rungs, its overload; a timeline.
Phase = Literal["point", "search", "rung", "recovery", "timeline"]
# The generator's name beside those of the services.
GENERATOR: Final = "generator"


class Cell(Struct, frozen=True, kw_only=True):
    """What a run measures: everything that another repetition of it has in common with it.

    `rate_per_s` is null in the closed loop and `concurrency` in the open one; `workers` is null
    on event loops and `event_loop` on threads. `steps` are an open loop's (rate, seconds), of
    which the warm-up is a part. `twin` tells the runs of an A/A pair apart.
    """

    experiment: str
    phase: Phase
    arm: str
    protocol: Protocol
    io_model: IoModel
    bare: bool
    payment_wait_s: Wait
    loop: Literal["closed", "open"]
    concurrency: int | None
    rate_per_s: float | None
    steps: tuple[tuple[float, float], ...]
    workers: int | None
    event_loop: EventLoop | None
    items: tuple[int, int]
    storage: Storage
    faults: tuple[Fault, ...]
    objectives: tuple[str, ...]
    twin: Literal["", "A", "B"]
    warmup_s: float
    seconds: float
    timeout_s: float


class Verdict(Struct, frozen=True, kw_only=True):
    """The audit of a run's databases. `violations` are its first sentences, `total` counts all."""

    clean: bool
    orders: dict[str, int]
    rules: int
    total: int
    violations: tuple[str, ...]


class Happened(Struct, frozen=True):
    """Something done to a service, in seconds since the first order: `down`, `up`, `slow`, ..."""

    at_s: float
    what: str
    service: str


class Spent(Struct, frozen=True):
    """What a process used: CPU milliseconds an order, warm-up included, and peak memory."""

    cpu_ms_per_order: float | None
    rss_peak_mb: float | None


class Series(Struct, frozen=True, kw_only=True):
    """One service over time; `t_s` counts from the first order, null where it was not measured.

    `cpu` is in cores since the sample before; `wal_kb` is the size of the write-ahead log,
    `loop_lag_ms` the worst of the quarter second before, null on threads; `writer_queue` units of
    work that wait for the database thread, `in_flight` calls under way, a mean of several looks.
    """

    t_s: tuple[float, ...]
    cpu: tuple[float | None, ...]
    rss_mb: tuple[float | None, ...]
    open_files: tuple[int | None, ...]
    wal_kb: tuple[float | None, ...]
    loop_lag_ms: tuple[float | None, ...]
    writer_queue: tuple[int | None, ...]
    in_flight: tuple[float | None, ...]


class Flow(Struct, frozen=True):
    """The inputs of Little's law at one hop, over the measured window, each by its own means.

    `in_flight` is the mean number of calls under way, by sampling; `arrivals_per_s` and `time_s`
    are of the calls that ended. `window_s` is how long was looked, `looks` how often, `calls` how
    many ended.
    """

    in_flight: float
    arrivals_per_s: float
    time_s: float
    window_s: float
    looks: int
    calls: int


class RunRecord(Struct, frozen=True, kw_only=True):
    """One run in fresh processes.

    `ok` has figures that may be believed; `invalid` has figures and `reasons` not to believe them
    (the generator out of its bounds, or an audit that is not clean, which leaves no throughput);
    `failed` has none, and `reasons` say what happened. `result.attribution` tells where a median
    and a slow order spent their time. `commands` are those of the arm, of the load
    and of the audit, to be given one after the other. `resources` and `spent` are by service,
    `spent` also of the generator. `bytes_per_order` are those on loopback between all processes,
    headers of TCP and IP included and less what idle services send each other in that time
    (`idle_bytes_per_s`), null where the machine does not tell. `others_cores` are processor cores
    that were busy during the load with anything but the arm and its generator.
    """

    format: int
    id: str
    cell: Cell
    repetition: int
    seed: int
    status: Status
    reasons: tuple[str, ...]
    started: str
    took_s: float
    commands: tuple[str, ...]
    result: Result | None
    audit: Verdict | None
    events: tuple[Happened, ...] = ()
    spent: dict[str, Spent] = {}
    bytes_per_order: float | None = None
    resources: dict[str, Series] = {}
    flows: dict[str, Flow] = {}
    commit: str | None = None
    others_cores: float | None = None
    idle_bytes_per_s: float | None = None

    @property
    def throughput_per_s(self) -> float | None:
        """Terminal answers a second; None when the run has none to tell.

        It is the rate while orders were being sent, where that was long enough to have one: the
        last orders of a run, which may take a whole timeout, do not dilute it.
        """
        if self.result is None or self.status != "ok":
            return None
        return self.result.sustained_per_s

    @property
    def goodput_per_s(self) -> float | None:
        """The same of answers in time; None also after an audit that was not clean."""
        if self.result is None or self.status != "ok":
            return None
        return self.result.sustained_goodput_per_s

    @property
    def cpu_ms_per_order(self) -> float | None:
        """Processor milliseconds an order over all services, the generator not counted."""
        each = [spent.cpu_ms_per_order for name, spent in self.spent.items() if name != GENERATOR]
        known = [spent for spent in each if spent is not None]
        return sum(known) if known and len(known) == len(each) else None


class Sitting(Struct, frozen=True):
    """One time that the study was started or resumed; `ended` is null when it was cut off.

    `environment` is the machine and the packages as they were that time.
    """

    started: str
    ended: str | None
    command: str
    commit: str | None
    environment: dict[str, Any] = {}


class Found(Struct, frozen=True):
    """Where a ladder's search places its rungs. One run a rate: it is no knee, the rungs tell that.

    `rate_per_s` is the highest rate that was sustained, null when none was; `beyond_per_s` the
    lowest that was not, null when the search ended at the plan's most. `doubts` say why the run at
    `beyond_per_s` could not be believed, twice: then the search was bounded by the generator or the
    machine, and what the arm does there is not known.
    """

    experiment: str
    arm: str
    payment_wait_s: Wait
    rate_per_s: float | None
    beyond_per_s: float | None
    doubts: tuple[str, ...] = ()

    @property
    def middle_per_s(self) -> float | None:
        """The rate that the shares of rungs are of: halfway, in ratio, to what was not sustained."""
        if self.rate_per_s is None or self.beyond_per_s is None:
            return self.rate_per_s
        return math.sqrt(self.rate_per_s * self.beyond_per_s)


class Manifest(Struct, frozen=True, kw_only=True):
    """The study that a results directory holds.

    `order` lists the ids of runs in the order in which they are begun; runs that a search or a
    ladder adds come to its end as they are found. `durability` is how every arm commits.
    """

    format: int
    preset: str
    plan: Study
    seed: int
    durability: str
    environment: dict[str, Any]
    order: tuple[str, ...]
    sittings: tuple[Sitting, ...]
    searches: tuple[Found, ...] = ()
    complete: bool = False
