"""The shop's file: schema, fingerprint and the check before use."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from hashlib import blake2b
from typing import TYPE_CHECKING

import pytest

from common.contratos import ESTOQUE_MAX
from common.shop.schema import (
    COLUNAS,
    ESQUEMA,
    METODOS_PAGAMENTO,
    PRECO_MAX,
    REFERENCIAS,
    STATUS_ENVIO,
    STATUS_PAGAMENTO,
    STATUS_PEDIDO,
    ShopError,
    check_rows,
    check_shop,
    fingerprint,
)

if TYPE_CHECKING:
    from pathlib import Path

LINHAS = """
INSERT INTO clientes VALUES (1, 'Ana', 'ana@example.com');
INSERT INTO produtos VALUES (1, 'Produto A Livro', 19.90, 3);
INSERT INTO pedidos VALUES (1, 1, '2025-01-01T00:00:00', 'pendente', 19.90);
INSERT INTO pedidos VALUES (2, 1, '2025-01-01T00:00:00', 'pendente', 19.90);
INSERT INTO pagamentos VALUES (1, 1, '2025-01-01T00:00:01', 'aprovado', 'pix');
INSERT INTO notas_fiscais VALUES (1, 1, 'NF1', '2025-01-01T00:00:02', NULL);
INSERT INTO envios VALUES (1, 1, 1, NULL, NULL, 'aguardando_envio');
"""


def _criar(path: Path, esquema: str = ESQUEMA) -> Path:
    with closing(sqlite3.connect(path)) as conexao:
        conexao.executescript(esquema)
    return path


def test_loja_com_o_esquema_e_aceita(tmp_path: Path) -> None:
    """A file made from the schema passes, whatever characters its path has."""
    check_shop(_criar(tmp_path / "loja #1 ?mode=rwc 100%.db"))


def test_esquema_tem_as_colunas_declaradas(tmp_path: Path) -> None:
    """The tables of the DDL are the declared ones, column by column, in order."""
    with closing(sqlite3.connect(_criar(tmp_path / "loja.db"))) as conexao:
        for tabela, colunas in COLUNAS.items():
            linhas = conexao.execute("SELECT name FROM pragma_table_info(?)", (tabela,))
            assert tuple(nome for (nome,) in linhas) == colunas


@pytest.mark.parametrize("tabela", list(COLUNAS))
def test_tabela_ausente_e_nomeada(tabela: str, tmp_path: Path) -> None:
    """A missing table is named, and it alone."""
    path = _criar(tmp_path / "loja.db")
    with closing(sqlite3.connect(path)) as conexao:
        conexao.execute(f"DROP TABLE {tabela}")
    with pytest.raises(ShopError, match=f"lacks table {tabela}$"):
        check_shop(path)


def test_colunas_ausentes_sao_nomeadas(tmp_path: Path) -> None:
    """Every missing column is named in the one sentence."""
    esquema = ESQUEMA.replace("preco REAL", "price REAL").replace("(preco > 0)", "(price > 0)")
    esquema = esquema.replace("chave_acesso TEXT", "chave TEXT")
    esperado = "lacks column produtos.preco, column notas_fiscais.chave_acesso$"
    with pytest.raises(ShopError, match=esperado):
        check_shop(_criar(tmp_path / "loja.db", esquema))


def test_arquivo_ausente_e_recusado_e_nao_e_criado(tmp_path: Path) -> None:
    """Checking a file that is not there says so and leaves nothing behind."""
    with pytest.raises(ShopError, match="does not exist"):
        check_shop(tmp_path / "loja.db")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "conteudo", [b"id,nome\n1,Ana\n" * 100, b"SQLite format 3\0" + b"\xff" * 100]
)
def test_arquivo_que_nao_e_sqlite_e_recusado(conteudo: bytes, tmp_path: Path) -> None:
    """A file of another kind, or a ruined one, is refused in one sentence."""
    path = tmp_path / "loja.db"
    path.write_bytes(conteudo)
    with pytest.raises(ShopError, match="cannot be read as SQLite") as erro:
        check_shop(path)
    assert "\n" not in str(erro.value)


def test_arquivo_vazio_e_pasta_sao_recusados(tmp_path: Path) -> None:
    """An empty file is a database without tables; a folder is no file."""
    vazio = tmp_path / "vazio.db"
    vazio.touch()
    with pytest.raises(ShopError, match="lacks table clientes"):
        check_shop(vazio)
    with pytest.raises(ShopError, match="is not a file"):
        check_shop(tmp_path)


@pytest.mark.parametrize(
    ("coluna", "palavras"),
    [
        ("pedidos.status", STATUS_PEDIDO),
        ("pagamentos.status", STATUS_PAGAMENTO),
        ("pagamentos.metodo", METODOS_PAGAMENTO),
        ("envios.status", STATUS_ENVIO),
    ],
)
def test_so_as_palavras_da_loja_sao_aceitas(
    coluna: str, palavras: tuple[str, ...], tmp_path: Path
) -> None:
    """A status or a method is one of the shop's words; any other is refused by the database."""
    tabela, nome = coluna.split(".")
    with closing(sqlite3.connect(_criar(tmp_path / "loja.db", ESQUEMA + LINHAS))) as conexao:
        atualizar = f"UPDATE {tabela} SET {nome} = ? WHERE id = 1"
        for palavra in palavras:
            conexao.execute(atualizar, (palavra,))
        with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
            conexao.execute(atualizar, ("talvez",))


