"""Limits of a run, each with its unit and its reason, and its options, each declared once.

An option is a field of `Settings` with its type, its default and an `Option`. Parsers, help, run.json
and what a service is given all come from there (`common/options.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from msgspec import Struct, field

from common import option_types as parse
from common.arms import Waiting

# Seconds. What each hop keeps for itself, so that an inner answer still reaches the outer caller.
HOP_RESERVE_S: Final = 0.02
# Orders. Above ten thousand waiting callers; each costs a few kilobytes while it waits.
IN_FLIGHT_MAX: Final = 16_384
# Orders. What five event loops on a small machine juggle without losing speed.
ACTIVE_MAX: Final = 1_024
# Calls. Above what Pedidos drives and recovers at once: only another client can reach it.
STEPS_IN_FLIGHT_MAX: Final = 4_096
# Bytes. Fifty items take under 3 kB; anything near this is not an order.
ORDER_BODY_MAX: Final = 64 * 1024
# Connections a hop beside those of the orders driven: for recovering and looking up.
EXTRA_CONNECTIONS: Final = 256
# Connections that wait for accept(): ten thousand callers may arrive in the same instant.
BACKLOG: Final = 16_384
# Seconds. Between saying not ready and refusing: what was already on its way is still served.
NOTICE_S: Final = 0.2
# Seconds. What is under way at a stop may take this long to finish.
DRAIN_MAX_S: Final = 2.0

# Threads of a service in the arms on threads, as the course's own server has.
WORKERS: Final = 10

# Share of orders whose trace is kept whatever becomes of them.
TRACE_SHARE: Final = 0.01

Loop = Literal["uvloop", "asyncio"]
StorageMode = Literal["shared", "plain"]


class Option(Struct, frozen=True, kw_only=True):
    """How a field of Settings is given on a command line.

    `flag` is its name there, without dashes. `parse` makes a value of its text, `show` the text that
    help names as the default. `waiting` is the way of waiting in which it means something, None for
    both. With `told` run.json has it, with `repeat` it may be given again and again.
    """

    flag: str
    help: str
    parse: Callable[[str], Any] = str
    metavar: str | None = None
    choices: tuple[str, ...] | None = None
    show: str | None = None
    waiting: Waiting | None = None
    told: bool = False
    repeat: bool = False


class Settings(Struct, frozen=True, kw_only=True):
    """How one service process runs. Fields with an `Option` are those of a whole run."""

    servico: str
    mode: str = "grpc"
    host: str = "127.0.0.1"
    port: int = 0
    addresses: dict[str, str] = field(default_factory=dict)
    # The secret that the services of the chain share, if steps are taken from the hop before alone.
    chain_token: str | None = None
    metrics_port: int | None = None
    exit_with_parent: bool = False
    drive_deadline_s: float = 10.0
    passage_wait_s: float = 3.0

    data_dir: Annotated[
        Path, Option(flag="data-dir", help="where the databases live", parse=Path, metavar="DIR")
    ] = Path("dados")
    shop: Annotated[
        Path,
        Option(
            flag="shop",
            help="the shop to import at first start",
            parse=Path,
            metavar="FILE",
            told=True,
        ),
    ] = Path("ecommerce.db")
    seed: Annotated[
        int,
        Option(
            flag="seed",
            help="seed of every simulated draw",
            parse=parse.natural,
            metavar="N",
            told=True,
        ),
    ] = 42
    payment_latency: Annotated[
        tuple[float, float],
        Option(
            flag="payment-latency",
            parse=parse.latency_range,
            metavar="MIN:MAX",
            show="0.5:1.5",
            help="seconds that the simulated gateway takes",
            told=True,
        ),
    ] = (0.5, 1.5)
    payment_approval: Annotated[
        float,
        Option(
            flag="payment-approval",
            parse=parse.share,
            metavar="SHARE",
            help="share of payments that the gateway approves",
            told=True,
        ),
    ] = 0.9
    stock: Annotated[
        int | None,
        Option(
            flag="stock",
            parse=parse.stock,
            metavar="N",
            show="the shop's own",
            help="units of each product, at import only",
            told=True,
        ),
    ] = None
    in_flight_max: Annotated[
        int,
        Option(
            flag="in-flight-max",
            parse=parse.positive,
            metavar="N",
            help="orders open at once, the rest is refused",
            told=True,
        ),
    ] = IN_FLIGHT_MAX
    active_max: Annotated[
        int,
        Option(
            flag="active-max",
            parse=parse.positive,
            metavar="N",
            help="of these, orders driven at once, the rest waits in order",
            told=True,
        ),
    ] = ACTIVE_MAX
    sweep_interval_s: Annotated[
        float,
        Option(
            flag="sweep-interval",
            parse=parse.seconds,
            metavar="S",
            help="seconds between sweeps for unfinished orders",
        ),
    ] = 1.0
    give_up_age_s: Annotated[
        float,
        Option(
            flag="give-up-age",
            parse=parse.seconds,
            metavar="S",
            help="seconds over which an unfinished order is tried before it is cancelled",
        ),
    ] = 120.0
    circuit_breaker: Annotated[
        bool,
        Option(
            flag="circuit-breaker",
            parse=parse.on_off,
            metavar="{on,off}",
            show="on",
            help="fail fast while the next service does not answer",
        ),
    ] = True
    failpoints: Annotated[
        Path | None,
        Option(
            flag="failpoints",
            parse=Path,
            metavar="FILE",
            show="never",
            help="fail on purpose as this file of rules says, for tests",
        ),
    ] = None
    allow_host: Annotated[
        tuple[str, ...],
        Option(
            flag="allow-host",
            parse=parse.host_name,
            metavar="NAME[:PORT]",
            repeat=True,
            show="loopback's names and the address listened on",
            help="answer HTTP under this name too, at any port if it names none; may be repeated",
        ),
    ] = ()
    stats: Annotated[
        bool,
        Option(
            flag="stats",
            parse=parse.on_off,
            metavar="{on,off}",
            show="off",
            told=True,
            help="append what goes on inside each service to DATA_DIR/stats",
        ),
    ] = False
    telemetry: Annotated[
        bool,
        Option(
            flag="telemetry",
            parse=parse.on_off,
            metavar="{on,off}",
            show="on",
            told=True,
            help="metrics, traces and logs of every order",
        ),
    ] = True
    trace_share: Annotated[
        float,
        Option(
            flag="trace-share",
            parse=parse.share,
            metavar="SHARE",
            told=True,
            help="share of orders whose trace is kept although they neither failed nor were slow",
        ),
    ] = TRACE_SHARE
    loop: Annotated[
        Loop,
        Option(
            flag="loop",
            choices=("uvloop", "asyncio"),
            waiting="loop",
            told=True,
            help="arms on event loops: which one",
        ),
    ] = "uvloop"
    workers: Annotated[
        int,
        Option(
            flag="workers",
            parse=parse.workers,
            metavar="N",
            waiting="threads",
            told=True,
            help="arms on threads: threads that serve, in each service",
        ),
    ] = WORKERS
    storage: Annotated[
        StorageMode,
        Option(
            flag="storage",
            choices=("shared", "plain"),
            waiting="threads",
            help="arms on threads: commits shared by what waits, or a connection and a commit a call",
        ),
    ] = "shared"

    @property
    def payment_latency_max_s(self) -> float:
        """Seconds. The longest that a payment takes."""
        return self.payment_latency[1]


def stats_path(data_dir: Path, servico: str) -> Path:
    """Where a service tells of its inside when it is asked to."""
    return data_dir / "stats" / f"{servico}.jsonl"
