"""A call's wait for its storage, in every arm: its time, and its failure as the service's."""

from __future__ import annotations

import sqlite3
import time
from types import TracebackType
from typing import Self

from common.servicos.protocolo.contexto import Contexto
from common.storage.batching import Commit, failure


class StorageWait:
    """The wait for one unit of work, for the life of a block; set `commit` once there is one.

    An error of SQLite leaves the block as `failure` has it.
    """

    __slots__ = ("_account", "_before", "_start", "commit")

    def __init__(self, ctx: Contexto | None) -> None:
        """Without a context the time is not accounted for."""
        self._account = None if ctx is None else ctx.account
        self.commit: Commit | None = None

    def __enter__(self) -> Self:
        if self._account is not None:
            self._start = time.monotonic()
            self._before = self._account.enter("banco")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        account = self._account
        if account is not None:
            if self.commit is not None:
                account.ready(self.commit.ended)
                account.commit += self.commit.seconds
            account.waited("b", self._start, time.monotonic())
            account.leave(self._before)
        if isinstance(error, sqlite3.Error):
            raise failure(error) from error
