"""The command `python -m loadgen.study`: choose a plan, check it, run it, go on with it, sum it up."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import signal
import sys
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console

from common.arms import MODES
from common.option_types import natural
from common.storage.lock import InUseError, held
from loadgen.study.analysis.comparison import compare_directories
from loadgen.study.analysis.summary import show
from loadgen.study.design.cells import hunts, tasks
from loadgen.study.design.checks import check, this_machine
from loadgen.study.design.duration import estimate_s, seconds_of
from loadgen.study.design.presets import PRESETS
from loadgen.study.execution.campaign import Campaign, begin, resume
from loadgen.study.execution.progress import Progress, summary
from loadgen.study.execution.repetition import read_only, repeat
from loadgen.study.records.plan import PlanError, Study, read_plan
from loadgen.study.records.record import Manifest, RunRecord
from loadgen.study.records.store import MANIFEST, ResultsError, read_manifest

EXIT_OK: Final = 0
EXIT_NOT_ALL: Final = 1
EXIT_UNUSABLE: Final = 2
# What a shell makes of a process that an interrupt ended.
EXIT_INTERRUPTED: Final = 130

LOCK: Final = "study.lock"
RESULTS: Final = Path("results")

EPILOG: Final = """A plan is data: experiments with their arms, payment waits, loads, repetitions and faults. Each run is
made in fresh processes, in an order drawn from the seed, and ends with the audit, which voids its
figures when it is not clean. Everything is kept in the results directory; what was made is kept
when a study is interrupted, and --resume goes on with it.

exit codes:
  0  done: every run is valid (with --compare: no contradiction)
  1  done, but some runs failed or are invalid; they are kept and said (--compare: contradicted)
  2  wrong options, a plan that cannot be done, or results that cannot be read: one line says why
  130  interrupted; the last line says how to go on"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    args = _parse(given)
    try:
        return _run(args, shlex.join(["python", "-m", "loadgen.study", *given]))
    except (PlanError, ResultsError) as error:
        sentence = str(error)
    except InUseError:
        sentence = f"another study runs in {args.resume or args.out}: wait for it or stop it"
    except OSError as error:
        sentence = f"{error.filename or 'the results'}: {error.strerror or error}"
    print(f"study: {sentence}", file=sys.stderr)
    return EXIT_UNUSABLE


def _run(args: argparse.Namespace, command: str) -> int:
    """What was asked for; returns the exit code."""
    answer, progress = Console(), Console(stderr=True)
    if args.show is not None:
        show(args.show, answer)
        return EXIT_OK
    if args.compare is not None:
        one, other = args.compare
        return EXIT_NOT_ALL if compare_directories(one, other, answer) else EXIT_OK
    if args.only is not None:
        return _only(args, command, answer)
    if args.list:
        _list(_chosen(args), answer)
        return EXIT_OK
    return _study(args, command, answer, progress)


def _only(args: argparse.Namespace, command: str, answer: Console) -> int:
    """Make one run again, and put it beside the one that was there."""
    first = read_only(args.source, args.only)
    directory: Path = args.out or _new_directory("only")
    _refuse_a_study(directory)
    made: list[RunRecord] = []

    async def work() -> None:
        made.append(await repeat(args.source, first, directory, command))

    if asyncio.run(_interruptibly(work())):
        print("interrupted; nothing was kept", file=sys.stderr)
        return EXIT_INTERRUPTED
    for where, run in ((args.source, first), (directory, made[0])):
        answer.print(f"{where}: {run.id}: {summary(run)}", highlight=False, soft_wrap=True)
    return EXIT_OK if made[0].status == "ok" else EXIT_NOT_ALL


def _refuse_a_study(directory: Path) -> None:
    if (directory / MANIFEST).exists():
        raise PlanError(f"{directory} holds a study; go on with it: {_resume_words(directory)}")


def _study(args: argparse.Namespace, command: str, answer: Console, progress: Console) -> int:
    """Begin a study or go on with one."""
    if args.resume is not None:
        directory: Path = args.resume
        _check(read_manifest(directory).plan)
    else:
        study = _chosen(args)
        _check(study)
        directory = args.out = args.out or _new_directory(study.name)
        _refuse_a_study(directory)
    with held(directory / LOCK):
        if args.resume is None:
            manifest = begin(directory, study, command)
        else:
            manifest = resume(directory, command, again=args.again, elsewhere=args.elsewhere)
            _say_if_changed(manifest, progress)
        with Progress(progress) as bar:
            campaign = Campaign(directory, manifest, bar)
            bar.say(f"{manifest.preset}: results in {directory}")
            for limit in manifest.plan.limits:
                bar.say(f"note: {limit}")
            interrupted = asyncio.run(_interruptibly(campaign.run()))
    if interrupted:
        print(f"interrupted; go on with: {_resume_words(directory)}", file=sys.stderr)
        return EXIT_INTERRUPTED
    show(directory, answer)
    return _verdict(campaign.statuses, directory)


