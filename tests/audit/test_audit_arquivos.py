"""The auditor and its files: those it cannot judge, and those that services are writing to."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec
import pytest

from common.audit import AuditError, audit, exit_code
from common.audit.history import ClientHistory
from common.audit.promises import REFUSED
from common.audit.rules import judge
from common.audit.snapshot import FILES, attach, freeze
from common.audit.whole import integrity
from common.storage.files import database_path
from tests.support.audit_lies import linhas_de
from tests.support.audit_support import (
    PASSADO,
    Cabo,
    aberta,
    corromper,
    escrever_historia,
    preparar,
)
from tests.support.shops_that_lived import Vivida, impresso, vermelhas

if TYPE_CHECKING:
    from pathlib import Path


SERVICOS = ("pagamentos", "estoque", "fiscal", "logistica")


# --- what cannot be audited -------------------------------------------------------------------


def test_sem_diretorio_diz_uma_frase(tmp_path: Path) -> None:
    """A data directory that does not exist is one sentence, not a traceback."""
    with pytest.raises(AuditError, match="does not exist") as erro:
        audit(tmp_path / "nada")
    assert "\n" not in str(erro.value)


@pytest.mark.parametrize("nome", FILES)
def test_sem_um_dos_bancos_diz_qual(vivida: Vivida, nome: str) -> None:
    """A missing file is named, and none is made in its place."""
    caminho = database_path(vivida.data_dir, nome)
    caminho.unlink()
    with pytest.raises(AuditError, match=rf"{nome}\.db does not exist") as erro:
        audit(vivida.data_dir)
    assert "\n" not in str(erro.value)
    assert not caminho.exists()


def test_um_arquivo_que_nao_e_sqlite_diz_qual(vivida: Vivida) -> None:
    """A file that SQLite cannot read is named."""
    database_path(vivida.data_dir, "fiscal").write_bytes(b"not a database at all" * 1_000)
    with pytest.raises(AuditError, match=r"cannot read .*fiscal\.db: file is not a database"):
        audit(vivida.data_dir)


def test_um_banco_vazio_ou_de_outro_servico_e_recusado(vivida: Vivida) -> None:
    """A database that belongs to another service, or to nobody, is not audited as one of ours."""
    fiscal = database_path(vivida.data_dir, "fiscal")
    shutil.copy(database_path(vivida.data_dir, "estoque"), fiscal)
    with pytest.raises(AuditError, match=r"fiscal\.db belongs to estoque, not to fiscal"):
        audit(vivida.data_dir)
    fiscal.write_bytes(b"")
    with pytest.raises(AuditError, match="belongs to another program"):
        audit(vivida.data_dir)


@pytest.mark.parametrize(
    ("chave", "sentenca"),
    [("versao", "has schema version 0"), ("loja", "were imported from different shops")],
)
def test_outra_versao_ou_outra_loja_e_recusada(vivida: Vivida, chave: str, sentenca: str) -> None:
    """Files of another schema, or that do not belong together, are refused."""
    corromper(vivida.data_dir, "fiscal", f"UPDATE meta SET valor = '0' WHERE chave = '{chave}'")
    with pytest.raises(AuditError, match=sentenca):
        audit(vivida.data_dir)


@pytest.mark.parametrize(
    "linha",
    [
        b"isto nao e json",
        b'{"type": "maybe", "op": "criar_pedido", "key": "k", "process": 1, "time_ns": 1}',
        b'{"type": "ok", "op": "criar_pedido", "key": "k", "process": 1, "time_ns": 1}',
        b'{"type": "info", "op": "criar_pedido", "key": "\xff", "process": 1, "time_ns": 1}',
        b'{"type": "info", "op": "criar_pedido", "key": "k", "process": 1, "time_ns": 1e99}',
        b"",
    ],
)
def test_uma_linha_ilegivel_da_historia_diz_o_seu_numero(
    molde: Vivida, tmp_path: Path, linha: bytes
) -> None:
    """A line of the history that cannot be read is named by its number."""
    historia = escrever_historia(tmp_path / "h.jsonl", molde.historia[:6])
    historia.write_bytes(historia.read_bytes() + linha + b"\n")
    with pytest.raises(
        AuditError, match=r"line 7 of the history .*h\.jsonl cannot be read"
    ) as erro:
        audit(molde.data_dir, history=historia)
    assert "\n" not in str(erro.value)


def test_a_ultima_linha_ainda_sem_fim_espera(molde: Vivida, tmp_path: Path) -> None:
    """A last line without its end is still being written, or its writer died: it says nothing."""
    historia = escrever_historia(tmp_path / "h.jsonl", molde.historia)
    historia.write_bytes(historia.read_bytes() + b'{"type": "ok", "op": "cri')
    assert exit_code(audit(molde.data_dir, history=historia, complete=True)) == 0


def test_uma_historia_que_falta_diz_uma_frase(molde: Vivida, tmp_path: Path) -> None:
    """A history that is not there is one sentence."""
    with pytest.raises(AuditError, match="cannot read the history"):
        audit(molde.data_dir, history=tmp_path / "nenhuma.jsonl")


# --- while the services work ------------------------------------------------------------------


def test_auditar_nao_muda_nenhum_arquivo(vivida: Vivida) -> None:
    """The auditor writes nothing into the services' files."""
    antes = {nome: database_path(vivida.data_dir, nome).read_bytes() for nome in FILES}
    audit(vivida.data_dir)
    assert antes == {nome: database_path(vivida.data_dir, nome).read_bytes() for nome in FILES}


