"""The results of the matrix, of a soak, of an attack and of a scenario, for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from common.audit import print_report
from loadgen.chaos.attack.attacker import NOT_MADE
from loadgen.chaos.attack.siege import MOVES, SIGNS
from loadgen.chaos.matrix.cells import ERRORS
from loadgen.chaos.matrix.matrix import CellResult, MatrixResult
from loadgen.chaos.result import AttackResult, SoakResult
from loadgen.chaos.scenarios.stage import ScenarioResult


def show_matrix(result: MatrixResult, console: Console) -> None:
    """One row a fault, order and service, with the hits of each point."""
    table = Table(title=f"{result.mode}: hits at each point, and the slowest end after healing")
    for column in ("fault", "order", "service"):
        table.add_column(column)
    table.add_column("hits")
    table.add_column("s", justify="right")
    rows: dict[tuple[str, str, str], list[CellResult]] = {}
    for cell in result.cells:
        fault = "error" if cell.fault in ERRORS.values() else cell.fault
        rows.setdefault((fault, cell.scenario, cell.service), []).append(cell)
    for names, row in rows.items():
        slowest = max((cell.settled_s for cell in row if cell.settled_s is not None), default=None)
        marks = "  ".join(map(_mark, row))
        table.add_row(*names, marks, "-" if slowest is None else f"{slowest:.1f}")
    console.print(table)
    for cell in result.cells:
        if cell.problem:
            console.print(f"FAILED {cell.name}: {cell.problem}", highlight=False, markup=False)
    if result.audit.violations:
        print_report(result.audit, console)
    passed = sum(cell.passed for cell in result.cells)
    console.print(
        f"{result.mode}: {passed} of {len(result.cells)} cells hit and passed, "
        f"{result.audit.violations} violations, seed {result.seed}, {result.seconds:.0f} s",
        highlight=False,
    )


def _mark(cell: CellResult) -> str:
    mark = f"{cell.point}:{cell.hits}"
    return mark if cell.passed else f"[bold red]{mark} FAILED[/]"


def show_soak(result: SoakResult, console: Console) -> None:
    """The figures of a soak."""
    table = Table(title=f"{result.mode}: {result.load}, seed {result.seed}")
    table.add_column("")
    table.add_column("", justify="right")
    strikes = ", ".join(f"{number} {kind}" for kind, number in result.struck.items()) or "none"
    recovery = result.recovery_s
    rows = (
        ("strikes", strikes),
        ("strikes without effect (nobody there)", str(result.missed)),
        ("orders asked for", str(result.asked)),
        ("ended", ", ".join(f"{n} {kind}" for kind, n in result.outcomes.items()) or "none"),
        ("calls that failed; their keys were asked again", _counts(result.errors)),
        ("goodput before the first strike", f"{result.baseline_per_s:.0f} a second"),
        ("goodput over the whole attack", f"{result.goodput_per_s:.0f} a second"),
        ("back to 90 % after healing, median", _seconds(recovery.median if recovery else None)),
        ("the same, slowest", _seconds(recovery.slowest if recovery else None)),
        ("strikes after which that was seen, and not", _seen(result)),
        ("every order ended after the last heal", _seconds(result.settled_s)),
        ("violations", str(result.audit.violations)),
    )
    for name, value in rows:
        table.add_row(name, value)
    console.print(table)
    _show_problems(result, console)


def show_attack(result: AttackResult, console: Console) -> None:
    """The figures of an attack: what each kind of call came to, then the rest."""
    moves = Table(title=f"{result.mode}: {result.attackers} attackers, seed {result.seed}")
    moves.add_column("call")
    moves.add_column("made", justify="right")
    moves.add_column("came to")
    for move in MOVES:
        counts = result.moves.get(move, {})
        made = sum(number for word, number in counts.items() if word != NOT_MADE)
        moves.add_row(move, str(made), _counts(counts))
    console.print(moves)
    table = Table()
    table.add_column("")
    table.add_column("", justify="right")
    rows = (
        *(
            (f"{sign}, at so many services", _at_once(result.struck.get(sign, {})))
            for sign in SIGNS
        ),
        ("strikes that there was no time for", str(result.missed)),
        ("orders asked for", str(result.asked)),
        ("ended", _counts(result.outcomes)),
        ("calls that failed", _counts(result.errors)),
        ("left, and asked for again at the end", _counts(result.asked_again)),
        ("goodput over the whole attack", f"{result.goodput_per_s:.0f} a second"),
        ("every order ended after the last heal", _seconds(result.settled_s)),
        ("violations", str(result.audit.violations)),
        ("shipped long after their cancel had begun", str(len(result.not_pursued))),
    )  # fmt: skip
    for name, value in rows:
        table.add_row(name, value)
    console.print(table)
    _show_problems(result, console)
    if result.not_pursued:
        orders = ", ".join(map(str, result.not_pursued))
        console.print(f"cancels that were not pursued: orders {orders}", highlight=False)


def _at_once(struck: dict[int, int]) -> str:
    return (
        ", ".join(f"{number} at {at_once}" for at_once, number in sorted(struck.items())) or "none"
    )


def show_scenario(result: ScenarioResult, console: Console) -> None:
    """The figures of a scenario beside their bars."""
    options = ", ".join(f"{name} {value}" for name, value in result.options.items())
    table = Table(title=f"{result.mode}: {result.scenario} ({options}), seed {result.seed}")
    table.add_column("")
    table.add_column("", justify="right")
    table.add_column("bar", justify="right")
    table.add_column("met")
    for figure in result.figures:
        met = "" if figure.met is None else "yes" if figure.met else "[bold red]no[/]"
        table.add_row(figure.what, figure.value, figure.bar, met)
    table.add_row("orders", _counts(result.outcomes))
    table.add_row("calls that failed", _counts(result.errors))
    table.add_row("every order ended after the last heal", _seconds(result.settled_s))
    table.add_row("violations", str(result.audit.violations), "0", "")
    console.print(table)
    _show_problems(result, console)


def _show_problems(result: SoakResult | AttackResult | ScenarioResult, console: Console) -> None:
    if result.audit.violations:
        print_report(result.audit, console)
    for reason in result.broken:
        console.print(f"BROKEN: {reason}", highlight=False, markup=False)
    for reason in result.invalid_reasons:
        console.print(f"INVALID: {reason}", highlight=False, markup=False)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())) or "none"


def _seen(result: SoakResult) -> str:
    recovery = result.recovery_s
    return "-" if recovery is None else f"{recovery.of}, {recovery.unseen}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
