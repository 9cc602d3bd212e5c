"""The overlay: what a batch has loaded, and over it what its units wrote. It is their `Facts`.

Nothing is written while units decide. So a unit that raises is taken back here, and the database
never hears of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from common.servicos.protocolo.tabelas import (
    DuplicateError,
    K,
    Key,
    Ledger,
    Query,
    Read,
    Row,
    Source,
    Table,
    UndeclaredError,
    Unique,
)
from common.storage.engine import Engine, Wanted, Written

_MISSING: Final[Any] = object()
_NO_ROWS: Final[list[Any]] = []


class Unit(NamedTuple):
    """A unit of work that waits: its rows, its decision, and whom to tell what it came to."""

    reads: Sequence[Read]
    decide: Callable[..., Any]
    args: tuple[Any, ...]
    caller: Any


# What a unit came to: its value, or its error.
Outcome = tuple[Any, BaseException | None]


class _Held:
    """What a batch knows of one source."""

    __slots__ = (
        "added", "appended", "changed", "follow", "ledger", "position", "rows", "source", "table",
        "uniques", "wanted",
    )  # fmt: skip

    def __init__(self, source: Source[Any, Any]) -> None:
        self.source = source
        self.ledger = source.ledger
        self.position = source.position
        # By key: a row, or None where there is none; in a ledger a tuple of rows; of another way into
        # a table the key of the row.
        self.rows: dict[Any, Any] = {}
        # Keys that were named and are not loaded.
        self.wanted: dict[Any, None] = {}
        # Keys under which rows were inserted, and changed. A changed one whose unit raised may stay.
        self.added: dict[Any, None] = {}
        self.changed: dict[Any, None] = {}
        # A ledger's new rows.
        self.appended: list[Any] = []
        # Reads whose rows name keys of this source.
        self.follow: list[tuple[Source[Any, Any], Key, int]] = []
        # The other ways into this table, and the table that this is another way into.
        self.uniques: list[_Held] = []
        self.table: _Held | None = None

    def forget(self) -> None:
        """Be as new. The lists of rows belong to those who wrote them."""
        if self.rows or self.wanted:
            self.rows.clear()
            self.wanted.clear()
        if self.added:
            self.added.clear()
        if self.changed:
            self.changed.clear()
        if self.appended:
            self.appended = []
        if self.follow:
            self.follow.clear()


class Overlay:
    """The Facts of one batch after another, on one engine.

    What it holds of a source lasts for a batch; the places to hold it in last.
    """

    __slots__ = ("_broken", "_engine", "_held", "_undo")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._held: dict[Source[Any, Any], _Held] = {}
        # What stood where the unit under way wrote, to be put back when it raises. In a ledger
        # (no key): how many rows had been appended.
        self._undo: list[tuple[_Held, Any, Any]] = []
        # The error of a load: the storage's, whatever the unit made of it.
        self._broken: BaseException | None = None

    # --- what units see -----------------------------------------------------------------------

    def get(self, source: Table[K, Row] | Unique[K, Row], key: K) -> Row | None:
        """See Facts."""
        held = self._held.get(source)
        if held is not None:
            row: Any = held.rows.get(key, _MISSING)
            if row is not _MISSING:
                return _through(held, row)  # type: ignore[no-any-return]
        found = self._find(held, source, key)
        return _through(self._held[source], found)  # type: ignore[no-any-return]

    def rows(self, ledger: Ledger[K, Row], key: K) -> Sequence[Row]:
        """See Facts."""
        held = self._held.get(ledger)
        if held is not None:
            rows: tuple[Row, ...] | None = held.rows.get(key)
            if rows is not None:
                return rows
        return self._find(held, ledger, key)  # type: ignore[no-any-return]

    def insert(self, source: Table[Any, Row] | Ledger[Any, Row], *rows: Row) -> None:
        """See Facts."""
        held = self._held.get(source) or self._hold(source)
        if held.ledger:
            if held.wanted or held.rows:
                self._append_to_known(held, rows)
            self._undo.append((held, None, len(held.appended)))
            held.appended += rows
            return
        known, position = held.rows, held.position
        for row in rows:
            key = row[position]
            before = known.get(key, _MISSING)
            if before is not _MISSING and before is not None:
                raise DuplicateError(f"{source} has {key!r} already")
            if held.uniques:
                self._insert_uniques(held.uniques, row, key)
            self._undo.append((held, key, before))
            known[key] = row
            held.added[key] = None

    def change(self, table: Table[Any, Row], row: Row) -> None:
        """See Facts."""
        held = self._held.get(table) or self._hold(table)
        key = row[held.position]
        before = held.rows.get(key)
        if before is None:
            raise UndeclaredError(f"{table}: {key!r} was changed without being read")
        if table.fixed(before) != table.fixed(row) or not table.changing:
            raise UndeclaredError(f"{table}: a fixed column of {key!r} was changed")
        self._undo.append((held, key, before))
        held.rows[key] = row
        held.changed[key] = None

    def new_id(self, table: Table[int, Any]) -> int:
        """See Facts."""
        return self._engine.new_id(table)

    def select(self, query: Query[Row], *values: Any) -> list[Row]:
        """See Database. For reading alone: a statement does not see what units wrote."""
        return self._engine.select(query, values)

    # --- what a batch does --------------------------------------------------------------------

    def decide(self, batch: Sequence[Unit]) -> list[Outcome]:
        """Run units over what they named; one that raises leaves nothing behind.

        The last batch is forgotten. Raises what a load has raised.
        """
        self._name(batch)
        undo = self._undo
        outcomes: list[Outcome] = []
        for _, decide, args, _ in batch:
            undo.clear()
            try:
                outcomes.append((decide(self, *args), None))
            except BaseException as error:
                self._take_back()
                outcomes.append((None, error))
            if self._broken is not None:
                raise self._broken
        return outcomes

    def written(self) -> list[Written]:
        """What is to be written, the tables in the order of their declaration."""
        written: list[Written] = []
        for source, held in self._held.items():
            rows = held.rows
            added = [rows[key] for key in held.added] if held.added else held.appended
            changed = self._changed(held) if held.changed else _NO_ROWS
            if added or changed:
                written.append((source, added, changed))
        return written

    # --- how ----------------------------------------------------------------------------------

    def _name(self, batch: Sequence[Unit]) -> None:
        """Forget the last batch, and note what the units of this one have named."""
        every = self._held
        for held in every.values():
            held.forget()
        self._broken = None
        for reads, _, _, _ in batch:
            for read in reads:
                held = every.get(read[0]) or self._hold(read[0])
                held.wanted[read[1]] = None
                if len(read) == 4:
                    self._name_following(*read)
        if self._engine.eager:
            self._load_all(list(every.values()))
            following = [each for each in every.values() if each.follow]
            for each in following:
                self._follow(each)
            self._load_all(following)

    def _take_back(self) -> None:
        """Forget what the unit under way wrote."""
        for held, key, before in reversed(self._undo):
            if key is None:
                del held.appended[before:]
            elif before is _MISSING:
                del held.rows[key]
                held.added.pop(key, None)
            else:
                held.rows[key] = before
                if before is None:
                    held.added.pop(key, None)

    def _changed(self, held: _Held) -> list[Any]:
        """The changed rows as they are now; those of this batch's own are written as new ones."""
        added, rows = held.added, held.rows
        known = [rows.get(key) for key in held.changed if key not in added]
        return [row for row in known if row is not None]

    def _hold(self, source: Source[Any, Any]) -> _Held:
        """Make the place for a source, in the order of declaration."""
        held = _Held(source)
        several = sorted([*self._held.items(), (source, held)], key=_rank)
        self._held.clear()
        self._held.update(several)
        if isinstance(source, Unique):
            table = self._held.get(source.table) or self._hold(source.table)
            table.uniques.append(held)
            held.table = table
        return held

    def _name_following(
        self, source: Source[Any, Any], key: Key, target: Table[Any, Any], position: int
    ) -> None:
        held = self._held.get(target) or self._hold(target)
        held.follow.append((source, key, position))

    def _append_to_known(self, held: _Held, rows: Sequence[tuple[Any, ...]]) -> None:
        """Add rows under keys that were named: those that stand there are loaded first."""
        for row in rows:
            key = row[held.position]
            before = held.rows.get(key)
            if before is None and key in held.wanted:
                before = self._find(held, held.source, key)
            if before is not None:
                self._undo.append((held, key, before))
                held.rows[key] = (*before, row)

    def _insert_uniques(self, uniques: Sequence[_Held], row: tuple[Any, ...], key: Any) -> None:
        for unique in uniques:
            value = row[unique.position]
            if value is None:
                continue
            before = unique.rows.get(value, _MISSING)
            if before is not _MISSING and before is not None:
                raise DuplicateError(f"{unique.source} has {value!r} already")
            self._undo.append((unique, value, before))
            unique.rows[value] = key

    def _find(self, held: _Held | None, source: Source[Any, Any], key: Any) -> Any:
        """What stands under a key that is not loaded."""
        if held is not None:
            if key not in held.wanted and held.follow:
                self._follow(held)
            if key in held.wanted:
                try:
                    keys = _to_load(held)
                    self._keep(held, keys, self._engine.load(source, keys))
                except BaseException as error:
                    self._broken = error
                    raise
                return held.rows[key]
        raise UndeclaredError(f"{source}: {key!r} was not named beforehand")

    def _follow(self, held: _Held) -> None:
        """Name the keys that stand in rows which the batch named."""
        for source, key, position in held.follow:
            where = self._held[source]
            found = where.rows.get(key, _MISSING)
            if found is _MISSING:
                found = self._find(where, source, key)
            if not source.ledger:
                found = () if found is None else (found,)
            for row in found:
                if row[position] not in held.rows:
                    held.wanted[row[position]] = None

    def _load_all(self, several: Sequence[_Held]) -> None:
        """Load the keys that were named, of several sources in one trip."""
        wanted = [Wanted(held.source, keys) for held in several if (keys := _to_load(held))]
        if not wanted:
            return
        for (source, keys), found in zip(wanted, self._engine.load_all(wanted), strict=True):
            self._keep(self._held[source], keys, found)

    def _keep(self, held: _Held, keys: list[Any], found: list[Any]) -> None:
        """Keep what was found under keys that were named."""
        if len(keys) == len(held.wanted):
            held.wanted.clear()
        else:
            for key in keys:
                del held.wanted[key]
        source, rows, position = held.source, held.rows, held.position
        if source.ledger:
            rows.update(_by_key(keys, position, (*found, *held.appended)))
            return
        if len(found) < len(keys):
            rows.update(dict.fromkeys(keys))
        table = held.table
        if table is None:
            for row in found:
                rows[row[position]] = row
            return
        for row in found:
            key = row[table.position]
            rows[row[position]] = key
            # A row that is known already may have been changed since: that is the newer one.
            if table.rows.get(key) is None:
                table.rows[key] = row


def _through(held: _Held, found: Any) -> Any:
    """The row behind what is kept under a key."""
    return found if held.table is None or found is None else held.table.rows[found]


def _by_key(
    keys: list[Any], position: int, rows: Iterable[tuple[Any, ...]]
) -> dict[Any, tuple[Any, ...]]:
    """The rows of each key, in their order."""
    several: dict[Any, list[Any]] = {key: [] for key in keys}
    for row in rows:
        if row[position] in several:
            several[row[position]].append(row)
    return {key: tuple(found) for key, found in several.items()}


def _to_load(held: _Held) -> list[Any]:
    """Keys that were named, but for those that a unit has inserted: it may yet raise."""
    rows = held.rows
    return [key for key in held.wanted if key not in rows] if rows else list(held.wanted)


def _rank(about: tuple[Any, Any]) -> int:
    rank: int = about[0].rank
    return rank