def test_uma_transacao_pela_metade_nao_e_vista_nem_esperada(vivida: Vivida) -> None:
    """While a service is in the middle of a write the auditor reads what was there before it."""
    with closing(
        sqlite3.connect(database_path(vivida.data_dir, "pagamentos"), isolation_level=None)
    ) as con:
        con.execute("BEGIN IMMEDIATE")
        con.execute("DELETE FROM pagamentos")
        inicio = time.monotonic()
        relatorio = audit(vivida.data_dir)
        assert time.monotonic() - inicio < 4, "the auditor waited for the writer"
        con.execute("ROLLBACK")
    assert vermelhas(relatorio) == set(), impresso(relatorio)


async def test_o_que_um_processo_morto_deixou_no_wal_e_visto(tmp_path: Path) -> None:
    """Files as a killed process leaves them, with their log and without its index, are read whole."""
    data_dir, restos = tmp_path / "dados", tmp_path / "restos"
    preparar(data_dir)
    async with aberta(data_dir) as loja:
        for _ in range(5):
            await loja.criar()
        shutil.copytree(data_dir, restos, ignore=shutil.ignore_patterns("*-shm"))
    antes = {path: path.read_bytes() for path in restos.glob("*.db*")}
    assert any(path.name.endswith("-wal") for path in antes)
    assert integrity(restos).total == 0
    relatorio = audit(restos, settled=True)
    assert antes == {path: path.read_bytes() for path in antes}, "nor is the log copied"
    assert vermelhas(relatorio) == set(), impresso(relatorio)
    assert sum(relatorio.orders.values()) == 5


def test_uma_repeticao_durante_a_auditoria_nao_e_acusada(molde: Vivida, tmp_path: Path) -> None:
    """A key that had only failed, and was tried again while the audit ran, may have an order."""
    enviado = molde.destinos["enviado"][3]
    ok = linhas_de(molde.historia, enviado)[0]
    invoke = next(x for x in molde.historia if x["key"] == ok["key"] and "request" in x)
    falha = {k: ok[k] for k in ("op", "key", "process", "time_ns")}
    falha |= {"type": "fail", "error": {"kind": "sobrecarga"}}
    historia = escrever_historia(tmp_path / "h.jsonl", [invoke, falha])
    with closing(attach(molde.data_dir)) as con:
        cliente = ClientHistory(con, historia)
        cliente.load(late=False)
        with historia.open("ab") as arquivo:
            arquivo.write(msgspec.json.encode({**invoke, "time_ns": ok["time_ns"] + 1}) + b"\n")
        freeze(con)
        cliente.load(late=True)
        assert judge(con, REFUSED).total == 0
    assert vermelhas(audit(molde.data_dir, history=historia)) == set()


def test_cada_arquivo_e_visto_desde_a_sua_leitura(vivida: Vivida) -> None:
    """Pedidos' first view is the oldest and its second the newest, whatever is written between."""
    contar = "SELECT count(*) FROM {}.meta"
    with closing(attach(vivida.data_dir)) as con:
        con.execute(contar.format("pedidos")).fetchone()
        for nome in ("pedidos", "logistica"):
            corromper(vivida.data_dir, nome, "INSERT INTO meta VALUES ('nova', '')")
        freeze(con)
        corromper(vivida.data_dir, "pedidos", "INSERT INTO meta VALUES ('tardia', '')")
        vistas = {
            nome: con.execute(contar.format(nome)).fetchone()[0]
            for nome in ("pedidos", "logistica", "pedidos_depois")
        }
    assert vistas == {"pedidos": 4, "logistica": 5, "pedidos_depois": 5}


async def test_auditar_sob_carga_nunca_acusa_o_que_esta_a_caminho(tmp_path: Path) -> None:
    """Audits that run while orders are made, refused, cut off and cancelled find nothing wrong."""
    data_dir = tmp_path / "dados"
    preparar(data_dir)
    historia = tmp_path / "h.jsonl"
    parar = asyncio.Event()

    async with aberta(data_dir) as loja:

        async def comprar(processo: int) -> None:
            while not parar.is_set():
                resposta = await loja.criar(1 + processo % 3, 1, processo=processo)
                if resposta is not None and processo % 2:
                    chave = f"chave-{resposta.pedido_id - PASSADO}"
                    await loja.consultar(chave, resposta.pedido_id, processo=processo)

        async def atrapalhar(cabo: Cabo) -> None:
            while not parar.is_set():
                cabo.corte = "volta" if cabo.corte is None else None
                await asyncio.sleep(0.005)
                await loja.condutor.varrer()

        async with asyncio.TaskGroup() as grupo:
            for processo in range(8):
                grupo.create_task(comprar(processo))
            grupo.create_task(atrapalhar(loja.cabos["fiscal"]))
            for _ in range(12):
                await asyncio.sleep(0.05)
                escrever_historia(historia, loja.historia)
                relatorio = await asyncio.to_thread(audit, data_dir, history=historia)
                assert vermelhas(relatorio) == set(), impresso(relatorio)
            parar.set()
    assert sum(audit(data_dir).orders.values()) >= 8, "every buyer bought"
