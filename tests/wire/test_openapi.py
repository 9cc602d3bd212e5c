"""The description of each service is valid, whole, and true of what is served."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
import requests
import schemathesis
from aiohttp import hdrs

from common import contratos as c
from common.erros import STATUS_HTTP
from common.serving.deadline import INSTANTE, TIMEOUT_MAX_MS
from common.settings import ORDER_BODY_MAX
from http_aio.server import HttpTransport
from tests.support.fuzz_support import (
    CHAVE_NF,
    CLIENTES,
    PRODUTO_AUSENTE,
    PRODUTOS,
    Servidores,
    servidores,
)
from wire.rest.openapi import documento

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENTOS = {servico: json.loads(documento(servico, metricas=True)) for servico in c.SERVICOS}
PROPRIOS = {("get", "/healthz"), ("get", "/readyz"), ("get", "/openapi.json"), ("get", "/metrics")}
METODOS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}

PEDIDO = {
    "cliente_id": 1,
    "itens": [{"produto_id": 1, "quantidade": 2}, {"produto_id": 2, "quantidade": 1}],
    "metodo_pagamento": "pix",
}
JSON = {"Content-Type": "application/json"}

cada_servico = pytest.mark.parametrize("servico", c.SERVICOS)


@pytest.fixture(scope="module")
def seis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servidores]:
    """The six REST servers."""
    with servidores("http", tmp_path_factory.mktemp("openapi")) as seis:
        yield seis


@pytest.fixture(scope="module")
def enviado(seis: Servidores) -> int:
    """The id of an order that went all the way."""
    resposta = requests.post(f"{seis.url('pedidos')}/pedidos", json=PEDIDO, timeout=30)
    assert (resposta.status_code, resposta.json()["status"]) == (201, "enviado")
    return resposta.json()["pedido_id"]


def _operacoes(servico: str) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (metodo, caminho): descrita
        for caminho, item in DOCUMENTOS[servico]["paths"].items()
        for metodo, descrita in item.items()
        if metodo in METODOS
    }


def _esquema(nome: str, servico: str = "pedidos") -> dict[str, Any]:
    return DOCUMENTOS[servico]["components"]["schemas"][nome]


def _parametro(descrita: dict[str, Any], nome: str) -> dict[str, Any]:
    return next(p for p in descrita["parameters"] if p["name"] == nome)["schema"]


def _validar(servico: str, metodo: str, caminho: str, resposta: requests.Response) -> None:
    """The answer is one that its operation describes: status, media type, body and headers."""
    documento = DOCUMENTOS[servico]
    descritas = documento["paths"][caminho][metodo]["responses"]
    descrita = descritas[str(resposta.status_code)]
    tipo = resposta.headers["Content-Type"].partition(";")[0]
    esquema = descrita["content"][tipo]["schema"]
    raiz = {**esquema, "components": documento["components"]}
    corpo = resposta.text if tipo == "text/plain" else resposta.json()
    jsonschema_rs.validator_for(raiz).validate(corpo)
    for nome, cabecalho in descrita.get("headers", {}).items():
        assert nome in resposta.headers or not cabecalho.get("required"), nome


# --- The description itself ---------------------------------------------------------------------


@cada_servico
def test_descricao_e_openapi_3_1_valida(servico: str) -> None:
    """The document satisfies OpenAPI 3.1's own schema, and each schema in it JSON Schema's."""
    documento = DOCUMENTOS[servico]
    assert documento["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(documento).validate()
    for esquema in documento["components"]["schemas"].values():
        jsonschema_rs.meta.validate(esquema)


@cada_servico
def test_toda_referencia_leva_a_um_esquema_usado(servico: str) -> None:
    """Every reference resolves, and no schema lies about unused."""
    texto = json.dumps(DOCUMENTOS[servico])
    esquemas = DOCUMENTOS[servico]["components"]["schemas"]
    usados = {
        parte.partition('"')[0] for parte in texto.split('"$ref": "#/components/schemas/')[1:]
    }
    assert usados == set(esquemas)


@cada_servico
def test_descrito_e_o_contrato(servico: str) -> None:
    """The operations described are those of the contract, and health, and the description."""
    contrato = {(op.metodo_http.lower(), op.caminho) for op in c.operacoes_de(servico)}
    assert set(_operacoes(servico)) == contrato | PROPRIOS
    nomes = [descrita["operationId"] for descrita in _operacoes(servico).values()]
    assert len(nomes) == len(set(nomes))


@cada_servico
def test_descrito_e_o_que_o_roteador_serve(seis: Servidores, servico: str) -> None:
    """Each route is described and each described operation has its route."""
    aplicacao = HttpTransport(seis.apps[servico])._runner.app
    rotas = {
        (rota.method.lower(), rota.resource.canonical)
        for rota in aplicacao.router.routes()
        if rota.resource is not None and rota.method != hdrs.METH_ANY
    }
    assert rotas == set(_operacoes(servico))


@cada_servico
def test_servido_e_o_que_esta_no_codigo(seis: Servidores, servico: str) -> None:
    """/openapi.json is the description that these tests examine."""
    resposta = requests.get(f"{seis.url(servico)}/openapi.json", timeout=30)
    assert resposta.headers["Content-Type"].startswith("application/json")
    assert resposta.content == documento(servico, metricas=True)


# --- Its limits ---------------------------------------------------------------------------------


def test_limites_do_corpo_sao_os_do_contrato() -> None:
    """Lengths and ranges in the schemas are the contract's constants."""
    criar = _esquema("CriarPedidoRequest")
    campos = criar["properties"]
    assert criar["additionalProperties"] is False
    assert set(criar["required"]) == {"cliente_id", "itens", "metodo_pagamento"}
    assert campos["cliente_id"] == {"type": "integer", "minimum": 1, "maximum": c.ID_MAX}
    assert campos["itens"]["minItems"] == 1
    assert campos["itens"]["maxItems"] == c.ITENS_POR_PEDIDO_MAX
    assert set(campos["metodo_pagamento"]["enum"]) == {"cartao_credito", "boleto", "pix"}
    item = _esquema("ItemPedido")
    assert item["additionalProperties"] is False
    assert item["properties"]["produto_id"]["maximum"] == c.ID_MAX
    quantidade = item["properties"]["quantidade"]
    assert quantidade == {"type": "integer", "minimum": 1, "maximum": c.UNIDADES_POR_ITEM_MAX}
    cobrar = _esquema("ProcessarPagamentoRequest", "pagamentos")["properties"]
    assert cobrar["pedido_id"]["maximum"] == c.PEDIDO_ID_MAX
    assert cobrar["valor_total_centavos"]["maximum"] == c.CENTAVOS_MAX
    nota = _esquema("ResumoNotaFiscal", "logistica")["properties"]["chave_acesso"]
    assert (nota["minLength"], nota["maxLength"]) == (44, 44)


