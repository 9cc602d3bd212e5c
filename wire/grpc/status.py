"""The project's errors as gRPC statuses with details, and back (google.rpc error model)."""

from __future__ import annotations

import logging
from typing import Any, Final

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from common.erros import GRPC_CODE, Categoria, ErroServico, Violacao, conexao_recusada
from common.serving.pipeline import HEADER_RECORD

_LOG = logging.getLogger(__name__)

# Where the error model puts its details (https://google.aip.dev/193).
DETAILS: Final = "grpc-status-details-bin"
ERROR_DOMAIN: Final = "ecommerce"

# How the core says that it never came to send anything.
_NOT_CONNECTED: Final = "failed to connect to all addresses"

_CODE: Final = {categoria: grpc.StatusCode[nome] for categoria, nome in GRPC_CODE.items()}
# The first category of a code: the one that a service of ours means by it. Codes that none of ours
# sends (CANCELLED, UNKNOWN, ...) come from the transport and leave the outcome unknown.
_CATEGORY: Final = {codigo: categoria for categoria, codigo in reversed(_CODE.items())}


def codigo(categoria: Categoria) -> grpc.StatusCode:
    """The status code of a category."""
    return _CODE[categoria]


def detalhes(erro: ErroServico) -> tuple[tuple[str, bytes], ...]:
    """The trailing metadata that carries an error's details."""
    partes: list[any_pb2.Any] = []

    def juntar(mensagem: Message) -> None:
        parte = any_pb2.Any()
        parte.Pack(mensagem)
        partes.append(parte)

    juntar(error_details_pb2.ErrorInfo(reason=erro.categoria.value.upper(), domain=ERROR_DOMAIN))
    if erro.violacoes:
        juntar(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(
                        field=violacao.campo, description=violacao.detalhe
                    )
                    for violacao in erro.violacoes
                ]
            )
        )
    if erro.repetir_apos_s is not None:
        espera = duration_pb2.Duration()
        espera.FromMilliseconds(int(erro.repetir_apos_s * 1e3))
        juntar(error_details_pb2.RetryInfo(retry_delay=espera))
    status = status_pb2.Status(
        code=_CODE[erro.categoria].value[0], message=erro.detalhe, details=partes
    )
    return ((DETAILS, status.SerializeToString()),)


def record_of(metadata: Any) -> str:
    """The timing record in an answer's trailing metadata, "" for none."""
    return str(dict(metadata or ()).get(HEADER_RECORD, ""))


def erro_de(error: Any) -> ErroServico:
    """The domain's error for a failed call, a grpc.RpcError of either API."""
    categoria = _CATEGORY.get(error.code(), Categoria.INDISPONIVEL)
    violacoes: tuple[Violacao, ...] = ()
    repetir_apos_s = None
    bruto = dict(error.trailing_metadata() or ()).get(DETAILS)
    if isinstance(bruto, bytes):
        violacoes, repetir_apos_s = _ler(bruto)
    detalhe = error.details() or error.code().name
    if bruto is None:
        # Not one of ours but the transport's own words, which name addresses.
        _LOG.info("%s: %s", error.code().name, detalhe)
        if _NOT_CONNECTED in detalhe:
            return conexao_recusada()
        detalhe = f"a chamada falhou ({error.code().name})"
    return ErroServico(
        categoria,
        detalhe,
        violacoes=violacoes,
        repetir_apos_s=repetir_apos_s,
    )


def _ler(bruto: bytes) -> tuple[tuple[Violacao, ...], float | None]:
    try:
        status = status_pb2.Status.FromString(bruto)
    except DecodeError:
        return (), None
    violacoes: tuple[Violacao, ...] = ()
    repetir_apos_s = None
    for parte in status.details:
        if parte.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            pedido_ruim = error_details_pb2.BadRequest()
            parte.Unpack(pedido_ruim)
            violacoes = tuple(
                Violacao(violacao.field, violacao.description)
                for violacao in pedido_ruim.field_violations
            )
        elif parte.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            repeticao = error_details_pb2.RetryInfo()
            parte.Unpack(repeticao)
            repetir_apos_s = repeticao.retry_delay.ToMilliseconds() / 1e3
    return violacoes, repetir_apos_s
