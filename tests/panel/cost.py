"""What the panel costs: `python -m tests.panel.cost --mode http`.

An arm with its panel under a steady load of many callers, the page open and closed by turns in a
real browser; each pair of stretches gives a ratio of rates. Beside it: the longest time between two
updates of the page, its first paint, and with --minutes whether its memory stays flat.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
import urllib.request
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import psutil
from playwright.async_api import Browser, Page
from prometheus_client.parser import text_string_to_metric_families

from common.process.runfile import read_run
from loadgen.pairs.turns import Ratios, alternate
from tests.support.browser import browsing, page_of
from tests.support.chain import make_shop
from tests.support.lancamento import processo
from tests.support.panel_support import shown

# Notes in the page when it was made anew.
WATCH: Final = """
window.updates = [];
new MutationObserver(() => window.updates.push(performance.now()))
  .observe(document.querySelector('#servicos tbody'), {childList: true});
"""


def _answered(url: str) -> float:
    """Orders answered so far."""
    with urllib.request.urlopen(url, timeout=20) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    samples = itertools.chain.from_iterable(family.samples for family in families)
    return sum(each.value for each in samples if each.name == "checkout_orders_answered_total")


async def _rate(url: str, seconds: float) -> float:
    before, start = await asyncio.to_thread(_answered, url), time.monotonic()
    await asyncio.sleep(seconds)
    after = await asyncio.to_thread(_answered, url)
    return (after - before) / (time.monotonic() - start)


@asynccontextmanager
async def _loaded(data_dir: Path, callers: int, seconds: float) -> Any:
    command = [
        sys.executable, "-m", "loadgen", f"--data-dir={data_dir}", f"--concurrency={callers}",
        f"--duration={seconds:.0f}",
    ]  # fmt: skip
    with processo(*command) as load:
        try:
            yield
        finally:
            load.terminate()
            await asyncio.to_thread(load.communicate)


async def _pairs(browser: Browser, address: str, url: str, args: argparse.Namespace) -> None:
    gaps: list[float] = []

    async def opened() -> float:
        async with page_of(browser, address) as page:
            await page.evaluate(WATCH)
            await page.wait_for_timeout(1_000)
            found = await _rate(url, args.seconds)
            at = await page.evaluate("window.updates")
        gaps.append(max(b - a for a, b in itertools.pairwise(at)) / 1e3)
        return found

    turns = {"open": opened, "closed": partial(_rate, url, args.seconds)}
    ratios = []
    async for rates in alternate(turns, args.pairs):
        ratios.append(rates["open"] / rates["closed"])
        sides = f"{rates['open']:.0f}/s open, {rates['closed']:.0f}/s closed"
        print(f"pair {len(ratios)}/{args.pairs}: {sides}, {ratios[-1]:.3f}", flush=True)
    print(f"median ratio {Ratios(ratios).words()}")
    print(f"longest time between two updates of the page: {max(gaps):.2f} s")


async def _memory(page: Page, minutes: float, panel: psutil.Process) -> None:
    session = await page.context.new_cdp_session(page)
    for minute in range(int(minutes) + 1):
        await session.send("HeapProfiler.collectGarbage")
        heap = (await session.send("Runtime.getHeapUsage"))["usedSize"] / 1e6
        nodes = await page.evaluate("document.querySelectorAll('*').length")
        rss = panel.memory_info().rss / 2**20
        print(
            f"minute {minute}: page {heap:.2f} MB in {nodes} elements, panel {rss:.1f} MB",
            flush=True,
        )
        if minute < minutes:
            await asyncio.sleep(60)


async def _measure(address: str, data_dir: Path, args: argparse.Namespace) -> None:
    url = read_run(data_dir).services["pedidos"].metrics
    length = args.pairs * 2 * (args.seconds + 4) + args.minutes * 60 + 60
    async with browsing() as browser:
        paints = []
        for _ in range(5):
            async with page_of(browser, address) as page:
                await page.wait_for_timeout(300)
                script = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
                paints.append(await page.evaluate(script))
        print(f"first contentful paint: {', '.join(f'{each:.0f}' for each in paints)} ms")
        async with _loaded(data_dir, args.concurrency, length):
            await asyncio.sleep(8)
            if args.pairs:
                await _pairs(browser, address, url, args)
            if args.minutes:
                [panel] = [
                    each for each in psutil.process_iter(["cmdline"])
                    if each.info["cmdline"] and f"--data-dir={data_dir}" in each.info["cmdline"]
                    and "panel" in each.info["cmdline"]
                ]  # fmt: skip
                async with page_of(browser, address) as page:
                    await asyncio.sleep(5)
                    await _memory(page, args.minutes, panel)


def main() -> None:
    """Measure what the options ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mode", default="http")
    parser.add_argument("--concurrency", type=int, default=1_000)
    parser.add_argument("--pairs", type=int, default=8, help="0 for none")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each stretch")
    parser.add_argument("--minutes", type=float, default=0, help="of watching the memory")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        shop = make_shop(Path(name) / "ecommerce.db")
        data_dir = Path(name) / "dados"
        with shown(shop, data_dir, args.mode, "--stock=1000000000") as address:
            asyncio.run(_measure(address, data_dir, args))


if __name__ == "__main__":
    main()
