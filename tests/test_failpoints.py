"""Failpoints: where, how often and for whom a fault happens; and none without a file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.contratos import SERVICOS
from common.erros import Categoria, ErroServico
from common.failpoints import (
    AT_STORAGE,
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
from common.servicos.portas import Ponto

pytestmark = pytest.mark.asyncio


def _error(**more: Any) -> Rule:
    given: dict[str, Any] = {"id": "r", "service": "fiscal", "point": "P0", "action": "error"}
    return Rule(**(given | more))


async def _struck(failpoints: Failpoints, ponto: Ponto, pedido_id: int) -> bool:
    try:
        await failpoints.em(ponto, pedido_id)
    except ErroServico as error:
        return error.categoria is Categoria.INDISPONIVEL
    return False


async def test_a_rule_strikes_at_its_point_its_order_and_as_often_as_it_says(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rules.json"
    write_rules(path, Rules((_error(order_id=7, times=2),)))
    failpoints = Failpoints(path, "fiscal")
    assert not await _struck(failpoints, "P1", 7)
    assert not await _struck(failpoints, "P0", 8)
    assert [await _struck(failpoints, "P0", 7) for _ in range(4)] == [True, True, False, False]
    assert [(hit.rule, hit.point, hit.order_id) for hit in read_hits(path)] == [("r", "P0", 7)] * 2
    assert not await _struck(Failpoints(path, "estoque"), "P0", 7)


async def test_hits_count_over_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    write_rules(path, Rules((_error(times=1),)))
    assert await _struck(Failpoints(path, "fiscal"), "P0", 1)
    assert not await _struck(Failpoints(path, "fiscal"), "P0", 1)


async def test_new_rules_are_in_force_at_the_next_point(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    write_rules(path, Rules())
    failpoints = Failpoints(path, "fiscal")
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
    failpoints = Failpoints(path, "fiscal")
    path.write_text("{")
    assert await _struck(failpoints, "P0", 1)
    assert str(path) in caplog.text
    with pytest.raises(FailpointsError, match="no usable failpoints"):
        Failpoints(path, "fiscal")


async def test_the_share_that_is_struck_follows_from_the_seed(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"

    async def drawn(seed: int) -> list[bool]:
        hits_path(path).unlink(missing_ok=True)
        write_rules(path, Rules((_error(probability=0.3),), seed))
        failpoints = Failpoints(path, "fiscal")
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
        failpoints = Failpoints(path, "fiscal")
        calls.clear()
        with pytest.raises(ErroServico):
            await failpoints.chamada(1, next_hop)
        assert calls == seen
        await asyncio.gather(*failpoints._left)
        assert calls == (["began", "ended"] if seen else []), "the other side goes on"
    write_rules(path, Rules())
    assert await Failpoints(path, "fiscal").chamada(1, next_hop) == "answer"


async def test_a_next_hop_that_was_done_before_is_no_hit(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    write_rules(path, Rules((_error(point="P2", seconds=5.0),)))

    async def next_hop() -> int:
        return 1

    assert await Failpoints(path, "fiscal").chamada(1, next_hop) == 1
    assert read_hits(path) == []


@given(
    service=st.sampled_from([*SERVICOS, "nobody"]),
    point=st.sampled_from(get_args(Ponto)),
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
        }
    )
    possible = (
        service in SERVICOS
        and (action in AT_STORAGE) == (point == "banco")
        and 0 <= probability <= 1
    )
    try:
        msgspec.json.decode(raw, type=Rule)
    except msgspec.ValidationError:
        assert not possible
    else:
        assert possible


async def test_a_file_that_is_not_there_is_refused_at_start(tmp_path: Path) -> None:
    path = tmp_path / "none.json"
    with pytest.raises(FailpointsError, match="does not exist"):
        Failpoints(path, "fiscal")
    # One that is removed later is no rules.
    assert read_rules(path) == Rules()
    assert read_hits(tmp_path / "none.json") == []
