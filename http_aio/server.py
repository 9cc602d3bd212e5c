"""The REST server of one service, bound from the table of operations."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, NoReturn

from aiohttp import HttpVersion11, hdrs, web
from multidict import CIMultiDictProxy

from common.callers import Hosts
from common.erros import Categoria, ErroServico, encerrando, invalido, prazo_esgotado
from common.runtime.app import App
from common.runtime.lifecycle import serving as serve_until_closed
from common.servicos.protocolo.account import Account
from common.servicos.protocolo.contexto import Contexto
from common.serving.pipeline import Endpoint
from common.settings import BACKLOG, DRAIN_MAX_S, ORDER_BODY_MAX, Settings
from common.telemetry.meters import CONTENT_TYPE
from http_aio.client import dial
from http_aio.responses import LOWERED, PROTOCOL_LOG, SITE, resposta, send
from wire.rest.answers import JSON
from wire.rest.answers import answer as answered
from wire.rest.codec import CODECS, Codec
from wire.rest.openapi import documento

# Seconds. Longer than a client keeps an idle connection.
IDLE_CONNECTION_S: Final = 75.0

# Answered for as long as the process lives.
_HEALTH: Final = frozenset({"/healthz", "/readyz", "/openapi.json", "/metrics"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _handler(endpoint: Endpoint) -> Handler:
    """One operation as a REST handler: a request in, JSON or problem+json out."""
    operacao = endpoint.operacao
    codec = CODECS[operacao.nome]
    has_query = operacao.metodo_http == "GET"

    async def handle(request: web.Request) -> web.Response:
        ctx = Contexto(account=Account(time.monotonic()))
        measured, headers = ctx.account.measured, request.headers
        with endpoint.in_flight:
            try:
                endpoint.heed(ctx, headers.get, twice=_twice(headers), names=LOWERED)
                ctx.ausente = lambda: request.transport is None or request.transport.is_closing()
                body = await measured(_body(request, codec, ctx.prazo))
                query = _query(request) if has_query and request.query_string else {}
                answer = await measured(endpoint(ctx, codec.read(request.match_info, query, body)))
            except (ErroServico, web.HTTPRequestEntityTooLarge, asyncio.CancelledError) as error:
                erro = _failure(endpoint, ctx, error)
                return resposta(erro, endpoint.ended(ctx, erro))
            content = codec.write(answer)
            return send(answered(operacao, answer, content, endpoint.ended(ctx, answer)))

    return handle


def _twice(headers: CIMultiDictProxy[str]) -> list[str]:
    """Which of the names that a call may send beside its message came more than once."""
    return [name for name in LOWERED if name in headers and len(headers.getall(name)) > 1]


def _failure(endpoint: Endpoint, ctx: Contexto, error: BaseException) -> ErroServico:
    """The error that the caller is told. Raises `error` when this very call was cancelled."""
    if isinstance(error, ErroServico):
        return error
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return ErroServico(Categoria.SIZE, f"o corpo passa de {ORDER_BODY_MAX} bytes")
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        endpoint.left(ctx)
        raise error
    return encerrando()


async def _body(request: web.Request, codec: Codec, prazo: float) -> bytes:
    if not request.can_read_body:
        if codec.corpo_obrigatorio:
            raise invalido("corpo", "falta o corpo da requisição")
        return b""
    if codec.no_corpo and (
        request.content_type != JSON or hdrs.CONTENT_ENCODING in request.headers
    ):
        raise ErroServico(Categoria.MEDIA_TYPE, f"o corpo deve ser {JSON}, sem compressão")
    try:
        if request.content.is_eof():
            body = await request.read()
        else:
            # aiohttp does not tell us of a chunk that breaks from here on, nor of a caller that
            # stops sending: without a bound the call would wait for as long as the caller likes.
            async with asyncio.timeout(prazo - time.monotonic()):
                body = await request.read()
    except (web.RequestPayloadError, ConnectionError):
        raise invalido("corpo", "não chegou inteiro ou foi mal fragmentado") from None
    except TimeoutError:
        raise prazo_esgotado("o corpo não chegou inteiro dentro do prazo") from None
    if not codec.no_corpo:
        # GET, and commands whose every field is in the path, have no use for a body.
        return b""
    if not body and codec.corpo_obrigatorio:
        raise invalido("corpo", "falta o corpo da requisição")
    return body


def _query(request: web.Request) -> dict[str, str]:
    query: dict[str, str] = {}
    for nome, valor in request.query.items():
        if nome in query:
            raise invalido(nome or "consulta", "aparece mais de uma vez na consulta")
        query[nome] = valor
    return query


async def _expect(request: web.Request) -> web.Response | None:
    """Tell a client that asks first to go on; whatever else it may expect is not served."""
    if request.headers[hdrs.EXPECT].lower() != "100-continue":
        return resposta(invalido("expect", "só admite 100-continue"))
    if request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # That was not the answer, which has not begun.
        request.writer.output_size = 0
    return None


async def _other_method(request: web.Request) -> NoReturn:
    """A path that is spelled out stands before one with a place for an id: it refuses by itself."""
    routes = request.match_info.route.resource or ()
    methods = [route.method for route in routes if route.method != hdrs.METH_ANY]
    raise web.HTTPMethodNotAllowed(request.method, methods)


class HttpTransport:
    """The server of one service: its operations, health and its own description."""

    def __init__(self, app: App) -> None:
        settings = app.settings
        self._settings = settings
        self._hosts = Hosts(settings.host, settings.port, settings.allow_host)
        self._ready = self._accepting = False
        self._document = documento(settings.servico, metricas=app.telemetry is not None)
        web_app = web.Application(client_max_size=ORDER_BODY_MAX, middlewares=[self._gate])
        for endpoint in app.endpoints():
            operacao = endpoint.operacao
            web_app.router.add_route(
                operacao.metodo_http,
                operacao.caminho,
                _handler(endpoint),
                expect_handler=_expect,
            )
            if not CODECS[operacao.nome].no_caminho:
                web_app.router.add_route(
                    "*", operacao.caminho, _other_method, expect_handler=_expect
                )
        web_app.router.add_route("GET", "/healthz", self._healthz)
        web_app.router.add_route("GET", "/readyz", self._readyz)
        web_app.router.add_route("GET", "/openapi.json", self._openapi)
        self._telemetry = app.telemetry
        if app.telemetry is not None:
            web_app.router.add_route("GET", "/metrics", self._metrics)
        self._runner = web.AppRunner(
            web_app,
            access_log=None,
            logger=PROTOCOL_LOG,
            # A body is small and travels as it is; unpacking what strangers packed is a risk.
            auto_decompress=False,
            handle_signals=False,
            keepalive_timeout=IDLE_CONNECTION_S,
            shutdown_timeout=DRAIN_MAX_S,
        )
        self._site: web.TCPSite | None = None

    async def start(self) -> str:
        """Listen and serve. Raises OSError when the port is taken."""
        settings = self._settings
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, settings.host, settings.port, backlog=BACKLOG)
        await self._site.start()
        bound: Any = self._runner.addresses[0]
        self._hosts = Hosts(settings.host, bound[1], settings.allow_host)
        self._ready = self._accepting = True
        return f"{bound[0]}:{bound[1]}"

    async def say_not_ready(self) -> None:
        """Have /readyz say so."""
        self._ready = False

    async def stop_accepting(self) -> None:
        """Take no new connections and refuse new calls; those under way go on."""
        self._accepting = False
        if self._site is not None:
            await self._site.stop()

    async def stop(self, grace_s: float) -> None:
        """Let calls under way end, at most `grace_s` seconds, then end them."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._runner.cleanup(), grace_s + 0.5)

    @web.middleware
    async def _gate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """No other site's page, and no new call while stopping; refusals in the project's own form."""
        headers = request.headers
        refusal = self._hosts.refusal(
            headers.get(hdrs.HOST), headers.get(hdrs.ORIGIN), headers.get(SITE)
        )
        if refusal is not None:
            return resposta(refusal)
        if not self._accepting and request.path not in _HEALTH:
            # Connections kept alive outlive the listener.
            erro = encerrando()
            return resposta(erro, [("Connection", "close")])
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return resposta(ErroServico(Categoria.NAO_ENCONTRADO, "não há nada neste caminho"))
        except web.HTTPMethodNotAllowed as error:
            allowed = ",".join(sorted(error.allowed_methods))
            erro = ErroServico(Categoria.METODO, f"este caminho admite {allowed}")
            return resposta(erro, [("Allow", allowed)])

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(body=b'{"status":"ok"}', content_type=JSON)

    async def _readyz(self, request: web.Request) -> web.Response:
        if not self._ready:
            return resposta(ErroServico(Categoria.INDISPONIVEL, "o serviço não está pronto"))
        return web.Response(body=b'{"status":"ready"}', content_type=JSON)

    async def _openapi(self, request: web.Request) -> web.Response:
        return web.Response(body=self._document, content_type=JSON)

    async def _metrics(self, request: web.Request) -> web.Response:
        assert self._telemetry is not None, "served only with telemetry"
        # The first one loads a library, and no order should wait for that.
        page = await asyncio.to_thread(self._telemetry.page)
        return web.Response(body=page, headers={hdrs.CONTENT_TYPE: CONTENT_TYPE})


def serving(settings: Settings) -> AbstractAsyncContextManager[tuple[App, str]]:
    """A service of this arm that listens for the life of the block; yields it and its address."""
    return serve_until_closed(settings, dial, HttpTransport)
