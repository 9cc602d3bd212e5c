"""Writes a synthetic shop: customers, products and a possible past, the same for the same seed.

Rows are made and written a batch at a time, so memory does not grow with the shop.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date
from itertools import islice, product
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import Struct, field

from common.contratos import ID_MAX
from common.servicos.protocolo.chave_acesso import NUMERO_MAX
from common.shop.history import Historico
from common.shop.schema import COLUNAS, ESQUEMA, STATUS_PEDIDO

if TYPE_CHECKING:
    from pathlib import Path

_T = TypeVar("_T")

CATEGORIAS: Final = ("Eletrônico", "Vestuário", "Livro", "Alimento")
PRECO_CENTAVOS: Final = (1_050, 50_099)
# NF-e exist since 2006 and their keys carry two digits of the year.
ANOS: Final = (2006, 2099)

# Names asked of Faker: about all it has; drawing pairs from them costs far less than asking it.
_NOMES_SORTEADOS: Final = 1_000
# Orders, customers or products a batch: a few megabytes, and no statement waits long for the next.
_BATCH: Final = 5_000
# KiB of page cache: the indexes of a million orders fit, so that building them reads nothing back.
_CACHE_KIB: Final = 64 * 1_024

# The file is seen by nobody else and thrown away if anything fails, so it needs no journal. Its
# rows satisfy the CHECKs by construction; looking at each again doubles the time, and the tests
# run the integrity check that does.
_PRAGMAS: Final = f"""
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA ignore_check_constraints = ON;
PRAGMA cache_size = -{_CACHE_KIB};
"""

# SQLite numbers the rows of these in the order of insertion: nothing refers to them.
_NO_ID: Final = frozenset({"itens_pedido", "pagamentos", "envios"})


def _insercao(tabela: str) -> str:
    colunas = COLUNAS[tabela][1:] if tabela in _NO_ID else COLUNAS[tabela]
    marcas = ", ".join("?" * len(colunas))
    return f"INSERT INTO {tabela} ({', '.join(colunas)}) VALUES ({marcas})"  # noqa: S608 - constants


_INSERIR: Final = {tabela: _insercao(tabela) for tabela in COLUNAS}

# Told how many rows of `total` (customers, products and orders) are written.
Avanco = Callable[[int, int], None]


class Opcoes(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shop to make. Raises ValueError, one sentence, when that shop cannot be.

    `estoque` bounds the units of a product, both ends included; `data` is the reference date,
    before which all of the past happened.
    """

    clientes: int = 50
    produtos: int = 30
    pedidos: int = 100
    estoque: tuple[int, int] = (0, 100)
    semente: int = 42
    # The day where the user is, whatever the time zone of the machine's records.
    data: date = field(default_factory=date.today)

    def __post_init__(self) -> None:
        """Refuse what cannot be made, so that whoever holds an instance need not ask."""
        maximos = (("clientes", ID_MAX), ("produtos", ID_MAX), ("pedidos", NUMERO_MAX))
        for nome, maximo in maximos:
            if not 0 <= getattr(self, nome) <= maximo:
                raise ValueError(f"{nome} must be 0 to {maximo}, got {getattr(self, nome)}")
        for nome in ("clientes", "produtos"):
            if self.pedidos and not getattr(self, nome):
                raise ValueError(f"orders need someone and something: {nome} must be at least 1")
        menor, maior = self.estoque
        if not 0 <= menor <= maior <= ID_MAX:
            regra = f"LO:HI with 0 <= LO <= HI <= {ID_MAX}"
            raise ValueError(f"estoque must be {regra}, got {menor}:{maior}")
        if not ANOS[0] <= self.data.year <= ANOS[1]:
            raise ValueError(f"data must be a day of {ANOS[0]} to {ANOS[1]}, got {self.data}")


class Resumo(Struct, frozen=True, kw_only=True):
    """What was written: rows by table, orders by status, the file and how long it took."""

    caminho: Path
    opcoes: Opcoes
    linhas: dict[str, int]
    status_pedidos: dict[str, int]
    tamanho_bytes: int
    duracao_s: float


