"""The panel's pictures in docs/, made anew: `python -m tests.panel.pictures`.

Starts an arm with its panel, puts a load on it, slows and pauses services, buys, and photographs
the page as people see it: light, dark, on a phone, and one order.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from pathlib import Path
from typing import Final

from playwright.async_api import Page, expect

from common import ROOT
from tests.support.browser import browsing, page_of
from tests.support.chain import make_shop
from tests.support.panel_support import shown

DOCS: Final = ROOT / "docs"
# Seconds of load before a picture, so that the charts show something.
LOAD_S: Final = 25


async def _strike(page: Page, service: str, kind: str) -> None:
    await page.locator("#falha select").select_option(service)
    await page.locator(f"[data-falha={kind}]").click()


async def _photograph(address: str) -> None:
    async with browsing() as browser:
        size = {"width": 1320, "height": 1040}
        async with page_of(browser, address, viewport=size, color_scheme="light") as page:
            await expect(page.locator("#no-logistica")).to_have_class(re.compile("up|morno"))
            await page.locator("#carga input[name=quantos]").fill("100")
            await page.locator("#carga button[type=submit]").click()
            await page.wait_for_timeout(LOAD_S * 1000)
            await page.locator("#falha input[name=atraso]").fill("0.5")
            await _strike(page, "estoque", "slow")
            await page.wait_for_timeout(5_000)
            await _strike(page, "fiscal", "pause")
            await expect(page.locator("#no-fiscal")).to_have_class("paused")
            await page.wait_for_timeout(3_000)
            await page.evaluate("scrollTo(0, 0)")
            await page.screenshot(path=DOCS / "painel.png")
            await page.emulate_media(color_scheme="dark")
            await page.wait_for_timeout(1_500)
            await page.screenshot(path=DOCS / "painel-escuro.png")
            await page.emulate_media(color_scheme="light")
            await page.locator("#desfazer-tudo").click()
            await expect(page.locator("#carga-agora")).to_have_text("", timeout=30_000)
            await expect(page.locator("#no-fiscal")).to_have_class(re.compile("up|morno"))
            for number in (0, 3, 5):
                await page.locator("#produtos button").nth(number).click()
            await page.locator("#finalizar").click()
            await expect(page.locator("#comprado")).to_contain_text("enviado", timeout=30_000)
            await page.locator(".escolha input").check()
            # It would lie over the picture.
            await page.evaluate("document.querySelector('header').style.position = 'static'")
            await page.locator("#pedido").screenshot(path=DOCS / "painel-pedido.png")
        phone = {"width": 390, "height": 844}
        async with page_of(browser, address, viewport=phone, color_scheme="dark") as page:
            await expect(page.locator("#no-logistica")).to_have_class(re.compile("up|morno"))
            await page.wait_for_timeout(2_000)
            await page.screenshot(path=DOCS / "painel-telefone.png")


def main() -> None:
    """Make the pictures."""
    with tempfile.TemporaryDirectory() as name:
        shop = make_shop(Path(name) / "ecommerce.db")
        with shown(
            shop, Path(name) / "dados", "grpc", "--stock=100000", "--payment-approval=1"
        ) as address:
            asyncio.run(_photograph(address))


if __name__ == "__main__":
    main()
