"""Failpoints: where, how often and for whom a fault happens; and none without a file."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.contratos import SERVICOS
from common.erros import Categoria, ErroServico
from common.faults.failing_storage import FailingDisk, FailingStorage
from common.faults.failpoints import (
    AT_STORAGE,
    POINTS,
    Action,
    Failpoints,
    FailpointsError,
    Rule,
    Rules,
    hits_path,
    read_hits,
    read_rules,
    write_rules,
)
from common.faults.points import Point
from common.runtime.execution import AsyncClock, AsyncTasks
from common.servicos.protocolo.tabelas import Facts, Ledger, Query
from common.storage import connection
from common.storage import event_loop as storage

pytestmark = pytest.mark.asyncio

_PORTS = (AsyncClock(), AsyncTasks())


def _error(**more: Any) -> Rule:
    given: dict[str, Any] = {"id": "r", "service": "fiscal", "point": "P0", "action": "error"}
    return Rule(**(given | more))


async def _struck(failpoints: Failpoints, ponto: Point, pedido_id: int) -> bool:
    try:
        await failpoints.at(ponto, pedido_id)
    except ErroServico as error:
        return error.categoria is Categoria.INDISPONIVEL
    return False


async def test_a_rule_strikes_at_its_point_its_order_and_as_often_as_it_says(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rules.json"
    write_rules(path, Rules((_error(order_id=7, times=2),)))
    failpoints = Failpoints(path, "fiscal", *_PORTS)
    assert not await _struck(failpoints, "P1", 7)
    assert not await _struck(failpoints, "P0", 8)
    assert [await _struck(failpoints, "P0", 7) for _ in range(4)] == [True, True, False, False]
    assert [(hit.rule, hit.point, hit.order_id) for hit in read_hits(path)] == [("r", "P0", 7)] * 2
    assert not await _struck(Failpoints(path, "estoque", *_PORTS), "P0", 7)


async def test_a_rule_lets_as_many_pass_as_it_says(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    write_rules(path, Rules((_error(order_id=7, skip=2, times=1),)))
    failpoints = Failpoints(path, "fiscal", *_PORTS)
    # Those that it would not strike anyway do not count.
    orders = (7, 8, 8, 7, 8, 7, 7)
    struck = [await _struck(failpoints, "P0", order) for order in orders]
    assert struck == [False, False, False, False, False, True, False]


async def test_a_hold_lasts_until_its_rule_is_withdrawn(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    hold, other = _error(action="hold"), _error(id="other", point="P1")
    write_rules(path, Rules((hold,)))
    failpoints = Failpoints(path, "fiscal", *_PORTS)
    held = asyncio.create_task(failpoints.at("P0", 1))
    while not read_hits(path):
        await asyncio.sleep(0)
    write_rules(path, Rules((hold, other)))
    assert await _struck(failpoints, "P1", 1), "the new rules were read"
    done, _ = await asyncio.wait((held,), timeout=0.1)
    assert not done
    write_rules(path, Rules((other,)))
    async with asyncio.timeout(5):
        await held


async def test_hits_count_over_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    write_rules(path, Rules((_error(times=1),)))
    assert await _struck(Failpoints(path, "fiscal", *_PORTS), "P0", 1)
    assert not await _struck(Failpoints(path, "fiscal", *_PORTS), "P0", 1)


async def test_new_rules_are_in_force_at_the_next_point(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    write_rules(path, Rules())
    failpoints = Failpoints(path, "fiscal", *_PORTS)
    assert not await _struck(failpoints, "P0", 1)
    write_rules(path, Rules((_error(),)))
    assert await _struck(failpoints, "P0", 1)
    write_rules(path, Rules())
    assert not await _struck(failpoints, "P0", 1)


async def test_a_broken_file_leaves_the_rules_before_it_in_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "rules.json"
    write_rules(path, Rules((_error(),)))
    failpoints = Failpoints(path, "fiscal", *_PORTS)
    path.write_text("{")
    assert await _struck(failpoints, "P0", 1)
    assert str(path) in caplog.text
    with pytest.raises(FailpointsError, match="no usable failpoints"):
        Failpoints(path, "fiscal", *_PORTS)


async def test_the_share_that_is_struck_follows_from_the_seed(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"

    async def drawn(seed: int) -> list[bool]:
        hits_path(path).unlink(missing_ok=True)
        write_rules(path, Rules((_error(probability=0.3),), seed))
        failpoints = Failpoints(path, "fiscal", *_PORTS)
        return [await _struck(failpoints, "P0", order) for order in range(400)]

    first = await drawn(1)
    assert 80 < sum(first) < 160
    assert await drawn(1) == first
    assert await drawn(2) != first


async def test_the_next_call_is_struck_before_while_and_after(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    calls: list[str] = []

    async def next_hop() -> str:
        calls.append("began")
        await asyncio.sleep(0.05)
        calls.append("ended")
        return "answer"

    for point, seen in (("P1", []), ("P2", ["began"]), ("P3", ["began", "ended"])):
        write_rules(path, Rules((_error(point=point, seconds=0.01),)))
        failpoints = Failpoints(path, "fiscal", *_PORTS)
        calls.clear()
        with pytest.raises(ErroServico):
            await failpoints.around(1, next_hop)
        assert calls == seen
        while _PORTS[1].running():
            await asyncio.sleep(0.01)
        assert calls == (["began", "ended"] if seen else []), "the other side goes on"
    write_rules(path, Rules())
    assert await Failpoints(path, "fiscal", *_PORTS).around(1, next_hop) == "answer"


async def test_a_next_hop_that_was_done_before_is_no_hit(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    write_rules(path, Rules((_error(point="P2", seconds=5.0),)))

    async def next_hop() -> int:
        return 1

    assert await Failpoints(path, "fiscal", *_PORTS).around(1, next_hop) == 1
    assert read_hits(path) == []


@given(
    service=st.sampled_from([*SERVICOS, "nobody"]),
    point=st.sampled_from(get_args(Point)),
    action=st.sampled_from(get_args(Action)),
    probability=st.floats(-0.5, 1.5),
)
async def test_only_rules_that_can_strike_are_taken(
    service: str, point: Any, action: Any, probability: float
) -> None:
    raw = msgspec.json.encode(
        {
            "id": "r",
            "service": service,
            "point": point,
            "action": action,
            "probability": probability,
            "seconds": 1.0,
        }
    )
    possible = (
        point in POINTS.get(service, ())
        and (action in AT_STORAGE) == (point == "banco")
        and 0 < probability <= 1
    )
    try:
        msgspec.json.decode(raw, type=Rule)
    except msgspec.ValidationError:
        assert not possible
    else:
        assert possible


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"service": "logistica", "point": "P1"}, "logistica has P0, P4, P5, banco, not P1"),
        ({"service": "catalogo", "point": "P0"}, "catalogo has no point at all, not P0"),
        ({"service": "estoque", "point": "gateway"}, "not gateway"),
        ({"point": "banco"}, "error does not happen at banco"),
        ({"action": "locked"}, "locked does not happen at P0"),
        ({"point": "banco", "action": "locked"}, "locked needs seconds"),
        ({"times": 0}, "times must be at least 1"),
        ({"order_id": 0}, "order_id and times must be at least 1"),
        ({"skip": -1}, "skip at least 0"),
        ({"probability": 0}, "probability must be above 0"),
    ],
)
async def test_a_rule_that_can_never_strike_is_refused(
    rule: dict[str, Any], words: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At start with one sentence; later with the same one, and the rules before it stay."""
    path = tmp_path / "rules.json"
    write_rules(path, Rules((_error(),)))
    failpoints = Failpoints(path, "fiscal", *_PORTS)
    raw = {"id": "never", "service": "fiscal", "point": "P0", "action": "error"} | rule
    path.write_bytes(msgspec.json.encode({"rules": [raw]}))
    assert await _struck(failpoints, "P0", 1)
    assert words in caplog.text
    # By every service: whom it is for is not known where it is for nobody.
    for service in SERVICOS:
        with pytest.raises(FailpointsError, match="no usable failpoints: rule 'never'") as refused:
            Failpoints(path, service, *_PORTS)
        assert words in str(refused.value)
        assert "\n" not in str(refused.value)


