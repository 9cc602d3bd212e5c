"""Who may call: no page of another site, in a browser or under a name of its own."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
import requests
from aiohttp import web

from common import ROOT
from common.arms import ARMS as PROTOCOLS
from common.callers import Hosts
from common.erros import Categoria
from loadgen.workload.outcomes import SEM_EFEITO
from tests.support.browser import browsing, chromium
from tests.support.cluster import open_cluster
from tests.support.estranhos import JSON, PEDIDO, Grpc, Rest, SemEfeito
from tests.support.lancamento import PRAZO_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


REST: Final = [mode for mode, arm in PROTOCOLS.items() if arm.protocol == "http"]
FOREIGN: Final = "http://mal.example"
BODY: Final = json.dumps(PEDIDO).encode()
# Orders that do not exist yet.
TO_COME: Final = 9_000_000


# --- the rule ------------------------------------------------------------------------------------


class Asked(NamedTuple):
    """What a request says of where it comes from, and how it must be taken."""

    host: str | None
    refused: Categoria | None
    origin: str | None = None
    site: str | None = None


PROIBIDO, HOST = Categoria.PROIBIDO, Categoria.HOST
ON_LOOPBACK: Final = [
    Asked("127.0.0.1:8000", None),
    Asked("localhost:8000", None),
    Asked("LocalHost:8000", None),
    Asked("[::1]:8000", None),
    # Only a program of the old HTTP leaves it out.
    Asked(None, None),
    Asked(None, PROIBIDO, origin=FOREIGN),
    Asked("mal.example:8000", HOST),
    Asked("mal.example", HOST),
    Asked("localhost", HOST),
    Asked("localhost:8001", HOST),
    Asked("localhost.:8000", HOST),
    Asked("localhost.mal.example:8000", HOST),
    Asked("127.0.0.1.mal.example:8000", HOST),
    Asked("0.0.0.0:8000", HOST),
    Asked("192.168.1.5:8000", HOST),
    Asked("127.0.0.1:8000, mal.example", HOST),
    Asked("a@127.0.0.1:8000", HOST),
    Asked("127.0.0.1:80000000", HOST),
    Asked("", HOST),
    Asked("localhost:8000", None, origin="http://localhost:8000"),
    Asked("localhost:8000", None, origin="http://127.0.0.1:8000"),
    Asked("localhost:8000", PROIBIDO, origin="http://localhost:8001"),
    Asked("localhost:8000", PROIBIDO, origin="http://localhost"),
    Asked("localhost:8000", PROIBIDO, origin="http://localhost:8000.mal.example"),
    Asked("localhost:8000", PROIBIDO, origin="ftp://localhost:8000"),
    Asked("localhost:8000", PROIBIDO, origin="null"),
    Asked("localhost:8000", PROIBIDO, origin=""),
    Asked("localhost:8000", PROIBIDO, origin=FOREIGN),
    Asked("mal.example:8000", HOST, origin="http://mal.example:8000", site="same-origin"),
    Asked("localhost:8000", None, site="same-origin"),
    Asked("localhost:8000", None, site="none"),
    Asked("localhost:8000", PROIBIDO, site="same-site"),
    Asked("localhost:8000", PROIBIDO, site="cross-site"),
    Asked("localhost:8000", PROIBIDO, site="whatever"),
    Asked("localhost:8000", PROIBIDO, site=""),
    Asked("localhost:8000", PROIBIDO, origin="http://localhost:8000", site="cross-site"),
]  # fmt: skip


def refused(hosts: Hosts, asked: Asked) -> Categoria | None:
    """How a request is refused, if it is."""
    erro = hosts.refusal(asked.host, asked.origin, asked.site)
    return None if erro is None else erro.categoria


@pytest.mark.parametrize("asked", ON_LOOPBACK, ids=str)
def test_a_server_on_loopback_is_asked_by_its_own_names_and_pages(asked: Asked) -> None:
    """Own names at the own port, pages of the own origin; every other is refused."""
    assert refused(Hosts("127.0.0.1", 8000), asked) is asked.refused


@pytest.mark.parametrize(
    "asked",
    [
        Asked("loja.example", None),
        Asked("LOJA.example:8000", None),
        Asked("loja.example:9", None),
        Asked("proxy.example:9000", None),
        Asked("proxy.example:8000", HOST),
        Asked("proxy.example", HOST),
        Asked("outro.loja.example", HOST),
        # A proxy that speaks TLS to its clients, and names itself or the service.
        Asked("loja.example", None, origin="https://loja.example", site="same-origin"),
        Asked("127.0.0.1:8000", None, origin="https://loja.example", site="same-origin"),
        Asked("127.0.0.1:8000", None, origin="http://proxy.example:9000"),
        Asked("127.0.0.1:8000", PROIBIDO, origin="http://proxy.example"),
    ],
    ids=str,
)
def test_allowed_names_are_taken_at_their_port_or_at_any(asked: Asked) -> None:
    """A name allowed with a port is taken at that one alone, without one at any."""
    hosts = Hosts("127.0.0.1", 8000, ["Loja.example", "proxy.example:9000"])
    assert refused(hosts, asked) is asked.refused


@pytest.mark.parametrize(
    "asked",
    [
        Asked("192.168.1.5:8000", None),
        Asked("[fe80::1]:8000", None),
        Asked("localhost:8000", None),
        Asked("192.168.1.5:8000", None, origin="http://192.168.1.5:8000"),
        # Another machine's page, by its address and at the same port.
        Asked("192.168.1.5:8000", PROIBIDO, origin="http://203.0.113.9:8000"),
        Asked("192.168.1.5:9000", HOST),
        Asked("192.168.1.5", HOST),
        Asked("maquina:8000", HOST),
        Asked("mal.example:8000", HOST),
        Asked("1.2.3:8000", HOST),
    ],
    ids=str,
)
@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_server_that_listens_everywhere_answers_to_addresses(host: str, asked: Asked) -> None:
    """No site can lead an address to this machine; a name it can, so names are allowed one by one."""
    assert refused(Hosts(host, 8000), asked) is asked.refused


def test_the_name_listened_on_is_an_own_one_and_80_goes_without_saying() -> None:
    """--host adds its name; at port 80 a `Host` names no port."""
    hosts = Hosts("Maquina", 80)
    for host in ("maquina", "maquina:80", "MAQUINA", "localhost"):
        assert refused(hosts, Asked(host, None, origin=f"http://{host}")) is None
    assert refused(hosts, Asked("maquina:8000", HOST)) is HOST
    assert refused(Hosts("::1", 8000), Asked("[::1]:8000", None)) is None


def test_a_refused_call_certainly_had_no_effect() -> None:
    """What is refused at the door counts as refused, not as an unknown outcome."""
    assert {PROIBIDO, HOST} <= SEM_EFEITO


# --- REST ----------------------------------------------------------------------------------------


def test_a_foreign_name_is_misdirected_whatever_it_asks_for(rest: Rest) -> None:
    """A site whose name leads here reads neither orders nor customers, and does nothing."""
    foreign = {"Host": "mal.example:8000"}
    for metodo, alvo in (
        ("GET", "/clientes"),
        ("GET", "/pedidos/1"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/openapi.json"),
        ("GET", "/metrics"),
        ("GET", "/nada"),
        ("OPTIONS", "/pedidos"),
        ("POST", "/pedidos/1/cancelamento"),
    ):
        with SemEfeito(rest):
            assert rest.cru("pedidos", metodo, alvo, None, foreign).codigo == 421
    with SemEfeito(rest):
        assert rest.cru("pedidos", "POST", "/pedidos", BODY, JSON | foreign).codigo == 421


def test_own_names_are_answered(rest: Rest) -> None:
    """Loopback's names, in any case, and HTTP/1.0 that names none."""
    port = rest.seis.enderecos["pedidos"].rpartition(":")[2]
    for name in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        own = {"Host": f"{name}:{port}"}
        assert rest.cru("pedidos", "GET", "/clientes", None, own).codigo == 200
        assert rest.cru("pedidos", "POST", "/pedidos", BODY, JSON | own).codigo == 201
    with rest.ligar() as connection:
        connection.sendall(b"GET /clientes HTTP/1.0\r\n\r\n")
        assert b" 200 " in connection.recv(65_536).partition(b"\r\n")[0]


