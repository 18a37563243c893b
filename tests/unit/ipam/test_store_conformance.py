"""Every store keeps the promises of ipam.stores; where the cluster's does as the original does,
test_kubernetes_store says how.
"""

# ruff: noqa: F811 (fixtures that are imported)
from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from cni.core import syncing
from ipam.stores.etcd import EtcdStore
from ipam.stores.etcd_gateway import EtcdSettings
from ipam.stores.file import FileStore
from tests.apiserver.store import Store as Objects
from tests.unit.ipam.etcd_server import EtcdServer
from tests.unit.ipam.pools import cluster, started  # noqa: F401
from tests.unit.ipam.store_model import compare_with_model
from tests.unit.ipam.store_suite import *  # noqa: F403 (the tests)
from tests.unit.ipam.store_suite_kept import *  # noqa: F403
from tests.unit.ipam.store_world import clock  # noqa: F401

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ipam.stores import Store
    from tests.unit.ipam.pools import Cluster

_NOT_IN_A_CLUSTER = {
    "test_ipv4_in_one_pool_is_not_ipv6_of_the_same_number",
    "test_by_address",
    "test_without_sticky_there_is_no_taking_over",
    "test_histories",  # it has a model of its own
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "fresh" in metafunc.fixturenames:
        stores = ["file_store", "plugins_file_store", "etcd_store", "kubernetes_store"]
        if metafunc.function.__name__ in _NOT_IN_A_CLUSTER:
            stores.remove("kubernetes_store")
        metafunc.parametrize("fresh", stores, indirect=True)


@pytest.fixture
def file_store(tmp_path: Path) -> Callable[[], Callable[[], Store]]:
    numbers = itertools.count()

    def fresh() -> Callable[[], Store]:
        state = str(tmp_path / f"state-{next(numbers)}")
        return lambda: FileStore(state)

    return fresh


@pytest.fixture
def plugins_file_store(tmp_path: Path) -> Iterator[Callable[[], Callable[[], Store]]]:
    """As plugins open it."""
    numbers = itertools.count()

    def fresh() -> Callable[[], Store]:
        state = str(tmp_path / f"state-{next(numbers)}")
        return lambda: FileStore(state, is_synced_later=True)

    yield fresh
    syncing.wait()


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    server = EtcdServer(tmp_path_factory.mktemp("etcd"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def etcd_store(etcd: EtcdServer, tmp_path: Path) -> Callable[[], Callable[[], Store]]:
    numbers = itertools.count()

    def fresh() -> Callable[[], Store]:
        number = next(numbers)
        settings = EtcdSettings((etcd.url,), prefix=f"/{tmp_path.name}-{number}/")
        return lambda: EtcdStore(settings, str(tmp_path / f"state-{number}"))

    return fresh


@pytest.fixture
def kubernetes_store(cluster: Cluster) -> Callable[[], Callable[[], Store]]:
    numbers = itertools.count()

    def fresh() -> Callable[[], Store]:
        number = next(numbers)
        cluster.api.world.store = Objects()
        return lambda: cluster.store(f"node{number}")

    return fresh


@pytest.fixture
def fresh(request: pytest.FixtureRequest) -> Callable[[], Callable[[], Store]]:
    """A function that makes a store, an empty one; it returns a function that opens that."""
    made: Callable[[], Callable[[], Store]] = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def opened(fresh: Callable[[], Callable[[], Store]]) -> Callable[[], Store]:
    """A store, empty; called, it opens it as the next process of the node does."""
    return fresh()


@pytest.fixture
def store(opened: Callable[[], Store]) -> Store:
    return opened()


def test_histories(fresh: Callable[[], Callable[[], Store]]) -> None:
    compare_with_model(lambda: fresh()())