async def test_a_file_that_is_not_there_is_refused_at_start(tmp_path: Path) -> None:
    path = tmp_path / "none.json"
    with pytest.raises(FailpointsError, match="does not exist"):
        Failpoints(path, "fiscal", *_PORTS)
    # One that is removed later is no rules.
    assert read_rules(path) == Rules()
    assert read_hits(tmp_path / "none.json") == []


@asynccontextmanager
async def _failing(tmp_path: Path, *rules: Rule) -> AsyncIterator[FailingStorage]:
    path, database = tmp_path / "rules.json", tmp_path / "fiscal.db"
    database.touch()
    with closing(connection.connect(database)) as con:
        con.execute("CREATE TABLE feitos (id INTEGER PRIMARY KEY, pedido_id INTEGER)")
    write_rules(path, Rules(rules))
    disk = FailingDisk()
    opened = await storage.Storage.open(database, engine=disk.engine)
    clock, tasks = _PORTS
    failpoints = Failpoints(path, "fiscal", clock, tasks)
    try:
        yield FailingStorage(
            opened, disk, database, failpoints=failpoints, clock=clock, tasks=tasks
        )
    finally:
        await opened.close()


class Feito(NamedTuple):
    """A unit of the order was done."""

    pedido_id: int


FEITOS: Ledger[int, Feito] = Ledger("feitos", Feito, "pedido_id")
TODOS: Query[Feito] = Query("SELECT pedido_id FROM feitos ORDER BY id", Feito)


