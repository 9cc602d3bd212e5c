"""Answers and headers as aiohttp has them, and what of its server's words is worth a log."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Final

from aiohttp import hdrs, web
from aiohttp.http import HttpProcessingError
from multidict import CIMultiDict, istr

from common.erros import ErroServico
from common.serving.pipeline import HEADER_RECORD, HEADER_TIMING, NAMES, Names
from wire.rest.answers import Answer, problem


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


# Names whose lower case is known: of any other text aiohttp makes it anew at each of the five or six
# places where a header passes from one mapping into the next.
LOWERED: Final = Names(*map(istr, NAMES))
RECORD: Final = istr(HEADER_RECORD)
SITE: Final = istr("Sec-Fetch-Site")
_OFTEN: Final = {
    str(name): name for name in (*LOWERED, RECORD, istr(HEADER_TIMING), istr("Location"))
}


def lowered(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """Headers as aiohttp keeps them."""
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        kept[_OFTEN.get(name, name)] = value
    return kept


def send(answer: Answer) -> web.Response:
    """An answer as aiohttp sends it."""
    headers = lowered(answer.headers)
    headers[hdrs.CONTENT_TYPE] = answer.content_type
    return web.Response(status=answer.status, body=answer.body, headers=headers)


def resposta(erro: ErroServico, back: Iterable[tuple[str, str]] = ()) -> web.Response:
    """An error as the answer to its request, with headers `back`."""
    return send(problem(erro, back))
