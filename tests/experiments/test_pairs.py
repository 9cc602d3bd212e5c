"""Contenders that take turns: who goes first, what a ratio is, and what an interrupt leaves."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from functools import partial
from itertools import count

import pytest

from loadgen.options import EXIT_INVALID, EXIT_OK, EXIT_UNUSABLE
from loadgen.pairs.command import EXIT_BELOW, Findings, execute, new_file, surroundings
from loadgen.pairs.turns import Ratios, alternate, doubts, ratio
from loadgen.testbed.chains import ChainError


async def test_a_ordem_se_inverte_a_cada_par() -> None:
    """A B, B A, A B: whichever goes first gains nothing over the whole."""
    taken = []

    async def turn(name: str) -> int:
        taken.append(name)
        return len(taken)

    turns = {name: partial(turn, name) for name in "ab"}
    pairs = [runs async for runs in alternate(turns, 3)]
    assert "".join(taken) == "abbaab"
    assert pairs == [{"a": 1, "b": 2}, {"a": 4, "b": 3}, {"a": 5, "b": 6}]


async def interrupted_in(turn: int) -> list[dict[str, int]]:
    """The pairs of two contenders when an interrupt comes in the given turn."""
    taken = count(1)

    async def take() -> int:
        number = next(taken)
        if number == turn:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()
        return number

    return [runs async for runs in alternate({"a": take, "b": take}, 5)]


@pytest.mark.parametrize(("turn", "whole"), [(1, 0), (2, 0), (4, 1), (9, 4)])
def test_interrupcao_deixa_os_pares_inteiros(turn: int, whole: int, capsys) -> None:
    """An interrupt ends the turn under way: pairs before it are shown, and the whole is INVALID."""

    async def measure(args: argparse.Namespace, console: object) -> Findings:
        reasons = doubts(await interrupted_in(turn), 5)
        return Findings(valid=not reasons, invalid_reasons=reasons, **surroundings(args))

    code = execute("pairs", argparse.Namespace(json=None), measure, lambda *_: print("shown"))
    assert code == EXIT_INVALID
    out, err = capsys.readouterr()
    if whole:
        assert f"shown\nINVALID: interrupted after {whole} of 5 pairs" in out
    else:
        assert err == "pairs: INVALID: interrupted\n"


class Judged(Findings, frozen=True, kw_only=True):
    """Findings with a bar."""

    bar_met: bool

    @property
    def met(self) -> bool:
        """Whether the bar is reached."""
        return self.bar_met


@pytest.mark.parametrize(
    ("reasons", "met", "code"),
    [([], True, EXIT_OK), ([], False, EXIT_BELOW), (["x"], True, EXIT_INVALID),
     (["x"], False, EXIT_INVALID)],
)  # fmt: skip
def test_codigo_de_saida_diz_o_veredito(reasons, met: bool, code: int, tmp_path, capsys) -> None:
    """INVALID comes before the bar; the JSON is written either way."""

    async def measure(args: argparse.Namespace, console: object) -> Judged:
        return Judged(bar_met=met, valid=not reasons, invalid_reasons=reasons, **surroundings(args))

    out = tmp_path / "found.json"
    assert execute("pairs", argparse.Namespace(json=out), measure, lambda *_: None) == code
    assert capsys.readouterr().out == "".join(f"INVALID: {reason}\n" for reason in reasons)
    assert out.stat().st_size > 0


def test_o_que_nao_comeca_e_uma_linha(capsys) -> None:
    """A chain that does not start is one line that names the command, and exit code 2."""

    async def measure(args: argparse.Namespace, console: object) -> Findings:
        raise ChainError("no chain")

    args = argparse.Namespace(json=None)
    assert execute("pairs", args, measure, lambda *_: None) == EXIT_UNUSABLE
    assert capsys.readouterr().err == "pairs: no chain\n"


def test_arquivo_sem_pasta_e_recusado_antes_de_medir() -> None:
    """A measurement is not begun whose figures could not be written."""
    with pytest.raises(argparse.ArgumentTypeError, match="its directory does not exist"):
        new_file("/no/such/dir/x")


def test_razoes_dizem_meio_e_espalhamento() -> None:
    """Median, quartiles and the interval of the geometric mean; a pair without a figure is left out."""
    assert [ratio(1.0, 2.0), ratio(None, 2.0), ratio(1.0, None), ratio(1.0, 0.0)] == [
        0.5, None, None, None,
    ]  # fmt: skip
    found = Ratios([0.5, None, 2.0, 1.0])
    assert found.each == [0.5, None, 2.0, 1.0]
    assert found.median == 1.0
    assert found.interval is not None
    assert found.interval.mean == pytest.approx(1.0)
    # Student's t with two degrees of freedom: 4.3027 times log(2) by the root of three.
    assert found.interval.high == pytest.approx(5.595, abs=0.01)
    assert found.words().startswith("1.000 (quartiles 0.750 to 1.500), geometric mean 1.000 (95 %:")
    assert Ratios([0.9]).words() == "0.900"
    assert Ratios([None]).words() == Ratios([]).words() == "-"
