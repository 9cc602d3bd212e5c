"""The panel in a real browser: people look, buy, load, break and mend an arm in it."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from common.process.runfile import read_run
from tests.support.browser import WAIT_MS, browsing, chromium, page_of
from tests.support.lancamento import comando, ler_ate, processo
from tests.support.panel_support import CHAIN, MARKUP, SOON_PAID, shown

PHONE: Final = {"width": 360, "height": 740}

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        chromium() is None, reason="no browser: install chromium, or name one with CHROMIUM"
    ),
]

expect.set_options(timeout=WAIT_MS)


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


async def test_um_servico_morto_fica_vermelho_e_volta(page: Page, panel_dir: Path) -> None:
    before = read_run(panel_dir).services["fiscal"].pid
    node = page.locator("#no-fiscal")
    await strike(page, "fiscal", "kill")
    await expect(node).to_have_class(re.compile("down|starting"), timeout=5_000)
    await expect(node).to_have_class(re.compile("up|morno"))
    assert read_run(panel_dir).services["fiscal"].pid != before
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
    # What the server says, too.
    await page.locator("#carga select").select_option("rate")
    await page.locator("#carga input[name=quantos]").fill("3000")
    await page.locator("#carga button[type=submit]").click()
    await expect(page.locator("#problema")).to_have_text("orders a second: above 0, up to 2000")
    await strike(page, "fiscal", "slow")
    await expect(page.locator("#feito")).to_contain_text("s slower")


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
    with shown(bad_shop, data_dir, "http", *SOON_PAID) as where:
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
