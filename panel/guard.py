"""Who may look and who may act: loopback names, one token, one origin, and no foreign content."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import hdrs, web

from common.callers import Hosts, same

# Where it listens: looking needs no key, so nobody else's machine may look.
HOST: Final = "127.0.0.1"
# Cookies know no ports: two panels on one machine must not take each other's.
COOKIE: Final = "painel-{port}"
# Nothing but what this server itself serves; nobody may frame it, and no form leaves it.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# What the library would say in English.
PROBLEMS: Final = {
    404: "não há nada neste endereço",
    405: "este endereço não se usa assim",
    413: "o que a página enviou é grande demais",
}
EARLIER: Final = (
    "Este endereço é de uma sessão anterior: abra o que run_all.py mostrou ao começar.\n"
    "This address belongs to an earlier session: open the one that run_all.py printed at its start.\n"
)
SAFE: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    """The middleware in front of everything; `token` is the session's, `port` the panel's."""

    def __init__(self, port: int, token: str) -> None:
        self._token = token
        self._cookie = COOKIE.format(port=port)
        self._hosts = Hosts(HOST, port)

    def allowed(self, request: web.Request) -> bool:
        """Whether the request brings the session's token."""
        return same(request.cookies.get(self._cookie, ""), self._token)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what may not be; put the headers on everything else."""
        refusal = self._refusal(request)
        if refusal is not None:
            status, words = refusal
            return web.json_response({"erro": words}, status=status, headers=HEADERS)
        token = request.query.get("token")
        if token is not None and request.path == "/":
            return self._let_in(token)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            words = PROBLEMS.get(error.status, error.reason)
            response = web.json_response({"erro": words}, status=error.status)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    def _refusal(self, request: web.Request) -> tuple[int, str] | None:
        if not self._hosts.own(request.host):
            return 421, "este painel só atende em 127.0.0.1"
        if request.method in SAFE:
            return None
        origin = request.headers.get(hdrs.ORIGIN)
        if origin != f"http://{request.host}":
            return 403, "a ação não veio desta página"
        if not self.allowed(request):
            return 401, "abra o painel pelo endereço que run_all.py mostrou ao começar"
        return None

    def _let_in(self, token: str) -> web.Response:
        """Put the token in a cookie, and out of the address."""
        if not same(token, self._token):
            return web.Response(text=EARLIER, status=401, headers=HEADERS)
        response = web.Response(status=303, headers={**HEADERS, hdrs.LOCATION: "/"})
        response.set_cookie(self._cookie, self._token, httponly=True, samesite="Strict", path="/")
        return response
