"""The wall clock jumps: an order ends as it would have, whole, and once."""

from __future__ import annotations

import time
from datetime import datetime, tzinfo
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from common.audit import audit
from common.runtime import execution

if TYPE_CHECKING:
    from tests.conftest import OpenCluster
    from tests.support.cluster import Cluster

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY_S = 86_400.0


class Wall:
    """Every service's wall clock: the machine's and an offset, which may jump at a reading."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = time.time
        self.offset_s = 0.0
        self._left: int | None = None
        self._jump_s = 0.0
        # Theirs alone: a transport that reckons with the machine's clock is not to be misled.
        clocks = SimpleNamespace(**(vars(time) | {"time": self.read}))
        monkeypatch.setattr(execution, "time", clocks)
        monkeypatch.setattr(execution, "datetime", self)

    def read(self) -> float:
        """Seconds since 1970, as every service believes."""
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                self._left = None
                self.offset_s += self._jump_s
        return self._real() + self.offset_s

    def now(self, zone: tzinfo) -> datetime:
        """As the class `datetime` has it."""
        return datetime.fromtimestamp(self.read(), zone)

    def jump_after(self, readings: int, seconds: float) -> None:
        """Jump once, when it has been read so many times."""
        self._left, self._jump_s = readings, seconds

    def jumped(self) -> bool:
        """True when the jump has happened; it does not any more."""
        left, self._left = self._left, None
        return left is None


def _audited(cluster: Cluster) -> list[str]:
    report = audit(cluster.data_dir, settled=True)
    return [check.id for check in report.checks if check.total]


async def test_o_relogio_pula_onde_quer_que_seja_lido(
    open_fresh: OpenCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day forward and a day back, at each of the readings that an order comes by."""
    wall = Wall(monkeypatch)
    async with open_fresh(stock=1_000) as cluster:
        await cluster.create()
        reading = 0
        jumped = True
        while jumped:
            for jump_s in (DAY_S, -DAY_S):
                wall.jump_after(reading, jump_s)
                reply = await cluster.create()
                jumped = wall.jumped()
                assert reply.body["status"] == "enviado", (reading, jump_s, reply)
                cluster.check_shipped(reply.body["pedido_id"])
            reading += 1
        # Only to write when something happened: no deadline is read from it.
        assert reading > 5
        await cluster.quiet()
        cluster.check_books()
        assert cluster.orders() == 1 + 2 * reading
        assert _audited(cluster) == []


@pytest.mark.parametrize("ahead_s", [0.0, 2 * DAY_S])
async def test_o_relogio_pula_com_um_pedido_aberto(
    open_fresh: OpenCluster, monkeypatch: pytest.MonkeyPatch, ahead_s: float
) -> None:
    """No age is read from it: an order that was left open is not given up because it jumped."""
    wall = Wall(monkeypatch)
    wall.offset_s = DAY_S
    async with open_fresh() as cluster:
        cluster.link("estoque").cut()
        pedido_id = (await cluster.create()).body["pedido_id"]
        await cluster.idle()
        cluster.link("estoque").heal()
        wall.offset_s = ahead_s
        assert (await cluster.end_of(pedido_id))["status"] == "enviado"
        cluster.check_shipped(pedido_id)
        assert _audited(cluster) == []
