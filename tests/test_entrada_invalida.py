"""Bad input gets a clear refusal in every arm: the field named, no effect, nothing in the log."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import grpc
import grpc.aio
import msgspec
import pytest
from fuzz_support import CHAVE_NF, CLIENTE_AUSENTE, PRODUTO_AUSENTE, Servidores, servidores
from google.rpc import error_details_pb2, status_pb2

from common.contratos import (
    CENTAVOS_MAX,
    CHAVE_IDEMPOTENCIA_MAX,
    CLIENTES_POR_PAGINA_MAX,
    ID_MAX,
    ITENS_POR_PEDIDO_MAX,
    OPERACOES,
    PEDIDO_ID_MAX,
    SERVICOS,
    UNIDADES_POR_ITEM_MAX,
)
from common.pipeline import LIMITE_MAX_MS
from common.settings import CORPO_MAX
from grpc_aio.status import DETALHES
from grpc_aio.wire import caminho, protobuf_type
from http_aio.wire import CODECS
from tests.cluster import ARMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OPERACAO = {operacao.nome: operacao for operacao in OPERACOES}
ESPERA_S = 20.0
JSON = {"Content-Type": "application/json"}

ITEM = {"produto_id": 1, "quantidade": 1}
PEDIDO = {"cliente_id": 1, "itens": [ITEM], "metodo_pagamento": "pix"}
PASSO = {"pedido_id": 7_001, "cliente_id": 1, "valor_total_centavos": 1_990}
COBRANCA = {**PASSO, "itens": [ITEM], "metodo_pagamento": "pix"}
SEPARACAO = {**PASSO, "itens": [ITEM]}
ENVIO = {
    "pedido_id": 7_001,
    "cliente_id": 1,
    "nota_fiscal": {"numero": "NF1", "chave_acesso": CHAVE_NF},
}


class Resposta(NamedTuple):
    """An answer of either arm: HTTP status or gRPC code, the field named first, what else."""

    codigo: Any
    campo: str | None
    cabecalhos: dict[str, str]
    corpo: bytes


# --- The two arms -------------------------------------------------------------------------------


class Rest:
    """Sends raw HTTP; every refusal must be problem+json that says its own status."""

    INVALIDO, TARDE = 400, 504

    def __init__(self, seis: Servidores) -> None:
        self.seis = seis

    def ligar(self) -> socket.socket:
        """A bare connection to Pedidos."""
        onde, _, porta = self.seis.enderecos["pedidos"].rpartition(":")
        return socket.create_connection((onde, int(porta)), timeout=ESPERA_S)

    def cru(
        self, servico: str, metodo: str, alvo: str, corpo: Any = None, cabecalhos: Any = ()
    ) -> Resposta:
        """One request as it stands, on a connection of its own."""
        conexao = http.client.HTTPConnection(self.seis.enderecos[servico], timeout=ESPERA_S)
        try:
            conexao.request(
                metodo, alvo, corpo, dict(cabecalhos), encode_chunked=hasattr(corpo, "__next__")
            )
            resposta = conexao.getresponse()
            dados = resposta.read()
        finally:
            conexao.close()
        cabecalhos = {nome.lower(): valor for nome, valor in resposta.getheaders()}
        campo = None
        if resposta.status >= 400:
            assert cabecalhos["content-type"].startswith("application/problem+json"), dados
            if metodo != "HEAD":
                problema = json.loads(dados)
                assert problema["status"] == resposta.status
                assert all(problema[membro] for membro in ("type", "title", "detail"))
                campo = problema.get("erros", [{"campo": None}])[0]["campo"]
        return Resposta(resposta.status, campo, cabecalhos, dados)

    def chamar(self, nome: str, corpo: dict[str, Any], metadados: Any = ()) -> Resposta:
        """One operation with its fields wherever they travel."""
        operacao, codec, resto = OPERACAO[nome], CODECS[nome], dict(corpo)
        alvo = operacao.caminho.format_map(resto)
        for campo in codec.no_caminho:
            del resto[campo]
        if operacao.metodo_http == "GET":
            alvo = f"{alvo}?{urlencode(resto)}" if resto else alvo
            return self.cru(operacao.servico, "GET", alvo, None, metadados)
        dados = json.dumps(resto).encode() if codec.no_corpo else None
        return self.cru(operacao.servico, "POST", alvo, dados, {**JSON, **dict(metadados)})


class Grpc:
    """Sends raw bytes; every refusal must carry its google.rpc.Status."""

    INVALIDO = grpc.StatusCode.INVALID_ARGUMENT
    TARDE = grpc.StatusCode.DEADLINE_EXCEEDED

    def __init__(self, seis: Servidores, canais: dict[str, grpc.aio.Channel]) -> None:
        self.seis, self._canais = seis, canais

    def cru(self, servico: str, metodo: str, dados: bytes, metadados: Any = ()) -> Resposta:
        """One call with these bytes as its message."""
        return self.seis.executar(self._cru(servico, metodo, dados, tuple(metadados)))

    async def _cru(self, servico: str, metodo: str, dados: bytes, metadados: Any) -> Resposta:
        chamada = self._canais[servico].unary_unary(metodo)
        try:
            corpo = await chamada(dados, metadata=metadados, timeout=ESPERA_S)
        except grpc.aio.AioRpcError as erro:
            return Resposta(erro.code(), _campo(erro), {}, b"")
        return Resposta(grpc.StatusCode.OK, None, {}, corpo)

    def chamar(self, nome: str, corpo: dict[str, Any], metadados: Any = ()) -> Resposta:
        """One operation with its fields as a message."""
        operacao = OPERACAO[nome]
        dados = protobuf_type(operacao.requisicao)(**corpo).SerializeToString()
        return self.cru(operacao.servico, caminho(operacao), dados, metadados)


def _campo(erro: grpc.aio.AioRpcError) -> str | None:
    bruto = dict(erro.trailing_metadata() or ()).get(DETALHES)
    if bruto is None:
        return None
    status = status_pb2.Status.FromString(bruto)
    assert (status.code, status.message) == (erro.code().value[0], erro.details())
    ruim = error_details_pb2.BadRequest()
    for parte in status.details:
        if parte.Unpack(ruim):
            return ruim.field_violations[0].field
    return None


@contextmanager
def _falando_grpc(seis: Servidores) -> Iterator[Grpc]:
    async def abrir() -> dict[str, grpc.aio.Channel]:
        return {nome: grpc.aio.insecure_channel(onde) for nome, onde in seis.enderecos.items()}

    async def fechar() -> None:
        for canal in canais.values():
            await canal.close()

    canais = seis.executar(abrir())
    yield Grpc(seis, canais)
    seis.executar(fechar())


@pytest.fixture(scope="module")
def bracos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Any]]:
    """Gives an arm by its name, opened at its first use, with one order sent."""
    with ExitStack() as pilha:

        @cache
        def abrir(modo: str) -> Any:
            seis = pilha.enter_context(servidores(modo, tmp_path_factory.mktemp("entrada")))
            rest = modo.startswith("http")
            braco = Rest(seis) if rest else pilha.enter_context(_falando_grpc(seis))
            assert braco.chamar("criar_pedido", PEDIDO).codigo in {201, grpc.StatusCode.OK}
            return braco

        yield abrir


@pytest.fixture(params=[modo for modo in ARMS if modo.startswith("http")])
def rest(request: pytest.FixtureRequest, bracos: Callable[[str], Any]) -> Rest:
    """Each REST arm in turn."""
    return bracos(request.param)


@pytest.fixture(params=[modo for modo in ARMS if modo.startswith("grpc")])
def grpc_(request: pytest.FixtureRequest, bracos: Callable[[str], Any]) -> Grpc:
    """Each gRPC arm in turn."""
    return bracos(request.param)


@pytest.fixture(params=ARMS)
def braco(request: pytest.FixtureRequest, bracos: Callable[[str], Any]) -> Any:
    """Each arm in turn."""
    return bracos(request.param)


class SemEfeito:
    """Around a refused request: no row more or less anywhere, nothing logged, service goes on."""

    def __init__(self, braco: Any) -> None:
        self._braco = braco

    def __enter__(self) -> None:
        self._braco.seis.novos_erros()
        self._antes = self._braco.seis.contagens()

    def __exit__(self, tipo: object, *_: object) -> None:
        if tipo is not None:
            return
        assert self._braco.seis.contagens() == self._antes
        assert self._braco.seis.novos_erros() == []
        for nome, corpo in (
            ("listar_clientes", {}),
            ("consultar_pagamento", {"pedido_id": 1}),
            ("listar_estoque", {}),
            ("consultar_precos", {}),
        ):
            assert self._braco.chamar(nome, corpo).codigo in {200, grpc.StatusCode.OK}


# --- Messages that break a rule, in both arms ---------------------------------------------------


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
QUANTIDADE, PRODUTO = "itens[0].quantidade", "itens[0].produto_id"

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


LIMITE, PRAZO, CHAVE = "x-timeout-ms", "x-deadline-ms", "idempotency-key"
METADADOS_RUINS = [
    *((LIMITE, valor) for valor in ("0", "-1", "abc", "1.5", "1e3", str(LIMITE_MAX_MS + 1),
                                    "9" * 40, "+5", "0x10")),
    *((PRAZO, valor) for valor in ("-1", "abc", "1.5", "9" * 17, "amanha")),
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


@pytest.mark.parametrize("metadados", [((PRAZO, "0"),), ((PRAZO, "1"),), ((LIMITE, "1"),)], ids=str)
def test_prazo_ja_passado_e_tarde_e_nada_acontece(braco: Any, metadados: Any) -> None:
    """An instant in the past, or less than a hop's reserve, is too late: 504, no effect."""
    with SemEfeito(braco):
        assert braco.chamar("criar_pedido", PEDIDO, metadados).codigo == braco.TARDE


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