def gerar(destino: Path, opcoes: Opcoes, avanco: Avanco | None = None) -> Resumo:
    """Write the shop to `destino`, replacing what is there, whole or not at all.

    The file is made beside `destino` under another name and moved over it only when complete; if
    anything goes wrong it is removed and `destino` stays as it was. Raises OSError or
    sqlite3.Error when the file cannot be written.
    """
    inicio = time.perf_counter()
    temporario = destino.with_name(f".{destino.name}.{secrets.token_hex(4)}.tmp")
    try:
        linhas, status = _escrever(temporario, opcoes, avanco or (lambda _feitos, _total: None))
        with temporario.open("rb+") as arquivo:
            os.fsync(arquivo.fileno())
        # Left by a crash, these belong to the old file; SQLite would replay them into the new one.
        for sufixo in ("-journal", "-wal", "-shm"):
            destino.with_name(destino.name + sufixo).unlink(missing_ok=True)
        temporario.replace(destino)
    except BaseException:
        temporario.unlink(missing_ok=True)
        raise
    return Resumo(
        caminho=destino,
        opcoes=opcoes,
        linhas=linhas,
        status_pedidos=status,
        tamanho_bytes=destino.stat().st_size,
        duracao_s=time.perf_counter() - inicio,
    )


def _escrever(
    caminho: Path, opcoes: Opcoes, avanco: Avanco
) -> tuple[dict[str, int], dict[str, int]]:
    linhas = dict.fromkeys(COLUNAS, 0)
    status = dict.fromkeys(STATUS_PEDIDO, 0)
    total = opcoes.clientes + opcoes.produtos + opcoes.pedidos
    with closing(sqlite3.connect(caminho, isolation_level=None)) as conexao:
        conexao.executescript(_PRAGMAS + ESQUEMA + "BEGIN;")
        for lote in _lotes(opcoes):
            for tabela, registros in lote.items():
                conexao.executemany(_INSERIR[tabela], registros)
                linhas[tabela] += len(registros)
            for palavra, quantos in Counter(p[3] for p in lote.get("pedidos", ())).items():
                status[palavra] += quantos
            avanco(linhas["clientes"] + linhas["produtos"] + linhas["pedidos"], total)
        conexao.execute("COMMIT")
    return linhas, status


def _lotes(opcoes: Opcoes) -> Iterator[dict[str, list[Any]]]:
    """Every row of the shop, a batch at a time, by table, each after the rows it refers to."""
    sortear = Random(f"{opcoes.semente}/precos").randint
    precos = [sortear(*PRECO_CENTAVOS) for _ in range(opcoes.produtos)]
    for clientes in _em_lotes(_clientes(opcoes)):
        yield {"clientes": clientes}
    for produtos in _em_lotes(_produtos(opcoes, precos)):
        yield {"produtos": produtos}
    historico = Historico(
        semente=opcoes.semente,
        data=opcoes.data,
        clientes=opcoes.clientes,
        precos_centavos=precos,
        pedidos=opcoes.pedidos,
    )
    for parte in historico.lotes(_BATCH):
        yield parte._asdict()


def _em_lotes(linhas: Iterator[_T]) -> Iterator[list[_T]]:
    while lote := list(islice(linhas, _BATCH)):
        yield lote


def _produtos(opcoes: Opcoes, precos: list[int]) -> Iterator[tuple[int, str, float, int]]:
    sorteio = Random(f"{opcoes.semente}/produtos")
    palavras = sorted({palavra.capitalize() for palavra in _faker(opcoes.semente).get_words_list()})
    # Every pair once before any comes again: a shop of some hundreds has no two alike.
    nomes = [f"Produto {' '.join(par)}" for par in product(palavras, CATEGORIAS)]
    sorteio.shuffle(nomes)
    for indice, preco in enumerate(precos):
        estoque = sorteio.randint(*opcoes.estoque)
        yield indice + 1, nomes[indice % len(nomes)], preco / 100, estoque


def _clientes(opcoes: Opcoes) -> Iterator[tuple[int, str, str]]:
    faker = _faker(opcoes.semente)
    nomes = [faker.first_name() for _ in range(_NOMES_SORTEADOS)]
    sobrenomes = [faker.last_name() for _ in range(_NOMES_SORTEADOS)]
    simples = {nome: _simples(nome) for nome in (*nomes, *sobrenomes)}
    sortear = Random(f"{opcoes.semente}/clientes").random
    for cliente_id in range(1, opcoes.clientes + 1):
        nome = nomes[int(sortear() * _NOMES_SORTEADOS)]
        sobrenome = sobrenomes[int(sortear() * _NOMES_SORTEADOS)]
        # example.com can belong to nobody (RFC 2606); the id makes the address unique.
        email = f"{simples[nome]}.{simples[sobrenome]}.{cliente_id}@example.com"
        yield cliente_id, f"{nome} {sobrenome}", email


def _simples(nome: str) -> str:
    """Only the letters of a name, without accents, in lower case."""
    decomposto = unicodedata.normalize("NFD", nome.lower())
    return "".join(letra for letra in decomposto if "a" <= letra <= "z")


def _faker(semente: int) -> Any:
    # Loading it costs 0.2 s, which importing this module should not.
    from faker import Faker

    faker = Faker("pt_BR")
    faker.seed_instance(semente)
    return faker
