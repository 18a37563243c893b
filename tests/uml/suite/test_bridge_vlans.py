"""bridge with VLANs: what the kernel has on the port, and who reaches whom."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.netns.confs import bridge, static
from tests.netns.faults import failing

if TYPE_CHECKING:
    from tests.netns.confs import Conf
    from tests.netns.node import Node, Pod

TRUNK = [{"id": 101}, {"minID": 200, "maxID": 210}]
TRUNKED = [101, *range(200, 211)]


def vlans(node: Node, name: str) -> dict[int, set[str]]:
    """VLAN -> its flags, of a port."""
    shown: list[dict[str, Any]] = json.loads(node.run("bridge", "-j", "vlan", "show"))
    none: dict[str, Any] = {"vlans": []}
    port = next((each for each in shown if each["ifname"] == name), none)
    found: dict[int, set[str]] = {}
    for each in port["vlans"]:
        for vid in range(each["vlan"], each.get("vlanEnd", each["vlan"]) + 1):
            found[vid] = set(each.get("flags", []))
    return found


def port_vlans(node: Node, pod: Pod) -> dict[int, set[str]]:
    return vlans(node, node.port(pod)["ifname"])


NATIVE = {"PVID", "Egress Untagged"}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"vlan": 100}, {100: NATIVE}),
        ({"vlanTrunk": TRUNK}, {1: NATIVE, **{vid: set() for vid in TRUNKED}}),
        ({"vlan": 100, "vlanTrunk": TRUNK}, {100: NATIVE, **{vid: set() for vid in TRUNKED}}),
        (
            {"vlan": 100, "preserveDefaultVlan": True},
            {1: {"Egress Untagged"}, 100: NATIVE},
        ),
        # the original adds the native VLAN again without its flags: untagged frames are dropped
        (
            {"vlan": 200, "vlanTrunk": TRUNK},
            {200: NATIVE, **{vid: set() for vid in TRUNKED if vid != 200}},
        ),
        ({"vlanTrunk": []}, {1: NATIVE}),
        ({"vlanTrunk": [{}]}, {1: NATIVE}),
    ],
)  # fmt: skip
def test_vlans_of_the_port(node: Node, keys: Conf, expected: dict[int, set[str]]) -> None:
    pod = node.pod()
    conf = bridge(**keys)
    result = node.call("ADD", conf, pod).ok()
    assert port_vlans(node, pod) == expected
    filtering = node.link("br0")["linkinfo"]["info_data"]["vlan_filtering"]
    assert filtering == 1
    node.call("CHECK", conf | {"prevResult": result}, pod).ok()
    node.call("DEL", conf, pod).ok()


def test_check_sees_a_vlan_that_is_gone(node: Node) -> None:
    pod = node.pod()
    conf = bridge(vlan=100)
    result = node.call("ADD", conf, pod).ok()
    name = node.port(pod)["ifname"]
    node.run("bridge", "vlan", "del", "dev", name, "vid", "100")
    node.run("bridge", "vlan", "add", "dev", name, "vid", "300")
    assert "VLANs" in node.call("CHECK", conf | {"prevResult": result}, pod).error(102)["msg"]


def test_vlans_separate(node: Node) -> None:
    red, also_red, blue = node.pod(), node.pod(), node.pod()
    for pod, vlan, address in ((red, 10, 1), (also_red, 10, 2), (blue, 20, 3)):
        node.call("ADD", bridge(vlan=vlan, ipam=static(f"10.1.0.{address}/24")), pod).ok()
    red.run("ping", "-c1", "-W2", "10.1.0.2")
    with pytest.raises(AssertionError):
        red.run("ping", "-c1", "-W1", "10.1.0.3")


def test_a_trunk_carries_tagged_frames(node: Node) -> None:
    trunk, access = node.pod(), node.pod()
    node.call("ADD", bridge(vlan=100, vlanTrunk=TRUNK), trunk).ok()
    node.call("ADD", bridge(vlan=205, ipam=static("10.2.0.2/24")), access).ok()
    trunk.ip("link", "add", "link", "eth0", "name", "v205", "type", "vlan", "id", "205")
    trunk.ip("address", "add", "10.2.0.1/24", "dev", "v205")
    trunk.ip("link", "set", "v205", "up")
    trunk.run("ping", "-c1", "-W2", "10.2.0.2")


class TestGateway:
    CONF = bridge(vlan=100, isDefaultGateway=True, ipam=static("10.3.0.5/24"))

    def test_it_stands_in_the_vlan(self, node: Node) -> None:
        pod = node.pod()
        result = node.call("ADD", self.CONF, pod).ok()
        names = [each["name"] for each in result["interfaces"]]
        assert names == ["br0", node.port(pod)["ifname"], "eth0", "br0.100"]
        assert node.addresses("br0.100") == ["10.3.0.1/24"]
        assert node.addresses("br0") == []
        pod.run("ping", "-c1", "-W2", "10.3.0.1")
        node.call("CHECK", self.CONF | {"prevResult": result}, pod).ok()

    def test_it_has_the_mtu_of_the_network(self, node: Node) -> None:
        """With the kernel's 1500 its port would pull the whole bridge down."""
        node.call("ADD", {**self.CONF, "mtu": 9000}, node.pod()).ok()
        assert [node.link(name)["mtu"] for name in ("br0.100", "br0")] == [9000, 9000]

    def test_what_a_killed_add_left_of_it_is_finished(self, node: Node) -> None:
        first, second = node.pod(), node.pod()
        node.call("ADD", self.CONF, first).ok()
        foot = next(
            each["ifname"] for each in node.ip("link") if each.get("ifalias") == "br0.100 gateway"
        )
        node.ip("link", "set", foot, "nomaster", "down")
        node.ip("link", "set", "br0.100", "down")
        node.call("ADD", {**self.CONF, "ipam": static("10.3.0.6/24")}, second).ok()
        second.run("ping", "-c1", "-W2", "10.3.0.1")

    def test_a_second_pod_uses_it_too(self, node: Node) -> None:
        first, second = node.pod(), node.pod()
        node.call("ADD", self.CONF, first).ok()
        index = node.link("br0.100")["ifindex"]
        node.call("ADD", {**self.CONF, "ipam": static("10.3.0.6/24")}, second).ok()
        assert node.link("br0.100")["ifindex"] == index
        second.run("ping", "-c1", "-W2", "10.3.0.1")

    def test_it_forgets_who_had_the_address_before(self, node: Node) -> None:
        node.call("ADD", {**self.CONF, "ipam": static("10.3.0.6/24")}, node.pod()).ok()
        # permanent: the container's own announcement would change another one
        stale = ["lladdr", "02:00:00:00:00:99", "nud", "permanent"]
        node.ip("neighbour", "replace", "10.3.0.5", "dev", "br0.100", *stale)
        node.call("ADD", self.CONF, node.pod()).ok()
        node.run("ping", "-c1", "-W2", "10.3.0.5")

    def test_an_add_that_fails_takes_it_back(self, node: Node) -> None:
        """By turns before and after the call, for the guest is slow; outside both are tried."""
        pod = node.pod()
        before = node.snapshot(pod)
        for nth in range(1, 200):
            with failing(nth, after=nth % 2 == 0) as fault:
                reply = node.call("ADD", self.CONF, pod)
            if not fault.hit:
                assert nth > 20
                return
            if reply.status == 0:
                node.call("DEL", self.CONF, pod).ok()
                node.ip("link", "delete", "br0.100")
                node.ip("link", "delete", "br0")
            assert node.snapshot(pod) == before, f"call {nth}: {fault.hit}"
        pytest.fail("the ADD never came to its end")
