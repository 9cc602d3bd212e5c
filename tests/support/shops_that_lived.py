"""Shops that have worked, for the auditor to judge, and how its verdict is read."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console

from common.audit import AuditReport, print_report

if TYPE_CHECKING:
    from pathlib import Path


class Vivida(NamedTuple):
    """A shop that has worked: its files, its orders by fate, and its client's history."""

    data_dir: Path
    destinos: dict[str, list[int]]
    historia: list[dict[str, Any]]


def vermelhas(relatorio: AuditReport) -> set[str]:
    """The ids of the checks that found something."""
    return {check.id for check in relatorio.checks if check.total}


def acusados(relatorio: AuditReport) -> set[int | None]:
    """The orders that the violations name."""
    return {v.pedido_id for check in relatorio.checks for v in check.violations}


def impresso(relatorio: AuditReport) -> str:
    """The report as printed, wide enough not to wrap."""
    console = Console(file=io.StringIO(), width=200)
    print_report(relatorio, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def pulada(relatorio: AuditReport, check_id: str) -> str | None:
    """Why a check was not judged."""
    return next(check.skipped for check in relatorio.checks if check.id == check_id)
