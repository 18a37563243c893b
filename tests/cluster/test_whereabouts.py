"""The cluster's store of leases at a real API server, with the original's resources.

What it does to them is tested elsewhere; here, that a real server takes it as the test server does,
and that the rights are enough which it is said to need.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from cni.core.errors import CniError, Code
from cni.kube import access
from cni.kube.client import Client, Limits
from ipam.stores import FOR_EVER, STICKY, Ask
from ipam.stores.journal import Journal
from ipam.stores.kubernetes import KubernetesStore
from tests.cluster.cluster import MANIFESTS, PATIENCE
from tests.unit.ipam.go_writer import GoWriter
from tests.unit.ipam.store_world import (
    NET,
    NET6,
    SMALL,
    held,
    ip,
    lease,
    leased,
    owner,
    pool,
    refused,
    release,
    reservation,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cluster.cluster import Cluster

GROUP = "whereabouts.cni.cncf.io"
#: of a plugin; the tool lists pools and slices too
RIGHTS = {
    "ippools": ["get", "create", "patch"],
    "overlappingrangeipreservations": ["get", "create", "patch", "delete"],
    "nodeslicepools": ["get"],
}
WEB = owner("c1", "web-0")
AT_ONCE = 20


class Pools:
    """The objects of a namespace, and stores of nodes that share them."""

    def __init__(self, cluster: Cluster, namespace: str, path: Path) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.path = path
        self.root = f"/apis/{GROUP}/v1alpha1/namespaces/{namespace}"
        cluster.kubeconfig(path / "admin", "administrator")
        cluster.kubeconfig(path / "plugin", _account(cluster, namespace))
        self._clients: list[Client] = []

    def client(self, who: str = "plugin", attempts: int = 6) -> Client:
        load = partial(access.from_kubeconfig, str(self.path / who))
        patient = Limits(connect=PATIENCE, call=PATIENCE, total=PATIENCE, attempts=attempts)
        self._clients.append(Client(load, patient))
        return self._clients[-1]

    def store(self, node: str = "node1", slices: str = "", who: str = "plugin") -> KubernetesStore:
        journal = Journal(str(self.path / node), f"kubernetes/{self.namespace}")
        return KubernetesStore(self.client(who), self.namespace, journal, node, slices)

    def ids(self, name: str = "10.0.0.0-24") -> dict[str, str]:
        found = self.cluster.get("ippool", self.namespace, name)["spec"]["allocations"]
        return {key: each["id"] for key, each in found.items()}

    def reservations(self) -> dict[str, Any]:
        found = self.cluster.objects("overlappingrangeipreservations", self.namespace)
        return {each["metadata"]["name"]: each["spec"] for each in found}

    def close(self) -> None:
        for each in self._clients:
            each.close()


def _account(cluster: Cluster, namespace: str) -> str:
    """The token of a service account with the rights of a plugin, and no others."""
    rbac = "rbac.authorization.k8s.io"
    meta = {"metadata": {"name": "whereabouts", "namespace": namespace}}
    rules = [
        {"apiGroups": [GROUP], "resources": [resource], "verbs": verbs}
        for resource, verbs in RIGHTS.items()
    ]
    cluster.apply({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ServiceAccount", **meta},
        {"apiVersion": f"{rbac}/v1", "kind": "Role", **meta, "rules": rules},
        {
            "apiVersion": f"{rbac}/v1", "kind": "RoleBinding", **meta,
            "subjects": [{"kind": "ServiceAccount", **meta["metadata"]}],
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "whereabouts"},
        },
    ]})  # fmt: skip
    return cluster.service_account_token(namespace, "whereabouts")


@pytest.fixture(scope="session")
def resources(cluster: Cluster) -> None:
    """Ours, and then with texts that may be null, which an empty one is to this server.

    It is older than the compiler that has made it here (go-openapi compares with reflect.Zero).
    """
    cluster.apply(MANIFESTS / "whereabouts-crds.yaml")
    definitions = list(yaml.safe_load_all((MANIFESTS / "whereabouts-crds.yaml").read_text()))
    for each in definitions:
        whole = each["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
        for part in ("spec", "status"):
            _allow_null(whole.get(part))
    cluster.apply(yaml.safe_dump_all(definitions))


def _allow_null(schema: Any) -> None:
    if isinstance(schema, dict):
        if schema.get("type") == "string":
            schema["nullable"] = True
        for each in schema.values():
            _allow_null(each)


@pytest.fixture
def pools(cluster: Cluster, resources: None, tmp_path: Path) -> Iterator[Pools]:
    made = Pools(cluster, cluster.namespace("pools"), tmp_path)
    yield made
    made.close()


def in_threads(works: list[Callable[[], object]]) -> None:
    """All at once, and then whatever one of them raised."""
    raised: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    if raised:
        raise raised[0]


def test_a_life(pools: Pools) -> None:
    store = pools.store()
    assert lease(store, WEB, Ask(NET), Ask(NET6)) == ["10.0.0.1", "fd00::1"]
    assert lease(pools.store(), WEB, Ask(NET), Ask(NET6)) == ["10.0.0.1", "fd00::1"]
    assert pools.reservations() == {
        name: {"podref": "default/web-0", "ifname": "eth0", "containerid": "c1"}
        for name in ("10.0.0.1", "fd00--1")
    }
    assert [each.address for each in store.leases(WEB.attachment)] == [
        ip("10.0.0.1"),
        ip("fd00::1"),
    ]
    assert lease(pools.store("node2"), "c2", Ask(SMALL)) == ["10.0.0.2"]
    assert release(pools.store(), WEB) == 2
    assert release(pools.store(), WEB) == 0
    assert list(pools.reservations()) == ["10.0.0.2"]
    assert (pools.ids(), pools.ids("fd00---64")) == ({}, {})


def test_what_is_kept(pools: Pools) -> None:
    store, tool = pools.store(), pools.store(who="admin")
    wish = Ask(NET, sticky=FOR_EVER)
    lease(store, WEB, wish)
    release(store, WEB)
    kept = reservation("10.0.0.2", "web-1", NET)
    tool.reserve(kept)
    assert held(tool) == {(STICKY, "10.0.0.1"), ("reserved", "10.0.0.2")}
    refused(store, "c9", Ask(SMALL, wanted=ip("10.0.0.1")))
    assert lease(store, "c3", wish) == ["10.0.0.3"]
    assert lease(store, owner("c4", "web-1"), wish) == ["10.0.0.2"]
    assert lease(store, owner("c5", "web-0"), wish) == ["10.0.0.1"]
    assert [name for name, _ in leased(tool)] == ["c5", "c4", "c3"]
    release(store, owner("c4", "web-1"))
    assert tool.holds() == [kept]
    assert tool.unreserve("", 4, ip("10.0.0.2"))
    assert tool.drop(tool.every()[0])
    assert pools.ids()["3"] == "c3"


def test_of_a_slice(pools: Pools, cluster: Cluster) -> None:
    answer = cluster.request("POST", f"{pools.root}/nodeslicepools", {
        "apiVersion": f"{GROUP}/v1alpha1", "kind": "NodeSlicePool",
        "metadata": {"name": "net", "namespace": pools.namespace},
        "spec": {"range": "10.20.0.0/16", "sliceSize": "/26"},
        "status": {"allocations": [
            {"nodeName": "node1", "sliceRange": "10.20.0.0/26"},
            {"nodeName": "node2", "sliceRange": "10.20.0.64/26"},
            {"nodeName": "", "sliceRange": "10.20.0.128/26"},
        ]},
    })  # fmt: skip
    assert answer.status == 201, answer
    whole = pool("10.20.0.0/16")
    assert lease(pools.store("node1", "net"), "c1", Ask(whole)) == ["10.20.0.1"]
    assert lease(pools.store("node2", "net"), "c2", Ask(whole)) == ["10.20.0.65"]
    assert pools.ids("node2-10.20.0.64-26") == {"1": "c2"}


def test_probe(pools: Pools) -> None:
    """An account that may not list, as a plugin's, is enough."""
    pools.store().probe()


