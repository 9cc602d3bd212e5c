"""Failpoints: named places on the way of an order where a test may have a service fail.

A service has those points that lie on its way (POINTS; `points.py` sets them). Rules come from a file that is read again whenever it changes, so one running arm can be put through many
faults. Every hit is appended to `<file>.hits` before the
action is taken: a killed process has told of it, and counts hold over its restart. A service that is
started without a file has no failpoints at all.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from hashlib import blake2b
from math import inf
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec import Struct

from common.contratos import SERVICOS
from common.erros import ErroServico, indisponivel
from common.faults.points import Point
from common.servicos.protocolo.portas import Clock, Promise, Tasks

R = TypeVar("R")

_LOG = logging.getLogger(__name__)

# What happens at a point: the process is killed or stopped (SIGKILL, SIGSTOP), waits for a time or
# until its rule is withdrawn, or fails as unavailable; at `banco` the disk is full or broken, or
# somebody else has the database locked.
Action = Literal["kill", "pause", "delay", "hold", "error", "disk_full", "io_error", "locked"]
AT_STORAGE: Final = frozenset(("disk_full", "io_error", "locked"))
# The points that lie on an order's way through each service. Behind Logistica there is no next hop,
# only Pagamentos asks the gateway, and Catalogo has no part in an order.
_LINK: Final[tuple[Point, ...]] = ("P0", "P1", "P2", "P3", "P4", "P5", "banco")
POINTS: Final[dict[str, tuple[Point, ...]]] = {
    "pedidos": _LINK,
    "pagamentos": ("gateway", *_LINK),
    "estoque": _LINK,
    "fiscal": _LINK,
    "logistica": ("P0", "P4", "P5", "banco"),
    "catalogo": (),
}
# Seconds. How long the next hop works before P2 acts, unless the rule says otherwise.
DURING_S: Final = 0.05
# Seconds between looks whether a hold has been withdrawn, and the longest that one lasts.
_LOOK_S: Final = 0.02
HOLD_MAX_S: Final = 60.0


class Rule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One thing that shall go wrong: where, what, and for whom.

    `order_id` chooses one order; the claim at Pedidos knows none yet, and counts as order 0. `skip`
    lets so many pass that the rule would strike, counted by a process from when it first read the
    rule. `times` bounds its hits, those that the hits file already tells of included. `probability` is
    drawn anew each time from the seed, the rule and the order. `seconds` is the length of a delay
    and of a lock, and at P2 how long the next hop is left to work first.
    """

    id: str
    service: str
    point: Point
    action: Action
    order_id: int | None = None
    skip: int = 0
    times: int | None = None
    probability: float = 1.0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.service not in SERVICOS:
            msg = f"service must be one of {', '.join(SERVICOS)}, not {self.service!r}"
            raise ValueError(msg)
        if self.point not in POINTS[self.service]:
            points = ", ".join(POINTS[self.service]) or "no point at all"
            msg = (
                f"rule {self.id!r} can never strike: {self.service} has {points}, not {self.point}"
            )
            raise ValueError(msg)
        if (self.action in AT_STORAGE) != (self.point == "banco"):
            msg = (
                f"rule {self.id!r} can never strike: {self.action} does not happen at {self.point}"
            )
            raise ValueError(msg)
        least = ((self.order_id, 1), (self.skip, 0), (self.times, 1))
        if any(value is not None and value < bound for value, bound in least):
            msg = f"rule {self.id!r}: order_id and times must be at least 1, skip at least 0"
            raise ValueError(msg)
        if not 0 < self.probability <= 1 or not 0 <= self.seconds <= 3_600:
            msg = f"rule {self.id!r}: probability must be above 0 and at most 1, seconds 0 to 3600"
            raise ValueError(msg)
        if self.action == "locked" and not self.seconds:
            msg = f"rule {self.id!r}: locked needs seconds, for which the lock is kept"
            raise ValueError(msg)


class Rules(Struct, frozen=True, forbid_unknown_fields=True):
    """The file's content."""

    rules: tuple[Rule, ...] = ()
    seed: int = 0
    # Services note every call that they make to another one in `<file>.calls`.
    note_calls: bool = False


class Hit(Struct, frozen=True):
    """A line of the hits file: which process was struck; `instant` is in seconds since 1970."""

    rule: str
    service: str
    point: str
    order_id: int
    instant: float
    pid: int


class FailpointsError(ValueError):
    """A file of rules that cannot be used; the message is one clear sentence."""


def hits_path(path: Path) -> Path:
    """Where the hits of a rules file are kept."""
    return path.with_name(f"{path.name}.hits")


def read_hits(path: Path) -> list[Hit]:
    """Every hit so far of the rules file `path`."""
    try:
        lines = hits_path(path).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [msgspec.json.decode(line, type=Hit) for line in lines]


def write_rules(path: Path, rules: Rules) -> None:
    """Put new rules in force, in one step; services see them at their next point."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_bytes(msgspec.json.encode(rules))
    temporary.replace(path)


def read_rules(path: Path) -> Rules:
    """The rules of a file; none when there is no file. Raises FailpointsError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Rules)
    except FileNotFoundError:
        return Rules()
    except (msgspec.MsgspecError, ValueError) as error:
        msg = f"{path} holds no usable failpoints: {error}"
        raise FailpointsError(msg) from None
    except OSError as error:
        msg = f"cannot read the failpoints of {path}: {error.strerror}"
        raise FailpointsError(msg) from error


