"""One API server for all tests here, wiped for each, and a node that knows it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.apiserver.server import ApiServer
from tests.apiserver.store import Store
from tests.kubelet.server import Kubelet
from tests.unit.meta.cluster.node import ClusterNode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer(tmp_path_factory.mktemp("api")) as started:
        yield started


@pytest.fixture
def api(server: ApiServer) -> ApiServer:
    server.heal()
    server.permit()
    server.start()
    server.tokens.clear()
    server.tokens[server.token] = server.user
    server.world.store = Store()
    server.clear()
    return server


@pytest.fixture
def node(tmp_path: Path, api: ApiServer) -> Iterator[ClusterNode]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield ClusterNode(tmp_path, api)
    api.heal()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def kubelet(tmp_path: Path) -> Iterator[Kubelet]:
    """One that answers at its socket."""
    with Kubelet(tmp_path / "kubelet") as started:
        yield started
