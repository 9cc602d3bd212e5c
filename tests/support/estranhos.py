"""Strangers who send whatever they like: raw HTTP and raw gRPC, and what must not come of it."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import grpc
import grpc.aio
from google.rpc import error_details_pb2, status_pb2

from common.contratos import (
    OPERACOES,
)
from tests.support.fuzz_support import CHAVE_NF, Servidores
from wire.grpc.codec import caminho, protobuf_type
from wire.grpc.status import DETAILS
from wire.rest.codec import CODECS

if TYPE_CHECKING:
    from collections.abc import Iterator


OPERACAO = {operacao.nome: operacao for operacao in OPERACOES}
ESPERA_S = 20.0
JSON = {"Content-Type": "application/json"}

LIMITE, PRAZO, CHAVE = "x-timeout-ms", "x-deadline-at", "idempotency-key"

QUANTIDADE, PRODUTO = "itens[0].quantidade", "itens[0].produto_id"

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


class Rest:
    """Sends raw HTTP; every refusal must be problem+json that says its own status."""

    INVALIDO, TARDE = 400, 504

    def __init__(self, seis: Servidores) -> None:
        self.seis = seis

    def ligar(self) -> socket.socket:
        """A bare connection to Pedidos."""
        onde, _, porta = self.seis.enderecos["pedidos"].rpartition(":")
        return socket.create_connection((onde, int(porta)), timeout=ESPERA_S)

    def chamado(self, dados: bytes) -> bytes:
        """A request whose `Host: x` is Pedidos' own."""
        return dados.replace(b"Host: x\r\n", f"Host: {self.seis.enderecos['pedidos']}\r\n".encode())

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
    bruto = dict(erro.trailing_metadata() or ()).get(DETAILS)
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
def falando_grpc(seis: Servidores) -> Iterator[Grpc]:
    """The gRPC side of six services, for the block."""

    async def abrir() -> dict[str, grpc.aio.Channel]:
        return {nome: grpc.aio.insecure_channel(onde) for nome, onde in seis.enderecos.items()}

    async def fechar() -> None:
        for canal in canais.values():
            await canal.close()

    canais = seis.executar(abrir())
    yield Grpc(seis, canais)
    seis.executar(fechar())


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
