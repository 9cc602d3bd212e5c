"""The shop's file, ecommerce.db: its fixed schema, its fingerprint and the checks before use."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from common.contratos import (
    CENTAVOS_MAX,
    ESTOQUE_MAX,
    ID_MAX,
    ITENS_POR_PEDIDO_MAX,
    PEDIDO_ID_MAX,
    UNIDADES_POR_ITEM_MAX,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STATUS_PEDIDO: Final = (
    "pendente",
    "pagamento_aprovado",
    "em_separacao",
    "nf_emitida",
    "enviado",
    "entregue",
    "cancelado",
)
STATUS_PAGAMENTO: Final = ("aprovado", "rejeitado", "pendente")
STATUS_ENVIO: Final = ("aguardando_envio", "enviado", "entregue")
METODOS_PAGAMENTO: Final = ("cartao_credito", "boleto", "pix")

COLUNAS: Final = {
    "clientes": ("id", "nome", "email"),
    "produtos": ("id", "nome", "preco", "quantidade_estoque"),
    "pedidos": ("id", "cliente_id", "data_criacao", "status", "valor_total"),
    "itens_pedido": ("id", "pedido_id", "produto_id", "quantidade", "preco_unitario"),
    "pagamentos": ("id", "pedido_id", "data_processamento", "status", "metodo"),
    "notas_fiscais": ("id", "pedido_id", "numero", "data_emissao", "chave_acesso"),
    "envios": (
        "id",
        "pedido_id",
        "nota_fiscal_id",
        "data_despacho",
        "codigo_rastreamento",
        "status",
    ),
}

# What must be there for what names it: a table's column, and the table that it names.
REFERENCIAS: Final = (
    ("pedidos", "cliente_id", "clientes"),
    ("itens_pedido", "pedido_id", "pedidos"),
    ("itens_pedido", "produto_id", "produtos"),
    ("pagamentos", "pedido_id", "pedidos"),
    ("notas_fiscais", "pedido_id", "pedidos"),
    ("envios", "pedido_id", "pedidos"),
    ("envios", "nota_fiscal_id", "notas_fiscais"),
)
# Reais. The dearest price at which no order's total exceeds what the contract carries.
PRECO_MAX: Final = CENTAVOS_MAX // (ITENS_POR_PEDIDO_MAX * UNIDADES_POR_ITEM_MAX) / 100
# Numbers that the contract carries: a table's column, the least and the most.
BANDS: Final = (
    ("clientes", "id", 1, ID_MAX),
    ("produtos", "id", 1, ID_MAX),
    ("produtos", "preco", 0.01, PRECO_MAX),
    ("produtos", "quantidade_estoque", 0, ESTOQUE_MAX),
    # Far below the last id that SQLite gives: the orders to come are numbered from here on.
    ("pedidos", "id", 1, PEDIDO_ID_MAX // 2),
)

# Bytes read at a time: large enough for the disk, small beside a process.
_BLOCO_BYTES: Final = 1 << 20
_DIGEST_BYTES: Final = 16


def _entre(palavras: tuple[str, ...]) -> str:
    return "(" + ", ".join(f"'{palavra}'" for palavra in palavras) + ")"


ESQUEMA: Final = f"""
CREATE TABLE clientes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    nome TEXT NOT NULL,
    email TEXT NOT NULL UNIQUE
);
CREATE TABLE produtos (
    id INTEGER PRIMARY KEY,
    nome TEXT NOT NULL,
    preco REAL NOT NULL CHECK (preco > 0),
    quantidade_estoque INTEGER NOT NULL CHECK (quantidade_estoque >= 0)
);
CREATE TABLE pedidos (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    cliente_id INTEGER NOT NULL,
    data_criacao TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN {_entre(STATUS_PEDIDO)}),
    valor_total REAL,
    FOREIGN KEY (cliente_id) REFERENCES clientes (id)
);
CREATE TABLE itens_pedido (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pedido_id INTEGER NOT NULL,
    produto_id INTEGER NOT NULL,
    quantidade INTEGER NOT NULL CHECK (quantidade > 0),
    preco_unitario REAL NOT NULL CHECK (preco_unitario > 0),
    FOREIGN KEY (pedido_id) REFERENCES pedidos (id),
    FOREIGN KEY (produto_id) REFERENCES produtos (id)
);
CREATE TABLE pagamentos (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pedido_id INTEGER NOT NULL UNIQUE,
    data_processamento TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN {_entre(STATUS_PAGAMENTO)}),
    metodo TEXT CHECK (metodo IN {_entre(METODOS_PAGAMENTO)}),
    FOREIGN KEY (pedido_id) REFERENCES pedidos (id)
);
CREATE TABLE notas_fiscais (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pedido_id INTEGER NOT NULL UNIQUE,
    numero TEXT NOT NULL UNIQUE,
    data_emissao TEXT NOT NULL,
    chave_acesso TEXT,
    FOREIGN KEY (pedido_id) REFERENCES pedidos (id)
);
CREATE TABLE envios (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pedido_id INTEGER NOT NULL UNIQUE,
    nota_fiscal_id INTEGER NOT NULL UNIQUE,
    data_despacho TEXT,
    codigo_rastreamento TEXT,
    status TEXT NOT NULL CHECK (status IN {_entre(STATUS_ENVIO)}),
    FOREIGN KEY (pedido_id) REFERENCES pedidos (id),
    FOREIGN KEY (nota_fiscal_id) REFERENCES notas_fiscais (id)
);
"""


class ShopError(ValueError):
    """The shop's file cannot be used; the message is one sentence for a person."""


