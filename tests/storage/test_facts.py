"""Facts: units over one batch see what units one after another would, and harm no other."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.erros import Categoria, ErroServico, precondicao
from common.servicos.protocolo.tabelas import (
    DuplicateError,
    Facts,
    Ledger,
    Query,
    Read,
    Table,
    UndeclaredError,
    Unique,
)
from common.storage.batches import Batches
from common.storage.overlay import Unit
from common.storage.sqlite import SQLiteEngine

SCHEMA = """
CREATE TABLE contas (id INTEGER PRIMARY KEY, nome TEXT NOT NULL UNIQUE,
    saldo INTEGER NOT NULL CHECK (saldo < 1000), aberta INTEGER NOT NULL DEFAULT 1);
CREATE TABLE lancamentos (id INTEGER PRIMARY KEY,
    conta_id INTEGER NOT NULL REFERENCES contas (id), valor INTEGER NOT NULL);
CREATE TABLE contador (id INTEGER PRIMARY KEY, ultimo INTEGER NOT NULL);
INSERT INTO contador VALUES (1, 0);
"""


class Conta(NamedTuple):
    """An account."""

    numero: int
    nome: str
    saldo: int


class Lancamento(NamedTuple):
    """An entry of the ledger."""

    conta_id: int
    valor: int


class Contador(NamedTuple):
    """The counter."""

    id: int
    ultimo: int


class Soma(NamedTuple):
    """A sum."""

    total: int


CONTAS: Table[int, Conta] = Table(
    "contas", Conta, "numero", changes=("saldo",), serial=True, columns={"numero": "id"}
)
CONTAS_POR_NOME: Unique[str, Conta] = Unique(CONTAS, "nome")
LANCAMENTOS: Ledger[int, Lancamento] = Ledger("lancamentos", Lancamento, "conta_id")
CONTADOR: Table[int, Contador] = Table("contador", Contador, "id", changes=("ultimo",))
SOMA: Query[Soma] = Query("SELECT SUM(valor) FROM lancamentos WHERE conta_id = ?", Soma)


class Chave(NamedTuple):
    """A row whose unique column may be empty."""

    id: int
    chave: str | None


KEYS: Table[int, Chave] = Table("chaves", Chave, "id")


class Bank:
    """A database in memory with batches on it."""

    def __init__(self) -> None:
        self.con = sqlite3.connect(":memory:", isolation_level=None, cached_statements=256)
        self.con.execute("PRAGMA foreign_keys = ON")
        self.con.executescript(SCHEMA)
        self.batches = Batches(SQLiteEngine(self.con))

    def run(self, *units: Unit) -> list[Any]:
        """Values and errors of a batch."""
        outcomes, _ = self.batches.run(units)
        assert not self.con.in_transaction
        return [value if error is None else error for value, error in outcomes]

    def all(self, sql: str) -> list[Any]:
        """Rows of a statement."""
        return self.con.execute(sql).fetchall()

    def accounts(self) -> list[Any]:
        """All accounts."""
        return self.all("SELECT id, nome, saldo FROM contas ORDER BY id")

    def entries(self) -> list[Any]:
        """All entries."""
        return self.all("SELECT conta_id, valor FROM lancamentos ORDER BY id")


@pytest.fixture
def bank() -> Iterator[Bank]:
    """An empty bank."""
    made = Bank()
    with closing(made.con):
        yield made


# --- rules of a room of the tests' own --------------------------------------------------------


def claim(nome: str) -> Unit:
    """Open an account, or find the one with the name; its number and whether it is new."""

    def decide(facts: Facts) -> tuple[int, bool]:
        known = facts.get(CONTAS_POR_NOME, nome)
        if known is not None:
            return known.numero, False
        numero = facts.new_id(CONTAS)
        facts.insert(CONTAS, Conta(numero, nome, 0))
        return numero, True

    return Unit((CONTAS_POR_NOME.of(nome),), decide, (), None)


def move(numero: int, valor: int, *, then_raise: bool = False) -> Unit:
    """Add to an account, never below 0, and take a number; it and what the account has then."""

    def decide(facts: Facts) -> tuple[int, int]:
        conta = facts.get(CONTAS, numero)
        if conta is None or conta.saldo + valor < 0:
            raise precondicao("não há saldo")
        contador = facts.get(CONTADOR, 1)
        assert contador is not None
        novo = conta._replace(saldo=conta.saldo + valor)
        facts.change(CONTAS, novo)
        facts.change(CONTADOR, contador._replace(ultimo=contador.ultimo + 1))
        facts.insert(LANCAMENTOS, Lancamento(numero, valor))
        if then_raise:
            raise precondicao("tarde demais")
        return contador.ultimo + 1, novo.saldo

    return Unit((CONTAS.of(numero), CONTADOR.of(1)), decide, (), None)


def undo(numero: int) -> Unit:
    """Take back all entries of an account; how many there were."""

    def decide(facts: Facts) -> int:
        entries = facts.rows(LANCAMENTOS, numero)
        if not entries:
            return 0
        conta = facts.get(CONTAS, numero)
        assert conta is not None
        facts.insert(LANCAMENTOS, Lancamento(numero, -sum(each.valor for each in entries)))
        facts.change(CONTAS, conta._replace(saldo=0))
        return len(facts.rows(LANCAMENTOS, numero))

    return Unit((LANCAMENTOS.then(numero, CONTAS, "conta_id"),), decide, (), None)


def both_ways(nome: str, numero: int) -> Unit:
    """What an account has, looked up by name and by number; None where it is not there."""

    def decide(facts: Facts) -> tuple[int | None, int | None]:
        by_name, by_number = facts.get(CONTAS_POR_NOME, nome), facts.get(CONTAS, numero)
        return by_name and by_name.saldo, by_number and by_number.saldo

    return Unit((CONTAS_POR_NOME.of(nome), CONTAS.of(numero)), decide, (), None)


def simply(reads: tuple[Read, ...], decide: Callable[[Facts], Any]) -> Unit:
    return Unit(reads, decide, (), None)


# --- against a model --------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c", "d"])
NUMBERS = st.integers(1, 5)
UNITS = st.one_of(
    st.tuples(st.just("claim"), NAMES),
    st.tuples(st.just("move"), NUMBERS, st.integers(-60, 300), st.booleans()),
    st.tuples(st.just("undo"), NUMBERS),
    st.tuples(st.just("look"), NAMES, NUMBERS),
)


class Model:
    """The same rules on plain dictionaries, one unit after another."""

    def __init__(self) -> None:
        self.accounts: dict[int, list[Any]] = {}
        self.entries: list[tuple[int, int]] = []
        self.counter = 0

    def apply(self, unit: tuple[Any, ...]) -> Any:
        """What a unit comes to."""
        kind, *args = unit
        return getattr(self, kind)(*args)

    def claim(self, name: str) -> Any:
        """As the unit."""
        for number, (known, _) in self.accounts.items():
            if known == name:
                return number, False
        number = len(self.accounts) + 1
        self.accounts[number] = [name, 0]
        return number, True

    def move(self, number: int, value: int, raises: bool) -> Any:
        """As the unit."""
        if number not in self.accounts or self.accounts[number][1] + value < 0 or raises:
            return "no"
        if self.accounts[number][1] + value >= 1000:
            return "broken"
        self.accounts[number][1] += value
        self.entries.append((number, value))
        self.counter += 1
        return self.counter, self.accounts[number][1]

    def undo(self, number: int) -> Any:
        """As the unit."""
        entries = [value for of, value in self.entries if of == number]
        if not entries:
            return 0
        self.entries.append((number, -sum(entries)))
        self.accounts[number][1] = 0
        return len(entries) + 1

    def look(self, name: str, number: int) -> Any:
        """As the unit."""
        by_name = next((s for known, s in self.accounts.values() if known == name), None)
        account = self.accounts.get(number)
        return by_name, account and account[1]


MAKE: dict[str, Callable[..., Unit]] = {
    "claim": claim,
    "move": lambda number, value, raises: move(number, value, then_raise=raises),
    "undo": undo,
    "look": both_ways,
}


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(UNITS, min_size=1, max_size=12), max_size=5), st.booleans())
def test_batches_come_to_what_units_one_after_another_would(
    batches: list[list[tuple[Any, ...]]], eager: bool
) -> None:
    """Also where a unit raises, and where the schema refuses what one wrote."""
    bank, model = Bank(), Model()
    bank.batches._engine.eager = eager
    with closing(bank.con):
        for batch in batches:
            got = bank.run(*[MAKE[kind](*args) for kind, *args in batch])
            for unit, value in zip(batch, got, strict=True):
                expected = model.apply(unit)
                if expected == "broken":
                    assert isinstance(value, sqlite3.IntegrityError)
                elif expected == "no":
                    assert isinstance(value, ErroServico | sqlite3.IntegrityError)
                else:
                    assert value == expected
        assert bank.accounts() == [(n, *rest) for n, rest in sorted(model.accounts.items())]
        assert bank.entries() == model.entries
        assert bank.all("SELECT ultimo FROM contador") == [(model.counter,)]


# --- rules one by one -------------------------------------------------------------------------


def test_a_unit_that_raises_writes_nothing_and_leaves_no_hole(bank: Bank) -> None:
    """The numbers of the others stay 1, 2, 3."""
    bank.run(claim("a"))
    got = bank.run(move(1, 5), move(1, 9, then_raise=True), move(1, 5), move(1, -50), move(1, 1))
    assert [got[0], got[2], got[4]] == [(1, 5), (2, 10), (3, 11)]
    assert {error.categoria for error in (got[1], got[3])} == {Categoria.PRECONDICAO}
    assert bank.entries() == [(1, 5), (1, 5), (1, 1)]


def test_a_unit_that_the_schema_refuses_fails_alone(bank: Bank) -> None:
    """The batch is halved until it fails in a transaction of its own."""
    bank.run(claim("a"), claim("b"))
    got = bank.run(move(1, 5), move(2, 2000), move(2, 7), move(1, 6))
    assert isinstance(got[1], sqlite3.IntegrityError)
    assert [got[0], got[2], got[3]] == [(1, 5), (2, 7), (3, 11)]


def test_a_value_that_sqlite_does_not_take_fails_alone(bank: Bank) -> None:
    """Whether it is looked up or written."""
    bank.run(claim("a"))
    odd = simply((), lambda facts: facts.insert(LANCAMENTOS, Lancamento(1, 2**70)))
    got = bank.run(move(1, 1), odd, move(2**70, 1), move(1, 1))
    assert [got[0], got[3]] == [(1, 1), (2, 2)]
    assert isinstance(got[1], OverflowError)
    assert isinstance(got[2], OverflowError)


def test_all_fail_when_the_storage_does(bank: Bank) -> None:
    """Each with an error of its own."""
    bank.run(claim("a"))
    bank.con.execute("DROP TABLE lancamentos")
    got = bank.run(move(1, 1), move(1, 2))
    assert [type(error) for error in got] == [sqlite3.OperationalError] * 2
    assert got[0] is not got[1]
    assert bank.accounts() == [(1, "a", 0)]


def test_a_load_that_fails_is_nobodys_to_swallow(bank: Bank) -> None:
    """A unit that catches everything cannot have its batch committed."""
    bank.con.execute("DROP TABLE contador")

    def decide(facts: Facts) -> None:
        facts.insert(CONTAS, Conta(1, "a", 0))
        with pytest.raises(sqlite3.OperationalError):
            facts.get(CONTADOR, 1)

    assert isinstance(bank.run(simply((CONTADOR.of(1),), decide))[0], sqlite3.OperationalError)
    assert bank.accounts() == []


@pytest.mark.parametrize(
    ("reads", "decide"),
    [
        ((), lambda facts: facts.get(CONTAS, 1)),
        ((CONTAS.of(2),), lambda facts: facts.get(CONTAS, 1)),
        ((CONTAS.of(1),), lambda facts: facts.get(CONTAS_POR_NOME, "a")),
        ((CONTAS.of(1),), lambda facts: facts.rows(LANCAMENTOS, 1)),
        ((LANCAMENTOS.then(1, CONTAS, "conta_id"),), lambda facts: facts.get(CONTAS, 2)),
        ((CONTAS.of(1),), lambda facts: facts.change(CONTAS, Conta(1, "a", 3))),
        ((CONTAS.of(1),), lambda f: f.get(CONTAS, 1) and f.change(CONTAS, Conta(1, "z", 3))),
        ((), lambda facts: facts.change(CONTAS, Conta(1, "a", 3))),
    ],
)
def test_what_was_not_declared_is_a_defect(
    bank: Bank, reads: tuple[Read, ...], decide: Callable[[Facts], Any]
) -> None:
    """Rows that were not named or read, and columns that may not change."""
    bank.run(claim("a"))
    assert isinstance(bank.run(simply(reads, decide))[0], UndeclaredError)
    assert bank.accounts() == [(1, "a", 0)]


def test_a_key_that_is_known_as_taken_is_refused_at_once(bank: Bank) -> None:
    """Found in the database, or inserted by a unit before."""
    bank.run(claim("a"))

    def again(facts: Facts) -> None:
        facts.get(CONTAS_POR_NOME, "a")
        facts.insert(CONTAS, Conta(9, "a", 0))

    def twice(facts: Facts) -> None:
        facts.insert(CONTAS, Conta(8, "h", 0))
        facts.insert(CONTAS, Conta(8, "i", 0))

    got = bank.run(simply((CONTAS_POR_NOME.of("a"),), again), simply((), twice), claim("b"))
    assert [type(each) for each in got[:2]] == [DuplicateError, DuplicateError]
    assert [nome for _, nome, _ in bank.accounts()] == ["a", "b"]


def test_a_row_that_only_one_unit_inserted_is_seen_by_the_next(bank: Bank) -> None:
    """By its key, by its unique column, and changed."""
    got = bank.run(claim("a"), both_ways("a", 1), move(1, 5), both_ways("a", 1), claim("a"))
    assert got == [(1, True), (0, 0), (1, 5), (5, 5), (1, False)]


def test_large_batches_are_written_whole(bank: Bank) -> None:
    """More keys and rows than one statement takes."""
    bank.run(*[claim(f"n{n}") for n in range(150)])
    got = bank.run(*[move(n % 150 + 1, n) for n in range(256)])
    assert [number for number, _ in got] == list(range(1, 257))
    assert len(bank.accounts()) == 150
    assert bank.entries() == [(n % 150 + 1, n) for n in range(256)]


def test_a_statement_finds_pages_and_sums(bank: Bank) -> None:
    """A declared statement makes rows of its own type."""
    bank.run(claim("a"), move(1, 5), move(1, 6))
    reading = Batches(SQLiteEngine(bank.con, writer=False))
    outcomes, _ = reading.run([Unit((), lambda look: look.select(SOMA, 1), (), None)])
    assert outcomes == [([Soma(11)], None)]


def test_an_insert_taken_back_does_not_hide_the_row_that_is_there(bank: Bank) -> None:
    """A unit inserts blindly and raises; the next one finds and changes the row of that key."""
    bank.run(claim("a"))

    def blindly(facts: Facts) -> None:
        facts.insert(CONTAS, Conta(1, "x", 0))
        facts.change(CONTAS, Conta(1, "x", 7))
        raise precondicao("não")

    statements: list[str] = []
    bank.con.set_trace_callback(statements.append)
    got = bank.run(simply((), blindly), move(1, 5))
    assert got[1] == (1, 5)
    assert sum(each.startswith("BEGIN") for each in statements) == 1
    assert bank.run(simply((), blindly), claim("b")) != [None, None]
    assert bank.accounts() == [(1, "a", 5), (2, "b", 0)]


def test_rows_without_a_value_are_no_duplicates(bank: Bank) -> None:
    """A unique column may be empty in many rows, as in SQL."""
    bank.con.executescript("CREATE TABLE chaves (id INTEGER PRIMARY KEY, chave TEXT UNIQUE);")
    by_key = Unique(KEYS, "chave")
    insert = simply(
        (by_key.of("k"),), lambda facts: facts.insert(KEYS, Chave(1, None), Chave(2, None))
    )
    assert bank.run(insert) == [None]
    assert bank.all("SELECT id, chave FROM chaves ORDER BY id") == [(1, None), (2, None)]


def test_a_change_that_is_taken_back_is_not_seen_by_the_other_way_in(bank: Bank) -> None:
    """A row found by its name is the row as it stands, also after a unit that changed it raised."""
    bank.con.execute("INSERT INTO contas (id, nome, saldo) VALUES (1, 'ana', 1)")
    reads = (CONTAS.of(1), CONTAS_POR_NOME.of("ana"))

    def change_and_raise(facts: Facts) -> None:
        conta = facts.get(CONTAS, 1)
        assert conta is not None
        facts.change(CONTAS, conta._replace(saldo=99))
        found = facts.get(CONTAS_POR_NOME, "ana")
        assert found is not None
        assert found.saldo == 99
        raise precondicao("taken back")

    def add(facts: Facts) -> int:
        conta = facts.get(CONTAS_POR_NOME, "ana")
        assert conta is not None
        facts.change(CONTAS, conta._replace(saldo=conta.saldo + 1))
        return conta.saldo

    _, before = bank.run(Unit(reads, change_and_raise, (), None), Unit(reads, add, (), None))
    assert before == 1
    assert bank.accounts() == [(1, "ana", 2)]
