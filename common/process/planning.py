"""What a supervisor is to run, made from the settings of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping

from msgspec.structs import replace

from common.arms import ARMS
from common.callers import CHAIN_GIVEN
from common.options import settings_as_json, told
from common.process.child import python
from common.process.runfile import Run
from common.process.supervisor import Plan
from common.settings import Settings


def plan(
    settings: Settings, addresses: dict[str, str], metrics: Mapping[str, str] | None, started: float
) -> Plan:
    """The six services of an arm. `settings.servico` counts for nothing.

    `metrics` are the addresses at which services show metrics that have none inside; None where all
    have. `started` is the monotonic instant at which the command began.
    """
    package = ARMS[settings.mode].package

    def command(servico: str) -> list[str]:
        port = int(addresses[servico].rpartition(":")[2])
        side = None if metrics is None else int(metrics[servico].rpartition(":")[2])
        own = replace(
            settings, servico=servico, port=port, addresses=addresses, metrics_port=side,
            exit_with_parent=True,
        )  # fmt: skip
        return python("-m", package, servico, f"--settings={settings_as_json(own)}")

    token = settings.chain_token
    return Plan(
        data_dir=settings.data_dir,
        run=Run(
            mode=settings.mode,
            supervisor=os.getpid(),
            chain_token=token is not None,
            storage=settings.storage,
            **(told(settings) | {"shop": str(settings.shop)}),
        ),
        addresses=addresses,
        metrics={
            servico: f"http://{address}/metrics"
            for servico, address in (metrics or addresses).items()
            if settings.telemetry
        },
        command=command,
        variables={} if token is None else {CHAIN_GIVEN: token},
        started=started,
    )
