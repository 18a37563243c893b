"""Pod sandboxes over containerd's CRI, call for call as the kubelet starts and ends them."""

from ipaddress import ip_address, ip_interface, ip_network

import grpc
import pytest

from .containerd import Containerd
from .cri import Pod
from .networks import ONE_ADDRESS, bridge, conflist, ipam, multus
from .node import Node

SUBNET = "10.88.0.0/24"


def test_sandbox_from_start_to_removal(node: Node, containerd: Containerd) -> None:
    node.configure(conflist(bridge(ipam(SUBNET))))
    cri = containerd.cri
    pod = Pod("web-0", namespace="shop")
    sandbox = cri.run(pod)

    status = cri.status(sandbox)
    assert status.ready
    assert ip_address(status.ip) in ip_network(SUBNET)
    (netns,) = node.namespaces()
    assert node.addresses("eth0", netns) == [f"{status.ip}/24"]
    assert "UP" in node.links(netns)["lo"]["flags"]

    cri.stop(sandbox)
    assert not cri.status(sandbox).ready
    assert node.namespaces() == []
    assert node.veths() == []
    cri.stop(sandbox)
    cri.remove(sandbox)

    (add,) = node.plugins.calls("bridge", "ADD")
    assert (add.container, add.ifname, add.code) == (sandbox, "eth0", 0)
    assert add.args == {
        "IgnoreUnknown": "1",
        "K8S_POD_NAMESPACE": "shop",
        "K8S_POD_NAME": "web-0",
        "K8S_POD_INFRA_CONTAINER_ID": sandbox,
        "K8S_POD_UID": pod.uid,
    }
    # Every Stop and the Remove send a DEL; only the first one has anything to go by but the ID.
    deletes = node.plugins.calls("bridge", "DEL")
    assert [call.container for call in deletes] == [sandbox] * 3
    assert [call.netns for call in deletes] == [add.netns, "", ""]
    assert ["prevResult" in call.config for call in deletes] == [True, False, False]
    assert {call.code for call in node.plugins.calls()} == {0}
    # The loopback is a network of containerd's own.
    loopback = {(call.verb, call.ifname) for call in node.plugins.calls("loopback")}
    assert {("ADD", "lo"), ("DEL", "lo")} <= loopback


def test_sandboxes_reach_each_other(node: Node, containerd: Containerd) -> None:
    node.configure(conflist(bridge(ipam(SUBNET))))
    cri = containerd.cri
    first = cri.run(Pod("first"))
    (netns,) = node.namespaces()
    second = cri.run(Pod("second"))
    node.ping(cri.status(second).ip, netns)
    for sandbox in (first, second):
        cri.stop(sandbox)
        cri.remove(sandbox)
    assert node.veths() == []


def test_failed_sandbox_leaves_nothing_behind(node: Node, containerd: Containerd) -> None:
    node.configure(conflist(bridge(ipam(ONE_ADDRESS))))
    cri = containerd.cri
    first = cri.run(Pod("first"))
    namespaces, veths = node.namespaces(), node.veths()

    with pytest.raises(grpc.RpcError, match="failed to setup network for sandbox"):
        cri.run(Pod("second"))
    refused = node.plugins.calls("bridge", "ADD")[-1]
    assert refused.code != 0
    # containerd answers a failed ADD with a DEL, in which the plugin must not touch the first pod.
    rescue = node.plugins.calls("bridge", "DEL")[-1]
    assert (rescue.container, rescue.code) == (refused.container, 0)
    assert (node.namespaces(), node.veths()) == (namespaces, veths)

    cri.stop(first)
    cri.remove(first)
    third = cri.run(Pod("third"))
    assert cri.status(third).ip == "10.88.1.1"
    cri.stop(third)
    cri.remove(third)


def test_sandbox_outlives_a_restart_of_the_runtime(node: Node, containerd: Containerd) -> None:
    node.configure(conflist(bridge(ipam(ONE_ADDRESS))))
    sandbox = containerd.cri.run(Pod("web-0"))
    before = containerd.cri.status(sandbox)
    containerd.restart()
    assert containerd.cri.status(sandbox) == before
    containerd.cri.stop(sandbox)
    containerd.cri.remove(sandbox)
    assert node.veths() == []
    again = containerd.cri.run(Pod("web-1"))
    assert containerd.cri.status(again).ip == before.ip
    containerd.cri.stop(again)
    containerd.cri.remove(again)


def test_network_is_ready_once_it_is_configured(node: Node, containerd: Containerd) -> None:
    assert not containerd.cri.conditions()["NetworkReady"].ready
    node.configure(conflist(bridge(ipam(SUBNET))))
    containerd.restart()
    assert containerd.cri.conditions()["NetworkReady"].ready


def test_pod_in_the_host_network_calls_no_plugin(node: Node, containerd: Containerd) -> None:
    node.configure(conflist(bridge(ipam(SUBNET))))
    sandbox = containerd.cri.run(Pod("agent", host_network=True))
    assert containerd.cri.status(sandbox).ready
    containerd.cri.stop(sandbox)
    containerd.cri.remove(sandbox)
    assert node.plugins.calls("bridge") == []


@pytest.mark.usefixtures("with_multus")
def test_multus_gives_a_sandbox_two_networks(node: Node, containerd: Containerd) -> None:
    default = bridge(ipam(SUBNET))
    storage = bridge(ipam(ONE_ADDRESS), name="plait1")
    node.configure(conflist(multus(default, storage)))
    cri = containerd.cri
    # The second round finds the storage network's only address free again.
    for name in ("web-0", "web-1"):
        sandbox = cri.run(Pod(name))
        (netns,) = node.namespaces()
        assert node.addresses("eth0", netns) == [f"{cri.status(sandbox).ip}/24"]
        (address,) = node.addresses("net1", netns)
        assert ip_interface(address).network == ip_network(ONE_ADDRESS)
        cri.stop(sandbox)
        cri.stop(sandbox)
        cri.remove(sandbox)
        assert node.veths() == []

    deletes = [call.netns != "" for call in node.plugins.calls("multus", "DEL")]
    assert deletes == [True, False, False] * 2
    assert {call.code for call in node.plugins.calls("multus")} == {0}
