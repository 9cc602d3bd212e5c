"""Bad input gets a clear refusal in every arm: the field named, no effect, nothing in the log."""

from __future__ import annotations

from typing import Any, NamedTuple

import grpc
import grpc.aio
import msgspec
import pytest

from common.contratos import (
    CENTAVOS_MAX,
    CHAVE_IDEMPOTENCIA_MAX,
    CLIENTES_POR_PAGINA_MAX,
    ID_MAX,
    ITENS_POR_PEDIDO_MAX,
    OPERACOES,
    SERVICOS,
    UNIDADES_POR_ITEM_MAX,
)
from common.serving.deadline import RELOGIO, TIMEOUT_MAX_MS
from common.settings import ORDER_BODY_MAX
from tests.support.estranhos import (
    CHAVE,
    COBRANCA,
    ENVIO,
    ITEM,
    LIMITE,
    OPERACAO,
    PASSO,
    PEDIDO,
    PRAZO,
    PRODUTO,
    QUANTIDADE,
    SEPARACAO,
    Grpc,
    SemEfeito,
)
from tests.support.fuzz_support import CHAVE_NF, CLIENTE_AUSENTE, PRODUTO_AUSENTE
from wire.grpc.codec import caminho, protobuf_type
from wire.rest.codec import CODECS


class Caso(NamedTuple):
    """A message that breaks one rule and the field that the refusal must name."""

    nome: str
    operacao: str
    corpo: dict[str, Any]
    campo: str


def _item(**mudanca: Any) -> dict[str, Any]:
    return {**PEDIDO, "itens": [{**ITEM, **mudanca}]}


def _produtos(*produtos: int) -> list[dict[str, int]]:
    return [{"produto_id": produto, "quantidade": 1} for produto in produtos]


MUITOS = _produtos(*range(1, ITENS_POR_PEDIDO_MAX + 2))

