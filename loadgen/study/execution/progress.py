"""How far a study has come: a bar with the time left on a terminal, a line a run elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from loadgen.study.records.record import RunRecord


class Progress:
    """Counts runs and foretells the time left; a context manager around a study.

    What is foretold is the estimate of the plan, corrected by how the runs so far compare to it.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._total = 0
        self._done = 0
        self._left_s = 0.0
        self._expected_s = 0.0
        self._took_s = 0.0
        self._begun = time.monotonic()
        self._bar = (
            Bar(
                MofNCompleteColumn(),
                BarColumn(bar_width=30),
                TextColumn("{task.fields[left]}  {task.description}"),
                console=console,
                transient=True,
            )
            if console.is_terminal
            else None
        )
        self._line = None if self._bar is None else self._bar.add_task("", total=None, left="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def expect(self, total: int, done: int, seconds: float) -> None:
        """So many more runs, of which some are there already; the others take so long.

        Less than nothing where they take less than was foreseen.
        """
        self._total += total
        self._done += done
        self._left_s = max(0.0, self._left_s + seconds)

    def add(self, runs: int) -> None:
        """So many more runs, whose time was foreseen."""
        self._total += runs

    def begin(self, run_id: str) -> None:
        """A run begins."""
        self._begun = time.monotonic()
        self._draw(run_id)

    def end(self, run: RunRecord, expected_s: float) -> None:
        """A run has ended; it was expected to take so long."""
        self._done += 1
        self._left_s = max(0.0, self._left_s - expected_s)
        self._expected_s += expected_s
        self._took_s += run.took_s
        words = f"{self._done}/{self._total} {run.id}: {summary(run)}"
        if self._bar is None:
            words += f"; {self.left()}"
        self.say(words)
        self._draw("")

    def left(self) -> str:
        """About how long the rest takes."""
        pace = self._took_s / self._expected_s if self._expected_s else 1.0
        seconds = self._left_s * pace
        if seconds < 90:
            return f"about {seconds:.0f} s left"
        return f"about {seconds / 60:.0f} min left"

    def say(self, line: str) -> None:
        """A line that stays."""
        console = self._console if self._bar is None else self._bar.console
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _draw(self, words: str) -> None:
        if self._bar is not None and self._line is not None:
            self._bar.update(
                self._line,
                completed=self._done,
                total=self._total,
                description=words,
                left=self.left(),
            )


def summary(run: RunRecord) -> str:
    """A run in a few words."""
    if run.result is None or run.status != "ok":
        return f"{run.status.upper()}: {'; '.join(run.reasons)}"
    latency = run.result.latency_ms
    rate = run.throughput_per_s
    words = "-" if rate is None else f"{rate:,.1f}/s"
    if latency.p50 is not None and latency.p99 is not None:
        words += f", p50 {latency.p50:,.0f} ms, p99 {latency.p99:,.0f} ms"
    return words
