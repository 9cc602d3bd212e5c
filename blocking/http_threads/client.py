"""A client of one service whose calls hold their thread: any operation, bound from the table."""

from __future__ import annotations

import logging
import socket
import threading
import weakref
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import MaxRetryError, NewConnectionError

from blocking.execution import interruptible
from common.callers import beside
from common.contratos import Mensagem, Operacao, operacoes_de
from common.erros import conexao_recusada, indisponivel, prazo_esgotado
from common.servicos.protocolo.contexto import Contexto
from common.serving.call import Call, marks
from common.serving.deadline import outgoing
from common.serving.pipeline import HEADER_RECORD
from wire.rest.answers import JSON, erro_de
from wire.rest.codec import CODECS

_LOG = logging.getLogger(__name__)

_JSON: Final = {"Content-Type": JSON}


class _Line:
    """A thread's connection to the service, which another thread may cut."""

    def __init__(self) -> None:
        self.connection: HTTPConnection | None = None
        self._cut = False

    def begin(self) -> None:
        """A call begins."""
        self._cut = False

    def cut(self) -> None:
        """Hang up the call under way: it fails at once, also when it has yet to connect."""
        self._cut = True
        self.check()

    def check(self) -> None:
        """Hang up if that was asked for."""
        sock = getattr(self.connection, "sock", None)
        if self._cut and sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class _Connection(HTTPConnection):
    line: _Line

    def connect(self) -> None:
        super().connect()
        self.line.check()


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection

    def __init__(self, line: _Line, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._line = line

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection: Any = super()._get_conn(timeout)
        connection.line, self._line.connection = self._line, connection
        return connection


class Method(Protocol):
    """One operation."""

    def __call__(self, ctx: Contexto, req: Any) -> Coroutine[Any, Any, Mensagem]:
        """Ask for it and wait for the answer."""


class HttpClient:
    """Reaches one service.

    Every failure is an ErroServico; whatever the transport could not tell is INDISPONIVEL, that
    is: unknown. Each thread has a session, and with it a connection, of its own.
    """

    def __init__(self, servico: str, address: str, credencial: str | None) -> None:
        self._base = f"http://{address}"
        self._credencial = credencial
        self._mine = threading.local()
        self._sessions: weakref.WeakSet[requests.Session] = weakref.WeakSet()
        self._calls = {each.nome: self._bind(each) for each in operacoes_de(servico)}

    def call(self, operacao: Operacao, ctx: Contexto, req: Any) -> Coroutine[Any, Any, Any]:
        """The port `Call`."""
        return self._calls[operacao.nome](ctx, req)

    async def close(self) -> None:
        """Close the connections that wait for a call."""
        for session in list(self._sessions):
            session.close()

    def _own(self) -> tuple[requests.Session, _Line]:
        """This thread's session and line."""
        own: tuple[requests.Session, _Line] | None = getattr(self._mine, "own", None)
        if own is None:
            session, line = own = self._mine.own = requests.Session(), _Line()
            # Nothing of the environment, and nothing that a server need not know.
            session.trust_env = False
            session.headers.clear()
            adapter = HTTPAdapter(pool_connections=1, pool_maxsize=1)
            adapter.poolmanager.pool_classes_by_scheme = {"http": partial(_Pool, line)}
            session.mount("http://", adapter)
            self._sessions.add(session)
        return own

    def _bind(self, operacao: Operacao) -> Method:
        codec, method = CODECS[operacao.nome], operacao.metodo_http
        vouching = beside(operacao, self._credencial)

        async def call(ctx: Contexto, req: Any) -> Mensagem:
            remaining = outgoing(ctx)
            body = codec.body(req)
            headers = dict(marks(ctx, remaining, operacao) + vouching)
            if body is not None:
                headers |= _JSON
            url = self._base + codec.path(req)
            with Call(ctx, operacao) as made:
                session, line = self._own()
                line.begin()
                try:
                    with interruptible(line.cut):
                        response = session.request(
                            method, url, data=body, headers=headers, timeout=remaining,
                            allow_redirects=False,
                        )  # fmt: skip
                except requests.Timeout:
                    raise prazo_esgotado("o prazo terminou durante a chamada") from None
                except requests.RequestException as error:
                    # The library's words name addresses: they stay in our log.
                    _LOG.info("%s: %s", operacao.servico, error)
                    if _never_connected(error):
                        raise conexao_recusada() from error
                    raise indisponivel(f"{operacao.servico} não respondeu") from error
                made.answered(response.headers.get(HEADER_RECORD, ""))
                if response.status_code >= 400:
                    again = response.headers.get("Retry-After")
                    raise erro_de(response.status_code, response.content, again)
            return codec.answer(response.content)

        return call


def _never_connected(error: requests.RequestException) -> bool:
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)


def dial(
    servico: str, address: str, *, connections: int = 1, credencial: str | None = None
) -> HttpClient:
    """A client of the service at `address` (host:port), connecting at its first call.

    There are as many connections as threads that call, whatever `connections` says.
    """
    del connections
    return HttpClient(servico, address, credencial)