CASOS = [
    Caso("itens vazios", "criar_pedido", {**PEDIDO, "itens": []}, "itens"),
    Caso("itens demais", "criar_pedido", {**PEDIDO, "itens": MUITOS}, "itens"),
    Caso("produto repetido", "criar_pedido", {**PEDIDO, "itens": _produtos(1, 2, 1)},
         "itens[2].produto_id"),
    Caso("quantidade zero", "criar_pedido", _item(quantidade=0), QUANTIDADE),
    Caso("quantidade negativa", "criar_pedido", _item(quantidade=-1), QUANTIDADE),
    Caso("quantidade acima", "criar_pedido", _item(quantidade=UNIDADES_POR_ITEM_MAX + 1),
         QUANTIDADE),
    Caso("quantidade enorme", "criar_pedido", _item(quantidade=ID_MAX), QUANTIDADE),
    Caso("produto zero", "criar_pedido", _item(produto_id=0), PRODUTO),
    Caso("produto negativo", "criar_pedido", _item(produto_id=-1), PRODUTO),
    Caso("produto desconhecido", "criar_pedido", _item(produto_id=PRODUTO_AUSENTE), PRODUTO),
    Caso("segundo produto desconhecido", "criar_pedido",
         {**PEDIDO, "itens": _produtos(1, PRODUTO_AUSENTE)}, "itens[1].produto_id"),
    Caso("maior produto desconhecido", "criar_pedido", _item(produto_id=ID_MAX), PRODUTO),
    Caso("cliente zero", "criar_pedido", {**PEDIDO, "cliente_id": 0}, "cliente_id"),
    Caso("cliente negativo", "criar_pedido", {**PEDIDO, "cliente_id": -1}, "cliente_id"),
    Caso("cliente desconhecido", "criar_pedido", {**PEDIDO, "cliente_id": CLIENTE_AUSENTE},
         "cliente_id"),
    Caso("maior cliente desconhecido", "criar_pedido", {**PEDIDO, "cliente_id": ID_MAX},
         "cliente_id"),
    Caso("metodo desconhecido", "criar_pedido", {**PEDIDO, "metodo_pagamento": "dinheiro"},
         "metodo_pagamento"),
    Caso("metodo em maiusculas", "criar_pedido", {**PEDIDO, "metodo_pagamento": "PIX"},
         "metodo_pagamento"),
    Caso("metodo vazio", "criar_pedido", {**PEDIDO, "metodo_pagamento": ""}, "metodo_pagamento"),
    Caso("metodo longo demais para repetir", "criar_pedido",
         {**PEDIDO, "metodo_pagamento": "x" * 20_000}, "metodo_pagamento"),
    *(
        Caso(f"falta {campo}", "criar_pedido",
             {nome: valor for nome, valor in PEDIDO.items() if nome != campo}, campo)
        for campo in PEDIDO
    ),
    Caso("item sem quantidade", "criar_pedido", {**PEDIDO, "itens": [{"produto_id": 1}]},
         QUANTIDADE),
    Caso("item sem produto", "criar_pedido", {**PEDIDO, "itens": [{"quantidade": 1}]}, PRODUTO),
    *(
        Caso(f"{nome} {valor}", nome, {"pedido_id": valor}, "pedido_id")
        for nome, operacao in OPERACAO.items()
        if "pedido_id" in CODECS[nome].no_caminho
        for valor in (0, -1)
    ),
    Caso("estoque do produto zero", "consultar_estoque", {"produto_id": 0}, "produto_id"),
    Caso("pagina negativa", "listar_clientes", {"limite": -1}, "limite"),
    Caso("pagina grande demais", "listar_clientes", {"limite": CLIENTES_POR_PAGINA_MAX + 1},
         "limite"),
    Caso("apos negativo", "listar_clientes", {"apos_id": -1}, "apos_id"),
    *(
        Caso(f"{nome}: {campo} {valor}", nome, {**corpo, campo: valor}, campo)
        for nome, corpo in (
            ("processar_pagamento", COBRANCA),
            ("separar_estoque", SEPARACAO),
            ("emitir_nota_fiscal", PASSO),
            ("agendar_envio", ENVIO),
        )
        for campo, valor in (
            ("pedido_id", 0), ("pedido_id", -1), ("cliente_id", 0),
            ("valor_total_centavos", 0), ("valor_total_centavos", CENTAVOS_MAX + 1),
        )
        if campo in corpo
    ),
    Caso("cobranca sem itens", "processar_pagamento", {**COBRANCA, "itens": []}, "itens"),
    Caso("cobranca com produto repetido", "processar_pagamento",
         {**COBRANCA, "itens": _produtos(3, 3)}, "itens[1].produto_id"),
    Caso("cobranca por metodo desconhecido", "processar_pagamento",
         {**COBRANCA, "metodo_pagamento": "fiado"}, "metodo_pagamento"),
    Caso("separacao com produto repetido", "separar_estoque",
         {**SEPARACAO, "itens": _produtos(3, 3)}, "itens[1].produto_id"),
    Caso("separacao de itens demais", "separar_estoque", {**SEPARACAO, "itens": MUITOS}, "itens"),
    Caso("envio sem nota", "agendar_envio", {"pedido_id": 7_001, "cliente_id": 1}, "nota_fiscal"),
    Caso("nota sem numero", "agendar_envio",
         {**ENVIO, "nota_fiscal": {"numero": "", "chave_acesso": CHAVE_NF}}, "nota_fiscal.numero"),
    Caso("chave da nota curta", "agendar_envio",
         {**ENVIO, "nota_fiscal": {"numero": "NF1", "chave_acesso": "1" * 43}},
         "nota_fiscal.chave_acesso"),
    Caso("chave da nota com letra", "agendar_envio",
         {**ENVIO, "nota_fiscal": {"numero": "NF1", "chave_acesso": "x" * 44}},
         "nota_fiscal.chave_acesso"),
    Caso("chave da nota com verificador errado", "agendar_envio",
         {**ENVIO, "nota_fiscal": {"numero": "NF1", "chave_acesso": CHAVE_NF[:-1] + "2"}},
         "nota_fiscal.chave_acesso"),
    *(
        Caso(f"{nome} por motivo desconhecido", nome, {"pedido_id": 7_001, "motivo": "capricho"},
             "motivo")
        for nome in ("cancelar_pagamento", "cancelar_separacao", "cancelar_nota_fiscal",
                     "cancelar_envio")
    ),
]  # fmt: skip


@pytest.mark.parametrize("caso", CASOS, ids=lambda caso: caso.nome)
def test_mensagem_que_quebra_uma_regra_e_recusada(braco: Any, caso: Caso) -> None:
    """A broken rule is 400 or INVALID_ARGUMENT, names the field, and has no effect."""
    with SemEfeito(braco):
        resposta = braco.chamar(caso.operacao, caso.corpo)
        # In a path a minus sign is no digit, but the field is the same.
        assert (resposta.codigo, resposta.campo) == (braco.INVALIDO, caso.campo)


METADADOS_RUINS = [
    *((LIMITE, valor) for valor in ("0", "-1", "abc", "1.5", "1e3", str(TIMEOUT_MAX_MS + 1),
                                    "9" * 40, "+5", "0x10")),
    (CHAVE, ""),
    (CHAVE, "   "),
    (CHAVE, "k" * (CHAVE_IDEMPOTENCIA_MAX + 1)),
    (CHAVE, "k" * 4_000),
]  # fmt: skip


@pytest.mark.parametrize(
    ("nome", "valor"), METADADOS_RUINS, ids=[f"{n} {v[:12]!r}" for n, v in METADADOS_RUINS]
)
def test_cabecalho_que_quebra_uma_regra_e_recusado(braco: Any, nome: str, valor: str) -> None:
    """A broken key or deadline is refused by the header's name, before any effect."""
    with SemEfeito(braco):
        resposta = braco.chamar("criar_pedido", PEDIDO, [(nome, valor)])
        assert (resposta.codigo, resposta.campo) == (braco.INVALIDO, nome)


