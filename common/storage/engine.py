"""An engine: what a batch of units of work needs of a database connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from common.servicos.protocolo.tabelas import Query, Source, Table


class Wanted(NamedTuple):
    """Keys to be looked up in a source, each once."""

    source: Source[Any, Any]
    keys: list[Any]


# Of one table: rows to be added, and rows to be changed.
Written = tuple[Source[Any, Any], list[Any], list[Any]]


class Engine(Protocol):
    """A connection to a database, used by one thread."""

    # True where a trip costs more than rows: all that a batch named is loaded at once.
    # False where it is cheap: a table is loaded when the first unit asks for one of its rows.
    eager: bool

    def begin(self) -> None:
        """Begin a transaction."""

    def load(self, source: Source[Any, Any], keys: list[Any]) -> list[Any]:
        """The rows found for some keys, each once, made by the source, in a ledger's order.

        Rows that can change stay as they are until the transaction ends.
        """

    def load_all(self, wanted: Sequence[Wanted]) -> list[list[Any]]:
        """The same for several sources in one trip; asked of eager engines only."""

    def new_id(self, table: Table[Any, Any]) -> int:
        """A key that no row has, and that is not given out again in this transaction."""

    def select(self, query: Query[Any], values: tuple[Any, ...]) -> list[Any]:
        """What a statement finds."""

    def finish(self, written: Sequence[Written]) -> float:
        """Write everything and commit; the instant (monotonic) at which the commit began."""

    def rollback(self) -> None:
        """Forget the transaction, if there still is one."""

    def blames(self, error: BaseException) -> bool:
        """True for an error by what a unit asked or wrote; False when the storage failed."""

    def collided(self, error: BaseException) -> bool:
        """True when another writer came between, so that running again may go well."""
