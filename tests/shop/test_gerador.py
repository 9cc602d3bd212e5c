"""The synthetic shop: what it holds, and that it repeats."""

from __future__ import annotations

import re
import sqlite3
import tracemalloc
from contextlib import closing
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

import common.shop.generator
from common.servicos.protocolo.chave_acesso import chave_valida
from common.shop.generator import Opcoes, gerar
from common.shop.schema import STATUS_ENVIO, STATUS_PEDIDO, check_shop, fingerprint

if TYPE_CHECKING:
    from pathlib import Path

DIA = date(2025, 3, 10)
PRIMEIRO_INSTANTE, FIM = "2024-12-10T00:00:00", "2025-03-10T00:00:00"
PEDIDOS = 4_000


@pytest.fixture(scope="module")
def loja(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop with enough of a past to judge its shares."""
    destino = tmp_path_factory.mktemp("loja") / "ecommerce.db"
    gerar(destino, Opcoes(pedidos=PEDIDOS, data=DIA))
    return destino


def _ler(path: Path, consulta: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as conexao:
        return conexao.execute(consulta).fetchall()


def _dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as conexao:
        return list(conexao.iterdump())


# --- The same again ---------------------------------------------------------------------------


def test_mesma_semente_gera_o_mesmo_dump(tmp_path: Path) -> None:
    """The same seed and date give the same content, and the same fingerprint."""
    for nome in ("a.db", "b.db"):
        gerar(tmp_path / nome, Opcoes(data=DIA))
    assert _dump(tmp_path / "a.db") == _dump(tmp_path / "b.db")
    assert fingerprint(tmp_path / "a.db") == fingerprint(tmp_path / "b.db")


def test_outra_semente_ou_outra_data_gera_outra_loja(tmp_path: Path) -> None:
    """Another seed gives other customers, products and orders; another date, other orders only."""
    gerar(tmp_path / "a.db", Opcoes(data=DIA))
    gerar(tmp_path / "b.db", Opcoes(data=DIA, semente=43))
    gerar(tmp_path / "c.db", Opcoes(data=date(2025, 3, 11)))
    for tabela in ("clientes", "produtos", "pedidos"):
        a, b, c = (_ler(tmp_path / f"{x}.db", f"SELECT * FROM {tabela}") for x in "abc")
        assert a != b
        assert (a == c) == (tabela != "pedidos")


def test_mais_pedidos_nao_mudam_o_catalogo(tmp_path: Path) -> None:
    """Customers and products do not depend on how many orders there are."""
    gerar(tmp_path / "a.db", Opcoes(data=DIA))
    gerar(tmp_path / "b.db", Opcoes(data=DIA, pedidos=7))
    for tabela in ("clientes", "produtos"):
        a, b = (_ler(tmp_path / f"{x}.db", f"SELECT * FROM {tabela}") for x in "ab")
        assert a == b


# --- What a shop holds ------------------------------------------------------------------------


def test_loja_respeita_o_esquema(loja: Path) -> None:
    """Every reference, unique key and CHECK holds, though not all are looked at while writing."""
    check_shop(loja)
    assert _ler(loja, "PRAGMA integrity_check") == [("ok",)]
    assert _ler(loja, "PRAGMA foreign_key_check") == []


def test_resumo_conta_o_que_esta_no_arquivo(tmp_path: Path) -> None:
    """The summary tells the rows and statuses that the file holds."""
    resumo = gerar(tmp_path / "loja.db", Opcoes(pedidos=500, data=DIA))
    for tabela, quantas in resumo.linhas.items():
        assert _ler(resumo.caminho, f"SELECT COUNT(*) FROM {tabela}") == [(quantas,)]
    contados = dict(_ler(resumo.caminho, "SELECT status, COUNT(*) FROM pedidos GROUP BY 1"))
    assert {palavra: n for palavra, n in resumo.status_pedidos.items() if n} == contados
    assert resumo.tamanho_bytes == resumo.caminho.stat().st_size


def test_clientes_tem_nome_e_email_que_nao_e_de_ninguem(loja: Path) -> None:
    """E-mails are unique, plain ASCII and of a domain reserved for examples."""
    linhas = _ler(loja, "SELECT nome, email FROM clientes")
    assert len({email for _, email in linhas}) == 50
    for nome, email in linhas:
        assert re.fullmatch(r"[a-z]+\.[a-z]+\.\d+@example\.com", email)
        assert len(nome.split()) >= 2


def test_produtos_tem_nome_preco_e_estoque_da_loja(loja: Path) -> None:
    """Names, prices and stock are in the shop's form and range, and no two names are alike."""
    linhas = _ler(loja, "SELECT nome, preco, quantidade_estoque FROM produtos")
    assert len({nome for nome, _, _ in linhas}) == 30
    for nome, preco, estoque in linhas:
        assert re.fullmatch(r"Produto [A-Z][a-z]+ (Eletrônico|Vestuário|Livro|Alimento)", nome)
        assert 10.50 <= preco <= 500.99
        assert 0 <= estoque <= 100


@pytest.mark.parametrize(("menor", "maior"), [(0, 0), (7, 7), (3, 5)])
def test_estoque_fica_na_faixa_pedida(menor: int, maior: int, tmp_path: Path) -> None:
    """Both ends of the stock range are reached and never passed."""
    gerar(tmp_path / "loja.db", Opcoes(estoque=(menor, maior), produtos=100, data=DIA))
    estoques = {n for (n,) in _ler(tmp_path / "loja.db", "SELECT quantidade_estoque FROM produtos")}
    assert estoques == set(range(menor, maior + 1))


def test_dinheiro_e_exato_em_centavos(loja: Path) -> None:
    """Prices have whole centavos, a line has its product's price and a total is the exact sum."""
    assert all(
        preco == round(preco * 100) / 100 for (preco,) in _ler(loja, "SELECT preco FROM produtos")
    )
    linhas = _ler(
        loja,
        "SELECT p.valor_total, SUM(i.quantidade * CAST(ROUND(i.preco_unitario * 100) AS INTEGER))"
        " FROM pedidos p JOIN itens_pedido i ON i.pedido_id = p.id GROUP BY p.id",
    )
    assert len(linhas) == PEDIDOS
    assert all(total == centavos / 100 for total, centavos in linhas)
    outro_preco = (
        "SELECT 1 FROM itens_pedido i JOIN produtos p ON p.id = i.produto_id"
        " WHERE i.preco_unitario <> p.preco"
    )
    assert _ler(loja, outro_preco) == []


def test_pedido_tem_de_uma_a_cinco_linhas_sem_repetir_produto(loja: Path) -> None:
    """An order has 1 to 5 lines of 1 to 3 units, each product on one line only."""
    linhas = _ler(
        loja,
        "SELECT COUNT(*), COUNT(DISTINCT produto_id) FROM itens_pedido GROUP BY pedido_id",
    )
    assert {total for total, _ in linhas} == {1, 2, 3, 4, 5}
    assert all(total == distintos for total, distintos in linhas)
    assert set(_ler(loja, "SELECT DISTINCT quantidade FROM itens_pedido")) == {(1,), (2,), (3,)}


def test_loja_de_dois_produtos_tem_pedidos_de_ate_duas_linhas(tmp_path: Path) -> None:
    """A shop with fewer products than an order has lines makes shorter orders, and ends."""
    gerar(tmp_path / "loja.db", Opcoes(produtos=2, clientes=1, data=DIA))
    consulta = "SELECT MAX(n) FROM (SELECT COUNT(*) n FROM itens_pedido GROUP BY pedido_id)"
    assert _ler(tmp_path / "loja.db", consulta) == [(2,)]


# --- A past that is possible ------------------------------------------------------------------

HISTORIA = """
SELECT p.id, p.status, g.status, n.id IS NOT NULL, e.status,
       p.data_criacao, g.data_processamento, n.data_emissao, e.data_despacho, g.metodo
FROM pedidos p LEFT JOIN pagamentos g ON g.pedido_id = p.id
LEFT JOIN notas_fiscais n ON n.pedido_id = p.id LEFT JOIN envios e ON e.pedido_id = p.id
ORDER BY p.id
"""

# Of an order: status, then what it has of payment, invoice and shipment.
COMBINACOES = {
    ("pendente", None, 0, None),
    ("pendente", "pendente", 0, None),
    ("cancelado", "rejeitado", 0, None),
    ("pagamento_aprovado", "aprovado", 0, None),
    ("em_separacao", "aprovado", 0, None),
    ("nf_emitida", "aprovado", 1, None),
    ("nf_emitida", "aprovado", 1, "aguardando_envio"),
    ("enviado", "aprovado", 1, "enviado"),
    ("entregue", "aprovado", 1, "entregue"),
}


def test_status_e_documentos_contam_uma_so_historia(loja: Path) -> None:
    """An order's status and its documents agree; each combination that makes sense occurs."""
    assert {linha[1:5] for linha in _ler(loja, HISTORIA)} == COMBINACOES


def test_pagamento_rejeitado_cancela_o_pedido(loja: Path) -> None:
    """A rejected payment cancels its order, which gets no invoice and no shipment."""
    rejeitados = [linha for linha in _ler(loja, HISTORIA) if linha[2] == "rejeitado"]
    assert rejeitados
    assert {linha[1:5] for linha in rejeitados} == {("cancelado", "rejeitado", 0, None)}


def test_datas_sao_crescentes_e_nenhuma_e_futura(loja: Path) -> None:
    """Created, paid, invoiced and dispatched follow strictly, all in the 90 days before."""
    for linha in _ler(loja, HISTORIA):
        datas = [data for data in linha[5:9] if data is not None]
        assert datas == sorted(set(datas))
        assert datas[0] >= PRIMEIRO_INSTANTE
        assert datas[-1] < FIM
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", data) for data in datas)


def test_pedidos_sao_numerados_por_ordem_de_criacao(loja: Path) -> None:
    """Ids grow with the date of creation, from the first to the last of the 90 days."""
    datas = [data for (data,) in _ler(loja, "SELECT data_criacao FROM pedidos ORDER BY id")]
    assert datas == sorted(datas)
    assert datas[0].startswith("2024-12-10")
    assert datas[-1].startswith("2025-03-09")


def test_so_boleto_recente_fica_pendente(loja: Path) -> None:
    """The only undecided payments are boletos that had no time to clear."""
    pendentes = [linha for linha in _ler(loja, HISTORIA) if linha[2] == "pendente"]
    assert pendentes
    assert {linha[9] for linha in pendentes} == {"boleto"}
    assert min(linha[6] for linha in pendentes) >= "2025-03-06"


def test_envio_que_aguarda_nao_tem_despacho(loja: Path) -> None:
    """A parcel has a date of dispatch if and only if it left."""
    consulta = "SELECT DISTINCT status, data_despacho IS NULL FROM envios"
    esperado = {("aguardando_envio", 1), ("enviado", 0), ("entregue", 0)}
    assert set(_ler(loja, consulta)) == esperado


def test_nada_e_entregue_antes_de_um_dia_de_viagem(loja: Path) -> None:
    """A parcel that arrived left at least a day before the past ends."""
    consulta = "SELECT MAX(data_despacho) FROM envios WHERE status = 'entregue'"
    assert _ler(loja, consulta)[0][0] < "2025-03-09T00:00:00"


def test_parcelas_sao_as_do_curso(loja: Path) -> None:
    """80 % paid, 90 % approved, 90 % invoiced, 95 % booked, these in thirds, but for chance."""
    linhas = _ler(loja, HISTORIA)
    decididos = [linha for linha in linhas if linha[2] in {"aprovado", "rejeitado"}]
    aprovados = [linha for linha in decididos if linha[2] == "aprovado"]
    faturados = [linha for linha in aprovados if linha[3]]
    enviados = [linha for linha in faturados if linha[4]]
    assert len(decididos) / len(linhas) == pytest.approx(0.80, abs=0.03)
    assert len(aprovados) / len(decididos) == pytest.approx(0.90, abs=0.03)
    assert len(faturados) / len(aprovados) == pytest.approx(0.90, abs=0.03)
    assert len(enviados) / len(faturados) == pytest.approx(0.95, abs=0.03)
    for status in STATUS_ENVIO:
        parte = [linha for linha in enviados if linha[4] == status]
        assert len(parte) / len(enviados) == pytest.approx(1 / 3, abs=0.06)
    assert {linha[1] for linha in linhas} == set(STATUS_PEDIDO)


def test_chaves_de_acesso_sao_validas_e_dizem_mes_e_numero(loja: Path) -> None:
    """A key is valid, unique, of the month of emission and of the number that its invoice shows."""
    linhas = _ler(loja, "SELECT chave_acesso, data_emissao, numero, pedido_id FROM notas_fiscais")
    assert len({chave for chave, *_ in linhas}) == len(linhas)
    for chave, emissao, numero, pedido_id in linhas:
        assert chave_valida(chave)
        assert chave[2:6] == emissao[2:4] + emissao[5:7]
        assert numero == f"NF{int(chave[25:34]):05d}-{pedido_id}"


def test_numeros_do_historico_nao_sao_os_dos_servicos(loja: Path) -> None:
    """No past invoice can take a number, or a fiscal series, that the services will issue."""
    for numero, chave in _ler(loja, "SELECT numero, chave_acesso FROM notas_fiscais"):
        assert not re.fullmatch(r"NF\d{9}", numero)
        assert chave[22:25] == "002"


def test_codigos_de_rastreamento_nao_se_repetem(loja: Path) -> None:
    """Tracking codes are BR, nine digits and PY, and no two are equal."""
    codigos = [codigo for (codigo,) in _ler(loja, "SELECT codigo_rastreamento FROM envios")]
    assert len(set(codigos)) == len(codigos)
    assert all(re.fullmatch(r"BR[1-9]\d{8}PY", codigo) for codigo in codigos)


# --- Writing ----------------------------------------------------------------------------------


def test_memoria_nao_cresce_com_os_pedidos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight times the orders take no more memory: only one batch is held at a time."""
    monkeypatch.setattr(common.shop.generator, "_BATCH", 250)
    picos = []
    gerar(tmp_path / "loja.db", Opcoes(pedidos=1, data=DIA))
    for pedidos in (1_000, 8_000):
        tracemalloc.start()
        gerar(tmp_path / "loja.db", Opcoes(pedidos=pedidos, data=DIA))
        picos.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert picos[1] < picos[0] * 1.2


def test_falha_no_meio_deixa_o_arquivo_anterior(tmp_path: Path) -> None:
    """When writing fails half way, the old file stays whole and the temporary one goes."""
    destino = tmp_path / "loja.db"
    destino.write_bytes(b"antes")

    def falhar(feitos: int, _total: int) -> None:
        if feitos > 80:
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        gerar(destino, Opcoes(data=DIA), falhar)
    assert [p.name for p in tmp_path.iterdir()] == ["loja.db"]
    assert destino.read_bytes() == b"antes"


def test_restos_do_arquivo_anterior_nao_alcancam_o_novo(tmp_path: Path) -> None:
    """A journal left by a crash on the old file goes with it: it would ruin the new one."""
    for sufixo in ("", "-journal", "-wal", "-shm"):
        (tmp_path / f"loja.db{sufixo}").write_bytes(b"antes")
    gerar(tmp_path / "loja.db", Opcoes(data=DIA))
    assert [p.name for p in tmp_path.iterdir()] == ["loja.db"]
    check_shop(tmp_path / "loja.db")


@pytest.mark.parametrize(
    ("opcoes", "frase"),
    [
        ({"pedidos": -1}, "pedidos must be 0 to"),
        ({"pedidos": 1_000_000_000}, "pedidos must be 0 to"),
        ({"clientes": -1}, "clientes must be 0 to"),
        ({"clientes": 0}, "clientes must be at least 1"),
        ({"produtos": 0}, "produtos must be at least 1"),
        ({"produtos": 2**31}, "produtos must be 0 to"),
        ({"estoque": (5, 4)}, "estoque must be LO:HI"),
        ({"estoque": (-1, 4)}, "estoque must be LO:HI"),
        ({"estoque": (0, 2**31)}, "estoque must be LO:HI"),
        ({"data": date(2005, 12, 31)}, "data must be a day of 2006 to 2099"),
        ({"data": date(2100, 1, 1)}, "data must be a day of 2006 to 2099"),
    ],
)
def test_opcoes_impossiveis_sao_recusadas(opcoes: dict[str, Any], frase: str) -> None:
    """Options that no shop can satisfy are refused in one sentence that names the option."""
    with pytest.raises(ValueError, match=frase):
        Opcoes(**opcoes)


def test_loja_vazia_e_as_bordas_da_data_sao_aceitas(tmp_path: Path) -> None:
    """Nothing at all is a shop too, and the first and the last accepted days work."""
    gerar(tmp_path / "loja.db", Opcoes(clientes=0, produtos=0, pedidos=0))
    check_shop(tmp_path / "loja.db")
    for data in (date(2006, 1, 1), date(2099, 12, 31)):
        gerar(tmp_path / "loja.db", Opcoes(data=data))