async def _interruptibly(work: Coroutine[None, None, None]) -> bool:
    """Run to the end, or to the first interrupt: True then. What was under way is given up."""
    loop = asyncio.get_running_loop()
    running = asyncio.ensure_future(work)
    for sign in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sign, running.cancel)
    try:
        with suppress(asyncio.CancelledError):
            await running
    finally:
        for sign in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(sign)
    return running.cancelled()


def _verdict(statuses: Counter[str], directory: Path) -> int:
    total, good = statuses.total(), statuses["ok"]
    print(f"{good} of {total} runs are valid; results in {directory}")
    if good == total:
        return EXIT_OK
    print(
        f"{statuses['invalid']} invalid, {statuses['failed']} failed: their reasons are in"
        f" {directory / 'runs'}; make them again, but those whose audit found violations, with:"
        f" {_resume_words(directory)} --again",
        file=sys.stderr,
    )
    return EXIT_NOT_ALL


def _check(study: Study) -> None:
    check(study, MODES, this_machine())


def _chosen(args: argparse.Namespace) -> Study:
    """The plan that the options name. Raises PlanError."""
    if args.plan is not None:
        study = read_plan(args.plan)
    elif args.preset is not None:
        study = PRESETS[args.preset]
    else:
        presets = ", ".join(f"--{name}" for name in PRESETS)
        raise PlanError(f"name a study: {presets}, or --plan FILE")
    return study if args.seed is None else msgspec.structs.replace(study, seed=args.seed)


def _new_directory(name: str) -> Path:
    """results/<date>-<name>, with a number when there is one of this day."""
    day = datetime.now().astimezone().date().isoformat()
    first = RESULTS / f"{day}-{name}"
    directory, number = first, 1
    while directory.exists():
        number += 1
        directory = first.with_name(f"{first.name}-{number}")
    return directory


def _list(study: Study, console: Console) -> None:
    """Every run and about how long it takes."""
    _check(study)
    planned = tasks(study)
    for task in planned:
        console.print(f"{seconds_of(task.cell):6.1f} s  {task.id}", highlight=False, soft_wrap=True)
    for hunt in hunts(study):
        ladder = hunt.ladder
        console.print(
            f"          {hunt.id}: up to {ladder.most_per_s:g} orders a second, then"
            f" {ladder.repetitions} x ({len(ladder.rungs)} rungs and an overload)",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    for limit in study.limits:
        console.print(f"note: {limit}", highlight=False, soft_wrap=True)
    console.print(
        f"{study.name}: {len(planned)} runs and {len(hunts(study))} searches,"
        f" about {estimate_s(study) / 60:.0f} minutes",
        highlight=False, soft_wrap=True,
    )  # fmt: skip


def _say_if_changed(manifest: Manifest, console: Console) -> None:
    commits = {sitting.commit for sitting in manifest.sittings}
    if len(commits) > 1:
        console.print(
            "note: the code is not that of the runs that are there; every run says its commit",
            highlight=False,
        )


def _resume_words(directory: Path) -> str:
    return shlex.join(["python", "-m", "loadgen.study", "--resume", str(directory)])


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadgen.study",
        description="Run experiments on the arms and keep everything that a report needs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group()
    for name, study in PRESETS.items():
        about = estimate_s(study) / 60
        lasts = f"{about:.0f} minutes" if about < 120 else f"{about / 60:.0f} hours"
        what.add_argument(
            f"--{name}", dest="preset", action="store_const", const=name, help=f"about {lasts}"
        )
    what.add_argument("--plan", type=Path, metavar="FILE", help="a plan of your own, TOML or JSON")
    what.add_argument("--resume", type=Path, metavar="DIR", help="go on with an interrupted study")
    what.add_argument(
        "--only", metavar="RUN_ID", help="make one run again, by itself; --from names its results"
    )
    what.add_argument("--show", type=Path, metavar="DIR", help="sum up the results of a directory")
    what.add_argument(
        "--compare", type=Path, nargs=2, metavar="DIR",
        help="whether two results rank the arms alike wherever their intervals do not overlap",
    )  # fmt: skip
    add = parser.add_argument
    add("--list", action="store_true", help="show the runs and about how long they take")
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="where to keep the results (default results/DATE-NAME)",
    )
    add("--seed", type=natural, metavar="N", help="seed of the orders and of the order of runs")
    add("--again", action="store_true", help="with --resume: repeat what failed or is invalid")
    add("--from", dest="source", type=Path, metavar="DIR", help="with --only: where that run is")
    add(
        "--elsewhere",
        action="store_true",
        help="with --resume: go on though machine or packages are not those of the runs",
    )
    args = parser.parse_args(argv)
    if (args.only is None) != (args.source is None):
        parser.error("--only RUN_ID and --from DIR go together")
    if args.elsewhere and args.resume is None:
        parser.error("--elsewhere belongs to --resume")
    finished = args.resume or args.show or args.compare
    if args.again and args.resume is None:
        parser.error("--again belongs to --resume")
    if args.only is not None and (args.seed is not None or args.list):
        parser.error("--seed and --list belong to a new study")
    if finished and (args.out or args.seed is not None or args.list):
        parser.error("--out, --seed and --list belong to a new study")
    return args
