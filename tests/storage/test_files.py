"""A service's file: owned by one process, made in one transaction, recognised ever after."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from common.contratos import SERVICOS
from common.servicos.protocolo.chave_acesso import chave_valida
from common.shop.schema import ShopError
from common.storage.files import GATEWAY, SALAS, DatabaseError, database_path, exclusive, prepare
from common.storage.lock import InUseError
from tests.support.arms import ARMS
from tests.support.chain import CUSTOMERS, IMPORTED, PRODUCTS
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

HOLDER = """
import sys, time
from pathlib import Path
from common.storage.files import exclusive
with exclusive(Path(sys.argv[1]), "pedidos"):
    print("held", flush=True)
    sys.stdin.read()
"""

# Dies, as by kill -9, where the import would commit.
DYING = """
import os, sqlite3, sys
from pathlib import Path
from common.storage import files as database

class Dying(sqlite3.Connection):
    def execute(self, sql, *args):
        if sql == "COMMIT":
            os._exit(9)
        return super().execute(sql, *args)

def connect(path, **options):
    return sqlite3.connect(path.as_uri(), uri=True, isolation_level=None, factory=Dying)

database.connect = connect
database.prepare(Path(sys.argv[1]), database.SALAS["estoque"], Path(sys.argv[2]))
"""


def _rows(path: Path, sql: str) -> list[tuple]:
    with closing(sqlite3.connect(path)) as con:
        return con.execute(sql).fetchall()


async def test_um_segundo_processo_e_recusado_com_o_numero_do_primeiro(tmp_path: Path) -> None:
    """A database in use names the process that owns it; once that ends it is free."""
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(tmp_path), cwd=ROOT,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        await holder.stdout.readline()
        with pytest.raises(InUseError) as caught, exclusive(tmp_path, "pedidos"):
            pass
        assert f"process {holder.pid}" in str(caught.value)
        assert str(tmp_path / "pedidos.db") in str(caught.value)
        with exclusive(tmp_path, "estoque"):
            pass
    finally:
        holder.kill()
        await holder.communicate()
    with exclusive(tmp_path, "pedidos"):
        assert (tmp_path / "pedidos.lock").read_text() == str(os.getpid())


@pytest.mark.parametrize("arm", ARMS)
async def test_um_segundo_servico_sai_com_uma_frase(arm: str, shop: Path, tmp_path: Path) -> None:
    """A second instance of a service on the same data says one clear line and exits."""
    with exclusive(tmp_path, "logistica"):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", ARMS[arm].module, "logistica", "--port=0",
            f"--data-dir={tmp_path}", f"--shop={shop}", cwd=ROOT,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
    assert process.returncode == 3
    assert out == b""
    assert err.decode().count("\n") == 1
    assert f"in use by process {os.getpid()}" in err.decode()


@pytest.mark.parametrize("servico", SERVICOS)
def test_preparar_duas_vezes_e_o_mesmo(servico: str, shop: Path, tmp_path: Path) -> None:
    """A prepared database is accepted again, with or without the shop at hand, unchanged."""
    path = prepare(tmp_path, SALAS[servico], shop)
    dump = _rows(path, "SELECT sql FROM sqlite_master ORDER BY 1")
    assert prepare(tmp_path, SALAS[servico], shop) == path
    assert prepare(tmp_path, SALAS[servico], None) == path
    assert _rows(path, "SELECT sql FROM sqlite_master ORDER BY 1") == dump


def test_cada_servico_importa_a_sua_parte(shop: Path, tmp_path: Path) -> None:
    """Prices, stock, customers and history go each to the service that owns them."""
    for sala in (*SALAS.values(), GATEWAY):
        prepare(tmp_path, sala, shop)

    def count(nome: str, tabela: str) -> int:
        return _rows(tmp_path / f"{nome}.db", f"SELECT count(*) FROM {tabela}")[0][0]

    def shop_count(tabela: str) -> int:
        return _rows(shop, f"SELECT count(*) FROM {tabela}")[0][0]

    assert count("pedidos", "clientes") == CUSTOMERS
    assert count("pedidos", "pedidos") == IMPORTED
    assert count("pedidos", "itens_pedido") == shop_count("itens_pedido")
    assert count("catalogo", "produtos") == count("estoque", "produtos") == PRODUCTS
    for nome, tabela in (
        ("pagamentos", "pagamentos"), ("fiscal", "notas_fiscais"), ("logistica", "envios"),
    ):  # fmt: skip
        assert count(nome, tabela) == count(nome, "passos") == shop_count(tabela)
        assert _rows(tmp_path / f"{nome}.db", f"SELECT DISTINCT origem FROM {tabela}") in (
            [("importado",)],
            [],
        )
    assert count("gateway", "cobrancas") == 0
    chaves = _rows(tmp_path / "fiscal.db", "SELECT chave_acesso FROM notas_fiscais")
    assert all(chave_valida(chave) for (chave,) in chaves)
    cents = "SELECT id, CAST(ROUND(preco * 100) AS INTEGER) FROM produtos ORDER BY id"
    assert _rows(tmp_path / "catalogo.db", "SELECT id, preco_centavos FROM produtos") == _rows(
        shop, cents
    )


@pytest.mark.parametrize("stock", [None, 0, 7])
def test_o_estoque_inicial_e_um_movimento(shop: Path, tmp_path: Path, stock: int | None) -> None:
    """The opening stock, the shop's own or the one given, is the ledger's first movement."""
    path = prepare(tmp_path, SALAS["estoque"], shop, stock)
    quantities = _rows(path, "SELECT id, quantidade_estoque FROM produtos ORDER BY id")
    assert quantities == _rows(
        path, "SELECT produto_id, quantidade FROM movimentos WHERE tipo = 'abertura' ORDER BY 1"
    )
    assert quantities == (
        _rows(shop, "SELECT id, quantidade_estoque FROM produtos ORDER BY id")
        if stock is None
        else [(n, stock) for n in range(1, PRODUCTS + 1)]
    )


@pytest.mark.parametrize("servico", SERVICOS)
def test_importacao_interrompida_deixa_um_arquivo_vazio(
    servico: str, shop: Path, tmp_path: Path
) -> None:
    """An import that dies in the middle left nothing: the next start imports all of it."""
    sala = SALAS[servico]
    broken = sala._replace(importacao=sala.importacao + "; INSERT INTO nenhuma VALUES (1)")
    with pytest.raises(DatabaseError):
        prepare(tmp_path, broken, shop)
    path = database_path(tmp_path, sala.nome)
    assert _rows(path, "SELECT count(*) FROM sqlite_master") == [(0,)]
    prepare(tmp_path, sala, shop)
    assert _rows(path, "SELECT valor FROM meta WHERE chave = 'servico'") == [(servico,)]


def test_processo_morto_na_importacao_comeca_de_novo(shop: Path, tmp_path: Path) -> None:
    """A process killed just before the import's commit leaves a file that is imported next time."""
    dying = subprocess.run(
        [sys.executable, "-c", DYING, str(tmp_path), str(shop)], cwd=ROOT, check=False
    )
    assert dying.returncode == 9
    path = prepare(tmp_path, SALAS["estoque"], shop)
    assert _rows(path, "SELECT count(*) FROM produtos") == [(PRODUCTS,)]
    assert _rows(path, "SELECT count(*) FROM movimentos") == [(PRODUCTS,)]


