"""Six real servers inside the test's own process and loop, on real files and real sockets.

Only ports are faked: every client that a service holds stands behind a `Link`, where a test can
hold a call, cut it or lose its reply, so that races and cuts happen exactly where they are meant.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import (
    AsyncExitStack,
    asynccontextmanager,
    closing,
    contextmanager,
    suppress,
)
from math import inf
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import http_aio.client
import http_aio.server
from common import contratos as c
from common.erros import ErroServico
from common.runtime import lifecycle
from common.runtime.lifecycle import prepare_databases
from common.servicos.pedidos.retentativa import Orcamento
from common.servicos.protocolo.contexto import Contexto
from common.serving import standstill
from common.settings import Settings
from common.storage import connection
from common.storage.files import database_path
from tests.support.arms import ARMS, Arm, Asking, Serving
from tests.support.chain import CHAIN, basket
from tests.support.links import Link, Switch

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Iterator,
    )
    from pathlib import Path

    from common.runtime.app import App, Dial
    from tests.support.edges import Reply

# Down the chain first: each finds the next one's address known.
ORDER: Final = ("logistica", "fiscal", "estoque", "pagamentos", "catalogo", "pedidos")
# A lookup at each service that others call, for an order that none of them knows.
PROBES: Final = {
    "pagamentos": ("consultar_pagamento", c.ConsultarPassoRequest(c.PEDIDO_ID_MAX)),
    "estoque": ("consultar_separacao", c.ConsultarPassoRequest(c.PEDIDO_ID_MAX)),
    "fiscal": ("consultar_nota_fiscal", c.ConsultarPassoRequest(c.PEDIDO_ID_MAX)),
    "logistica": ("consultar_envio", c.ConsultarPassoRequest(c.PEDIDO_ID_MAX)),
}
STOCK: Final = 100
# Seconds. A sweep that no test waits for: those that want one ask for it.
NEVER_S: Final = 3_600.0
# Seconds. Just above PAUSE_EDGE_S: a drive still meets the next trial of an open breaker.
PASSAGE_S: Final = 0.7
# Threads of a service in the arms on threads: more than any test has calls held at once.
WORKERS: Final = 32
# Attempts to have a port again that a service had before, and seconds between two.
PORT_ATTEMPTS: Final = 20
PORT_PAUSE_S: Final = 0.1
# Seconds. A drain in a test has nothing to wait for but what the test itself holds.
DRAIN_S: Final = 0.3
# Six services share the test's own loop, which a busy machine holds up: that they stand still is shown
# by processes of their own (tests/serving/test_parado.py).
# Pages of a log. Seven of them are reserved on the disk for each cluster: at their full length that
# costs more than all that most tests do.
LOG_PAGES: Final = 64
FULL_LOG_PAGES: Final = connection.PAGES_PER_CHECKPOINT


class Situation(NamedTuple):
    """What the seven databases hold of one order."""

    status: str | None
    motivo: str | None
    passos: dict[str, str]
    pagamento: str | None
    cobrado: int
    liquido: int
    retirado: int
    nota: str | None
    envios: int


class Cluster:
    """The six services of one arm; see the module."""

    def __init__(self, arm: Arm, data_dir: Path, shop: Path, options: dict[str, Any]) -> None:
        self.arm = arm
        self.data_dir = data_dir
        self.shop = shop
        self.options = options
        self.addresses: dict[str, str] = {}
        self.apps: dict[str, App] = {}
        self.links: dict[tuple[str, str], Link] = {}
        self.edge = arm.edge(self.addresses)
        self._stacks: dict[str, AsyncExitStack] = {}
        self._clients: list[Any] = []
        self.faults: dict[str, Switch] = {}

    # --- life ---------------------------------------------------------------------------------

    async def start(self, *servicos: str, **changes: Any) -> None:
        """Start services, each on the port that it had before, if any."""
        for servico in servicos or ORDER:
            settings = self.settings(servico, **changes)
            prepare_databases(settings)
            stack = self._stacks[servico] = AsyncExitStack()
            app, address = await self._listening(stack, settings, servico)
            self.apps[servico], self.addresses[servico] = app, address
            if servico == "pagamentos":
                gateway = self.links.setdefault(("pagamentos", "gateway"), Link())
                outside = app.service._continuation._outside
                owner = outside._gateway if self.faults else outside
                gateway.target, owner._gateway = owner._gateway, gateway
            if servico == "pedidos":
                # Retries without pauses: a test that cuts a link cuts it for as many as it means.
                for owner in (self.condutor, self.condutor._recuperacao):
                    owner._orcamento = Orcamento(lambda: 0.0)
            await self._connect(servico)

    async def _listening(
        self, stack: AsyncExitStack, settings: Settings, servico: str
    ) -> tuple[App, str]:
        """Start a service. Meanwhile its port may have gone to somebody's outgoing connection."""
        for attempt in range(PORT_ATTEMPTS, 0, -1):
            serving = lifecycle.serving(
                settings,
                self._dial(servico),
                self.arm.transport,
                self.arm.ports(settings),
                self.faults.get(servico),
            )
            try:
                return await stack.enter_async_context(Serving(self.arm, serving))
            except lifecycle.AddressError:
                if attempt == 1 or settings.port == 0:
                    raise
                await asyncio.sleep(PORT_PAUSE_S)
        raise AssertionError

    async def _connect(self, caller: str) -> None:
        """Have a service's connections made before a test counts calls on them."""
        for (owner, servico), link in self.links.items():
            if owner == caller and servico in PROBES and servico in self._stacks:
                operation, request = PROBES[servico]
                with suppress(ErroServico):
                    await self.arm.run(getattr(Asking(link.target), operation)(Contexto(), request))

    async def stop(self, *servicos: str) -> None:
        """Stop services in an orderly way."""
        for servico in servicos:
            await self._stacks.pop(servico).aclose()

    async def crash(self, servico: str) -> None:
        """End a service with whatever it was doing cut off, as when its process dies."""
        await self.arm.run(self.apps[servico].execution.stop())
        await self.stop(servico)

    async def close(self) -> None:
        """Stop everything."""
        for link in self.links.values():
            link.heal()
        for client in self._clients:
            await client.close()
        await self.edge.close()
        for servico in reversed(ORDER):
            if servico in self._stacks:
                await self.stop(servico)

    def settings(self, servico: str, **changes: Any) -> Settings:
        """How a service of this cluster runs."""
        port = int(self.addresses.get(servico, "host:0").rpartition(":")[2])
        options = {
            "data_dir": self.data_dir,
            "shop": self.shop,
            "port": port,
            "addresses": dict.fromkeys(c.SERVICOS, "127.0.0.1:1") | self.addresses,
            "payment_latency": (0.0, 0.0),
            "payment_approval": 1.0,
            "stock": STOCK,
            "sweep_interval_s": NEVER_S,
            "passage_wait_s": PASSAGE_S,
            "workers": WORKERS,
            "mode": next(mode for mode, arm in ARMS.items() if arm is self.arm),
        }
        return Settings(servico=servico, **(options | self.options | changes))

    def _dial(self, caller: str) -> Dial:
        def dial(servico: str, address: str, *, connections: int, credencial: str | None) -> Link:
            link = self.links.setdefault((caller, servico), Link())
            link.target = self.arm.dial(
                servico, address, connections=connections, credencial=credencial
            )
            return link

        return dial

    # --- ports --------------------------------------------------------------------------------

    @property
    def condutor(self) -> Any:
        """What drives the orders of Pedidos."""
        caminho = self.apps["pedidos"].service._caminho
        return caminho._caminho if self.faults else caminho

    def link(self, servico: str) -> Link:
        """The link of the chain that leads to a service."""
        return self.links[CHAIN[CHAIN.index(servico) - 1], servico]

    @property
    def gateway(self) -> Link:
        """The link from Pagamentos to the outside world: `cobrar` and `anular`."""
        return self.links["pagamentos", "gateway"]

    def client(self, servico: str) -> Any:
        """A client of the arm's own, as another service would hold it."""
        client = self.arm.client(servico, self.addresses[servico])
        self._clients.append(client)
        return client

    async def sweep(self) -> int:
        """Have Pedidos look for orders that nobody drives; how many it took up."""
        return await self.arm.run(self.condutor.varrer())

    async def idle(self) -> None:
        """Wait until Pedidos drives nothing."""
        drives = self.condutor._vivas
        while living := list(drives.values()):
            await self.arm.run(living[0].fim.wait(inf))
            await asyncio.sleep(0)

    async def quiet(self) -> None:
        """Wait until no service works on any call, also on those that nobody waits for."""
        while any(app.in_flight.total for app in self.apps.values()):
            await asyncio.sleep(0.002)

    async def end_of(self, pedido_id: int) -> Any:
        """Sweep until an order has ended everywhere; the order as its customer sees it then."""
        order = await self.terminal(pedido_id)
        await self.quiet()
        return order

    async def terminal(self, pedido_id: int) -> Any:
        """Sweep until Pedidos says that an order has ended; the order as it says so."""
        async with asyncio.timeout(20):
            while (order := await self.look(pedido_id))["status"] in {"pendente", "cancelando"}:
                if not await self.sweep():
                    await asyncio.sleep(0.01)
                await self.idle()
        return order

    # --- speaking to it -----------------------------------------------------------------------

    async def create(
        self, *itens: tuple[int, int], key: str | None = None, **options: Any
    ) -> Reply:
        """Order products as (product, units); one unit of the first by default."""
        return await self.edge.call("criar_pedido", basket(*itens), key=key, **options)

    async def look(self, pedido_id: int) -> Any:
        """The order as its customer sees it."""
        return (await self.edge.call("consultar_pedido", {"pedido_id": pedido_id})).body

    async def cancel(self, pedido_id: int, **options: Any) -> Reply:
        """Ask for an order to be cancelled."""
        return await self.edge.call("cancelar_pedido", {"pedido_id": pedido_id}, **options)

    # --- looking at what it holds -------------------------------------------------------------

    def rows(self, nome: str, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        """What a database holds, read beside the service."""
        uri = f"{database_path(self.data_dir, nome).as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as con:
            return con.execute(sql, args).fetchall()

    def value(self, nome: str, sql: str, *args: Any) -> Any:
        """One value of a database, or None."""
        rows = self.rows(nome, sql, *args)
        return rows[0][0] if rows else None

    def last(self) -> int:
        """The id of the newest order."""
        return int(self.value("pedidos", "SELECT max(id) FROM pedidos"))

    def orders(self) -> int:
        """How many orders were claimed here."""
        return int(self.value("pedidos", "SELECT count(*) FROM pedidos WHERE origem = 'loja'"))

    def stock(self, produto_id: int) -> int:
        """Available units of a product."""
        sql = "SELECT quantidade_estoque FROM produtos WHERE id = ?"
        return int(self.value("estoque", sql, produto_id))

    def situation(self, pedido_id: int) -> Situation:
        """Everything that is held of one order."""
        (pedido,) = self.rows(
            "pedidos", "SELECT status, motivo FROM pedidos WHERE id = ?", pedido_id
        ) or [(None, None)]
        cobrado, liquido = (
            self.rows(
                "gateway",
                "SELECT cobrado_centavos, cobrado_centavos - estornado_centavos "
                "FROM cobrancas WHERE chave = ?",
                f"pedido-{pedido_id}",
            )
            or [(0, 0)]
        )[0]
        moved = "SELECT COALESCE(-sum(quantidade), 0) FROM movimentos WHERE pedido_id = ?"
        step = "SELECT estado FROM passos WHERE pedido_id = ?"
        passos = {nome: self.value(nome, step, pedido_id) for nome in CHAIN[1:]}
        by_id = "WHERE pedido_id = ?"
        return Situation(
            *pedido,
            {nome: estado for nome, estado in passos.items() if estado is not None},
            self.value("pagamentos", f"SELECT status FROM pagamentos {by_id}", pedido_id),
            cobrado,
            liquido,
            self.value("estoque", moved, pedido_id),
            self.value("fiscal", f"SELECT status FROM notas_fiscais {by_id}", pedido_id),
            self.value("logistica", f"SELECT count(*) FROM envios {by_id}", pedido_id),
        )

    def check_shipped(self, pedido_id: int, units: int = 1) -> None:
        """The order was shipped, and every service holds exactly its part."""
        total = self.value(
            "pedidos", "SELECT valor_total_centavos FROM pedidos WHERE id = ?", pedido_id
        )
        assert self.situation(pedido_id) == Situation(
            status="enviado",
            motivo=None,
            passos={
                "pagamentos": "aprovado",
                "estoque": "separado",
                "fiscal": "emitida",
                "logistica": "enviado",
            },
            pagamento="aprovado",
            cobrado=total,
            liquido=total,
            retirado=units,
            nota="emitida",
            envios=1,
        )

    def check_cancelled(self, pedido_id: int, motivo: str) -> Situation:
        """The order was cancelled, and nothing of it is left anywhere."""
        held = self.situation(pedido_id)
        assert (held.status, held.motivo) == ("cancelado", motivo)
        assert held.pagamento in {None, "rejeitado", "estornado"}
        assert held.nota in {None, "cancelada"}
        assert (held.liquido, held.retirado, held.envios) == (0, 0, 0)
        return held

    def check_books(self) -> None:
        """What must hold across all orders: the ledger, the numbers, no hole and no debt."""
        movements = dict(
            self.rows("estoque", "SELECT produto_id, sum(quantidade) FROM movimentos GROUP BY 1")
        )
        stock = dict(self.rows("estoque", "SELECT id, quantidade_estoque FROM produtos"))
        assert movements == stock
        assert min(stock.values()) >= 0
        numbers = self.rows(
            "fiscal", "SELECT sequencia FROM notas_fiscais WHERE origem = 'loja' ORDER BY 1"
        )
        assert [number for (number,) in numbers] == list(range(1, len(numbers) + 1))


@asynccontextmanager
async def open_cluster(
    arm: str, data_dir: Path, shop: Path, *servicos: str, faults: bool = False, **options: Any
) -> AsyncIterator[Cluster]:
    """A cluster for the life of the block; `options` are fields of Settings.

    With `faults` its services stand on ports in which a test may set them.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    with small_and_quick():
        cluster = Cluster(ARMS[arm], data_dir, shop, options)
        if faults:
            cluster.faults = {servico: Switch() for servico in c.SERVICOS}
        try:
            await cluster.start(*servicos)
            yield cluster
        finally:
            await cluster.close()


@contextmanager
def small_and_quick() -> Iterator[None]:
    """Short drains, and short logs where a test has not chosen a length of its own."""
    modules = (lifecycle, http_aio.server)
    before, notice = [module.DRAIN_MAX_S for module in modules], lifecycle.NOTICE_S
    pages = connection.PAGES_PER_CHECKPOINT
    lifecycle.NOTICE_S = 0.0
    for module in modules:
        module.DRAIN_MAX_S = DRAIN_S
    if pages == FULL_LOG_PAGES:
        connection.PAGES_PER_CHECKPOINT = LOG_PAGES
    parado, standstill.STOOD_STILL_S = standstill.STOOD_STILL_S, NEVER_S
    try:
        yield
    finally:
        lifecycle.NOTICE_S = notice
        connection.PAGES_PER_CHECKPOINT = pages
        standstill.STOOD_STILL_S = parado
        for module, value in zip(modules, before, strict=True):
            module.DRAIN_MAX_S = value