# --- What only JSON and HTTP can get wrong ------------------------------------------------------


def _json(**mudanca: Any) -> bytes:
    return json.dumps({**PEDIDO, **mudanca}).encode()


BOM = _json()
CORPOS = [
    *((f"cliente_id {valor!r}", _json(cliente_id=valor), "cliente_id")
      for valor in ("1", 1.0, 1.5, True, None, [], {}, ID_MAX + 1, 2**64, 10**30)),
    *((f"quantidade {valor!r}", _json(itens=[{**ITEM, "quantidade": valor}]), QUANTIDADE)
      for valor in ("2", 2.0, False, None, 10**30)),
    *((f"itens {valor!r}", _json(itens=valor), "itens") for valor in (None, {}, "1", 1)),
    ("item que nao e objeto", _json(itens=[1]), "itens[0]"),
    ("metodo nulo", _json(metodo_pagamento=None), "metodo_pagamento"),
    ("metodo numero", _json(metodo_pagamento=1), "metodo_pagamento"),
    ("expoente", BOM.replace(b'"cliente_id": 1', b'"cliente_id": 1e0'), "cliente_id"),
    ("numero sem fim", BOM.replace(b'"cliente_id": 1', b'"cliente_id": 1e999'), "cliente_id"),
    ("campo desconhecido", _json(preco=1), "preco"),
    ("campo sem nome", _json(**{"": 1}), "corpo"),
    ("campo com quebra de linha", _json(**{"a\nb": 1}), "a\nb"),
    ("campo desconhecido no item", _json(itens=[{**ITEM, "preco": 1}]), "itens[0].preco"),
    ("campo de nome longo", _json(**{"n" * 5_000: 1}), "n" * 80),
    ("malformado", b"{cliente_id: 1}", "corpo"),
    ("cortado", BOM[:-1], "corpo"),
    ("sobra", BOM + b"x", "corpo"),
    ("dois documentos", BOM + BOM, "corpo"),
    ("NaN", BOM.replace(b'"cliente_id": 1', b'"cliente_id": NaN'), "corpo"),
    *((f"nao e objeto: {dados!r}", dados, "corpo") for dados in (b"[]", b'"x"', b"1", b"null")),
    ("UTF-8 invalido em valor", BOM.replace(b"pix", b"p\xffx"), "corpo"),
    ("UTF-8 invalido em nome", BOM.replace(b"cliente_id", b"cliente\xff"), "corpo"),
    ("substituto solitario", BOM.replace(b"pix", b"\\ud800"), "corpo"),
    ("substituto solitario em nome", BOM.replace(b"cliente_id", b"\\udc00"), "corpo"),
    ("byte nulo", BOM.replace(b"pix", b"p\x00x"), "corpo"),
    ("nulo escapado", BOM.replace(b"pix", b"p\\u0000x"), "metodo_pagamento"),
    ("UTF-16", BOM.decode().encode("utf-16"), "corpo"),
    ("marca de ordem", b"\xef\xbb\xbf" + BOM, "corpo"),
    ("aninhado demais", b'{"itens":' + b"[" * 60_000, "itens[0]"),
    ("so espacos", b"   ", "corpo"),
    ("vazio", b"", "corpo"),
    ("ausente", None, "corpo"),
]  # fmt: skip