def test_two_names_are_none_of_ours(rest: Rest) -> None:
    """A second `Host` does not pass behind a first one that is right."""
    own = rest.seis.enderecos["pedidos"].encode()
    with SemEfeito(rest), rest.ligar() as connection:
        connection.sendall(b"GET /clientes HTTP/1.1\r\nHost: %b\r\nHost: mal.example\r\n\r\n" % own)
        status = connection.recv(65_536).split()[1]
        assert status in {b"400", b"421"}


@pytest.mark.parametrize("site", ["cross-site", "same-site", "whatever"])
def test_a_browser_that_says_another_site_is_refused(rest: Rest, site: str) -> None:
    """Whatever the method: the page cannot change what the browser says of it."""
    with SemEfeito(rest):
        said = {"Sec-Fetch-Site": site}
        assert rest.cru("pedidos", "GET", "/clientes", None, said).codigo == 403
        assert rest.cru("pedidos", "POST", "/pedidos", BODY, JSON | said).codigo == 403


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_a_browser_that_says_own_or_typed_is_served(rest: Rest, site: str) -> None:
    """A page of the service's own, and a person who types its address."""
    said = {"Sec-Fetch-Site": site}
    assert rest.cru("pedidos", "GET", "/clientes", None, said).codigo == 200
    assert rest.cru("pedidos", "POST", "/pedidos", BODY, JSON | said).codigo == 201


