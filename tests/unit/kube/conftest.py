"""One API server for all tests here, well again and empty for each."""

from __future__ import annotations

import signal
from functools import partial
from typing import TYPE_CHECKING, Protocol

import pytest

from cni.kube import access, connection, failures
from cni.kube.client import Client, Limits
from tests import slim
from tests.apiserver.server import ApiServer
from tests.apiserver.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


#: of a client, unless a test says otherwise: nothing is to depend on the speed of the machine
PATIENT = {"connect": 30.0, "call": 30.0, "total": 60.0, "attempts": 6}


class Connect(Protocol):
    """A client of the API server, or of another whose certificate the same authority signed."""

    def __call__(self, server: str = "", **limits: float) -> Client: ...


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer(tmp_path_factory.mktemp("api")) as server:
        yield server


@pytest.fixture
def api(started: ApiServer) -> Iterator[ApiServer]:
    started.heal()
    started.permit()
    started.start()
    started.tokens.clear()
    started.tokens[started.token] = started.user
    started.world.store = Store()
    started.clear()
    yield started
    started.heal()


@pytest.fixture
def connect(api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Its clients try again at once."""
    monkeypatch.setattr("cni.kube.client._PAUSE", 0.01)
    clients: list[Client] = []

    def client(server: str = "", **limits: float) -> Client:
        file = api.kubeconfig(tmp_path / "kubeconfig", form="json", server=server)
        load = partial(access.from_kubeconfig, str(file))
        clients.append(Client(load, Limits(**{**PATIENT, **limits})))  # type: ignore[arg-type]
        return clients[-1]

    yield client
    for each in clients:
        each.close()


@pytest.fixture
def handlers() -> Iterator[None]:
    """Those of signals as they were before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(params=["whole", "slim"])
def either_tls(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With Python's module, and with what takes its place in the executables."""
    if request.param == "slim":
        tls = slim.load("ssl")
        monkeypatch.setattr(connection, "ssl", tls)
        monkeypatch.setattr(failures, "ssl", tls)
