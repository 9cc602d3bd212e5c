"""Who may call a service: no page of another site, and for a step of the chain the hop before.

A browser says where a request comes from, and a page cannot change what it says: the name under
which it asks (`Host`), the origin of the page (`Origin`), and how that origin stands to the service
(`Sec-Fetch-Site`, https://www.w3.org/TR/fetch-metadata/). A program may send what it likes. What
keeps programs from the steps of the chain is a secret that the services share.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from hashlib import sha256
from ipaddress import ip_address
from typing import Final, NamedTuple

from common.contratos import Operacao
from common.erros import ErroServico, host_alheio, proibido

# Lower case, as browsers send it: from a page of the service's own, or from the person before it.
_OWN_SITE: Final = frozenset({"same-origin", "none"})
_DEFAULT_PORT: Final = {"http": 80, "https": 443}
_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
# Addresses by which a server listens on every interface that the machine has.
_EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not listened on
_AUTHORITY: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/?#@,\[\]]+)(?::([0-9]{1,5}))?")

# What travels beside a call that only the hop before may make.
HEADER_CHAIN: Final = "x-chain-token"
# The variable by which services are given their secret: a command line is seen by every user.
CHAIN_GIVEN: Final = "CHECKOUT_CHAIN_TOKEN"
# Whose operations are the clients'; those of the services behind it are the chain's.
_EDGE: Final = "pedidos"


class Authority(NamedTuple):
    """A name, or an address, in lower case, and a port where one was named."""

    name: str
    port: int | None


def authority(text: str) -> Authority | None:
    """Read `name`, `name:port`, `address:port` or `[address]:port`; None for anything else."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return None
    return Authority(found[1].lower(), None if found[2] is None else int(found[2]))


class Hosts:
    """The names under which a server is asked: loopback's, the one it listens on, those allowed.

    A site can have its own name lead to this machine, and its pages would then read what they like.
    It cannot do so with an address: a server that listens everywhere answers to all of those.
    """

    def __init__(self, host: str, port: int, allowed: Iterable[str] = ()) -> None:
        """`allowed` are further names, each at one port, or at any where it names none."""
        self._port = port
        self._everywhere = host in _EVERYWHERE
        own = {*_LOOPBACK, f"[{host}]" if ":" in host else host.lower()}
        further = [read for read in map(authority, allowed) if read is not None]
        self._exact = {Authority(name, port) for name in own}
        self._exact |= {each for each in further if each.port is not None}
        self._anywhere = {each.name for each in further if each.port is None}
        # As nearly every request says it: found without being read.
        self._spelled = {f"{name}:{port}" for name in own}

    def refusal(self, host: str | None, origin: str | None, site: str | None) -> ErroServico | None:
        """Why a request with these headers is refused, before anything else; None when it is not.

        Without `Host` it is no browser's.
        """
        if host is not None and not self.own(host):
            return host_alheio()
        if site is not None and site not in _OWN_SITE:
            return proibido("a requisição vem de uma página de outro lugar (Sec-Fetch-Site)")
        if origin is not None and not self._same(origin, host):
            return proibido("a requisição vem de uma página de outro lugar (Origin)")
        return None

    def own(self, host: str) -> bool:
        """Whether a `Host` is this server's."""
        if host in self._spelled:
            return True
        read = authority(host)
        if read is None:
            return False
        name, port = read.name, read.port or _DEFAULT_PORT["http"]
        return self._known(name, port) or (
            self._everywhere and port == self._port and _is_address(name)
        )

    def _same(self, origin: str, host: str | None) -> bool:
        """Whether a page of that origin is this server's own, or of an allowed host."""
        scheme, _, where = origin.lower().partition("://")
        if scheme not in _DEFAULT_PORT:
            return False
        read = authority(where)
        if read is None:
            return False
        if host is not None and where == host.lower():
            return True
        return self._known(read.name, read.port or _DEFAULT_PORT[scheme])

    def _known(self, name: str, port: int) -> bool:
        return (name, port) in self._exact or name in self._anywhere


def _is_address(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def same(given: str, wanted: str) -> bool:
    """Whether a secret is the one that is wanted; how long that takes tells nothing of it."""
    # What no text is made of may come in a header, or a cookie, too.
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode())


def chain_only(operacao: Operacao) -> bool:
    """Whether an operation is the chain's own: a step behind Pedidos, or its undoing."""
    return operacao.servico != _EDGE and operacao.classe in {"passo", "cancelamento"}


def credential(secret: str | None, servico: str) -> str | None:
    """What a call to the chain's operations of a service brings; None where there is no secret.

    Each hop has its own, which does not lead back to the secret: whoever sees a call to one hop can
    make no call to another.
    """
    if secret is None:
        return None
    return hmac.new(secret.encode(), servico.encode(), sha256).hexdigest()


def beside(operacao: Operacao, credencial: str | None) -> list[tuple[str, str]]:
    """What a client sends beside every call of an operation, by name, to be let in."""
    if credencial is None or not chain_only(operacao):
        return []
    return [(HEADER_CHAIN, credencial)]


def secret_problem(secret: str) -> str | None:
    """Why that cannot be the services' secret, in one sentence; None when it can."""
    if secret and secret.isascii() and secret.isprintable():
        return None
    return f"{CHAIN_GIVEN} must be printable ASCII and not empty: unset it, or set another"
