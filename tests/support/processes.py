"""A service of a cluster in a process of its own, to be killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import TYPE_CHECKING

from common import ROOT

if TYPE_CHECKING:
    from collections.abc import (
        Mapping,
        Sequence,
    )

    from tests.support.cluster import Cluster


class Process:
    """A service in a process of its own, to be killed."""

    def __init__(self, process: asyncio.subprocess.Process, address: str) -> None:
        self._process = process
        self.address = address

    @classmethod
    async def start(
        cls,
        cluster: Cluster,
        servico: str,
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Process:
        """Start it and wait until it answers; the cluster speaks to it from then on.

        `command` is what runs the arm's module, where it is not the interpreter as usual;
        `environment` is added to the test's own.
        """
        settings = cluster.settings(servico)
        process = await asyncio.create_subprocess_exec(
            *(command or (sys.executable, "-m", cluster.arm.module)),
            servico,
            f"--port={settings.port}",
            f"--data-dir={settings.data_dir}",
            f"--shop={settings.shop}",
            "--sweep-interval=0.1",
            f"--payment-latency={settings.payment_latency_max_s}",
            f"--payment-approval={settings.payment_approval}",
            *(f"--address={nome}={address}" for nome, address in settings.addresses.items()),
            cwd=ROOT,
            env=os.environ | (environment or {}),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        address = json.loads(await process.stdout.readline())["address"]
        cluster.addresses[servico] = address
        return cls(process, address)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    async def wait(self) -> int:
        """Wait for its end; its exit code, minus a signal's number."""
        return await self._process.wait()

    def stop(self) -> None:
        """SIGSTOP: when this returns all of it stands still, and its sockets take in what comes."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def go_on(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """Kill -9, if it still lives."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