def test_who_may_not(pools: Pools, cluster: Cluster) -> None:
    cluster.kubectl("create", "serviceaccount", "stranger", "--namespace", pools.namespace)
    token = cluster.service_account_token(pools.namespace, "stranger")
    cluster.kubeconfig(pools.path / "stranger", token)
    with pytest.raises(CniError, match="forbidden") as caught:
        lease(pools.store(who="stranger"), WEB, Ask(NET))
    assert caught.value.code == Code.INVALID_CONFIG


def test_many_at_once(pools: Pools) -> None:
    """From two nodes of ours and one of the original, then all are gone."""
    writer = GoWriter(pools.client("admin", attempts=1), pools.root)
    stores = [pools.store(f"node{number % 2}") for number in range(AT_ONCE)]

    def add(number: int) -> Callable[[], object]:
        return lambda: lease(stores[number], owner(f"c{number}", f"web-{number}"), Ask(NET))

    def delete(number: int) -> Callable[[], object]:
        return lambda: release(stores[number], f"c{number}")

    def add_theirs() -> None:
        for number in range(5):
            assert writer.add(f"go{number}", f"default/go-{number}")

    def delete_theirs() -> None:
        for number in range(5):
            assert writer.delete(f"go{number}")

    in_threads([*(add(number) for number in range(AT_ONCE)), add_theirs])
    found = pools.ids()
    wanted = [f"c{number}" for number in range(AT_ONCE)] + [f"go{number}" for number in range(5)]
    assert sorted(found.values()) == sorted(wanted)
    assert sorted(pools.reservations()) == sorted(f"10.0.0.{key}" for key in found)
    in_threads([*(delete(number) for number in range(AT_ONCE)), delete_theirs])
    assert pools.ids() == {}
    assert pools.reservations() == {}
