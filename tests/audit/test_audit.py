"""The auditor: clean on what the services do, red, with the order named, on what they must not."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from common.audit import AuditReport, audit, exit_code
from common.audit.report import VIOLATIONS_LISTED_MAX
from common.audit.snapshot import freeze
from common.storage.files import SALAS, database_path
from tests.support.audit_lies import Mentira, aberta, acrescentar, linhas_de
from tests.support.audit_proof import (
    CORRUPCOES,
    MENTIRAS,
    NUNCA_SOZINHAS,
    provadas_sozinhas,
    provas,
    regras,
)
from tests.support.audit_support import (
    PASSADO,
    corromper,
    escrever_historia,
    preparar,
)
from tests.support.shops_that_lived import Vivida, acusados, impresso, pulada, vermelhas

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.audit_corruptions import Corrupcao


SERVICOS = ("pagamentos", "estoque", "fiscal", "logistica")


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
        assert contada.facts or corrupcao.nome == "pedido recusado apagado em toda parte"
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
    assert vermelhas(relatorio) == {"keys", "schema"}
    assert acusados(relatorio) == {outro, None}


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
    assert vermelhas(relatorio) == {"integrity", "products", "order-total", "imported-rows"}
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
    assert vermelhas(relatorio) == {"orphans", "history-lost", "row-numbers"}
    assert acusados(relatorio) == {enviado, None}


def test_leitura_concorrente_com_a_resposta_nao_e_acusada(molde: Vivida, tmp_path: Path) -> None:
    """A read that was asked before the answer came may show the earlier state."""
    linhas = list(molde.historia)
    ok = linhas_de(linhas, molde.destinos["enviado"][3])[0]
    antes = aberta(ok)
    comum = {"op": "consultar_pedido", "key": ok["key"], "process": 9}
    linhas.append({"type": "invoke", **comum, "time_ns": ok["time_ns"] - 1})
    linhas.append({"type": "ok", **comum, "time_ns": ok["time_ns"] + 10**12, "answer": antes})
    relatorio = audit(molde.data_dir, history=escrever_historia(tmp_path / "h.jsonl", linhas))
    assert vermelhas(relatorio) == set(), impresso(relatorio)


def test_uma_historia_parcial_nao_acusa_os_outros(molde: Vivida, tmp_path: Path) -> None:
    """Orders that the history does not know are someone else's, unless it is said to be whole."""
    linhas = [x for x in molde.historia if x["op"] != "cancelar_pedido"]
    linhas = linhas[: len(linhas) // 2]
    historia = escrever_historia(tmp_path / "h.jsonl", linhas)
    relatorio = audit(molde.data_dir, history=historia)
    assert vermelhas(relatorio) == set()
    assert pulada(relatorio, "history-unexpected")
    assert pulada(relatorio, "history-unasked")
    assert vermelhas(audit(molde.data_dir, history=historia, complete=True)) == {
        "history-unexpected",
        "history-unasked",
    }


def test_recusas_verdadeiras_nao_sao_acusadas(molde: Vivida, tmp_path: Path) -> None:
    """Each refusal that is so stays clean, also under a key that succeeds before or after it."""
    linhas, enviado = list(molde.historia), molde.destinos["enviado"][3]
    ok = next(x for x in linhas_de(linhas, enviado) if x["op"] == "criar_pedido")
    chave = ok["key"]
    corpo = next(x["request"] for x in linhas if x["key"] == chave and "request" in x)
    outro = {**corpo, "cliente_id": 2}

    def recusar(kind: str, op: str = "criar_pedido", **mais: Any) -> None:
        acrescentar(linhas, type="fail", op=op, key=chave, error={"kind": kind}, **mais)

    recusar("conflito", request=outro)
    recusar("invalido", request=outro)
    recusar("sobrecarga", request=corpo)
    recusar("corpo_grande_demais", request=corpo)
    recusar("precondicao", op="cancelar_pedido", asked=enviado)
    recusar("precondicao", op="cancelar_pedido", asked=1)
    recusar("sobrecarga", op="cancelar_pedido", asked=enviado)
    # Before anybody was told of the order, by callers of their own.
    antes = ok["time_ns"] - 2
    for process, op in enumerate(("cancelar_pedido", "consultar_pedido"), 20):
        comum = {"op": op, "key": "palpite", "process": process, "pedido_id": enviado}
        linhas.append({"type": "invoke", **comum, "time_ns": antes})
        falha = {"type": "fail", **comum, "time_ns": antes + 1}
        linhas.append({**falha, "error": {"kind": "nao_encontrado"}})
    relatorio = audit(molde.data_dir, history=escrever_historia(tmp_path / "h.jsonl", linhas))
    assert vermelhas(relatorio) == set(), impresso(relatorio)


def test_chaves_trocadas_entre_dois_pedidos_so_uma_historia_ve(
    vivida: Vivida, tmp_path: Path
) -> None:
    """Two orders of one body whose keys are swapped: no file tells, each of their clients does."""
    um, outro = vivida.destinos["enviado"][3:5]
    corromper(
        vivida.data_dir,
        "pedidos",
        f"UPDATE pedidos SET chave_idempotencia = 'provisoria' WHERE id = {um}",
        f"UPDATE pedidos SET chave_idempotencia = 'chave-{um - PASSADO}' WHERE id = {outro}",
        f"UPDATE pedidos SET chave_idempotencia = 'chave-{outro - PASSADO}' WHERE id = {um}",
    )
    assert vermelhas(audit(vivida.data_dir)) == set()
    historia = escrever_historia(tmp_path / "h.jsonl", vivida.historia)
    relatorio = audit(vivida.data_dir, history=historia)
    assert vermelhas(relatorio) == {"history-lost"}
    assert acusados(relatorio) == {um, outro}


def test_dados_de_antes_do_resumo_sao_julgados_sem_ele(vivida: Vivida) -> None:
    """Files that were imported before a digest was kept are clean, and the report says what is open."""
    for nome in SALAS:
        corromper(vivida.data_dir, nome, "DELETE FROM meta WHERE chave = 'importado'")
    relatorio = audit(vivida.data_dir)
    assert vermelhas(relatorio) == set(), impresso(relatorio)
    assert "before a digest" in str(pulada(relatorio, "imported-rows"))
