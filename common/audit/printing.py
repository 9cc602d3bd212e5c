"""The report as a person reads it: one table, then each violation with its order's history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console

    from common.audit.report import AuditReport, Check, Dossier


def print_report(report: AuditReport, console: Console) -> None:
    """Print the table of checks and, for each violation, all that is known of its order."""
    console.print(_table(report))
    driven = _counts(report.orders)
    console.print(f"orders: {driven}; imported: {sum(report.imported.values())}", highlight=False)
    if report.open_orders:
        console.print(f"{report.open_orders} orders have not ended yet", highlight=False)
    told: set[int] = set()
    by_order = {dossier.pedido_id: dossier for dossier in report.dossiers}
    for check in report.checks:
        if check.total:
            _print_violations(check, by_order, told, console)
    verdict = (
        f"[bold red]{report.violations} violations[/]"
        if report.violations
        else "[bold green]clean[/]: no violation"
    )
    console.print(verdict, highlight=False)


def _table(report: AuditReport) -> Table:
    table = Table(title=f"Audit of {escape(report.data_dir)}", box=SIMPLE)
    table.add_column("check", no_wrap=True)
    table.add_column("rule", no_wrap=True)
    table.add_column("what it covers")
    table.add_column("rows", justify="right")
    table.add_column("violations", justify="right")
    for check in report.checks:
        outcome = f"[bold red]{check.total}[/]" if check.total else "[green]0[/]"
        if check.skipped:
            outcome = f"not judged: {escape(check.skipped)}"
        rule = ", ".join(map(str, check.invariants))
        table.add_row(check.id, rule, escape(check.title), f"{check.examined:,}", outcome)
    return table


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{total:,} {status}" for status, total in counts.items()) or "none"


def _print_violations(
    check: Check, by_order: dict[int, Dossier], told: set[int], console: Console
) -> None:
    console.print(f"\n[bold red]{check.id}[/]: {escape(check.title)}", highlight=False)
    for violation in check.violations:
        whose = "" if violation.pedido_id is None else f"order {violation.pedido_id}: "
        console.print(f"  {whose}{escape(violation.detail)}", highlight=False, soft_wrap=True)
        dossier = None if violation.pedido_id is None else by_order.get(violation.pedido_id)
        if dossier is None:
            continue
        if dossier.pedido_id in told:
            console.print("    its history is above", highlight=False)
            continue
        told.add(dossier.pedido_id)
        for line in _story(dossier):
            console.print(f"    {escape(line)}", highlight=False, soft_wrap=True)
    hidden = check.total - len(check.violations)
    if hidden:
        console.print(f"  and {hidden:,} more", highlight=False)


def _story(dossier: Dossier) -> list[str]:
    lines = [f"{event.instante}  {event.servico}: {event.text}" for event in dossier.events]
    lines += [f"now  {fact}" for fact in dossier.facts]
    lines += [f"client  {line}" for line in dossier.client]
    return lines or ["nothing is known of it"]
