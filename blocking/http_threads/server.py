"""The REST server of one service: Flask on waitress's pool of threads, bound from the table."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Final, NoReturn
from urllib.parse import parse_qsl, unquote_to_bytes

import flask
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError, get_header_lines
from waitress.server import create_server
from waitress.wasyncore import dispatcher
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from blocking.entrance import Entrance
from blocking.execution import ThreadClock, run_to_end
from blocking.http_threads.client import dial
from blocking.http_threads.workers import Workers, wait_until
from blocking.ports import ThreadPorts
from common.callers import Hosts
from common.erros import Categoria, ErroServico, encerrando, invalido
from common.runtime.app import App
from common.runtime.lifecycle import serving as serve_until_closed
from common.servicos.protocolo.account import Account
from common.servicos.protocolo.contexto import Contexto
from common.serving.pipeline import Endpoint, repeated
from common.settings import BACKLOG, DRAIN_MAX_S, ORDER_BODY_MAX, Settings
from common.telemetry.meters import CONTENT_TYPE
from wire.rest.answers import JSON, Answer, answer, problem
from wire.rest.codec import CODECS, Codec
from wire.rest.openapi import documento

# Seconds. Longer than any client of ours keeps an idle connection.
IDLE_CONNECTION_S: Final = 75
# Bytes. A body that is too long is refused by us, in the project's own form, not by waitress.
READ_BODY_MAX: Final = 16 * ORDER_BODY_MAX
# Seconds. The least that what was answered last has to leave the machine when a service stops.
ENVIO_S: Final = 0.1

# Bytes of a request in front of its body, as far as aiohttp's two limits together.
HEADER_MAX: Final = 16 * 1_024

# Answered for as long as the process lives.
_HEALTH: Final = frozenset({"/healthz", "/readyz", "/openapi.json", "/metrics"})

# waitress tells of every call that waits for a worker; here that is what is measured.
logging.getLogger("waitress.queue").setLevel(logging.ERROR)


class _Callers(logging.Filter):
    """Drops what waitress says of callers who have gone: no defect of ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], OSError))


logging.getLogger("waitress").addFilter(_Callers())

View = Callable[..., flask.Response]

# A slash that the routes must not take for one: quoted, or a second one at the beginning.
_NO_SLASH: Final = re.compile(r"%2[fF]|(?<=^/)/")


class _Parser(HTTPRequestParser):  # type: ignore[misc]
    """Reads a request; refuses what waitress would guess at, or stumble over."""

    # Names of headers that came more than once: waitress makes one text of what they said.
    twice: Collection[str] = ()

    def parse_header(self, header_plus: bytes) -> None:
        """Read everything in front of the body. Raises ParsingError, which is answered 400."""
        try:
            super().parse_header(header_plus)
        except ValueError:
            raise ParsingError("Target is invalid") from None
        if self.version not in {"1.0", "1.1"}:
            raise ParsingError("Version is not supported")
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("Length and chunks")
        # The first line, and the empty one at the end, are no headers.
        if header_plus.count(b"\r\n") - 2 > len(self.headers):
            _first, *lines = get_header_lines(header_plus)
            self.twice = repeated(line.partition(b":")[0].decode("latin-1") for line in lines)


class _Channel(HTTPChannel):  # type: ignore[misc]
    """A connection whose requests are read so."""

    parser_class = _Parser


