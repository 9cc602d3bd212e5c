"""What the buttons do: loads, faults and the audit, by the same code as the commands."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from pathlib import Path
from signal import SIGKILL, SIGSTOP
from typing import Final, Literal

import psutil
from msgspec import Struct

from common.audit import AuditError, AuditReport, audit
from common.contratos import SERVICOS
from common.erros import ErroServico
from common.faults.failpoints import Rule
from common.process.runfile import NotRunningError, Run, read_run
from loadgen.chaos.arm import AttackedArm
from loadgen.driver.crew import Crew, CrewError
from loadgen.results.recorder import Live
from loadgen.workload.plan import Plan
from loadgen.workload.schedule import steady
from loadgen.workload.targets import EmptyShopError, fetch_population

# Bounds of a load from the panel: it shares its machine with everything else.
CALLERS_MAX: Final = 4_000
RATE_MAX: Final = 2_000.0
# Seconds. A load that nobody stops ends by itself.
LENGTH_S: Final = 3_600.0
# Things done that are listed.
LISTED_MAX: Final = 50

FaultKind = Literal["kill", "pause", "slow", "errors"]
# Points at which a service is slowed, or errs: before its own effect, where Catalogo has none.
POINT: Final = "P0"


# How the ids of the panel's own rules begin.
RULE_OF_OURS: Final = "painel-"


class ActionError(Exception):
    """An action that cannot be done; the message is one sentence, in Portuguese, for a person."""


class Done(Struct, kw_only=True):
    """Something that was done; `undo` is whether it can be taken back now."""

    id: int
    t: float
    what: str
    service: str = ""
    undo: bool = False
    ended: bool = False


class LoadNow(Struct, frozen=True):
    """The panel's own load: counts so far, and milliseconds of those that ended of late."""

    what: str
    sent: int
    completed: int
    failed: int
    unsent: int
    p50: float | None
    p99: float | None


