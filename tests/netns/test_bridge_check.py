"""bridge CHECK: content with what ADD made, and names what was changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.netns import confs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.netns.confs import Conf
    from tests.netns.node import Node, Pod

DUAL = confs.static(
    "10.1.2.3/24", "fd00:1:0::3/64",
    routes=[{"dst": "10.5.0.0/16"}, {"dst": "fd00:5:0:0::/64", "gw": "fd00:1:0::9"}],
)  # fmt: skip


def added(node: Node, pod: Pod, **keys: Any) -> Conf:
    conf = confs.bridge(**keys)
    conf["prevResult"] = node.call("ADD", conf, pod).ok()
    return conf


@pytest.mark.parametrize(
    "ipam",
    [None, {}, confs.static("10.1.2.3/24"), confs.static("fd00:1::3/64"), DUAL],
    ids=["no-ipam", "empty-ipam", "v4", "v6", "dual"],
)
@pytest.mark.parametrize("version", ["0.4.0", "1.0.0", "1.1.0"])
def test_check_after_add(node: Node, ipam: Conf | None, version: str) -> None:
    """The original's CHECK always fails on a network without addresses."""
    pod = node.pod()
    conf = added(node, pod, version=version, isDefaultGateway=ipam is not None, ipam=ipam)
    assert node.call("CHECK", conf, pod).ok() is None


def test_check_with_ipam_that_leases(node: Node) -> None:
    pod = node.pod()
    conf = added(node, pod, ipam=confs.whereabouts("10.1.2.0/24"))
    node.call("CHECK", conf, pod).ok()
    node.raw("whereabouts", node.environ("DEL", pod), confs.encoded(conf)).ok()
    assert "no lease in range 10.1.2.0/24" in node.call("CHECK", conf, pod).error(102)["msg"]


def test_check_needs_a_previous_result(node: Node) -> None:
    pod = node.pod()
    conf = added(node, pod)
    del conf["prevResult"]
    assert "prevResult missing" in node.call("CHECK", conf, pod).error(7)["msg"]


@pytest.mark.parametrize("version", ["", "0.1.0", "0.2.0", "0.3.0", "0.3.1"])
def test_check_before_its_time(node: Node, version: str) -> None:
    error = node.call("CHECK", confs.bridge(version=version), node.pod()).error(1)
    assert error["msg"] == "config version does not allow CHECK"


def delete_link(node: Node, pod: Pod) -> None:
    pod.ip("link", "delete", "eth0")


def replace_link(node: Node, pod: Pod) -> None:
    mac = pod.link("eth0")["address"]
    delete_link(node, pod)
    pod.ip("link", "add", "eth0", "address", mac, "type", "bridge")


def change_mac(node: Node, pod: Pod) -> None:
    pod.ip("link", "set", "eth0", "address", "02:00:00:00:00:77")


def take_v4(node: Node, pod: Pod) -> None:
    pod.ip("address", "delete", "10.1.2.3/24", "dev", "eth0")


def take_v6(node: Node, pod: Pod) -> None:
    pod.ip("address", "delete", "fd00:1::3/64", "dev", "eth0")


def take_route(node: Node, pod: Pod) -> None:
    pod.ip("route", "delete", "10.5.0.0/16")


def move_route(node: Node, pod: Pod) -> None:
    pod.ip("route", "replace", "fd00:5::/64", "via", "fd00:1::7")


def unplug(node: Node, pod: Pod) -> None:
    node.ip("link", "set", node.port(pod)["ifname"], "nomaster")


def plug_elsewhere(node: Node, pod: Pod) -> None:
    node.ip("link", "add", "br1", "type", "bridge")
    node.ip("link", "set", node.port(pod)["ifname"], "master", "br1")


