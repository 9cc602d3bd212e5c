"""What the reader sees at the end: is it valid, what came of the orders, how fast."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from loadgen.attribution.cli import milliseconds, show_attribution
from loadgen.results.objectives import LATENCIES, RATES, SHARES, Judged
from loadgen.results.result import OUT_OF_STOCK_MAX, Outcomes, Result, without_stock


def show(result: Result, console: Console) -> None:
    """Print the tables of a result, then what its reader must know beside them."""
    console.print(_rates(result))
    console.print(_outcomes(result))
    console.print(_latency(result))
    found = result.attribution
    if found is not None and (found.median is not None or found.median_unanswered):
        show_attribution(found, console)
    elif result.hops_ms:
        console.print(_hops(result))
    if result.objectives:
        console.print(_objectives(result))
    if (line := _schedule(result)) is not None:
        console.print(line, markup=False, highlight=False)
    console.print(_notes(result), markup=False, highlight=False)
    for kind, detail in result.examples.items():
        console.print(f"{kind}, for example: {detail}", markup=False, highlight=False)
    share = without_stock(result.outcomes)
    if share > OUT_OF_STOCK_MAX:
        console.print(
            f"{share:.0%} of the orders ended in estoque_insuficiente: the shop sold out. Start"
            " with more, for example: python run_all.py --fresh --stock 1000000",
            highlight=False,
        )
    if result.valid:
        console.print("valid: the generator was within its own bounds", highlight=False)
    for reason in result.invalid_reasons:
        console.print(f"INVALID: {reason}", markup=False, highlight=False)


def _rates(result: Result) -> Table:
    table = Table(title=f"{result.mode}: {_loop(result)}", title_justify="left")
    names = ("offered", "sent", "completed", "seconds", "completed/s", "goodput/s", "steady/s")
    for name in names:
        table.add_column(name, justify="right")
    goodput = result.goodput_per_s
    table.add_row(
        f"{result.offered:,}",
        f"{result.sent:,}",
        f"{result.completed:,}",
        f"{result.duration_s:.2f}",
        f"{result.throughput_per_s:,.1f}",
        "-" if goodput is None else f"{goodput:,.1f}",
        "-" if result.steady is None else f"{result.steady.throughput_per_s:,.1f}",
    )
    return table


def _loop(result: Result) -> str:
    """Which loop it was, and for an open one what was asked for and how it was kept."""
    kept, schedule = result.open_loop, result.plan.schedule
    if kept is None or schedule is None:
        return f"closed loop, {result.concurrency:,} callers"
    rates = [edge for each in schedule.stretches for edge in (each.from_per_s, each.to_per_s)]
    asked = f"{rates[0]:,g}" if len(set(rates)) == 1 else f"{min(rates):,g} to {max(rates):,g}"
    return f"open loop, {asked} orders/s for {kept.length_s:g} s, {kept.arrival}"


def _schedule(result: Result) -> str | None:
    """How an open loop kept to its schedule, in a line."""
    kept = result.open_loop
    if kept is None:
        return None
    late = kept.late_ms.p99
    return (
        f"schedule: {kept.asked_per_s:,.1f}/s asked, {kept.offered_per_s:,.1f}/s offered,"
        f" {kept.sent_per_s:,.1f}/s sent"
        + ("" if late is None else f"; sent late by {late:.1f} ms (p99)")
        + (
            f"; {kept.unsent:,} unsent because {kept.under_way_max:,} were under way"
            if kept.unsent
            else ""
        )
    )


def _objectives(result: Result) -> Table:
    table = Table("objective")
    table.add_column("value", justify="right")
    table.add_column("met")
    for each in result.objectives:
        table.add_row(each.text, _judged(each), "yes" if each.met else "NO")
    return table


def _judged(each: Judged) -> str:
    if each.value is None:
        return "unknown"
    if each.figure in SHARES:
        return f"{each.value:.3%}"
    unit = "/s" if each.figure in RATES else " ms"
    return f"{each.value:,.2f}{unit}"


def _notes(result: Result) -> str:
    """What the figures must be read with, in a line."""
    generator = result.generator
    warm = result.warmup.total()
    return (
        f"seed {result.seed}; generator: {generator.cpu_s:.2f} s of CPU in"
        f" {generator.processes} process(es), loop late by {generator.loop_lag_p99_ms:.1f} ms (p99)"
        + (f"; {warm:,} orders of the warm-up left out" if warm else "")
    )


def outcome_rows(outcomes: Outcomes, refused: dict[str, int]) -> list[tuple[str, int]]:
    """Every outcome that occurred, by name, in the contract's order."""
    rows = [("enviado", outcomes.enviado)]
    rows += [(f"cancelado: {label}", n) for label, n in sorted(outcomes.cancelado.items())]
    rows += [("pendente", outcomes.pendente)] if outcomes.pendente else []
    rows += [(f"recusado: {label}", n) for label, n in sorted(refused.items())]
    rows += [(f"erro: {label}", n) for label, n in sorted(outcomes.erro.items())]
    return rows


def _outcomes(result: Result) -> Table:
    table = Table("outcome")
    table.add_column("orders", justify="right")
    table.add_column("share", justify="right")
    for name, number in outcome_rows(result.outcomes, result.recusado_por):
        share = number / result.sent if result.sent else 0.0
        table.add_row(name, f"{number:,}", f"{share:.1%}")
    return table


def _latency(result: Result) -> Table:
    table = Table("ms")
    for name in LATENCIES:
        table.add_column(name, justify="right")
    rows = {"latency": result.latency_ms}
    if result.open_loop is not None:
        # From the sending: what the services did to those orders, without the wait before it.
        rows["service"] = result.service_ms
    for title, figures in rows.items():
        values: list[float | None] = [getattr(figures, name) for name in LATENCIES]
        table.add_row(title, *("-" if value is None else milliseconds(value) for value in values))
    return table


def _hops(result: Result) -> Table:
    table = Table("mean ms")
    fields = list(dict.fromkeys(key for hop in result.hops_ms.values() for key in hop))
    for name in fields:
        table.add_column(name, justify="right")
    for service, values in result.hops_ms.items():
        table.add_row(service, *(milliseconds(values.get(name, 0.0)) for name in fields))
    return table
