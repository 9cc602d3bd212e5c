"""The timing record: where the time of an order went, hop by hop."""

from __future__ import annotations

import itertools
import re

import pytest

from tests.cluster import CHAIN, Cluster
from tests.conftest import OpenCluster

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
    latency = {"payment_latency_min_s": 0.1, "payment_latency_max_s": 0.1}
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
    """A cancelling call down the chain grows the same record."""
    reply = await cluster.edge.call("cancelar_pagamento", {"pedido_id": 400_000})
    assert tuple(_parse(reply.headers["server-timing"])) == CHAIN[1:]