class Failpoints:
    """The failpoints of one service process; the port `Faults`."""

    def __init__(self, path: Path, service: str, clock: Clock, execution: Tasks) -> None:
        """Raises FailpointsError when the file is not there or cannot be used."""
        if not path.exists():
            msg = (
                f"{path} does not exist; write the failpoints' rules there, or leave the option out"
            )
            raise FailpointsError(msg)
        self.path = path
        self._service = service
        self._clock = clock
        self._execution = execution
        self._lock = threading.RLock()
        self._stamp: tuple[int, int, int] | None = None
        self._rules: dict[str, list[Rule]] = {}
        self._seed = 0
        self._note_calls = False
        self._load(read_rules(path))
        # What earlier lives of this service have hit counts too.
        self._counts = Counter(hit.rule for hit in read_hits(path) if hit.service == service)
        self._passed: Counter[str] = Counter()

    async def at(self, point: Point, pedido_id: int) -> None:
        """Stand at a point; returns, later or never, or raises ErroServico (unavailable)."""
        rule = self.hit(point, pedido_id)
        if rule is not None:
            await self._act(rule)

    async def around(self, pedido_id: int, call: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """Call the next hop by way of P1, P2 and P3."""
        await self.at("P1", pedido_id)
        with self._lock:
            rule = self._match("P2", pedido_id)
        if rule is None:
            answer = await call()
        else:
            answer = await self._during(rule, pedido_id, call())
        await self.at("P3", pedido_id)
        return answer

    def wants_calls(self) -> bool:
        """True while the rules want every call to another service noted."""
        with self._lock:
            self._refresh()
            return self._note_calls

    def note(self, beside: Path, line: Struct) -> None:
        """Add a line to a file beside the rules, in one write: several processes share it."""
        descriptor = os.open(beside, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, msgspec.json.encode(line) + b"\n")
        finally:
            os.close(descriptor)

    def hit(self, point: Point, pedido_id: int) -> Rule | None:
        """The rule that an order meets at a point, told of in the hits file; not yet acted on."""
        with self._lock:
            rule = self._match(point, pedido_id)
            if rule is not None:
                self._record(rule, pedido_id)
            return rule

    # --- how ----------------------------------------------------------------------------------

    async def _during(self, rule: Rule, pedido_id: int, chamada: Coroutine[Any, Any, R]) -> R:
        """Have the call made beside us; act once it has worked for the rule's time.

        An error gives up on it: the other side goes on, and nobody hears its answer.
        """
        promise: Promise[R] = self._execution.promise()
        try:
            task = self._execution.start(_fulfil(promise, chamada))
        except ErroServico:
            chamada.close()
            raise
        try:
            await promise.wait(self._clock.now() + (rule.seconds or DURING_S))
            if not promise.done():
                with self._lock:
                    self._record(rule, pedido_id)
                await self._act(rule)
            answer = await promise.wait(inf)
        except ErroServico:
            raise
        except BaseException:
            task.cancelar()
            raise
        assert answer is not None
        return answer

    def _match(self, point: Point, pedido_id: int) -> Rule | None:
        self._refresh()
        for rule in self._rules.get(point, ()):
            if (
                (rule.order_id is None or rule.order_id == pedido_id)
                and (rule.times is None or self._counts[rule.id] < rule.times)
                and self._drawn(rule, pedido_id)
                and not self._passes(rule)
            ):
                return rule
        return None

    def _passes(self, rule: Rule) -> bool:
        """True for the first `skip` that the rule would strike."""
        if self._passed[rule.id] >= rule.skip:
            return False
        self._passed[rule.id] += 1
        return True

    def _drawn(self, rule: Rule, pedido_id: int) -> bool:
        if rule.probability >= 1:
            return True
        # The hits so far are part of the draw, or an order once struck would be struck for ever.
        text = f"{self._seed}:{rule.id}:{pedido_id}:{self._draws(rule)}"
        drawn = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
        return drawn / 2**64 < rule.probability

    def _draws(self, rule: Rule) -> int:
        key = f"draws of {rule.id}"
        self._counts[key] += 1
        return self._counts[key]

    def _record(self, rule: Rule, pedido_id: int) -> None:
        self._counts[rule.id] += 1
        hit = Hit(rule.id, self._service, rule.point, pedido_id, time.time(), os.getpid())
        # Before the action: whoever is killed next has told.
        self.note(hits_path(self.path), hit)

    async def _act(self, rule: Rule) -> None:
        if rule.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if rule.action == "pause":
            os.kill(os.getpid(), signal.SIGSTOP)
        if rule.action == "delay":
            await self._clock.sleep(rule.seconds)
        if rule.action == "hold":
            until = self._clock.now() + HOLD_MAX_S
            while self._in_force(rule) and self._clock.now() < until:
                await self._clock.sleep(_LOOK_S)
        if rule.action == "error":
            raise indisponivel(f"falha provocada em {rule.point}")

    def _in_force(self, rule: Rule) -> bool:
        with self._lock:
            self._refresh()
            return any(other.id == rule.id for other in self._rules.get(rule.point, ()))

    def _refresh(self) -> None:
        try:
            stat = self.path.stat()
            stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        except FileNotFoundError:
            stamp = (0, 0, 0)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._load(read_rules(self.path))
            except FailpointsError as error:
                _LOG.error("%s; the rules before it stay in force", error)

    def _load(self, rules: Rules) -> None:
        self._seed = rules.seed
        self._note_calls = rules.note_calls
        self._rules = {}
        for rule in rules.rules:
            if rule.service == self._service:
                self._rules.setdefault(rule.point, []).append(rule)


async def _fulfil(promise: Promise[R], call: Coroutine[Any, Any, R]) -> None:
    try:
        promise.resolve(await call)
    except ErroServico as error:
        promise.fail(error)
    finally:
        # Stopped, or dead of a defect: whoever waits must not wait for ever.
        promise.fail(indisponivel("a chamada foi interrompida"))
