"""What is checked and prepared before an arm starts; each failure is one sentence.

Everything that can refuse does so before anything is changed.
"""

from __future__ import annotations

import errno
import importlib.util
import socket
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

from common.contratos import SERVICOS
from common.runfile import RUN_FILE, InUseError, held

HOST: Final = "127.0.0.1"
# One file a service, and that of the simulated gateway.
DATABASES: Final = (*SERVICOS, "gateway")
# What SQLite keeps beside a database.
_BESIDE: Final = ("", "-wal", "-shm", "-journal")
# What `--load` leaves behind, worthless without the databases that it speaks of.
HISTORY: Final = "history.jsonl"
RESULT: Final = "load.json"


class RefusedError(Exception):
    """The arm cannot start as asked; the message is one sentence that names the way out."""


def check_packages(modules: Sequence[str]) -> None:
    """Refuse when a package that an arm needs is not installed."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        msg = f"missing {', '.join(missing)}: run pip install -r requirements.txt"
        raise RefusedError(msg)


def choose_addresses(base_port: int) -> dict[str, str]:
    """Where each service listens, from `base_port` on, or where the system chooses for 0.

    Refuses when a port is taken.
    """
    with ExitStack() as sockets:
        ports = {}
        for indice, servico in enumerate(SERVICOS):
            # As servers do: the remains of closed connections are not in the way.
            listener = sockets.enter_context(closing(socket.socket()))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            port = base_port + indice if base_port else 0
            try:
                listener.bind((HOST, port))
            except OSError as error:
                raise RefusedError(_port_refused(port, servico, error)) from None
            ports[servico] = listener.getsockname()[1]
    return {servico: f"{HOST}:{port}" for servico, port in ports.items()}


def _port_refused(port: int, servico: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} ({servico}) is taken: stop what listens there, "
            "or choose other ports with --base-port"
        )
    return f"cannot use port {port} ({servico}): {error.strerror}; choose others with --base-port"


def has_data(data_dir: Path) -> bool:
    """Whether the shop's stock was imported: the data of an earlier start."""
    return _has_tables(data_dir / "estoque.db")


def stock_refused(data_dir: Path) -> str:
    """Why a stock cannot be set on existing data."""
    return (
        f"--stock counts at import only and {data_dir} has its stock already: "
        "leave it out, or begin anew with --fresh"
    )


def remove_data(data_dir: Path) -> None:
    """Remove the databases of a data directory, and only files that this program makes.

    Refuses when a process holds one of them. The lock files stay, see `held`.
    """
    with ExitStack() as locks:
        try:
            for nome in SERVICOS:
                locks.enter_context(held(data_dir / f"{nome}.lock"))
            for nome in (RUN_FILE, HISTORY, RESULT):
                (data_dir / nome).unlink(missing_ok=True)
            for nome in DATABASES:
                for suffix in _BESIDE:
                    (data_dir / f"{nome}.db{suffix}").unlink(missing_ok=True)
        except InUseError as error:
            raise RefusedError(str(error)) from None
        except OSError as error:
            raise RefusedError(f"cannot remove {error.filename}: {error.strerror}") from None


def ensure_shop(shop: Path, data_dir: Path, say: Callable[[str], None]) -> None:
    """Make the shop when it is missing and some service has yet to import it.

    Refuses when it cannot be written.
    """
    if shop.exists() or all(_has_tables(data_dir / f"{nome}.db") for nome in SERVICOS):
        return
    # Late: a shop is made once, and its library of names takes long to load.
    from common.shop_generator import Opcoes, gerar

    try:
        made = gerar(shop, Opcoes())
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RefusedError(f"cannot write the shop {shop}: {reason}") from None
    options = made.opcoes
    say(
        f"made the shop {shop}: {options.clientes} customers, {options.produtos} products, "
        f"{options.pedidos} past orders"
    )


def _has_tables(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as con:
            return con.execute("SELECT 1 FROM sqlite_master").fetchone() is not None
    except sqlite3.Error:
        # Something is there; its service will say what is wrong with it.
        return True
