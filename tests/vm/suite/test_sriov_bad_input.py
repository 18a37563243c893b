"""sriov: configurations that are refused before the VF is touched, each for its own reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.netns import confs
from tests.vm.suite.around import traces
from tests.vm.suite.attach import MAC, attached, sent_settings, sriov

if TYPE_CHECKING:
    from tests.netns.node import Node
    from tests.vm.card import Pf

#: {what is wrong: (the keys, the words of the refusal)}
Refusals = dict[str, tuple[dict[str, Any], str]]

DEVICES: Refusals = {
    "none": ({"deviceID": None}, '"deviceID": VF pci addr is required'),
    "empty": ({"deviceID": ""}, '"deviceID": VF pci addr is required'),
    "unknown": ({"deviceID": "0000:af:06.3"}, '"deviceID": "0000:af:06.3": no such PCI device'),
    "the PF": ({"deviceID": "0000:21:00.0"}, '"0000:21:00.0" is no virtual function'),
    "other device": ({"deviceID": "0000:00:00.0"}, '"0000:00:00.0" is no virtual function'),
    "short": ({"deviceID": "21:10.0"}, '"21:10.0" is no PCI address such as 0000:'),
    "path": ({"deviceID": "../0000:21:10.0"}, '"../0000:21:10.0" is no PCI address'),
    "name": ({"deviceID": "pf0v0"}, '"pf0v0" is no PCI address'),
    "newline": ({"deviceID": "0000:21:10.0\n"}, "is no PCI address"),
    "aux": ({"deviceID": "mlx5_core.sf.4"}, '"mlx5_core.sf.4" is no PCI address'),
    "number": ({"deviceID": 7}, '"deviceID": invalid value 7'),
    "list": ({"deviceID": ["0000:21:10.0"]}, '"deviceID": invalid value ["0000:21:10.0"]'),
    "runtime": ({"runtimeConfig": {"deviceID": "21:10.0"}}, '"runtimeConfig.deviceID": "21:10.0"'),
    "runtime type": ({"runtimeConfig": {"deviceID": 1}}, '"runtimeConfig.deviceID": invalid value'),
}
VLANS: Refusals = {
    "range": ({"vlan": 5000}, '"vlan": invalid value 5000'),
    "negative": ({"vlan": -1}, '"vlan": invalid value -1'),
    "4095": ({"vlan": 4095}, '"vlan": invalid value 4095'),
    "text": ({"vlan": "100"}, '"vlan": invalid value "100"'),
    "fraction": ({"vlan": 100.5}, '"vlan": invalid value 100.5'),
    "boolean": ({"vlan": True}, '"vlan": invalid value true'),
    "0 with qos": ({"vlan": 0, "vlanQoS": 1}, '"vlanQoS": 1 needs a "vlan" that is not 0'),
    "0 with ad": ({"vlan": 0, "vlanProto": "802.1ad"}, '"vlanProto": 802.1ad needs a "vlan"'),
    "qos range": ({"vlan": 100, "vlanQoS": 10}, '"vlanQoS": invalid value 10'),
    "qos 8": ({"vlan": 100, "vlanQoS": 8}, '"vlanQoS": invalid value 8'),
    "qos text": ({"vlan": 100, "vlanQoS": "1"}, '"vlanQoS": invalid value "1"'),
    "proto": ({"vlan": 100, "vlanProto": "802"}, '"vlanProto": "802" is neither 802.1q nor'),
    "proto empty": ({"vlan": 100, "vlanProto": ""}, '"vlanProto": "" is neither'),
    "proto type": ({"vlan": 100, "vlanProto": 802}, '"vlanProto": invalid value 802'),
    "qos alone": ({"vlanQoS": 0}, '"vlanQoS": 0 needs "vlan"'),
    "qos with null": ({"vlan": None, "vlanQoS": 0}, '"vlanQoS": 0 needs "vlan"'),
    "proto alone": ({"vlanProto": "802.1q"}, '"vlanProto": 802.1q needs "vlan"'),
}
OTHERS: Refusals = {
    "link state": ({"link_state": "up"}, '"link_state": invalid value "up"'),
    "link state case": ({"link_state": "Enable"}, '"link_state": invalid value "Enable"'),
    "link state type": ({"link_state": True}, '"link_state": invalid value true'),
    "spoofchk": ({"spoofchk": "yes"}, '"spoofchk": "yes" is neither "on" nor "off"'),
    "spoofchk type": ({"spoofchk": True}, '"spoofchk": invalid value true'),
    "trust": ({"trust": "1"}, '"trust": "1" is neither "on" nor "off"'),
    "trust type": ({"trust": False}, '"trust": invalid value false'),
    "min rate": ({"min_tx_rate": -5}, '"min_tx_rate": invalid value -5'),
    "max rate": ({"max_tx_rate": -1}, '"max_tx_rate": invalid value -1'),
    "max rate type": ({"max_tx_rate": "10"}, '"max_tx_rate": invalid value "10"'),
    "max rate huge": ({"max_tx_rate": 1 << 32}, '"max_tx_rate": invalid value 4294967296'),
    "rates": ({"min_tx_rate": 100, "max_tx_rate": 50}, '"min_tx_rate": 100 is more than'),
    "mtu": ({"mtu": -1}, '"mtu": invalid value -1'),
    "mtu type": ({"mtu": "1500"}, '"mtu": invalid value "1500"'),
    "log": ({"logFile": 1}, '"logFile": invalid value 1'),
    "mac": ({"mac": "nope"}, '"mac": invalid MAC address "nope"'),
    "mac type": ({"mac": 5}, '"mac": invalid value 5'),
    "mac short": ({"mac": "60:00:00:00:00"}, '"mac": invalid MAC address "60:00:00:00:00"'),
    "mac long": ({"mac": f"{MAC}:00:01"}, '"mac": invalid MAC address'),
    "mac multicast": ({"mac": "01:00:00:00:00:e1"}, '"mac": "01:00:00:00:00:e1" is no unicast'),
    "mac broadcast": ({"mac": "ff:ff:ff:ff:ff:ff"}, '"mac": "ff:ff:ff:ff:ff:ff" is no unicast'),
    "mac zero": ({"mac": "00:00:00:00:00:00"}, '"mac": "00:00:00:00:00:00" is no unicast'),
    "runtime mac": ({"runtimeConfig": {"mac": "x"}}, '"runtimeConfig.mac": invalid MAC address'),
    "args mac": ({"args": {"cni": {"mac": "x"}}}, '"args.cni.mac": invalid MAC address'),
}


@pytest.mark.parametrize("refusals", [DEVICES, VLANS, OTHERS], ids=["device", "vlan", "others"])
def test_what_is_wrong_is_named_and_nothing_happens(
    cards: list[Pf], machine: Node, monkeypatch: pytest.MonkeyPatch, refusals: Refusals
) -> None:
    pod, sent = machine.pod(), sent_settings(monkeypatch)
    for what, (keys, words) in refusals.items():
        conf = sriov(cards[0].vfs[0], ipam=confs.whereabouts("10.1.2.0/24")) | keys
        error = machine.call("ADD", conf, pod, "net1").error(7)
        assert words in error["msg"], what
        assert traces(machine) == [], what
        machine.call("DEL", conf, pod, "net1").ok()
    assert pod.links() == ["lo"] and sent == []


def test_arguments_of_the_runtime(cards: list[Pf], machine: Node) -> None:
    conf, pod = sriov(cards[0].vfs[0]), machine.pod()
    for given, words in (
        ("K8S_POD_NAME=x", "CNI_ARGS: unknown args ['K8S_POD_NAME=x']"),
        ("MAC", 'CNI_ARGS: invalid pair "MAC"'),
        ("IgnoreUnknown=perhaps", "IgnoreUnknown must be a boolean"),
    ):
        assert words in machine.call("ADD", conf, pod, "net1", CNI_ARGS=given).error(4)["msg"]
    error = machine.call("ADD", conf, pod, "net1", CNI_ARGS="MAC=02:00").error(7)
    assert '"CNI_ARGS MAC": invalid MAC address "02:00"' in error["msg"]
    assert traces(machine) == []


def test_a_vf_without_driver(cards: list[Pf], machine: Node) -> None:
    vf, pod = cards[0].vfs[1], machine.pod()
    (vf.path / "driver/unbind").write_text(vf.address)
    try:
        error = machine.call("ADD", sriov(vf, vlan=100), pod, "net1").error(7)
        assert f'"deviceID": "{vf.address}" has no driver' in error["msg"]
        assert traces(machine) == []
        machine.call("DEL", sriov(vf), pod, "net1").ok()
        assert vf.driver == ""
    finally:
        vf.bind("igbvf")


@pytest.mark.parametrize("name", ["net1", "alternative"])
def test_the_name_is_taken_in_the_pod(cards: list[Pf], machine: Node, name: str) -> None:
    """The pod's own interface stays as it is: the original takes it down and renames it."""
    vf, pod = cards[0].vfs[1], machine.pod()
    pod.ip("link", "add", "net1", "address", "02:00:00:00:99:99", "type", "dummy")
    pod.ip("link", "property", "add", "dev", "net1", "altname", "alternative")
    pod.ip("link", "set", "net1", "up")
    pod.ip("address", "add", "10.7.7.7/24", "dev", "net1")
    before = (pod.ip("address"), pod.ip("route"))
    conf = sriov(vf, vlan=100, mac=MAC, ipam=confs.whereabouts("10.1.2.0/24"))
    error = machine.call("ADD", conf, pod, name).error(4)
    assert f'CNI_IFNAME "{name}" already exists in {pod.path}' in error["msg"]
    assert traces(machine) == []
    machine.call("DEL", conf, pod, name).ok()
    assert (pod.ip("address"), pod.ip("route")) == before


