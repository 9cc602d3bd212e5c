"""The panel on its port: one page, its live state as server-sent events, and what its buttons do."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Final

import aiohttp
import msgspec
from aiohttp import web

from common import ROOT
from common.contratos import MetodoPagamento
from panel.actions import Acting, ActionError, Done, FaultKind, LoadNow
from panel.guard import HEADERS, Guard
from panel.observer import LOOK_S, LOOKS_A_READING, Now, Observer
from panel.shop import Shop

ASSETS: Final = Path(__file__).parent / "assets"
VENDOR: Final = ROOT / "assets" / "vendor"
# What the page loads, by its path: nothing else is served.
FILES: Final = {
    "/": (ASSETS / "index.html", "text/html"),
    "/painel.js": (ASSETS / "painel.js", "text/javascript"),
    "/frases.js": (ASSETS / "frases.js", "text/javascript"),
    "/palavras.js": (ASSETS / "palavras.js", "text/javascript"),
    "/painel.css": (ASSETS / "painel.css", "text/css"),
    "/uplot.js": (VENDOR / "uplot" / "uPlot.iife.min.js", "text/javascript"),
    "/uplot.css": (VENDOR / "uplot" / "uPlot.min.css", "text/css"),
    "/icone.svg": (ASSETS / "icone.svg", "image/svg+xml"),
}
# Bytes of a request: a basket is a few lines.
BODY_MAX: Final = 16 * 1024
# Pages that may look at the same time.
PAGES_MAX: Final = 32
# Seconds without a word after which a stream says that it lives.
HEARTBEAT_S: Final = 1.0

_LOG = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode


class Frame(msgspec.Struct, frozen=True):
    """One event: the state of the arm, of the load, and of what was done."""

    now: Now
    load: LoadNow | None
    done: list[Done]


class LoadOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Begin a load."""

    callers: int | None = None
    rate: float | None = None


class FaultOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Do something to a service."""

    kind: FaultKind
    service: str
    amount: float = 0.0


class UndoOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Take back one thing, or with 0 everything."""

    id: int = 0


