"""multus as it is released, on nodes that a real API server knows by our manifests."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.accounts import READING, account
from tests.cluster.cluster import MERGE_PATCH, URL
from tests.cluster.runtime import STATUS, Runtime, multus
from tests.kubelet.server import Kubelet
from tests.netns.confs import bridge, static, whereabouts

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.cluster import Cluster
    from tests.cluster.runtime import Sandbox
    from tests.netns.node import Node

AT_ONCE = 8  #: pods that start together


@pytest.fixture
def runtime(node: Node, plugins: Path, released: str, cluster: Cluster) -> Runtime:
    """multus with the rights that the manifest gives it."""
    kubeconfig = cluster.kubeconfig(node.root / "kubeconfig", released)
    return Runtime(node, plugins, multus(node, plugins, kubeconfig))


@pytest.fixture
def networks(cluster: Cluster, namespace: str) -> None:
    """`blue` and `green`, to choose from in the namespace of the test."""
    for number, name in enumerate(("blue", "green"), start=1):
        ipam = whereabouts(f"10.7.{number}.0/24")
        cluster.nad(namespace, name, bridge(name=name, bridge=f"br{number}", ipam=ipam))


def status(cluster: Cluster, sandbox: Sandbox) -> list[dict[str, Any]]:
    """The pod's network-status; empty when there is none."""
    found = cluster.get("pod", sandbox.namespace, sandbox.name)["metadata"]
    return list(json.loads(found.get("annotations", {}).get(STATUS, "[]")))


def events(cluster: Cluster, sandbox: Sandbox) -> list[str]:
    """What `kubectl get events` tells of a pod: type, reason and message."""
    found = [
        each
        for each in cluster.objects("events", sandbox.namespace)
        if each["involvedObject"]["uid"] == sandbox.uid
    ]
    return sorted(f"{each['type']} {each['reason']} {each['message']}" for each in found)


def forget_bridges(node: Node) -> None:
    """They outlive their pods."""
    for each in node.ip("-d", "link"):
        if each.get("linkinfo", {}).get("info_kind") == "bridge":
            node.ip("link", "delete", each["ifname"])


@pytest.mark.usefixtures("networks")
def test_a_pod_gets_what_its_annotation_asks_for(
    runtime: Runtime, cluster: Cluster, namespace: str
) -> None:
    sandbox = runtime.sandbox(cluster, namespace, "blue, green@fast0")
    result = runtime.call("ADD", sandbox).ok()

    assert set(sandbox.pod.links()) == {"lo", "eth0", "net1", "fast0"}
    addresses = {name: sandbox.pod.addresses(name) for name in ("eth0", "net1", "fast0")}
    assert [each["address"] for each in result["ips"]] == addresses["eth0"]

    told = status(cluster, sandbox)
    names = [(each["name"], each["interface"]) for each in told]
    assert names == [
        ("pods", "eth0"), (f"{namespace}/blue", "net1"), (f"{namespace}/green", "fast0")
    ]  # fmt: skip
    assert [each.get("default", False) for each in told] == [True, False, False]
    for each in told:
        assert each["mac"] == sandbox.pod.link(each["interface"])["address"]
        assert each["ips"] == [a.partition("/")[0] for a in addresses[each["interface"]]]
    assert events(cluster, sandbox) == [
        f"Normal AddedInterface Add eth0 [{addresses['eth0'][0]}] from pods",
        f"Normal AddedInterface Add fast0 [{addresses['fast0'][0]}] from {namespace}/green",
        f"Normal AddedInterface Add net1 [{addresses['net1'][0]}] from {namespace}/blue",
    ]

    runtime.call("CHECK", sandbox, result=result).ok()
    runtime.call("DEL", sandbox).ok()
    assert sandbox.pod.links() == ["lo"]
    assert runtime.node.leases() == []
    assert status(cluster, sandbox) == told  # as the original leaves it


@pytest.mark.usefixtures("networks")
def test_the_kubelet_deletes_again_when_the_pod_is_gone(
    runtime: Runtime, cluster: Cluster, namespace: str
) -> None:
    sandbox = runtime.sandbox(cluster, namespace, "blue,green")
    runtime.call("ADD", sandbox).ok()
    runtime.call("DEL", sandbox).ok()
    cluster.delete_pod(namespace, sandbox.name)
    sandbox.pod.destroy()
    for _ in range(2):
        runtime.call("DEL", sandbox, netns="").ok()
    assert runtime.node.leases() == []


