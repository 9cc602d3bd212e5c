"""Commits shared by the work that waits: what a batch is, how it runs, and when it begins.

Used by the storage of every arm; what differs there is only how a caller waits for its unit.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, Final, NamedTuple

from common.erros import indisponivel
from common.storage.pressure import Pressure

_LOG = logging.getLogger(__name__)

# Units. Bounds the time that the first of a batch waits for the last.
BATCH_MAX: Final = 256
# Seconds. The longest that a unit waits for company before its batch begins, when the processors
# are the bottleneck: then one flush and two thread switches for many are worth the wait.
COMPANY_WAIT_S: Final = 0.02
# Units. A batch begins at once when it holds so many: sharing among more saves little.
BATCH_ENOUGH: Final = 24
# Units. A batch begins at once when fewer than this may be expected to join it in that time.
COMPANY_MIN: Final = 4
# Seconds over which the rate of units is taken.
_RATE_OVER_S: Final = 0.25
# Seconds. A shorter wait is not worth a timer.
_PATIENCE_MIN_S: Final = 0.001


class Commit(NamedTuple):
    """How long a shared commit took, and when it was done (monotonic); seconds."""

    seconds: float
    ended: float


class Unit(NamedTuple):
    """A unit of work that waits: its function, and whom to tell what it came to."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    caller: Any


# What a unit came to: its value, or its error.
Outcome = tuple[Any, BaseException | None]


class Company:
    """How long a batch waits for more units: a little, where that is worth it.

    Only as far as `pressure` says that the processors are the bottleneck and only while units come
    often enough: on an idle machine a batch begins at once, and shares what gathers while another
    one runs. Instants are monotonic seconds.
    """

    def __init__(self, pressure: Pressure) -> None:
        self._pressure = pressure
        self._arrived = 0
        self._counted_from = 0.0
        self._per_s = 0.0

    def arrived(self) -> None:
        """Count a unit."""
        self._arrived += 1

    def patience(self, waiting: int, now: float) -> float:
        """Seconds that a batch of `waiting` units waits for company; 0 when it begins at once."""
        if waiting >= BATCH_ENOUGH:
            return 0.0
        patience_s = COMPANY_WAIT_S * self._pressure.read()
        expected = self._rate(now) * patience_s
        return patience_s if patience_s >= _PATIENCE_MIN_S and expected >= COMPANY_MIN else 0.0

    def _rate(self, now: float) -> float:
        """Units a second, of the last interval that is over."""
        passed = now - self._counted_from
        if passed >= _RATE_OVER_S:
            self._per_s = self._arrived / passed
            self._arrived, self._counted_from = 0, now
        return self._per_s


def take(waiting: deque[Unit]) -> list[Unit]:
    """Take a batch from those that wait, first come first."""
    batch: list[Unit] = []
    while waiting and len(batch) < BATCH_MAX:
        batch.append(waiting.popleft())
    return batch


def run_batch(
    con: sqlite3.Connection, begin: str, batch: Sequence[Unit]
) -> tuple[list[Outcome], Commit]:
    """Run units in one transaction begun with `begin`; their outcomes and its commit.

    When one of them fails the batch begins again with each inside a savepoint of its own, so that
    it harms no other. Everybody fails when the transaction does.
    """
    try:
        con.execute(begin)
        outcomes = _together(con, batch)
        if outcomes is None:
            # One of them failed. Begin again, each in a savepoint: it harms itself alone.
            con.execute("ROLLBACK")
            con.execute(begin)
            outcomes = [_apart(con, unit) for unit in batch]
        start = time.monotonic()
        con.execute("COMMIT")
        ended = time.monotonic()
        return outcomes, Commit(ended - start, ended)
    except BaseException as error:
        # The transaction is gone, or must go: nobody in the batch may be told otherwise. A
        # rollback that fails too finds nothing to keep: SQLite recovers the file at its next
        # use.
        with contextlib.suppress(sqlite3.Error):
            if con.in_transaction:
                con.execute("ROLLBACK")
        # To each an error of its own: one that all raise grows a frame with each.
        shared = [error, *(copy(error) for _ in batch[1:])]
        return [(None, each) for each in shared], Commit(0.0, time.monotonic())


def _together(con: sqlite3.Connection, batch: Sequence[Unit]) -> list[Outcome] | None:
    """Every unit in one go; None when one fails, unless it was alone and takes the blame."""
    try:
        outcomes: list[Outcome] = [(unit.function(con, *unit.args), None) for unit in batch]
    except BaseException:
        if len(batch) == 1:
            raise
        _assert_open(con)
        return None
    _assert_open(con)
    return outcomes


def _apart(con: sqlite3.Connection, unit: Unit) -> Outcome:
    """One unit in a savepoint; what it raises is its own unless the transaction died with it."""
    con.execute("SAVEPOINT unidade")
    try:
        outcome: Outcome = (unit.function(con, *unit.args), None)
    except BaseException as error:
        _assert_open(con)
        con.execute("ROLLBACK TO unidade")
        outcome = (None, error)
    _assert_open(con)
    con.execute("RELEASE unidade")
    return outcome


def _assert_open(con: sqlite3.Connection) -> None:
    """Raises when the shared transaction is gone, and with it the work of everybody in it."""
    if not con.in_transaction:
        raise sqlite3.OperationalError("the shared transaction was ended by a unit or by SQLite")


def failure(error: sqlite3.Error) -> Exception:
    """What a unit of work that failed in SQLite is to the service.

    A broken rule of the schema, which the domain should have checked, is a defect and stays what it
    is. All else is bad luck: unavailable. Its cause stays in our log: a file's name and state are
    no business of the caller.
    """
    if isinstance(error, sqlite3.IntegrityError):
        return error
    _LOG.warning("o banco de dados falhou: %s", error)
    return indisponivel("o banco de dados não está disponível")
