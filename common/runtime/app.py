"""The composition root: a service with its real ports, opened and closed, in every arm.

How an arm waits is told by its `Ports`; where these block, so does everything here, and the
coroutines run to their end in one go.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from common.callers import credential
from common.faults.call_log import NotedClient
from common.faults.failing_storage import FailingStorage
from common.faults.failpoints import Failpoints
from common.servicos.catalogo import Catalogo
from common.servicos.estoque import Estoque
from common.servicos.fiscal import Fiscal
from common.servicos.logistica import Logistica
from common.servicos.pagamentos.gateway import GatewaySimulado
from common.servicos.pagamentos.pagamentos import Pagamentos
from common.servicos.pedidos.conducao import Condutor
from common.servicos.pedidos.pedidos import Pedidos
from common.servicos.pedidos.recuperacao import Politica
from common.servicos.pedidos.retentativa import Orcamento
from common.servicos.protocolo.elo import Passos
from common.servicos.protocolo.portas import Clock, Database, Task, Tasks
from common.serving.admission import Slots
from common.serving.circuit_breaker import (
    PATIENCE_S,
    PAUSE_EDGE_S,
    PAUSE_INNER_S,
    AlwaysFree,
    Guarded,
    Timing,
)
from common.serving.pipeline import Endpoint, endpoints
from common.serving.standstill import Standstill
from common.settings import EXTRA_CONNECTIONS, Settings, stats_path
from common.storage.connection import Synchronous
from common.storage.files import GATEWAY, SALAS, Sala, database_path
from common.storage.pressure import Pressure
from common.telemetry.in_flight import InFlight
from common.telemetry.meters import LagProbe, Meters, Pool, Writer
from common.telemetry.service import Telemetry
from common.telemetry.stats import Sampler

# Seconds that a recovering drive has beside the slowest payment, for everything else it does.
DRIVE_SLACK_S: Final = 10.0
# Seconds between looks at what is still under way while a service drains.
DRAIN_LOOK_S: Final = 0.01


class OwnStorage(Database, Protocol):
    """A database that this process has opened and must close."""

    @property
    def writer(self) -> Writer | None:
        """What its writer has counted; None where it counts nothing."""

    async def close(self) -> None:
        """Finish what was handed over, then close it."""


class OwnTasks(Tasks, Protocol):
    """The tasks of this process: how many there are, and their end."""

    def running(self, exceto: Task | None = None) -> int:
        """How many tasks are under way."""

    async def stop(self) -> None:
        """Stop what is left and wait until it has ended."""


class Ports(Protocol):
    """How an arm waits: for time, for tasks, for storage. One a service."""

    @property
    def clock(self) -> Clock:
        """Time."""

    @property
    def execution(self) -> OwnTasks:
        """Tasks."""

    async def storage(self, path: Path, synchronous: Synchronous, pressure: Pressure) -> OwnStorage:
        """Open an existing database. Raises ErroServico (unavailable) when SQLite refuses it."""

    def loop_lag(self, *, closely: bool) -> LagProbe | None:
        """Begin to watch the event loop; None where there is none."""

    def beating(self) -> AbstractContextManager[Standstill]:
        """For the life of the block it is noticed when this process stands still."""


class Dial(Protocol):
    """An arm's way to reach another service: an object with that service's operations."""

    def __call__(
        self, servico: str, address: str, *, connections: int, credencial: str | None
    ) -> Any:
        """A client, not yet connected; its `close()` is awaited at the end.

        `credencial` is what the hop before that service brings, if it must.
        """


class App:
    """A service, open: the object with the operations, and what lives beside it."""

    def __init__(self, settings: Settings, dial: Dial, ports: Ports, stack: AsyncExitStack) -> None:
        self.settings = settings
        self.clock = ports.clock
        self.execution = ports.execution
        self.in_flight, self._pressure = InFlight(), Pressure()
        self._ports = ports
        self.service: Any = None
        self._dial = dial
        self._stack = stack
        self.slots: Slots | None = None
        self.telemetry: Telemetry | None = None
        self._lag: LagProbe | None = None
        self._standstill: Standstill
        self._failpoints: Failpoints | None = None
        self._condutor: Condutor | None = None
        self._recovery: Task | None = None
        self._meters = Meters(settings.servico, self.in_flight)

    async def open(self) -> None:
        """Open the databases and build the service on them."""
        if self.settings.failpoints is not None:
            self._failpoints = Failpoints(
                self.settings.failpoints, self.settings.servico, self.clock, self.execution
            )
        failpoints = self._failpoints
        opened = await self._storage(SALAS[self.settings.servico])
        self._meters.writer = opened.writer
        storage: Database = opened
        if failpoints is not None:
            storage = FailingStorage(storage, failpoints, self.clock, self.execution)
        await getattr(self, f"_open_{self.settings.servico}")(storage)
        struck = self._condutor or self.service
        if failpoints is not None and isinstance(struck, Condutor | Passos):
            struck.falhas = failpoints
        if self.settings.stats:
            self._tell_stats()
        if self.settings.telemetry:
            self._observe()
        # Closed before the clients and the storage that its tasks use.
        self._stack.push_async_callback(self.execution.stop)
        # Last: to open databases may hold up the loop, and no call came meanwhile.
        self._standstill = self._stack.enter_context(self._ports.beating())

    def endpoints(self) -> list[Endpoint]:
        """The operations of the service, ready for a transport to bind."""
        traces = None if self.telemetry is None else self.telemetry.traces
        servico, meters = self.settings.servico, self._meters
        credencial = credential(self.settings.chain_token, servico)
        return endpoints(
            self.service, servico, meters, self._standstill, traces=traces, credencial=credencial
        )

    def show_metrics(self) -> None:
        """Show the metrics on a port of their own, if one was named. Raises OSError when it is taken."""
        settings = self.settings
        if self.telemetry is not None and settings.metrics_port is not None:
            self.telemetry.serve(settings.host, settings.metrics_port, settings.allow_host)

    def _observe(self) -> None:
        """Have the service show its meters, and the edge keep traces."""
        self._meters.lag = self._loop_lag()
        self._meters.places = self.slots
        self.telemetry = Telemetry(self.settings, self._meters)
        self._stack.callback(self.telemetry.close)

    def _tell_stats(self) -> None:
        """Have the service write down its inside while it lives."""
        self._meters.lag = self._loop_lag()
        self._meters.places = self.slots
        path = stats_path(self.settings.data_dir, self.settings.servico)
        sampler = Sampler(path, self._meters)
        sampler.start()
        self._stack.callback(sampler.stop)

    def _loop_lag(self) -> LagProbe | None:
        """Who watches the event loop, begun once: closely where the service tells all of itself."""
        if self._lag is None:
            self._lag = self._ports.loop_lag(closely=self.settings.stats)
            if self._lag is not None:
                self._stack.callback(self._lag.close)
        return self._lag

    def watch_pool(self, pool: Pool) -> None:
        """Tell of the calls that wait for a worker, too."""
        self._meters.pool = pool

    def start_background(self) -> None:
        """Begin what the service does on its own account: Pedidos recovers open orders."""
        if self._condutor is not None:
            self._recovery = self.execution.start(self._condutor.recuperar_sempre())

    def refuse_new(self) -> None:
        """Refuse every call that comes from now on, in words."""
        self.in_flight.fechado = True

    async def drain(self, limit_s: float) -> None:
        """Let the work under way finish, at most `limit_s` seconds."""
        if self._recovery is not None:
            self._recovery.cancelar()
        until = self.clock.now() + limit_s
        # Looked at again and again: an order that waits for its turn becomes work only then.
        while self.in_flight.total or self.execution.running(exceto=self._recovery):
            left = until - self.clock.now()
            if left <= 0:
                break
            await self.clock.sleep(min(left, DRAIN_LOOK_S))

    async def release(self) -> None:
        """End what is left of the service's work; whoever waits for it is answered as it stands."""
        if self.slots is not None:
            self.slots.fechar()
        await self.execution.stop()

    async def _storage(self, sala: Sala) -> OwnStorage:
        path = database_path(self.settings.data_dir, sala.nome)
        storage = await self._ports.storage(path, sala.synchronous, self._pressure)
        self._stack.push_async_callback(storage.close)
        return storage

    def _client(self, servico: str) -> Any:
        # One in flight a connection on REST: those that are driven, and beside them those that are
        # recovered. Cancelling has connections of its own.
        connections = self.settings.active_max + EXTRA_CONNECTIONS
        client = self._dial(
            servico,
            self.settings.addresses[servico],
            connections=connections,
            credencial=credential(self.settings.chain_token, servico),
        )
        self._stack.push_async_callback(client.close)
        if self._failpoints is not None:
            return NotedClient(client, servico, self._failpoints)
        return client

    def _guarded(self, servico: str) -> Any:
        """A client that fails fast while the service does not answer."""
        settings = self.settings
        client = self._client(servico)
        if not settings.circuit_breaker:
            return client
        # Behind Pagamentos nothing waits for the gateway.
        payment_s = settings.payment_latency_max_s if servico == "pagamentos" else 0.0
        pause_s = PAUSE_EDGE_S if settings.servico == "pedidos" else PAUSE_INNER_S
        timing = Timing(PATIENCE_S + payment_s, pause_s)
        guarded = Guarded(client, servico, timing, self.execution, random.random)
        self._meters.closed[servico] = guarded.steps.steady
        return guarded

    async def _open_pedidos(self, database: Database) -> None:
        settings = self.settings
        pagamentos = self._guarded("pagamentos")
        self._condutor = Condutor(
            database=database,
            clock=self.clock,
            tasks=self.execution,
            pagamentos=pagamentos,
            passage=pagamentos.steps if settings.circuit_breaker else AlwaysFree(),
            orcamento=Orcamento(random.random),
            politica=Politica(
                intervalo_varredura_s=settings.sweep_interval_s,
                # Seconds. Above the slowest payment, or an order that waits for it never ends.
                prazo_conducao_s=max(
                    settings.drive_deadline_s, settings.payment_latency_max_s + DRIVE_SLACK_S
                ),
                idade_desistencia_s=settings.give_up_age_s,
                espera_passagem_s=settings.passage_wait_s,
            ),
        )
        condutor = self._condutor
        self._meters.retries = lambda: condutor.retentativas
        await condutor.contar_abertas()
        self.slots = Slots(
            settings.in_flight_max,
            settings.active_max,
            self.execution,
            abertas=lambda: condutor.abertas,
        )
        self.service = Pedidos(
            database=database,
            clock=self.clock,
            tasks=self.execution,
            admission=self.slots,
            catalogo=self._guarded("catalogo"),
            condutor=self._condutor,
            nova_chave=lambda: str(uuid.uuid4()),
        )

    async def _open_pagamentos(self, database: Database) -> None:
        settings = self.settings
        gateway = GatewaySimulado(
            await self._storage(GATEWAY),
            self.clock,
            semente=settings.seed,
            latencia_min_s=settings.payment_latency_min_s,
            latencia_max_s=settings.payment_latency_max_s,
            aprovacao=settings.payment_approval,
        )
        self.service = Pagamentos(database, self.clock, gateway, self._guarded("estoque"))

    async def _open_estoque(self, database: Database) -> None:
        self.service = Estoque(database, self.clock, self._guarded("fiscal"))

    async def _open_fiscal(self, database: Database) -> None:
        self.service = Fiscal(database, self.clock, self._guarded("logistica"))

    async def _open_logistica(self, database: Database) -> None:
        self.service = Logistica(database, self.clock)

    async def _open_catalogo(self, database: Database) -> None:
        self.service = Catalogo(database, self.clock, self.execution, self._guarded("estoque"))


@asynccontextmanager
async def open_app(settings: Settings, dial: Dial, ports: Ports) -> AsyncIterator[App]:
    """A service on its real ports for the life of the block.

    Whatever was opened is closed last in, first out. The databases must have been prepared.
    """
    async with AsyncExitStack() as stack:
        app = App(settings, dial, ports, stack)
        await app.open()
        yield app
