"""The auditor: clean on what the services do, red, with the order named, on what they must not."""

from __future__ import annotations

import asyncio
import io
import shutil
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
from rich.console import Console

from common.audit import AuditError, AuditReport, audit, exit_code, print_report
from common.audit.history import ClientHistory
from common.audit.promises import REFUSED
from common.audit.report import VIOLATIONS_LISTED_MAX
from common.audit.rules import judge
from common.audit.snapshot import FILES, attach, freeze
from common.audit.whole import integrity
from common.database import database_path
from tests.audit_corruptions import Corrupcao
from tests.audit_lies import MENTIRAS, Mentira, linhas_de
from tests.audit_proof import CORRUPCOES, NUNCA_SOZINHAS, provadas_sozinhas, provas, regras
from tests.audit_support import (
    PASSADO,
    Cabo,
    aberta,
    corromper,
    escrever_historia,
    preparar,
    viver,
)

if TYPE_CHECKING:
    from pathlib import Path

SERVICOS = ("pagamentos", "estoque", "fiscal", "logistica")


class Vivida(NamedTuple):
    """A shop that has worked: its files, its orders by fate, and its client's history."""

    data_dir: Path
    destinos: dict[str, list[int]]
    historia: list[dict[str, Any]]


@pytest.fixture(scope="module")
def molde(tmp_path_factory: pytest.TempPathFactory) -> Vivida:
    """Made once; every test that changes something works on a copy."""
    data_dir = tmp_path_factory.mktemp("molde") / "dados"

    async def fazer() -> Vivida:
        async with aberta(data_dir) as loja:
            return Vivida(data_dir, await viver(loja), loja.historia)

    preparar(data_dir)
    return asyncio.run(fazer())


@pytest.fixture
def vivida(molde: Vivida, tmp_path: Path) -> Vivida:
    """A copy to be changed, with orders of every fate and some still open."""
    data_dir = tmp_path / "dados"
    shutil.copytree(molde.data_dir, data_dir)
    return molde._replace(data_dir=data_dir, historia=list(molde.historia))


@pytest.fixture
def assentada(vivida: Vivida) -> Vivida:
    """A copy in which recovery has brought every open order to its end."""

    async def recuperar() -> None:
        async with aberta(vivida.data_dir) as loja:
            await loja.assentar()

    asyncio.run(recuperar())
    return vivida


def vermelhas(relatorio: AuditReport) -> set[str]:
    """The ids of the checks that found something."""
    return {check.id for check in relatorio.checks if check.total}


def acusados(relatorio: AuditReport) -> set[int | None]:
    """The orders that the violations name."""
    return {v.pedido_id for check in relatorio.checks for v in check.violations}


