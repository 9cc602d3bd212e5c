"""The timing record: where the time of an order went, hop by hop."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from typing import TYPE_CHECKING

import pytest

from common.arms import LOOP_ARMS, THREAD_ARMS
from common.servicos.protocolo.record import decode, figures, server_timing
from tests.support.chain import CHAIN

if TYPE_CHECKING:
    from tests.conftest import OpenCluster
    from tests.support.cluster import Cluster
    from tests.support.edges import Reply

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = ("dur", "fila", "banco", "commit", "gateway", "proximo")
# A time of nothing need not be said.
ENTRY = re.compile("^[a-z]+" + "".join(rf"(;{name}=[0-9]+\.[0-9]{{1,6}})?" for name in NAMES) + "$")
# Milliseconds. Two clocks are read at different moments of the same hop.
SLACK_MS = 1.0


def _parse(record: str) -> dict[str, dict[str, float]]:
    entries = {}
    for entry in record.split(", "):
        assert ENTRY.match(entry)
        name, *pairs = entry.split(";")
        said = {key: float(value) for key, value in (pair.split("=") for pair in pairs)}
        assert "dur" in said
        entries[name] = dict.fromkeys(NAMES, 0.0) | said
    return entries


async def test_o_registro_tem_os_cinco_saltos_em_ordem(cluster: Cluster) -> None:
    """Every hop of the chain answers with its own entry in front of those below."""
    reply = await cluster.create()
    assert tuple(_parse(reply.headers["server-timing"])) == CHAIN


async def test_cada_salto_dura_menos_que_o_de_cima(cluster: Cluster) -> None:
    """A hop's time holds its parts, and the next hop's time lies within its own."""
    entries = _parse((await cluster.create()).headers["server-timing"])
    for above, below in itertools.pairwise(CHAIN):
        assert entries[below]["dur"] <= entries[above]["proximo"] + SLACK_MS
        assert entries[above]["proximo"] <= entries[above]["dur"] + SLACK_MS
    for entry in entries.values():
        parts = entry["fila"] + entry["banco"] + entry["gateway"] + entry["proximo"]
        assert parts <= entry["dur"] + SLACK_MS
        assert 0 < entry["commit"] <= entry["banco"] + SLACK_MS
    assert entries["logistica"]["proximo"] == 0


async def test_a_espera_do_pagamento_aparece_como_gateway(open_fresh: OpenCluster) -> None:
    """The gateway's latency is Pagamentos' gateway time and everybody else's waiting."""
    latency = {"payment_latency": (0.1, 0.1)}
    async with open_fresh(**latency) as cluster:
        entries = _parse((await cluster.create()).headers["server-timing"])
        assert entries["pagamentos"]["gateway"] >= 100
        assert entries["pedidos"]["proximo"] >= 100
        assert entries["estoque"]["dur"] <= entries["pagamentos"]["dur"] - 100 + SLACK_MS


async def test_consultas_e_erros_tambem_tem_registro(cluster: Cluster) -> None:
    """Every answer says its own time, also a lookup's and an error's."""
    for pedido_id in (1, 999_999):
        reply = await cluster.edge.call("consultar_pedido", {"pedido_id": pedido_id})
        assert tuple(_parse(reply.headers["server-timing"])) == ("pedidos",)


async def test_cancelar_tambem_conta_os_cinco_saltos(cluster: Cluster) -> None:
    """A cancelling call down the chain grows the same record, in the form between services."""
    reply = await cluster.edge.call("cancelar_pagamento", {"pedido_id": 400_000})
    assert tuple(hop.service for hop in decode(reply.headers["timing-record"])) == CHAIN[1:]
    assert "server-timing" not in reply.headers


# --- an order that is asked to tell its time in full ----------------------------------------------

FULL = {"x-timing": "full"}
OWN = ("fila", "espera", "trabalho", "banco", "gateway", "proximo")
# Share of an order that may be unaccounted for: the bar, and beside it what the clocks of a busy
# test machine are allowed.
RESIDUAL_MAX = 0.05


def _full(reply: Reply) -> dict[str, dict[str, float]]:
    """Every entry of a full record, with all that an entry must say."""
    hops = decode(reply.headers["timing-record"])
    assert server_timing(hops) == reply.headers["server-timing"]
    entries = {hop.service: figures(hop) for hop in hops}
    for entry in entries.values():
        assert {"dur", "em", "espera", "trabalho"} <= entry.keys()
        assert (entry.get("proximo", 0.0) > 0) == ("saida" in entry)
    return entries


def _residual(entry: dict[str, float]) -> float:
    return entry["dur"] - sum(entry.get(part, 0.0) for part in OWN)


