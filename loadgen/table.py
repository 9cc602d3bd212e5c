"""What the reader sees at the end: is it valid, what came of the orders, how fast."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from loadgen.attribution import milliseconds, show_attribution
from loadgen.result import SEM_ESTOQUE_MAX, Outcomes, Result, without_stock


def show(result: Result, console: Console) -> None:
    """Print the tables of a result, then what its reader must know beside them."""
    console.print(_rates(result))
    console.print(_outcomes(result))
    console.print(_latency(result))
    if result.attribution is not None and result.attribution.median is not None:
        show_attribution(result.attribution, console)
    elif result.hops_ms:
        console.print(_hops(result))
    console.print(_notes(result), markup=False, highlight=False)
    for kind, detail in result.examples.items():
        console.print(f"{kind}, for example: {detail}", markup=False, highlight=False)
    share = without_stock(result.outcomes)
    if share > SEM_ESTOQUE_MAX:
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
    table = Table(
        title=f"{result.mode}: closed loop, {result.concurrency:,} callers", title_justify="left"
    )
    for name in ("offered", "sent", "completed", "seconds", "completed/s", "goodput/s", "steady/s"):
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
    table = Table(title=None)
    table.add_column("latency")
    row = ["ms"]
    latency = result.latency_ms
    for name in ("mean", "p50", "p90", "p95", "p99", "p999", "max"):
        table.add_column(name, justify="right")
        value: float | None = getattr(latency, name)
        row.append("-" if value is None else milliseconds(value))
    table.add_row(*row)
    return table


def _hops(result: Result) -> Table:
    table = Table("mean ms")
    fields = list(dict.fromkeys(key for hop in result.hops_ms.values() for key in hop))
    for name in fields:
        table.add_column(name, justify="right")
    for service, values in result.hops_ms.items():
        table.add_row(service, *(milliseconds(values.get(name, 0.0)) for name in fields))
    return table
