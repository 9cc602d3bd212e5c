"""What a service is built on: an arm's ports, its own databases, and the ways to its neighbours."""

from __future__ import annotations

import random
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path
from typing import Final, Protocol

from common.callers import credential
from common.faults.call_log import logged_call
from common.faults.failing_storage import FailingDisk, FailingStorage
from common.faults.failpoints import Failpoints
from common.faults.points import Faults, StruckDatabase, struck_call
from common.servicos.protocolo.portas import Call, Clock, Database, Passage, Task, Tasks
from common.serving.circuit_breaker import (
    PATIENCE_S,
    PAUSE_EDGE_S,
    PAUSE_INNER_S,
    AlwaysFree,
    Guarded,
    Timing,
)
from common.serving.standstill import Standstill
from common.settings import EXTRA_CONNECTIONS, Settings
from common.storage.connection import Synchronous
from common.storage.database import MakeEngine
from common.storage.files import Sala, database_path
from common.storage.pressure import Pressure
from common.storage.sqlite import SQLiteEngine
from common.telemetry.meters import LagProbe, Meters, Writer

# The services that have another one wait for the payment behind them.
_WAITS_FOR_PAYMENT: Final = ("pagamentos",)


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

    async def storage(
        self, path: Path, synchronous: Synchronous, pressure: Pressure, engine: MakeEngine
    ) -> OwnStorage:
        """Open an existing database. Raises ErroServico (unavailable) when SQLite refuses it.

        `engine` makes the engine of the connection that writes.
        """

    def loop_lag(self, *, closely: bool) -> LagProbe | None:
        """Begin to watch the event loop; None where there is none."""

    def beating(self) -> AbstractContextManager[Standstill]:
        """For the life of the block it is noticed when this process stands still."""


class Client(Protocol):
    """A client of another service."""

    @property
    def call(self) -> Call:
        """Ask for any of its operations."""

    async def close(self) -> None:
        """Close its connections."""


class Dial(Protocol):
    """An arm's way to reach another service."""

    def __call__(
        self, servico: str, address: str, *, connections: int, credencial: str | None
    ) -> Client:
        """A client, not yet connected.

        `credencial` is what the hop before that service brings, if it must.
        """


class Site:
    """Gives a service what it stands on. All that it opens is closed with `stack`."""

    def __init__(
        self,
        settings: Settings,
        dial: Dial,
        ports: Ports,
        stack: AsyncExitStack,
        meters: Meters,
        *,
        failpoints: Failpoints | None,
        faults: Faults | None,
    ) -> None:
        """`failpoints` are those of a file; `faults` are set into the ports, if any."""
        self.settings = settings
        self.clock: Clock = ports.clock
        self.tasks: Tasks = ports.execution
        self.meters = meters
        self.faults = faults
        self._dial = dial
        self._ports = ports
        self._stack = stack
        self._failpoints = failpoints
        self._pressure = Pressure()

    async def database(self, sala: Sala) -> Database:
        """The service's own database, whose writer its meters read."""
        disk = FailingDisk()
        engine = SQLiteEngine if self._failpoints is None else disk.engine
        opened = await self._open(sala, engine)
        self.meters.writer = opened.writer
        database: Database = opened
        if self._failpoints is not None:
            database = FailingStorage(
                opened,
                disk,
                database_path(self.settings.data_dir, sala.nome),
                failpoints=self._failpoints,
                clock=self.clock,
                tasks=self.tasks,
            )
        return database if self.faults is None else StruckDatabase(database, self.faults)

    async def foreign_database(self, sala: Sala) -> Database:
        """A database of the outside world: no fault on purpose meets it."""
        return await self._open(sala, SQLiteEngine)

    def neighbour(self, servico: str) -> tuple[Call, Passage]:
        """The way to another service, and whether it is free just now.

        From the inside out: the arm's client, the log of calls, failing fast, faults on purpose.
        """
        settings = self.settings
        # One in flight per connection on REST: orders that are driven, and those recovered besides.
        client = self._dial(
            servico,
            settings.addresses[servico],
            connections=settings.active_max + EXTRA_CONNECTIONS,
            credencial=credential(settings.chain_token, servico),
        )
        self._stack.push_async_callback(client.close)
        call: Call = client.call
        passage: Passage = AlwaysFree()
        if self._failpoints is not None:
            call = logged_call(call, servico, self._failpoints)
        if settings.circuit_breaker:
            guarded = Guarded(call, servico, self._timing(servico), self.tasks, random.random)
            self.meters.closed[servico] = guarded.steps.steady
            call, passage = guarded.call, guarded.steps
        if self.faults is not None:
            call = struck_call(call, self.faults)
        return call, passage

    def _timing(self, servico: str) -> Timing:
        settings = self.settings
        payment_s = settings.payment_latency_max_s if servico in _WAITS_FOR_PAYMENT else 0.0
        pause_s = PAUSE_EDGE_S if settings.servico == "pedidos" else PAUSE_INNER_S
        return Timing(PATIENCE_S + payment_s, pause_s)

    async def _open(self, sala: Sala, engine: MakeEngine) -> OwnStorage:
        path = database_path(self.settings.data_dir, sala.nome)
        storage = await self._ports.storage(path, sala.synchronous, self._pressure, engine)
        self._stack.push_async_callback(storage.close)
        return storage