@pytest.mark.usefixtures("networks")
def test_a_pod_that_is_gone_is_detached_by_its_record(
    runtime: Runtime, cluster: Cluster, namespace: str
) -> None:
    """As with a grace period of 0; its networks and the way to the server are gone, too."""
    sandbox = runtime.sandbox(cluster, namespace, "blue,green")
    runtime.call("ADD", sandbox).ok()
    cluster.delete_pod(namespace, sandbox.name)
    cluster.kubectl("delete", "net-attach-def", "--all", "--namespace", namespace)
    runtime.node.ip("link", "set", "cluster", "down")
    runtime.call("DEL", sandbox).ok()
    assert sandbox.pod.links() == ["lo"]
    assert runtime.node.leases() == []


@pytest.mark.usefixtures("networks")
def test_a_network_that_is_missing_is_told_and_nothing_attached(
    runtime: Runtime, cluster: Cluster, namespace: str
) -> None:
    sandbox = runtime.sandbox(cluster, namespace, "blue,red")
    before = runtime.node.snapshot(sandbox.pod)
    error = runtime.call("ADD", sandbox).error()
    reason = f"cannot find a network-attachment-definition (red) in namespace ({namespace})"
    assert reason in error["msg"]
    assert '"red" not found' in error["msg"]
    assert runtime.node.snapshot(sandbox.pod) == before
    (event,) = events(cluster, sandbox)
    assert event.startswith("Warning NoNetworkFound ")
    assert reason in event
    assert status(cluster, sandbox) == []
    runtime.call("DEL", sandbox).ok()


@pytest.mark.usefixtures("networks")
def test_a_delegate_that_fails_leaves_nothing(
    runtime: Runtime, cluster: Cluster, namespace: str
) -> None:
    broken = bridge(name="broken", bridge="br9", ipam=whereabouts("10.9.0.0/32"))  # has none
    cluster.nad(namespace, "broken", broken)
    sandbox = runtime.sandbox(cluster, namespace, "blue,broken,green")
    before = runtime.node.snapshot(sandbox.pod)
    error = runtime.call("ADD", sandbox).error()
    assert "broken" in error["msg"]
    forget_bridges(runtime.node)
    assert runtime.node.snapshot(sandbox.pod) == before
    assert status(cluster, sandbox) == []
    assert events(cluster, sandbox) == []


def test_the_clusters_network_is_a_definition(
    runtime: Runtime, cluster: Cluster, namespace: str
) -> None:
    cluster.nad("kube-system", "pods", runtime.conf.pop("delegates")[0])
    runtime.conf["clusterNetwork"] = "pods"
    sandbox = runtime.sandbox(cluster, namespace)
    runtime.call("ADD", sandbox).ok()
    assert [each["name"] for each in status(cluster, sandbox)] == ["kube-system/pods"]
    runtime.call("DEL", sandbox).ok()


def test_a_network_of_a_file_has_the_name_of_its_definition(
    runtime: Runtime, cluster: Cluster, namespace: str
) -> None:
    conf = bridge(name="disk", bridge="br5", ipam=static("10.5.0.5/24"))
    (runtime.node.root / "net.d").mkdir()
    (runtime.node.root / "net.d/50-disk.conf").write_text(json.dumps(conf))
    cluster.nad(namespace, "disk", None)
    sandbox = runtime.sandbox(cluster, namespace, [{"name": "disk", "interface": "disk0"}])
    runtime.call("ADD", sandbox).ok()
    assert sandbox.pod.addresses("disk0") == ["10.5.0.5/24"]
    assert status(cluster, sandbox)[1]["name"] == f"{namespace}/disk"


@pytest.mark.usefixtures("networks")
def test_a_network_of_another_namespace_may_be_out_of_bounds(
    runtime: Runtime, cluster: Cluster, namespace: str
) -> None:
    foreign = cluster.namespace("foreign")
    sandbox = runtime.sandbox(cluster, foreign, f"{namespace}/blue")
    runtime.call("ADD", sandbox).ok()
    assert [each["name"] for each in status(cluster, sandbox)] == ["pods", f"{namespace}/blue"]
    runtime.call("DEL", sandbox).ok()
    runtime.conf["namespaceIsolation"] = True
    error = runtime.call("ADD", sandbox).error()
    assert f"refers to target namespace {namespace}" in error["msg"]
    assert sandbox.pod.links() == ["lo"]


@pytest.mark.usefixtures("networks")
def test_the_runtimes_pod_is_not_the_one_that_has_its_name_now(
    runtime: Runtime, cluster: Cluster, namespace: str
) -> None:
    old = runtime.sandbox(cluster, namespace, "blue")
    cluster.delete_pod(namespace, old.name)
    new = runtime.sandbox(cluster, namespace, "green")
    error = runtime.call("ADD", old).error(11)
    assert f'expected pod UID "{old.uid}" but got "{new.uid}"' in error["msg"]
    assert old.pod.links() == ["lo"]
    assert status(cluster, new) == []


