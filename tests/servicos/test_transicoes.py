"""State machines are tables: what is not in them raises and changes nothing."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import contratos as c
from common.servicos import estoque, fiscal, logistica
from common.servicos.pagamentos import gateway, pagamentos
from common.servicos.pedidos import livro
from common.servicos.pedidos.livro import percurso
from common.servicos.protocolo.transicoes import (
    AUSENTE,
    TransicaoIlegal,
    diagrama,
    terminais,
    transicionar,
)
from tests.support.units import decided

TABELAS = {
    "pedidos": livro.TRANSICOES,
    "pagamentos": pagamentos.TRANSICOES,
    "estoque": estoque.TRANSICOES,
    "fiscal": fiscal.TRANSICOES,
    "logistica": logistica.TRANSICOES,
    "gateway": gateway.TRANSICOES,
}
TERMINAIS = {
    "pedidos": {"enviado", "cancelado"},
    "pagamentos": {"rejeitado", "estornado", "tombstone"},
    "estoque": {"insuficiente", "devolvido", "tombstone"},
    "fiscal": {"cancelada", "tombstone"},
    "logistica": {"enviado", "tombstone"},
    "gateway": {"anulada"},
}
tabelas = pytest.mark.parametrize("nome", TABELAS)


@tabelas
def test_par_fora_da_tabela_e_ilegal(nome: str) -> None:
    """Every pair of state and event that a table does not have raises."""
    tabela = TABELAS[nome]
    estados = {AUSENTE, *tabela.values(), "inventado"}
    eventos = {evento for _, evento in tabela} | {"inventado"}
    before = dict(tabela)
    for estado in estados:
        for evento in eventos:
            if (estado, evento) in tabela:
                assert transicionar(tabela, estado, evento) == tabela[estado, evento]
            else:
                with pytest.raises(TransicaoIlegal, match=evento):
                    transicionar(tabela, estado, evento)
    assert tabela == before


@tabelas
def test_terminais_sao_os_do_protocolo(nome: str) -> None:
    """A table ends exactly in the states that the protocol calls final."""
    assert terminais(TABELAS[nome]) == TERMINAIS[nome]


def test_o_contrato_chama_de_terminal_o_que_a_tabela_termina_e_o_que_foi_importado() -> None:
    assert livro.TERMINAIS | {"entregue"} == c.TERMINAIS


@tabelas
def test_todo_estado_e_alcancado_e_tem_saida_para_um_terminal(nome: str) -> None:
    """No state is unreachable, and from every state an end can be reached."""
    tabela = TABELAS[nome]

    def reach(start: str) -> set[str]:
        seen, todo = {start}, [start]
        while todo:
            state = todo.pop()
            new = {after for (before, _), after in tabela.items() if before == state} - seen
            seen |= new
            todo += new
        return seen

    assert reach(AUSENTE) == {AUSENTE, *tabela.values()}
    for estado in tabela.values():
        assert reach(estado) & terminais(tabela)


@tabelas
def test_nada_anda_depois_de_desfeito(nome: str) -> None:
    """Nothing leaves a terminal state: no step goes forward after a tombstone or an undo."""
    for estado in TERMINAIS[nome]:
        assert not [pair for pair in TABELAS[nome] if pair[0] == estado]


@tabelas
def test_o_diagrama_diz_a_tabela(nome: str) -> None:
    """The diagram has one line a transition."""
    text = diagrama(TABELAS[nome])
    for (estado, evento), proximo in TABELAS[nome].items():
        assert f"{'[*]' if estado == AUSENTE else estado} --> {proximo}: {evento}" in text


def test_os_estados_do_livro_sao_os_da_loja() -> None:
    """The book's states are the shop's words, cancelando and nothing else."""
    words = set(c.StatusPedido.__args__)
    assert set(livro.TRANSICOES.values()) == words - {"entregue"}


_PARTES = {
    "pagamento": st.sampled_from([None, "aprovado", "rejeitado", "estornado"]),
    "separacao": st.sampled_from([None, "separado", "insuficiente", "devolvido"]),
    "nota": st.booleans(),
    "status": st.sampled_from(["enviado", "cancelado"]),
    "inicio": st.sampled_from(["pendente", "cancelando"]),
}


@given(**_PARTES)
def test_o_percurso_contado_e_sempre_legal(
    pagamento: str | None, separacao: str | None, nota: bool, status: str, inicio: str
) -> None:
    """Whatever a refusal tells of, the log's steps are legal and end where the reply ends."""
    if status == "enviado":
        pagamento, separacao, nota = "aprovado", "separado", True
    andamento = c.AndamentoResponse(
        1,
        status,
        None,
        pagamento and c.ResumoPagamento(pagamento, "pix"),
        separacao and c.ResumoSeparacao(separacao),
        c.ResumoNotaFiscal("NF1", "0" * 44) if nota else None,
    )
    steps = list(percurso(inicio, andamento))
    assert steps[0][0] == inicio
    assert steps[-1][1] == status
    pairs = {(before, after) for (before, _), after in livro.TRANSICOES.items()}
    assert set(steps) <= pairs
    assert all(a[1] == b[0] for a, b in itertools.pairwise(steps))


def _book() -> sqlite3.Connection:
    con = sqlite3.connect(":memory:", isolation_level=None)
    con.executescript(livro.ESQUEMA)
    con.execute("INSERT INTO clientes VALUES (1, 'Ana', 'ana@exemplo')")
    return con


def test_um_terminal_nao_muda_mais() -> None:
    """The first terminal status stays, whatever later replies say."""
    with closing(_book()) as con:
        novo = livro.NovoPedido("k", b"r", 1, "pix", (livro.ItemPrecificado(1, 2, 50),))
        reads = livro.leituras_da_reivindicacao(novo)
        pedido_id = decided(con, reads, livro.reivindicar, novo, "2025-01-01", 0.0).linha.pedido_id
        order = (livro.PEDIDOS.of(pedido_id),)
        refused = c.AndamentoResponse(pedido_id, "cancelado", "pagamento_rejeitado")
        first = decided(con, order, livro.encerrar, pedido_id, refused, "2025-01-01")
        log = con.execute("SELECT * FROM transicoes").fetchall()
        sent = c.AndamentoResponse(pedido_id, "enviado", None)
        assert decided(con, order, livro.encerrar, pedido_id, sent, "2025-01-02") == first
        asked = (pedido_id, "solicitado", "2025-01-02")
        assert decided(con, order, livro.desistir, *asked) == first
        assert con.execute("SELECT * FROM transicoes").fetchall() == log
