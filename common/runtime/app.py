"""A service while it runs: opened on its real ports, drained, and closed, in every arm.

How an arm waits is said by its `Ports`. Where these block, so does everything here, and the
coroutines run to their end in one go.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import Any, Final

from common.callers import credential
from common.contratos import operacoes_de
from common.faults.failpoints import Failpoints
from common.faults.points import Faults, struck_method
from common.runtime.services import SERVICES, Service
from common.runtime.site import Dial, Ports, Site
from common.servicos.protocolo.portas import Task
from common.serving.admission import Slots
from common.serving.pipeline import Endpoint, endpoints
from common.serving.standstill import Standstill
from common.settings import Settings, stats_path
from common.telemetry.in_flight import InFlight
from common.telemetry.meters import LagProbe, Meters, Pool
from common.telemetry.service import Telemetry
from common.telemetry.stats import Sampler

# Seconds between looks at what is still under way while a service drains.
DRAIN_LOOK_S: Final = 0.01


class App:
    """A service, open, and what lives with it."""

    def __init__(self, settings: Settings, ports: Ports, stack: AsyncExitStack) -> None:
        self.settings = settings
        self.clock = ports.clock
        self.execution = ports.execution
        self.in_flight = InFlight()
        self.telemetry: Telemetry | None = None
        self._ports = ports
        self._stack = stack
        self._meters = Meters(settings.servico, self.in_flight)
        self._lag: LagProbe | None = None
        self._recovery: Task | None = None
        self._service: Service
        self._standstill: Standstill
        self._faults: Faults | None = None

    async def open(self, dial: Dial, faults: Faults | None) -> None:
        """Put the service together on its databases and neighbours."""
        settings = self.settings
        failpoints = None
        if settings.failpoints is not None:
            failpoints = Failpoints(
                settings.failpoints, settings.servico, self.clock, self.execution
            )
        self._faults = faults or failpoints
        site = Site(
            settings, dial, self._ports, self._stack, self._meters,
            failpoints=failpoints, faults=self._faults,
        )  # fmt: skip
        self._service = await SERVICES[settings.servico](site)
        if settings.stats:
            self._tell_stats()
        if settings.telemetry:
            self._observe()
        # Closed before the clients and the storage that its tasks use.
        self._stack.push_async_callback(self.execution.stop)
        # Last: to open databases may hold up the loop, and no call came meanwhile.
        self._standstill = self._stack.enter_context(self._ports.beating())

    @property
    def service(self) -> Any:
        """The object whose methods are the operations."""
        return self._service.operations

    @property
    def slots(self) -> Slots | None:
        """Admission at the edge; None behind it."""
        return self._service.slots

    def endpoints(self) -> list[Endpoint]:
        """The operations of the service, ready for a transport to bind."""
        traces = None if self.telemetry is None else self.telemetry.traces
        servico, service, faults = self.settings.servico, self.service, self._faults
        if faults is not None:
            service = SimpleNamespace(
                **{
                    each.nome: struck_method(getattr(service, each.nome), each, faults)
                    for each in operacoes_de(servico)
                }
            )
        credencial = credential(self.settings.chain_token, servico)
        return endpoints(
            service, servico, self._meters, self._standstill, traces=traces, credencial=credencial
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
        if self._service.background is not None:
            self._recovery = self.execution.start(self._service.background())

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


@asynccontextmanager
async def open_app(
    settings: Settings, dial: Dial, ports: Ports, faults: Faults | None = None
) -> AsyncIterator[App]:
    """A service on its real ports for the life of the block.

    Whatever was opened is closed last in, first out. The databases must have been prepared. `faults`
    are set into the ports in place of those of the settings' file.
    """
    async with AsyncExitStack() as stack:
        app = App(settings, ports, stack)
        await app.open(dial, faults)
        yield app
