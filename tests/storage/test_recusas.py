"""A database that cannot be used is one line at the start, with nothing touched."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from common.audit import AuditError, audit
from common.process.preflight import RefusedError, check_databases
from common.process.ready import EXIT_UNUSABLE
from common.runtime.lifecycle import prepare_databases
from common.settings import Settings
from common.shop.generator import Opcoes, gerar
from common.storage.files import GATEWAY, SALAS, DatabaseError, database_path, prepare
from tests.support.processes import ROOT
from tests.support.schema_support import consultar, mudar, retrato, versao_de

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="module")
def molde(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a first start, closed whole."""
    pasta = tmp_path_factory.mktemp("molde")
    for sala in (*SALAS.values(), GATEWAY):
        prepare(pasta, sala, shop)
    return pasta


def opcoes(pasta: Path, shop: Path) -> list[str]:
    """The command line of logistica, which calls nobody."""
    return ["logistica", "--port=0", f"--data-dir={pasta}", f"--shop={shop}"]


def recusa(pasta: Path, shop: Path) -> str:
    """The one line with which the service ends; everything is as it was."""
    antes = retrato(pasta)
    fim = subprocess.run(
        [sys.executable, "-m", "http_aio", *opcoes(pasta, shop)],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert fim.returncode == EXIT_UNUSABLE, fim
    assert fim.stdout == ""
    assert fim.stderr.startswith("logistica: ")
    assert fim.stderr.count("\n") == 1
    assert str(database_path(pasta, "logistica")) in fim.stderr
    assert retrato(pasta) == antes
    return fim.stderr


def sobrescrever(path: Path, inicio: int, dados: bytes) -> None:
    """Write bytes into the middle of a file."""
    with path.open("r+b") as arquivo:
        arquivo.seek(inicio)
        arquivo.write(dados)


def trocar(path: Path, dados: bytes) -> None:
    """Put other bytes in a file's place."""
    path.write_bytes(dados)


def virar_pasta(path: Path) -> None:
    """Put a directory in a file's place."""
    path.unlink()
    path.mkdir()


def alheio(path: Path, sql: str) -> None:
    """Put another program's database in a file's place."""
    path.unlink()
    mudar(path, sql)


def versao(path: Path, numero: str) -> None:
    """Have a file say that it is of another version."""
    mudar(path, f"UPDATE meta SET valor = '{numero}' WHERE chave = 'versao'")


def versao_no_log(path: Path, *, indice: bool) -> None:
    """The same, in the log of a process that was killed; its index may be lost."""
    escrita = f"""
import os, sqlite3
con = sqlite3.connect({str(path)!r}, isolation_level=None)
con.execute("UPDATE meta SET valor = '7' WHERE chave = 'versao'")
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", escrita], check=True)
    assert path.with_name("logistica.db-wal").stat().st_size > 0
    if not indice:
        path.with_name("logistica.db-shm").unlink()


RECUSAS: dict[str, tuple[Callable[[Path], None], str]] = {
    "cabecalho": (
        lambda p: sobrescrever(p, 0, b"\xff" * 100),
        "not a database): bring back a copy",
    ),
    "cortado": (lambda p: os.truncate(p, p.stat().st_size // 2), "malformed): bring back a copy"),
    "texto": (lambda p: trocar(p, b"caro diario"), "not a database): bring back a copy"),
    "so o comeco": (
        lambda p: trocar(p, b"SQLite format 3\0abc"),
        "not a database): bring back a copy",
    ),
    "pasta": (virar_pasta, "is not a file: move it away"),
    "alheio": (lambda p: alheio(p, "CREATE TABLE x (y)"), "belongs to another program"),
    "alheio com meta": (lambda p: alheio(p, "CREATE TABLE meta (x)"), "belongs to another program"),
    "de outro servico": (
        lambda p: trocar(p, p.with_name("fiscal.db").read_bytes()),
        "belongs to fiscal, not to logistica: choose another --data-dir",
    ),
    "mais novo": (lambda p: versao(p, "2"), "version 2, this program knows 1: use the program"),
    "velho demais": (lambda p: versao(p, "0"), "version 0, this program knows 1: use the program"),
    "versao nenhuma": (lambda p: versao(p, "um"), "version um, this program knows 1:"),
    "mais novo, no log": (lambda p: versao_no_log(p, indice=True), "version 7"),
    "mais novo, no log sem indice": (lambda p: versao_no_log(p, indice=False), "version 7"),
}


@pytest.mark.parametrize("caso", RECUSAS)
def test_arquivo_que_nao_serve_e_uma_linha(
    molde: Path, tmp_path: Path, shop: Path, caso: str
) -> None:
    """A file that the service cannot use: exit code 3, one line that says what to do, no touch."""
    pasta = Path(shutil.copytree(molde, tmp_path / "dados"))
    estrago, trecho = RECUSAS[caso]
    estrago(database_path(pasta, "logistica"))
    assert trecho in recusa(pasta, shop)


def test_outra_loja_e_uma_linha(molde: Path, tmp_path: Path) -> None:
    """Data of another shop is left alone, and the line names both ways out."""
    pasta = Path(shutil.copytree(molde, tmp_path / "dados"))
    outra = tmp_path / "outra.db"
    gerar(outra, Opcoes(clientes=1, produtos=1, pedidos=1, semente=2))
    linha = recusa(pasta, outra)
    assert f"another shop than {outra}: name the shop it came from with --shop" in linha
    assert "--fresh" in linha


def test_gateway_que_nao_serve_deixa_pagamentos_como_estava(
    molde: Path, tmp_path: Path, shop: Path
) -> None:
    """Pagamentos has two files: neither is made or changed when one of them is refused."""
    shutil.copy(database_path(molde, "fiscal"), database_path(tmp_path, "gateway"))
    antes = retrato(tmp_path)
    with pytest.raises(DatabaseError, match=r"gateway\.db belongs to fiscal"):
        prepare_databases(Settings(servico="pagamentos", data_dir=tmp_path, shop=shop))
    assert retrato(tmp_path) == antes


@pytest.mark.parametrize("lost", ["removed", "emptied"])
@pytest.mark.parametrize("paid", [True, False])
def test_a_gateway_whose_books_are_gone_is_not_made_anew(
    molde: Path, tmp_path: Path, shop: Path, lost: str, *, paid: bool
) -> None:
    """Anew it would forget what Pagamentos had charged; where nothing was charged there is no harm."""
    pasta = Path(shutil.copytree(molde, tmp_path / "dados"))
    gateway = database_path(pasta, "gateway")
    if paid:
        with closing(sqlite3.connect(database_path(pasta, "pagamentos"))) as con, con:
            con.execute(
                """INSERT INTO pagamentos (pedido_id, data_processamento, status, valor_centavos)
                VALUES (900, '2026-01-01T00:00:00.000+00:00', 'aprovado', 1)"""
            )
    if lost == "removed":
        gateway.unlink()
    else:
        gateway.write_bytes(b"")
    settings = Settings(servico="pagamentos", data_dir=pasta, shop=shop)
    if paid:
        with pytest.raises(DatabaseError, match=r"gateway\.db is missing or empty.*1 payments"):
            prepare_databases(settings)
        with pytest.raises(RefusedError, match=r"gateway\.db is missing or empty"):
            check_databases(pasta, shop)
    else:
        prepare_databases(settings)
        assert gateway.stat().st_size > 0


# Another process: what this one reads of a file would release the locks that it has on it.
TRANCANDO = """
import sqlite3, sys
con = sqlite3.connect(sys.argv[1], isolation_level=None)
con.execute(f"PRAGMA locking_mode = {sys.argv[2]}")
con.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def trancado(path: Path, modo: str) -> Iterator[None]:
    """Another program has the file, in one of the ways in which SQLite lets it."""
    with subprocess.Popen(
        [sys.executable, "-c", TRANCANDO, path, modo],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as outro:  # fmt: skip
        assert outro.stdout.readline() == b"held\n"
        yield
        outro.communicate()


@pytest.mark.parametrize("modo", ["NORMAL", "EXCLUSIVE"])
def test_arquivo_trancado_e_uma_linha(molde: Path, tmp_path: Path, shop: Path, modo: str) -> None:
    """Who holds a lock is to end it: nobody is told to move away or begin anew what is in use."""
    pasta = Path(shutil.copytree(molde, tmp_path / "dados"))
    with trancado(database_path(pasta, "logistica"), modo):
        linha = recusa(pasta, shop)
    assert "is locked by another program: end that one, then start again" in linha
    assert "--fresh" not in linha


@pytest.mark.parametrize("modo", [0o000, 0o400])
def test_sem_permissao_e_uma_linha(molde: Path, tmp_path: Path, shop: Path, modo: int) -> None:
    """A file that may not be read, or not be written, is one line too."""
    pasta = Path(shutil.copytree(molde, tmp_path / "dados"))
    path = database_path(pasta, "logistica")
    dados = path.read_bytes()
    path.chmod(modo)
    if os.access(path, os.R_OK | os.W_OK):
        pytest.skip("root may read and write everything")
    with pytest.raises(DatabaseError, match="may not be read and written by this user"):
        prepare(pasta, SALAS["logistica"], shop)
    assert sorted(p.name for p in pasta.iterdir()) == sorted(p.name for p in molde.iterdir())
    path.chmod(0o600)
    assert path.read_bytes() == dados


# --- Brought forward by another program ---------------------------------------------------------

# Runs a service of a program whose logistica is one version further than ours.
MAIS_NOVO = """
import runpy, sys
from common.storage.files import SALAS
SALAS["logistica"] = SALAS["logistica"]._replace(
    migracoes=("ALTER TABLE envios ADD COLUMN peso_gramas INTEGER",)
)
runpy.run_module("http_aio", run_name="__main__", alter_sys=True)
"""


def test_o_servico_traz_o_arquivo_e_o_programa_antigo_o_recusa(
    molde: Path, tmp_path: Path, shop: Path
) -> None:
    """A real service brings its real file forward at its start; after that ours refuses it."""
    pasta = Path(shutil.copytree(molde, tmp_path / "dados"))
    comando = [sys.executable, "-c", MAIS_NOVO, *opcoes(pasta, shop)]
    with subprocess.Popen(
        comando, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as servico:
        assert '"ready":"logistica"' in servico.stdout.readline(), servico.stderr.read()
        servico.terminate()
        assert servico.wait(10) == 0
    logistica = database_path(pasta, "logistica")
    assert versao_de(logistica) == "2"
    assert consultar(logistica, "SELECT count(*), max(peso_gramas) FROM envios") == [
        (consultar(database_path(molde, "logistica"), "SELECT count(*) FROM envios")[0][0], None)
    ]
    assert "has schema version 2, this program knows 1:" in recusa(pasta, shop)


def test_a_auditoria_pede_que_os_servicos_comecem(
    molde: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The audit reads one version; what the services would bring forward it leaves to them."""
    sala = SALAS["fiscal"]
    monkeypatch.setitem(SALAS, "fiscal", sala._replace(migracoes=("CREATE TABLE mais (x)",)))
    with pytest.raises(AuditError, match=r"fiscal\.db has schema version 1, .* start the services"):
        audit(molde)


# --- A first start that is killed ---------------------------------------------------------------

PRIMEIRA_VEZ = """
import sys
from pathlib import Path
from common.storage.files import SALAS, prepare
prepare(Path(sys.argv[1]), SALAS["logistica"], Path(sys.argv[2]))
"""


def test_morto_ao_fazer_o_arquivo_comeca_de_novo(shop: Path, tmp_path: Path) -> None:
    """Killed while SQLite first writes to the file, a journal beside it: the next start makes it."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    morto = subprocess.run(
        ["strace", "-f", "-o", tmp_path / "chamadas", "-e", "trace=unlink",
         "-e", "inject=unlink:signal=KILL:error=EIO:when=1",
         sys.executable, "-c", PRIMEIRA_VEZ, tmp_path, shop],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    if "logistica.db-journal" not in (tmp_path / "chamadas").read_text():
        pytest.skip(f"strace cannot kill here: {morto.stderr.strip()}")
    path = database_path(tmp_path, "logistica")
    assert path.stat().st_size > 0
    assert path.with_name("logistica.db-journal").stat().st_size > 0
    prepare(tmp_path, SALAS["logistica"], shop)
    assert versao_de(path) == "1"
    assert not path.with_name("logistica.db-journal").exists()