def _record(facts: Facts, pedido_id: int) -> None:
    facts.insert(FEITOS, Feito(pedido_id))


async def _note(banco: FailingStorage, pedido_id: int) -> None:
    await banco.unit(None, (), _record, pedido_id)


async def _noted(banco: FailingStorage) -> list[int]:
    return [pedido_id for (pedido_id,) in await banco.select(None, TODOS)]


def _at_storage(action: Action, **more: Any) -> Rule:
    return _error(point="banco", action=action, times=1, **more)


@pytest.mark.parametrize("action", ["disk_full", "io_error"])
async def test_a_bad_disk_strikes_one_unit_of_the_order_and_keeps_nothing_of_it(
    action: Action, tmp_path: Path
) -> None:
    async with _failing(tmp_path, _at_storage(action, order_id=7, skip=1)) as banco:
        await _note(banco, 8)
        await _note(banco, 7)
        with pytest.raises(ErroServico) as failed:
            await _note(banco, 7)
        assert failed.value.categoria is Categoria.INDISPONIVEL
        await _note(banco, 7)
        assert await _noted(banco) == [8, 7, 7]


@pytest.mark.parametrize("action", ["disk_full", "io_error"])
async def test_a_bad_disk_strikes_every_unit_of_the_batch(action: Action, tmp_path: Path) -> None:
    """As a real one does: the transaction that they shared is gone, and nobody is acknowledged."""
    async with _failing(tmp_path, _at_storage(action, order_id=7)) as banco:
        written, free = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def hold(facts: Facts) -> None:
            loop.call_soon_threadsafe(written.set)
            assert free.wait(5)

        holding = asyncio.create_task(banco.unit(None, (), hold))
        await written.wait()
        units = [asyncio.create_task(_note(banco, pedido_id)) for pedido_id in (5, 6, 7, 8)]
        await asyncio.sleep(0)
        free.set()
        await holding
        outcomes = await asyncio.gather(*units, return_exceptions=True)
        assert {outcome.categoria for outcome in outcomes} == {Categoria.INDISPONIVEL}
        assert await _noted(banco) == []
        await _note(banco, 8)
        assert await _noted(banco) == [8]


async def test_a_lock_that_goes_in_time_makes_a_unit_wait(tmp_path: Path) -> None:
    async with _failing(tmp_path, _at_storage("locked", seconds=0.2)) as banco:
        start = time.monotonic()
        await _note(banco, 7)
        assert time.monotonic() - start >= 0.2
        assert await _noted(banco) == [7]


async def test_a_lock_that_stays_is_sqlites_own_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_MS", 50)
    async with _failing(tmp_path, _at_storage("locked", seconds=0.3)) as banco:
        with pytest.raises(ErroServico) as failed:
            await _note(banco, 7)
        assert failed.value.categoria is Categoria.INDISPONIVEL
        cause = failed.value.__cause__
        assert isinstance(cause, sqlite3.OperationalError)
        assert cause.sqlite_errorname == "SQLITE_BUSY"
        assert await _noted(banco) == []
        async with asyncio.timeout(5):
            while not await _noted(banco):
                with suppress(ErroServico):
                    await _note(banco, 7)
