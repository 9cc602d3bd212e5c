"""The fault matrix: one cell a fault and arm against real processes; the rest is a command's work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from loadgen.arms import ARMS
from loadgen.chaos import cli
from loadgen.chaos.cells import CANCELLING, CHAIN, FORWARD, Cell, cells

# One a fault, spread over the services and points.
CHOSEN = (
    "kill -9 | buy | estoque P3",
    "kill -9 | cancel | fiscal P4",
    "kill -9 | no_stock | pagamentos P4",
    "stopped, longer | buy | fiscal P0",
    "slow | buy | logistica P0",
    "error before | buy | pagamentos P0",
    "error after | buy | logistica P5",
    "request cut | buy | pedidos P1",
    "reply cut | buy | fiscal P3",
    "given up on | buy | estoque P2",
    "disk full | buy | estoque banco",
    "I/O error | buy | pedidos banco",
    "cancel racing the pivot | cancel | logistica P0",
    "same key twice | twice | pagamentos P0",
    "two processes, one port | buy | fiscal start",
    "everything killed at once | buy | all P2",
)


def test_every_cell_has_a_name_of_its_own() -> None:
    names = [cell.name for cell in cells()]
    assert len(names) == len(set(names))
    assert set(CHOSEN) <= set(names)


def test_a_process_is_killed_at_every_point_of_every_service() -> None:
    killed = {
        (cell.scenario, cell.service, cell.point) for cell in cells() if cell.fault == "kill -9"
    }
    for scenario, where in (("buy", FORWARD), ("cancel", CANCELLING)):
        assert tuple(where) == CHAIN
        for service, points in where.items():
            assert {(scenario, service, point) for point in points} <= killed


@pytest.mark.timeout(150)
@pytest.mark.parametrize("mode", ARMS)
def test_one_cell_a_fault_is_hit_and_passes(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def chosen() -> list[Cell]:
        return [cell for cell in cells() if cell.name in CHOSEN]

    monkeypatch.setattr(cli, "cells", chosen)
    file = tmp_path / "matrix.json"
    code = cli.main(["--matrix", f"--mode={mode}", f"--data-dir={tmp_path}", f"--json={file}"])
    words = capsys.readouterr()
    (result,) = json.loads(file.read_text())
    by_name: dict[str, dict[str, Any]] = {cell["name"]: cell for cell in result["cells"]}
    assert set(by_name) == set(CHOSEN)
    for name, cell in by_name.items():
        assert cell["hits"] >= 1, (name, words.err)
        assert not cell["problem"], (name, cell["problem"])
    assert not any(check["total"] for check in result["audit"]["checks"]), words.out
    assert code == 0
    assert not [path for path in tmp_path.iterdir() if path.is_dir()], "nothing is left behind"


@pytest.mark.timeout(60)
def test_a_cell_that_is_not_hit_or_ends_otherwise_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The matrix must be able to fail: nothing lies behind Logistica, and this order is shipped."""
    by_name = {cell.name: cell for cell in cells()}
    good = by_name["error before | buy | logistica P0"]
    assert good.rule is not None
    unhit = replace(good, fault="unhit", rule=replace(good.rule, id="unhit", point="P1"))
    other = replace(
        good, fault="other", rule=replace(good.rule, id="other"), expected=("cancelado",)
    )
    monkeypatch.setattr(cli, "cells", lambda: [unhit, other, good])
    file = tmp_path / "matrix.json"
    code = cli.main(["--matrix", "--mode=http", f"--data-dir={tmp_path}", f"--json={file}"])
    words = capsys.readouterr()
    (result,) = json.loads(file.read_text())
    problems = [cell["problem"] for cell in result["cells"]]
    assert "never hit" in problems[0]
    assert "ended as enviado" in problems[1]
    assert problems[2] == ""
    assert code == cli.EXIT_VIOLATION
    assert "1 of 3 cells hit and passed" in words.out
    assert [path for path in tmp_path.iterdir() if path.is_dir()], "the evidence is kept"
