"""What the services are doing at this moment, from their metrics and from the system.

Everything is pulled, and only while somebody looks: metrics once a second, who lives and how four
times a second. A service that does not answer is said to be paused, down or silent; it never holds
up the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

import aiohttp
import psutil
from msgspec import Struct, field

from common.contratos import SERVICOS, operacoes_de
from common.process.runfile import NotRunningError, Run, read_run

# Seconds between looks at who lives, and looks between readings of the metrics: a little less than a
# second, so that a page is made anew once a second at least.
LOOK_S: Final = 0.2
LOOKS_A_READING: Final = 4
# Seconds that a service may take to show its metrics.
READ_MAX_S: Final = 0.8
# Readings over which rates and percentiles are told.
WINDOW: Final = 3

Health = Literal["up", "starting", "paused", "silent", "down"]

_SAMPLE: Final = re.compile(r"(?P<name>[a-z_]+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)")
_BUCKET: Final = "checkout_request_duration_seconds_bucket"
# What else is read, by how its lines begin.
_READ: Final = (
    "checkout_circuit_breaker_open",
    "checkout_orders_answered_total",
    "checkout_requests_in_flight",
    "checkout_storage_queue",
    "checkout_storage_batches_total",
    "checkout_storage_batch_units_total",
    "checkout_event_loop_lag_max_seconds",
    "process_start_time_seconds",
)
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
# The operation that stands for a hop: the one by which an order comes in.
STEP: Final = {
    servico: next(
        (each.nome for each in operacoes_de(servico) if each.classe in {"pedido", "passo"}),
        "listar_produtos",
    )
    for servico in SERVICOS
}


class Bucket(Struct, frozen=True):
    """Calls that took at most so many seconds, of all so far."""

    le: float
    count: float


class Reading(Struct):
    """What a service's page said at a monotonic instant."""

    t: float
    buckets: dict[tuple[str, str], list[Bucket]] = field(default_factory=dict)
    gauges: dict[str, float] = field(default_factory=dict)
    open_breakers: list[str] = field(default_factory=list)
    orders: dict[str, float] = field(default_factory=dict)


class ServiceNow(Struct, omit_defaults=True):
    """One service. Rates are a second, times milliseconds, shares of one core, megabytes."""

    health: Health
    pid: int = 0
    rate: float = 0.0
    errors: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    in_flight: float = 0.0
    queue: float = 0.0
    batch: float = 0.0
    lag: float = 0.0
    cpu: float = 0.0
    memory: float = 0.0
    open_breakers: list[str] = field(default_factory=list)


class Now(Struct):
    """The whole at one moment; `outcomes` are answers a second by status."""

    t: float
    mode: str
    running: bool
    sentence: str
    services: dict[str, ServiceNow]
    outcomes: dict[str, float]


def parse(text: str, t: float, step: str) -> Reading:
    """A page of metrics, as far as the panel needs it: of the durations those of `step` alone.

    Most lines are buckets of other operations, so that they are told apart before they are read.
    """
    reading = Reading(t)
    of_step = f'operation="{step}"'
    for line in text.splitlines():
        if line.startswith(_BUCKET):
            if of_step not in line:
                continue
        elif not line.startswith(_READ):
            continue
        found = _SAMPLE.fullmatch(line)
        if found is None:
            continue
        name, labels = found["name"], dict(_LABEL.findall(found["labels"] or ""))
        value = float(found["value"])
        if name == _BUCKET:
            of = reading.buckets.setdefault((labels["operation"], labels["code"]), [])
            of.append(Bucket(float(labels["le"].replace("+Inf", "inf")), value))
        elif name == "checkout_circuit_breaker_open":
            if value:
                reading.open_breakers.append(labels["peer"])
        elif name == "checkout_orders_answered_total":
            key = labels["reason"] or labels["status"]
            reading.orders[key] = reading.orders.get(key, 0.0) + value
        else:
            reading.gauges[name] = value
    return reading


def percentile(buckets: Iterable[Bucket], before: Iterable[Bucket], share: float) -> float:
    """Milliseconds below which this share of the calls between two readings was; 0 for no call.

    Within a bucket calls are taken as evenly spread, as Prometheus' own `histogram_quantile` does.
    """
    old = {bucket.le: bucket.count for bucket in before}
    new = [(bucket.le, bucket.count - old.get(bucket.le, 0.0)) for bucket in buckets]
    if not new or new[-1][1] <= 0:
        return 0.0
    wanted, low, below = share * new[-1][1], 0.0, 0.0
    for le, count in new:
        if count >= wanted:
            if le == float("inf"):
                return low * 1e3
            inside = (wanted - below) / (count - below) if count > below else 1.0
            return (low + (le - low) * inside) * 1e3
        low, below = le, count
    return low * 1e3