def delete_bridge(node: Node, pod: Pod) -> None:
    node.ip("link", "delete", "br0")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (delete_link, "Container interface eth0 not found"),
        (replace_link, "eth0 is not of type veth"),
        (change_mac, "doesn't match container Mac: 02:00:00:00:00:77"),
        (take_v4, "Failed to match addr 10.1.2.3/24 on interface eth0"),
        (take_v6, "Failed to match addr fd00:1::3/64 on interface eth0"),
        (take_route, "Expected route 10.5.0.0/16 via 10.1.2.1 not found"),
        (move_route, "Expected route fd00:5::/64 via fd00:1::9 not found"),
        (unplug, "CNI veth created for bridge br0 was not found"),
        (plug_elsewhere, "CNI veth created for bridge br0 was not found"),
        (delete_bridge, "Bridge interface br0 not found"),
    ],
)
def test_check_names_what_was_changed(
    node: Node, change: Callable[[Node, Pod], None], words: str
) -> None:
    pod = node.pod()
    conf = added(node, pod, isDefaultGateway=True, ipam=DUAL)
    node.call("CHECK", conf, pod).ok()
    change(node, pod)
    before = node.snapshot(pod)
    assert words in node.call("CHECK", conf, pod).error(102)["msg"]
    assert node.snapshot(pod) == before


def test_a_default_route_may_be_moved_on_purpose(node: Node) -> None:
    """Another attachment of the pod may have taken it."""
    pod = node.pod()
    conf = added(node, pod, isDefaultGateway=True, ipam=confs.static("10.1.2.3/24"))
    pod.ip("route", "replace", "default", "via", "10.1.2.200")
    node.call("CHECK", conf, pod).ok()
    pod.ip("route", "delete", "default")
    assert "0.0.0.0/0" in node.call("CHECK", conf, pod).error(102)["msg"]


def test_sandbox_may_be_spelled_in_another_way(node: Node, tmp_path: Path) -> None:
    """/run/netns and /var/run/netns are one directory."""
    pod = node.pod()
    conf = added(node, pod)
    link = tmp_path / "netns"
    link.symlink_to(pod.path)
    environ = node.environ("CHECK", pod) | {"CNI_NETNS": str(link)}
    node.raw("bridge", environ, confs.encoded(conf)).ok()
    environ["CNI_NETNS"] = node.pod().path
    error = node.raw("bridge", environ, confs.encoded(conf)).error(102)
    assert "doesn't match configured netns" in error["msg"]


def test_addresses_may_be_spelled_in_another_way(node: Node) -> None:
    """Another plugin of the chain may have written them."""
    pod = node.pod()
    conf = added(node, pod, isDefaultGateway=True, ipam=DUAL)
    prev = conf["prevResult"]
    prev["ips"][1]["address"] = "FD00:1:0::3/64"
    for each in prev["routes"]:
        if each["dst"].startswith("fd00:5"):
            each |= {"dst": "FD00:5:0::/64", "gw": "FD00:1:0:0::9"}
    for each in prev["interfaces"]:
        each["mac"] = each["mac"].upper()
    node.call("CHECK", conf, pod).ok()


def test_check_without_the_namespace(node: Node) -> None:
    pod = node.pod()
    conf = added(node, pod)
    environ = node.environ("CHECK", pod)
    pod.destroy()
    node.raw("bridge", environ, confs.encoded(conf)).error(8)


@pytest.mark.parametrize("index", [-1, -100, 3, 99, 10**30])
def test_previous_result_with_an_index_that_leads_nowhere(node: Node, index: int) -> None:
    pod = node.pod()
    conf = added(node, pod, ipam=confs.static("10.1.2.3/24"))
    conf["prevResult"]["ips"][0]["interface"] = index
    assert "interface" in node.call("CHECK", conf, pod).error(7)["msg"]


@pytest.mark.parametrize(
    "ips",
    [
        [{"address": "10.1.2.3"}],
        [{"address": "10.1.2.3/255.255.255.0"}],
        [{"address": "fe80::1%eth0/64"}],
        [{"address": "x"}],
        [{"address": "10.1.2.3/24", "gateway": "x"}],
        [{"address": "10.1.2.3/24", "gateway": "fe80::1%eth0"}],
    ],
)
def test_previous_result_with_addresses_that_are_none(node: Node, ips: list[Conf]) -> None:
    pod = node.pod()
    conf = added(node, pod)
    conf["prevResult"]["ips"] = ips
    error = node.call("CHECK", conf, pod).error(7)
    assert "prevResult" in error["msg"]
    assert ips[0].get("gateway", ips[0]["address"]) in error["msg"]