@pytest.mark.parametrize(("nome", "dados", "campo"), CORPOS, ids=[caso[0][:40] for caso in CORPOS])
def test_corpo_que_nao_e_um_pedido_e_recusado(
    rest: Rest, nome: str, dados: bytes | None, campo: str
) -> None:
    """Whatever is not JSON, not an object or not of the right types is 400 and says where."""
    with SemEfeito(rest):
        resposta = rest.cru("pedidos", "POST", "/pedidos", dados, JSON)
        assert (resposta.codigo, resposta.campo) == (400, campo)


CORPOS_COM_CAMINHO = [
    ("aninhado demais", b'{"motivo":' + b"[" * 60_000, "motivo"),
    ("desconhecido aninhado", b'{"a":' + b"[" * 60_000, "a"),
    ("id tambem no corpo", b'{"pedido_id": 7001}', "pedido_id"),
    ("UTF-8 invalido", b'{"motivo": "\xff"}', "corpo"),
    ("motivo nulo", b'{"motivo": null}', "motivo"),
    ("lista", b"[]", "corpo"),
    ("numero sem fim", b'{"motivo": 1e999}', "motivo"),
    ("so espacos", b"  ", "corpo"),
]


@pytest.mark.parametrize(
    ("nome", "dados", "campo"), CORPOS_COM_CAMINHO, ids=[caso[0] for caso in CORPOS_COM_CAMINHO]
)
def test_corpo_opcional_ruim_tambem_e_recusado(
    rest: Rest, nome: str, dados: bytes, campo: str
) -> None:
    """A body that may be left out is checked like any other when it is there."""
    with SemEfeito(rest):
        resposta = rest.cru("pagamentos", "POST", "/pagamentos/7001/cancelamento", dados, JSON)
        assert (resposta.codigo, resposta.campo) == (400, campo)


