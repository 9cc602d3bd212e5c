"""What only JSON and HTTP can get wrong: refused in words, or the connection closed, and no effect."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import grpc
import grpc.aio
import pytest

from common.contratos import (
    ID_MAX,
    PEDIDO_ID_MAX,
)
from common.settings import ORDER_BODY_MAX
from tests.support.estranhos import CHAVE, ITEM, JSON, PEDIDO, QUANTIDADE, Rest, SemEfeito
from tests.support.fuzz_support import CLIENTE_AUSENTE

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
    dados: Any = b" " * (ORDER_BODY_MAX + 1)
    with SemEfeito(rest):
        corpo = iter([dados[:40_000], dados[40_000:]]) if em_partes else dados
        assert rest.cru(servico, "POST", f"/{servico}", corpo, JSON).codigo == 413


def test_corpo_no_limite_e_lido(rest: Rest) -> None:
    """A body of exactly the limit is an order like any other."""
    resposta = rest.cru("pedidos", "POST", "/pedidos", BOM.ljust(ORDER_BODY_MAX), JSON)
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

# `x` stands for where the service listens: under another name it refuses whatever it understands.
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
        conexao.sendall(rest.chamado(dados))
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
                conexao.sendall(rest.chamado(dados))
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
        conexao.sendall(rest.chamado(_POST + b"X-Timeout-Ms: 100\r\n" + inicio))
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
            conexao.sendall(rest.chamado(_POST + inicio))
            rest.seis.executar(asyncio.sleep(0.05))
            conexao.sendall(resto)
        rest.seis.executar(asyncio.sleep(0.05))