def test_a_namespace_that_is_none(cards: list[Pf], machine: Node) -> None:
    pod = machine.pod()
    conf = sriov(cards[0].vfs[0], vlan=100)
    for path in ("/nonexistent", "/proc/self/status", "/proc/self/ns/uts"):
        error = machine.call("ADD", conf, pod, "net1", CNI_NETNS=path).error(8)
        assert f'CNI_NETNS "{path}"' in error["msg"]
    assert traces(machine) == []


def test_one_name_is_for_one_vf_of_a_program_too(cards: list[Pf], machine: Node) -> None:
    """It has no interface by which the name could be seen to be taken."""
    first, second = cards[0].vfs[1], cards[0].vfs[2]
    for vf in (first, second):
        vf.bind("vfio-pci")
    try:
        pod = machine.pod()
        with attached(machine, sriov(first, vlan=10), pod):
            told = second.info
            error = machine.call("ADD", sriov(second, vlan=20), pod, "net1").error(4)
            assert f'"net1" already exists in {pod.path}' in error["msg"]
            assert f"VF {first.address} of network net" in error["details"]
            assert second.info == told and first.info["vlan_list"] == [{"vlan": 10}]
            with attached(machine, sriov(second, vlan=20), pod, "net2"):
                assert second.info["vlan_list"] == [{"vlan": 20}]
            assert first.info["vlan_list"] == [{"vlan": 10}]
    finally:
        for vf in (first, second):
            vf.bind("igbvf")