class Acting:
    """Does things to one arm, and remembers what was done."""

    def __init__(self, data_dir: Path, rules: Path | None) -> None:
        """`rules` is the failpoints file of the arm; without one it can be killed and paused only."""
        self._data_dir = data_dir
        self._arm = AttackedArm(data_dir, rules or data_dir / "nenhum")
        self._has_rules = rules is not None
        self._rules: dict[int, Rule] = {}
        # What the arm was given besides stays in force.
        self._others: tuple[Rule, ...] = ()
        self._stopped: dict[int, int] = {}
        self._starting = asyncio.Lock()
        self._number = 0
        self._crew: Crew | None = None
        self._load: asyncio.Task[None] | None = None
        self._live: Live | None = None
        self._said = ""
        self.done: list[Done] = []

    def begin(self) -> None:
        """Take over from a panel that died: its rules end, what it had paused can be undone."""
        if self._has_rules:
            found = self._arm.rules_now()
            self._others = tuple(rule for rule in found if not rule.id.startswith(RULE_OF_OURS))
            if len(self._others) < len(found):
                self._write_rules()
        try:
            run = read_run(self._data_dir)
        except (OSError, ValueError):
            return
        for service, each in run.services.items():
            if each.pid is None:
                continue
            with contextlib.suppress(psutil.Error):
                if psutil.Process(each.pid).status() == psutil.STATUS_STOPPED:
                    done = self._note("pausado", service, undo=True)
                    self._stopped[done.id] = each.pid

    def _write_rules(self) -> None:
        self._arm.set_rules([*self._others, *self._rules.values()])

    def run(self) -> Run:
        """Who runs now. Raises ActionError."""
        try:
            return read_run(self._data_dir)
        except NotRunningError:
            raise ActionError("nada está em execução") from None
        except (OSError, ValueError) as error:
            raise ActionError(f"run.json não pode ser lido: {error}") from None

    # --- loads ----------------------------------------------------------------------------------

    async def start_load(self, callers: int | None, rate: float | None) -> None:
        """Begin a load of so many callers, or of so many orders a second. Raises ActionError."""
        async with self._starting:
            await self._start_load(callers, rate)

    async def _start_load(self, callers: int | None, rate: float | None) -> None:
        if self._load is not None:
            raise ActionError("já há uma carga: pare-a antes de começar outra")
        if (callers is None) == (rate is None):
            raise ActionError("diga quantos clientes, ou quantos pedidos por segundo")
        if callers is not None and not 1 <= callers <= CALLERS_MAX:
            raise ActionError(f"clientes: de 1 a {CALLERS_MAX}")
        if rate is not None and not 0 < rate <= RATE_MAX:
            raise ActionError(f"pedidos por segundo: acima de 0, até {RATE_MAX:g}")
        run = self.run()
        pedidos, catalogo = run.services["pedidos"].address, run.services["catalogo"].address
        try:
            population = await fetch_population(run.mode, pedidos, catalogo)
        except (ErroServico, EmptyShopError):
            raise ActionError("a loja não responde: espere que todos os serviços voltem") from None
        words = f"{callers} clientes" if callers is not None else f"{rate:g} pedidos por segundo"
        plan = Plan(
            mode=run.mode, address=pedidos, population=population, run_id=secrets.token_hex(6),
            concurrency=callers or 0, duration_s=None if rate else LENGTH_S,
            schedule=steady(rate, LENGTH_S) if rate else None,
        )  # fmt: skip
        self._crew = Crew(plan, on_progress=self._progress)
        self._said, self._live = words, None
        self._load = asyncio.create_task(self._run_load(self._crew))
        self._note(f"carga: {words}", undo=True)

    async def stop_load(self) -> None:
        """End the load; orders under way are left to end. Raises ActionError."""
        if self._crew is None or self._load is None:
            raise ActionError("não há carga")
        self._crew.stop()
        await asyncio.wait((self._load,), timeout=5)
        if self._load is not None:
            # Orders that a fault holds up are not waited for.
            self._crew.stop()

    def load(self) -> LoadNow | None:
        """The load of this moment; None for none."""
        if self._load is None:
            return None
        live = self._live or Live(0, 0, 0, [])
        recent = sorted(live.recent_ms)
        p50 = round(recent[len(recent) // 2], 2) if recent else None
        p99 = round(recent[len(recent) * 99 // 100], 2) if recent else None
        return LoadNow(self._said, live.sent, live.completed, live.failed, live.unsent, p50, p99)

    def _progress(self, live: Live) -> None:
        self._live = live

    async def _run_load(self, crew: Crew) -> None:
        try:
            await crew.run()
        except CrewError as error:
            self._note(f"a carga terminou: {error}")
        finally:
            if self._crew is crew:
                self._crew = self._load = None
            for each in self.done:
                if each.undo and each.what.startswith("carga: "):
                    each.undo, each.ended = False, True

    # --- faults ---------------------------------------------------------------------------------

    def strike(self, kind: FaultKind, service: str, amount: float) -> None:
        """Do something to a service; `amount` is seconds of a delay, or a share of errors.

        Raises ActionError.
        """
        if service not in SERVICOS:
            raise ActionError(f"não há serviço {service!r}")
        if kind in {"slow", "errors"}:
            self._fail(kind, service, amount)
            return
        self.run()
        sign = SIGKILL if kind == "kill" else SIGSTOP
        pid = self._arm.signal(service, sign)
        if pid is None:
            raise ActionError(f"{service} não tem processo agora")
        done = self._note(
            "morto (volta sozinho)" if kind == "kill" else "pausado", service, undo=kind == "pause"
        )
        if kind == "pause":
            self._stopped[done.id] = pid

    def _fail(self, kind: FaultKind, service: str, amount: float) -> None:
        if not self._has_rules:
            raise ActionError("este braço começou sem pontos de falha: use run_all.py --panel")
        slow = kind == "slow"
        words = f"{amount:g} s mais lento" if slow else f"erra {amount:.0%} das vezes"
        number = self._number + 1
        try:
            rule = Rule(
                id=f"{RULE_OF_OURS}{number}", service=service, point=POINT,
                action="delay" if slow else "error",
                seconds=amount if slow else 0.0,
                probability=1.0 if slow else amount,
            )  # fmt: skip
        except ValueError as error:
            raise ActionError(f"{service}: {error}") from None
        done = self._note(words, service, undo=True)
        self._rules[done.id] = rule
        self._write_rules()

    def undo(self, number: int) -> None:
        """Take back what was done. Raises ActionError."""
        done = next((each for each in self.done if each.id == number and each.undo), None)
        if done is None:
            raise ActionError("isso já não se desfaz")
        if number in self._rules:
            del self._rules[number]
            self._write_rules()
        elif number in self._stopped:
            self._arm.resume(self._stopped.pop(number))
        elif self._crew is not None:
            self._crew.stop()
        done.undo, done.ended = False, True

    def undo_all(self) -> None:
        """Take back everything that still can be."""
        for each in list(self.done):
            if each.undo:
                self.undo(each.id)

    # --- the audit ------------------------------------------------------------------------------

    async def audited(self) -> AuditReport:
        """Check every rule on the data as they are now. Raises ActionError."""
        try:
            report = await asyncio.to_thread(audit, self._data_dir)
        except AuditError as error:
            raise ActionError(str(error)) from None
        found = report.violations
        self._note(f"auditoria: {found} violações" if found else "auditoria: limpa")
        return report

    async def close(self) -> None:
        """Leave the arm as it would be without the panel."""
        self.undo_all()
        if self._load is not None:
            self._load.cancel()
            await asyncio.gather(self._load, return_exceptions=True)

    def _note(self, what: str, service: str = "", *, undo: bool = False) -> Done:
        self._number += 1
        done = Done(id=self._number, t=time.time(), what=what, service=service, undo=undo)
        self.done.append(done)
        # What can still be undone stays, however much has been done since.
        old = [each for each in self.done[:-LISTED_MAX] if each.undo]
        self.done = old + self.done[-LISTED_MAX:]
        return done
