"""Batches: units of work that wait together are decided over facts and written in one transaction.

1. The rows that the units named are loaded together, a table at a time.
2. The units decide one after another. What one writes stays in memory (`Overlay`), where the next
   ones see it. A unit that raises is taken back there, and the database never hears of it.
3. Everything is written: new rows a table at a time, a changed row once with its last value.

When writing fails, one of the units is to blame. Nothing was kept, so the batch is halved and each
half runs again from step 1, down to the unit that fails alone. A unit may therefore run more than
once: it depends on the facts and its arguments alone.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from copy import copy
from typing import Final, NamedTuple

from common.storage.engine import Engine
from common.storage.overlay import Outcome, Overlay, Unit

# Times that a batch runs again because of other writers, before its units are looked at apart.
COLLISIONS_MAX: Final = 3


class Commit(NamedTuple):
    """How long a shared commit took, and when it was done (monotonic); seconds."""

    seconds: float
    ended: float


class Batches:
    """Runs batches on an engine, one after another in its thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._overlay = Overlay(engine)

    def run(self, batch: Sequence[Unit]) -> tuple[list[Outcome], Commit]:
        """Run units in one transaction; their outcomes and its commit.

        When one of them cannot be written, in as many transactions as it takes to have it fail
        alone. Everybody in a transaction fails when the storage does.
        """
        engine = self._engine
        for attempt in range(COLLISIONS_MAX + 1):
            try:
                engine.begin()
                outcomes = self._overlay.decide(batch)
                start = engine.finish(self._overlay.written())
                ended = time.monotonic()
                return outcomes, Commit(ended - start, ended)
            except BaseException as error:
                # The transaction must go. A rollback that fails too finds nothing to keep: the
                # database forgets what was not committed.
                with contextlib.suppress(Exception):
                    engine.rollback()
                collided = engine.collided(error)
                if attempt < COLLISIONS_MAX and collided:
                    continue
                if len(batch) > 1 and (collided or engine.blames(error)):
                    break
                # To each an error of its own: one that all raise grows a frame with each.
                shared = [error, *(copy(error) for _ in batch[1:])]
                return [(None, each) for each in shared], Commit(0.0, time.monotonic())
        return self._halves(batch)

    def _halves(self, batch: Sequence[Unit]) -> tuple[list[Outcome], Commit]:
        """Run each half of a batch in transactions of its own."""
        half = len(batch) // 2
        first, first_commit = self.run(batch[:half])
        second, second_commit = self.run(batch[half:])
        seconds = first_commit.seconds + second_commit.seconds
        return [*first, *second], Commit(seconds, second_commit.ended)
