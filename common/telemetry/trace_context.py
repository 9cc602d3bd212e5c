"""W3C Trace Context (https://www.w3.org/TR/trace-context/): what names an order's trace on its way.

A hop passes the header's text on with another span in it, and reads no more of it. Span ids are not
drawn but follow from the caller's: whoever knows the first, and how often each hop called the next,
knows all of them, so the spans of an order can be made at its edge, after its end, from the timing
record alone. Ids are hexadecimal texts, as they travel. The id of a call is its caller's, the first
byte dropped and one appended that says which call it is, so that a hop has it for the price of two
slices; the ids that do not travel are made at the edge, by a hash. Of the eight bytes that were drawn
the call of the last hop has four: enough to tell apart the orders of one caller's trace, of which ten
thousand are a hundred to one without two that meet, and no other trace is concerned.
"""

from __future__ import annotations

import random
import re
from hashlib import blake2b
from typing import Final, NamedTuple

# Names on the wire, the same in gRPC metadata and HTTP headers.
TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
# Characters of a vendor's list that are passed on; the standard asks for at least so many.
STATE_MAX: Final = 512

_IDS: Final = r"-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-"
# Version 00 ends after its flags; a later one may go on after a dash. Version ff is none.
_TEXT: Final = re.compile(
    rf"00{_IDS}[0-9a-f]{{2}}|(?!00|ff)[0-9a-f]{{2}}{_IDS}[0-9a-f]{{2}}(?:-.*)?"
)
# Where the parts lie in the text.
_TRACE: Final = slice(3, 35)
_PARENT: Final = slice(36, 52)
_FLAGS: Final = slice(53, 55)
# Flags that we know: sampled, and that the trace's id is random.
_KNOWN: Final = 0x03
_SAMPLED: Final = frozenset({"01", "03"})
_PLAIN: Final = frozenset({"00", "01", "02", "03"})
# What a call appends to its caller's id: two bits for its kind, six for which of that kind it is. A
# record tells fewer (`account.WAITS_MAX`), and those beyond share a number.
_CALLS: Final = {
    kind: tuple(f"{place << 6 | number:02x}" for number in range(1 << 6))
    for place, kind in enumerate("pxc", start=1)
}


class TraceContext(NamedTuple):
    """A call in a trace: the trace, the call's own server span, and the span that called it.

    `parent` is "" where nobody did; `caller` is what the ids below follow from: at the edge an id of
    its own, since a caller may call twice in one span.
    """

    trace_id: str
    span_id: str
    parent: str
    caller: str
    state: str = ""

    @staticmethod
    def of(text: str, state: str = "", *, parent: str) -> TraceContext:
        """The call of a header's text, as the edge has `begun` or `reseeded` it."""
        trace_id, caller = text[_TRACE], text[_PARENT]
        return TraceContext(
            trace_id,
            server_span(trace_id, caller),
            parent,
            caller,
            state,
        )


def begun(draw: random.Random, *, sampled: bool = False) -> str:
    """A trace of its own, for a call that came without one; nobody has the span that it names."""
    # An id of zeros is none; that one in 2**64 is one is left to chance.
    ids = draw.randbytes(24).hex()
    return f"00-{ids[:32]}-{ids[32:]}-{'03' if sampled else '02'}"


def reseeded(text: str, draw: random.Random) -> str:
    """The trace of a caller, with an id of our own in the place of its span's."""
    return f"{text[:36]}{draw.randbytes(8).hex()}{text[52:]}"


def caller_of(text: str) -> str:
    """The span that a header's text names."""
    return text[_PARENT]


def received(text: str) -> str:
    """The trace that a caller sent, in version 00 and with the flags that we know; "" for none."""
    if _TEXT.fullmatch(text) is None:
        return ""
    if text[53:] in _PLAIN:
        return text
    return f"00{text[2:53]}{int(text[_FLAGS], 16) & _KNOWN:02x}"


def state_of(text: str | None) -> str:
    """A vendors' list, where it may be passed on; "" for none."""
    if text is None or len(text) > STATE_MAX or not (text.isascii() and text.isprintable()):
        return ""
    return text


def trace_of(text: str) -> str:
    """The id of the trace."""
    return text[_TRACE]


def wanted(text: str) -> bool:
    """Whether the caller wishes that its trace be kept."""
    return text[_FLAGS] in _SAMPLED


def draw_of(text: str) -> str:
    """Fourteen digits that every process would draw for this trace.

    The random part of an id is its low end (W3C Trace Context, level 2).
    """
    return text[21:35]


def sent(text: str, kind: str, number: int) -> str:
    """What goes with the call `number` (from 1) of a kind that a hop makes, see `client_span`.

    `text` is what came with its own call, as `begun`, `reseeded` or `received` gave it.
    """
    return f"{text[:36]}{text[38:52]}{_CALLS[kind][number & 63]}{text[52:]}"


def server_span(trace_id: str, caller: str) -> str:
    """The id of the span in which a hop serves what the span `caller` called."""
    return _id(f"{trace_id}{caller}")


def client_span(caller: str, kind: str, number: int) -> str:
    """The id of the span in which a hop, called by `caller`, makes a call.

    `kind` is what it waits for, as the timing record says it: one of "pxc".
    """
    return f"{caller[2:]}{_CALLS[kind][number & 63]}"


def inner_span(span_id: str, kind: str, number: int) -> str:
    """The id of the span of something that a hop, serving in `span_id`, waits for itself."""
    return _id(f"{span_id}.{kind}{number}")


def _id(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()
