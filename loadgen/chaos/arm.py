"""The arm under attack: who lives in it, how to strike it, and when it is whole again."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, Signals
from typing import Final

from common.contratos import SERVICOS
from common.faults.failpoints import Hit, Rule, Rules, read_hits, read_rules, write_rules
from common.process.runfile import Run, read_run
from common.storage.files import database_path

# Seconds between looks at run.json and at the hits.
LOOK_S: Final = 0.02


_LAST_AND_OPEN: Final = """
SELECT max(id), count(*) FILTER (WHERE status IN ('pendente', 'cancelando') AND origem = 'loja')
FROM pedidos
"""


class ArmError(Exception):
    """The arm did not do what it must for the experiment to mean something."""


class AttackedArm:
    """An arm that runs on `data_dir` with its failpoints in `rules`."""

    def __init__(self, data_dir: Path, rules: Path, seed: int = 0) -> None:
        self.data_dir = data_dir
        self.rules = rules
        self._seed = seed
        self._note_calls = False

    def rules_now(self) -> tuple[Rule, ...]:
        """The rules in force. Raises FailpointsError when their file is damaged."""
        return read_rules(self.rules).rules

    def run(self) -> Run:
        """Who runs now."""
        return read_run(self.data_dir)

    def pid(self, service: str) -> int | None:
        """The process of a service, None while there is none."""
        return self.run().services[service].pid

    def signal(self, service: str, sign: Signals) -> int | None:
        """Send a signal to a service; returns the process it went to, None when none lives."""
        pid = self.pid(service)
        if pid is None:
            return None
        try:
            os.kill(pid, sign)
        except ProcessLookupError:
            return None
        return pid

    def strike(self, services: Iterable[str], sign: Signals) -> dict[str, int]:
        """Send a signal to several services at once; returns the processes that it reached."""
        pids = {service: self.signal(service, sign) for service in services}
        return {service: pid for service, pid in pids.items() if pid is not None}

    def signal_or_fail(self, service: str, sign: Signals) -> int:
        """Send a signal to a service; returns its process. Raises ArmError when none lives."""
        pid = self.signal(service, sign)
        if pid is None:
            msg = f"{service} has no process"
            raise ArmError(msg)
        return pid

    async def keep_down(self, service: str, limit_s: float) -> int:
        """Kill a service and stop its next life before it listens; `resume` what is returned.

        Raises ArmError when there is no next life in time, or it was ready too soon.
        """
        killed = self.signal_or_fail(service, SIGKILL)
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            now = self.run().services[service]
            if now.pid not in {None, killed}:
                pid = self.signal_or_fail(service, SIGSTOP)
                if self.run().services[service].ready:
                    self.resume(pid)
                    msg = f"{service} was ready again before it could be stopped"
                    raise ArmError(msg)
                return pid
            await asyncio.sleep(LOOK_S)
        msg = f"{service} did not start again in {limit_s:g} s"
        raise ArmError(msg)

    def note_calls(self) -> None:
        """Have every call between services noted from now on."""
        self._note_calls = True
        self.set_rules()

    def epoch(self) -> float:
        """Seconds since 1970, as the services' notes have them."""
        return time.time()

    def resume(self, *pids: int) -> None:
        """Let stopped processes go on, those that still live."""
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, SIGCONT)

    def book(self) -> tuple[int, int]:
        """The number of the newest order, and how many are open. Raises sqlite3.Error."""
        path = database_path(self.data_dir, "pedidos")
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as con:
            last, still_open = con.execute(_LAST_AND_OPEN).fetchone()
        return last or 0, still_open

    def set_rules(self, rules: Iterable[Rule] = ()) -> None:
        """Put these failpoints in force, and no others."""
        write_rules(self.rules, Rules(tuple(rules), self._seed, self._note_calls))

    def hits(self, rule: str) -> list[Hit]:
        """The hits of one rule so far."""
        return [hit for hit in read_hits(self.rules) if hit.rule == rule]

    async def hit(self, rule: str, limit_s: float, number: int = 1) -> Hit | None:
        """The hit of a rule with this number, waited for; None when it does not come in time."""
        until = time.monotonic() + limit_s
        while True:
            hits = self.hits(rule)
            if len(hits) >= number:
                return hits[number - 1]
            if time.monotonic() >= until:
                return None
            await asyncio.sleep(LOOK_S)

    async def whole(self, limit_s: float, *, replaced: dict[str, int] | None = None) -> float:
        """Wait until every service is ready; returns the seconds it took. Raises ArmError.

        `replaced` names processes that must be gone: their end may not be known yet.
        """
        start = time.monotonic()
        gone = replaced or {}
        while True:
            services = self.run().services
            missing = [
                name
                for name in SERVICOS
                if not services[name].ready or services[name].pid == gone.get(name)
            ]
            if not missing:
                return time.monotonic() - start
            if time.monotonic() - start > limit_s:
                msg = f"not ready again after {limit_s:g} s: {', '.join(missing)}"
                raise ArmError(msg)
            await asyncio.sleep(LOOK_S)
