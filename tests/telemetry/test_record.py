"""The account of a call and the timing record that its end makes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.contratos import SERVICOS
from common.erros import Categoria, ErroServico, indisponivel
from common.servicos.protocolo.account import WAITS_MAX, Account
from common.servicos.protocolo.contexto import Contexto
from common.servicos.protocolo.record import (
    LOST,
    MORE,
    Hop,
    Inside,
    Wait,
    decode,
    encode,
    figures,
    server_timing,
)
from common.serving.call import Call
from tests.support.edges import OPERATIONS

_us = st.integers(-(2**53), 2**53)
_waits = st.builds(
    Wait, st.sampled_from("bgpxc"), _us, _us, st.sampled_from(["", LOST, MORE, "conflito"])
)
_hops = st.builds(
    Hop, st.sampled_from(SERVICOS), _us, _us, st.lists(_waits, max_size=3).map(tuple), _us, _us,
    st.sampled_from(["", *(categoria.value for categoria in Categoria)]),
    st.none() | st.builds(Inside, *[_us] * 7),
)  # fmt: skip


@given(st.lists(_hops, min_size=1, max_size=6))
def test_a_record_is_read_as_it_was_written(hops: list[Hop]) -> None:
    """Each hop puts its entry in front of the text from below, which it does not read."""
    record = ""
    for hop in reversed(hops):
        record = encode(hop, record)
    assert record.isascii()
    assert list(decode(record)) == hops
    assert len(server_timing(decode(record)).split(", ")) == len(hops)


@pytest.mark.parametrize(
    "record",
    [
        "nonsense",
        "[",
        '["pedidos",1]',
        '["a stranger",1,2]',
        '["pedidos\\r\\nX: 1",1,2]',
        f'["pedidos",1,{10**400}]',
        '["pedidos",1,2.5]',
        '["pedidos",1,2,[["z",1,2]]]',
        '["pedidos",1,2,[["p",1,2,"no category"]]]',
        '["pedidos",1,2],',
        "\ud800",
    ],
)
def test_a_text_that_is_no_record_has_no_hops(record: str) -> None:
    """A stranger may have written it: nothing of it is believed, and it is no error."""
    assert decode(record) == ()


@given(st.text(max_size=200))
def test_no_text_is_an_error(text: str) -> None:
    """Whatever stands where a record should, the hops above it are told or none are."""
    decode(encode(Hop("pedidos", 0, 1), text))
    decode(text)


def test_clients_read_milliseconds_and_no_noughts() -> None:
    hop = Hop("fiscal", 5_000, 600_000, (Wait("b", 0, 500_000), Wait("b", 1, 1_500)), commit=250)
    assert server_timing((hop,)) == "fiscal;dur=600.000;banco=501.500;commit=0.250"
    assert server_timing((Hop("fiscal", 0, 1), Hop("logistica", 0, 2))) == (
        "fiscal;dur=0.001, logistica;dur=0.002"
    )


def test_waits_that_are_told_are_bounded_and_the_rest_is_summed() -> None:
    """A section is as long as all its waits, also those beyond the bound."""
    account = Account()
    for number in range(3 * WAITS_MAX):
        account.waited("p", number, number + 0.5)
    account.waited("b", 200.0, 201.0)
    hop = account.hop("pedidos", 300.0)
    assert [wait.kind for wait in hop.waits if wait.ended != MORE] == ["p"] * WAITS_MAX
    assert figures(hop)["proximo"] == pytest.approx(1_500 * WAITS_MAX)
    assert figures(hop)["banco"] == pytest.approx(1_000)


def test_a_call_that_joins_a_drive_tells_its_waits_from_its_own_arrival() -> None:
    """The drive was begun by an earlier call for the same order, a second before."""
    drive = Contexto(account=Account(100.0)).derivar(200.0).account
    second = Account(101.0)
    drive.waited("p", 100.5, 101.5)
    second.waited("b", 101.001, 101.002)
    second.take_over(drive)
    assert [(wait.kind, wait.start, wait.length) for wait in second.waits] == [
        ("b", pytest.approx(1_000, abs=2), pytest.approx(1_000, abs=2)),
        ("p", pytest.approx(-500_000, abs=2), pytest.approx(1_000_000, abs=2)),
    ]


def test_a_task_s_time_and_record_are_the_call_s() -> None:
    account, task = Account(1.0), Account(1.0)
    account.below, account.commit, account.queue = "old", 0.5, 1.0
    task.below, task.commit, task.queue = "new", 0.25, 0.0
    account.take_over(task)
    assert (account.below, account.commit, account.queue) == ("new", 0.75, 1.0)
    account.take_over(Account(1.0))
    assert account.below == "new"


# --- how a call ended is said by its caller -------------------------------------------------------


def test_a_call_that_ends_well_says_so_while_another_error_is_handled() -> None:
    """The caller may be handling an error of before: that one is not this call's."""
    ctx = Contexto()
    try:
        raise indisponivel("before")
    except ErroServico:
        with Call(ctx, OPERATIONS["separar_estoque"]) as made:
            made.answered("below")
    assert [wait.ended for wait in ctx.account.waits] == [""]
    assert ctx.account.below == "below"


@pytest.mark.parametrize("error", [indisponivel("x"), KeyError("x"), KeyboardInterrupt()])
def test_a_call_without_an_answer_is_lost(error: BaseException) -> None:
    """Its record below is none, also when an earlier call had one."""
    ctx = Contexto()
    ctx.account.below = "of an earlier call"
    with pytest.raises(type(error)):
        _fail(ctx, "separar_estoque", error)
    assert [(wait.kind, wait.ended) for wait in ctx.account.waits] == [("p", LOST)]
    assert ctx.account.below == ""


def test_an_answer_that_is_an_error_has_its_category() -> None:
    ctx, error = Contexto(), ErroServico(Categoria.CONFLITO, "x")
    with pytest.raises(ErroServico):
        _fail(ctx, "cancelar_envio", error, answer="")
    assert [(wait.kind, wait.ended) for wait in ctx.account.waits] == [("x", "conflito")]


def _fail(ctx: Contexto, name: str, error: BaseException, answer: str | None = None) -> None:
    """Make a call that ends in an error, after an answer with this record where there is one."""
    with Call(ctx, OPERATIONS[name]) as made:
        if answer is not None:
            made.answered(answer)
        raise error
