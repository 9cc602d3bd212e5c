"""Traces: what travels, whose spans they are, and which are kept."""

from __future__ import annotations

import random
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.servicos.protocolo.account import WAITS_MAX, Account
from common.servicos.protocolo.record import LOST, Hop, decode
from common.telemetry import trace_context as w3c
from common.telemetry.retention import (
    BURST,
    LOOK_EVERY,
    RECENT_ORDERS,
    RUN_MAX,
    SLOW_SHARE,
    Keeping,
    Slow,
)
from common.telemetry.spans import CALLS, Span, spans

EXAMPLE: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CHAIN: Final = ("pedidos", "pagamentos", "estoque", "fiscal", "logistica")
STEPS: Final = [calls["p"] for calls in CALLS.values()]


# --- what travels -------------------------------------------------------------------------------


def context_of(text: str, *, begun_here: bool = False) -> w3c.TraceContext:
    return w3c.TraceContext.of(text, parent="" if begun_here else w3c.caller_of(text))


def test_the_standards_own_example_is_read() -> None:
    assert w3c.received(EXAMPLE) == EXAMPLE
    found = context_of(EXAMPLE)
    assert found.trace_id == w3c.trace_of(EXAMPLE) == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert found.parent == "00f067aa0ba902b7"
    assert w3c.wanted(EXAMPLE)
    assert not w3c.wanted(EXAMPLE[:-1] + "0")


@pytest.mark.parametrize(
    "text",
    [
        "",
        EXAMPLE.upper(),
        EXAMPLE + "-more",
        "ff" + EXAMPLE[2:],
        "01" + EXAMPLE[2:] + "more",
        EXAMPLE[:-1],
        EXAMPLE.replace("4bf92f3577b34da6a3ce929d0e0e4736", 32 * "0"),
        EXAMPLE.replace("00f067aa0ba902b7", 16 * "0"),
        EXAMPLE.replace("-", "_"),
        EXAMPLE + "\n",
    ],
)
def test_what_is_no_trace_is_none(text: str) -> None:
    assert w3c.received(text) == ""


def test_a_later_version_is_understood_as_ours() -> None:
    """What it says beyond ours is dropped, and flags that we do not know are cleared."""
    assert w3c.received("01" + EXAMPLE[2:] + "-more") == EXAMPLE
    assert w3c.received(EXAMPLE[:-2] + "ff") == EXAMPLE[:-2] + "03"


@pytest.mark.parametrize("state", [600 * "a", "a=\x00", "a=é", None])
def test_a_list_that_may_not_travel_is_left_behind(state: str | None) -> None:
    assert w3c.state_of(state) == ""
    assert w3c.state_of("congo=t61rcWkgMzE") == "congo=t61rcWkgMzE"


@given(st.integers(0, 2**32), st.sampled_from("pxc"), st.integers(1, WAITS_MAX), st.booleans())
def test_a_hop_reads_what_the_hop_above_sent(
    seed: int, kind: str, number: int, sampled: bool
) -> None:
    above = w3c.begun(random.Random(seed), sampled=sampled)
    below = w3c.received(w3c.sent(above, kind, number))
    assert w3c.trace_of(below) == w3c.trace_of(above)
    found, caller = context_of(below), context_of(above, begun_here=True)
    assert found.parent == w3c.client_span(caller.caller, kind, number)
    assert found.span_id == w3c.server_span(caller.trace_id, found.parent)
    assert w3c.wanted(below) == w3c.wanted(above) == sampled
    assert caller.parent == ""


# --- spans from the record ----------------------------------------------------------------------


def told(
    services: tuple[str, ...] = CHAIN, *, attempts: int = 1, error: str = "", how: str = LOST
) -> tuple[tuple[Hop, ...], w3c.TraceContext]:
    """The record of an order that came so far; each hop within the one above, by its own code."""
    text = w3c.begun(random.Random(1))
    record = ""
    for depth, service in reversed(list(enumerate(services))):
        start, length = 100.0 + depth, 0.1 - 0.01 * depth
        account = Account(start)
        account.below = record
        account.waited("b", start + 0.001, start + 0.002)
        if service == "pagamentos":
            account.waited("g", start + 0.002, start + 0.003)
        if service != "logistica":
            tries = attempts if service == "pedidos" else 1
            for attempt in range(tries):
                failed = attempt < tries - 1 or service == services[-1]
                begin = start + 0.004 + attempt
                account.waited("p", begin, begin + 0.001, how if failed else "")
            account.waited("b", start + 0.05, start + 0.06)
        record = account.record(service, start + length, error if service == services[-1] else "")
    return decode(record), context_of(text, begun_here=True)


