"""cnitool calls ADD, CHECK and DEL one by one, as the specification words them."""

from ipaddress import ip_interface, ip_network

import pytest

from .cnitool import Cnitool
from .networks import ONE_ADDRESS, bridge, conflist, ipam, multus
from .node import Node

SUBNET = "10.88.0.0/24"
GATEWAY = "10.88.0.254"


def test_container_gets_its_network_and_gives_it_back(node: Node, cni: Cnitool) -> None:
    node.configure(conflist(bridge(ipam(SUBNET))))
    with node.netns("a") as netns:
        result = cni.add(netns)

        (address,) = [ip["address"] for ip in result["ips"]]
        assert ip_interface(address).network == ip_network(SUBNET)
        assert node.addresses("eth0", netns) == [address]
        assert node.addresses("plait0") == [f"{GATEWAY}/24"]
        node.ping(GATEWAY, netns)
        cni.check(netns)

        cni.delete(netns)
        assert list(node.links(netns)) == ["lo"]
        assert node.veths() == []


@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0"])
def test_result_is_of_the_version_that_the_network_names(
    node: Node, cni: Cnitool, version: str
) -> None:
    node.configure(conflist(bridge(ipam(SUBNET)), version=version))
    with node.netns("a") as netns:
        result = cni.add(netns)
        assert result["cniVersion"] == version
        assert [ip.get("version") for ip in result["ips"]] == [None if version == "1.0.0" else "4"]
        cni.delete(netns)


def test_containers_reach_each_other(node: Node, cni: Cnitool) -> None:
    node.configure(conflist(bridge(ipam(SUBNET))))
    with node.netns("a") as first, node.netns("b") as second:
        cni.add(first)
        address = cni.add(second)["ips"][0]["address"]
        node.ping(str(ip_interface(address).ip), first)
        cni.delete(first)
        # What one container gives back is not the other's.
        assert node.addresses("eth0", second) == [address]
        cni.delete(second)


def test_address_is_free_after_del(node: Node, cni: Cnitool) -> None:
    node.configure(conflist(bridge(ipam(ONE_ADDRESS))))
    with node.netns("a") as first, node.netns("b") as second:
        before = cni.add(first)["ips"]
        refused = cni.attempt("add", second)
        assert refused.returncode != 0
        # The error is for people: it names a subnet or an address of it.
        assert "10.88.1." in refused.stdout + refused.stderr
        cni.delete(second)

        cni.delete(first)
        assert cni.add(second)["ips"] == before
        cni.delete(second)


def test_del_twice_and_without_a_namespace(node: Node, cni: Cnitool) -> None:
    node.configure(conflist(bridge(ipam(ONE_ADDRESS))))
    with node.netns("a") as netns:
        cni.add(netns)
    cni.delete(netns)
    cni.delete(netns)
    with node.netns("b") as other:
        cni.add(other)
        cni.delete(other)
    node.wait_for_no_veths()


def test_check_finds_a_missing_address(node: Node, cni: Cnitool) -> None:
    node.configure(conflist(bridge(ipam(SUBNET))))
    with node.netns("a") as netns:
        cni.add(netns)
        node.run("ip", "-netns", "a", "address", "flush", "dev", "eth0")
        assert cni.attempt("check", netns).returncode != 0
        cni.delete(netns)


def test_static_addresses_and_loopback(node: Node, cni: Cnitool) -> None:
    static = {
        "type": "static",
        "addresses": [{"address": "10.88.0.9/24", "gateway": GATEWAY}],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    node.configure(conflist({"type": "loopback"}, bridge(static)))
    with node.netns("a") as netns:
        cni.add(netns)
        assert node.addresses("eth0", netns) == ["10.88.0.9/24"]
        assert "UP" in node.links(netns)["lo"]["flags"]
        assert f"default via {GATEWAY}" in node.run("ip", "-netns", "a", "route")
        cni.check(netns)
        cni.delete(netns)


def test_host_device_goes_in_and_comes_back(node: Node, cni: Cnitool) -> None:
    node.run("ip", "link", "add", "card0", "type", "veth", "peer", "name", "wire0")
    node.configure(conflist({"type": "host-device", "device": "card0", "ipam": ipam(SUBNET)}))
    with node.netns("a") as netns:
        address = cni.add(netns)["ips"][0]["address"]
        assert node.addresses("eth0", netns) == [address]
        assert "card0" not in node.links()
        cni.check(netns)

        cni.delete(netns)
        assert "card0" in node.links()
        assert list(node.links(netns)) == ["lo"]


@pytest.mark.usefixtures("with_multus")
def test_multus_attaches_every_delegate(node: Node, cni: Cnitool) -> None:
    default = bridge(ipam(SUBNET))
    storage = bridge(ipam(ONE_ADDRESS), name="plait1")
    node.configure(conflist(multus(default, storage)))
    with node.netns("a") as netns:
        result = cni.add(netns)

        # The runtime hears of the default network only.
        assert [ip["address"] for ip in result["ips"]] == node.addresses("eth0", netns)
        assert [ip_interface(a).network for a in node.addresses("net1", netns)] == [
            ip_network(ONE_ADDRESS)
        ]
        cni.check(netns)

        cni.delete(netns)
        assert list(node.links(netns)) == ["lo"]
        assert node.veths() == []
        # Both addresses are free again, the second network's only one among them.
        cni.add(netns)
        cni.delete(netns)
