"""The telemetry of one service process, put together."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable
from threading import Lock
from typing import TYPE_CHECKING

from common.servicos.protocolo.record import server_timing
from common.settings import Settings
from common.telemetry.meters import Meters
from common.telemetry.retention import Kept
from common.telemetry.side_port import SidePort
from common.telemetry.traces import BORDA, Traces

if TYPE_CHECKING:
    from common.telemetry.exporter import Exporter

_LOG = logging.getLogger(__name__)


class Telemetry:
    """Shows the meters of a service; at the edge it also has the traces, and keeps some."""

    def __init__(self, settings: Settings, meters: Meters) -> None:
        self._meters = meters
        edge = settings.servico == BORDA
        self._exporter = _exporter(settings.mode) if edge else None
        self.traces = Traces(settings.trace_share, self._keep, random.Random()) if edge else None
        # Prometheus' library takes a while to load, in which calls are counted.
        self._first = Lock()
        self._render: Callable[[], bytes] | None = None
        self._side: SidePort | None = None
        # Where they are shown, once they are.
        self.address = ""

    def page(self) -> bytes:
        """The meters in Prometheus' text format."""
        with self._first:
            if self._render is None:
                # Only now: a service starts without the library, and sooner.
                from common.telemetry.exposition import renderer

                self._render = renderer(self._meters)
        return self._render()

    def serve(self, host: str, port: int, allowed: Iterable[str]) -> None:
        """Show them on a port of their own, where the service itself does not speak HTTP.

        `allowed` are further names under which it is asked there. Raises OSError when the port is
        taken.
        """
        self._side = SidePort(host, port, self.page, allowed)
        self.address = self._side.address

    def close(self) -> None:
        """Send what waits, and end."""
        if self._side is not None:
            self._side.close()
        if self._exporter is not None:
            self._exporter.close()

    def _keep(self, kept: Kept) -> None:
        """Keep a trace: a line in the log, and its spans where they are wanted."""
        said = {
            "trace_id": kept.context.trace_id, "operation": kept.operation,
            "server_timing": server_timing(kept.hops), "hops": kept.hops, "kept": kept.why,
            "pedido_id": kept.order or 0,
        }  # fmt: skip
        _LOG.info("%s: rastro guardado (%s)", kept.operation, kept.why, extra={"said": said})
        if self._exporter is not None:
            self._exporter.send(kept)


def _exporter(mode: str) -> Exporter | None:
    """Who sends spans, where the environment says where to; loaded at the edge alone."""
    from common.telemetry.exporter import Exporter, wanted

    return Exporter(mode) if wanted() else None