def test_os_nomes_ate_o_diretorio_estao_no_disco(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Owning a database flushes the directories that lead to it: a power cut takes no new one."""
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda fd: flushed.append(os.fstat(fd).st_ino))
    with exclusive(tmp_path / "a" / "b", "pedidos"):
        assert {path.stat().st_ino for path in (tmp_path, tmp_path / "a")} <= set(flushed)


def test_banco_alheio_a_meio_de_uma_transacao_fica_como_esta(shop: Path, tmp_path: Path) -> None:
    """A foreign file with a rollback journal is refused, not rolled back."""
    path = database_path(tmp_path, "pedidos")
    journal = path.with_name("pedidos.db-journal")
    with closing(sqlite3.connect(path, isolation_level=None)) as con:
        con.execute("PRAGMA cache_size = 5")
        con.execute("CREATE TABLE outra (texto TEXT)")
        con.execute("BEGIN")
        con.executemany("INSERT INTO outra VALUES (?)", [("x" * 3_000,)] * 50)
        left = path.read_bytes(), journal.read_bytes()
        con.execute("ROLLBACK")
    path.write_bytes(left[0])
    journal.write_bytes(left[1])
    with pytest.raises(DatabaseError, match=r"pedidos\.db"):
        prepare(tmp_path, SALAS["pedidos"], shop)
    assert path.read_bytes() == left[0]
    assert journal.read_bytes() == left[1]


def test_sem_loja_nao_ha_o_que_importar(tmp_path: Path) -> None:
    """A first start without a shop says how to make one."""
    with pytest.raises(DatabaseError, match=r"gerador_dados\.py"):
        prepare(tmp_path, SALAS["pedidos"], None)
    with pytest.raises(ShopError):
        prepare(tmp_path, SALAS["pedidos"], tmp_path / "nenhuma.db")


def test_diretorio_impossivel_e_uma_frase(tmp_path: Path) -> None:
    """A data directory that cannot be is one sentence too."""
    (tmp_path / "arquivo").write_text("")
    with (
        pytest.raises(InUseError, match="cannot use the data directory"),
        exclusive(tmp_path / "arquivo" / "dados", "pedidos"),
    ):
        pass
