"""The floor of the REST arm: five hops of plain aiohttp, in one file and with plain options.

`python -m loadgen.testbed.bare_http HOP [--next HOST:PORT] [--payment-wait MIN:MAX]` serves one hop: plain
handlers, `await request.json()`, `web.json_response` and one ClientSession, messages like the real
ones, and nothing else: no middleware, no table of operations, no domain, no storage.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from itertools import count
from typing import Any, Final

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

from loadgen.testbed.bare import Hop, serve_hop

# Connections to the next hop: what ten thousand callers do best with on two cores. The default of
# 100 would be measured instead of the chain, and none at all is slower still.
CONNECTIONS: Final = 1_024
BACKLOG: Final = 16_384

HOP = web.AppKey("hop", Hop)
NEXT = web.AppKey("next", ClientSession)
IDS: Final = count(1)


async def post(request: web.Request, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Call the next hop."""
    async with request.app[NEXT].post(path, json=body) as response:
        response.raise_for_status()
        answer: dict[str, Any] = await response.json()
        return answer


async def pedidos(request: web.Request) -> web.Response:
    """Number the order and hand it on."""
    body = await request.json()
    pedido_id = next(IDS)
    total = sum(item["quantidade"] for item in body["itens"]) * 1_990
    reply = await post(
        request,
        "/pagamentos",
        {
            "pedido_id": pedido_id,
            "cliente_id": body["cliente_id"],
            "valor_total_centavos": total,
            "metodo_pagamento": body["metodo_pagamento"],
            "itens": body["itens"],
        },
    )
    answer = {
        "pedido_id": pedido_id,
        "status": reply["status"],
        "motivo": None,
        "valor_total_centavos": total,
        "pagamento": reply["pagamento"],
        "nota_fiscal": reply["nota_fiscal"],
        "envio": reply["envio"],
    }
    return web.json_response(answer, status=201)


async def pagamentos(request: web.Request) -> web.Response:
    """Wait as the gateway would and hand the order on."""
    body = await request.json()
    wait = request.app[HOP].payment_wait
    if wait[1] > 0:
        await asyncio.sleep(random.uniform(*wait))
    fields = ("pedido_id", "cliente_id", "valor_total_centavos", "itens")
    reply = await post(request, "/estoque/separar", {name: body[name] for name in fields})
    reply["pagamento"] = {"status": "aprovado", "metodo": body["metodo_pagamento"]}
    return web.json_response(reply)


async def estoque(request: web.Request) -> web.Response:
    """Hand the order on."""
    body = await request.json()
    fields = ("pedido_id", "cliente_id", "valor_total_centavos")
    reply = await post(request, "/notas-fiscais", {name: body[name] for name in fields})
    reply["separacao"] = {"status": "separado"}
    return web.json_response(reply)


async def fiscal(request: web.Request) -> web.Response:
    """Hand the order on with an invoice."""
    body = await request.json()
    pedido_id = body["pedido_id"]
    note = {"numero": f"NF{pedido_id:09d}", "chave_acesso": f"{pedido_id:044d}"}
    reply = await post(
        request,
        "/envios",
        {"pedido_id": pedido_id, "cliente_id": body["cliente_id"], "nota_fiscal": note},
    )
    reply["nota_fiscal"] = note
    return web.json_response(reply)


async def logistica(request: web.Request) -> web.Response:
    """The last hop: ship it."""
    body = await request.json()
    code = f"BR{body['pedido_id']:09d}PY"
    return web.json_response(
        {
            "pedido_id": body["pedido_id"],
            "status": "enviado",
            "motivo": None,
            "pagamento": None,
            "separacao": None,
            "nota_fiscal": None,
            "envio": {"codigo_rastreamento": code, "status": "enviado"},
        }
    )


ROUTES: Final = {
    "pedidos": ("/pedidos", pedidos),
    "pagamentos": ("/pagamentos", pagamentos),
    "estoque": ("/estoque/separar", estoque),
    "fiscal": ("/notas-fiscais", fiscal),
    "logistica": ("/envios", logistica),
}


async def listen(hop: Hop, closing: AsyncExitStack) -> int:
    """Serve one hop on a free port of loopback; returns the port."""
    app = web.Application()
    app[HOP] = hop
    if hop.next_address:
        app[NEXT] = ClientSession(
            f"http://{hop.next_address}",
            connector=TCPConnector(limit=CONNECTIONS),
            timeout=ClientTimeout(total=60),
        )
        closing.push_async_callback(app[NEXT].close)
    runner = web.AppRunner(app, access_log=None)
    closing.push_async_callback(runner.cleanup)
    path, handler = ROUTES[hop.name]
    app.router.add_post(path, handler)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=BACKLOG).start()
    port: int = runner.addresses[0][1]
    return port


if __name__ == "__main__":
    serve_hop(listen)
