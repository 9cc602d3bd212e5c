"""The telemetry of one service process, put together."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from common.contratos import Operacao
from common.settings import Settings
from common.telemetry.metrics import Metrics
from common.telemetry.observers import BORDA, EdgeWatch, Watch, Watching
from common.telemetry.retention import Kept
from common.telemetry.side_port import SidePort
from common.telemetry.stats import Gauges, Lag

if TYPE_CHECKING:
    from common.telemetry.exporter import Exporter

_LOG = logging.getLogger(__name__)


class Telemetry:
    """Metrics of a service; at the edge also the traces that are kept."""

    def __init__(self, settings: Settings, gauges: Gauges, loop: Callable[[], Lag] | None) -> None:
        """`loop` gives the lag of the event loop since it was last asked."""
        self._metrics = Metrics(settings.servico, gauges, loop)
        edge = settings.servico == BORDA
        self._exporter = _exporter(settings.mode) if edge else None
        self._watching = Watching(
            settings.servico, self._metrics, settings.trace_share, self._keep, random.Random()
        )
        self._side: SidePort | None = None
        # Where they are shown, once they are.
        self.address = ""

    def watch(self, operacao: Operacao) -> Watch | EdgeWatch:
        """Who is told of an operation's calls."""
        return self._watching.of(operacao)

    def page(self) -> bytes:
        """The metrics as Prometheus reads them."""
        return self._metrics.page()

    def serve(self, host: str, port: int, allowed: Iterable[str]) -> None:
        """Show them on a port of their own, where the service itself does not speak HTTP.

        `allowed` are further names under which it is asked there. Raises OSError when the port is
        taken.
        """
        self._side = SidePort(host, port, self._metrics.page, allowed)
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
            "server_timing": kept.record, "kept": kept.why, "pedido_id": kept.order or 0,
        }  # fmt: skip
        _LOG.info("%s: rastro guardado (%s)", kept.operation, kept.why, extra={"said": said})
        if self._exporter is not None:
            self._exporter.send(kept)


def _exporter(mode: str) -> Exporter | None:
    """Who sends spans, where the environment says where to; loaded at the edge alone."""
    from common.telemetry.exporter import Exporter, wanted

    return Exporter(mode) if wanted() else None
