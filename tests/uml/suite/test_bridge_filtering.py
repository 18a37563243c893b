"""A bridge that was made without VLAN filtering gets it, or a network with VLANs is refused.

The original does neither: its VLANs separate nobody then, and which network came first decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.netns.confs import bridge, static

if TYPE_CHECKING:
    from tests.netns.confs import Conf
    from tests.netns.node import Node

TRUNK = [{"id": 100}]


def filtering(node: Node) -> bool:
    return bool(node.link("br0")["linkinfo"]["info_data"]["vlan_filtering"])


def test_network_without_vlans_came_first(node: Node) -> None:
    plain, also_plain, red = node.pod(), node.pod(), node.pod()
    for number, pod in enumerate((plain, also_plain), start=2):
        conf = bridge(isGateway=True, ipam=static(f"10.1.0.{number}/24"))
        node.call("ADD", conf, pod).ok()
    assert not filtering(node)
    node.call("ADD", bridge(name="red", vlan=100, ipam=static("10.1.0.9/24")), red).ok()
    assert filtering(node)
    plain.run("ping", "-c1", "-W2", "10.1.0.3")
    plain.run("ping", "-c1", "-W2", "10.1.0.1")
    with pytest.raises(AssertionError):
        plain.run("ping", "-c1", "-W1", "10.1.0.9")


@pytest.mark.parametrize("keys", [{"vlan": 100}, {"vlanTrunk": TRUNK}])
def test_empty_bridge_of_the_host(node: Node, keys: Conf) -> None:
    node.ip("link", "add", "br0", "type", "bridge")
    node.call("ADD", bridge(**keys), node.pod()).ok()
    assert filtering(node)


@pytest.mark.parametrize("keys", [{}, {"vlan": 0}, {"vlanTrunk": []}])
def test_network_that_needs_none(node: Node, keys: Conf) -> None:
    node.ip("link", "add", "br0", "type", "bridge")
    node.call("ADD", bridge(**keys), node.pod()).ok()
    assert not filtering(node)


def test_bridge_with_an_uplink(node: Node) -> None:
    """What it carries tagged for others would be lost."""
    node.ip("link", "add", "br0", "address", "02:00:00:00:00:b0", "type", "bridge")
    node.ip("link", "add", "uplink", "type", "dummy")
    node.ip("link", "set", "uplink", "master", "br0")
    pod = node.pod()
    before = node.snapshot(pod)
    error = node.call("ADD", bridge(vlan=100, ipam=static("10.1.0.9/24")), pod).error(7)
    assert "has no VLAN filtering, and other ports than containers: uplink" in error["msg"]
    assert error["details"] == "ip link set br0 type bridge vlan_filtering 1"
    assert node.snapshot(pod) == before
    assert not filtering(node)
    node.ip("link", "set", "br0", "type", "bridge", "vlan_filtering", "1")
    node.call("ADD", bridge(vlan=100, ipam=static("10.1.0.9/24")), pod).ok()


def test_failed_add_takes_it_back(node: Node) -> None:
    node.ip("link", "add", "br0", "address", "02:00:00:00:00:b0", "type", "bridge")
    pod = node.pod()
    before = node.snapshot(pod)
    node.call("ADD", bridge(vlan=100, ipam={"type": "nosuch"}), pod).error(7)
    assert node.snapshot(pod) == before
    assert not filtering(node)
