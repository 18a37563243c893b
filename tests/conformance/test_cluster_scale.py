"""A node full of pods of a cluster: three networks each, eight pods at a time.

What multus asks of the API server is counted, and what it leaves when the server fails.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.apiserver.server import ApiServer
from tests.conformance.networks import whereabouts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.conformance.kernel import Json
    from tests.conformance.node import Node, Pod, Reply

PODS = int(os.environ.get("PLAIT_PODS") or 200)
AT_ONCE = 8
SAMPLED = 20  #: every how many pods the namespace itself is looked at

_PODS = "/api/v1/namespaces/default/pods"
_NADS = "/apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions"
_EVENTS = "/api/v1/namespaces/default/events"
_NETWORKS = "k8s.v1.cni.cncf.io/networks"
_STATUS = "k8s.v1.cni.cncf.io/network-status"

#: interface -> what the status calls its network
INTERFACES = {"eth0": "pods", "net1": "default/blue", "fast0": "default/red"}


def _bridge(number: int, name: str, **keys: Any) -> Json:
    ipam = whereabouts(f"10.{number}.0.0/16")
    common = {"cniVersion": "1.0.0", "name": name, "type": "bridge", "bridge": f"br{number}"}
    return {**common, "isGateway": True, "ipam": ipam, **keys}


class Cluster:
    """The API server of a node, its networks, and calls of multus for its pods."""

    def __init__(self, node: Node, api: ApiServer) -> None:
        self.node = node
        self.api = api
        for number, name in ((2, "blue"), (3, "red")):
            api.nad("default", name, _bridge(number, name))
        nets = node.root / "net.d"
        nets.mkdir()
        self.conf: Json = {
            "cniVersion": "1.1.0",
            "name": "multus",
            "type": "multus",
            "kubeconfig": str(api.kubeconfig(node.root / "kubeconfig")),
            "confDir": str(nets),
            "apiServer": {"callSeconds": 60.0, "totalSeconds": 120.0},  # the machine may be slow
            "delegates": [_bridge(1, "pods", isDefaultGateway=True, ipMasq=True, macspoofchk=True)],
        }

    def pod(self) -> Pod:
        """A pod that has its namespace, and asks the API server for two networks more."""
        pod = self.node.pod("web-")
        self.api.pod("default", pod.container_id, {_NETWORKS: "blue, red@fast0"})
        return pod

    def call(self, command: str, pod: Pod, **keys: Any) -> Reply:
        uid = self.document(pod)["metadata"]["uid"]
        told = {
            "IgnoreUnknown": "1",
            "K8S_POD_NAMESPACE": "default",
            "K8S_POD_NAME": pod.container_id,
            "K8S_POD_INFRA_CONTAINER_ID": pod.container_id,
            "K8S_POD_UID": uid,
        }
        args = ";".join(f"{key}={value}" for key, value in told.items())
        return self.node.call(command, {**self.conf, **keys}, pod, extra={"CNI_ARGS": args})

    def document(self, pod: Pod) -> Json:
        found = self.api.get(f"{_PODS}/{pod.container_id}")
        assert found is not None
        return found

    def told(self, pod: Pod) -> dict[str, list[str]]:
        """Interface -> addresses, of the pod's network-status annotation."""
        status = json.loads(self.document(pod)["metadata"]["annotations"][_STATUS])
        assert {each["interface"]: each["name"] for each in status} == INTERFACES
        assert [each.get("default", False) for each in status] == [True, False, False]
        return {each["interface"]: each["ips"] for each in status}

    def leased(self) -> dict[str, dict[str, list[str]]]:
        """The same of whereabouts' records, by container ID."""
        found: dict[str, dict[str, list[str]]] = {}
        for _, container_id, ifname, address in self.node.leases():
            text = ".".join(str(each) for each in bytes.fromhex(address))
            found.setdefault(container_id, {})[ifname] = [text]
        return found

    def asked(self) -> Counter[tuple[str, str]]:
        """How often what was asked since the journal was cleared; pods by their names."""
        return Counter((each.method, urlsplit(each.path).path) for each in self.api.requests)


def _held(pod: Pod) -> dict[str, list[str]]:
    """What the kernel says: interface -> addresses."""
    return {
        name: [each["local"] for each in link["addr_info"] if each["scope"] == "global"]
        for name, link in pod.net.links().items()
        if name != "lo"
    }


def _is_empty(pod: Pod) -> bool:
    return list(pod.net.links()) == ["lo"]


def _locks(node: Node) -> list[str]:
    """Locks of containers, and how far their ADDs came: both go with the call."""
    found = (node.run_dir / "multus").iterdir()
    return sorted(each.name for each in found if each.name != "gate")


def _traces(node: Node) -> Json:
    """What an ADD makes and a DEL takes away; that a DEL was done stays for an hour."""
    found = node.traces()
    kept = [each for each in found["files"] if "/multus-deleted/" not in each]
    return {**found, "files": kept}


def _together(pods: Sequence[Pod], work: Callable[[Pod], Any]) -> list[Any]:
    # threads are in the namespace of the one that makes them
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(work, pods))


