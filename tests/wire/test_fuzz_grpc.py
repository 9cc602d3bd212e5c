"""hypothesis sends every gRPC method whatever fits in bytes; only callers' errors come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.contratos import CHAVE_IDEMPOTENCIA_MAX, OPERACOES, SERVICOS, Operacao
from common.serving.deadline import RELOGIO
from common.settings import ORDER_BODY_MAX
from tests.support.fuzz_support import CHAVE_NF, CLIENTES, PRODUTOS, Servidores, servidores
from wire.grpc.codec import MODULES, caminho, nome_do_servico

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

Metadados = tuple[tuple[str, str], ...]

# What a caller may be told of its own mistakes, whatever it sends.
CODIGOS = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
}
# Seconds. A call that is given this long is never late.
PACIENCIA_S = 20.0

# Deterministic: the same examples on every machine, none kept between runs.
FUZZ = settings(
    max_examples=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

# Pedidos first: later the other services hold steps of made-up orders, in the way of real ones.
EM_ORDEM = sorted(OPERACOES, key=lambda operacao: operacao.servico != "pedidos")
cada_metodo = pytest.mark.parametrize("operacao", EM_ORDEM, ids=lambda operacao: operacao.nome)


class Resposta(NamedTuple):
    """How a call ended: its code, the fields that it names, and the message or the details."""

    codigo: grpc.StatusCode
    campos: list[str]
    texto: str


@pytest.fixture(scope="module")
def seis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servidores]:
    """The six gRPC servers."""
    with servidores("grpc", tmp_path_factory.mktemp("fuzz_grpc")) as seis:
        yield seis


@pytest.fixture(scope="module")
def canais(seis: Servidores) -> Iterator[dict[str, grpc.aio.Channel]]:
    """A channel to each service, on the servers' loop."""

    async def abrir() -> dict[str, grpc.aio.Channel]:
        return {nome: grpc.aio.insecure_channel(onde) for nome, onde in seis.enderecos.items()}

    async def fechar() -> None:
        for canal in abertos.values():
            await canal.close()

    abertos = seis.executar(abrir())
    yield abertos
    seis.executar(fechar())


@pytest.fixture
def chamar(seis: Servidores, canais: dict[str, grpc.aio.Channel]) -> Any:
    """Call a method with raw bytes: `chamar(servico, caminho, dados, metadados, prazo_s)`."""

    async def ida(servico, metodo, dados, metadados=(), prazo_s=PACIENCIA_S):
        try:
            resposta = await canais[servico].unary_unary(metodo)(
                dados, metadata=metadados, timeout=prazo_s
            )
        except grpc.aio.AioRpcError as erro:
            return Resposta(erro.code(), _campos(erro), erro.details() or "")
        return Resposta(grpc.StatusCode.OK, [], repr(resposta))

    return lambda *args, **kwargs: seis.executar(ida(*args, **kwargs))


def _campos(erro: grpc.aio.AioRpcError) -> list[str]:
    status = rpc_status.from_call(_Chamada(erro))
    campos = []
    for parte in status.details if status is not None else ():
        if parte.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            ruim = error_details_pb2.BadRequest()
            parte.Unpack(ruim)
            campos += [violacao.field for violacao in ruim.field_violations]
    return campos


class _Chamada:
    """A failed call of grpc.aio in the form that grpc_status reads."""

    def __init__(self, erro: grpc.aio.AioRpcError) -> None:
        self.code = erro.code
        self.details = erro.details
        self._trailing = [_Par(*par) for par in erro.trailing_metadata() or ()]

    def trailing_metadata(self) -> list[_Par]:
        return self._trailing


class _Par(NamedTuple):
    key: str
    value: Any


def _conferir(resposta: Resposta, *, tambem: set[grpc.StatusCode] = frozenset()) -> None:
    assert resposta.codigo in CODIGOS | tambem, resposta
    if resposta.codigo is grpc.StatusCode.INVALID_ARGUMENT:
        assert resposta.campos, resposta
        assert all(resposta.campos), resposta


# --- What is sent -------------------------------------------------------------------------------