class _Web(flask.Flask):
    """Flask, with paths matched as they were sent."""

    def wsgi_app(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer a request."""
        path = environ["REQUEST_URI"].partition("?")[0]
        if _NO_SLASH.search(path):
            # Kept quoted once more, so that it is still no slash when it has been unquoted.
            sent = unquote_to_bytes(_NO_SLASH.sub("%252F", path))
            environ["PATH_INFO"] = sent.decode("latin-1")
        return super().wsgi_app(environ, start_response)


def _add(web: flask.Flask, path: str, view: View, method: str | None) -> None:
    """Serve a path with a method, or with any that is not served; HEAD is one like the others."""
    endpoint = f"{method} {path}"
    rule = web.url_rule_class(path, endpoint=endpoint)
    rule.methods = None if method is None else {method}
    web.url_map.add(rule)
    web.view_functions[endpoint] = view


def _other_method(method: str) -> NoReturn:
    raise MethodNotAllowed([method])


def _view(endpoint: Endpoint, workers: Workers) -> View:
    """One operation as a Flask view: a request in, JSON or problem+json out."""
    operacao = endpoint.operacao
    codec = CODECS[operacao.nome]
    has_query = operacao.metodo_http == "GET"

    def view(**path: str) -> flask.Response:
        ctx = Contexto(account=Account(workers.arrived()))
        request = flask.request
        with endpoint.in_flight:
            try:
                endpoint.heed(ctx, request.headers.get, twice=workers.twice())
                ctx.ausente = workers.absent()
                refusal = workers.refusal()
                if refusal is not None:
                    raise refusal
                body = _body(request, codec)
                query = _query(request) if has_query and request.query_string else {}
                work = endpoint(ctx, codec.read(path, query, body))
                message = run_to_end(ctx.account.measured(work))
            except ErroServico as erro:
                return _send(problem(erro, endpoint.ended(ctx, erro)))
            content = codec.write(message)
            return _send(answer(operacao, message, content, endpoint.ended(ctx, message)))

    return view


def _send(sent: Answer) -> flask.Response:
    response = flask.Response(sent.body, sent.status, content_type=sent.content_type)
    response.headers.update(sent.headers)
    return response


def _body(request: flask.Request, codec: Codec) -> bytes:
    if not request.content_length and not codec.corpo_obrigatorio:
        return b""
    if not request.content_length:
        raise invalido("corpo", "falta o corpo da requisição")
    if codec.no_corpo and (
        request.mimetype != JSON or request.headers.get("Content-Encoding") is not None
    ):
        raise ErroServico(Categoria.MEDIA_TYPE, f"o corpo deve ser {JSON}, sem compressão")
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise ErroServico(Categoria.SIZE, f"o corpo passa de {ORDER_BODY_MAX} bytes") from None
    # GET, and commands whose every field is in the path, have no use for a body.
    return body if codec.no_corpo else b""


def _query(request: flask.Request) -> dict[str, str]:
    query: dict[str, str] = {}
    for nome, valor in parse_qsl(request.query_string.decode("latin-1"), keep_blank_values=True):
        if nome in query:
            raise invalido(nome or "consulta", "aparece mais de uma vez na consulta")
        query[nome] = valor
    return query


class HttpTransport:
    """The server of one service: its operations, health and its own description."""

    def __init__(self, app: App) -> None:
        settings = app.settings
        self._settings = settings
        assert isinstance(app.clock, ThreadClock)
        self._clock = app.clock
        self._ready = self._accepting = False
        self._document = documento(settings.servico)
        self._workers = Workers(settings.workers, Entrance(settings.workers, app.slots))
        app.watch_pool(self._workers.arrivals)
        web = _Web(__name__, static_folder=None)
        web.config["MAX_CONTENT_LENGTH"] = ORDER_BODY_MAX
        web.url_map.strict_slashes = True
        web.url_map.merge_slashes = False
        web.before_request(self._gate)
        web.register_error_handler(HTTPException, self._refused)
        for endpoint in app.endpoints():
            operacao = endpoint.operacao
            codec = CODECS[operacao.nome]
            rule = operacao.caminho.replace("{", "<").replace("}", ">")
            view = _view(endpoint, self._workers)
            _add(web, rule, view, operacao.metodo_http)
            if not codec.no_caminho:
                # A path that is spelled out stands before one with a place for an id.
                _add(web, rule, partial(_other_method, operacao.metodo_http), None)
        _add(web, "/healthz", self._healthz, "GET")
        _add(web, "/readyz", self._readyz, "GET")
        _add(web, "/openapi.json", self._openapi, "GET")
        self._telemetry = app.telemetry
        self._show_metrics = app.show_metrics
        if app.telemetry is not None:
            _add(web, "/metrics", self._metrics, "GET")
        self._web = web
        self._server: Any = None
        self._thread = threading.Thread(daemon=True, name="waitress")

    async def start(self) -> str:
        """Listen and serve. Raises OSError when the port is taken."""
        settings = self._settings
        self._server = create_server(
            self._web,
            _dispatcher=self._workers,
            host=settings.host,
            port=settings.port,
            backlog=BACKLOG,
            # A connection a caller, also of those refused: more would wait where nobody sees them.
            connection_limit=settings.in_flight_max + BACKLOG,
            channel_timeout=IDLE_CONNECTION_S,
            max_request_body_size=READ_BODY_MAX,
            max_request_header_size=HEADER_MAX,
            # select() knows no file beyond the first thousand.
            asyncore_use_poll=True,
            clear_untrusted_proxy_headers=False,
            ident=None,
        )
        self._server.channel_class = _Channel
        port = int(self._server.effective_port)
        self._hosts = Hosts(settings.host, port, settings.allow_host)
        self._workers.begin()
        self._thread = threading.Thread(target=self._server.run, daemon=True, name="waitress")
        self._thread.start()
        # There /metrics waits for a worker, as every call does; a port of its own does not.
        self._show_metrics()
        self._ready = self._accepting = True
        return f"{self._server.effective_host}:{self._server.effective_port}"

    async def say_not_ready(self) -> None:
        """Have /readyz say so."""
        self._ready = False

    async def stop_accepting(self) -> None:
        """Take no new connections and refuse new calls; those that workers serve go on."""
        self._accepting = False
        self._workers.close_line()
        self._clock.wake(DRAIN_MAX_S)
        # In waitress's own thread, like all that changes its sockets: it looks at them all the time.
        self._server.trigger.pull_trigger(partial(dispatcher.close, self._server))

    async def stop(self, grace_s: float) -> None:
        """Let calls under way end, at most `grace_s` seconds, then end them."""
        until = time.monotonic() + grace_s
        self._workers.end(until)
        self._server.trigger.pull_trigger(self._hang_up)
        wait_until(lambda: not self._server.active_channels, max(until, time.monotonic() + ENVIO_S))
        # The thread ends when it has no sockets to look at. They are closed here: it must not take
        # away the trigger while that is being pulled.
        self._server.trigger.pull_trigger(self._server._map.clear)  # noqa: SLF001 - as waitress's tests do
        self._thread.join()
        for channel in list(self._server.active_channels.values()):
            channel.handle_close()
        self._server.close()

    def _hang_up(self) -> None:
        """Close every connection as soon as what was answered on it has been sent."""
        for channel in self._server.active_channels.values():
            channel.close_when_flushed = True

    def _gate(self) -> flask.Response | None:
        """No other site's page, and no new call while stopping: connections outlive the listener."""
        sent = flask.request.environ.get
        refusal = self._hosts.refusal(
            sent("HTTP_HOST"), sent("HTTP_ORIGIN"), sent("HTTP_SEC_FETCH_SITE")
        )
        if refusal is not None:
            return _send(problem(refusal))
        if not self._accepting and flask.request.path not in _HEALTH:
            return _send(problem(encerrando()))
        if flask.request.headers.get("Expect", "100-continue").lower() != "100-continue":
            return _send(problem(invalido("expect", "só admite 100-continue")))
        return None

    @staticmethod
    def _refused(error: HTTPException) -> flask.Response:
        """What Flask itself refuses, in the project's own form."""
        headers: tuple[tuple[str, str], ...] = ()
        if isinstance(error, NotFound):
            erro = ErroServico(Categoria.NAO_ENCONTRADO, "não há nada neste caminho")
        elif isinstance(error, MethodNotAllowed):
            allowed = ",".join(sorted(set(error.valid_methods or ()) - {"HEAD", "OPTIONS"}))
            headers = (("Allow", allowed),)
            erro = ErroServico(Categoria.METODO, f"este caminho admite {allowed}")
        elif error.code is not None and error.code < 500:
            erro = invalido("requisição", error.name)
        else:
            erro = ErroServico(Categoria.INTERNO, "erro interno")
        return _send(problem(erro, headers))

    def _healthz(self) -> flask.Response:
        return flask.Response(b'{"status":"ok"}', content_type=JSON)

    def _readyz(self) -> flask.Response:
        if not self._ready:
            erro = ErroServico(Categoria.INDISPONIVEL, "o serviço não está pronto")
            return _send(problem(erro))
        return flask.Response(b'{"status":"ready"}', content_type=JSON)

    def _openapi(self) -> flask.Response:
        return flask.Response(self._document, content_type=JSON)

    def _metrics(self) -> flask.Response:
        assert self._telemetry is not None, "served only with telemetry"
        return flask.Response(self._telemetry.page(), content_type=CONTENT_TYPE)


def serving(settings: Settings) -> AbstractAsyncContextManager[tuple[App, str]]:
    """A service of this arm that listens for the life of the block; yields it and its address."""
    return serve_until_closed(settings, dial, HttpTransport, ThreadPorts(settings))
