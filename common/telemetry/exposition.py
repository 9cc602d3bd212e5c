"""The meters in Prometheus' form, and answers on a port for services that do not speak HTTP.

Names and units follow its conventions (https://prometheus.io/docs/practices/naming/). The process's
own figures (`process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds`) are
the client library's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from itertools import accumulate
from socket import socket
from socketserver import BaseServer
from typing import Any, Final, cast
from urllib.parse import urlsplit

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

from common.callers import Hosts
from common.erros import STATUS_HTTP
from common.telemetry.meters import BOUNDS_S, CONTENT_TYPE, Meters

# Bytes of a body that is read and left; a longer one ends the connection.
BODY_MAX: Final = 1 << 16

_LOG = logging.getLogger(__name__)

_BOUNDS: Final = (*map(floatToGoString, BOUNDS_S), "+Inf")


def renderer(meters: Meters) -> Callable[[], bytes]:
    """Gives the page of a service's metrics as they are at that moment."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(_Calls(meters))
    registry.register(_Inside(meters))
    return partial(generate_latest, registry)


class _Calls(Collector):
    """The durations of all calls so far, and how orders were answered."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters

    def collect(self) -> Iterator[Metric]:
        """A family each; durations by operation and code."""
        meters = self._meters
        family = HistogramMetricFamily(
            "checkout_request_duration_seconds",
            "From the arrival of a call to its answer, by operation and category of the answer",
            labels=("service", "operation", "code"),
        )
        for (operation, code), each in meters.calls().items():
            counts, sum_s = each.counts()
            # As Prometheus counts: up to each bound, those of the bounds before included.
            buckets = list(zip(_BOUNDS, map(float, accumulate(counts)), strict=True))
            family.add_metric((meters.servico, operation, code), buckets, sum_s)
        yield family
        answered = CounterMetricFamily(
            "checkout_orders_answered",
            "Answers to creating and cancelling an order, by its status and reason",
            labels=("status", "reason"),
        )
        for (status, reason), count in meters.orders().items():
            answered.add_metric((status, reason), count)
        yield answered


class _Inside(Collector):
    """The figures that are read of the service when somebody asks."""

    def __init__(self, meters: Meters) -> None:
        self._servico = meters.servico
        self._meters = meters

    def collect(self) -> Iterator[Metric]:
        """The figures at this moment."""
        meters = self._meters
        yield self._gauge(
            "requests_in_flight", "Calls that it is working on", meters.in_flight.total
        )
        writer = meters.writer
        if writer is not None:
            yield self._gauge("storage_queue", "Units that wait for their batch", writer.queue)
            yield self._count("storage_batches", "Batches committed", writer.batches)
            yield self._count("storage_batch_units", "Units of work in them", writer.units)
            yield self._count("storage_commit_seconds", "Spent in commits", writer.commit_s)
        if meters.lag is not None:
            lag = meters.lag.recent()
            yield self._gauge(
                "event_loop_lag_seconds", "How late the loop woke, mean of the last seconds",
                lag.mean_ms / 1e3,
            )  # fmt: skip
            yield self._gauge("event_loop_lag_max_seconds", "The same, at most", lag.max_ms / 1e3)
        pool = meters.pool
        if pool is not None:
            yield self._gauge("workers", "Threads that serve", pool.workers)
            yield self._gauge("worker_queue", "Calls that wait for a worker", pool.waiting)
        places = meters.places
        if places is not None:
            yield self._gauge("orders_driven", "Orders that hold a place", places.driven)
            yield self._gauge("orders_waiting", "Orders that wait for a place", places.waiting)
        if meters.retries is not None:
            yield self._count("retries", "Steps asked for again", meters.retries())
        if meters.closed:
            family = GaugeMetricFamily(
                "checkout_circuit_breaker_open", "1 while a neighbour is not called",
                labels=("service", "peer"),
            )  # fmt: skip
            for peer, closed in meters.closed.items():
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


class _Asked(BaseHTTPRequestHandler):
    """Answers one connection; the metrics are at /metrics, and nothing else is anywhere."""

    protocol_version = "HTTP/1.1"
    # Seconds that a connection may stand idle: a scraper keeps its own for the next time.
    timeout = 75.0
    # Or the second of two small writes would wait for the other side to acknowledge the first.
    disable_nagle_algorithm = True

    def __init__(
        self, connection: socket, address: Any, page: Callable[[], bytes], hosts: Hosts
    ) -> None:
        self._page = page
        self._hosts = hosts
        # The handler wants a server and asks it nothing: there is none.
        super().__init__(connection, address, cast("BaseServer", None))

    def do_GET(self) -> None:
        """Answer a question."""
        self._leave_body()
        sent = self.headers.get
        refusal = self._hosts.refusal(sent("Host"), sent("Origin"), sent("Sec-Fetch-Site"))
        if refusal is not None:
            self.send_error(STATUS_HTTP[refusal.categoria], explain=refusal.detalhe)
            return
        if urlsplit(self.path).path != "/metrics":
            self.send_error(HTTPStatus.NOT_FOUND, explain="the metrics are at /metrics")
            return
        try:
            page = self._page()
        except Exception:
            _LOG.exception("the metrics could not be read")
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, explain="the log says why")
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page)

    def _leave_body(self) -> None:
        """A body means nothing here, and must not be taken for the next question."""
        length = self.headers.get("Content-Length", "0")
        if (
            length.isdecimal()
            and int(length) <= BODY_MAX
            and "Transfer-Encoding" not in self.headers
        ):
            self.rfile.read(int(length))
        else:
            self.close_connection = True

    def do_HEAD(self) -> None:
        """Answer the same, without the page."""
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        """Nothing: a scrape is no event."""


def answer(connection: socket, address: Any, page: Callable[[], bytes], hosts: Hosts) -> None:
    """Answer one connection until its other end leaves; only pages of one of the `hosts` may ask."""
    with connection:
        _Asked(connection, address, page, hosts)