def test_limites_dos_parametros_sao_os_do_contrato() -> None:
    """The headers, path and query parameters have the bounds that the service enforces."""
    pedidos = _operacoes("pedidos")
    criar = pedidos["post", "/pedidos"]
    chave = _parametro(criar, "Idempotency-Key")
    assert (chave["minLength"], chave["maxLength"]) == (1, c.CHAVE_IDEMPOTENCIA_MAX)
    assert _parametro(criar, "X-Timeout-Ms")["minimum"] == 1
    assert _parametro(criar, "X-Timeout-Ms")["maximum"] == TIMEOUT_MAX_MS
    assert "X-Deadline-At" not in {parametro["name"] for parametro in criar["parameters"]}
    cobrar = _operacoes("pagamentos")["post", "/pagamentos"]
    assert _parametro(cobrar, "X-Deadline-At")["pattern"] == f"^{INSTANTE}$"
    clientes = pedidos["get", "/clientes"]
    assert _parametro(clientes, "limite")["maximum"] == c.CLIENTES_POR_PAGINA_MAX
    for servico in c.SERVICOS:
        for (_, caminho), descrita in _operacoes(servico).items():
            if "{pedido_id}" in caminho:
                assert _parametro(descrita, "pedido_id")["maximum"] == c.PEDIDO_ID_MAX