def by_service(found: list[Span], kind: str) -> dict[str, Span]:
    return {span.service: span for span in found if span.kind == kind and not span.database}


def test_one_order_is_one_tree_whose_parents_are_right() -> None:
    hops, context = told()
    found = spans(hops, "criar_pedido", context)
    servers = by_service(found, "server")
    assert tuple(servers) == CHAIN
    assert len({span.span_id for span in found}) == len(found)
    ids = {span.span_id for span in found}
    assert [span for span in found if span.parent not in ids] == [servers["pedidos"]]
    calls = {span.operation: span for span in found if span.kind == "client" and span.operation}
    above = f"00-{context.trace_id}-{context.caller}-00"
    for service, operation in zip(CHAIN[:-1], STEPS, strict=True):
        # What the hop above sent with its call names the caller's span, and begets the hop's own.
        above = w3c.received(w3c.sent(above, "p", 1))
        below = context_of(above)
        assert calls[operation].parent == servers[service].span_id
        assert calls[operation].span_id == below.parent
        called = next(span for span in servers.values() if span.operation == operation)
        assert (called.span_id, called.parent) == (below.span_id, below.parent)
    stored = [span for span in found if span.database]
    assert len(stored) == 9
    assert all(span.parent == servers[span.service].span_id for span in stored)
    assert not any(span.missing or span.error for span in found)


def test_instants_are_those_of_the_hops() -> None:
    hops, context = told()
    for span in spans(hops, "criar_pedido", context):
        if span.kind == "server":
            depth = CHAIN.index(span.service)
            assert span.start_ms == pytest.approx((100 + depth) * 1e3, abs=0.01)
            assert span.end_ms - span.start_ms == pytest.approx(100 - 10 * depth, abs=0.01)


def test_a_hop_that_told_nothing_is_marked_missing() -> None:
    """Its caller waited for it: its span lies where that wait did."""
    hops, context = told(CHAIN[:3])
    found = spans(hops, "criar_pedido", context)
    [missing] = [span for span in found if span.missing]
    assert (missing.service, missing.operation) == ("fiscal", "emitir_nota_fiscal")
    [call] = [span for span in found if span.span_id == missing.parent]
    assert (call.service, call.error) == ("estoque", "indisponivel")
    assert (missing.start_ms, missing.end_ms) == (call.start_ms, call.end_ms)


def test_attempts_without_an_answer_are_spans_of_their_own() -> None:
    hops, context = told(attempts=3)
    found = spans(hops, "criar_pedido", context)
    calls = [s for s in found if s.operation == "processar_pagamento" and s.kind == "client"]
    assert [bool(call.error) for call in calls] == [True, True, False]
    served = [s for s in found if s.operation == "processar_pagamento" and s.kind == "server"]
    assert [hop.missing for hop in served] == [True, True, False]
    assert len({span.span_id for span in found}) == len(found)


def test_an_attempt_that_was_answered_is_not_missing() -> None:
    """What it did below is not known, that it answered is."""
    hops, context = told(attempts=2, how="sobrecarga")
    found = [s for s in spans(hops, "criar_pedido", context) if s.name == "processar_pagamento"]
    assert [(s.kind, s.error, s.missing) for s in found] == [
        ("client", "sobrecarga", False), ("server", "sobrecarga", False),
        ("client", "", False), ("server", "", False),
    ]  # fmt: skip


def test_a_step_that_was_undone_was_answered_all_the_same() -> None:
    """The record below is that of the undoing; the step before it ended well."""
    text, account = w3c.begun(random.Random(1)), Account(1.0)
    account.waited("p", 1.1, 1.2)
    account.waited("x", 1.3, 1.4)
    hops = account.hop("pedidos", 1.5), Hop("pagamentos", 1_305_000, 90_000)
    found = spans(hops, "criar_pedido", context_of(text, begun_here=True))
    assert [(s.kind, s.service, s.name) for s in found if not s.database] == [
        ("server", "pedidos", "criar_pedido"),
        ("client", "pedidos", "processar_pagamento"),
        ("server", "pagamentos", "processar_pagamento"),
        ("client", "pedidos", "cancelar_pagamento"),
        ("server", "pagamentos", "cancelar_pagamento"),
    ]
    assert not any(s.missing or s.error for s in found)
    assert found[-1].start_ms == 1305.0


