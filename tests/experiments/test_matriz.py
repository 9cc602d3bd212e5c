"""The fault matrix: one cell a fault and arm against real processes; the rest is a command's work."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from common import ROOT
from common.arms import LOOP_ARMS, MODES, THREAD_ARMS
from common.faults.failpoints import POINTS
from loadgen.chaos import cli
from loadgen.chaos.matrix import matrix
from loadgen.chaos.matrix.cells import CANCELLED, CANCELLING, CHAIN, FORWARD, SENT, Cell, cells

_CODE = re.compile(r"`([^`]+)`")
# One a fault, spread over the services, points and scenarios.
CHOSEN = (
    "kill -9 | buy | estoque P3",
    "kill -9 | cancel | pedidos P0",
    "kill -9 | no_stock | pagamentos gateway",
    "killed again while recovering | hang_up | pedidos P3",
    "stopped, shorter | buy | estoque P5",
    "stopped, longer | buy | fiscal P0",
    "slow | buy | logistica P0",
    "error before | buy | pagamentos P0",
    "error after | buy | pedidos P5",
    "request cut | buy | pedidos P1",
    "reply cut | buy | fiscal P3",
    "given up on | buy | estoque P2",
    "disk full | buy | pedidos banco 2",
    "I/O error | cancel | estoque banco",
    "locked, shorter | cancel | logistica banco",
    "locked, longer | buy | pedidos banco",
    "cancelled before the step | step_late | pagamentos gateway",
    "cancel racing the pivot, the cancel wins | step_late | logistica P0",
    "cancel racing the pivot, the step wins | step_first | logistica P0",
    "same key twice | twice | pagamentos P0",
    "client dies | hang_up | logistica P0",
    "two processes, one port | buy | fiscal start",
    "everything killed at once | buy | all P2",
)


def test_every_cell_has_a_name_of_its_own() -> None:
    names = [cell.name for cell in cells()]
    rules = [rule.id for cell in cells() for rule in (cell.rule, *cell.beside) if rule is not None]
    assert len(names) == len(set(names))
    assert len(rules) == len(set(rules))
    assert set(CHOSEN) <= set(names)


def test_every_fault_is_among_the_chosen() -> None:
    assert {cell.fault for cell in cells() if cell.name in CHOSEN} == {c.fault for c in cells()}


def test_a_fault_strikes_at_every_point_of_every_service() -> None:
    struck = {
        (cell.scenario, cell.service, cell.point)
        for cell in cells()
        if cell.fault in {"kill -9", "disk full"}
    }
    for scenario, where in (("buy", FORWARD), ("cancel", CANCELLING)):
        assert tuple(where) == CHAIN
        for service, points in where.items():
            assert {(scenario, service, point) for point in (*points, "banco")} <= struck
    # And at no place fewer than the failpoints have.
    assert {(service, point) for _, service, point in struck if point != "banco 2"} == {
        (service, point) for service in POINTS for point in POINTS[service]
    }


def test_the_page_tells_of_every_fault_and_of_no_other() -> None:
    """Each row of the matrix's table: its faults are those of the cells, and so are their ends."""
    page = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    lines = page.split("## The matrix")[1].split("\n## ")[0].splitlines()
    rows = [[part.strip() for part in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]
    told: list[str] = []
    for first, where, end in rows[2:]:
        faults = _CODE.findall(first)
        if not faults:
            # No cell of its own, but a test.
            assert (ROOT / where.split("`")[1]).is_file(), first
            continue
        told += faults
        expected = {cell.expected for cell in cells() if cell.fault in faults} - {""}
        assert set(_CODE.findall(end)) & {SENT, CANCELLED} == expected, first
    assert sorted(told) == sorted({cell.fault for cell in cells()})


@pytest.mark.timeout(150)
@pytest.mark.parametrize("mode", MODES)
def test_one_cell_a_fault_is_hit_and_passes(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Arms differ in who waits and in what travels, not in what is written when: both on a loop share
    # the faults, and so do, with every fourth, those on threads. The command runs all in any arm.
    threads = mode in THREAD_ARMS
    arms = THREAD_ARMS if threads else LOOP_ARMS
    names = CHOSEN[2 * arms.index(mode) :: 4] if threads else CHOSEN[arms.index(mode) :: 2]

    def chosen() -> list[Cell]:
        return [cell for cell in cells() if cell.name in names]

    monkeypatch.setattr(cli, "cells", chosen)
    file = tmp_path / "matrix.json"
    code = cli.main(["--matrix", f"--mode={mode}", f"--data-dir={tmp_path}", f"--json={file}"])
    words = capsys.readouterr()
    (result,) = json.loads(file.read_text())
    by_name: dict[str, dict[str, Any]] = {cell["name"]: cell for cell in result["cells"]}
    assert set(by_name) == set(names)
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
    """The matrix must be able to fail: the first comes but once, and these orders are shipped.

    What comes after is not harmed: its number, and the gateway's verdict on it, are foreseen.
    """
    by_name = {cell.name: cell for cell in cells()}
    good = by_name["error before | buy | logistica P0"]
    assert good.rule is not None
    unhit = replace(good, fault="unhit", rule=replace(good.rule, id="unhit", skip=1))
    other = replace(good, fault="other", rule=replace(good.rule, id="other"), expected=CANCELLED)
    half = replace(good, fault="half", rule=replace(good.rule, id="half", action="delay", times=2))
    refused = by_name["kill -9 | payment_refused | pagamentos P0"]
    monkeypatch.setattr(matrix, "PATIENCE_S", 1.0)
    monkeypatch.setattr(cli, "cells", lambda: [unhit, other, half, refused, good])
    file = tmp_path / "matrix.json"
    code = cli.main(["--matrix", "--mode=http", f"--data-dir={tmp_path}", f"--json={file}"])
    words = capsys.readouterr()
    (result,) = json.loads(file.read_text())
    problems = [cell["problem"] for cell in result["cells"]]
    assert "never hit" in problems[0]
    assert "ended as enviado" in problems[1]
    assert "half: 1 hits of 2" in problems[2]
    assert problems[3:] == ["", ""]
    assert code == cli.EXIT_VIOLATION
    assert "2 of 5 cells hit and passed" in words.out
    assert [path for path in tmp_path.iterdir() if path.is_dir()], "the evidence is kept"
