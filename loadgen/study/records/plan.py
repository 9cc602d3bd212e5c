"""A study as data: experiments with their arms, waits, loads, repetitions and faults.

A plan is a file anyone can write (TOML or JSON) and is kept whole beside the results it led to. It
says what is wanted; `cells` works out which runs that means and `checks` whether they can be done.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from common.option_types import DEADLINE_DEFAULT_S

# Five hops of plain handlers: what the protocol costs when nothing else is done.
BARE_ARMS: Final = ("bare-grpc", "bare-http")

# Threads a service, where workers are no factor: what Tomcat, a server of one thread a request in wide
# use, has by default (https://tomcat.apache.org/tomcat-10.1-doc/config/http.html, maxThreads).
WORKERS: Final = 200

# Seconds that a payment takes, least and most; the draw is uniform between them.
Wait = tuple[float, float]
SHOP_WAIT: Final[Wait] = (0.5, 1.5)
NO_WAIT: Final[Wait] = (0.0, 0.0)

Storage = Literal["shared", "plain"]
EventLoop = Literal["uvloop", "asyncio"]
FaultKind = Literal["down", "slow"]


class PlanError(Exception):
    """A plan that cannot be done; the message is one line that says what to change."""


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A service is down, or slow by `delay_s` a call, from `at_s` for `for_s` seconds.

    Instants count from the first order, warm-up included.
    """

    service: str
    kind: FaultKind
    at_s: float
    for_s: float
    delay_s: float = 0.0


class _Experiment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every kind of experiment says.

    `warmup_s`, `seconds` and `timeout_s` default to the plan's; each combination of arm, wait and
    factors is run `repetitions` times.
    """

    name: str
    arms: tuple[str, ...]
    repetitions: int
    payment_waits: tuple[Wait, ...] = (SHOP_WAIT,)
    warmup_s: float | None = None
    seconds: float | None = None
    timeout_s: float | None = None


class Curve(_Experiment, tag="curve", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Closed loop over concurrency, and over any factor that is given more than one value.

    The warm-up grows with the callers: all of them come at once, and must have been taken in.
    `loop_concurrency` is added for the arms on event loops. `workers` and `storages` are factors of
    the arms on threads, `event_loops` of those on loops; `items` are lines an order, at least and
    at most. `twins` makes every run a pair, A and B, that differ in nothing: the noise.
    """

    concurrency: tuple[int, ...]
    loop_concurrency: tuple[int, ...] = ()
    workers: tuple[int, ...] = (WORKERS,)
    storages: tuple[Storage, ...] = ("shared",)
    event_loops: tuple[EventLoop, ...] = ("uvloop",)
    items: tuple[tuple[int, int], ...] = ((1, 5),)
    twins: bool = False


class Ladder(_Experiment, tag="ladder", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Open loop up to and beyond the knee, the highest rate that meets every objective.

    A search from `first_per_s` finds about where it lies, to within `resolution` of itself and up
    to `most_per_s`, with one run a rate. Then the rungs, shares of that rate, are climbed
    `repetitions` times, and tell the knee; and `recoveries` times, by default as often, a run goes to
    `overload` times that rate and back to half of it, to see how long it takes until what is under
    way is back at its level.
    """

    objectives: tuple[str, ...]
    first_per_s: float
    most_per_s: float
    growth: float = 1.6
    resolution: float = 0.15
    rungs: tuple[float, ...] = (0.5, 0.8, 1.0, 1.25)
    recoveries: int | None = None
    overload: float = 1.75
    overload_s: float = 6.0
    recovery_s: float = 12.0
    workers: int = WORKERS


class Timeline(_Experiment, tag="timeline", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Open loop at one rate while faults come at the same instants in each arm."""

    rate_per_s: float
    faults: tuple[Fault, ...]
    workers: int = WORKERS


Experiment = Curve | Ladder | Timeline


class Study(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole study. `warmup_s` and `seconds` are of every run unless its experiment says more.

    `limits` are sentences on what the study leaves out, for whoever reads its results. A study that
    would take longer than `budget_minutes` is refused before it starts.
    """

    name: str
    experiments: tuple[Experiment, ...]
    seed: int = 42
    warmup_s: float = 2.0
    seconds: float = 5.0
    timeout_s: float = DEADLINE_DEFAULT_S
    budget_minutes: float = 24 * 60.0
    limits: tuple[str, ...] = ()


def read_plan(path: Path) -> Study:
    """The plan in a TOML or JSON file. Raises PlanError with what is wrong and where."""
    try:
        content = path.read_bytes()
        if path.suffix == ".json":
            return msgspec.json.decode(content, type=Study)
        if path.suffix == ".toml":
            return msgspec.convert(tomllib.loads(content.decode()), Study)
    except OSError as error:
        raise PlanError(f"{path}: {error.strerror}") from None
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlanError(f"{path}: {error}") from None
    raise PlanError(f"{path}: a plan is a .toml or a .json file")