_INTEIROS = st.sampled_from([0, 1, 2, 3, 8, 9, 50, 1_000, 1_001, -1, 10**6])
_INT32 = st.one_of(
    _INTEIROS, st.sampled_from([2**31 - 1, -(2**31)]), st.integers(-(2**31), 2**31 - 1)
)
_INT64 = st.one_of(
    _INTEIROS,
    st.sampled_from([2**63 - 1, -(2**63), 10**15, 10**15 + 1]),
    st.integers(-(2**63), 2**63 - 1),
)
_TEXTOS = st.one_of(
    # More than a gRPC status may carry, so that an echo of it would break the answer.
    st.sampled_from(["x" * 20_000, "á" * 10_000]),
    st.sampled_from(
        ["", "pix", "boleto", "cartao_credito", "PIX", "solicitado", "expirado", "\0",
         "'; DROP TABLE pedidos; --", "\U0001f9fe", "NF000000001", "0" * 44,
         CHAVE_NF, "\u202e", "\n", "`$.a` - at `$.b`"]
    ),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=60),
)  # fmt: skip
_SIMPLES = {
    FieldDescriptor.TYPE_INT32: _INT32,
    FieldDescriptor.TYPE_INT64: _INT64,
    FieldDescriptor.TYPE_STRING: _TEXTOS,
}


def _mensagens(descritor: Descriptor) -> st.SearchStrategy[Message]:
    """Any message of a type: each field there or not, at its extremes and beyond the rules."""
    classe = GetMessageClass(descritor)
    campos = {}
    for campo in descritor.fields:
        valor = _SIMPLES.get(campo.type)
        if valor is None:
            valor = _mensagens(campo.message_type)
        if campo.is_repeated:
            valor = st.one_of(
                st.lists(valor, max_size=4),
                st.lists(valor, min_size=49, max_size=60),
            )
        campos[campo.name] = valor
    return st.fixed_dictionaries({}, optional=campos).map(lambda valores: classe(**valores))


# A good value of every field, so that the rules behind the first one are reached too.
_BONS: dict[str, Any] = {
    "pedido_id": st.integers(1_000, 1_020),
    "cliente_id": st.integers(1, CLIENTES),
    "valor_total_centavos": st.just(1_990),
    "metodo_pagamento": st.sampled_from(["pix", "boleto", "cartao_credito"]),
    "motivo": st.sampled_from(["solicitado", "expirado"]),
    "produto_id": st.integers(1, PRODUTOS),
    "quantidade": st.integers(1, 3),
    "apos_id": st.integers(0, CLIENTES),
    "limite": st.integers(0, CLIENTES),
    "itens": st.integers(1, PRODUTOS).map(
        lambda ate: [{"produto_id": produto, "quantidade": 1} for produto in range(1, ate + 1)]
    ),
    "nota_fiscal": st.just({"numero": "NF1", "chave_acesso": CHAVE_NF}),
}


@st.composite
def _quase_boas(draw: st.DrawFn, descritor: Descriptor) -> Message:
    """A good message, or one spoilt in a field or two."""
    classe, nomes = GetMessageClass(descritor), [campo.name for campo in descritor.fields]
    boa = classe(**{nome: draw(_BONS[nome]) for nome in nomes})
    if nomes:
        qualquer = draw(_mensagens(descritor))
        for nome in draw(st.lists(st.sampled_from(nomes), max_size=2, unique=True)):
            boa.ClearField(nome)
            boa.MergeFrom(_so(qualquer, nome))
    return boa


def _so(mensagem: Message, nome: str) -> Message:
    """A copy of a message with one of its fields alone."""
    copia = type(mensagem)()
    copia.CopyFrom(mensagem)
    for campo in mensagem.DESCRIPTOR.fields:
        if campo.name != nome:
            copia.ClearField(campo.name)
    return copia


def _mensagens_de(operacao: Operacao) -> st.SearchStrategy[Message]:
    descritor = _mensagem_de(operacao)
    return st.one_of(_quase_boas(descritor), _mensagens(descritor))


def _mensagem_de(operacao: Operacao) -> Descriptor:
    servico = MODULES[operacao.servico].DESCRIPTOR.services_by_name[operacao.servico.capitalize()]
    return servico.methods_by_name[operacao.metodo_grpc].input_type


_CHAVES = st.one_of(
    st.integers(0, CHAVE_IDEMPOTENCIA_MAX + 50).map("k".__mul__),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=300),
)
_NUMEROS = st.one_of(
    st.sampled_from(["", "0", "1", "-1", "1.5", "abc", "1e9", "86400000", "86400001", "9" * 40]),
    st.integers(-(2**70), 2**70).map(str),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30),
)
_INSTANTES = st.one_of(
    _NUMEROS, st.builds("{}:{}".format, st.sampled_from([RELOGIO, "outro", ""]), _NUMEROS)
)
_METADADOS = st.fixed_dictionaries(
    {},
    optional={"idempotency-key": _CHAVES, "x-timeout-ms": _NUMEROS, "x-deadline-at": _INSTANTES},
)


