"""Traces and metrics of real services: what a collector is sent, and what Prometheus reads."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

import run_all
from common.contratos import SERVICOS
from common.process.runfile import read_run
from common.telemetry.exporter import DISABLED, ENDPOINTS
from common.telemetry.logs import configure, entries, of_order
from common.telemetry.spans import CALLS
from tests.conftest import OpenCluster
from tests.support.cluster import CHAIN, Cluster
from tests.support.lancamento import comando, ler_ate, processo
from tests.support.otlp import Received, Receiver, receiving
from tests.support.panel_support import SOON_PAID

# The step by which an order comes to each service of the chain.
STEPS: Final = {
    servico: calls["p"] for servico, calls in zip(CHAIN[1:], CALLS.values(), strict=True)
}
SERVER: Final = 2
CLIENT: Final = 3
PARENT: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in (*ENDPOINTS, DISABLED):
        monkeypatch.delenv(name, raising=False)
    with receiving() as receiver:
        monkeypatch.setenv(ENDPOINTS[0], receiver.url)
        yield receiver


def check_tree(spans: list[Received], *, root: str = "") -> None:
    """One trace of one shipped order: five services, each called by the one above it."""
    ids = {span.span_id: span for span in spans}
    assert len(ids) == len(spans)
    servers = sorted(
        (span for span in spans if span.kind == SERVER), key=lambda span: span.start_ns
    )
    assert tuple(span.service for span in servers) == CHAIN
    assert servers[0].parent == root
    for above, below in pairwise(servers):
        call = ids[below.parent]
        assert (call.kind, call.service, call.parent) == (CLIENT, above.service, above.span_id)
        # The clock is the machine's: a hop lies within its caller's wait, but for the rounding.
        assert call.start_ns - 20_000 <= below.start_ns
        assert below.end_ns <= call.end_ns + 20_000
    for span in spans:
        assert span.start_ns <= span.end_ns
        if span.attributes.get("db.system.name") == "sqlite":
            assert span.attributes["db.namespace"] == f"{span.service}.db"
            assert ids[span.parent].service == span.service
    stored = {span.service for span in spans if "db.system.name" in span.attributes}
    assert stored == set(CHAIN)


async def test_every_order_of_a_sampled_run_is_one_whole_trace(
    open_fresh: OpenCluster, collector: Receiver
) -> None:
    async with open_fresh(trace_share=1.0) as cluster:
        before = time.time_ns()
        replies = await asyncio.gather(*(cluster.create() for _ in range(20)))
        orders = {reply.body["pedido_id"] for reply in replies}
    after = time.time_ns()
    traces = collector.traces()
    assert len(traces) == 20
    for spans in traces.values():
        check_tree(spans)
        assert before <= min(span.start_ns for span in spans)
        assert max(span.end_ns for span in spans) <= after
        assert not any(span.failed for span in spans)
    told = {span.attributes["checkout.order.id"] for span in collector.spans}
    assert told == orders
    assert collector.paths == {"/v1/traces"}


async def test_a_callers_trace_goes_on(open_fresh: OpenCluster, collector: Receiver) -> None:
    """Its trace, its span above ours; asked for, it is kept although no share is."""
    async with open_fresh(trace_share=0.0) as cluster:
        await cluster.create()
        await cluster.create(headers={"traceparent": PARENT})
    [(trace, spans)] = collector.traces().items()
    assert trace == PARENT.split("-")[1]
    check_tree(spans, root=PARENT.split("-")[2])
    assert spans[0].attributes["checkout.trace.kept"] == "asked"


async def test_what_failed_is_kept_and_a_hop_without_an_answer_is_missing(
    open_fresh: OpenCluster, collector: Receiver
) -> None:
    async with open_fresh(trace_share=0.0) as cluster:
        await cluster.create()
        await cluster.stop("fiscal")
        # Long enough to be registered on a busy machine; all of it is waited for.
        reply = await cluster.create(timeout_s=2.5)
        assert reply.body["status"] == "pendente"
    [spans] = collector.traces().values()
    missing = [span for span in spans if span.attributes.get("checkout.hop.missing")]
    assert missing
    assert {span.service for span in missing} <= {"fiscal", "pagamentos"}
    assert all(span.failed for span in missing)
    assert spans[0].attributes["checkout.trace.kept"] == "failed"


async def test_nothing_is_sent_unless_asked_for(
    open_fresh: OpenCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as receiver:
        monkeypatch.setenv(ENDPOINTS[0], receiver.url)
        monkeypatch.setenv(DISABLED, "true")
        async with open_fresh(trace_share=1.0) as cluster:
            await cluster.create()
        assert not receiver.spans


async def test_a_dead_collector_holds_up_no_stop_and_is_told_once(
    open_fresh: OpenCluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv(ENDPOINTS[0], f"http://127.0.0.1:{nobody.getsockname()[1]}")
        async with open_fresh(trace_share=1.0) as cluster:
            await asyncio.gather(*(cluster.create() for _ in range(5)))
            telemetry = cluster.apps["pedidos"].telemetry
            assert telemetry is not None
            start = time.monotonic()
            await asyncio.to_thread(telemetry.close)
            assert time.monotonic() - start < 2.0
    told = [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]
    assert len([record for record in told if "traces are lost" in record.getMessage()]) == 1
    assert not [record for record in told if record.name.startswith("opentelemetry")]


# --- metrics ------------------------------------------------------------------------------------


async def page(cluster: Cluster, servico: str) -> dict[str, list[Any]]:
    """The samples of a service's metrics by name, read by Prometheus' own parser."""
    telemetry = cluster.apps[servico].telemetry
    assert telemetry is not None
    address = telemetry.address or cluster.addresses[servico]
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://{address}/metrics") as answer,
    ):
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain")
        text = await answer.text()
    found: dict[str, list[Any]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


async def test_every_service_counts_its_calls(open_fresh: OpenCluster, arm: str) -> None:
    async with open_fresh(metrics_port=0) as cluster:
        for _ in range(3):
            await cluster.create()
        await cluster.create((10**6, 1))
        for servico in SERVICOS:
            samples = await page(cluster, servico)
            ended = {
                (each.labels["operation"], each.labels["code"]): each.value
                for each in samples["checkout_request_duration_seconds_count"]
            }
            if servico in CHAIN[1:]:
                assert ended[STEPS[servico], "ok"] == 3
            elif servico == "pedidos":
                assert ended["criar_pedido", "ok"] == 3
                assert ended["criar_pedido", "invalido"] == 1
            assert samples["checkout_requests_in_flight"][0].value == 0
            assert samples["process_resident_memory_bytes"][0].value > 10**6
            assert samples["checkout_storage_batches_total"][0].value > 0 or servico == "catalogo"
            assert ("checkout_event_loop_lag_seconds" in samples) == (not arm.endswith("threads"))
        answered = {
            (each.labels["status"], each.labels["reason"]): each.value
            for each in (await page(cluster, "pedidos"))["checkout_orders_answered_total"]
        }
        assert answered == {("enviado", ""): 3.0}


async def test_an_open_breaker_shows(open_fresh: OpenCluster) -> None:
    async with open_fresh(metrics_port=0) as cluster:
        await cluster.create()
        await cluster.stop("fiscal")
        for _ in range(3):
            await cluster.create(timeout_s=1.0)
        samples = await page(cluster, "estoque")
        [breaker] = samples["checkout_circuit_breaker_open"]
        assert (breaker.labels["peer"], breaker.value) == ("fiscal", 1.0)
        assert (await page(cluster, "pedidos"))["checkout_retries_total"][0].value > 0


# --- logs ---------------------------------------------------------------------------------------


async def test_the_log_tells_an_order_by_its_number(
    open_fresh: OpenCluster, tmp_path: Path
) -> None:
    """Kept orders leave a line with their trace and their timing; both lead to each other."""
    import logging

    root = logging.getLogger()
    before = list(root.handlers), root.level
    configure("pedidos", tmp_path)
    try:
        async with open_fresh(trace_share=1.0) as cluster:
            reply = await cluster.create()
    finally:
        for handler in set(root.handlers) - set(before[0]):
            root.removeHandler(handler)
            handler.close()
        root.setLevel(before[1])
    order = reply.body["pedido_id"]
    found = of_order(tmp_path, order)
    assert found
    assert found[0].pedido_id == order
    assert len(found[0].trace_id) == 32
    assert found[0].server_timing.startswith("pedidos;dur=")
    assert tuple(hop.service for hop in found[0].hops) == CHAIN
    assert {entry.level for entry in entries(tmp_path)} <= {"INFO", "WARNING"}
    assert of_order(tmp_path, order + 1) == []


def test_an_order_s_log_is_of_all_services_and_by_time(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One command for any order: kept or not its steps, of one that was kept its hops, too."""
    data_dir = tmp_path / "dados"
    command = comando("http", data_dir, *SOON_PAID, "--trace-share=0", f"--shop={shop}")
    with processo(sys.executable, "run_all.py", *map(str, command)) as running:
        ler_ate(running, "ready")
        address = read_run(data_dir).services["pedidos"].address
        orders = [_bought(address, headers) for headers in ({}, {"traceparent": PARENT})]
        running.terminate()
        running.wait(15)
    told = []
    for order in orders:
        assert run_all.main([f"--data-dir={data_dir}", f"--log={order}"]) == 0
        told.append([line.split(maxsplit=3) for line in capsys.readouterr().out.splitlines()])
    for lines in told:
        assert [line[0] for line in lines] == sorted(line[0] for line in lines)
        assert {line[1] for line in lines if line[2] == "STEP"} == set(CHAIN)
    plain, traced = told
    assert not [line for line in plain if line[2] != "STEP"]
    assert [line[1] for line in traced if line[2] == "HOP"] == list(CHAIN)
    assert all(PARENT[3:35] in line[3] for line in traced if line[2] in {"HOP", "INFO"})
    assert run_all.main([f"--data-dir={data_dir}", "--log=999999"]) == 2
    assert "knows an order 999999" in capsys.readouterr().err
    assert run_all.main([f"--data-dir={data_dir}", "--log=1"]) == 2
    assert "imported past" in capsys.readouterr().err
    # A book that cannot be read takes its steps away, not what was logged.
    (data_dir / "fiscal.db").unlink()
    assert run_all.main([f"--data-dir={data_dir}", f"--log={orders[1]}"]) == 2
    out, err = capsys.readouterr()
    assert "HOP" in out
    assert "fiscal.db" in err


def _bought(address: str, headers: dict[str, str]) -> int:
    answer = requests.post(
        f"http://{address}/pedidos",
        json={
            "cliente_id": 1,
            "itens": [{"produto_id": 1, "quantidade": 1}],
            "metodo_pagamento": "boleto",
        },
        headers=headers,
        timeout=15,
    )
    assert answer.json()["status"] == "enviado"
    number: int = answer.json()["pedido_id"]
    return number