TIPOS = ["text/plain", "application/xml", "application/x-www-form-urlencoded", "json", "",
         "application/problem+json", "application/json2", "multipart/form-data; boundary=x"]  # fmt: skip


@pytest.mark.parametrize("tipo", [None, *TIPOS])
def test_outro_tipo_de_midia_e_recusado(rest: Rest, tipo: str | None) -> None:
    """A body that does not say it is JSON is 415, before it is read."""
    with SemEfeito(rest):
        cabecalhos = {} if tipo is None else {"Content-Type": tipo}
        assert rest.cru("pedidos", "POST", "/pedidos", BOM, cabecalhos).codigo == 415


@pytest.mark.parametrize("codificacao", ["gzip", "br", "deflate", "zstd", "foo"])
def test_corpo_comprimido_e_recusado(rest: Rest, codificacao: str) -> None:
    """A content coding is 415: an order is small, and unpacking is a risk without a use."""
    with SemEfeito(rest):
        cabecalhos = {**JSON, "Content-Encoding": codificacao}
        assert rest.cru("pedidos", "POST", "/pedidos", BOM, cabecalhos).codigo == 415


@pytest.mark.parametrize("tipo", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_com_charset_e_aceito(rest: Rest, tipo: str) -> None:
    """Parameters and case of the media type do not matter."""
    assert rest.cru("pedidos", "POST", "/pedidos", BOM, {"Content-Type": tipo}).codigo == 201


def test_de_chaves_repetidas_no_json_vale_a_ultima(rest: Rest) -> None:
    """A name twice in one object is not refused: the last one counts, as in nearly every parser.

    RFC 8259 leaves it open. Telling would take a second parser on the path that is measured.
    """
    for primeiro, ultimo, status in ((CLIENTE_AUSENTE, 2, 201), (2, CLIENTE_AUSENTE, 400)):
        duas = f'"cliente_id": {primeiro}, "cliente_id": {ultimo}'.encode()
        dados = BOM.replace(b'"cliente_id": 1', duas)
        assert rest.cru("pedidos", "POST", "/pedidos", dados, JSON).codigo == status


@pytest.mark.parametrize("em_partes", [False, True], ids=["inteiro", "em partes"])
@pytest.mark.parametrize("servico", ["pedidos", "pagamentos"])
def test_corpo_grande_demais_e_recusado(rest: Rest, servico: str, em_partes: bool) -> None:
    """A body over the limit is 413, whether its length was announced or not."""
    dados: Any = b" " * (CORPO_MAX + 1)
    with SemEfeito(rest):
        corpo = iter([dados[:40_000], dados[40_000:]]) if em_partes else dados
        assert rest.cru(servico, "POST", f"/{servico}", corpo, JSON).codigo == 413


def test_corpo_no_limite_e_lido(rest: Rest) -> None:
    """A body of exactly the limit is an order like any other."""
    resposta = rest.cru("pedidos", "POST", "/pedidos", BOM.ljust(CORPO_MAX), JSON)
    assert resposta.codigo == 201


METODOS_ERRADOS = [
    *(("pedidos", metodo, "/pedidos", "POST")
      for metodo in ("GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE")),
    *(("pedidos", metodo, "/clientes", "GET") for metodo in ("POST", "HEAD", "OPTIONS")),
    ("pedidos", "DELETE", "/pedidos/1", "GET"),
    ("pedidos", "GET", "/pedidos/1/cancelamento", "POST"),
    ("estoque", "GET", "/estoque/separar", "POST"),
    ("estoque", "POST", "/estoque/1", "GET"),
    ("catalogo", "POST", "/produtos", "GET"),
    ("fiscal", "POST", "/healthz", "GET"),
    ("logistica", "PUT", "/openapi.json", "GET"),
]  # fmt: skip


@pytest.mark.parametrize(("servico", "metodo", "alvo", "admite"), METODOS_ERRADOS)
def test_metodo_errado_diz_qual_e_o_certo(
    rest: Rest, servico: str, metodo: str, alvo: str, admite: str
) -> None:
    """A wrong method is 405 with Allow; HEAD and OPTIONS are methods like the others here."""
    with SemEfeito(rest):
        resposta = rest.cru(servico, metodo, alvo)
        assert (resposta.codigo, resposta.cabecalhos["allow"]) == (405, admite)


@pytest.mark.parametrize(
    "alvo",
    ["/", "/nada", "/pedidos/", "/pedidos/1/", "/Pedidos", "//pedidos", "/pedidos/1/2/3",
     "/pedidos/1/cancelamento/", "/produtos", "/pedidos;x=1", "/%2e%2e/pedidos", "/pedidos%2F1"],
)  # fmt: skip
def test_caminho_que_nao_existe_e_404(rest: Rest, alvo: str) -> None:
    """A path that is not served is 404, a trailing slash and another service's path included."""
    with SemEfeito(rest):
        assert rest.cru("pedidos", "GET", alvo).codigo == 404


IDS_RUINS = ["0", "00", "-1", "abc", "1.0", "1e3", "+1", "%201", "1%20", "%D9%A1", "%FF", "0x1",
             "1%2F2", "%00", str(PEDIDO_ID_MAX + 1), "9" * 19, "9" * 20, "9" * 4_000, "null"]  # fmt: skip


@pytest.mark.parametrize("valor", IDS_RUINS, ids=lambda valor: valor[:24])
def test_id_ruim_no_caminho_e_400(rest: Rest, valor: str) -> None:
    """An id in a path that is no number, is zero or does not fit is 400 and names the id."""
    with SemEfeito(rest):
        for servico, metodo, alvo in (
            ("pedidos", "GET", f"/pedidos/{valor}"),
            ("pedidos", "POST", f"/pedidos/{valor}/cancelamento"),
            ("logistica", "POST", f"/envios/{valor}/cancelamento"),
        ):
            resposta = rest.cru(servico, metodo, alvo)
            assert (resposta.codigo, resposta.campo) == (400, "pedido_id")


def test_maior_id_e_apenas_desconhecido(braco: Any) -> None:
    """The largest id is well-formed: it names nothing, which is 404 or NOT_FOUND."""
    with SemEfeito(braco):
        resposta = braco.chamar("consultar_pedido", {"pedido_id": PEDIDO_ID_MAX})
        assert resposta.codigo in {404, grpc.StatusCode.NOT_FOUND}


CONSULTAS = [
    *((f"/clientes?limite={valor}", "limite")
      for valor in ("abc", "", "1.0", "+1", "%20", "9" * 30, "10001", "null", "1%00")),
    ("/clientes?limite=1&limite=2", "limite"),
    ("/clientes?apos_id=2147483648", "apos_id"),
    ("/clientes?limite=1;apos_id=2", "limite"),
    ("/clientes?pagina=1", "pagina"),
    ("/clientes?=1", "consulta"),
    ("/clientes?=1&=2", "consulta"),
    ("/clientes?%FF=1", "\ufffd"),
    ("/clientes?Limite=1", "Limite"),
    ("/pedidos/1?pedido_id=2", "pedido_id"),
    ("/pedidos/1?x", "x"),
]  # fmt: skip


@pytest.mark.parametrize(("alvo", "campo"), CONSULTAS, ids=[alvo[:40] for alvo, _ in CONSULTAS])
def test_consulta_estranha_e_recusada(rest: Rest, alvo: str, campo: str) -> None:
    """A query parameter that is unknown, repeated or no number is 400 and named."""
    with SemEfeito(rest):
        resposta = rest.cru("pedidos", "GET", alvo)
        assert (resposta.codigo, resposta.campo) == (400, campo)


@pytest.mark.parametrize("chave", [b"a\tb", b"\xff\xfe", "á".encode(), b" "])
def test_chave_que_nao_e_ascii_imprimivel_e_recusada(rest: Rest, chave: bytes) -> None:
    """A key with control characters or beyond ASCII is 400, and never travels back."""
    with SemEfeito(rest):
        resposta = rest.cru("pedidos", "POST", "/pedidos", BOM, {**JSON, "Idempotency-Key": chave})
        assert (resposta.codigo, resposta.campo) == (400, CHAVE)
        assert CHAVE not in resposta.cabecalhos


def test_chave_ruim_nao_volta_com_outro_erro(rest: Rest) -> None:
    """A broken key does not travel back when something else is refused first."""
    chave = {"Idempotency-Key": b"\xff\tz"}
    with SemEfeito(rest):
        for cabecalhos, status in (({}, 415), ({**JSON, "X-Timeout-Ms": "1"}, 504)):
            resposta = rest.cru("pedidos", "POST", "/pedidos", BOM, {**cabecalhos, **chave})
            assert resposta.codigo == status
            assert CHAVE not in resposta.cabecalhos


def test_expectativa_desconhecida_e_recusada(rest: Rest) -> None:
    """Expect: 100-continue is served; any other expectation is 400."""
    with SemEfeito(rest):
        resposta = rest.cru("pedidos", "POST", "/pedidos", BOM, {**JSON, "Expect": "cafe"})
        assert (resposta.codigo, resposta.campo) == (400, "expect")
    assert (
        rest.cru("pedidos", "POST", "/pedidos", BOM, {**JSON, "Expect": "100-Continue"}).codigo
        == 201
    )


# --- What is not even HTTP ----------------------------------------------------------------------

_POST = b"POST /pedidos HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
BRUTOS = [
    ("lixo", b"garbage\r\n\r\n"),
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("versao", b"GET /clientes HTTP/9.9\r\n\r\n"),
    ("metodo inventado", b"FOO /pedidos HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("alvo invalido", b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("linha longa", b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("cabecalho longo", b"GET /clientes HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n"),
    ("cabecalhos demais", b"GET /clientes HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 500 + b"\r\n"),
    ("cabecalho sem dois-pontos", b"GET /clientes HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n"),
    ("controle em cabecalho", _POST + b"Idempotency-Key: a\x01b\r\nContent-Length: 0\r\n\r\n"),
    ("tamanho que nao e numero", _POST + b"Content-Length: abc\r\n\r\n{}"),
    ("tamanho negativo", _POST + b"Content-Length: -1\r\n\r\n{}"),
    ("tamanho e partes", _POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}"),
    ("parte ruim no inicio", _POST + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nabc\r\n0\r\n\r\n"),
    ("parte ruim no meio", _POST + b'Transfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\nZZ\r\n'),
    ("parte maior que dita", _POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}}}}\r\n0\r\n\r\n"),
]

# Of these, what waitress answers in another way; to the first, nothing: more may come.
DO_WAITRESS = {
    "TLS": b"",
    "metodo inventado": b" 405 ",
    "linha longa": b" 431 ",
    "cabecalho longo": b" 431 ",
    "cabecalhos demais": b" 200 ",
}


def _conversar(rest: Rest, dados: bytes) -> bytes:
    """Send bytes as they are and read until the server closes the connection."""
    resposta = b""
    # Closed with some of our bytes unread, a connection may end in a reset.
    with rest.ligar() as conexao, suppress(ConnectionResetError):
        conexao.sendall(dados)
        while lidos := conexao.recv(65_536):
            resposta += lidos
    return resposta


@pytest.mark.parametrize(("nome", "dados"), BRUTOS, ids=[nome for nome, _ in BRUTOS])
def test_http_malformado_fecha_a_conexao_e_nada_mais(rest: Rest, nome: str, dados: bytes) -> None:
    """Bytes that are not HTTP are answered 400 by the protocol's own layer, and the line is cut.

    That layer is aiohttp's, or waitress's, and speaks plain text: no request exists yet that could
    be a problem. What waitress understands all the same is served, or refused, as it reads.
    """
    with SemEfeito(rest):
        if rest.seis.modo == "http-threads" and nome in DO_WAITRESS:
            with rest.ligar() as conexao:
                conexao.sendall(dados)
                if DO_WAITRESS[nome]:
                    assert DO_WAITRESS[nome] in conexao.recv(65_536).partition(b"\r\n")[0]
        else:
            assert b" 400 " in _conversar(rest, dados).partition(b"\r\n")[0]


INCOMPLETOS = [
    ("para de enviar", b"Content-Length: 500\r\n\r\n{", b""),
    ("parte que nao vem", b"Transfer-Encoding: chunked\r\n\r\n5\r\n{", b""),
    # aiohttp sees this one break but does not tell the handler that is already reading.
    ("parte ruim depois", b'Transfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n', b"ZZ\r\n"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("nome", "inicio", "resto"), INCOMPLETOS, ids=[caso[0] for caso in INCOMPLETOS]
)
def test_corpo_que_nao_chega_inteiro_espera_ate_o_prazo(
    rest: Rest, nome: str, inicio: bytes, resto: bytes
) -> None:
    """A body that stays incomplete is waited for until the call's deadline, then it is 504.

    On threads waitress waits for it, and no worker: it is no call yet, and has no deadline.
    """
    threads = rest.seis.modo == "http-threads"
    with SemEfeito(rest), rest.ligar() as conexao:
        conexao.sendall(_POST + b"X-Timeout-Ms: 100\r\n" + inicio)
        rest.seis.executar(asyncio.sleep(0.05))
        conexao.sendall(resto)
        if not threads:
            assert conexao.recv(65_536).startswith(b"HTTP/1.1 504 ")
        elif resto:
            assert conexao.recv(65_536).startswith(b"HTTP/1.1 400 ")
        else:
            conexao.settimeout(0.2)
            with pytest.raises(TimeoutError):
                conexao.recv(65_536)


@pytest.mark.parametrize(
    ("nome", "inicio", "resto"), INCOMPLETOS, ids=[caso[0] for caso in INCOMPLETOS]
)
def test_quem_desliga_no_meio_do_corpo_nao_deixa_rastro(
    rest: Rest, nome: str, inicio: bytes, resto: bytes
) -> None:
    """A client that hangs up in the middle of a body has asked for nothing."""
    with SemEfeito(rest):
        with rest.ligar() as conexao:
            conexao.sendall(_POST + inicio)
            rest.seis.executar(asyncio.sleep(0.05))
            conexao.sendall(resto)
        rest.seis.executar(asyncio.sleep(0.05))


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
                resposta = grpc_.cru(servico, caminho(operacao), b"\0" * (CORPO_MAX + 1))
                assert resposta.codigo is grpc.StatusCode.RESOURCE_EXHAUSTED
            else:
                resposta = grpc_.cru(servico, caminho(operacao), b"")
                assert resposta.codigo is grpc.StatusCode.UNIMPLEMENTED
