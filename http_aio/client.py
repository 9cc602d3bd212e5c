"""A client of one service: any of its operations, bound from the table."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

import aiohttp
from aiohttp import hdrs
from multidict import CIMultiDict
from yarl import URL

from common.callers import beside
from common.contratos import Mensagem, Operacao, operacoes_de
from common.erros import conexao_recusada, indisponivel, prazo_esgotado
from common.servicos.protocolo.contexto import Contexto
from common.serving.call import Call, marks
from common.serving.deadline import outgoing
from common.serving.timers import Alarms, Limit
from common.settings import ACTIVE_MAX, EXTRA_CONNECTIONS
from http_aio.responses import LOWERED, RECORD
from wire.rest.answers import JSON, erro_de
from wire.rest.codec import CODECS

_LOG = logging.getLogger(__name__)

# Seconds. Shorter than the server keeps an idle connection, so that the server never closes one
# that we are about to use.
IDLE_CONNECTION_S: Final = 30.0

_NO_LIMIT: Final = aiohttp.ClientTimeout(total=None)

Method = Callable[[Contexto, Any], Coroutine[Any, Any, Mensagem]]


def _session(connections: int) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=IDLE_CONNECTION_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=_NO_LIMIT,
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
    )


class HttpClient:
    """Reaches one service.

    Every failure is an ErroServico; whatever the transport could not tell is INDISPONIVEL, that
    is: unknown.
    """

    def __init__(
        self, servico: str, address: str, connections: int, credencial: str | None
    ) -> None:
        self._base = f"http://{address}"
        self._alarms = Alarms()
        self._credencial = credencial
        self._session = _session(connections)
        # Cancelling passes first: it never waits for a connection behind calls that go forward.
        self._cancelling = _session(connections)
        self._calls = {each.nome: self._bind(each) for each in operacoes_de(servico)}

    def call(self, operacao: Operacao, ctx: Contexto, req: Any) -> Coroutine[Any, Any, Any]:
        """The port `Call`."""
        return self._calls[operacao.nome](ctx, req)

    async def close(self) -> None:
        """Close the connections; calls under way fail as unavailable."""
        self._alarms.close()
        await self._session.close()
        await self._cancelling.close()

    def _bind(self, operacao: Operacao) -> Method:
        codec, method = CODECS[operacao.nome], operacao.metodo_http
        session = self._cancelling if operacao.classe == "cancelamento" else self._session
        base, alarms = self._base, self._alarms
        fixed = None if codec.no_caminho or codec.na_consulta else URL(base + operacao.caminho)
        vouching = beside(operacao, self._credencial)

        async def call(ctx: Contexto, req: Any) -> Mensagem:
            remaining = outgoing(ctx)
            body = codec.body(req)
            headers = CIMultiDict(marks(ctx, remaining, operacao, LOWERED) + vouching)
            if body is not None:
                headers[hdrs.CONTENT_TYPE] = JSON
            url = fixed or URL(base + codec.path(req), encoded=True)
            with Call(ctx, operacao) as made:
                try:
                    # The pool's queue counts too: the deadline covers everything. A body that is
                    # read gives its connection back, and one that is not closes it.
                    with Limit(alarms, remaining):
                        response = await session.request(method, url, data=body, headers=headers)
                        data = await response.read()
                except TimeoutError:
                    raise prazo_esgotado("o prazo terminou durante a chamada") from None
                except aiohttp.ClientConnectorError as error:
                    _LOG.info("%s: %s", operacao.servico, error)
                    raise conexao_recusada() from error
                except aiohttp.ClientError as error:
                    # aiohttp's words name addresses: they stay in our log.
                    _LOG.info("%s: %s", operacao.servico, error or type(error).__name__)
                    raise indisponivel(f"{operacao.servico} não respondeu") from error
                made.answered(response.headers.get(RECORD, ""))
                if response.status >= 400:
                    raise erro_de(response.status, data, response.headers.get("Retry-After"))
            return codec.answer(data)

        return call


def dial(
    servico: str,
    address: str,
    *,
    connections: int = ACTIVE_MAX + EXTRA_CONNECTIONS,
    credencial: str | None = None,
) -> HttpClient:
    """A client of the service at `address` (host:port), connecting at its first call.

    At most `connections` calls are under way at once, and as many that cancel; the rest of either
    kind wait in order of arrival.
    """
    return HttpClient(servico, address, connections, credencial)