def test_todo_corpo_exigido_e_dito_exigido() -> None:
    """A body is required where a field of it is, and optional where it has defaults only."""
    exigidos = {
        caminho: descrita["requestBody"]["required"]
        for servico in c.SERVICOS
        for (_, caminho), descrita in _operacoes(servico).items()
        if "requestBody" in descrita
    }
    assert exigidos == {
        "/pedidos": True,
        "/pagamentos": True,
        "/pagamentos/{pedido_id}/cancelamento": False,
        "/estoque/separar": True,
        "/estoque/separacoes/{pedido_id}/cancelamento": False,
        "/notas-fiscais": True,
        "/notas-fiscais/{pedido_id}/cancelamento": False,
        "/envios": True,
        "/envios/{pedido_id}/cancelamento": False,
    }


# --- Real answers -------------------------------------------------------------------------------

# What each operation is asked and must answer: service, method, path, values for the path, body,
# query, status. `{}` in the values stands for the order that was sent.
BASE = {"pedido_id": 9_001, "cliente_id": 1, "valor_total_centavos": 1_990}
ITENS = [{"produto_id": 1, "quantidade": 1}]
BOAS = [
    ("pedidos", "post", "/pedidos", PEDIDO, 201),
    ("pedidos", "get", "/pedidos/{pedido_id}", None, 200),
    ("pedidos", "get", "/clientes", None, 200),
    ("pagamentos", "get", "/pagamentos/{pedido_id}", None, 200),
    ("estoque", "get", "/estoque/separacoes/{pedido_id}", None, 200),
    ("estoque", "get", "/estoque", None, 200),
    ("estoque", "get", "/estoque/{produto_id}", None, 200),
    ("fiscal", "get", "/notas-fiscais/{pedido_id}", None, 200),
    ("logistica", "get", "/envios/{pedido_id}", None, 200),
    ("catalogo", "get", "/produtos", None, 200),
    ("catalogo", "get", "/precos", None, 200),
    ("pagamentos", "post", "/pagamentos", BASE | {"itens": ITENS, "metodo_pagamento": "pix"}, 200),
    ("estoque", "post", "/estoque/separar", BASE | {"pedido_id": 9_002, "itens": ITENS}, 200),
    ("fiscal", "post", "/notas-fiscais", BASE | {"pedido_id": 9_003}, 200),
    ("logistica", "post", "/envios", {"pedido_id": 9_004, "cliente_id": 1,
     "nota_fiscal": {"numero": "NF1", "chave_acesso": CHAVE_NF}}, 200),
    ("pagamentos", "post", "/pagamentos/{pedido_id}/cancelamento", None, 200),
    ("estoque", "post", "/estoque/separacoes/{pedido_id}/cancelamento",
     {"motivo": "expirado"}, 200),
    ("fiscal", "post", "/notas-fiscais/{pedido_id}/cancelamento", None, 200),
    ("logistica", "post", "/envios/{pedido_id}/cancelamento", {}, 200),
    ("pedidos", "post", "/pedidos/{pedido_id}/cancelamento", None, 409),
    *((servico, "get", caminho, None, 200) for servico in c.SERVICOS for _, caminho in sorted(PROPRIOS)),
]  # fmt: skip


def _pedir(
    seis: Servidores, servico: str, metodo: str, caminho: str, pedido_id: int, corpo: Any
) -> requests.Response:
    valores = {"pedido_id": pedido_id, "produto_id": 1}
    url = seis.url(servico) + caminho.format_map(valores)
    return requests.request(metodo, url, json=corpo, timeout=30)


@pytest.mark.parametrize(
    ("servico", "metodo", "caminho", "corpo", "status"),
    BOAS,
    ids=lambda valor: valor if isinstance(valor, str) else "",
)
def test_resposta_real_e_a_descrita(
    seis: Servidores, enviado: int, servico: str, metodo: str, caminho: str, corpo: Any, status: int
) -> None:
    """What a service really answers about a real order validates against its description."""
    resposta = _pedir(seis, servico, metodo, caminho, enviado, corpo)
    assert resposta.status_code == status, resposta.text
    _validar(servico, metodo, caminho, resposta)