class Observer:
    """Looks at the arm on a data directory for as long as somebody wants to know."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._readings: dict[str, deque[Reading]] = {}
        self._processes: dict[int, psutil.Process] = {}
        # Share of a core and megabytes, by process.
        self._used: dict[int, tuple[float, float]] = {}
        self._silent: set[str] = set()
        self._looks = 0
        self._reading: asyncio.Task[None] | None = None

    async def look(self, http: aiohttp.ClientSession) -> Now:
        """The state at this moment; metrics are read anew every so many looks."""
        try:
            run = read_run(self._data_dir)
        except NotRunningError:
            return self.nothing("nada está em execução neste diretório de dados")
        except (OSError, ValueError) as error:
            return self.nothing(f"run.json não pode ser lido: {error}")
        if self._looks % LOOKS_A_READING == 0 and (self._reading is None or self._reading.done()):
            # Not awaited: a service that does not answer must not hide who lives.
            self._reading = asyncio.create_task(self._read(run, http))
            self._measure(run)
        self._looks += 1
        services = {servico: self._service(run, servico) for servico in SERVICOS}
        return Now(
            t=time.time(), mode=run.mode, running=True, sentence=_lacking(run), services=services,
            outcomes=self._outcomes(),
        )  # fmt: skip

    def nothing(self, sentence: str) -> Now:
        """What is told when nothing can be seen."""
        self._readings.clear()
        services = {servico: ServiceNow("down") for servico in SERVICOS}
        return Now(
            t=time.time(), mode="", running=False, sentence=sentence, services=services, outcomes={}
        )

    async def _read(self, run: Run, http: aiohttp.ClientSession) -> None:
        """Read the metrics of all that live, at once."""

        async def one(servico: str, url: str) -> None:
            try:
                async with asyncio.timeout(READ_MAX_S), http.get(url) as answer:
                    text = await answer.text()
            except (TimeoutError, aiohttp.ClientError, ValueError):
                self._silent.add(servico)
                return
            self._silent.discard(servico)
            kept = self._readings.setdefault(servico, deque(maxlen=WINDOW))
            reading = parse(text, time.monotonic(), STEP[servico])
            if kept and _restarted(kept[-1], reading):
                kept.clear()
            kept.append(reading)

        await asyncio.gather(
            *(
                one(servico, each.metrics)
                for servico, each in run.services.items()
                if each.metrics and each.pid is not None
            )
        )

    def _service(self, run: Run, servico: str) -> ServiceNow:
        said = run.services[servico]
        now = ServiceNow(self._health(run, servico), pid=said.pid or 0)
        now.cpu, now.memory = self._used.get(said.pid or 0, (0.0, 0.0))
        kept = self._readings.get(servico)
        if now.health != "up" or not kept:
            return now
        last = kept[-1]
        gauges = last.gauges
        now.in_flight = gauges.get("checkout_requests_in_flight", 0.0)
        now.queue = gauges.get("checkout_storage_queue", 0.0)
        now.lag = round(gauges.get("checkout_event_loop_lag_max_seconds", 0.0) * 1e3, 2)
        now.open_breakers = last.open_breakers
        if len(kept) < 2:
            return now
        first = kept[0]
        seconds = last.t - first.t
        step = STEP[servico]
        for (operation, code), buckets in last.buckets.items():
            if operation != step:
                continue
            before = first.buckets.get((operation, code), [])
            ended = buckets[-1].count - (before[-1].count if before else 0.0)
            now.rate += ended / seconds
            if code == "ok":
                now.p50 = round(percentile(buckets, before, 0.5), 2)
                now.p99 = round(percentile(buckets, before, 0.99), 2)
            else:
                now.errors += ended / seconds
        batches = _grown(first, last, "checkout_storage_batches_total")
        if batches:
            now.batch = round(
                _grown(first, last, "checkout_storage_batch_units_total") / batches, 2
            )
        now.rate, now.errors = round(now.rate, 1), round(now.errors, 1)
        return now

    def _measure(self, run: Run) -> None:
        """Take note of what each process has used since it was last asked."""
        used = {}
        for each in run.services.values():
            process = self._process(each.pid)
            if process is None or each.pid is None:
                continue
            with contextlib.suppress(psutil.Error):
                cpu = round(process.cpu_percent() / 100, 3)
                used[each.pid] = cpu, round(process.memory_info().rss / 2**20, 1)
        self._used = used
        # Of processes that are gone nothing is kept.
        self._processes = {pid: self._processes[pid] for pid in used}

    def _health(self, run: Run, servico: str) -> Health:
        said = run.services[servico]
        process = self._process(said.pid)
        if process is None:
            return "down"
        try:
            if process.status() == psutil.STATUS_STOPPED:
                return "paused"
        except psutil.Error:
            return "down"
        if not said.ready:
            return "starting"
        return "silent" if servico in self._silent else "up"

    def _process(self, pid: int | None) -> psutil.Process | None:
        if pid is None:
            return None
        process = self._processes.get(pid)
        if process is None:
            try:
                process = psutil.Process(pid)
                # The first asking only begins the measure.
                process.cpu_percent()
            except psutil.Error:
                return None
            self._processes[pid] = process
        return process if process.is_running() else None

    def _outcomes(self) -> dict[str, float]:
        kept = self._readings.get("pedidos")
        if not kept or len(kept) < 2:
            return {}
        first, last = kept[0], kept[-1]
        seconds = last.t - first.t
        return {
            key: round((value - first.orders.get(key, 0.0)) / seconds, 1)
            for key, value in last.orders.items()
        }


def _lacking(run: Run) -> str:
    if any(each.metrics for each in run.services.values()):
        return ""
    return "sem números: este braço começou com --telemetry off"


def _grown(first: Reading, last: Reading, name: str) -> float:
    return last.gauges.get(name, 0.0) - first.gauges.get(name, 0.0)


def _restarted(before: Reading, now: Reading) -> bool:
    """Whether counts began anew: it is another process."""
    name = "process_start_time_seconds"
    return before.gauges.get(name) != now.gauges.get(name)
