"""The fixtures of the etcd store's tests: a server for each module, a cluster for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.ipam.etcd_cluster import Cluster
from tests.unit.ipam.etcd_proxy import Proxy
from tests.unit.ipam.etcd_server import EtcdServer
from tests.unit.ipam.store_world import ip, reservation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["cluster", "etcd", "proxy"]


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    server = EtcdServer(tmp_path_factory.mktemp("etcd"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def proxy(etcd: EtcdServer) -> Iterator[Proxy]:
    proxy = Proxy(etcd.port)
    yield proxy
    proxy.close()


@pytest.fixture
def cluster(etcd: EtcdServer, tmp_path: Path) -> Cluster:
    cluster = Cluster(etcd, tmp_path)
    # the first change of all depends on there being none before it
    cluster.store("node-0").reserve(reservation("10.0.0.1", "first"))
    cluster.store("node-0").unreserve("", 4, ip("10.0.0.1"))
    return cluster
