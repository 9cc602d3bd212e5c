"""Builds that are known to be bad: the auditor reports them, by name and with the whole story."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import closing
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import pytest
from rich.console import Console

from common import contratos as c
from common.audit import AuditReport, audit, exit_code, print_report
from common.servicos.protocolo.contexto import Contexto
from loadgen.chaos import cli
from loadgen.chaos.customers.customer import Customer
from loadgen.chaos.soak import schedule, soak
from loadgen.workload.history import History
from tests.support.bad_builds import DEDUPLICATION_OFF, TOMBSTONE_OFF, bad_build, environment
from tests.support.chain import CHAIN, FORWARD, basket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.conftest import OpenCluster
    from tests.support.cluster import Cluster

# Seconds. Nobody here waits so long.
PATIENCE_S: Final = 10.0


class Shop(NamedTuple):
    """A cluster and a customer of it who keeps a history."""

    cluster: Cluster
    customer: Customer

    async def buy(self, key: str) -> c.PedidoResponse:
        """Order one unit and wait for the order's end."""
        request = msgspec.convert(basket(), c.CriarPedidoRequest)
        until = asyncio.get_running_loop().time() + PATIENCE_S
        answer = await self.customer.buy(0, key, request, until=until)
        assert answer is not None
        return answer


async def _reply_lost(shop: Shop) -> list[int]:
    """Logistica's answer is lost on its way, and the whole chain is asked again."""
    shop.cluster.link("logistica").lose_reply("agendar_envio", times=1)
    return [(await shop.buy("asked again")).pedido_id]


async def _cancelled_meanwhile(shop: Shop) -> list[int]:
    """Orders held on their way to a hop are cancelled, and then arrive there."""
    struck = []
    # Not at Pagamentos: there the gateway, which is not ours, would refuse the late charge.
    for service in CHAIN[2:]:
        link, operation = shop.cluster.link(service), FORWARD[service]
        gate = link.hold("before", operation, times=1)
        buying = asyncio.create_task(shop.buy(f"late at {service}"))
        await gate.reached()
        struck.append(shop.cluster.last())
        await shop.customer.cancel(1, f"late at {service}", struck[-1])
        assert (await buying).motivo == "solicitado"
        # A message has no caller any more: only some transports would call the held one off.
        late = next(call.request for call in link.calls if call.request.pedido_id == struck[-1])
        await getattr(shop.cluster.client(service), operation)(Contexto(), late)
        gate.open()
        await shop.cluster.quiet()
    return struck


class Build(NamedTuple):
    """A bad build, what brings its damage about, and the rules that must report it."""

    name: str
    provoke: Callable[[Shop], Awaitable[list[int]]]
    damage: Callable[[Cluster, int], bool]
    rules: set[str]


def _taken_twice(cluster: Cluster, pedido_id: int) -> bool:
    held = cluster.situation(pedido_id)
    charges = "SELECT sum(cobrado_centavos) FROM cobrancas WHERE chave GLOB ?"
    charged = cluster.value("gateway", charges, f"pedido-{pedido_id}*")
    return (held.retirado, held.envios, charged) == (2, 2, 2 * held.cobrado)


def _shipped_though_cancelled(cluster: Cluster, pedido_id: int) -> bool:
    held = cluster.situation(pedido_id)
    return (held.status, held.envios, held.liquido) == ("cancelado", 1, 0)


BUILDS: Final = (
    Build(
        DEDUPLICATION_OFF,
        _reply_lost,
        _taken_twice,
        {
            *(f"documents-{service}" for service in ("pagamentos", "fiscal", "logistica")),
            *(f"log-{service}" for service in CHAIN[1:]),
            *("stock-ledger", "money-sums", "orphans", "summary", "document-values"),
            *("schema", "request-hashes", "instants"),
        },
    ),
    Build(
        TOMBSTONE_OFF,
        _cancelled_meanwhile,
        _shipped_though_cancelled,
        {"cancelled", "fences", "money-sums", "reason"},
    ),
)


def _red(report: AuditReport) -> set[str]:
    return {check.id for check in report.checks if check.total}


