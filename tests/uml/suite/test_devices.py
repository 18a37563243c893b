"""host-device with kinds of devices that the machine's own kernel may not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.netns.confs import host_device, static

if TYPE_CHECKING:
    from tests.netns.node import Node

KINDS = {
    "dummy": ("type", "dummy"),
    "vlan": ("link", "low0", "type", "vlan", "id", "7"),
    "ipvlan": ("link", "low0", "type", "ipvlan", "mode", "l2"),
    "macvlan": ("link", "low0", "type", "macvlan", "mode", "bridge"),
}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_there_and_back(node: Node, kind: str) -> None:
    node.ip("link", "add", "low0", "type", "dummy")
    node.ip("link", "set", "low0", "up")
    node.ip("link", "add", "dev0", *KINDS[kind])
    node.ip("link", "set", "dev0", "mtu", "1400")
    node.ip("link", "set", "dev0", "up", "alias", "rack 7")
    pod = node.pod()
    before = node.snapshot(pod)
    conf = host_device(device="dev0", ipam=static("10.4.0.5/24"))
    result = node.call("ADD", conf, pod, "net1").ok()
    assert result["interfaces"][0]["name"] == "net1"
    assert pod.addresses("net1") == ["10.4.0.5/24"]
    assert "dev0" not in node.links()
    pod.ip("link", "set", "net1", "down")
    pod.ip("link", "set", "net1", "name", "renamed", "mtu", "1300")
    node.call("DEL", conf, pod, "net1").ok()
    assert node.snapshot(pod) == before


def test_a_dead_namespace_takes_a_virtual_device_along(node: Node) -> None:
    node.ip("link", "add", "dev0", "type", "dummy")
    pod = node.pod()
    conf = host_device(device="dev0", ipam=static("10.4.0.5/24"))
    node.call("ADD", conf, pod, "net1").ok()
    pod.destroy()
    node.call("DEL", conf, pod, "net1").ok()
    assert not [each for each in node.snapshot() if "file" in each]