@pytest.mark.parametrize(
    ("insercao", "regra"),
    [
        ("clientes VALUES (2, 'Eva', 'ana@example.com')", "UNIQUE"),
        ("pagamentos VALUES (2, 1, '2025', 'aprovado', 'pix')", "UNIQUE"),
        ("notas_fiscais VALUES (2, 1, 'NF2', '2025', NULL)", "UNIQUE"),
        ("notas_fiscais VALUES (2, 2, 'NF1', '2025', NULL)", "UNIQUE"),
        ("envios VALUES (2, 1, 9, NULL, NULL, 'enviado')", "UNIQUE"),
        ("envios VALUES (2, 2, 1, NULL, NULL, 'enviado')", "UNIQUE"),
        ("pedidos VALUES (3, 9, '2025', 'pendente', 1.0)", "FOREIGN KEY"),
        ("itens_pedido VALUES (1, 9, 1, 1, 19.9)", "FOREIGN KEY"),
        ("itens_pedido VALUES (1, 1, 9, 1, 19.9)", "FOREIGN KEY"),
        ("itens_pedido VALUES (1, 1, 1, 0, 19.9)", "CHECK"),
        ("produtos VALUES (2, 'Produto B Livro', 1.0, -1)", "CHECK"),
    ],
)
def test_esquema_recusa_o_impossivel(insercao: str, regra: str, tmp_path: Path) -> None:
    """One payment, invoice and shipment an order, no dangling reference, no negative quantity."""
    with closing(sqlite3.connect(_criar(tmp_path / "loja.db", ESQUEMA + LINHAS))) as conexao:
        conexao.execute("PRAGMA foreign_keys = ON")
        with pytest.raises(sqlite3.IntegrityError, match=regra):
            conexao.execute(f"INSERT INTO {insercao}")


def test_fingerprint_e_o_blake2b_dos_bytes(tmp_path: Path) -> None:
    """The fingerprint is BLAKE2b-128 of the whole file, also past the first block read."""
    path = tmp_path / "loja.db"
    conteudo = bytes(range(256)) * 10_000
    path.write_bytes(conteudo)
    antes = fingerprint(path)
    assert antes == blake2b(conteudo, digest_size=16).hexdigest()
    assert re.fullmatch("[0-9a-f]{32}", antes)
    path.write_bytes(conteudo[:-1] + b"\0")
    assert fingerprint(path) != antes


# --- what its rows hold ---------------------------------------------------------------------------


def _loja(tmp_path: Path, *comandos: str) -> Path:
    """A small shop, changed in ways that its own schema may forbid."""
    path = _criar(tmp_path / "loja.db")
    with closing(sqlite3.connect(path)) as conexao:
        conexao.executescript(LINHAS)
        conexao.execute("PRAGMA ignore_check_constraints = ON")
        for comando in comandos:
            conexao.execute(comando)
        conexao.commit()
    return path


def test_a_shop_whose_rows_are_there_can_be_imported(tmp_path: Path) -> None:
    """Whatever script made it."""
    check_rows(_loja(tmp_path))


@pytest.mark.parametrize(("tabela", "coluna", "alvo"), REFERENCIAS)
def test_a_row_that_names_one_that_is_missing_is_refused(
    tmp_path: Path, tabela: str, coluna: str, alvo: str
) -> None:
    """A parcel of an order that the shop does not have would meet a later customer's order."""
    itens = "INSERT INTO itens_pedido VALUES (1, 1, 1, 1, 19.90)"
    path = _loja(tmp_path, itens, f"UPDATE {tabela} SET {coluna} = 101 WHERE id = 1")
    with pytest.raises(ShopError, match=f"{tabela} has {coluna} 101, which is not in {alvo}"):
        check_rows(path)


@pytest.mark.parametrize(
    ("comando", "trecho"),
    [
        (f"UPDATE produtos SET quantidade_estoque = {ESTOQUE_MAX + 1}", "0 to 2,147,483,647"),
        ("UPDATE produtos SET quantidade_estoque = -1", "has quantidade_estoque -1"),
        ("UPDATE produtos SET quantidade_estoque = 'many'", "has quantidade_estoque many"),
        ("UPDATE produtos SET preco = 0.001", "has preco 0.001"),
        (f"UPDATE produtos SET preco = {PRECO_MAX + 1}", "has preco"),
        ("UPDATE produtos SET preco = 1e999", "has preco inf"),
        (f"UPDATE produtos SET id = {2**31}", "has id"),
        (f"UPDATE clientes SET id = {2**31} WHERE id = 1", "clientes"),
        (f"UPDATE pedidos SET id = {2**62 + 1} WHERE id = 2", "pedidos has id"),
    ],
)
def test_a_number_that_the_contract_does_not_carry_is_refused(
    tmp_path: Path, comando: str, trecho: str
) -> None:
    """What an answer could not hold, or no order could cost, is refused before the import."""
    with pytest.raises(ShopError, match=trecho):
        check_rows(_loja(tmp_path, comando))


def test_the_largest_stock_and_the_dearest_price_are_accepted(tmp_path: Path) -> None:
    """The limits themselves are within them."""
    check_rows(
        _loja(
            tmp_path, f"UPDATE produtos SET quantidade_estoque = {ESTOQUE_MAX}, preco = {PRECO_MAX}"
        )
    )