@pytest.mark.parametrize(
    ("operacao", "corpo", "metadado"),
    [
        ("criar_pedido", PEDIDO, (LIMITE, "1")),
        ("processar_pagamento", COBRANCA, (LIMITE, "1")),
        ("processar_pagamento", COBRANCA, (PRAZO, f"{RELOGIO}:1")),
    ],
)
def test_prazo_ja_passado_e_tarde_e_nada_acontece(
    braco: Any, operacao: str, corpo: dict[str, Any], metadado: tuple[str, str]
) -> None:
    """An instant in the past, or less than a hop's reserve, is too late: 504, no effect."""
    with SemEfeito(braco):
        assert braco.chamar(operacao, corpo, [metadado]).codigo == braco.TARDE


def test_chave_no_limite_serve_dos_dois_lados(braco: Any) -> None:
    """The longest key, a single character and one with a space within are keys like any other."""
    for chave in ("K" * CHAVE_IDEMPOTENCIA_MAX, "!", "com espaco"):
        primeira = braco.chamar("criar_pedido", PEDIDO, [(CHAVE, chave)])
        segunda = braco.chamar("criar_pedido", PEDIDO, [(CHAVE, chave)])
        assert primeira.codigo in {201, grpc.StatusCode.OK}
        assert (segunda.codigo, segunda.corpo) == (primeira.codigo, primeira.corpo)
    assert braco.seis.novos_erros() == []


def test_cesta_no_limite_e_lida(braco: Any) -> None:
    """Fifty items of a thousand units pass the rules: the first unknown product is what is named."""
    itens = [
        {"produto_id": produto, "quantidade": UNIDADES_POR_ITEM_MAX}
        for produto in range(1, ITENS_POR_PEDIDO_MAX + 1)
    ]
    resposta = braco.chamar("criar_pedido", {**PEDIDO, "itens": itens})
    assert (resposta.codigo, resposta.campo) == (braco.INVALIDO, "itens[8].produto_id")


# --- What only gRPC can get wrong ---------------------------------------------------------------


@pytest.mark.parametrize("operacao", OPERACOES, ids=lambda operacao: operacao.nome)
def test_bytes_que_nao_sao_protobuf_sao_recusados(grpc_: Grpc, operacao: Any) -> None:
    """A broken wire format is INVALID_ARGUMENT and names the body."""
    with SemEfeito(grpc_):
        resposta = grpc_.cru(operacao.servico, caminho(operacao), b"\x0b\x08")
        assert (resposta.codigo, resposta.campo) == (grpc_.INVALIDO, "corpo")


def test_texto_que_nao_e_utf8_e_recusado_no_protobuf(grpc_: Grpc) -> None:
    """proto3 strings are UTF-8: other bytes are a broken message."""
    with SemEfeito(grpc_):
        bom = protobuf_type(OPERACAO["criar_pedido"].requisicao)(**PEDIDO).SerializeToString()
        operacao = OPERACAO["criar_pedido"]
        resposta = grpc_.cru("pedidos", caminho(operacao), bom.replace(b"pix", b"p\xffx"))
        assert (resposta.codigo, resposta.campo) == (grpc_.INVALIDO, "corpo")


def test_mensagem_vazia_e_recusada_onde_ha_campos(grpc_: Grpc) -> None:
    """No bytes at all are a message whose fields are all missing."""
    with SemEfeito(grpc_):
        for operacao in OPERACOES:
            if any(campo.required for campo in msgspec.structs.fields(operacao.requisicao)):
                resposta = grpc_.cru(operacao.servico, caminho(operacao), b"")
                assert (resposta.codigo, bool(resposta.campo)) == (grpc_.INVALIDO, True)


def test_campo_desconhecido_no_protobuf_e_ignorado(grpc_: Grpc) -> None:
    """Unlike JSON, protobuf skips fields that it does not know, so that old servers read new calls."""
    bom = protobuf_type(OPERACAO["consultar_pedido"].requisicao)(pedido_id=1).SerializeToString()
    resposta = grpc_.cru("pedidos", caminho(OPERACAO["consultar_pedido"]), bom + b"\xfa\x07\x01x")
    assert resposta.codigo is grpc.StatusCode.OK


@pytest.mark.parametrize("servico", SERVICOS)
def test_mensagem_grande_ou_metodo_alheio_tem_o_codigo_do_grpc(grpc_: Grpc, servico: str) -> None:
    """Over the size limit is RESOURCE_EXHAUSTED, another service's method UNIMPLEMENTED."""
    with SemEfeito(grpc_):
        for operacao in OPERACOES:
            if operacao.servico == servico:
                resposta = grpc_.cru(servico, caminho(operacao), b"\0" * (ORDER_BODY_MAX + 1))
                assert resposta.codigo is grpc.StatusCode.RESOURCE_EXHAUSTED
            else:
                resposta = grpc_.cru(servico, caminho(operacao), b"")
                assert resposta.codigo is grpc.StatusCode.UNIMPLEMENTED