def fingerprint(path: Path) -> str:
    """BLAKE2b of the file's bytes, 16 bytes in hexadecimal, read a block at a time.

    Raises OSError when the file cannot be read.
    """
    resumo = blake2b(digest_size=_DIGEST_BYTES)
    with path.open("rb") as arquivo:
        while bloco := arquivo.read(_BLOCO_BYTES):
            resumo.update(bloco)
    return resumo.hexdigest()


def check_shop(path: Path) -> None:
    """Raise ShopError unless `path` is an SQLite file with the shop's tables and columns.

    Only the names are checked here, at every start; `check_rows` looks at what they hold.
    Nothing is written, and no file is created when there is none.
    """
    if not path.exists():
        raise ShopError(f"the shop's file {path} does not exist")
    if not path.is_file():
        raise ShopError(f"the shop's file {path} is not a file")
    try:
        faltam = _faltas(path)
    except sqlite3.DatabaseError as erro:
        raise ShopError(f"the shop's file {path} cannot be read as SQLite: {erro}") from erro
    if faltam:
        raise ShopError(f"the shop's file {path} lacks {', '.join(faltam)}")


def check_rows(path: Path) -> None:
    """Raise ShopError unless the shop at `path` can be imported: its rows name rows that are there.

    An order's number that a service imports and Pedidos does not know would be given to a later
    customer. A shop made by another script with the same schema is welcome. `path` has passed
    `check_shop`.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as con:
            erro = next(_erros(con), None)
    except sqlite3.DatabaseError as error:
        raise ShopError(f"the shop's file {path} cannot be read as SQLite: {error}") from error
    if erro is not None:
        raise ShopError(f"the shop's file {path} cannot be imported: {erro}")


def _erros(con: sqlite3.Connection) -> Iterator[str]:
    for tabela, coluna, alvo in REFERENCIAS:
        sql = (
            f"SELECT id, {coluna} FROM {tabela} "  # noqa: S608 - names of ours
            f"WHERE {coluna} IS NULL OR {coluna} NOT IN (SELECT id FROM {alvo}) LIMIT 1"
        )
        for linha, valor in con.execute(sql):
            named = "no " + coluna if valor is None else f"{coluna} {valor}, which is not in {alvo}"
            yield f"row {linha} of {tabela} has {named}"
    for tabela, coluna, menor, maior in BANDS:
        sql = (
            f"SELECT id, {coluna} FROM {tabela} "  # noqa: S608 - names of ours
            f"WHERE typeof({coluna}) NOT IN ('integer', 'real') "
            f"OR {coluna} NOT BETWEEN ? AND ? LIMIT 1"
        )
        for linha, valor in con.execute(sql, (menor, maior)):
            faixa = f"{menor:,} to {maior:,}"
            yield f"row {linha} of {tabela} has {coluna} {valor}, expected {faixa}"


def _faltas(path: Path) -> list[str]:
    faltam = []
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as conexao:
        # Touches the file even when it holds no table at all: opening alone reads nothing.
        conexao.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        for tabela, colunas in COLUNAS.items():
            nomes = conexao.execute("SELECT name FROM pragma_table_info(?)", (tabela,))
            existentes = {nome for (nome,) in nomes}
            if existentes:
                faltam += [f"column {tabela}.{c}" for c in colunas if c not in existentes]
            else:
                faltam.append(f"table {tabela}")
    return faltam
