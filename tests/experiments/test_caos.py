"""The soak: what is struck follows from the seed; recovery is told only where it can be seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.arms import LOOP_ARMS
from loadgen.chaos import cli
from loadgen.chaos.result import CELL_S, Recovery, Struck, rate, recovery
from loadgen.chaos.soak.schedule import CANCELLED_SHARE, FAULTS, Fault, change_of_mind, schedule


@given(
    faults=st.lists(st.sampled_from(FAULTS), min_size=1, unique=True),
    count=st.integers(0, 60),
    duration_s=st.floats(1.0, 600.0),
    seed=st.integers(0, 2**32),
)
def test_a_schedule_is_its_seed_s(
    faults: list[Fault], count: int, duration_s: float, seed: int
) -> None:
    strikes = schedule(faults, count, duration_s, seed)
    assert strikes == schedule(faults, count, duration_s, seed)
    assert len(strikes) == count
    times = [strike.at_s for strike in strikes]
    assert times == sorted(times)
    assert all(0 <= at < duration_s for at in times)
    shares = [sum(strike.fault == fault for strike in strikes) for fault in faults]
    assert max(shares) - min(shares) <= 1
    names = [rule.id for strike in strikes for rule in strike.rules]
    assert len(names) == len(set(names))


def test_another_seed_strikes_otherwise() -> None:
    assert schedule(FAULTS, 30, 60.0, 1) != schedule(FAULTS, 30, 60.0, 2)


def test_who_cancels_and_when_is_the_seed_s() -> None:
    minds = [change_of_mind(number, 1) for number in range(4_000)]
    assert minds == [change_of_mind(number, 1) for number in range(4_000)]
    assert minds != [change_of_mind(number, 2) for number in range(4_000)]
    cancelled = sum(after is not None for after in minds)
    assert cancelled == pytest.approx(CANCELLED_SHARE * len(minds), rel=0.25)


def _series(per_s: float, seconds: float) -> list[int]:
    return [int(per_s * CELL_S)] * int(seconds / CELL_S)


def test_recovery_is_from_healing_until_goodput_is_back() -> None:
    completed = tuple(_series(100, 10) + _series(0, 4) + _series(100, 10))
    assert rate(completed, 0.0, 10.0) == 100.0
    strike = Struck("kill", "estoque", 10.0, 11.0)
    assert recovery(completed, (strike,), 100.0, 24.0) == Recovery(3.0, 3.0, 1, 0)


def test_recovery_is_not_told_of_a_strike_that_another_one_hides() -> None:
    completed = tuple(_series(100, 20))
    hidden = Struck("kill", "estoque", 5.0, 6.0)
    over_it = Struck("slow", "fiscal", 5.5, 8.0)
    last = Struck("kill", "fiscal", 12.0, 13.0)
    found = recovery(completed, (hidden, over_it, last), 100.0, 20.0)
    assert found is not None
    assert (found.of, found.unseen) == (2, 1)
    assert recovery(completed, (), 100.0, 20.0) is None


def test_goodput_that_does_not_come_back_is_no_recovery() -> None:
    completed = tuple(_series(100, 5) + _series(50, 15))
    found = recovery(completed, (Struck("kill", "fiscal", 5.0, 6.0),), 100.0, 20.0)
    assert found == Recovery(None, None, 0, 1)


def test_what_was_not_seen_counts_as_never_in_the_median() -> None:
    """Strikes that follow closely let only quick recoveries be seen: they may not be the figure."""
    completed = tuple(_series(100, 5) + _series(0, 20) + _series(100, 15))
    strikes = tuple(Struck("kill", "fiscal", 5.0 + n, 5.5 + n) for n in range(19))
    last = Struck("kill", "fiscal", 24.0, 24.5)
    found = recovery(completed, (*strikes, last), 100.0, 40.0)
    assert found is not None
    assert (found.median, found.of, found.unseen) == (None, 1, 19)
    assert recovery(completed, (last,), 100.0, 40.0) == Recovery(0.5, 0.5, 1, 0)


@pytest.mark.timeout(90)
# One on a loop here, attacks in the others' place (test_ataque.py); the command soaks any arm.
@pytest.mark.parametrize("mode", ["grpc"])
def test_a_short_soak_of_everything_ends_clean(
    mode: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result_file, picture = tmp_path / "soak.json", tmp_path / "soak.png"
    code = cli.main(
        [
            f"--mode={mode}", "--faults=all", "--kills=6", "--duration=8", "--concurrency=20",
            f"--data-dir={tmp_path}", f"--json={result_file}", f"--picture={picture}",
        ]
    )  # fmt: skip
    words = capsys.readouterr()
    (result,) = json.loads(result_file.read_text())
    assert code == 0, words.out + words.err
    assert not any(check["total"] for check in result["audit"]["checks"])
    assert result["audit"]["open_orders"] == 0
    assert set(result["struck"]) >= {"kill", "pause", "slow"}
    assert sum(result["outcomes"].values()) == result["asked"]
    if mode in LOOP_ARMS:
        # On threads a cancelling waits for a worker, like its order, and mostly comes too late.
        assert result["outcomes"]["solicitado"], "some were cancelled while under way"
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--mode=grpc"], "say how long"),
        (["--kills=1", "--faults=flood"], "expected all, or a list of"),
        (["--matrix", "--kills=3"], "--matrix runs its own faults"),
        (["--kills=1", "--only=kill"], "--only needs --matrix"),
        (["--matrix", "--only=nothing like it"], "no cell has that in its name"),
        (["--duration=1"], "make one strike"),
        (["--kills=1", "--picture=soak.txt"], "expected a name that ends in"),
        (["--kills=1", "--json=nowhere/at/all.json"], "its directory does not exist"),
    ],
)
def test_wrong_options_get_one_line(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(options)
    assert left.value.code == cli.EXIT_UNUSABLE
    assert words in capsys.readouterr().err