def _printed(report: AuditReport) -> str:
    out = io.StringIO()
    print_report(report, Console(file=out, width=200))
    return out.getvalue()


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.name)
@pytest.mark.parametrize("bad", [True, False], ids=["bad", "good"])
async def test_a_bad_build_is_reported_with_the_story_of_its_orders(
    open_fresh: OpenCluster, tmp_path: Path, build: Build, bad: bool
) -> None:
    """The same orders, the same faults: reported of the bad build, clean of the good one."""
    path = tmp_path / "history.jsonl"
    with closing(History(path)) as history, bad_build(build.name if bad else ""):
        async with open_fresh() as cluster:
            client = cluster.client("pedidos")
            customer = Customer(client, history, attempt_s=PATIENCE_S, seed=1)
            struck = await build.provoke(Shop(cluster, customer))
            damaged = [pedido_id for pedido_id in struck if build.damage(cluster, pedido_id)]
            data_dir = cluster.data_dir
    report = audit(data_dir, history=path, settled=True, complete=True)
    text = _printed(report)
    if not bad:
        assert not damaged
        assert _red(report) == set(), text
        assert exit_code(report) == 0
        return
    assert damaged == struck
    assert _red(report) == build.rules, text
    assert exit_code(report) == 1
    for pedido_id in struck:
        (story,) = [each for each in report.dossiers if each.pedido_id == pedido_id]
        assert {event.servico for event in story.events} == set(CHAIN)
        assert any("invoke criar_pedido" in line for line in story.client)
        assert any("ok criar_pedido" in line for line in story.client)
        keys = f"chave = 'pedido-{pedido_id}' OR chave GLOB 'pedido-{pedido_id}-*'"
        charges = cluster.rows("gateway", f"SELECT chave FROM cobrancas WHERE {keys}")
        assert sum(fact.startswith("gateway: ") for fact in story.facts) == len(charges) > 0
        assert f"order {pedido_id}: " in text
        for event in story.events:
            assert f"{event.servico}: {event.text}" in text
        for line in (*story.facts, *story.client):
            assert line in text


class Attack(NamedTuple):
    """A soak of a bad build: its fault, and rules that are sure to report it."""

    build: str
    mode: str
    fault: str
    rules: set[str]


# On REST a step goes on though its caller has left, so there late ones are sure.
ATTACKS: Final = (
    Attack(
        DEDUPLICATION_OFF,
        "grpc",
        "cut",
        {"documents-logistica", "stock-ledger", "orphans", "money-sums"},
    ),
    Attack(TOMBSTONE_OFF, "http", "slow", {"cancelled", "reason", "money-sums"}),
)
# Under this seed the one strike comes at once, at Fiscal: it loses the replies to it, or is slow.
SEED: Final = 73


@pytest.mark.timeout(60)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.build)
def test_a_soak_of_a_bad_build_ends_with_a_violation(
    attack: Attack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The soak can fail: real processes of a bad build, exit code 1, and the evidence kept."""
    (strike,) = schedule.schedule((attack.fault,), 1, 1.5, SEED)
    assert (strike.service, strike.rules[0].point) in {("fiscal", "P3"), ("fiscal", "P0")}
    for name, value in environment(attack.build).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(soak, "CALM_S", 1.0)
    monkeypatch.setattr(schedule, "CANCELLED_SHARE", 0.5)
    file = tmp_path / "soak.json"
    code = cli.main(
        [
            f"--mode={attack.mode}", f"--faults={attack.fault}", "--kills=1", "--duration=1.5",
            "--concurrency=20", f"--seed={SEED}", f"--data-dir={tmp_path}", f"--json={file}",
        ]
    )  # fmt: skip
    words = capsys.readouterr()
    assert code == cli.EXIT_VIOLATION, words.out + words.err
    (result,) = json.loads(file.read_text())
    red = {check["id"] for check in result["audit"]["checks"] if check["total"]}
    assert red >= attack.rules, words.out
    assert all(f"\n{rule}: " in words.out for rule in attack.rules)
    story = result["audit"]["dossiers"][0]
    assert {event["servico"] for event in story["events"]} == set(CHAIN)
    assert story["client"]
    (kept,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert f"the data are in {kept}" in words.err
    again = audit(kept / "dados", history=kept / "history.jsonl", settled=True, complete=True)
    assert _red(again) == red
