"""Every limit and choice of a run, with its unit and its reason, and the options that set them."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct, field

from common.callers import CHAIN_GIVEN, authority, secret_problem
from common.contratos import ESTOQUE_MAX, SERVICOS

# Seconds. The contract's default for a client that names no deadline.
DEADLINE_DEFAULT_S: Final = 60.0
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
# Threads. Six services with as many each come near what a system lets its user have.
WORKERS_MAX: Final = 4_096

# The arms on threads have the ports of their protocol: nothing else tells a client which one it is.
BASE_PORT: Final = {"grpc": 50050, "http": 8000, "grpc-threads": 50050, "http-threads": 8000}

# Share of orders whose trace is kept whatever becomes of them.
TRACE_SHARE: Final = 0.01

Loop = Literal["uvloop", "asyncio"]
StorageMode = Literal["shared", "plain"]
LOOP: Final[Loop] = "uvloop"
STORAGE: Final[StorageMode] = "shared"
# Options that mean something in one way of waiting only.
OF_LOOPS: Final = ("loop",)
OF_THREADS: Final = ("workers", "storage")


class Settings(Struct, frozen=True, kw_only=True):
    """How one service process runs."""

    servico: str
    data_dir: Path
    shop: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    # Further names under which it is asked, each with or without a port.
    allow_host: tuple[str, ...] = ()
    # What the services of the chain share, if steps are taken from the hop before alone.
    chain_token: str | None = None
    addresses: dict[str, str] = field(default_factory=dict)
    loop: Loop = LOOP
    workers: int = WORKERS
    storage: StorageMode = STORAGE
    seed: int = 42
    payment_latency_min_s: float = 0.5
    payment_latency_max_s: float = 1.5
    payment_approval: float = 0.9
    stock: int | None = None
    in_flight_max: int = IN_FLIGHT_MAX
    active_max: int = ACTIVE_MAX
    sweep_interval_s: float = 1.0
    drive_deadline_s: float = 10.0
    give_up_age_s: float = 120.0
    passage_wait_s: float = 3.0
    circuit_breaker: bool = True
    failpoints: Path | None = None
    stats: bool = False
    mode: str = "grpc"
    telemetry: bool = True
    trace_share: float = TRACE_SHARE
    metrics_port: int | None = None
    exit_with_parent: bool = False


def stats_path(data_dir: Path, servico: str) -> Path:
    """Where a service tells of its inside when it is asked to."""
    return data_dir / "stats" / f"{servico}.jsonl"


def latency_range(text: str) -> tuple[float, float]:
    """Parse `0.5:1.5` or `0.5` into seconds, lowest first."""
    low, _, high = text.partition(":")
    try:
        minimum, maximum = float(low), float(high or low)
    except ValueError:
        minimum, maximum = 1.0, 0.0
    if not 0 <= minimum <= maximum <= DEADLINE_DEFAULT_S:
        msg = (
            f"expected MIN:MAX in seconds, 0 <= MIN <= MAX <= {DEADLINE_DEFAULT_S:g}, got {text!r}"
        )
        raise argparse.ArgumentTypeError(msg)
    return minimum, maximum


def share(text: str) -> float:
    """Parse a share between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        msg = f"expected a share between 0 and 1, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return value


def positive(text: str) -> int:
    """Parse a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        msg = f"expected a whole number of at least 1, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def workers(text: str) -> int:
    """Parse a number of threads that a process may have."""
    if not text.isdecimal() or not 1 <= int(text) <= WORKERS_MAX:
        msg = f"expected a whole number from 1 to {WORKERS_MAX}, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def natural(text: str) -> int:
    """Parse a whole number of at least 0."""
    if not text.isdecimal():
        msg = f"expected a whole number of at least 0, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def stock(text: str) -> int:
    """Parse the units of each product, as many as the contract carries."""
    if not text.isdecimal() or int(text) > ESTOQUE_MAX:
        msg = f"expected a whole number from 0 to {ESTOQUE_MAX}, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def port(text: str) -> int:
    """Parse a port; 0 lets the system choose."""
    if not text.isdecimal() or int(text) > 65_535 - len(SERVICOS):
        msg = f"expected a port from 0 to {65_535 - len(SERVICOS)}, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def host_name(text: str) -> str:
    """Parse a name or an address, with or without a port."""
    if authority(text) is None:
        msg = f"expected NAME or NAME:PORT, as in a URL, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return text


def seconds(text: str) -> float:
    """Parse a positive number of seconds."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        msg = f"expected a positive number of seconds, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return value


