"""podman's networks: 0.4.0 configurations, VERSION before each ADD and DEL, networks on the fly."""

import json

import pytest

from .networks import ONE_ADDRESS, bridge, conflist, host_local, ipam, multus
from .node import Node
from .podman import Podman

SUBNET = "10.88.0.0/24"
VERSION = "0.4.0"


@pytest.mark.usefixtures("with_host_local")
def test_container_from_run_to_removal(node: Node, podman: Podman) -> None:
    node.configure(conflist(bridge(host_local(SUBNET)), version=VERSION))
    assert "pods" in podman("network", "ls", "--format", "{{.Name}}").split()
    (network,) = json.loads(podman("network", "inspect", "pods"))
    assert network["driver"] == "bridge"
    assert network["subnets"][0]["subnet"] == SUBNET

    podman.run("--detach", "--name", "web", "--network", "pods")
    address = podman.networks("web")["pods"]["IPAddress"]
    shown = podman("exec", "web", "ip", "-4", "-o", "address", "show", "dev", "eth0")
    assert f" {address}/24 " in shown
    ping = ("ping", "-c", "1", "-W", "20", address)
    assert "1 packets received" in podman.run("--rm", "--network", "pods", command=ping)

    podman("rm", "--force", "--time", "0", "web")
    assert node.veths() == []
    assert node.namespaces() == []
    calls = node.plugins.calls("bridge")
    assert {call.verb for call in calls} == {"VERSION", "ADD", "DEL"}
    assert {call.code for call in calls} == {0}
    (add, *_) = node.plugins.calls("bridge", "ADD")
    assert add.args == {"IgnoreUnknown": "1", "K8S_POD_NAME": "web"}
    assert add.result["cniVersion"] == VERSION


@pytest.mark.usefixtures("with_host_local")
def test_second_network_comes_and_goes(node: Node, podman: Podman) -> None:
    node.configure(conflist(bridge(host_local(SUBNET)), version=VERSION))
    storage = bridge(host_local(ONE_ADDRESS), name="plait1")
    node.configure(conflist(storage, name="storage", version=VERSION))
    podman.run("--detach", "--name", "web", "--network", "pods")

    # The second time finds the network's only address free again.
    for _ in range(2):
        podman("network", "connect", "storage", "web")
        shown = podman("exec", "web", "ip", "-4", "-o", "address", "show", "dev", "eth1")
        assert " 10.88.1.1/30 " in shown
        podman("network", "disconnect", "storage", "web")
        assert "eth1" not in podman("exec", "web", "ip", "link")

    podman("rm", "--force", "--time", "0", "web")
    assert node.veths() == []


@pytest.mark.usefixtures("with_multus")
def test_multus_network(node: Node, podman: Podman) -> None:
    # podman reads the ipam section of a bridge, and refuses any but its own; multus is opaque.
    default = bridge(ipam(SUBNET))
    storage = bridge(ipam(ONE_ADDRESS), name="plait1")
    node.configure(conflist(multus(default, storage, version=VERSION), version=VERSION))
    podman.run("--detach", "--name", "web", "--network", "pods")
    address = podman.networks("web")["pods"]["IPAddress"]
    shown = podman("exec", "web", "ip", "-4", "-o", "address")
    assert f" {address}/24 " in shown
    assert " 10.88.1.1/30 " in shown
    podman("rm", "--force", "--time", "0", "web")
    assert node.veths() == []
