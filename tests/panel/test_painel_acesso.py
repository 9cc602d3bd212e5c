"""The panel without a browser: who may do what, what is refused, and what each arm's page is sent."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from common import ROOT
from tests.support.panel_support import CHAIN, SOON_PAID, shown

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_uma_porta_ocupada_e_uma_frase(tmp_path: Path, address: str) -> None:
    port = re.search(r":(\d+)/", address)
    assert port is not None
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "panel", f"--port={port[1]}", f"--data-dir={tmp_path}"],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert ended.returncode == 3
    assert ended.stderr.count("\n") == 1
    assert "--panel-port" in ended.stderr


# --- who may do what ----------------------------------------------------------------------------


@asynccontextmanager
async def asking(address: str, *, token: bool = True) -> AsyncIterator[tuple[Any, str]]:
    """A client without a browser, with the session's cookie or without; and where the panel is."""
    base, _, query = address.partition("/?")
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        if token:
            async with http.get(f"{base}/?{query}") as let_in:
                assert let_in.status == 200
        yield http, base


ACTIONS: Final = ("/carga", "/carga/fim", "/falhas", "/desfazer", "/pedidos", "/auditoria")


@pytest.mark.parametrize("path", ACTIONS)
async def test_agir_precisa_da_chave_e_da_origem(address: str, path: str) -> None:
    async with asking(address, token=False) as (http, base):
        async with http.post(base + path, json={}, headers={"Origin": base}) as answer:
            assert answer.status == 401
        async with http.get(f"{base}/?token=adivinhada") as answer:
            assert answer.status == 401
    async with asking(address) as (http, base):
        for headers in ({}, {"Origin": "http://mal.example"}, {"Origin": "null"}):
            async with http.post(base + path, json={}, headers=headers) as answer:
                assert answer.status == 403
        # A site whose name leads here is not ours.
        other = {"Host": "mal.example", "Origin": "http://mal.example"}
        async with http.post(base + path, json={}, headers=other) as answer:
            assert answer.status == 421
        if path != "/pedidos":
            async with http.get(base + path) as answer:
                assert answer.status in {404, 405}


async def test_olhar_nao_precisa_da_chave_e_nada_vem_de_fora(address: str) -> None:
    async with asking(address, token=False) as (http, base):
        async with http.get(f"{base}/") as answer:
            assert answer.status == 200
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            text = await answer.text()
        assert "<script>" not in text
        assert "onclick" not in text
        assert "style=" not in text
        assert "https://" not in text
        async with http.get(f"{base}/ao-vivo") as answer:
            assert answer.headers["Content-Security-Policy"] == policy
            head = await answer.content.readuntil(b"\n\n")
        assert b"event: permissao\ndata: false" in head
        async with http.get(f"{base}/../common/settings.py") as answer:
            assert answer.status == 404


@pytest.mark.parametrize("chave", [b"\xff", "é".encode(), b"\xed\xb3\xbf"])
async def test_uma_chave_que_nao_e_texto_nao_abre(address: str, chave: bytes) -> None:
    """Bytes that stand for no text are a wrong token like any other, in a cookie and an address."""
    onde = address.removeprefix("http://").partition("/")[0]

    def pedir(metodo: str, alvo: str) -> int:
        with closing(http.client.HTTPConnection(onde, timeout=20)) as painel:
            painel.putrequest(metodo, alvo)
            painel.putheader("Origin", f"http://{onde}")
            painel.putheader("Cookie", b"painel-%b=%b" % (onde.partition(":")[2].encode(), chave))
            painel.endheaders()
            return painel.getresponse().status

    assert await asyncio.to_thread(pedir, "POST", "/desfazer") == 401
    escapada = "".join(f"%{byte:02x}" for byte in chave)
    assert await asyncio.to_thread(pedir, "GET", f"/?token={escapada}") == 401


async def test_duas_cargas_ao_mesmo_tempo_sao_uma(address: str) -> None:
    """The second is refused although the first has not begun yet."""
    async with asking(address) as (http, base):

        async def start() -> int:
            own = {"Origin": base}
            async with http.post(f"{base}/carga", json={"callers": 2}, headers=own) as answer:
                return answer.status

        statuses = await asyncio.gather(*(start() for _ in range(3)))
        assert sorted(statuses) == [200, 409, 409]
        async with http.post(f"{base}/carga/fim", json={}, headers={"Origin": base}) as answer:
            assert answer.status == 200


