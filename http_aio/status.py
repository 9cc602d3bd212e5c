"""The project's errors as problem+json (RFC 9457), and back."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.http import HttpProcessingError

from common.erros import STATUS_HTTP, TITULO, Categoria, ErroServico, Violacao

PROBLEMA: Final = "application/problem+json"

# The first category of a status: what a service of ours means by it when the body does not say.
_CATEGORIA: Final = {status: categoria for categoria, status in reversed(STATUS_HTTP.items())}


class _Callers(logging.Filter):
    """Drops what a caller's malformed HTTP raises: it was answered 400, and is no defect of ours.

    Left alone, aiohttp writes a traceback for each, and anyone could fill the log.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | web.RequestPayloadError)


# Where aiohttp's server says what went wrong below the handlers.
PROTOCOL_LOG: Final = logging.getLogger("http_aio.protocol")
PROTOCOL_LOG.addFilter(_Callers())


class Problema(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every error answer; `categoria` tells apart what shares a status."""

    type: str
    title: str
    status: int
    categoria: Categoria
    detail: str
    erros: tuple[Violacao, ...] = ()


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Problema).decode


def resposta(erro: ErroServico, headers: Mapping[str, str] | None = None) -> web.Response:
    """An error as the answer to its request."""
    problema = Problema(
        type=f"urn:ecommerce:problema:{erro.categoria.value}",
        title=TITULO[erro.categoria],
        status=STATUS_HTTP[erro.categoria],
        categoria=erro.categoria,
        detail=erro.detalhe,
        erros=erro.violacoes,
    )
    todos = dict(headers or {})
    if erro.repetir_apos_s is not None:
        todos["Retry-After"] = str(max(1, math.ceil(erro.repetir_apos_s)))
    return web.Response(
        status=problema.status, body=_encode(problema), content_type=PROBLEMA, headers=todos
    )


def erro_de(status: int, corpo: bytes, repetir_apos: str | None) -> ErroServico:
    """What an error answer means to the domain; a foreign one leaves the outcome unknown."""
    espera = float(repetir_apos) if repetir_apos and repetir_apos.isdecimal() else None
    try:
        problema = _decode(corpo)
    except msgspec.DecodeError:
        # From 500 on it says nothing of what happened: unknown.
        ours = status < STATUS_HTTP[Categoria.INTERNO]
        categoria = _CATEGORIA.get(status, Categoria.INVALIDO) if ours else Categoria.INDISPONIVEL
        return ErroServico(categoria, f"HTTP {status}", repetir_apos_s=espera)
    return ErroServico(
        problema.categoria, problema.detail, violacoes=problema.erros, repetir_apos_s=espera
    )
