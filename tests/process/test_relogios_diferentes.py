"""Services whose wall clocks differ: orders end as ever, for no deadline is read from one."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

import pytest

from common.audit import audit
from tests.support.processes import Process

if TYPE_CHECKING:
    from tests.conftest import OpenCluster

pytestmark = pytest.mark.asyncio(loop_scope="module")

# By how many seconds the clock of a service is off, against those of the others.
OFF = {
    "grpc": {"estoque": 3_600, "pedidos": -90},
    "http": {"pagamentos": -3_600, "fiscal": 90},
    "grpc-threads": {"logistica": -3_600, "pagamentos": 90},
    "http-threads": {"fiscal": 3_600, "pedidos": -90},
}


@cache
def faked() -> dict[str, str]:
    """What a process needs in its environment to have another wall clock, and the same monotonic one."""
    command = shutil.which("faketime")
    if command is None:
        pytest.skip("needs the library faketime, as its Debian package installs it")
    told = subprocess.run(
        [command, "-m", "-f", "+0s", "env"], capture_output=True, text=True, check=True
    ).stdout
    library = dict(line.split("=", 1) for line in told.splitlines())["LD_PRELOAD"]
    return {"LD_PRELOAD": library, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


async def test_um_servico_com_outra_hora(arm: str, open_fresh: OpenCluster) -> None:
    """A service may be minutes or an hour ahead of the others or behind them."""
    async with open_fresh() as cluster, AsyncExitStack() as stack:
        for servico, seconds in OFF[arm].items():
            await cluster.stop(servico)
            hour = faked() | {"FAKETIME": f"{seconds:+d}s"}
            process = await Process.start(cluster, servico, environment=hour)
            stack.push_async_callback(process.kill)
        for _ in range(2):
            reply = await cluster.create(headers={"x-timeout-ms": "10000"})
            assert reply.body["status"] == "enviado"
            cluster.check_shipped(reply.body["pedido_id"])
        for servico, seconds in OFF[arm].items():
            noted = cluster.value(servico, "SELECT max(instante) FROM transicoes")
            off = datetime.fromisoformat(noted) - datetime.now(UTC)
            assert off.total_seconds() == pytest.approx(seconds, abs=10)
        await cluster.quiet()
        report = audit(cluster.data_dir, settled=True)
        assert [check.id for check in report.checks if check.total] == []