async def test_uma_cesta_pedida_duas_vezes_e_um_pedido(address: str) -> None:
    """A page that asks again, not having heard the answer, buys once."""
    basket = {
        "cliente_id": 1, "itens": [[1, 1]], "metodo_pagamento": "pix", "chave": "outra-cesta"
    }  # fmt: skip
    async with asking(address) as (http, base):

        async def buy() -> int:
            own = {"Origin": base}
            async with http.post(f"{base}/pedidos", json=basket, headers=own) as answer:
                said = await answer.json()
                assert answer.status == 200, said
                number: int = said["pedido"]["pedido_id"]
                return number

        assert len({await buy(), *await asyncio.gather(buy(), buy())}) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/carga", {"callers": 0}),
        ("/carga", {"callers": 10**6}),
        ("/carga", {"callers": 1, "rate": 1}),
        ("/carga", {"muitos": 1}),
        ("/carga/fim", {}),
        ("/falhas", {"kind": "kill", "service": "nada"}),
        ("/falhas", {"kind": "slow", "service": "fiscal", "amount": 1e9}),
        ("/falhas", {"kind": "errors", "service": "fiscal", "amount": 7}),
        ("/desfazer", {"id": 12345}),
        (
            "/pedidos",
            {"cliente_id": 1, "itens": [[1, 1]], "metodo_pagamento": "pix", "chave": "\n"},
        ),
        (
            "/pedidos",
            {"cliente_id": 1, "itens": [], "metodo_pagamento": "pix", "chave": "uma-cesta"},
        ),
        (
            "/pedidos",
            {
                "cliente_id": 10**9,
                "itens": [[1, 1]],
                "metodo_pagamento": "pix",
                "chave": "uma-cesta",
            },
        ),
        (
            "/pedidos",
            {"cliente_id": 1, "itens": [[1, 1]], "metodo_pagamento": "fiado", "chave": "uma-cesta"},
        ),
    ],
)
async def test_o_que_nao_pode_ser_e_uma_frase(address: str, path: str, body: Any) -> None:
    async with (
        asking(address) as (http, base),
        http.post(base + path, json=body, headers={"Origin": base}) as answer,
    ):
        assert answer.status == 409
        said = (await answer.json())["erro"]
    assert said
    assert "Traceback" not in said


# --- every arm ----------------------------------------------------------------------------------


@pytest.mark.parametrize("arm", ["grpc", "grpc-threads", "http-threads"])
async def test_cada_braco_tem_loja_cascata_e_numeros(
    arm: str, bad_shop: Path, tmp_path: Path
) -> None:
    """Without a browser: what the page is sent of a purchase and of the services, in each arm."""
    with shown(bad_shop, tmp_path / "dados", arm, *SOON_PAID) as where:
        async with asking(where) as (http, base):
            async with http.get(f"{base}/loja") as answer:
                shelf = await answer.json()
            assert {product["id"] for product in shelf["produtos"]} >= {1}
            basket = {
                "cliente_id": 1,
                "itens": [[1, 2]],
                "metodo_pagamento": "boleto",
                "chave": "uma-cesta",
            }
            async with http.post(
                f"{base}/pedidos", json=basket, headers={"Origin": base}
            ) as answer:
                bought = (await answer.json())["pedido"]
            assert bought["status"] == "enviado"
            async with http.get(f"{base}/pedidos/{bought['pedido_id']}") as answer:
                story = await answer.json()
            servers = [bar["service"] for bar in story["bars"] if bar["kind"] == "server"]
            assert servers == list(CHAIN)
            assert len(story["trace_id"]) == 32
            async with http.get(f"{base}/ao-vivo") as answer:
                seen: dict[str, Any] = {}
                while not all(
                    seen.get(service, {}).get("memory", 0) > 1 and seen[service]["health"] == "up"
                    for service in CHAIN
                ):
                    line = await answer.content.readline()
                    if line.startswith(b"data: {"):
                        seen = json.loads(line[6:])["now"]["services"]