def add_lab_options(parser: argparse.ArgumentParser) -> None:
    """The options that run_all.py and every service share; run_all.py hands them on."""
    add = parser.add_argument
    add("--data-dir", type=Path, default=Path("dados"), help="where the databases live")
    add("--shop", type=Path, default=Path("ecommerce.db"), help="the shop to import at first start")
    add("--seed", type=natural, default=42, help="seed of every simulated draw")
    add(
        "--payment-latency",
        type=latency_range,
        default=(0.5, 1.5),
        metavar="MIN:MAX",
        help="seconds that the simulated gateway takes (default 0.5:1.5)",
    )
    add(
        "--payment-approval",
        type=share,
        default=0.9,
        metavar="SHARE",
        help="share of payments that the gateway approves (default 0.9)",
    )
    add(
        "--stock",
        type=stock,
        metavar="N",
        help="units of each product, at import only (default: the shop's own)",
    )
    add(
        "--in-flight-max",
        type=positive,
        default=IN_FLIGHT_MAX,
        metavar="N",
        help=f"orders open at once, the rest is refused (default {IN_FLIGHT_MAX})",
    )
    add(
        "--active-max",
        type=positive,
        default=ACTIVE_MAX,
        metavar="N",
        help=f"of these, orders driven at once, the rest waits in order (default {ACTIVE_MAX})",
    )
    add(
        "--sweep-interval",
        type=seconds,
        default=1.0,
        metavar="S",
        help="seconds between sweeps for unfinished orders (default 1)",
    )
    add(
        "--give-up-age",
        type=seconds,
        default=120.0,
        metavar="S",
        help="seconds over which an unfinished order is tried before it is cancelled (default 120)",
    )
    add(
        "--circuit-breaker",
        choices=("on", "off"),
        default="on",
        help="fail fast while the next service does not answer (default on)",
    )
    add(
        "--failpoints",
        type=Path,
        metavar="FILE",
        help="fail on purpose as this file of rules says (for tests; default: never)",
    )
    add(
        "--allow-host",
        action="append",
        default=[],
        type=host_name,
        metavar="NAME[:PORT]",
        help="answer HTTP under this name too, at any port if it names none; may be repeated"
        " (default: loopback's names and the address listened on)",
    )
    add(
        "--stats",
        choices=("on", "off"),
        default="off",
        help="append what goes on inside each service to DATA_DIR/stats (default off)",
    )
    add(
        "--telemetry",
        choices=("on", "off"),
        default="on",
        help="metrics, traces and logs of every order (default on)",
    )
    add(
        "--trace-share",
        type=share,
        default=TRACE_SHARE,
        metavar="SHARE",
        help="share of orders whose trace is kept although they neither failed nor were slow"
        f" (default {TRACE_SHARE})",
    )
    add(
        "--loop",
        choices=("uvloop", "asyncio"),
        help="arms on event loops: which one (default uvloop)",
    )
    add(
        "--workers",
        type=workers,
        metavar="N",
        help=f"arms on threads: threads that serve, in each service (default {WORKERS})",
    )
    add(
        "--storage",
        choices=("shared", "plain"),
        help="arms on threads: commits shared by what waits, or a connection and a commit a call"
        " (default shared)",
    )


def lab_arguments(args: argparse.Namespace) -> list[str]:
    """The shared options as a service's command line."""
    low, high = args.payment_latency
    arguments = [
        f"--data-dir={args.data_dir}",
        f"--shop={args.shop}",
        f"--seed={args.seed}",
        f"--payment-latency={low}:{high}",
        f"--payment-approval={args.payment_approval}",
        f"--in-flight-max={args.in_flight_max}",
        f"--active-max={args.active_max}",
        f"--sweep-interval={args.sweep_interval}",
        f"--give-up-age={args.give_up_age}",
        f"--circuit-breaker={args.circuit_breaker}",
        *(f"--allow-host={name}" for name in args.allow_host),
        f"--stats={args.stats}",
        f"--telemetry={args.telemetry}",
        f"--trace-share={args.trace_share}",
    ]
    # What was not given has a default of its own in each arm, or no meaning there.
    given = {name: getattr(args, name) for name in ("stock", "failpoints", "loop", *OF_THREADS)}
    return arguments + [f"--{name}={value}" for name, value in given.items() if value is not None]


