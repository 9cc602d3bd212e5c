"""All that any service knows of one order, by time: log lines, its steps, and its hops.

Steps are the transitions in the services' own books, so that an order of which nothing was logged has
its lines, too. Hops are those of a trace that was kept: they come from its timing record.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from common.audit import AuditError, Dossier, story
from common.telemetry.logs import Entry, of_order
from common.telemetry.spans import Span, spans
from common.telemetry.trace_context import TraceContext, begun

STEP: Final = "STEP"
HOP: Final = "HOP"


class Line(NamedTuple):
    """Something that happened: `time` is seconds since 1970, `kind` a level, STEP or HOP."""

    time: float
    service: str
    kind: str
    text: str
    trace_id: str = ""


class OrderLog(NamedTuple):
    """The lines of one order, by time.

    `known` says whether a book has it: one of the imported past has no steps. `problem` is why the
    books could not be read, "" where they were.
    """

    lines: list[Line]
    known: bool
    problem: str

    def __str__(self) -> str:
        """As a person reads it, in this machine's time; with the date where that changes."""
        instants = [datetime.fromtimestamp(line.time, UTC).astimezone() for line in self.lines]
        days = len({instant.date() for instant in instants})
        form = "%H:%M:%S.%f" if days <= 1 else "%Y-%m-%d %H:%M:%S.%f"
        return "\n".join(
            "  ".join(
                [
                    instant.strftime(form)[:-3],
                    f"{line.service:<10}",
                    f"{line.kind:<7}",
                    line.text,
                    *([f"trace={line.trace_id}"] if line.trace_id else []),
                ]
            )
            for instant, line in zip(instants, self.lines, strict=True)
        )


def order_log(data_dir: Path, order: int) -> OrderLog:
    """All that is known of one order; only its log lines where its books cannot be read."""
    logged = of_order(data_dir, order)
    found = [_logged(entry, order) for entry in logged]
    for entry in logged:
        if entry.hops and entry.pedido_id == order:
            found += _hops(entry)
    known, problem = False, ""
    try:
        dossier = story(data_dir, order)
    except AuditError as error:
        problem = str(error)
    else:
        found += _steps(dossier)
        known = bool(dossier.facts)
    # A stable sort: within one instant the order down the chain stays.
    return OrderLog(sorted(found, key=lambda line: line.time), known, problem)


def kept_spans(entry: Entry) -> list[Span]:
    """The spans of a trace that was kept; their ids are not shown and need not be its own."""
    context = TraceContext.of(begun(random.Random(0)), parent="")
    return spans(entry.hops, entry.operation, context)


def _logged(entry: Entry, order: int) -> Line:
    """A line; of another order in the same trace with that one's number."""
    other = "" if entry.pedido_id in {0, order} else f" (order {entry.pedido_id})"
    text = f"{entry.message}{other}"
    return Line(entry.time, entry.service, entry.level, text, entry.trace_id)


def _steps(dossier: Dossier) -> Iterator[Line]:
    for event in dossier.events:
        instant = datetime.fromisoformat(event.instante).timestamp()
        yield Line(instant, event.servico, STEP, event.text)


def _hops(entry: Entry) -> Iterator[Line]:
    """When each hop was asked, and how long it took; the edge's answer is the line's own instant."""
    found = kept_spans(entry)
    if not found:
        return
    edge = found[0]
    for span in found:
        if span.kind != "server":
            continue
        waited = {
            name: sum(s.end_ms - s.start_ms for s in found if s.parent == span.span_id and picks(s))
            for name, picks in (("storage", _is_storage), ("gateway", _is_gateway))
        }
        parts = [f"{name} {ms:.1f}" for name, ms in waited.items() if ms > 0]
        within = f" ({', '.join(parts)})" if parts else ""
        how = "no answer" if span.missing else f"{span.end_ms - span.start_ms:.1f} ms{within}"
        error = f": {span.error}" if span.error and not span.missing else ""
        began = entry.time - (edge.end_ms - span.start_ms) / 1e3
        yield Line(began, span.service, HOP, f"{span.name}: {how}{error}", entry.trace_id)


def _is_storage(span: Span) -> bool:
    return bool(span.database)


def _is_gateway(span: Span) -> bool:
    return span.name == "gateway"
