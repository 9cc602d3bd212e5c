"""The panel in a real browser: people look, buy, load, break and mend an arm in it."""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from common.runfile import read_run
from tests.browser import WAIT_MS, browsing, chromium, page_of
from tests.lancamento import RAIZ, comando, ler_ate, processo

CHAIN: Final = ("pedidos", "pagamentos", "estoque", "fiscal", "logistica")
# What a product is called whose maker means harm: as text it is harmless.
MARKUP: Final = '<img src=x onerror="document.title=1">'
PHONE: Final = {"width": 360, "height": 740}

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        chromium() is None, reason="no browser: install chromium, or name one with CHROMIUM"
    ),
]

expect.set_options(timeout=WAIT_MS)


@contextmanager
def shown(shop: Path, data_dir: Path, arm: str = "http", *more: str) -> Iterator[str]:
    """An arm with its panel, as a user starts it; yields the address that it prints."""
    command = comando(
        arm,
        data_dir,
        "--panel",
        "--panel-port=0",
        "--payment-latency=0.05",
        "--payment-approval=1",
        *more,
    )
    with processo(sys.executable, "run_all.py", *map(str, command), f"--shop={shop}") as running:
        told = ler_ate(running, "panel: http")
        found = re.search(r"panel: (http\S+)", told)
        assert found is not None
        if "ready" not in told:
            ler_ate(running, "ready")
        yield found[1]
        running.terminate()
        running.wait(15)


