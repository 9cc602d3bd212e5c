"""What is checked, read and prepared before an arm starts, each refusal one sentence."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from importlib import metadata
from pathlib import Path

import pytest

from common import ROOT
from common.arms import ARMS
from common.contratos import SERVICOS
from common.process.preflight import (
    DATABASES,
    RefusedError,
    check_packages,
    ensure_shop,
    remove_data,
)
from common.process.runfile import NotRunningError, Run, read_run, supervising, write_run
from common.storage.lock import InUseError, held
from run_all import main
from tests.support.lancamento import comando
from tests.support.supervisor_falso import plano

# --- run.json and the lock -----------------------------------------------------------------------


def exemplo() -> Run:
    return plano(Path()).run


def test_read_run_diz_como_comecar(tmp_path: Path) -> None:
    """Without a run the reader names the command that starts one."""
    with pytest.raises(FileNotFoundError, match=r"run_all\.py --mode grpc --data-dir"):
        read_run(tmp_path / "nada")


def test_run_json_vale_enquanto_o_supervisor_vive(tmp_path: Path) -> None:
    """What is written is read back while the lock is held, and not a moment longer."""
    with supervising(tmp_path):
        write_run(tmp_path, exemplo())
        assert read_run(tmp_path) == exemplo()
        assert json.loads((tmp_path / "run.json").read_bytes())["mode"] == "grpc"
    with pytest.raises(NotRunningError):
        read_run(tmp_path)


def test_um_supervisor_por_pasta(tmp_path: Path) -> None:
    """A data directory has one supervisor; another is told who that is."""
    with (
        supervising(tmp_path),
        pytest.raises(InUseError, match=f"in use by process {os.getpid()}"),
        supervising(tmp_path),
    ):
        pass


def test_pasta_impossivel_e_uma_frase(tmp_path: Path) -> None:
    """A data directory that cannot be is one sentence."""
    (tmp_path / "arquivo").touch()
    with (
        pytest.raises(InUseError, match="cannot use the data directory"),
        supervising(tmp_path / "arquivo"),
    ):
        pass


# --- Before the start ----------------------------------------------------------------------------


def test_fresh_so_apaga_o_que_conhece(tmp_path: Path) -> None:
    """Beginning anew removes the databases with what SQLite keeps beside them, and no other."""
    nossos = [f"{nome}.db{fim}" for nome in DATABASES for fim in ("", "-wal", "-shm")]
    alheios = ["tese.db", "pedidos.db.bak", "notas.txt", "history.jsonl.gz"]
    for nome in (*nossos, "run.json", "history.jsonl", "load.json", *alheios):
        (tmp_path / nome).touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "pedidos.db").touch()
    remove_data(tmp_path)
    restantes = {path.name for path in tmp_path.iterdir() if path.suffix != ".lock"}
    assert restantes == {*alheios, "sub"}
    assert (tmp_path / "sub" / "pedidos.db").exists()


def test_fresh_recusa_enquanto_um_servico_vive(tmp_path: Path) -> None:
    """Nothing is removed while a process, though it be a single service, owns a database."""
    (tmp_path / "pedidos.db").touch()
    with held(tmp_path / "estoque.lock"), pytest.raises(RefusedError, match="in use by process"):
        remove_data(tmp_path)
    assert (tmp_path / "pedidos.db").exists()


def test_pacote_que_falta_tem_nome_e_remedio() -> None:
    """A missing package is named together with the command that installs it."""
    with pytest.raises(RefusedError, match=r"missing nao_existe: run pip install -r requirements"):
        check_packages(("sqlite3", "nao_existe"))


def test_pacote_de_um_braco_que_falta_e_uma_linha(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An arm without one of its packages is refused in one line; the others need it not."""
    achar = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda nome: None if nome == "flask" else achar(nome)
    )
    # The test's own process keeps its way to stop.
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    dados = tmp_path / "dados"
    assert main([str(parte) for parte in comando("http-threads", dados)]) == 2
    assert capsys.readouterr().err == (
        "run_all.py: missing flask: run pip install -r requirements.txt\n"
    )
    assert not dados.exists()
    check_packages(ARMS["http"].needs)


# Imports a module where no installed package can be found but those named.
IMPORTAR_SO_COM = """
import importlib, sys
from importlib import metadata

modulo, *permitidos = sys.argv[1:]
proibidos = {
    nome
    for nome, pacotes in metadata.packages_distributions().items()
    if not {pacote.replace("_", "-").lower() for pacote in pacotes} & set(permitidos)
}

class Ausentes:
    @staticmethod
    def find_spec(nome, *_resto):
        if nome.partition(".")[0] in proibidos:
            raise ModuleNotFoundError(nome, name=nome)

sys.meta_path.insert(0, Ausentes)
importlib.import_module(modulo)
"""


@pytest.mark.parametrize("arm", ARMS)
def test_cada_braco_nomeia_os_pacotes_que_importa(arm: str) -> None:
    """An arm's server imports where only the packages that it names, and theirs, are installed."""
    donos = metadata.packages_distributions()
    nomeados = {nome_de(dono) for nome in ARMS[arm].needs for dono in donos[nome.split(".")[0]]}
    resultado = subprocess.run(
        [
            *(sys.executable, "-c", IMPORTAR_SO_COM, f"{ARMS[arm].package}.server"),
            *com_dependencias(nomeados),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert resultado.returncode == 0, resultado.stderr


def com_dependencias(pacotes: set[str]) -> set[str]:
    """Packages with all that they ask for, extras left out."""
    vistos: set[str] = set()
    while pacotes - vistos:
        nome = (pacotes - vistos).pop()
        vistos.add(nome)
        with suppress(metadata.PackageNotFoundError):
            pedidos = [p for p in metadata.requires(nome) or () if "extra ==" not in p]
            pacotes = pacotes | {nome_de(re.match(r"[\w.-]+", p)[0]) for p in pedidos}
    return vistos


def nome_de(pacote: str) -> str:
    """A package's name in the one form in which names are compared."""
    return re.sub(r"[-_.]+", "-", pacote).lower()


def test_loja_que_falta_e_feita_uma_vez(tmp_path: Path) -> None:
    """A missing shop is made and said; one at hand is left alone."""
    falas = []
    ensure_shop(tmp_path / "loja.db", tmp_path, falas.append)
    feita = (tmp_path / "loja.db").read_bytes()
    ensure_shop(tmp_path / "loja.db", tmp_path, falas.append)
    assert (tmp_path / "loja.db").read_bytes() == feita
    assert len(falas) == 1
    assert "50 customers, 30 products, 100 past orders" in falas[0]


def test_loja_ja_importada_nao_e_feita_de_novo(tmp_path: Path) -> None:
    """Data that was imported needs its shop no more: another one would only be refused."""
    for servico in SERVICOS:
        with closing(sqlite3.connect(tmp_path / f"{servico}.db")) as con:
            con.execute("CREATE TABLE meta (chave)")
    ensure_shop(tmp_path / "loja.db", tmp_path, pytest.fail)
    assert not (tmp_path / "loja.db").exists()