def impresso(relatorio: AuditReport) -> str:
    """The report as printed, wide enough not to wrap."""
    console = Console(file=io.StringIO(), width=200)
    print_report(relatorio, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def pulada(relatorio: AuditReport, check_id: str) -> str | None:
    """Why a check was not judged."""
    return next(check.skipped for check in relatorio.checks if check.id == check_id)


# --- clean ------------------------------------------------------------------------------------


def test_o_molde_tem_uma_duzia_de_cada_destino(molde: Vivida) -> None:
    """The shop that all other tests corrupt holds a dozen orders of every fate."""
    for destino in (
        "enviado", "pagamento_rejeitado", "estoque_insuficiente", "solicitado", "aberto",
    ):  # fmt: skip
        assert len(molde.destinos[destino]) >= 12, destino


def test_uma_loja_sa_passa_em_tudo(molde: Vivida, tmp_path: Path) -> None:
    """Orders of every fate, some still open, and the client's history violate nothing."""
    historia = escrever_historia(tmp_path / "historia.jsonl", molde.historia)
    relatorio = audit(molde.data_dir, history=historia, complete=True)
    assert vermelhas(relatorio) == set(), impresso(relatorio)
    assert exit_code(relatorio) == 0
    assert all(check.examined for check in relatorio.checks)
    assert sum(relatorio.orders.values()) == sum(map(len, molde.destinos.values()))
    assert sum(relatorio.imported.values()) == PASSADO
    assert "clean" in impresso(relatorio)


def test_pedidos_abertos_sao_contados_e_so_acusados_quando_assentado(molde: Vivida) -> None:
    """An open order is counted at any time, and is a violation only once all should have ended."""
    relatorio = audit(molde.data_dir)
    assert relatorio.open_orders == len(molde.destinos["aberto"])
    assert not relatorio.quiescent
    assert pulada(relatorio, "open-orders")
    assert pulada(relatorio, "money-sums")
    exigente = audit(molde.data_dir, settled=True)
    assert vermelhas(exigente) == {"open-orders"}
    assert acusados(exigente) == set(molde.destinos["aberto"])
    assert exit_code(exigente) == 1


def test_depois_da_recuperacao_nada_fica_pela_metade(assentada: Vivida) -> None:
    """Once recovery has ended every order the shop is quiescent and its money sums agree."""
    relatorio = audit(assentada.data_dir, settled=True)
    assert vermelhas(relatorio) == set(), impresso(relatorio)
    assert relatorio.quiescent
    assert pulada(relatorio, "money-sums") is None


def test_uma_loja_que_nunca_vendeu_passa(tmp_path: Path) -> None:
    """Fresh files, with nothing but the imported past, are clean."""
    preparar(tmp_path / "dados")
    relatorio = audit(tmp_path / "dados", settled=True)
    assert vermelhas(relatorio) == set()
    assert relatorio.quiescent


def test_o_relatorio_vira_json_e_volta(vivida: Vivida) -> None:
    """The report, violations and all, survives JSON."""
    enviado = vivida.destinos["enviado"][3]
    corromper(vivida.data_dir, "pagamentos", f"DELETE FROM pagamentos WHERE pedido_id = {enviado}")
    relatorio = audit(vivida.data_dir)
    texto = msgspec.json.encode(relatorio)
    assert msgspec.json.decode(texto, type=AuditReport) == relatorio


# --- corrupted files --------------------------------------------------------------------------


def _escolher(vivida: Vivida, corrupcao: Corrupcao) -> int:
    """The order that a corruption strikes."""
    fiscal = database_path(vivida.data_dir, "fiscal")
    if corrupcao.destino in vivida.destinos:
        # Of those still open, one that was charged.
        return vivida.destinos[corrupcao.destino][-1 if corrupcao.destino == "aberto" else 3]
    if corrupcao.destino == "ninguem":
        return 888_888
    consulta = {
        # Undone in every service: its invoice was issued, then cancelled.
        "anulado": "SELECT min(pedido_id) FROM notas_fiscais WHERE status = 'cancelada'",
        "": "SELECT min(pedido_id) FROM notas_fiscais WHERE status = 'cancelada'",
        "importado": "SELECT min(pedido_id) FROM notas_fiscais WHERE origem = 'importado'",
    }[corrupcao.destino]
    with closing(sqlite3.connect(fiscal)) as con:
        return int(con.execute(consulta).fetchone()[0])


def test_cada_regra_e_cada_invariante_tem_a_sua_prova(tmp_path: Path) -> None:
    """A rule that nothing here turns red by itself is one that nobody has seen work."""
    preparar(tmp_path / "dados")
    julgadas = regras(tmp_path / "dados")
    assert set(provas()) == set(julgadas)
    assert provadas_sozinhas() == set(julgadas) - NUNCA_SOZINHAS
    servidas = {numero for invariantes in julgadas.values() for numero in invariantes}
    assert servidas == set(range(1, 14))


@pytest.mark.parametrize("corrupcao", CORRUPCOES, ids=lambda c: c.nome.replace(" ", "-"))
def test_cada_corrupcao_acende_a_sua_regra(
    vivida: Vivida,
    corrupcao: Corrupcao,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is done behind a service's back turns its rule red, and that alone, on that order."""
    pedido_id, esperadas = _escolher(vivida, corrupcao), set(corrupcao.vermelhas.split())

    def corromper_tudo() -> None:
        for arquivo, comando in corrupcao.por_arquivo(pedido_id):
            corromper(vivida.data_dir, arquivo, comando)

    def entre_leituras(con: sqlite3.Connection) -> None:
        con.execute("SELECT count(*) FROM pedidos.meta").fetchone()
        corromper_tudo()
        freeze(con)

    if corrupcao.quando == "entre leituras":
        monkeypatch.setattr("common.audit.freeze", entre_leituras)
    else:
        if corrupcao.quando == "assentada":
            request.getfixturevalue("assentada")
        corromper_tudo()
    relatorio = audit(vivida.data_dir, settled=corrupcao.quando == "assentada")
    assert vermelhas(relatorio) == esperadas, impresso(relatorio)
    assert exit_code(relatorio) == 1
    texto = impresso(relatorio)
    assert all(check_id in texto for check_id in esperadas)
    if corrupcao.destino:
        assert pedido_id in acusados(relatorio)
        assert f"order {pedido_id}: " in texto
        contada = next(d for d in relatorio.dossiers if d.pedido_id == pedido_id)
        assert contada.facts
        assert all(fato in texto for fato in contada.facts)
        assert all(f"{e.servico}: {e.text}" in texto for e in contada.events)


def test_a_historia_impressa_reune_os_cinco_servicos(vivida: Vivida, tmp_path: Path) -> None:
    """A violation prints the five logs by instant, every document, the gateway and the client."""
    enviado = vivida.destinos["enviado"][3]
    corromper(
        vivida.data_dir, "pedidos", f"UPDATE pedidos SET envio_status = 'x' WHERE id = {enviado}"
    )
    historia = escrever_historia(tmp_path / "h.jsonl", vivida.historia)
    relatorio = audit(vivida.data_dir, history=historia)
    assert vermelhas(relatorio) == {"summary", "history-answers"}
    (contada,) = relatorio.dossiers
    assert [e.instante for e in contada.events] == sorted(e.instante for e in contada.events)
    assert {e.servico for e in contada.events} == {"pedidos", *SERVICOS}
    texto = impresso(relatorio)
    for trecho in (
        "pedidos: ausente -> pendente",
        "logistica: ausente -> enviado",
        "pagamentos: payment aprovado",
        f"gateway: pedido-{enviado} capturada",
        "estoque: movement",
        "fiscal: invoice emitida",
        "logistica: shipment enviado",
        "invoke criar_pedido",
        "ok consultar_pedido",
    ):
        assert trecho in texto, trecho


def test_duas_ordens_com_a_mesma_chave_sao_acusadas(vivida: Vivida) -> None:
    """Even when the unique index is gone, a key shared by two orders is found."""
    um, outro = vivida.destinos["enviado"][3:5]
    with closing(sqlite3.connect(database_path(vivida.data_dir, "pedidos"))) as con:
        (esquema,) = con.execute("SELECT sql FROM sqlite_master WHERE name = 'pedidos'").fetchone()
        sem_unico = esquema.replace("TEXT UNIQUE", "TEXT").replace("TABLE pedidos", "TABLE copia")
        con.executescript(f"""
            PRAGMA legacy_alter_table = ON; {sem_unico};
            INSERT INTO copia SELECT * FROM pedidos; DROP TABLE pedidos;
            ALTER TABLE copia RENAME TO pedidos;
            UPDATE pedidos SET chave_idempotencia =
                (SELECT chave_idempotencia FROM pedidos WHERE id = {um}) WHERE id = {outro};
        """)
    relatorio = audit(vivida.data_dir)
    assert vermelhas(relatorio) == {"keys"}
    assert acusados(relatorio) == {outro}


def test_uma_pagina_estragada_e_uma_violacao_e_nao_um_tropeco(vivida: Vivida) -> None:
    """A damaged page fails the integrity check, and the rule that needs it says why it cannot."""
    caminho = database_path(vivida.data_dir, "catalogo")
    with closing(sqlite3.connect(caminho)) as con:
        (raiz,) = con.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'produtos'"
        ).fetchone()
        (tamanho,) = con.execute("PRAGMA page_size").fetchone()
    with caminho.open("r+b") as arquivo:
        arquivo.seek((raiz - 1) * tamanho)
        arquivo.write(b"\xff" * tamanho)
    relatorio = audit(vivida.data_dir)
    assert vermelhas(relatorio) == {"integrity", "products"}
    assert "catalogo.db" in impresso(relatorio)


def test_de_muitas_violacoes_so_as_primeiras_sao_listadas(assentada: Vivida) -> None:
    """A defect that strikes every order is counted whole and listed in part."""
    corromper(assentada.data_dir, "gateway", "UPDATE cobrancas SET instante = '', situacao = 'x'")
    check = next(c for c in audit(assentada.data_dir).checks if c.id == "gateway-ledger")
    assert check.total > VIOLATIONS_LISTED_MAX == len(check.violations)
    assert f"and {check.total - VIOLATIONS_LISTED_MAX:,} more" in impresso(
        audit(assentada.data_dir)
    )


# --- corrupted histories ----------------------------------------------------------------------


@pytest.mark.parametrize("mentira", MENTIRAS, ids=lambda m: m.nome.replace(" ", "-"))
def test_cada_promessa_quebrada_acende_a_sua_regra(
    molde: Vivida, tmp_path: Path, mentira: Mentira
) -> None:
    """A history that the files do not bear out turns its rule red and prints the client's lines."""
    linhas = list(molde.historia)
    pedido_id = mentira.contar(linhas, molde.destinos["enviado"][3])
    historia = escrever_historia(tmp_path / "h.jsonl", linhas)
    relatorio = audit(molde.data_dir, history=historia, complete=True)
    assert vermelhas(relatorio) == set(mentira.vermelhas.split()), impresso(relatorio)
    assert pedido_id in acusados(relatorio)
    assert exit_code(relatorio) == 1
    contada = next(d for d in relatorio.dossiers if d.pedido_id == pedido_id)
    assert contada.client or mentira.nome == "pedido inesperado"
    assert all(linha in impresso(relatorio) for linha in contada.client)


def test_um_pedido_confirmado_que_sumiu_de_pedidos_e_acusado(
    vivida: Vivida, tmp_path: Path
) -> None:
    """An acknowledged order that is in no book of Pedidos any more is lost and leaves orphans."""
    enviado = vivida.destinos["enviado"][3]
    corromper(
        vivida.data_dir,
        "pedidos",
        f"DELETE FROM itens_pedido WHERE pedido_id = {enviado}",
        f"DELETE FROM transicoes WHERE pedido_id = {enviado}",
        f"DELETE FROM pedidos WHERE id = {enviado}",
    )
    historia = escrever_historia(tmp_path / "h.jsonl", vivida.historia)
    relatorio = audit(vivida.data_dir, history=historia)
    assert vermelhas(relatorio) == {"orphans", "history-lost"}
    assert acusados(relatorio) == {enviado}


def test_leitura_concorrente_com_a_resposta_nao_e_acusada(molde: Vivida, tmp_path: Path) -> None:
    """A read that was asked before the answer came may show the earlier state."""
    linhas = list(molde.historia)
    ok = linhas_de(linhas, molde.destinos["enviado"][3])[0]
    antes = {**ok["answer"], "status": "pendente", "envio": None}
    comum = {"op": "consultar_pedido", "key": ok["key"], "process": 9}
    linhas.append({"type": "invoke", **comum, "time_ns": ok["time_ns"] - 1})
    linhas.append({"type": "ok", **comum, "time_ns": ok["time_ns"] + 10**12, "answer": antes})
    relatorio = audit(molde.data_dir, history=escrever_historia(tmp_path / "h.jsonl", linhas))
    assert vermelhas(relatorio) == set(), impresso(relatorio)


def test_uma_historia_parcial_nao_acusa_os_outros(molde: Vivida, tmp_path: Path) -> None:
    """Orders that the history does not know are someone else's, unless it is said to be whole."""
    linhas = molde.historia[: len(molde.historia) // 2]
    historia = escrever_historia(tmp_path / "h.jsonl", linhas)
    relatorio = audit(molde.data_dir, history=historia)
    assert vermelhas(relatorio) == set()
    assert pulada(relatorio, "history-unexpected")
    assert vermelhas(audit(molde.data_dir, history=historia, complete=True)) == {
        "history-unexpected"
    }


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
    assert vistas == {"pedidos": 3, "logistica": 4, "pedidos_depois": 4}


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