async def test_so_a_amostra_conta_tudo(cluster: Cluster) -> None:
    """The five hops tell their time in full when they are asked, and not of the next order."""
    reply = await cluster.create(headers=FULL)
    assert tuple(_full(reply)) == CHAIN
    plain = (await cluster.create()).headers
    assert "trabalho" not in plain["server-timing"]
    assert "timing-record" not in plain
    assert tuple(_parse(plain["server-timing"])) == CHAIN


async def test_pedir_outra_coisa_nao_muda_o_registro(cluster: Cluster) -> None:
    """A word that asks for nothing known is ignored."""
    reply = await cluster.create(headers={"x-timing": "everything"})
    assert tuple(_parse(reply.headers["server-timing"])) == CHAIN


async def test_sob_carga_as_partes_somam_o_salto(cluster: Cluster) -> None:
    """With many orders under way the parts of each hop sum to its time, and the hops nest."""
    # Priced once: a wait for the catalogue is no part of an order's.
    await cluster.create()
    replies = await asyncio.gather(*(cluster.create(headers=FULL) for _ in range(40)))
    for reply in replies:
        entries = _full(reply)
        whole = entries["pedidos"]["dur"]
        assert sum(abs(_residual(entry)) for entry in entries.values()) <= RESIDUAL_MAX * whole
        for above, below in itertools.pairwise(CHAIN):
            one, other = entries[above], entries[below]
            assert other["em"] >= one["saida"] - SLACK_MS
            assert other["em"] + other["dur"] <= one["em"] + one["dur"] + SLACK_MS
        assert all(entry["banco"] > 0 and entry["trabalho"] > 0 for entry in entries.values())
    assert any(entry["espera"] > 1 for entry in entries.values())


@pytest.mark.parametrize("arm", THREAD_ARMS, scope="module")
async def test_quem_espera_por_um_trabalhador_espera(open_fresh: OpenCluster) -> None:
    """On threads, an order that finds every worker taken waits to run until one is free."""
    latency = {"payment_latency": (0.1, 0.1)}
    async with open_fresh(workers=1, **latency) as cluster:
        # Priced once, so that no order waits for prices.
        await cluster.create()
        replies = await asyncio.gather(*(cluster.create(headers=FULL) for _ in range(2)))
        records = [_full(reply) for reply in replies]
        second = max(records, key=lambda entries: entries["pedidos"]["espera"])
        assert second["pedidos"]["espera"] >= 90
        assert second["pedidos"].get("fila", 0.0) < 10
        assert 99 <= second["pagamentos"]["gateway"] < 130
        for entry in second.values():
            assert abs(_residual(entry)) <= RESIDUAL_MAX * second["pedidos"]["dur"]


@pytest.mark.parametrize("arm", LOOP_ARMS, scope="module")
async def test_laco_ocupado_e_espera_e_nao_pagamento(open_fresh: OpenCluster) -> None:
    """While the loop is held, an order whose payment is due waits to run; the payment is as long."""
    latency = {"payment_latency": (0.1, 0.1)}
    async with open_fresh(**latency) as cluster:
        placing = asyncio.create_task(cluster.create(headers=FULL))
        gateway = cluster.gateway
        async with asyncio.timeout(5):
            while gateway.count("cobrar") == 0:
                await asyncio.sleep(0.001)
        time.sleep(0.2)
        entry = _full(await placing)["pagamentos"]
        assert 99 <= entry["gateway"] < 130
        assert entry["espera"] >= 80
        assert abs(_residual(entry)) <= RESIDUAL_MAX * entry["dur"]


async def test_repetir_a_chave_tambem_conta_por_inteiro(cluster: Cluster) -> None:
    """A retry that finds its order ended tells its own hop, with nothing missing."""
    await cluster.create(key="amostra-repetida")
    reply = await cluster.create(key="amostra-repetida", headers=FULL)
    (entry,) = _full(reply).values()
    assert abs(_residual(entry)) <= RESIDUAL_MAX * entry["dur"] + SLACK_MS


async def test_a_fila_de_admissao_aparece_na_amostra(open_fresh: OpenCluster) -> None:
    """An order that waits for a place has that wait in `fila`, and its parts still sum."""
    latency = {"payment_latency": (0.1, 0.1)}
    async with open_fresh(active_max=1, **latency) as cluster:
        # Priced once, so that no order waits for prices.
        await cluster.create()
        replies = await asyncio.gather(*(cluster.create(headers=FULL) for _ in range(2)))
        entries = [_full(reply)["pedidos"] for reply in replies]
        second = max(entries, key=lambda entry: entry.get("fila", 0.0))
        assert second["fila"] >= 90
        assert abs(_residual(second)) <= RESIDUAL_MAX * second["dur"]
