"""schemathesis reads each service's own description and finds nothing that the service breaks."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
import requests
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    missing_required_header,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from common.contratos import SERVICOS
from tests.support.fuzz_support import CHAVE_NF, CLIENTES, PRODUTOS, Servidores, servidores
from wire.rest.openapi import documento

if TYPE_CHECKING:
    from collections.abc import Iterator

# Examples an operation, beside those of the coverage phase, which the description itself fixes.
EXEMPLOS = 30


def apenas_o_prazo_e_do_servidor(ctx: Any, response: Any, case: Any) -> bool | None:
    """`not_a_server_error`, but for 504 when the caller itself left too little time.

    X-Timeout-Ms down to 1 and any X-Deadline-At, the past included, are valid by the description;
    the contract's answer to "too late" is 504.
    """
    prazos = {"x-timeout-ms", "x-deadline-at"}
    if response.status_code == 504 and prazos & {nome.lower() for nome in case.headers or {}}:
        return None
    return not_a_server_error(ctx, response, case)


def erro_e_problema_com_campo(ctx: Any, response: Any, case: Any) -> bool | None:
    """Every error is problem+json that says its own status, and every 400 names a field."""
    if response.status_code < 400 or response.request.method == "HEAD":
        return None
    tipo = response.headers.get("content-type", [""])[0]
    corpo = response.json() if tipo.startswith("application/problem+json") else {}
    campos = [violacao["campo"] for violacao in corpo.get("erros", [])]
    if corpo.get("status") != response.status_code or (
        response.status_code == 400 and not (campos and all(campos))
    ):
        raise Failure(
            operation=case.operation.label,
            title="Not a problem of ours",
            message=f"{response.status_code} {tipo} {response.text[:300]}",
        )
    return None


VERIFICACOES = [
    apenas_o_prazo_e_do_servidor,
    erro_e_problema_com_campo,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
    unsupported_method,
    allow_header_conformance,
    # No header is required by the contract today; the check waits for the first one that is.
    missing_required_header,
]
# Left out, each for its reason:
# - positive_data_acceptance: rules that a schema cannot say refuse requests that it admits: an
#   unknown customer or product, a product named twice, an access key with a wrong check digit, an id
#   that names nothing, 1.0 (an integer to JSON Schema, a float to the service).
# - use_after_free, ensure_resource_availability: they speak of DELETE and of runs of linked calls;
#   nothing here is ever deleted and no links are described.
# - ignored_auth, object_level_authorization: the laboratory has no authentication.
# - max_response_time: how fast it is, is measured elsewhere and not on a shared machine.


@pytest.fixture(scope="module")
def seis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servidores]:
    """The six REST servers."""
    with servidores("http", tmp_path_factory.mktemp("fuzz_rest")) as seis:
        yield seis


@pytest.fixture(scope="module")
def sessao() -> Iterator[requests.Session]:
    """Connections that are kept: a new one a call would cost more than the call."""
    with requests.Session() as sessao:
        yield sessao


def _dar_sentido(case: schemathesis.Case) -> None:
    """Let half of the valid examples name what the shop has, with time to finish.

    Left to chance nearly all would stop at an unknown id or at an instant long past, and what lies
    behind would never be asked.
    """
    corpo = case.body
    positivo = case.meta is not None and case.meta.generation.mode.is_positive
    if not positivo or len(str(case.headers)) % 2:
        return
    for nome in ("X-Timeout-Ms", "X-Deadline-At"):
        case.headers.pop(nome, None)
    if isinstance(corpo, dict):
        corpo = deepcopy(corpo)
        if "cliente_id" in corpo:
            corpo["cliente_id"] = 1 + int(corpo["cliente_id"]) % CLIENTES
        if "itens" in corpo:
            corpo["itens"] = [
                {"produto_id": produto, "quantidade": int(item["quantidade"])}
                for produto, item in zip(range(1, PRODUTOS + 1), corpo["itens"], strict=False)
            ]
        if "nota_fiscal" in corpo:
            corpo["nota_fiscal"]["chave_acesso"] = CHAVE_NF
        case.body = corpo


def _fuzz(servico: str) -> Any:
    """A test an operation of one service, made from its description."""
    config = SchemathesisConfig.from_dict(
        {"generation": {"deterministic": True, "max-examples": EXEMPLOS, "database": "none"}}
    )
    descricao = schemathesis.openapi.from_dict(json.loads(documento(servico)), config=config)

    @descricao.parametrize()
    def teste(case: schemathesis.Case, seis: Servidores, sessao: requests.Session) -> None:
        """Whatever the description admits or forbids, the service answers as it describes."""
        _dar_sentido(case)
        case.call_and_validate(seis.url(servico), sessao, checks=VERIFICACOES)
        assert seis.novos_erros() == []

    return teste


# Pedidos first: later the other services hold steps of made-up orders, in the way of real ones.
test_pedidos_faz_o_que_descreve = _fuzz("pedidos")
test_catalogo_faz_o_que_descreve = _fuzz("catalogo")
test_pagamentos_faz_o_que_descreve = _fuzz("pagamentos")
test_estoque_faz_o_que_descreve = _fuzz("estoque")
test_fiscal_faz_o_que_descreve = _fuzz("fiscal")
test_logistica_faz_o_que_descreve = _fuzz("logistica")


def test_todo_servico_e_visitado() -> None:
    """There is a fuzz for every service of the contract."""
    assert all(f"test_{servico}_faz_o_que_descreve" in globals() for servico in SERVICOS)