@pytest.mark.usefixtures("networks")
def test_a_status_is_replaced_where_it_may_not_be_patched(
    runtime: Runtime, cluster: Cluster, namespace: str
) -> None:
    token = account(cluster, namespace, READING | {"pods/status": ["update"]})
    cluster.kubeconfig(runtime.node.root / "kubeconfig", token)
    sandbox = runtime.sandbox(cluster, namespace, "blue")
    path = f"/api/v1/namespaces/{namespace}/pods/{sandbox.name}/status"
    assert cluster.request("PATCH", path, {}, token, MERGE_PATCH).status == 403
    runtime.call("ADD", sandbox).ok()
    assert [each["name"] for each in status(cluster, sandbox)] == ["pods", f"{namespace}/blue"]


@pytest.mark.usefixtures("networks")
def test_a_pod_without_a_status_is_not_attached(
    runtime: Runtime, cluster: Cluster, namespace: str
) -> None:
    token = account(cluster, namespace, READING)
    cluster.kubeconfig(runtime.node.root / "kubeconfig", token)
    sandbox = runtime.sandbox(cluster, namespace, "blue")
    before = runtime.node.snapshot(sandbox.pod)
    error = runtime.call("ADD", sandbox).error()
    assert f"status update failed for pod {namespace}/{sandbox.name}" in error["msg"]
    assert "forbidden" in error["msg"]
    forget_bridges(runtime.node)
    assert runtime.node.snapshot(sandbox.pod) == before


def test_a_token_that_is_no_longer_good_is_told(
    runtime: Runtime, cluster: Cluster, namespace: str
) -> None:
    sandbox = runtime.sandbox(cluster, namespace)
    runtime.call("ADD", sandbox).ok()
    cluster.kubeconfig(runtime.node.root / "kubeconfig", "nonsense")
    runtime.call("DEL", sandbox).ok()
    assert "Unauthorized" in runtime.call("ADD", sandbox).error()["msg"]
    assert sandbox.pod.links() == ["lo"]


@pytest.mark.usefixtures("networks")
def test_a_server_that_is_silent_is_told_and_delays_no_delete(
    runtime: Runtime, cluster: Cluster, namespace: str
) -> None:
    runtime.conf["apiServer"] = {"totalSeconds": 2}
    attached = runtime.sandbox(cluster, namespace, "blue,green", "attached")
    runtime.call("ADD", attached).ok()
    sandbox = runtime.sandbox(cluster, namespace, "blue")
    os.kill(cluster.pid(), signal.SIGSTOP)
    try:
        error = runtime.call("ADD", sandbox).error(11)
        runtime.call("DEL", attached).ok()
    finally:
        os.kill(cluster.pid(), signal.SIGCONT)
    assert URL in error["msg"]
    assert sandbox.pod.links() == attached.pod.links() == ["lo"]
    runtime.call("ADD", sandbox).ok()


def test_devices_are_of_the_kubelet(
    runtime: Runtime, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    resource = "example.com/vf"
    conf = bridge(bridge="br1", ipam=whereabouts("10.7.1.0/24"))
    cluster.nad(namespace, "fast", conf, {"k8s.v1.cni.cncf.io/resourceName": resource})
    with Kubelet(tmp_path / "kubelet") as kubelet:
        runtime.conf["kubeletDir"] = str(kubelet.directory)
        one = runtime.sandbox(cluster, namespace, "fast", "one")
        two = runtime.sandbox(cluster, namespace, "fast,fast", "two")
        for each in (one, two):
            kubelet.give(namespace, each.name, each.uid, {resource: [f"device-of-{each.name}"]})
        runtime.call("ADD", one).ok()
        error = runtime.call("ADD", two).error()
        assert kubelet.calls == ["Get", "Get"]
    assert f'{namespace}/fast: resource "{resource}": the pod has 1 of it' in error["msg"]
    assert (set(one.pod.links()), two.pod.links()) == ({"lo", "eth0", "net1"}, ["lo"])


@pytest.mark.usefixtures("networks")
def test_pods_that_start_together(runtime: Runtime, cluster: Cluster, namespace: str) -> None:
    sandboxes = [
        runtime.sandbox(cluster, namespace, "blue,green", name=f"web{number}")
        for number in range(AT_ONCE)
    ]
    together(runtime, "ADD", sandboxes)
    told = [entry for each in sandboxes for entry in status(cluster, each)]
    given = {ip for entry in told for ip in entry["ips"]}
    assert len(told) == len(given) == 3 * AT_ONCE
    together(runtime, "DEL", sandboxes)
    assert runtime.node.leases() == []


def together(runtime: Runtime, command: str, sandboxes: list[Sandbox]) -> None:
    """A call for each of them; all run at once, and succeed."""
    calls = [runtime.start(command, each) for each in sandboxes]
    for call in calls:
        call.feed()
    for call in calls:
        call.finish().ok()