class Basket(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Buy."""

    cliente_id: int
    itens: list[tuple[int, int]]
    metodo_pagamento: MetodoPagamento
    # The page's own, so that asking again after a lost answer buys nothing twice.
    chave: Annotated[str, msgspec.Meta(min_length=8, max_length=64, pattern="^[A-Za-z0-9-]+$")]


Answer = Callable[[web.Request], Awaitable[Any]]


class Panel:
    """One panel of one data directory."""

    def __init__(self, data_dir: Path, guard: Guard, rules: Path | None) -> None:
        """`rules` is the file of failpoints that the arm was given; None for none."""
        self.guard = guard
        self._observer = Observer(data_dir)
        self._acting = Acting(data_dir, rules)
        self._shop = Shop(data_dir)
        self._pages: set[asyncio.Queue[bytes]] = set()
        self._someone = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None

    def application(self) -> web.Application:
        """The web application; looks at the arm from its start to its end."""
        app = web.Application(client_max_size=BODY_MAX, middlewares=[self.guard.middleware])
        for path, (file, kind) in FILES.items():
            app.router.add_get(path, _file(file, kind))
        app.router.add_get("/ao-vivo", self._stream)
        for path, answer in (("/loja", self._shelf), ("/pedidos/{id}", self._story)):
            app.router.add_get(path, _json(answer))
        for path, answer in (
            ("/carga", self._start_load),
            ("/carga/fim", self._stop_load),
            ("/falhas", self._strike),
            ("/desfazer", self._undo),
            ("/pedidos", self._buy),
            ("/auditoria", self._audit),
        ):
            app.router.add_post(path, _json(answer))
        app.on_startup.append(self._begin)
        app.on_cleanup.append(self._end)
        return app

    # --- what is seen ---------------------------------------------------------------------------

    async def _begin(self, _: web.Application) -> None:
        self._acting.begin()
        self._watch = asyncio.create_task(self._look())

    async def _end(self, _: web.Application) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self._acting.close()

    async def _look(self) -> None:
        """Look as long as there is a page, and send what changed to all of them."""
        async with aiohttp.ClientSession() as http:
            looks, health, due = 0, "", 0.0
            while True:
                await self._someone.wait()
                try:
                    now = await self._observer.look(http)
                except Exception:
                    # One look that fails must not end the looking.
                    _LOG.exception("a look failed")
                    now = self._observer.nothing(
                        "o painel não conseguiu olhar: o terminal diz por quê"
                    )
                seen = now.sentence + "".join(each.health for each in now.services.values())
                # At once when somebody dies, else as often as there is something new.
                if seen != health or looks % LOOKS_A_READING == 0:
                    frame = Frame(now, self._acting.load(), self._acting.done)
                    self._send(b"data: " + _encode(frame) + b"\n\n")
                looks, health = looks + 1, seen
                # What a look itself takes is no pause.
                due = max(due + LOOK_S, time.monotonic() + LOOK_S / 2)
                await asyncio.sleep(due - time.monotonic())

    def _send(self, event: bytes) -> None:
        for page in self._pages:
            with contextlib.suppress(asyncio.QueueFull):
                # A page that does not read misses events; the next one tells it all.
                page.put_nowait(event)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if len(self._pages) >= PAGES_MAX:
            return web.json_response({"erro": "há páginas demais abertas"}, status=503)
        response = web.StreamResponse(
            headers={**HEADERS, "Content-Type": "text/event-stream; charset=utf-8"}
        )
        await response.prepare(request)
        events: asyncio.Queue[bytes] = asyncio.Queue(maxsize=4)
        self._pages.add(events)
        self._someone.set()
        try:
            allowed = b"true" if self.guard.allowed(request) else b"false"
            await response.write(b"retry: 1000\nevent: permissao\ndata: " + allowed + b"\n\n")
            while True:
                try:
                    async with asyncio.timeout(HEARTBEAT_S):
                        event = await events.get()
                except TimeoutError:
                    event = b": vivo\n\n"
                await response.write(event)
        except ConnectionError:
            return response
        finally:
            self._pages.discard(events)
            if not self._pages:
                self._someone.clear()

    # --- what is done ---------------------------------------------------------------------------

    async def _shelf(self, _: web.Request) -> Any:
        products, customers = await self._shop.shelf(self._acting.run())
        return {"produtos": products, "clientes": customers}

    async def _story(self, request: web.Request) -> Any:
        text = request.match_info["id"]
        if not text.isdecimal() or len(text) > 18:
            raise ActionError("o número de um pedido é feito de algarismos")
        return await self._shop.story(self._acting.run(), int(text))

    async def _buy(self, request: web.Request) -> Any:
        basket = await _body(request, Basket)
        if not basket.itens:
            raise ActionError("a cesta está vazia")
        answer, seconds = await self._shop.buy(
            self._acting.run(),
            basket.chave,
            basket.cliente_id,
            basket.itens,
            basket.metodo_pagamento,
        )
        return {"pedido": answer, "segundos": round(seconds, 3)}

    async def _start_load(self, request: web.Request) -> Any:
        order = await _body(request, LoadOrder)
        await self._acting.start_load(order.callers, order.rate)

    async def _stop_load(self, _: web.Request) -> Any:
        await self._acting.stop_load()

    async def _strike(self, request: web.Request) -> Any:
        order = await _body(request, FaultOrder)
        self._acting.strike(order.kind, order.service, order.amount)

    async def _undo(self, request: web.Request) -> Any:
        order = await _body(request, UndoOrder)
        if order.id:
            self._acting.undo(order.id)
        else:
            self._acting.undo_all()

    async def _audit(self, _: web.Request) -> Any:
        return await self._acting.audited()


def _file(path: Path, kind: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    content = path.read_bytes()

    async def serve(_: web.Request) -> web.Response:
        return web.Response(body=content, content_type=kind, charset="utf-8")

    return serve


def _json(answer: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def serve(request: web.Request) -> web.Response:
        try:
            return _said(await answer(request))
        except ActionError as error:
            return _said({"erro": str(error)}, 409)
        except web.HTTPException:
            raise
        except Exception:
            _LOG.exception("defect at %s", request.path)
            return _said({"erro": "um defeito no painel: o terminal diz qual"}, 500)

    return serve


def _said(content: Any, status: int = 200) -> web.Response:
    return web.Response(body=_encode(content), status=status, content_type="application/json")


async def _body(request: web.Request, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.DecodeError as error:
        raise ActionError(f"o pedido da página não é o esperado: {error}") from None
