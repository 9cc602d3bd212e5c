"""A real browser for tests of the panel: Debian's or another Chromium, driven by Playwright.

CHROMIUM names it; without that the usual names are looked for. Where there is none, tests that need
one are skipped with the reason.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
# What the browser itself says of an answer with this status: the panel refuses with it, in words that
# the page shows.
REFUSED: Final = "the server responded with a status of 409"
# Milliseconds that something on the page may take to be there: the machine may be busy with tests.
WAIT_MS: Final = 20_000


def chromium() -> str | None:
    """The path of a Chromium; None where none is found."""
    named = os.environ.get("CHROMIUM", "")
    found = shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)
    if named and found is None:
        raise FileNotFoundError(f"CHROMIUM names {named}, which is no program")
    return found


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    """A headless browser for the life of the block."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium(),
            # A container's user may be root, its shared memory small, and there is no graphics card.
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def page_of(browser: Browser, address: str, **context: Any) -> AsyncIterator[Page]:
    """A page in a context of its own; at its end there must have been no error on its console."""
    own = await browser.new_context(**context)
    page = await own.new_page()
    page.set_default_timeout(WAIT_MS)
    problems: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and REFUSED not in message.text:
            problems.append(message.text)

    page.on("console", heard)
    page.on("pageerror", lambda error: problems.append(str(error)))
    try:
        await page.goto(address)
        yield page
        assert problems == []
    finally:
        await own.close()
