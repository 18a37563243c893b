"""host-device: which device is taken, how it comes into the pod, and how it comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.netns import confs

if TYPE_CHECKING:
    from tests.netns.confs import Conf
    from tests.netns.node import Node, Pod

MAC = "02:00:00:00:0d:01"


def device(node: Node, name: str = "hd0", mac: str = MAC) -> str:
    """A device to give away, up; its other end stays on the host."""
    node.ip("link", "add", name, "address", mac, "type", "veth", "peer", "name", f"{name}peer")
    for each in (name, f"{name}peer"):
        node.ip("link", "set", each, "up")
    return name


@pytest.mark.parametrize(
    "choice",
    [
        {"device": "hd0"},
        {"hwaddr": MAC},
        {"hwaddr": MAC.upper().replace(":", "-")},
        {"hwaddr": "0200.0000.0d01"},
        {"device": "hd0", "hwaddr": "02:00:00:00:0d:02"},
        {"device": "hd0", "pciBusID": "0000:00:1f.7"},
        {"device": "short"},
        {"device": "an-alternative-name-longer-than-others"},
        {"Device": "hd0", "unknown": 1, "hwaddr": None},
    ],
)
def test_choice(node: Node, choice: Conf) -> None:
    device(node)
    device(node, "hd1", "02:00:00:00:0d:02")
    long_name = "an-alternative-name-longer-than-others"
    node.ip("link", "property", "add", "dev", "hd0", "altname", "short", "altname", long_name)
    pod = node.pod()
    before = node.snapshot(pod)
    conf = confs.host_device(**choice)
    result = node.call("ADD", conf, pod, "net1").ok()
    assert result == {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "net1", "mac": MAC, "mtu": 1500, "sandbox": pod.path}],
    }
    assert "hd0" not in node.links()
    link = pod.link("net1")
    assert (link["address"], link["ifalias"]) == (MAC, "hd0")
    assert "UP" in link["flags"]
    node.call("DEL", conf, pod, "net1").ok()
    assert node.snapshot(pod) == before


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({}, 'specify either "device", "hwaddr", "kernelpath" or "pciBusID"'),
        ({"device": ""}, 'specify either "device"'),
        ({"device": "nope"}, 'failed to find host device: "device": "nope"'),
        ({"device": "much-too-long-for-a-name"}, '"device": "much-too-long-for-a-name"'),
        ({"device": "a/b"}, '"device": "a/b"'),
        ({"device": "hd%d"}, '"device": "hd%d"'),
        ({"hwaddr": "02:00:00:00:0d:99"}, '"hwaddr": "02:00:00:00:0d:99"'),
        ({"hwaddr": "xx"}, '"hwaddr": invalid MAC address "xx"'),
        ({"kernelpath": "/sys/class/net/hd0"}, "must be absolute and begin with /sys/devices/"),
        ({"kernelpath": "sys/devices/x"}, "must be absolute and begin with /sys/devices/"),
        ({"kernelpath": "/sys/devices/../class/net"}, "must be absolute and begin with"),
        ({"kernelpath": "/sys/devices/pci0000:00/nope"}, '"kernelpath": "/sys/devices/pci0000'),
        ({"pciBusID": "0000:ff:1f.7"}, '"pciBusID": "0000:ff:1f.7"'),
        ({"pciBusID": "../../../net/hd0"}, '"pciBusID": "../../../net/hd0" is no device address'),
        ({"runtimeConfig": {"deviceID": "0000:ff:1f.7"}}, '"runtimeConfig.deviceID"'),
        ({"runtimeConfig": {"deviceID": "mlx5_core.sf.4"}}, "mlx5_core.sf.4 not found"),
        ({"runtimeConfig": {"deviceID": "../x"}}, '"runtimeConfig.deviceID": "../x"'),
        ({"device": 7}, '"device": invalid value 7'),
        ({"runtimeConfig": {"deviceID": True}}, '"runtimeConfig.deviceID": invalid value true'),
    ],
)
def test_choice_that_leads_nowhere(node: Node, choice: Conf, words: str) -> None:
    device(node)
    pod = node.pod()
    before = node.snapshot(pod)
    conf = confs.host_device(ipam=confs.whereabouts("10.1.2.0/24"), **choice)
    error = node.call("ADD", conf, pod).error(7)
    assert words in error["msg"] + error.get("details", "")
    assert node.snapshot(pod) == before
    node.call("DEL", conf, pod).ok()  # also when there is nothing any more that could be parsed


@pytest.mark.parametrize("name", ["lo", "br9"])
def test_device_that_cannot_be_moved(node: Node, name: str) -> None:
    node.ip("link", "add", "br9", "type", "bridge")
    pod = node.pod()
    before = node.snapshot(pod)
    error = node.call("ADD", confs.host_device(device=name), pod).error(101)
    assert f'"{name}"' in error["msg"]
    assert node.snapshot(pod) == before


def test_addresses_and_routes(node: Node) -> None:
    device(node)
    pod = node.pod()
    ipam = confs.static(
        "10.1.2.3/24", "fd00:1::3/64", gateway="",
        routes=[{"dst": "10.9.0.0/16", "gw": "10.1.2.1", "mtu": 1300}],
        dns={"nameservers": ["10.0.0.1"]},
    )  # fmt: skip
    conf = confs.host_device(device="hd0", ipam=ipam)
    result = node.call("ADD", conf, pod).ok()
    assert [ip["interface"] for ip in result["ips"]] == [0, 0]
    assert result["dns"] == {"nameservers": ["10.0.0.1"]}
    assert pod.addresses("eth0") == ["10.1.2.3/24", "fd00:1::3/64"]
    route = next(r for r in pod.routes() if r["dst"] == "10.9.0.0/16")
    assert route["metrics"] == [{"mtu": 1300}]
    node.ip("address", "add", "10.1.2.1/24", "dev", "hd0peer")
    pod.run("ping", "-c1", "-W5", "10.1.2.1")
    conf["prevResult"] = result
    node.call("CHECK", conf, pod).ok()
    node.call("DEL", conf, pod).ok()
    assert "hd0" in node.links()
    assert node.addresses("hd0") == []


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_result_of_each_version(node: Node, version: str) -> None:
    device(node)
    pod = node.pod()
    conf = confs.host_device(version=version, device="hd0", ipam=confs.static("10.1.2.3/24"))
    result = node.call("ADD", conf, pod).ok()
    assert result["cniVersion"] == version
    if version < "0.3":
        assert result["ip4"] == {"ip": "10.1.2.3/24"}
    else:
        assert result["interfaces"][0]["name"] == "eth0"
        assert ("mtu" in result["interfaces"][0]) == (version >= "1")


def test_device_without_addresses_cannot_be_told_in_old_versions(node: Node) -> None:
    device(node)
    pod = node.pod()
    before = node.snapshot(pod)
    node.call("ADD", confs.host_device(version="0.2.0", device="hd0"), pod).error(1)
    assert node.snapshot(pod) == before


# what comes back


def test_everything_is_restored(node: Node) -> None:
    """The original loses the alias, and what the pod changed stays changed."""
    device(node)
    node.ip("link", "set", "hd0", "alias", "the user's own words", "mtu", "1400")
    node.ip("link", "property", "add", "dev", "hd0", "altname", "enp1s0f0", "altname", "net1")
    pod = node.pod()
    before = node.snapshot(pod)
    conf = confs.host_device(device="hd0", ipam=confs.whereabouts("10.1.2.0/24"))
    node.call("ADD", conf, pod, "net1").ok()
    pod.ip("link", "set", "net1", "address", "02:00:00:00:0d:77", "mtu", "1200", "promisc", "on")
    pod.ip("link", "set", "net1", "promisc", "off")
    node.call("DEL", conf, pod, "net1").ok()
    assert node.snapshot(pod) == before


@pytest.mark.parametrize("state", ["up", "down"])
@pytest.mark.parametrize("in_pod", ["up", "down"])
def test_state_is_restored(node: Node, state: str, in_pod: str) -> None:
    device(node)
    node.ip("link", "set", "hd0", state)
    pod = node.pod()
    conf = confs.host_device(device="hd0")
    node.call("ADD", conf, pod).ok()
    pod.ip("link", "set", "eth0", in_pod)
    node.call("DEL", conf, pod).ok()
    assert ("UP" in node.link("hd0")["flags"]) == (state == "up")


def test_alias_that_is_the_name(node: Node) -> None:
    """Our mark on a moved device is its host name in the alias: here it bears it already."""
    device(node)
    node.ip("link", "set", "hd0", "alias", "hd0")
    pod = node.pod()
    before = node.snapshot(pod)
    conf = confs.host_device(device="hd0")
    node.call("ADD", conf, pod).ok()
    node.call("DEL", conf, pod).ok()
    assert node.snapshot(pod) == before


def test_renamed_in_the_pod(node: Node) -> None:
    """The original does not find it (containernetworking/plugins#773)."""
    device(node)
    pod = node.pod()
    before = node.snapshot(pod)
    conf = confs.host_device(device="hd0")
    node.call("ADD", conf, pod).ok()
    pod.ip("link", "set", "eth0", "down")
    pod.ip("link", "set", "eth0", "name", "data0")
    node.call("DEL", conf, pod).ok()
    assert node.snapshot(pod) == before


def test_same_name_in_the_pod(node: Node) -> None:
    device(node, "eth0")
    pod = node.pod()
    pod.ip("link", "add", "eth0", "type", "bridge")
    before = node.snapshot(pod)
    conf = confs.host_device(device="eth0")
    node.call("ADD", conf, pod, "net1").ok()
    assert sorted(pod.links()) == ["eth0", "lo", "net1"]
    node.call("DEL", conf, pod, "net1").ok()
    assert node.snapshot(pod) == before


@pytest.mark.parametrize("taken_as", ["name", "altname"])
def test_name_taken_in_the_pod(node: Node, taken_as: str) -> None:
    device(node)
    pod = node.pod()
    pod.ip("link", "add", "net1" if taken_as == "name" else "other", "type", "bridge")
    if taken_as == "altname":
        pod.ip("link", "property", "add", "dev", "other", "altname", "net1")
    before = node.snapshot(pod)
    conf = confs.host_device(device="hd0", ipam=confs.whereabouts("10.1.2.0/24"))
    assert "net1" in node.call("ADD", conf, pod, "net1").error(4)["msg"]
    assert node.snapshot(pod) == before


def test_altname_taken_in_the_pod(node: Node) -> None:
    """The kernel refuses the move; the device must stay as it was."""
    device(node)
    node.ip("link", "property", "add", "dev", "hd0", "altname", "enp1s0f0")
    pod = node.pod()
    pod.ip("link", "add", "enp1s0f0", "type", "bridge")
    before = node.snapshot(pod)
    node.call("ADD", confs.host_device(device="hd0"), pod, "net1").error(101)
    assert node.snapshot(pod) == before


def test_name_taken_on_the_host_at_delete(node: Node) -> None:
    device(node)
    pod = node.pod()
    before = node.snapshot(pod)
    conf = confs.host_device(device="hd0", ipam=confs.static("10.1.2.3/24"))
    node.call("ADD", conf, pod, "net1").ok()
    node.ip("link", "add", "hd0", "type", "bridge")
    with_intruder = node.snapshot(pod)
    error = node.call("DEL", conf, pod, "net1").error(101)
    assert 'the host has another interface "hd0"' in error["details"]
    assert node.snapshot(pod) == with_intruder
    node.ip("link", "delete", "hd0")
    node.call("DEL", conf, pod, "net1").ok()
    assert node.snapshot(pod) == before


def test_two_devices_in_one_pod(node: Node) -> None:
    for name, mac in (("hd0", MAC), ("hd1", "02:00:00:00:0d:02")):
        device(node, name, mac)
    pod = node.pod()
    before = node.snapshot(pod)
    first, second = confs.host_device(device="hd0"), confs.host_device(device="hd1")
    node.call("ADD", first, pod, "net1").ok()
    middle = node.snapshot(pod)
    node.call("ADD", second, pod, "net2").ok()
    node.call("DEL", second, pod, "net2").ok()
    assert node.snapshot(pod) == middle
    node.call("DEL", first, pod, "net1").ok()
    assert node.snapshot(pod) == before


def test_device_that_another_pod_has(node: Node) -> None:
    device(node)
    first, second = node.pod(), node.pod()
    conf = confs.host_device(device="hd0")
    node.call("ADD", conf, first).ok()
    before = node.snapshot(first, second)
    node.call("ADD", conf, second).error(7)
    node.call("DEL", conf, second).ok()
    assert node.snapshot(first, second) == before


def test_alias_of_a_stranger_in_the_pod(node: Node) -> None:
    """An interface of the pod that happens to bear the device's name as alias is not ours."""
    device(node)
    pod = node.pod()
    pod.ip("link", "add", "stranger", "type", "veth", "peer", "name", "strangerpeer")
    pod.ip("link", "set", "stranger", "alias", "hd0")
    before = node.snapshot(pod)
    conf = confs.host_device(device="hd0", ipam={"type": "nosuch"})
    node.call("ADD", conf, pod).error(7)
    assert node.snapshot(pod) == before
    good = confs.host_device(device="hd0")
    node.call("ADD", good, pod).ok()
    node.call("DEL", good, pod).ok()
    assert node.snapshot(pod) == before


# CHECK and STATUS


def taken_back(pod: Pod) -> None:
    pod.ip("link", "delete", "eth0")


def brought_down(pod: Pod) -> None:
    pod.ip("link", "set", "eth0", "down")


def other_mac(pod: Pod) -> None:
    pod.ip("link", "set", "eth0", "address", "02:00:00:00:0d:77")


def other_address(pod: Pod) -> None:
    pod.ip("address", "flush", "dev", "eth0")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (taken_back, "Container interface eth0 not found"),
        (brought_down, "Interface eth0 is down"),
        (other_mac, "doesn't match container Mac: 02:00:00:00:0d:77"),
        (other_address, "Failed to match addr 10.1.2.3/24 on interface eth0"),
    ],
)
def test_check_names_what_was_changed(node: Node, change: Any, words: str) -> None:
    device(node)
    pod = node.pod()
    conf = confs.host_device(device="hd0", ipam=confs.static("10.1.2.3/24"))
    conf["prevResult"] = node.call("ADD", conf, pod).ok()
    node.call("CHECK", conf, pod).ok()
    change(pod)
    assert words in node.call("CHECK", conf, pod).error(102)["msg"]


def test_status(node: Node) -> None:
    conf = confs.host_device(version="1.1.0", device="not-there-yet")
    node.call("STATUS", conf).ok()
    node.call("STATUS", conf | {"ipam": {"type": "nosuch"}}).error(7)
    node.call("STATUS", conf | {"device": 7}).error(7)
