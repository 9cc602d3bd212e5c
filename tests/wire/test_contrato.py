"""The contract is declared once: tables are total, and both protocols carry the same fields."""

from __future__ import annotations

import http
import re

import grpc
import msgspec
import pytest
from msgspec import inspect

from common import contratos as c
from common.arms import ARMS
from common.erros import GRPC_CODE, PROBLEM_TITLE, STATUS_HTTP, Categoria
from common.servicos.catalogo import Catalogo
from common.servicos.estoque import Estoque
from common.servicos.fiscal import Fiscal
from common.servicos.logistica import Logistica
from common.servicos.pagamentos.pagamentos import Pagamentos
from common.servicos.pedidos.pedidos import Pedidos
from wire.grpc.codec import CODECS, MODULES, nome_do_servico, protobuf_type
from wire.rest.openapi import documento

SERVICES = {
    "pedidos": Pedidos,
    "pagamentos": Pagamentos,
    "estoque": Estoque,
    "fiscal": Fiscal,
    "logistica": Logistica,
    "catalogo": Catalogo,
}
MESSAGES = sorted(
    {
        value
        for value in vars(c).values()
        if isinstance(value, type) and issubclass(value, c.Mensagem) and value is not c.Mensagem
    },
    key=lambda tipo: tipo.__name__,
)
operations = pytest.mark.parametrize("row", c.OPERACOES, ids=lambda row: row.nome)


def test_toda_categoria_tem_um_codigo_e_um_status() -> None:
    """The error tables are total, so two transports cannot disagree."""
    assert set(GRPC_CODE) == set(STATUS_HTTP) == set(PROBLEM_TITLE) == set(Categoria)
    assert all(hasattr(grpc.StatusCode, name) for name in GRPC_CODE.values())
    assert all(http.HTTPStatus(status) for status in STATUS_HTTP.values())


@pytest.mark.parametrize(
    ("category", "code", "status"),
    [
        (Categoria.INVALIDO, "INVALID_ARGUMENT", 400),
        (Categoria.NAO_ENCONTRADO, "NOT_FOUND", 404),
        (Categoria.CONFLITO, "ALREADY_EXISTS", 409),
        (Categoria.PRECONDICAO, "FAILED_PRECONDITION", 409),
        (Categoria.SOBRECARGA, "RESOURCE_EXHAUSTED", 503),
        (Categoria.INDISPONIVEL, "UNAVAILABLE", 503),
        (Categoria.PRAZO, "DEADLINE_EXCEEDED", 504),
        (Categoria.PROIBIDO, "PERMISSION_DENIED", 403),
        (Categoria.HOST, "PERMISSION_DENIED", 421),
    ],
)
def test_os_codigos_sao_os_do_contrato(category: Categoria, code: str, status: int) -> None:
    """What went wrong is said the way the contract fixes."""
    assert (GRPC_CODE[category], STATUS_HTTP[category]) == (code, status)


@operations
def test_toda_operacao_existe_no_servico_e_no_proto(row: c.Operacao) -> None:
    """A row of the table is a method of its service, and a method of its .proto with its types."""
    assert callable(getattr(SERVICES[row.servico], row.nome))
    service = MODULES[row.servico].DESCRIPTOR.services_by_name[row.servico.capitalize()]
    method = service.methods_by_name[row.metodo_grpc]
    assert method.input_type.name == row.requisicao.__name__
    assert method.output_type.name == row.resposta.__name__


@pytest.mark.parametrize("servico", c.SERVICOS)
def test_o_proto_nao_tem_metodos_a_mais(servico: str) -> None:
    """The .proto declares exactly the table's operations."""
    service = MODULES[servico].DESCRIPTOR.services_by_name[servico.capitalize()]
    assert service.full_name == nome_do_servico(servico)
    assert set(service.methods_by_name) == {row.metodo_grpc for row in c.operacoes_de(servico)}


@pytest.mark.parametrize("tipo", MESSAGES, ids=lambda tipo: tipo.__name__)
def test_a_mensagem_tem_os_mesmos_campos_nos_dois_lados(tipo: type[c.Mensagem]) -> None:
    """A struct and its protobuf message have the same fields, of the same kind, in order."""
    descriptor = protobuf_type(tipo).DESCRIPTOR
    info = inspect.type_info(tipo)
    assert [field.name for field in info.fields] == [field.name for field in descriptor.fields]
    for ours, theirs in zip(info.fields, descriptor.fields, strict=True):
        kind = ours.type
        if isinstance(kind, inspect.UnionType):
            assert theirs.has_presence
            (kind,) = (t for t in kind.types if not isinstance(t, inspect.NoneType))
        assert isinstance(kind, inspect.VarTupleType) == theirs.is_repeated
        if isinstance(kind, inspect.VarTupleType):
            kind = kind.item_type
        if isinstance(kind, inspect.StructType):
            assert theirs.message_type.name == kind.cls.__name__
        elif isinstance(kind, inspect.IntType):
            assert theirs.type in {theirs.TYPE_INT32, theirs.TYPE_INT64}
            assert ours.name.endswith("centavos") <= (theirs.type == theirs.TYPE_INT64)
        else:
            assert isinstance(kind, inspect.StrType | inspect.LiteralType)
            assert theirs.type == theirs.TYPE_STRING


@operations
def test_cada_caminho_rest_e_unico_e_nomeia_campos_do_pedido(row: c.Operacao) -> None:
    """A path belongs to one operation and names only fields of its request."""
    same = [r for r in c.OPERACOES if (r.servico, r.metodo_http, r.caminho) == (
        row.servico, row.metodo_http, row.caminho
    )]  # fmt: skip
    assert same == [row]
    names = {field.name for field in msgspec.structs.fields(row.requisicao)}
    assert set(re.findall(r"\{(\w+)\}", row.caminho)) <= names


@operations
def test_o_openapi_descreve_toda_operacao(row: c.Operacao) -> None:
    """The service's own description has every operation at its path."""
    document = msgspec.json.decode(documento(row.servico))
    assert document["openapi"].startswith("3.1")
    assert row.metodo_http.lower() in document["paths"][row.caminho]


def test_as_portas_sao_as_do_contrato() -> None:
    """Services come in the contract's order from the contract's ports."""
    assert c.SERVICOS == (
        "pedidos", "pagamentos", "estoque", "fiscal", "logistica", "catalogo",
    )  # fmt: skip
    assert (ARMS["grpc"].base_port, ARMS["http"].base_port) == (50050, 8000)


def test_produto_info_tem_os_numeros_do_curso() -> None:
    """The course fixes ProdutoInfo's field numbers."""
    fields = protobuf_type(c.ProdutoInfo).DESCRIPTOR.fields
    assert [(f.number, f.name) for f in fields] == [
        (1, "id"), (2, "nome"), (3, "estoque"), (4, "preco_centavos"),
    ]  # fmt: skip
    assert protobuf_type(c.ListaProdutosResponse).DESCRIPTOR.fields[0].name == "produtos"


def test_nulo_e_ausente_sao_o_mesmo_no_protobuf() -> None:
    """A null part travels as an absent field and comes back null."""
    order = c.PedidoResponse(1, "pendente", None, 100, None, None, None)
    codec = CODECS[c.PedidoResponse]
    message = codec.parse(codec.serialize(order))
    assert not any(
        message.HasField(name) for name in ("motivo", "pagamento", "nota_fiscal", "envio")
    )
    assert codec.read(message) == order
