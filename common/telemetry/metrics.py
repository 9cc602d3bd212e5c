"""What Prometheus is told: calls by operation and code as they end, everything else when it asks.

Names and units follow its conventions (https://prometheus.io/docs/practices/naming/). The process's
own figures (`process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds`) are
the client library's.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from threading import Lock
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from common.stats import Gauges, Lag

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
# Seconds. From a step that nothing waits for to the default deadline, each about half as much again:
# a percentile read from them is off by at most that.
LIMITES_S: Final = (
    0.001, 0.0015, 0.0025, 0.004, 0.006, 0.01, 0.015, 0.025, 0.04, 0.06, 0.1, 0.15, 0.25, 0.4, 0.6,
    0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
# The code of a call that was answered as asked, and of one whose caller went away.
OK: Final = "ok"
SAIU: Final = "cancelled"


class Durations:
    """How many calls took how long: a histogram that is counted at the rate of the load.

    The library's own takes three locks and a walk over the buckets for each call.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        # The last is for what took longer than every bound.
        self._counts = [0] * (len(LIMITES_S) + 1)
        self._sum_s = 0.0

    def note(self, seconds: float) -> None:
        """Count a call."""
        with self._lock:
            self._counts[bisect_left(LIMITES_S, seconds)] += 1
            self._sum_s += seconds

    def buckets(self) -> tuple[list[tuple[str, float]], float]:
        """Calls up to each bound, as Prometheus counts them, and the seconds of all."""
        with self._lock:
            counts, sum_s = list(self._counts), self._sum_s
        bounds = [*map(floatToGoString, LIMITES_S), "+Inf"]
        return list(zip(bounds, map(float, accumulate(counts)), strict=True)), sum_s


class Metrics:
    """The metrics of one service process."""

    def __init__(self, servico: str, gauges: Gauges, loop: Callable[[], Lag] | None = None) -> None:
        """`loop` gives the lag of the event loop since it was last asked; None where there is none."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._durations: dict[tuple[str, str], Durations] = {}
        self._orders: dict[tuple[str, str], int] = {}
        self._lock = Lock()
        self.registry.register(_Calls(servico, self._durations, self._orders))
        self.registry.register(_Inside(servico, gauges, loop))
        self._servico = servico

    def durations(self, operation: str, code: str = OK) -> Durations:
        """Where the answers of an operation with this code are counted."""
        key = (operation, code)
        found = self._durations.get(key)
        if found is None:
            # Two threads may come here at once: both are given the one that stays.
            found = self._durations.setdefault(key, Durations())
        return found

    def answered(self, status: str, reason: str) -> None:
        """An order was answered with this status."""
        key = (status, reason)
        with self._lock:
            self._orders[key] = self._orders.get(key, 0) + 1

    def page(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)


class _Calls(Collector):
    """The durations of all calls so far, and how orders were answered."""

    def __init__(
        self,
        servico: str,
        durations: Mapping[tuple[str, str], Durations],
        orders: Mapping[tuple[str, str], int],
    ) -> None:
        self._servico = servico
        self._durations = durations
        self._orders = orders

    def collect(self) -> Iterator[Metric]:
        """A family each; durations by operation and code."""
        family = HistogramMetricFamily(
            "checkout_request_duration_seconds",
            "From the arrival of a call to its answer, by operation and category of the answer",
            labels=("service", "operation", "code"),
        )
        for (operation, code), each in list(self._durations.items()):
            buckets, sum_s = each.buckets()
            family.add_metric((self._servico, operation, code), buckets, sum_s)
        yield family
        answered = CounterMetricFamily(
            "checkout_orders_answered",
            "Answers to creating and cancelling an order, by its status and reason",
            labels=("status", "reason"),
        )
        for (status, reason), count in list(self._orders.items()):
            answered.add_metric((status, reason), count)
        yield answered


class _Inside(Collector):
    """What is read of the service when somebody asks."""

    def __init__(self, servico: str, gauges: Gauges, loop: Callable[[], Lag] | None) -> None:
        self._servico = servico
        self._gauges = gauges
        self._loop = loop

    def collect(self) -> Iterator[Metric]:
        """The figures at this moment."""
        gauges = self._gauges
        yield self._gauge(
            "requests_in_flight", "Calls that it is working on", gauges.in_flight.total
        )
        writer = gauges.writer
        if writer is not None:
            yield self._gauge("storage_queue", "Units that wait for their batch", writer.queue)
            yield self._count("storage_batches", "Batches committed", writer.batches)
            yield self._count("storage_batch_units", "Units of work in them", writer.units)
            yield self._count("storage_commit_seconds", "Spent in commits", writer.commit_s)
        if self._loop is not None:
            lag = self._loop()
            yield self._gauge(
                "event_loop_lag_seconds", "How late the loop woke, mean of the last seconds",
                lag.mean_ms / 1e3,
            )  # fmt: skip
            yield self._gauge("event_loop_lag_max_seconds", "The same, at most", lag.max_ms / 1e3)
        pool = gauges.pool
        if pool is not None:
            yield self._gauge("workers", "Threads that serve", pool.workers)
            yield self._gauge("worker_queue", "Calls that wait for a worker", pool.waiting)
        places = gauges.places
        if places is not None:
            yield self._gauge("orders_driven", "Orders that hold a place", places.ativas)
            yield self._gauge("orders_waiting", "Orders that wait for a place", places.esperando)
        if gauges.retries is not None:
            yield self._count("retries", "Steps asked for again", gauges.retries())
        if gauges.closed:
            family = GaugeMetricFamily(
                "checkout_circuit_breaker_open", "1 while a neighbour is not called",
                labels=("service", "peer"),
            )  # fmt: skip
            for peer, closed in gauges.closed.items():
                family.add_metric((self._servico, peer), 0.0 if closed() else 1.0)
            yield family

    def _gauge(self, name: str, words: str, value: float) -> Metric:
        family = GaugeMetricFamily(f"checkout_{name}", words, labels=("service",))
        family.add_metric((self._servico,), value)
        return family

    def _count(self, name: str, words: str, value: float) -> Metric:
        family = CounterMetricFamily(f"checkout_{name}", words, labels=("service",))
        family.add_metric((self._servico,), value)
        return family