@pytest.fixture
def cluster(node: Node, tmp_path: Path) -> Iterator[Cluster]:
    with ApiServer(tmp_path / "api") as api:
        yield Cluster(node, api)


def test_many_pods_with_three_networks(cluster: Cluster) -> None:
    pods = [cluster.pod() for _ in range(PODS)]
    before = _traces(cluster.node)

    results = _together(pods, lambda pod: cluster.call("ADD", pod).result())
    asked = cluster.asked()

    leased = cluster.leased()
    assert set(leased) == {pod.container_id for pod in pods}
    held = [tuple(address) for own in leased.values() for address in own.values()]
    assert len(set(held)) == len(held) == 3 * PODS
    for pod, result in zip(pods, results, strict=True):
        told = cluster.told(pod)
        assert told == leased[pod.container_id]
        assert [each["address"].partition("/")[0] for each in result["ips"]] == told["eth0"]
    for pod in pods[::SAMPLED]:
        assert _held(pod) == cluster.told(pod)
    for number in (1, 2, 3):
        assert len(cluster.node.net.ip("link", "show", "master", f"br{number}")) == PODS

    # one look at the pod, one at each network, one patch; events apart
    for pod in pods:
        assert asked.pop(("GET", f"{_PODS}/{pod.container_id}")) == 1
        assert asked.pop(("PATCH", f"{_PODS}/{pod.container_id}/status")) == 1
    assert asked.pop(("POST", _EVENTS)) == 3 * PODS
    assert asked == {("GET", f"{_NADS}/{name}"): PODS for name in ("blue", "red")}
    assert {each.status for each in cluster.api.requests} == {200, 201}
    assert len(cluster.api.events("default")) == 3 * PODS

    cluster.api.clear()
    _together(pods, lambda pod: cluster.call("DEL", pod).silent())
    assert (cluster.api.requests, cluster.api.connections) == ([], 0)
    assert _traces(cluster.node) == before
    assert _locks(cluster.node) == []
    assert all(_together(pods, _is_empty))


class Trouble(NamedTuple):
    """What the API server does to one pod's ADD; `path` begins what it is done to."""

    path: str
    fault: Json
    is_fatal: bool = False  #: no second try can help


def _troubles(pod: str) -> list[Trouble | None]:
    own, status = f"{_PODS}/{pod}", f"{_PODS}/{pod}/status"
    return [
        None,
        Trouble(own, {"status": 503}),
        Trouble(own, {"kind": "cut"}),
        Trouble(_NADS, {"kind": "cut"}),
        Trouble(own, {"kind": "silent"}),
        Trouble(status, {"kind": "lost-answer"}),
        Trouble(status, {"status": 503}),
        Trouble(_NADS, {"delay": 0.3}),
        Trouble(status, {"kind": "cut", "times": None}, is_fatal=True),
        Trouble(status, {"delay": 0.3}),
        Trouble(_NADS, {"status": 503}),
        Trouble(status, {"status": 503, "times": None}, is_fatal=True),
        Trouble(status, {"kind": "length"}),
        Trouble(status, {"kind": "silent", "times": None}, is_fatal=True),
        Trouble(_EVENTS, {"kind": "cut"}),
        Trouble(own, {"kind": "garbage", "times": None}, is_fatal=True),
    ]


def test_an_add_beside_a_failing_server_succeeds_or_leaves_nothing(cluster: Cluster) -> None:
    # a fault that stays must not cost the test ten seconds each
    cluster.conf["apiServer"] = {"callSeconds": 1.0, "totalSeconds": 3.0}
    pods = [cluster.pod() for _ in range(3 * len(_troubles("")))]
    before = _traces(cluster.node)

    def add(pod: Pod) -> tuple[Trouble | None, Reply]:
        troubles = _troubles(pod.container_id)
        trouble = troubles[pods.index(pod) % len(troubles)]
        if trouble is not None:
            cluster.api.fail(path=trouble.path, **trouble.fault)
        return trouble, cluster.call("ADD", pod)

    replies = _together(pods, add)
    cluster.api.heal()

    leased = cluster.leased()
    attached = []
    for pod, (trouble, reply) in zip(pods, replies, strict=True):
        if trouble is not None and trouble.is_fatal:
            assert reply.error()["code"] in (7, 11), trouble
        if reply.status == 0:
            attached.append(pod)
            assert cluster.told(pod) == leased.pop(pod.container_id)
            assert _held(pod) == cluster.told(pod)
        else:
            # more pods than the one that a fault was set for can meet it
            assert reply.error()["code"] in (7, 11), trouble
            assert _is_empty(pod), trouble
    assert leased == {}
    assert len(attached) > len(pods) // 2
    records = [
        path.rpartition("/")[2]
        for path in _traces(cluster.node)["files"]
        if "/results/" not in path
    ]
    assert sorted(records) == sorted(pod.container_id for pod in attached)
    assert _locks(cluster.node) == []

    _together(pods, lambda pod: cluster.call("DEL", pod).silent())
    assert _traces(cluster.node) == before
    assert _locks(cluster.node) == []
    assert all(_together(pods, _is_empty))
