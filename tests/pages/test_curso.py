"""Flaws of the course's samples that no other test guards; docs/course-flaws.md names each."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import grpc.aio
import pytest

from common import ROOT
from common.arms import MODES
from common.options import parse_service
from common.process.preflight import DATABASES
from common.settings import Settings
from tests.support.cluster import Cluster, open_cluster
from wire.grpc.options import SERVIDOR

# ISO 8601 in UTC, with milliseconds.
INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00")
# The column by which a table knows an order; the others have `pedido_id`.
ORDER_COLUMN: Final = {"pedidos": "id", "cobrancas": "chave"}


async def test_o_pagamento_que_espera_nao_ocupa_quem_trabalha(shop: Path, tmp_path: Path) -> None:
    """Fifty payments of 0.8 s end together, in less than a pool of ten threads would need."""
    latency = {"payment_latency": (0.8, 0.8)}
    async with open_cluster("grpc", tmp_path, shop, **latency) as cluster:
        start = time.monotonic()
        replies = await asyncio.gather(*(cluster.create() for _ in range(50)))
        took_s = time.monotonic() - start
    assert {reply.body["status"] for reply in replies} == {"enviado"}
    assert took_s < 50 / 10 * 0.8


async def test_todo_instante_e_iso_em_utc(shop: Path, tmp_path: Path) -> None:
    """Every instant that an order leaves in a database is ISO 8601 text in UTC."""
    async with open_cluster("http", tmp_path, shop) as cluster:
        pedido_id = (await cluster.create()).body["pedido_id"]
        instants = {
            (nome, tabela): _instants(cluster, nome, tabela, pedido_id)
            for nome in DATABASES
            for (tabela,) in cluster.rows(nome, "SELECT name FROM sqlite_master WHERE type='table'")
        }
    found = {where: values for where, values in instants.items() if values}
    assert {nome for nome, _ in found} == set(DATABASES) - {"catalogo"}
    for where, values in found.items():
        for value in values:
            assert INSTANT.fullmatch(value), where


def _instants(cluster: Cluster, nome: str, tabela: str, pedido_id: int) -> list[str]:
    """What a table holds of an order in its columns of instants."""
    columns = [
        column
        for (column,) in cluster.rows(nome, f"SELECT name FROM pragma_table_info('{tabela}')")
    ]
    key = ORDER_COLUMN.get(tabela, "pedido_id")
    instants = [name for name in columns if name == "instante" or name.startswith("data_")]
    if key not in columns or not instants:
        return []
    wanted = f"pedido-{pedido_id}" if key == "chave" else pedido_id
    rows = cluster.rows(nome, f"SELECT {', '.join(instants)} FROM {tabela} WHERE {key} = ?", wanted)
    return [value for row in rows for value in row if value is not None]


@pytest.mark.parametrize("mode", MODES)
def test_servico_escuta_so_na_propria_maquina(mode: str, tmp_path: Path) -> None:
    """Nobody on the network reaches a service that was not told to let them."""
    assert Settings(servico="pedidos", data_dir=tmp_path).host == "127.0.0.1"
    assert parse_service(mode, ["pedidos"]).host == "127.0.0.1"


async def test_a_porta_de_um_servidor_grpc_nao_se_partilha() -> None:
    """A second server on the port of a first is refused, not given half of its calls."""
    first, second = grpc.aio.server(options=SERVIDOR), grpc.aio.server(options=SERVIDOR)
    port = first.add_insecure_port("127.0.0.1:0")
    await first.start()
    with pytest.raises(RuntimeError, match="Failed to bind"):
        second.add_insecure_port(f"127.0.0.1:{port}")
    await second.stop(None)
    await first.stop(None)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_todo_pacote_tem_versao_exata(name: str) -> None:
    """Every package is asked for in one version: what works today works tomorrow."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    packages = [line for line in lines if line and not line.startswith(("#", "-r "))]
    assert packages
    assert [line for line in packages if not re.match(r"[\w.-]+==\d", line)] == []


def test_codigo_gerado_esta_em_dia() -> None:
    """The committed modules are those that the .proto files give."""
    checked = subprocess.run(
        [sys.executable, "-m", "proto.generate", "--check"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr
