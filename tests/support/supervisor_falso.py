"""Supervises services that only pretend: the part of run_all.py that must be killed from outside.

`python supervisor_falso.py DATA_DIR`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from common.contratos import SERVICOS
from common.process.runfile import Run, supervising
from common.process.supervisor import Plan, Supervisor

FALSO = str(Path(__file__).with_name("servico_falso.py"))


def plano(data_dir: Path, modo: Callable[[str], str] = lambda _servico: "normal") -> Plan:
    """Six services that pretend, each as `modo` says at each of its starts."""
    enderecos = {servico: f"127.0.0.1:{porta}" for porta, servico in enumerate(SERVICOS, 1)}
    run = Run(
        mode="grpc",
        supervisor=os.getpid(),
        shop="ecommerce.db",
        seed=42,
        payment_latency=(0.5, 1.5),
        payment_approval=0.9,
        stock=None,
        in_flight_max=16,
        active_max=4,
        loop="asyncio",
    )
    return Plan(
        data_dir=data_dir,
        run=run,
        addresses=enderecos,
        command=lambda s: [sys.executable, "-I", "-S", FALSO, s, enderecos[s], modo(s)],
        started=time.monotonic(),
    )


async def _supervisionar(data_dir: Path) -> int:
    return await Supervisor(plano(data_dir)).run()


if __name__ == "__main__":
    pasta = Path(sys.argv[1])
    with supervising(pasta):
        sys.exit(asyncio.run(_supervisionar(pasta)))
