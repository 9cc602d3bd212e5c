"""What every behaviour test starts from: an arm, a shop, and six servers on fresh files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.cluster import ARMS, Cluster, make_shop, open_cluster

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
