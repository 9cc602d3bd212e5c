"""The scenarios: what their figures say of what was seen, and one of them from end to end."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.console import Console

from common.erros import ENCERRANDO, REFUSED_WORDS
from loadgen.chaos import cli
from loadgen.chaos.customers.crowd import Phase, Sample, arrivals
from loadgen.chaos.progress import View, sparkline
from loadgen.chaos.result import percentile
from loadgen.chaos.scenarios import outage
from loadgen.chaos.scenarios.overload import normal_again
from loadgen.chaos.scenarios.rolling import Failed, refused_by
from loadgen.chaos.scenarios.stage import ScenarioResult


@given(
    phases=st.lists(
        st.builds(Phase, st.just("?"), st.floats(0, 200), st.floats(0.1, 5)), max_size=4
    ),
    seed=st.integers(0, 2**32),
)
def test_arrivals_are_their_seed_s_and_in_their_phase(phases: list[Phase], seed: int) -> None:
    times = arrivals(phases, seed)
    assert times == arrivals(phases, seed)
    assert times == sorted(times)
    begin = 0.0
    for phase in phases:
        inside = [at for at in times if begin <= at < begin + phase.length_s]
        # Ten standard deviations of a Poisson count, and a few for the rare.
        expected = phase.rate_per_s * phase.length_s
        assert abs(len(inside) - expected) <= 10 * expected**0.5 + 10
        begin += phase.length_s
    assert all(at < begin for at in times)


def _arrived(at: float, latency: float, outcome: str = "enviado") -> Sample:
    return Sample(at, at, at + latency, outcome)


def test_latency_is_normal_again_only_when_it_stays_so() -> None:
    """A good second between two bad ones is no recovery."""
    slow = {0, 1, 3}
    samples = [
        _arrived(second + step / 10, 3.0 if second in slow else 1.0)
        for second in range(10)
        for step in range(10)
    ]
    again = normal_again(samples, (0.0, 10.0), 1.2)
    assert again is not None
    assert 3.0 < again <= 4.0
    assert normal_again(samples[50:], (5.0, 10.0), 1.2) == 0.0


def test_latency_is_not_normal_while_orders_are_refused_or_slow_to_the_end() -> None:
    refused = [
        _arrived(n / 10, 0.0, "shed") if n % 10 == 0 else _arrived(n / 10, 1.0) for n in range(100)
    ]
    assert normal_again(refused, (0.0, 10.0), 1.2) is None
    assert normal_again([_arrived(n / 10, 3.0) for n in range(100)], (0.0, 10.0), 1.2) is None
    assert normal_again([], (0.0, 10.0), 1.2) is None


def test_a_call_that_was_cut_is_not_forgiven() -> None:
    """Refused with nothing begun, while Pedidos itself restarts: nothing else is."""
    window = (10.0, 12.0)
    refused = [Failed(10.5, 10.5, "indisponivel", words) for words in (ENCERRANDO, REFUSED_WORDS)]
    others = [
        Failed(10.5, 10.9, "indisponivel", "pedidos não respondeu"),
        Failed(10.5, 10.9, "prazo_esgotado", "o prazo terminou durante a chamada"),
        Failed(5.0, 5.0, "indisponivel", REFUSED_WORDS),
    ]
    assert refused_by(refused + others, window) == 2


def test_percentiles_are_nearest_ranks() -> None:
    values = [float(n) for n in range(1, 101)]
    assert percentile(values, 0.99) == 99.0
    assert percentile(values, 0.5) == 50.0
    assert percentile([7.0], 0.99) == 7.0


def test_bars_show_the_highest_full() -> None:
    assert sparkline([0.0, 50.0, 100.0]) == "▁▅█"
    assert sparkline([0.0, 0.0]) == "▁▁"
    assert sparkline([]) == ""


@pytest.mark.timeout(90)
def test_an_outage_is_told_and_ends_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A service kept down for a moment: its calls are counted, its orders end, the bar is judged."""
    monkeypatch.setattr(outage, "CALM_S", 1.5)
    monkeypatch.setattr(outage, "AFTER_S", 1.5)
    # What cannot be met is told by the exit code, and the evidence is kept.
    monkeypatch.setattr(outage, "TRIED_MAX", 0.0)
    file, picture = tmp_path / "outage.json", tmp_path / "outage.png"
    options = [
        "--scenario=outage", "--mode=http", "--service=fiscal", "--duration=3", "--rate=20",
        f"--data-dir={tmp_path}", f"--json={file}", f"--picture={picture}",
    ]  # fmt: skip
    # A machine with other work may hold the generator up; the run says so, and says nothing else.
    codes = (cli.main(options) for _ in range(3))
    code = next((each for each in codes if each != cli.EXIT_INVALID), cli.EXIT_INVALID)
    assert code == cli.EXIT_MISSED, capsys.readouterr()
    assert [path for path in tmp_path.iterdir() if path.is_dir()]
    (result,) = msgspec.json.decode(file.read_bytes(), type=list[ScenarioResult])
    figures = {figure.what: figure for figure in result.figures}
    assert int(figures["orders accepted during the outage"].value) > 30
    assert 0 < int(figures["calls tried at it, probes apart"].value) <= 30
    assert int(figures["probes"].value) > 0
    missed = figures.pop("calls tried an order accepted")
    assert missed.met is False
    assert all(figure.met is not False for figure in figures.values())
    assert cli.exit_code(replace(result, figures=list(figures.values()))) == cli.EXIT_OK
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_live_view_is_plain_lines_where_there_is_no_terminal() -> None:
    written = StringIO()
    with View(Console(file=written, force_terminal=False, width=200), "grpc") as view:
        view.beat(1.0, 40.0, {"strikes": "0/3"})
        view.event(1.5, "kill fiscal")
    assert written.getvalue().splitlines() == [
        "arm grpc  s 1  ended a second 40  strikes 0/3",
        "grpc     2 s  kill fiscal",
    ]


def test_the_live_view_keeps_events_and_goodput_in_sight_on_a_terminal() -> None:
    written = StringIO()
    console = Console(file=written, force_terminal=True, width=120, height=30)
    with View(console, "grpc") as view:
        view.event(1.5, "kill fiscal")
        view.beat(1.0, 40.0, {"strikes": "1/3"})
        view.beat(2.0, 10.0, {"strikes": "1/3"})
    seen = written.getvalue()
    assert "kill fiscal" in seen
    assert "█▃ 40 at most" in seen
