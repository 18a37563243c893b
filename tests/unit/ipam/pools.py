"""A cluster for tests of its store: nodes with journals of their own, and what the server has."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from cni.kube import access
from cni.kube.client import Client, Limits
from ipam.stores.journal import Journal
from ipam.stores.kubernetes import KubernetesStore
from tests.apiserver.server import ApiServer
from tests.apiserver.store import Store as Objects

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMESPACE = "kube-system"
ROOT = f"/apis/whereabouts.cni.cncf.io/v1alpha1/namespaces/{NAMESPACE}"
POOLS, RESERVATIONS = f"{ROOT}/ippools", f"{ROOT}/overlappingrangeipreservations"
SLICES = f"{ROOT}/nodeslicepools"
LIMITS = Limits(connect=30, call=30, total=60, attempts=3)


class Cluster(NamedTuple):
    """The API server, and a place for the nodes' files."""

    api: ApiServer
    path: Path

    def store(self, node: str = "node1", slices: str = "", **limits: float) -> KubernetesStore:
        """As a call on this node has it."""
        client = self.client(**limits)
        return KubernetesStore(client, NAMESPACE, self.journal(node), node, slices)

    def client(self, **limits: float) -> Client:
        file = self.path / "kubeconfig"
        load = partial(access.from_kubeconfig, str(file))
        return Client(load, LIMITS._replace(**limits))  # type: ignore[arg-type]

    def journal(self, node: str = "node1") -> Journal:
        return Journal(str(self.path / node), f"kubernetes/{NAMESPACE}")

    def allocations(self, name: str = "10.0.0.0-24") -> dict[str, Any]:
        found = self.api.get(f"{POOLS}/{name}")
        return dict(found["spec"]["allocations"]) if found else {}

    def ids(self, name: str = "10.0.0.0-24") -> dict[str, str]:
        """The container or hold at each offset."""
        return {key: each["id"] for key, each in self.allocations(name).items()}

    def reservation(self, name: str) -> Any:
        found = self.api.get(f"{RESERVATIONS}/{name}")
        return found and found["spec"]

    def reservations(self) -> list[str]:
        with self.client_of_test() as client:
            return sorted(each["metadata"]["name"] for each in client.items(RESERVATIONS)[0])

    def pool(self, allocations: dict[str, Any], cidr: str = "10.0.0.0/24", name: str = "") -> None:
        """Put a pool there as somebody else would have made it."""
        name = name or cidr.replace("/", "-").replace(":", "-")
        spec = {"range": cidr, "allocations": allocations}
        self.api.put_object(f"{POOLS}/{name}", {"spec": spec})

    def reserve(self, name: str, **spec: str) -> None:
        """Put a reservation there as somebody else would have made it."""
        self.api.put_object(f"{RESERVATIONS}/{name}", {"spec": spec})

    def asked(self) -> list[tuple[str, str, int]]:
        """Method, what of and status of all requests."""
        return [
            (each.method, each.path.removeprefix(f"{ROOT}/"), each.status)
            for each in self.api.requests
        ]

    def client_of_test(self) -> Any:
        from contextlib import closing

        return closing(self.client())


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer(tmp_path_factory.mktemp("api")) as server:
        yield server


@pytest.fixture
def cluster(
    started: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cluster]:
    monkeypatch.setattr("cni.kube.client._PAUSE", 0.01)
    for patience in ("_BRIEF", "_SETTLING"):
        monkeypatch.setattr(f"ipam.stores.kubernetes.{patience}", 60)
    started.heal()
    started.permit()
    started.start()
    started.world.store = Objects()
    started.kubeconfig(tmp_path / "kubeconfig", form="json")
    started.clear()
    yield Cluster(started, tmp_path)
    started.heal()