def test_only_pages_of_the_own_origin_are_served(rest: Rest) -> None:
    """Another site, another port of this machine and an origin that is kept secret are foreign."""
    own = rest.seis.enderecos["pedidos"]
    for origin in (FOREIGN, "null", "http://127.0.0.1:1", f"http://{own}.mal.example", ""):
        with SemEfeito(rest):
            said = {"Origin": origin}
            assert rest.cru("pedidos", "GET", "/clientes", None, said).codigo == 403
            assert rest.cru("pedidos", "POST", "/pedidos", BODY, JSON | said).codigo == 403
    said = {"Origin": f"http://{own}"}
    assert rest.cru("pedidos", "POST", "/pedidos", BODY, JSON | said).codigo == 201


BROWSERS: Final = {
    "today's": {"Origin": FOREIGN, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    "an older one": {"Origin": FOREIGN},
    "rebound": {"Host": "mal.example", "Origin": FOREIGN, "Sec-Fetch-Site": "same-origin"},
}


@pytest.mark.parametrize("browser", BROWSERS)
def test_a_page_of_another_site_plants_no_tombstones(rest: Rest, browser: str) -> None:
    """A POST without a body needs no permission of the browser: it is refused at every service."""
    for servico, alvo in (
        ("pedidos", "/pedidos/{}/cancelamento"),
        ("pagamentos", "/pagamentos/{}/cancelamento"),
        ("estoque", "/estoque/separacoes/{}/cancelamento"),
        ("fiscal", "/notas-fiscais/{}/cancelamento"),
        ("logistica", "/envios/{}/cancelamento"),
    ):
        with SemEfeito(rest):
            refused = rest.cru(servico, "POST", alvo.format(TO_COME), None, BROWSERS[browser])
            assert refused.codigo in {403, 421}


def test_it_is_refused_before_its_body_is_read(bracos: Any) -> None:
    """On an event loop nobody waits for the body of a foreign request; waitress reads it first."""
    rest = bracos("http")
    with SemEfeito(rest), rest.ligar() as connection:
        connection.sendall(
            b"POST /pedidos HTTP/1.1\r\nHost: mal.example\r\nContent-Length: 500\r\n\r\n{"
        )
        assert connection.recv(65_536).startswith(b"HTTP/1.1 421 ")


@pytest.mark.parametrize("mode", REST)
async def test_further_names_are_allowed(mode: str, shop: Path, tmp_path: Path) -> None:
    """--allow-host adds a name; its pages are as good as the service's own."""
    async with open_cluster(
        mode, tmp_path, shop, "logistica", allow_host=("loja.example",)
    ) as cluster:
        base = f"http://{cluster.addresses['logistica']}"

        def status(host: str, **more: str) -> int:
            return requests.get(
                f"{base}/healthz", headers={"Host": host, **more}, timeout=PRAZO_S
            ).status_code

        def asked() -> list[int]:
            return [
                status("loja.example"),
                status("loja.example", Origin="https://loja.example"),
                status("outra.example"),
            ]

        assert await asyncio.to_thread(asked) == [200, 200, 421]


# --- a real browser ------------------------------------------------------------------------------


@asynccontextmanager
async def foreign_page() -> AsyncIterator[str]:
    """A page on another port and under another name of this machine; yields its address."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>mal</title>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://localhost:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


# Sends without asking first what a page may send so, and waits until each was answered.
ATTACK: Final = """async (targets) => {
  for (const [url, body] of targets)
    await fetch(url, {method: "POST", mode: "no-cors", body}).catch(() => null);
}"""


@pytest.mark.skipif(
    chromium() is None, reason="no browser: install chromium, or name one with CHROMIUM"
)
@pytest.mark.parametrize("mode", ["http", "http-threads", "grpc"])
async def test_a_page_in_a_browser_has_no_effect(mode: str, shop: Path, tmp_path: Path) -> None:
    """A page of another site posts to every service: no tombstone, no parcel, and orders go on."""
    async with (
        open_cluster(mode, tmp_path, shop) as cluster,
        foreign_page() as address,
        browsing() as browser,
    ):
        order = cluster.last() + 1
        paths = {
            "pedidos": f"/pedidos/{order}/cancelamento",
            "pagamentos": f"/pagamentos/{order}/cancelamento",
            "logistica": f"/envios/{order}/cancelamento",
        }
        if mode == "grpc":
            paths = {"logistica": "/ecommerce.v1.Logistica/CancelarEnvio"}
        targets = [
            (f"http://{cluster.addresses[servico]}{path}", body)
            for servico, path in paths.items()
            for body in (None, "\n")
        ]
        page = await browser.new_page()
        await page.goto(address)
        await page.evaluate(ATTACK, targets)
        assert cluster.situation(order).passos == {}
        reply = await cluster.create()
        assert (reply.body["pedido_id"], reply.body["status"]) == (order, "enviado")
        cluster.check_shipped(order)


# --- gRPC ----------------------------------------------------------------------------------------

# What opens a connection of HTTP/2, and its empty settings.
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


@pytest.mark.parametrize(
    "more",
    [b"", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"],
    ids=["plain", "upgrade"],
)
def test_what_a_browser_can_send_is_nothing_to_a_grpc_port(grpc_: Grpc, more: bytes) -> None:
    """HTTP/1.1 is not understood there, whatever its body looks like: the connection is closed."""
    onde, _, porta = grpc_.seis.enderecos["logistica"].rpartition(":")
    with SemEfeito(grpc_), socket.create_connection((onde, int(porta)), timeout=PRAZO_S) as bare:
        bare.sendall(
            b"POST /ecommerce.v1.Logistica/CancelarEnvio HTTP/1.1\r\n"
            b"Host: %b:%b\r\nOrigin: null\r\nContent-Type: application/grpc\r\n%b"
            b"Content-Length: %d\r\n\r\n%b"
            % (onde.encode(), porta.encode(), more, len(PREFACE), PREFACE)
        )
        answer = b""
        try:
            while read := bare.recv(65_536):
                answer += read
        except ConnectionResetError:
            pass
        assert b" 200 " not in answer.partition(b"\r\n")[0]


# --- metrics on a port of their own ----------------------------------------------------------------


async def test_metrics_on_a_port_of_their_own_are_asked_in_the_same_way(
    shop: Path, tmp_path: Path
) -> None:
    """There, too, another site reads nothing, and allowed names do."""
    allowed = {"allow_host": ("loja.example",), "metrics_port": 0}
    async with open_cluster("grpc", tmp_path, shop, "logistica", **allowed) as cluster:
        address = cluster.apps["logistica"].telemetry.address

        def status(**headers: str) -> int:
            connection = http.client.HTTPConnection(address, timeout=PRAZO_S)
            try:
                named = {name.replace("_", "-"): value for name, value in headers.items()}
                connection.request("GET", "/metrics", headers=named)
                return connection.getresponse().status
            finally:
                connection.close()

        def asked() -> list[int]:
            return [
                status(),
                status(Host="loja.example"),
                status(Host="mal.example"),
                status(Origin=FOREIGN),
                status(Sec_Fetch_Site="cross-site"),
            ]

        assert await asyncio.to_thread(asked) == [200, 200, 421, 403, 403]


# --- the option --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["http://loja.example", "loja example", "a:b", "a:1:2", "", "[x]"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    """--allow-host takes a name or an address, with or without a port."""
    line = subprocess.run(
        [sys.executable, "run_all.py", "--mode=http", f"--allow-host={name}"],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert line.returncode == 2
    assert "expected NAME or NAME:PORT" in line.stderr
    assert "Traceback" not in line.stderr
