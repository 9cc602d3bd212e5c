"""A process's system calls, as strace saw them, and the one question asked of them here.

Did the log reach the disk before the answer left? `unflushed` says of each answer what it overtook.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

_WRITES: Final = ("pwrite64", "write", "writev", "pwritev")
_SENDS: Final = ("sendto", "sendmsg", "sendmmsg", "write", "writev")
_FLUSHES: Final = ("fsync", "fdatasync")
# Bytes of each argument that are kept: more than a page, more than any answer here.
_KEPT: Final = 16_384

# Seconds that a tracer may take to write the end of a process that was killed, and that end.
_PATIENCE_S: Final = 10.0
_END: Final = "+++ killed by SIGKILL +++\n"

_LINE: Final = re.compile(r"(?P<pid>\d+) +(?P<rest>.*)")
_BEGUN: Final = re.compile(r"(?P<name>\w+)\((?:\d+<(?P<file>[^>]*)>)?")
_RESUMED: Final = re.compile(r"<\.\.\. \w+ resumed>")
_RESULT: Final = re.compile(r"\) += (?P<result>-?\d+)[^=]*$")


class Call(NamedTuple):
    """A system call on an open file: `begun` and `ended` are lines of the trace, 0 for never."""

    name: str
    file: str
    arguments: str
    begun: int
    ended: int
    ok: bool


@cache
def refusal() -> str:
    """Why system calls cannot be traced on this machine, as one sentence; empty when they can."""
    if sys.platform != "linux":
        return "strace is for Linux only"
    if shutil.which("strace") is None:
        return "strace is not installed: on Debian, apt install strace"
    tried = subprocess.run(
        ["strace", "-f", "-o", "/dev/null", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        return f"this machine does not allow tracing (ptrace): {tried.stderr.splitlines()[0]}"
    return ""


def traced(trace: Path, command: Sequence[str]) -> list[str]:
    """The command that runs another one and writes its system calls to a file.

    The process started is the other one itself, so that killing it ends it and then its tracer.
    """
    calls = ",".join(sorted({*_WRITES, *_SENDS, *_FLUSHES}))
    options = ["-D", "-f", "-q", "-y", f"-s{_KEPT}", f"-etrace={calls}", f"-o{trace}"]
    return ["strace", *options, *command]


async def read(trace: Path) -> list[Call]:
    """The calls of a process that was killed, by when they began."""
    # The tracer is nobody's child here: that it has ended is seen in what it wrote last.
    async with asyncio.timeout(_PATIENCE_S):
        while not (text := trace.read_text(errors="replace")).endswith(_END):
            await asyncio.sleep(0.01)
    return _parse(text)


def _parse(text: str) -> list[Call]:
    calls: list[Call] = []
    # What each thread has begun: strace writes a call in two lines when another one comes between.
    open_calls: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        match = _LINE.match(line)
        assert match, line
        pid, rest = match["pid"], match["rest"]
        if rest.startswith(("+++", "---")):
            continue
        if _RESUMED.match(rest):
            index = open_calls.pop(pid)
            calls[index] = calls[index]._replace(ended=number, ok=_ok(rest))
            continue
        begun = _BEGUN.match(rest)
        assert begun, line
        call = Call(begun["name"], begun["file"] or "", rest, number, number, _ok(rest))
        if rest.endswith("<unfinished ...>"):
            call = call._replace(ended=0)
            open_calls[pid] = len(calls)
        calls.append(call)
    return calls


def _ok(line: str) -> bool:
    result = _RESULT.search(line)
    return result is not None and int(result["result"]) >= 0


def unflushed(calls: Sequence[Call], words: Iterable[str]) -> dict[str, str]:
    """Answers that overtook the flush of their commit, by the word that both of them hold.

    Each word must have been written to a log (`-wal`) and then sent. Between the last write to that
    log before the answer and the answer there must be a flush that succeeded, and before it one of
    the directory, or the log would be there without a name.
    """
    found = {}
    for word in words:
        problem = _problem(calls, word)
        if problem:
            found[word] = problem
    return found


def _problem(calls: Sequence[Call], word: str) -> str:
    holding = [call for call in calls if word in call.arguments]
    answer = next((call for call in holding if call.name in _SENDS and _is_socket(call)), None)
    if answer is None:
        return "it was never sent"
    before = [call for call in calls if call.begun < answer.begun]
    log = next((call.file for call in before if call in holding and _is_log(call)), None)
    if log is None:
        return "it was sent, and not written to any log before"
    flushes = [call for call in before if _is_flush(call) and call.ended < answer.begun]
    written = max(call.begun for call in before if call.name in _WRITES and call.file == log)
    if not any(call.file == log and written < call.begun for call in flushes):
        lines = f"line {answer.begun}, written in line {written}"
        return f"it was sent in {lines}, and not flushed between"
    if not any(call.file == str(Path(log).parent) for call in flushes):
        return "it was sent when the log's name was not flushed"
    return ""


def _is_flush(call: Call) -> bool:
    return call.name in _FLUSHES and call.ok


def _is_socket(call: Call) -> bool:
    return call.file.startswith("socket:")


def _is_log(call: Call) -> bool:
    return call.name in _WRITES and call.file.endswith("-wal")