def test_a_question_that_failed_shows() -> None:
    account = Account()
    account.waited("c", 0.1, 0.2, LOST)
    hops = (account.hop("pedidos", 0.5, "indisponivel"),)
    found = spans(hops, "criar_pedido", context_of(w3c.begun(random.Random(1))))
    assert [(s.service, s.error, s.missing) for s in found] == [
        ("pedidos", "indisponivel", False), ("pedidos", "indisponivel", False),
        ("catalogo", "indisponivel", True),
    ]  # fmt: skip


def test_waits_beyond_the_bound_have_no_spans() -> None:
    account = Account()
    for number in range(2 * WAITS_MAX):
        account.waited("b", number, number + 0.5)
    found = spans((account.hop("fiscal", 99.0),), "emitir_nota_fiscal", told()[1])
    assert len(found) == 1 + WAITS_MAX


def test_two_calls_in_one_span_of_the_caller_have_ids_of_their_own() -> None:
    draw = random.Random(2)
    first, second = (context_of(w3c.reseeded(EXAMPLE, draw)) for _ in range(2))
    assert first.trace_id == second.trace_id
    assert first.span_id != second.span_id


def test_an_error_is_that_of_the_hop_that_answered_it() -> None:
    hops, context = told(CHAIN[:2], error="conflito")
    servers = by_service(spans(hops, "criar_pedido", context), "server")
    assert servers["pagamentos"].error == "conflito"
    assert servers["pedidos"].error == ""


# --- which are kept -----------------------------------------------------------------------------


def test_all_that_failed_or_were_asked_for_are_kept_and_a_share_of_the_rest() -> None:
    keeping, draw = Keeping(0.05), random.Random(5)
    whys = [keeping.why(w3c.begun(draw), 0.1, failed=False) for _ in range(20_000)]
    kept = whys.count("share") / len(whys)
    assert kept == pytest.approx(0.05, abs=0.01)
    assert keeping.why(w3c.begun(draw), 0.1, failed=True) == "failed"
    assert keeping.why(EXAMPLE, 0.1, failed=False) == "asked"


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_none_and_all_are_shares(share: float) -> None:
    keeping, draw = Keeping(share), random.Random(5)
    whys = {keeping.why(w3c.begun(draw), 0.1, failed=False) for _ in range(100)}
    assert whys == ({"share"} if share else {None})


@pytest.mark.parametrize("middle_s", [0.005, 1.0, 30.0])
def test_slow_is_the_slowest_hundredth_of_late(middle_s: float) -> None:
    """Whatever the level, and soon after it has changed."""
    slow, draw = Slow(), random.Random(3)
    for level in (middle_s, 4 * middle_s, middle_s):
        for _ in range(3_000):
            slow.note(level * draw.lognormvariate(0, 0.4))
        found = [slow.note(level * draw.lognormvariate(0, 0.4)) for _ in range(10_000)]
        assert sum(found) / len(found) == pytest.approx(0.01, abs=0.006)
        assert slow.note(level * 10)
        assert not slow.note(level)


def test_nothing_is_slow_before_there_is_anything_to_compare_with() -> None:
    slow = Slow()
    found = [slow.note(float(n)) for n in range(LOOK_EVERY)]
    assert not any(found)
    assert slow.note(float(LOOK_EVERY))


def test_a_crowd_that_comes_at_once_is_not_slow_as_a_whole() -> None:
    """Each of its orders takes longer than all before it."""
    slow = Slow()
    found = [slow.note(n / 1_000) for n in range(1_000)]
    assert 0 < sum(found) <= RUN_MAX + BURST * SLOW_SHARE * len(found)


def test_after_a_slow_spell_it_is_soon_as_before() -> None:
    slow = Slow()
    for level in (1.0, 20.0):
        for _ in range(RECENT_ORDERS):
            slow.note(level)
    for _ in range(RECENT_ORDERS + LOOK_EVERY):
        assert not slow.note(1.0)
    assert slow.note(1.1)