# --- The properties -----------------------------------------------------------------------------


@cada_metodo
def test_bytes_quaisquer_sao_erro_de_quem_chama(
    chamar: Any, seis: Servidores, operacao: Operacao
) -> None:
    """Random bytes as the message: the caller is told that it erred, and where."""

    @FUZZ
    @given(st.binary(max_size=200))
    def propriedade(dados: bytes) -> None:
        _conferir(chamar(operacao.servico, caminho(operacao), dados))
        assert seis.novos_erros() == []

    propriedade()


@cada_metodo
def test_valores_quaisquer_sao_resposta_ou_erro_de_quem_chama(
    chamar: Any, seis: Servidores, operacao: Operacao
) -> None:
    """A well-formed message with any values: an answer, or the caller's error with its field."""

    @FUZZ
    @given(_mensagens_de(operacao))
    def propriedade(mensagem: Message) -> None:
        _conferir(chamar(operacao.servico, caminho(operacao), mensagem.SerializeToString()))
        assert seis.novos_erros() == []

    propriedade()


@cada_metodo
def test_metadados_quaisquer_sao_resposta_ou_erro_de_quem_chama(
    chamar: Any, seis: Servidores, operacao: Operacao
) -> None:
    """Any key and any deadlines in the metadata; late is an answer only to who asked for haste."""

    @FUZZ
    @given(_METADADOS, _mensagens_de(operacao))
    def propriedade(metadados: dict[str, str], mensagem: Message) -> None:
        apressado = {"x-timeout-ms", "x-deadline-at"} & set(metadados)
        tambem = {grpc.StatusCode.DEADLINE_EXCEEDED} if apressado else set()
        resposta = chamar(
            operacao.servico,
            caminho(operacao),
            mensagem.SerializeToString(),
            tuple(metadados.items()),
        )
        _conferir(resposta, tambem=tambem)
        assert seis.novos_erros() == []

    propriedade()


@pytest.mark.parametrize("servico", SERVICOS)
def test_metodo_desconhecido_nao_e_implementado(
    chamar: Any, seis: Servidores, servico: str
) -> None:
    """A method or a service that is not served is UNIMPLEMENTED, whatever its name."""
    conhecidos = {caminho(operacao) for operacao in OPERACOES if operacao.servico == servico}
    nomes = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=40)
    alheios = st.sampled_from([caminho(o) for o in OPERACOES if o.servico != servico])

    @FUZZ
    @given(
        st.one_of(
            nomes.map(lambda nome: f"/{nome_do_servico(servico)}/{nome}"),
            st.tuples(nomes, nomes).map(lambda par: "/{}/{}".format(*par)),
            alheios,
        ).filter(lambda metodo: metodo not in conhecidos)
    )
    def propriedade(metodo: str) -> None:
        resposta = chamar(servico, metodo, b"")
        assert resposta.codigo is grpc.StatusCode.UNIMPLEMENTED, (metodo, resposta)
        assert seis.novos_erros() == []

    propriedade()


@pytest.mark.parametrize("servico", SERVICOS)
def test_mensagem_grande_demais_e_recusada(chamar: Any, servico: str) -> None:
    """A message over the limit is RESOURCE_EXHAUSTED; one at the limit is read."""
    for operacao in OPERACOES:
        if operacao.servico == servico:
            resposta = chamar(servico, caminho(operacao), b"\0" * (ORDER_BODY_MAX + 1))
            assert resposta.codigo is grpc.StatusCode.RESOURCE_EXHAUSTED
            # An unknown field, which protobuf skips by design, fills the message to the limit.
            enchimento = b"\xfa\x07\xfc\xff\x03" + b"x" * (ORDER_BODY_MAX - 5)
            assert len(enchimento) == ORDER_BODY_MAX
            _conferir(chamar(servico, caminho(operacao), enchimento))


def test_depois_de_tudo_os_servicos_seguem_atendendo(chamar: Any, seis: Servidores) -> None:
    """After all that the services still answer, and nothing was logged as an error."""
    for operacao in OPERACOES:
        if operacao.requisicao.__struct_fields__ == ():
            resposta = chamar(operacao.servico, caminho(operacao), b"")
            assert resposta.codigo is grpc.StatusCode.OK
    assert seis.novos_erros() == []
