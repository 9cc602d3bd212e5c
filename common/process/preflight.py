"""What is checked and prepared before an arm starts; each failure is one sentence.

Everything that can refuse does so before anything is changed.
"""

from __future__ import annotations

import importlib.util
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from common.contratos import SERVICOS
from common.process.runfile import RUN_FILE, TARGETS
from common.settings import stats_path
from common.storage.inspection import is_empty, looking
from common.storage.lock import InUseError, held
from common.telemetry.logs import log_paths

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


def check_databases(data_dir: Path, shop: Path) -> None:
    """Refuse when a service could not use its database, or has it already.

    Every file is looked at before the first is opened for writing, so nothing is touched that
    would be refused, and none is made or brought forward when another one is refused.
    """
    if not any((data_dir / f"{nome}.db").exists() for nome in DATABASES):
        return
    # Late: a first start has nothing to check, and the schemas take long to load.
    from common.shop.schema import ShopError
    from common.storage.files import (
        GATEWAY,
        SALAS,
        DatabaseError,
        examine,
        examine_gateway,
        shop_at_hand,
        try_writing,
    )

    salas = (*SALAS.values(), GATEWAY)
    with _services_held(data_dir):
        try:
            loja = shop_at_hand(shop)
            for sala in salas:
                examine(data_dir, sala, loja)
            examine_gateway(data_dir)
            for sala in salas:
                try_writing(data_dir, sala)
        except (DatabaseError, ShopError) as error:
            raise RefusedError(str(error)) from None


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
    with _services_held(data_dir):
        try:
            for nome in (RUN_FILE, TARGETS, HISTORY, RESULT):
                (data_dir / nome).unlink(missing_ok=True)
            for servico in SERVICOS:
                stats_path(data_dir, servico).unlink(missing_ok=True)
                for log in log_paths(data_dir, servico):
                    log.unlink(missing_ok=True)
            for nome in DATABASES:
                for suffix in _BESIDE:
                    (data_dir / f"{nome}.db{suffix}").unlink(missing_ok=True)
        except OSError as error:
            raise RefusedError(f"cannot remove {error.filename}: {error.strerror}") from None


@contextmanager
def _services_held(data_dir: Path) -> Iterator[None]:
    """Keep every service away for the block; refuses when one runs."""
    with ExitStack() as locks:
        try:
            for nome in SERVICOS:
                locks.enter_context(held(data_dir / f"{nome}.lock", data_dir / f"{nome}.db"))
        except InUseError as error:
            raise RefusedError(str(error)) from None
        yield


def ensure_shop(shop: Path, data_dir: Path, say: Callable[[str], None]) -> None:
    """Make the shop when it is missing and some service has yet to import it.

    Refuses when it cannot be written, when some service has imported one already (a new one would be
    another), and when the one at hand is to be imported and cannot be.
    """
    if shop.exists():
        _check_importable(shop, data_dir)
        return
    imported = [nome for nome in SERVICOS if _has_tables(data_dir / f"{nome}.db")]
    if len(imported) == len(SERVICOS):
        return
    if imported:
        msg = (
            f"the shop {shop} is missing, and {data_dir / imported[0]}.db was imported from one: "
            "name that with --shop, or begin anew with --fresh"
        )
        raise RefusedError(msg)
    # Late: a shop is made once, and its library of names takes long to load.
    from common.shop.generator import Opcoes, gerar

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


def _check_importable(shop: Path, data_dir: Path) -> None:
    if all(_has_tables(data_dir / f"{nome}.db") for nome in SERVICOS):
        return
    from common.shop.schema import ShopError, check_rows, check_shop

    try:
        check_shop(shop)
        check_rows(shop)
    except ShopError as error:
        raise RefusedError(str(error)) from None


def _has_tables(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with looking(path) as con:
            return not is_empty(con)
    except sqlite3.Error:
        # Something is there; its service will say what is wrong with it.
        return True