def test_toda_operacao_tem_uma_resposta_real() -> None:
    """The table above visits every operation that is described."""
    visitadas = {(servico, metodo, caminho) for servico, metodo, caminho, *_ in BOAS}
    descritas = {(servico, *op) for servico in c.SERVICOS for op in _operacoes(servico)}
    assert visitadas == descritas


def test_listas_reais_tem_o_que_a_loja_tem(seis: Servidores) -> None:
    """The bare lists hold the whole shop: an empty one would validate too."""
    assert len(requests.get(f"{seis.url('pedidos')}/clientes", timeout=30).json()) == CLIENTES
    for servico, caminho in (
        ("catalogo", "produtos"),
        ("catalogo", "precos"),
        ("estoque", "estoque"),
    ):
        assert len(requests.get(f"{seis.url(servico)}/{caminho}", timeout=30).json()) == PRODUTOS


PROBLEMAS = [
    ("invalido", "post", "/pedidos", {"data": b"{}", "headers": JSON}, 400),
    ("produto", "post", "/pedidos",
     {"json": PEDIDO | {"itens": [{"produto_id": PRODUTO_AUSENTE, "quantidade": 1}]}}, 400),
    ("ausente", "get", "/pedidos/{pedido_id}", {}, 404),
    ("ausente", "post", "/pedidos/{pedido_id}/cancelamento", {}, 404),
    ("conflito", "post", "/pedidos",
     {"json": PEDIDO | {"cliente_id": 2}, "headers": {"Idempotency-Key": "openapi"}}, 409),
    ("grande", "post", "/pedidos", {"data": b" " * (ORDER_BODY_MAX + 1), "headers": JSON}, 413),
    ("midia", "post", "/pedidos", {"data": b"{}", "headers": {"Content-Type": "text/plain"}}, 415),
    ("tarde", "post", "/pedidos", {"json": PEDIDO, "headers": {"X-Timeout-Ms": "1"}}, 504),
    *(("de fora", metodo, caminho, {"headers": {"Origin": "http://mal.example"}}, 403)
      for metodo, caminho in [("post", "/pedidos"), ("get", "/clientes"), *sorted(PROPRIOS)]),
    *(("host alheio", metodo, caminho, {"headers": {"Host": "mal.example"}}, 421)
      for metodo, caminho in [("post", "/pedidos"), ("get", "/clientes"), *sorted(PROPRIOS)]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("metodo", "caminho", "pedido", "status"),
    [linha[1:] for linha in PROBLEMAS],
    ids=[f"{linha[0]}-{linha[2]}" for linha in PROBLEMAS],
)
def test_problema_real_e_o_descrito(
    seis: Servidores, metodo: str, caminho: str, pedido: dict[str, Any], status: int
) -> None:
    """Errors are problem+json as described, with the contract's status."""
    chave = {"Idempotency-Key": "openapi"}
    assert requests.post(
        f"{seis.url('pedidos')}/pedidos", json=PEDIDO, headers=chave, timeout=30
    ).ok
    url = seis.url("pedidos") + caminho.format(pedido_id=c.PEDIDO_ID_MAX)
    resposta = requests.request(metodo, url, timeout=30, **pedido)
    assert resposta.status_code == status, resposta.text
    assert resposta.headers["Content-Type"].startswith("application/problem+json")
    assert resposta.json()["status"] == status
    _validar("pedidos", metodo, caminho, resposta)


def test_todo_status_descrito_existe_no_contrato() -> None:
    """No status is described that neither the error table nor the contract's successes know."""
    conhecidos = {str(status) for status in (200, 201, 202, *STATUS_HTTP.values())}
    for servico in c.SERVICOS:
        for descrita in _operacoes(servico).values():
            assert set(descrita["responses"]) <= conhecidos
