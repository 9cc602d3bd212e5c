"""The command `python -m loadgen.report`: read, compose, write, say where."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress

from loadgen.report.figures.collection import Gathered, MixedResultsError, gather
from loadgen.report.rendering.document import Document
from loadgen.report.rendering.markdown import FIGURES
from loadgen.report.rendering.pictures import NoPicturesError, check_package
from loadgen.study.records.store import ResultsError

EXIT_OK: Final = 0
EXIT_PARTIAL: Final = 1
EXIT_UNUSABLE: Final = 2
MARKDOWN: Final = "RELATORIO.md"
PAGE: Final = "relatorio.html"

_EXPLAINED: Final = f"""writes {MARKDOWN} with its figures in {FIGURES}/, and {PAGE}, one page that needs nothing else

exit codes:
  0  written, from a complete study in which every run is valid
  1  written, but runs are missing, invalid or failed: the report says which
  2  nothing written: wrong options, results that cannot be read or must not be mixed, or the
     package that draws is missing"""


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = _parse(argv)
    try:
        check_package()
        with _progress() as progress:
            task = progress.add_task("runs read", total=None)
            gathered = gather(
                args.results,
                mix=args.mix,
                on_progress=lambda done, total: progress.update(task, completed=done, total=total),
            )
            written = write(gathered, args.out, progress)
    except (ResultsError, MixedResultsError, NoPicturesError) as error:
        print(f"loadgen.report: {error}", file=sys.stderr)
        return EXIT_UNUSABLE
    except OSError as error:
        print(f"loadgen.report: {error.filename}: {error.strerror}", file=sys.stderr)
        return EXIT_UNUSABLE
    for path in written:
        print(path)
    return EXIT_OK if whole(gathered) else EXIT_PARTIAL


def whole(gathered: Gathered) -> bool:
    """True when no run is missing and every one may be believed."""
    return all(
        source.manifest.complete and not source.missing for source in gathered.sources
    ) and all(run.status == "ok" for run in gathered.runs)


def write(gathered: Gathered, out: Path, progress: Progress) -> list[Path]:
    """Write the report to a folder; returns the two pages. Raises OSError.

    Figures of an earlier report there are removed: one that nothing refers to would lie about.
    """
    from loadgen.report.composition import compose

    document = compose(gathered)
    folder = out / FIGURES
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    _write_figures(document, folder, progress)
    from loadgen.report.rendering import markdown, web

    pages = {out / MARKDOWN: markdown.rendered(document), out / PAGE: web.rendered(document)}
    for path, text in pages.items():
        path.write_text(text, encoding="utf-8")
    return list(pages)


def _write_figures(document: Document, folder: Path, progress: Progress) -> None:
    from loadgen.report.rendering.pictures import picture

    figures, drawings = document.figures(), document.drawings()
    task = progress.add_task("figures drawn", total=len(figures) + len(drawings))
    for drawing in drawings:
        (folder / f"{drawing.name}.svg").write_text(drawing.svg, encoding="utf-8")
        progress.advance(task)
    for figure in figures:
        (folder / f"{figure.chart.name}.svg").write_text(picture(figure.chart), encoding="utf-8")
        progress.advance(task)


@contextmanager
def _progress() -> Iterator[Progress]:
    """Bars on a terminal; nothing where nobody watches."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadgen.report",
        description="Turn the results of python -m loadgen.study into the report, in Portuguese.",
        epilog=_EXPLAINED,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("results", type=Path, nargs="+", metavar="DIR", help="a results directory")
    add(
        "--out", type=Path, default=Path("relatorio"), metavar="DIR",
        help="where the report is written (default relatorio)",
    )  # fmt: skip
    add(
        "--mix", action="store_true",
        help="put together results that must not be compared, with a warning",
    )  # fmt: skip
    args = parser.parse_args(argv)
    if len({path.resolve() for path in args.results}) < len(args.results):
        parser.error("the same results directory is given twice")
    if args.out.exists() and not args.out.is_dir():
        parser.error(f"--out {args.out} is a file: name a folder")
    return args
