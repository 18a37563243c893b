"""`ctr run --cni`: fixed paths, an empty CNI_ARGS, and a DEL whose namespace is gone."""

from .containerd import Containerd
from .networks import ONE_ADDRESS, bridge, conflist, ipam
from .node import Node

SHOW = ("ip", "-4", "-o", "address", "show", "dev", "eth0")


def test_container_has_a_network_while_it_runs(node: Node, containerd: Containerd) -> None:
    node.configure(conflist(bridge(ipam(ONE_ADDRESS))))
    # Twice: the second container is given what the first one gave back.
    for name in ("first", "second"):
        assert " 10.88.1.1/30 " in containerd.run(name, *SHOW)
        node.wait_for_no_veths()

    add, delete = node.plugins.calls("bridge")[:2]
    assert (add.verb, add.code, add.args) == ("ADD", 0, {})
    assert (delete.verb, delete.code, delete.netns) == ("DEL", 0, "")
    assert delete.container == add.container
    assert delete.config["prevResult"]["ips"] == add.result["ips"]


def test_containers_reach_each_other(node: Node, containerd: Containerd) -> None:
    node.configure(conflist(bridge(ipam("10.88.0.0/24"))))
    with containerd.running("first"):
        (add,) = node.plugins.calls("bridge", "ADD")
        address = add.result["ips"][0]["address"].partition("/")[0]
        assert "1 packets received" in containerd.run(
            "second", "ping", "-c", "1", "-W", "20", address
        )
    assert [call.code for call in node.plugins.calls("bridge", "DEL")] == [0, 0]
    node.wait_for_no_veths()