@pytest.fixture(scope="module")
def bad_shop(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop, with a product and a customer whose names are markup."""
    path = tmp_path_factory.mktemp("panel") / "loja.db"
    shutil.copy(shop, path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE produtos SET nome = ? WHERE id = 1", (MARKUP,))
        database.execute("UPDATE clientes SET nome = ? WHERE id = 1", (MARKUP,))
    return path


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("panel") / "dados"


@pytest.fixture(scope="module")
def address(bad_shop: Path, data_dir: Path) -> Iterator[str]:
    """The panel that the tests of this module share."""
    with shown(bad_shop, data_dir) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with browsing() as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, address: str) -> AsyncIterator[Page]:
    """A page that shows all services up; what a test did to the arm is undone after it."""
    async with page_of(browser, address, viewport={"width": 1280, "height": 900}) as found:
        await all_up(found)
        yield found
        if await found.locator("#desfazer-tudo").is_enabled():
            await found.locator("#desfazer-tudo").click()
        await all_up(found)


async def all_up(page: Page) -> None:
    for service in (*CHAIN, "catalogo"):
        await expect(page.locator(f"#no-{service}")).to_have_class(re.compile("up|morno"))


async def strike(page: Page, service: str, kind: str) -> None:
    await page.locator("#falha select").select_option(service)
    await page.locator(f"[data-falha={kind}]").click()


async def buy(page: Page, product: str) -> str:
    """Put a product in the basket and buy it; what the page says of the order."""
    line = page.locator("#produtos li").filter(has_text=product).first
    await line.get_by_role("button").click()
    await page.locator("#finalizar").click()
    said = page.locator("#comprado")
    await expect(said).to_contain_text("enviado")
    return await said.inner_text()


# --- buying -------------------------------------------------------------------------------------


async def test_compra_e_ve_a_cascata(page: Page) -> None:
    said = await buy(page, MARKUP)
    order = page.locator("#pedido")
    await expect(order.locator(".cascata")).to_be_visible()
    names = await order.locator(".cascata .nome").all_inner_texts()
    assert [name.strip() for name in names if name.strip() in CHAIN] == list(CHAIN)
    facts = await order.locator("dl").inner_text()
    assert re.search(r"\b\d{44}\b", facts), "the invoice's access key"
    assert re.search(r"\bBR\w+", facts), "the tracking code"
    # Every database tells what it holds of the order.
    held = await order.locator("details[open] li").all_inner_texts()
    assert {service for service in CHAIN if any(service in line for line in held)} == set(CHAIN)
    # The same order is found by its number.
    number = re.search(r"\d+", said)
    assert number is not None
    await page.locator("#busca input").fill(number[0])
    await page.locator("#busca button").click()
    await expect(order.locator("h3").first).to_have_text(f"Pedido {number[0]}")


async def test_marcacao_e_texto(page: Page) -> None:
    """A product's and a customer's name are shown as they are written, and nothing more."""
    await expect(page.locator("#produtos")).to_contain_text(MARKUP)
    await expect(page.locator("#compra select[name=cliente]")).to_contain_text(MARKUP)
    await buy(page, MARKUP)
    assert await page.locator("img").count() == 0
    assert await page.title() == "Laboratório de checkout"


async def test_um_pedido_que_nao_existe(page: Page) -> None:
    await page.locator("#busca input").fill("999999999")
    await page.locator("#busca button").click()
    await expect(page.locator("#pedido [role=alert]")).to_contain_text("pedido")


async def test_compra_com_o_teclado(page: Page) -> None:
    """Every control is reached and used without a pointer."""
    await page.locator("#procurar").focus()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    focused = page.locator("#produtos button:focus")
    await expect(focused).to_have_attribute("aria-label", re.compile("Pôr na cesta"))
    await page.keyboard.press("Enter")
    await expect(page.locator("#finalizar")).to_be_enabled()
    for _ in range(200):
        await page.keyboard.press("Tab")
        if await page.locator("#finalizar:focus").count():
            break
    await page.keyboard.press("Enter")
    await expect(page.locator("#comprado")).to_contain_text("enviado")


# --- faults -------------------------------------------------------------------------------------


async def test_um_servico_morto_fica_vermelho_e_volta(page: Page, data_dir: Path) -> None:
    before = read_run(data_dir).services["fiscal"].pid
    node = page.locator("#no-fiscal")
    await strike(page, "fiscal", "kill")
    await expect(node).to_have_class(re.compile("down|starting"), timeout=5_000)
    await expect(node).to_have_class(re.compile("up|morno"))
    assert read_run(data_dir).services["fiscal"].pid != before
    await expect(page.locator("#feito")).to_contain_text("fiscal")


async def test_um_servico_pausado_e_visto_em_um_segundo_e_volta_ao_desfazer(page: Page) -> None:
    node = page.locator("#no-estoque")
    await strike(page, "estoque", "pause")
    await expect(page.locator("#feito")).to_contain_text("estoque")
    # The machine runs other tests: a look is every quarter second.
    await expect(node).to_have_class("paused", timeout=3_000)
    await page.locator("#feito li").filter(has_text="estoque").first.get_by_role("button").click()
    await expect(node).to_have_class(re.compile("up|morno"))


async def test_um_servico_atrasado_aparece_na_cascata(page: Page) -> None:
    await page.locator("#falha input[name=atraso]").fill("0.7")
    await strike(page, "logistica", "slow")
    await expect(page.locator("#feito")).to_contain_text("logistica")
    said = await buy(page, MARKUP)
    number = re.search(r"\d+", said)
    assert number is not None
    await expect(page.locator("#pedido h3").first).to_have_text(f"Pedido {number[0]}")
    line = page.locator(".cascata .linha").filter(has_text="logistica").first
    told = await line.locator(".quanto").inner_text()
    assert float(told.split()[0].replace(".", "").replace(",", ".")) >= 700


async def test_erros_se_veem_no_servico(page: Page) -> None:
    """A service that fails half of its calls is shown hurt; orders still end, by asking again."""
    await strike(page, "fiscal", "errors")
    await expect(page.locator("#feito")).to_contain_text("50%")
    await buy(page, MARKUP)


# --- loads --------------------------------------------------------------------------------------


async def test_comeca_e_para_uma_carga(page: Page) -> None:
    await page.locator("#carga input[name=quantos]").fill("5")
    await page.locator("#carga button[type=submit]").click()
    await expect(page.locator("#carga-agora")).to_contain_text(re.compile("5 clientes.*p50"))
    # The rate is seen in the picture, the outcomes over time.
    await expect(page.locator("#no-pedidos .taxa")).not_to_have_text("0")
    await expect(page.locator("#g-vazao .u-legend")).to_contain_text("enviado")
    await page.locator("#parar").click()
    await expect(page.locator("#carga-agora")).to_have_text("")
    await expect(page.locator("#carga button[type=submit]")).to_be_enabled()


async def test_uma_carga_impossivel_e_recusada_com_uma_frase(page: Page) -> None:
    await page.locator("#carga select").select_option("rate")
    await page.locator("#carga input[name=quantos]").fill("3000")
    await page.locator("#carga button[type=submit]").click()
    await expect(page.locator("#problema")).to_contain_text("até 2000")


# --- the audit, the languages, the sizes --------------------------------------------------------


async def test_audita_com_um_toque(page: Page) -> None:
    await page.locator("#auditar").click()
    await expect(page.locator("#veredito")).to_have_text("Limpa: nenhuma violação.")
    assert await page.locator("#regras tbody tr").count() > 10


async def test_fala_duas_linguas(page: Page) -> None:
    await page.locator("#idioma").click()
    await expect(page.locator("#finalizar")).to_have_text("Buy")
    assert await page.evaluate("document.documentElement.lang") == "en"
    missing = await page.evaluate(
        "import('/palavras.js').then(({palavras: p}) =>"
        " [...document.querySelectorAll('[data-p]')].map(e => e.dataset.p)"
        ".concat(Object.keys(p.pt)).filter(k => !(k in p.pt && k in p.en)))"
    )
    assert missing == []


async def test_cabe_num_telefone(browser: Browser, address: str) -> None:
    """Nothing is wider than the screen, in both schemes of colour; what must be touched is large."""
    for scheme in ("light", "dark"):
        async with page_of(
            browser, address, viewport=PHONE, color_scheme=scheme, has_touch=True
        ) as small:
            await all_up(small)
            await expect(small.locator("#produtos li").first).to_be_visible()
            width = await small.evaluate("document.scrollingElement.scrollWidth")
            assert width <= PHONE["width"]
            low = await small.evaluate(
                "[...document.querySelectorAll('button')].filter(b => b.offsetParent"
                " && b.getBoundingClientRect().height < 32).map(b => b.textContent)"
            )
            assert low == []


async def test_e_leve(browser: Browser, address: str) -> None:
    """All that is loaded, as it comes over the wire, and nothing of it from elsewhere."""
    async with page_of(browser, address) as found:
        await all_up(found)
        loaded = await found.evaluate(
            "performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))"
            ".filter(e => e.initiatorType !== 'fetch').map(e => [e.name, e.transferSize])"
        )
    assert sum(size for _, size in loaded) <= 300_000
    assert all(name.startswith("http://127.0.0.1:") for name, _ in loaded)
    assert len(loaded) >= 6


# --- what may go wrong --------------------------------------------------------------------------


async def test_um_painel_sem_nada_em_execucao_diz_isso_e_se_recupera(
    browser: Browser, bad_shop: Path, tmp_path: Path
) -> None:
    """It says what is the matter, and shows the arm as soon as there is one."""
    empty = tmp_path / "dados"
    empty.mkdir()
    with processo(sys.executable, "-m", "panel", "--port=0", f"--data-dir={empty}") as alone:
        found = re.search(r"panel: (http\S+)", ler_ate(alone, "panel: http"))
        assert found is not None
        async with page_of(browser, found[1]) as lonely:
            await expect(lonely.locator("#estado")).to_contain_text("nada está em execução")
            await expect(lonely.locator("#no-pedidos")).to_have_class("down")
            await expect(lonely.locator("#comprado")).to_contain_text("nada está em execução")
            command = comando("http", empty, f"--shop={bad_shop}")
            with processo(sys.executable, "run_all.py", *map(str, command)) as running:
                await asyncio.to_thread(ler_ate, running, "ready")
                await all_up(lonely)
                await expect(lonely.locator("#produtos")).to_contain_text(MARKUP)
                running.terminate()
                running.wait(15)
            await expect(lonely.locator("#estado")).to_contain_text("nada está em execução")
        alone.terminate()
        alone.wait(15)


async def test_um_painel_que_morre_volta_e_a_pagina_com_ele(
    browser: Browser, bad_shop: Path, tmp_path: Path
) -> None:
    """The arm goes on, the panel is begun again at its address, the page finds it by itself."""
    import psutil

    data_dir = tmp_path / "dados"
    with shown(bad_shop, data_dir) as where:
        own = await browser.new_context()
        watched = await own.new_page()
        await watched.goto(where)
        await all_up(watched)
        pids = {name: each.pid for name, each in read_run(data_dir).services.items()}
        [panel] = [
            process
            for process in psutil.process_iter(["cmdline"])
            if process.info["cmdline"][1:3] == ["-m", "panel"]
            and f"--data-dir={data_dir}" in process.info["cmdline"]
        ]
        await strike(watched, "catalogo", "pause")
        await expect(watched.locator("#no-catalogo")).to_have_class("paused")
        panel.suspend()
        panel.kill()
        await expect(watched.locator("#estado")).to_contain_text("não responde")
        await expect(watched.locator("#estado")).to_contain_text("em execução")
        # What the panel that died had paused, the next one can still undo.
        await watched.locator("#feito li").filter(has_text="catalogo").get_by_role("button").click()
        await expect(watched.locator("#no-catalogo")).to_have_class(re.compile("up|morno"))
        await buy(watched, MARKUP)
        assert pids == {name: each.pid for name, each in read_run(data_dir).services.items()}
        await own.close()


async def test_uma_porta_ocupada_e_uma_frase(tmp_path: Path, address: str) -> None:
    port = re.search(r":(\d+)/", address)
    assert port is not None
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "panel", f"--port={port[1]}", f"--data-dir={tmp_path}"],
        cwd=RAIZ, capture_output=True, text=True, timeout=30, check=False,
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
    with shown(bad_shop, tmp_path / "dados", arm) as where:
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
                        import json

                        seen = json.loads(line[6:])["now"]["services"]
