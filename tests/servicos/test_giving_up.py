"""Giving up: an order is cancelled by the service itself only when it was tried, for long enough."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from common.servicos.pedidos import livro
from common.servicos.pedidos.recuperacao import Politica
from common.servicos.pedidos.retentativa import DRIVE_CALLS_MAX
from common.storage.files import database_path
from tests.support.chain import FORWARD
from tests.support.recovery_support import left_open, stuck
from tests.support.units import decided

if TYPE_CHECKING:
    from tests.conftest import OpenCluster

pytestmark = pytest.mark.asyncio(loop_scope="module")


class _Closed:
    """A way down the chain by which no call would be made."""

    def free(self) -> bool:
        return False

    async def wait(self, ate: float) -> bool:
        return False


async def test_pedido_velho_e_cancelado_como_expirado(open_fresh: OpenCluster) -> None:
    """Tried often enough for long enough, an open order is cancelled, with the reason expirado."""
    async with open_fresh(give_up_age_s=0.0, circuit_breaker=False) as cluster:
        cluster.link("logistica").cut(FORWARD["logistica"])
        pedido_id = (await cluster.create()).body["pedido_id"]
        order = await cluster.terminal(pedido_id)
        cluster.link("logistica").heal()
        await cluster.quiet()
        assert (order["status"], order["motivo"]) == ("cancelado", "expirado")
        cluster.check_cancelled(pedido_id, "expirado")


async def test_an_order_is_not_given_up_before_its_age_however_often_it_was_tried(
    open_fresh: OpenCluster,
) -> None:
    """Short of the give-up age an open order goes forward."""
    async with open_fresh(give_up_age_s=60.0, circuit_breaker=False) as cluster:
        attempts = 2 * Politica().tentativas_desistencia
        cluster.link("pagamentos").cut(times=attempts * DRIVE_CALLS_MAX)
        pedido_id = (await cluster.create()).body["pedido_id"]
        assert (await cluster.end_of(pedido_id))["status"] == "enviado"
        assert cluster.link("pagamentos").count("cancelar_pagamento") == 0


@pytest.mark.parametrize("tried", [False, True])
async def test_an_order_that_was_hardly_tried_is_not_given_up_whatever_its_age(
    open_fresh: OpenCluster, *, tried: bool
) -> None:
    """An outage is no reason to cancel: what lay in the book meanwhile is tried, and shipped."""
    async with open_fresh(give_up_age_s=0.0, circuit_breaker=False) as cluster:
        attempts = Politica().tentativas_desistencia - 1 if tried else 1
        cluster.link("pagamentos").cut(times=attempts * DRIVE_CALLS_MAX)
        ids = [(await cluster.create()).body["pedido_id"]]
        for _ in range(attempts - 1):
            assert await cluster.sweep() == 1
            await cluster.idle()
        if not tried:
            # A new process knows of no attempt, and the row says that it is very old.
            await cluster.stop("pedidos")
            with closing(sqlite3.connect(database_path(cluster.data_dir, "pedidos"))) as con, con:
                con.execute("UPDATE pedidos SET criado_epoca = 0 WHERE id = ?", ids)
            await cluster.start("pedidos")
        assert (await cluster.end_of(ids[0]))["status"] == "enviado"
        cluster.check_shipped(ids[0])


async def test_what_was_never_sent_is_no_attempt(open_fresh: OpenCluster) -> None:
    """While the way down is closed, drives that come to nothing give no order up."""
    async with open_fresh(give_up_age_s=0.0, circuit_breaker=False) as cluster:
        (pedido_id,) = await left_open(cluster, 1)
        condutor = cluster.condutor
        closed, condutor._passage = condutor._passage, _Closed()
        for _ in range(2 * Politica().tentativas_desistencia):
            assert await cluster.sweep() == 1
            await cluster.idle()
        condutor._passage = closed
        assert (await cluster.end_of(pedido_id))["status"] == "enviado"


async def test_an_outage_longer_than_the_age_gives_no_order_up(open_fresh: OpenCluster) -> None:
    """A connection that is refused is no attempt, however often it is tried meanwhile."""
    async with open_fresh(give_up_age_s=0.0) as cluster:
        await cluster.stop("pagamentos")
        pedido_id = (await cluster.create()).body["pedido_id"]
        condutor = cluster.condutor
        refused = 0
        while refused < 2 * Politica().tentativas_desistencia:
            refused += await cluster.sweep()
            await cluster.idle()
            await asyncio.sleep(0.01)
        assert (await cluster.look(pedido_id))["status"] == "pendente"
        assert condutor._recuperacao._tentadas == {}
        await cluster.start("pagamentos")
        assert (await cluster.end_of(pedido_id))["status"] == "enviado"


async def test_pedido_velho_que_ja_foi_enviado_termina_enviado(open_fresh: OpenCluster) -> None:
    """Giving up asks Logistica like any cancelling: what was shipped ends enviado."""
    async with open_fresh() as cluster:
        pedido_id, creating = await stuck(cluster, "logistica", "after")
        await cluster.crash("pedidos")
        await asyncio.gather(creating, return_exceptions=True)
        cluster.link("logistica").heal()
        # As the sweep leaves it that has tried in vain; at its start it would drive it at once.
        path = database_path(cluster.data_dir, "pedidos")
        with closing(sqlite3.connect(path, isolation_level=None)) as con:
            reads, now = (livro.PEDIDOS.of(pedido_id),), "2026-01-01T00:00:00.000+00:00"
            row = decided(con, reads, livro.desistir, pedido_id, "expirado", now)
        assert row.status == "cancelando"
        await cluster.start("pedidos")
        assert (await cluster.end_of(pedido_id))["status"] == "enviado"
        cluster.check_shipped(pedido_id)
