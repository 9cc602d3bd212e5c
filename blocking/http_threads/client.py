"""A client of one service whose calls hold their thread: one method an operation."""

from __future__ import annotations

import logging
import socket
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, Protocol

import requests
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import MaxRetryError, NewConnectionError

from blocking.execution import interruptible
from common.contratos import Mensagem, Operacao, operacoes_de
from common.erros import conexao_recusada, indisponivel, prazo_esgotado
from common.pipeline import CABECALHO_TEMPOS, marks, outgoing
from common.servicos.contexto import Contexto
from http_aio.answers import JSON, erro_de
from http_aio.wire import CODECS

_LOG = logging.getLogger(__name__)

_JSON: Final = {"Content-Type": JSON}


class _Pool(HTTPConnectionPool):
    """The connection of one thread, which another may interrupt."""

    _in_use: Any = None

    def _get_conn(self, timeout: float | None = None) -> Any:
        self._in_use = super()._get_conn(timeout)
        return self._in_use

    def interrupt(self) -> None:
        """Hang up the call under way: it fails at once."""
        sock = getattr(self._in_use, "sock", None)
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class Method(Protocol):
    """One operation."""

    def __call__(self, ctx: Contexto, req: Any) -> Coroutine[Any, Any, Mensagem]:
        """Ask for it and wait for the answer."""


class HttpClient:
    """Reaches one service; its methods are the operations of that service.

    Every failure is an ErroServico; whatever the transport could not tell is INDISPONIVEL, that
    is: unknown. Each thread has a session, and with it a connection, of its own.
    """

    def __init__(self, servico: str, address: str) -> None:
        self._base = f"http://{address}"
        self._mine = threading.local()
        self._sessions: weakref.WeakSet[requests.Session] = weakref.WeakSet()
        for operacao in operacoes_de(servico):
            setattr(self, operacao.nome, self._bind(operacao))

    async def close(self) -> None:
        """Close the connections that wait for a call."""
        for session in list(self._sessions):
            session.close()

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._mine, "session", None)
        if session is None:
            session = self._mine.session = requests.Session()
            # Nothing of the environment, and nothing that a server need not know.
            session.trust_env = False
            session.headers.clear()
            adapter = HTTPAdapter(pool_connections=1, pool_maxsize=1)
            adapter.poolmanager.pool_classes_by_scheme = {"http": _Pool}
            session.mount("http://", adapter)
            self._mine.pool = adapter.poolmanager.connection_from_url(self._base)
            self._sessions.add(session)
        return session

    def _interrupt(self) -> Callable[[], None]:
        """What makes the call fail that this thread is about to make."""
        self._session()
        pool: _Pool = self._mine.pool
        return pool.interrupt

    def _bind(self, operacao: Operacao) -> Method:
        codec, method = CODECS[operacao.nome], operacao.metodo_http

        async def call(ctx: Contexto, req: Any) -> Mensagem:
            remaining, until = outgoing(ctx)
            body = codec.body(req)
            headers = dict(marks(ctx, until))
            if body is not None:
                headers |= _JSON
            url = self._base + codec.path(req)
            start, antes = time.monotonic(), ctx.entrar("proximo")
            try:
                with interruptible(self._interrupt()):
                    response = self._session().request(                        method, url, data=body, headers=headers, timeout=remaining,
                        allow_redirects=False,
                    )  # fmt: skip
            except requests.Timeout:
                raise prazo_esgotado("o prazo terminou durante a chamada") from None
            except requests.RequestException as error:
                # What the library says names addresses: it stays in our log.
                _LOG.info("%s: %s", operacao.servico, error)
                if _never_connected(error):
                    raise conexao_recusada() from error
                raise indisponivel(f"{operacao.servico} não respondeu") from error
            finally:
                ctx.proximo += time.monotonic() - start
                ctx.sair(antes)
            ctx.abaixo = response.headers.get(CABECALHO_TEMPOS, "")
            if response.status_code >= 400:
                raise erro_de(
                    response.status_code, response.content, response.headers.get("Retry-After")
                )
            return codec.answer(response.content)

        return call


def _never_connected(error: requests.RequestException) -> bool:
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)


def dial(servico: str, address: str, *, connections: int = 1) -> HttpClient:
    """A client of the service at `address` (host:port), connecting at its first call.

    There are as many connections as threads that call, whatever `connections` says.
    """
    del connections
    return HttpClient(servico, address)
