"""Answers as aiohttp sends them, and what of its server's words is worth a log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from aiohttp import web
from aiohttp.http import HttpProcessingError

from common.erros import ErroServico
from http_aio.answers import Answer, problem


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


def send(answer: Answer) -> web.Response:
    """An answer as aiohttp sends it."""
    return web.Response(
        status=answer.status,
        body=answer.body,
        content_type=answer.content_type,
        headers=answer.headers,
    )


def resposta(erro: ErroServico, headers: Mapping[str, str] | None = None) -> web.Response:
    """An error as the answer to its request."""
    return send(problem(erro, headers))