def strange_options(mode: str, args: argparse.Namespace) -> str | None:
    """What was given that this arm has no use for, in a sentence; None when nothing was."""
    threads = mode.endswith("-threads")
    strange = [name for name in (OF_LOOPS if threads else OF_THREADS) if getattr(args, name)]
    if not strange:
        return None
    names = " and ".join(f"--{name}" for name in strange)
    if threads:
        return f"{names}: of grpc and http only; {mode} has no event loop"
    return f"{names}: of grpc-threads and http-threads only; {mode} has no workers"


def parse_service(prog: str, mode: str, argv: list[str] | None = None) -> Settings:
    """The command line of one service process."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {prog}",
        description="Run one service of the checkout in this process, on loopback.",
        epilog="exit codes: 0 stopped as asked, 1 a defect or a second signal, 2 wrong options, "
        "3 its database or port cannot be used (one sentence says why)",
    )
    parser.add_argument("servico", choices=SERVICOS, help="the service to run")
    add_lab_options(parser)
    base = BASE_PORT[mode]
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument(
        "--base-port",
        type=port,
        default=base,
        metavar="N",
        help=f"port of pedidos; the others follow in order (default {base})",
    )
    parser.add_argument(
        "--port", type=port, metavar="N", help="port of this service (default: from --base-port)"
    )
    parser.add_argument(
        "--address",
        action="append",
        default=[],
        metavar="SERVICE=HOST:PORT",
        help="where another service listens (default: from --base-port); may be repeated",
    )
    parser.add_argument(
        "--metrics-port",
        type=port,
        metavar="N",
        help="gRPC: port that shows metrics to Prometheus (default none; REST has /metrics)",
    )
    parser.add_argument(
        "--exit-with-parent",
        action="store_true",
        help="stop when standard input ends, so that no service outlives its supervisor",
    )
    args = parser.parse_args(argv)
    if (sentence := strange_options(mode, args)) is not None:
        parser.error(sentence)
    addresses = {
        nome: f"{args.host}:{args.base_port + indice}" for indice, nome in enumerate(SERVICOS)
    }
    for entry in args.address:
        nome, _, address = entry.partition("=")
        if nome not in SERVICOS or ":" not in address:
            parser.error(f"--address expects SERVICE=HOST:PORT, got {entry!r}")
        addresses[nome] = address
    own = int(addresses[args.servico].rpartition(":")[2]) if args.port is None else args.port
    chain_token = os.environ.get(CHAIN_GIVEN)
    if chain_token is not None and (problem := secret_problem(chain_token)) is not None:
        parser.exit(2, f"{args.servico}: {problem}\n")
    low, high = args.payment_latency
    return Settings(
        servico=args.servico,
        data_dir=args.data_dir,
        shop=args.shop,
        host=args.host,
        port=own,
        allow_host=tuple(args.allow_host),
        chain_token=chain_token,
        addresses=addresses,
        loop=args.loop or LOOP,
        workers=args.workers or WORKERS,
        storage=args.storage or STORAGE,
        seed=args.seed,
        payment_latency_min_s=low,
        payment_latency_max_s=high,
        payment_approval=args.payment_approval,
        stock=args.stock,
        in_flight_max=args.in_flight_max,
        active_max=args.active_max,
        sweep_interval_s=args.sweep_interval,
        give_up_age_s=args.give_up_age,
        circuit_breaker=args.circuit_breaker == "on",
        failpoints=args.failpoints,
        stats=args.stats == "on",
        mode=mode,
        telemetry=args.telemetry == "on",
        trace_share=args.trace_share,
        metrics_port=args.metrics_port,
        exit_with_parent=args.exit_with_parent,
    )
