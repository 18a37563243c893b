"""The fixtures of the tests of leases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.apiserver.server import ApiServer
from tests.apiserver.store import Store
from tests.unit.ctl.leased import Node

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Node:
    return Node(tmp_path, monkeypatch, capsys)


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer(tmp_path_factory.mktemp("api")) as server:
        yield server


@pytest.fixture
def api(started: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """A cluster without objects; its kubeconfig is `<tmp_path>/kubeconfig`."""
    monkeypatch.setattr("cni.kube.client._PAUSE", 0.01)
    started.heal()
    started.permit()
    started.start()
    started.world.store = Store()
    started.kubeconfig(tmp_path / "kubeconfig", form="json", namespace="kube-system")
    started.clear()
    yield started
    started.heal()
