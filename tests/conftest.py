"""What every behaviour test starts from: an arm, a shop, and six servers on fresh files."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, closing
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import pytest_asyncio
from hypothesis import settings

from blocking.execution import ThreadTasks, run_to_end
from common.arms import ARMS as PROTOCOLS
from tests.support.arms import ARMS
from tests.support.audit_support import aberta, preparar, viver
from tests.support.chain import make_shop
from tests.support.cluster import Cluster, open_cluster
from tests.support.estranhos import PEDIDO, Grpc, Rest, falando_grpc
from tests.support.fuzz_support import servidores
from tests.support.panel_support import MARKUP, SOON_PAID, shown
from tests.support.shops_that_lived import Vivida

if TYPE_CHECKING:
    from pathlib import Path

# How long an example may take is no property here: tests share the machine, with each other and more.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

OpenCluster = Callable[..., AbstractAsyncContextManager[Cluster]]


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small shop, made once."""
    return make_shop(tmp_path_factory.mktemp("shop") / "ecommerce.db")


@pytest.fixture(scope="module", params=ARMS)
def arm(request: pytest.FixtureRequest) -> str:
    """Every test that takes it runs once in each arm."""
    return request.param


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    arm: str, shop: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Cluster]:
    """A cluster that the tests of a module share: everything approved, stock enough."""
    data_dir = tmp_path_factory.mktemp(f"shared-{arm}")
    async with open_cluster(arm, data_dir, shop, stock=100_000) as cluster:
        yield cluster


@pytest_asyncio.fixture(loop_scope="module")
async def cluster(shared: Cluster) -> AsyncIterator[Cluster]:
    """The module's cluster, whole again after each test."""
    for link in shared.links.values():
        link.calls.clear()
    yield shared
    for link in shared.links.values():
        link.heal()
    await shared.idle()


@pytest.fixture
def open_fresh(arm: str, shop: Path, tmp_path: Path) -> OpenCluster:
    """Opens a cluster of the test's own; options are fields of Settings."""
    number = count()

    def open_one(**options: Any) -> AbstractAsyncContextManager[Cluster]:
        return open_cluster(arm, tmp_path / str(next(number)), shop, **options)

    return open_one


# --- the panel ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bad_shop(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop, with a product and a customer whose names are markup."""
    path = tmp_path_factory.mktemp("panel") / "loja.db"
    shutil.copy(shop, path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE produtos SET nome = ? WHERE id = 1", (MARKUP,))
        database.execute("UPDATE clientes SET nome = ? WHERE id = 1", (MARKUP,))
    return path


@pytest.fixture(scope="module")
def panel_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the arm of the panel that a module shares keeps its data."""
    return tmp_path_factory.mktemp("panel") / "dados"


@pytest.fixture(scope="module")
def address(bad_shop: Path, panel_dir: Path) -> Iterator[str]:
    """The panel that the tests of a module share."""
    with shown(bad_shop, panel_dir, "http", *SOON_PAID) as found:
        yield found


# --- threads ------------------------------------------------------------------------------------


@pytest.fixture
def tasks() -> Iterator[ThreadTasks]:
    """An execution of the test's own, ended afterwards."""
    made = ThreadTasks()
    yield made
    run_to_end(made.stop())


# --- strangers ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bracos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Any]]:
    """Gives an arm by its name, opened at its first use, with one order sent."""
    with ExitStack() as pilha:

        @cache
        def abrir(modo: str) -> Any:
            seis = pilha.enter_context(servidores(modo, tmp_path_factory.mktemp("entrada")))
            rest = PROTOCOLS[modo].protocol == "http"
            braco = Rest(seis) if rest else pilha.enter_context(falando_grpc(seis))
            assert braco.chamar("criar_pedido", PEDIDO).codigo in {201, grpc.StatusCode.OK}
            return braco

        yield abrir


@pytest.fixture(params=[modo for modo in ARMS if PROTOCOLS[modo].protocol == "http"])
def rest(request: pytest.FixtureRequest, bracos: Callable[[str], Any]) -> Rest:
    """Each REST arm in turn."""
    return bracos(request.param)


@pytest.fixture(params=[modo for modo in ARMS if PROTOCOLS[modo].protocol == "grpc"])
def grpc_(request: pytest.FixtureRequest, bracos: Callable[[str], Any]) -> Grpc:
    """Each gRPC arm in turn."""
    return bracos(request.param)


@pytest.fixture(params=ARMS)
def braco(request: pytest.FixtureRequest, bracos: Callable[[str], Any]) -> Any:
    """Each arm in turn."""
    return bracos(request.param)


# --- shops that lived -----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def molde(tmp_path_factory: pytest.TempPathFactory) -> Vivida:
    """Made once; every test that changes something works on a copy."""
    data_dir = tmp_path_factory.mktemp("molde") / "dados"

    async def fazer() -> Vivida:
        async with aberta(data_dir) as loja:
            return Vivida(data_dir, await viver(loja), loja.historia)

    preparar(data_dir)
    return asyncio.run(fazer())


@pytest.fixture
def vivida(molde: Vivida, tmp_path: Path) -> Vivida:
    """A copy to be changed, with orders of every fate and some still open."""
    data_dir = tmp_path / "dados"
    shutil.copytree(molde.data_dir, data_dir)
    return molde._replace(data_dir=data_dir, historia=list(molde.historia))


@pytest.fixture
def assentada(vivida: Vivida) -> Vivida:
    """A copy in which recovery has brought every open order to its end."""

    async def recuperar() -> None:
        async with aberta(vivida.data_dir) as loja:
            await loja.assentar()

    asyncio.run(recuperar())
    return vivida
