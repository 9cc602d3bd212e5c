"""Tables as rooms declare them, and the facts that units of work decide over.

A unit names beforehand which rows it needs (`Table.of`, `Ledger.of`, `then`), and then decides, pure,
over `Facts`. No rule of a room sees a connection, so rules run on any engine, and in a test on none.

A table is declared once, in its room. A column that may change is named in `changes`; the others are
fixed, so engines neither lock nor write rows that nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from operator import itemgetter
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

Key = int | str
K = TypeVar("K", bound=Key)
# A NamedTuple whose fields are the table's columns.
Row = TypeVar("Row", bound=tuple[Any, ...])

_RANKS: Final = count()


class UndeclaredError(Exception):
    """A unit asked for or wrote what it had not declared: a defect of the room."""


class DuplicateError(Exception):
    """A unit inserted a row whose key is taken: a defect, since it could have looked."""


class Source(Generic[K, Row]):
    """Where rows are found by the value of one column.

    Engines lock and write tables in the order of their declaration: the arbiter first, whom others
    refer to before them, counters last.
    """

    # True where a key has many rows, which are only ever added.
    ledger: ClassVar[bool] = False

    def __init__(
        self, name: str, row: type[Row], column: str, columns: dict[str, str] | None = None
    ) -> None:
        """`columns` gives the name in the database for each field that is called otherwise."""
        fields: tuple[str, ...] = row._fields  # type: ignore[attr-defined]
        self.rank = next(_RANKS)
        self.name = name
        self.row = row
        self.make: Callable[[tuple[Any, ...]], Row] = partial(tuple.__new__, row)
        self.renamed = columns or {}
        self.columns = tuple(self.renamed.get(field, field) for field in fields)
        self.position = fields.index(column)
        self.column = self.columns[self.position]

    def of(self, key: K) -> Read:
        """Name what is found under `key`."""
        return self, key

    def then(self, key: K, target: Table[Any, Any], column: str) -> Read:
        """Name it, and the rows of `target` whose keys stand in `column` of what is found."""
        fields: tuple[str, ...] = self.row._fields  # type: ignore[attr-defined]
        return self, key, target, fields.index(column)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name} by {self.column})"


# A row, or a ledger's rows, that a unit will need: made by `of` and `then` of its source. With a
# table and a place: also the rows of that table whose keys stand there in the rows found.
Read = tuple[Source[Any, Any], Key] | tuple[Source[Any, Any], Key, "Table[Any, Any]", int]


class Table(Source[K, Row]):
    """Rows with a key, one row a key; the columns in `changes` may change, the rest is fixed.

    `serial` tables have keys that the database makes; see Facts.new_id. The row type may leave out
    columns that may be empty or have a default.
    """

    def __init__(
        self,
        name: str,
        row: type[Row],
        key: str,
        *,
        changes: tuple[str, ...] = (),
        serial: bool = False,
        columns: dict[str, str] | None = None,
    ) -> None:
        super().__init__(name, row, key, columns)
        fields: tuple[str, ...] = row._fields  # type: ignore[attr-defined]
        self.serial = serial
        self.changing = tuple(fields.index(field) for field in changes)
        fixed = [place for place in range(len(fields)) if place not in self.changing]
        self.fixed: Callable[[Row], Any] = itemgetter(*fixed)
        # The key, and then the columns that may change.
        self.changed_values: Callable[[Row], Any] = itemgetter(self.position, *self.changing)


class Unique(Source[K, Row]):
    """The rows of a table by another column whose values are unique too; it is a fixed one."""

    def __init__(self, table: Table[Any, Row], column: str) -> None:
        super().__init__(table.name, table.row, column, table.renamed)
        self.table = table


class Ledger(Source[K, Row]):
    """Rows that are only ever added, found by one column in the order in which they came.

    `order` is the column of that order: one that the database makes, or one of the rows.
    """

    ledger: ClassVar[bool] = True

    def __init__(self, name: str, row: type[Row], by: str, *, order: str = "id") -> None:
        super().__init__(name, row, by)
        self.order = order


class Query(Generic[Row]):
    """A declared statement for pages, lists and sums: `?` for each value, a row type for results."""

    def __init__(self, sql: str, row: type[Row]) -> None:
        self.sql = sql
        self.make: Callable[[tuple[Any, ...]], Row] = partial(tuple.__new__, row)


class Look(Protocol):
    """What a reading function sees: the rows that it named, as they were committed."""

    def get(self, source: Table[K, Row] | Unique[K, Row], key: K) -> Row | None:
        """The row under `key`; None when there is none. Raises UndeclaredError for an unnamed one."""

    def rows(self, ledger: Ledger[K, Row], key: K) -> Sequence[Row]:
        """The ledger's rows under `key`, oldest first. Raises UndeclaredError for an unnamed key."""


class Facts(Look, Protocol):
    """What a unit of work decides over: the rows that it named, with what earlier units wrote."""

    def insert(self, source: Table[Any, Row] | Ledger[Any, Row], *rows: Row) -> None:
        """Add rows; they need not be named. Raises DuplicateError for a key known as taken."""

    def change(self, table: Table[Any, Row], row: Row) -> None:
        """Put `row` in the place of the one with its key, which was read before.

        Raises UndeclaredError when there is no such row, or when a fixed column differs.
        """

    def new_id(self, table: Table[int, Any]) -> int:
        """A key for a new row of a serial table."""
