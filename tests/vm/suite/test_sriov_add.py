"""sriov ADD: what the pod gets, what the card is told, and what the runtime is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cni.core import log
from cni.host.vf import Rate, Vlan
from tests.netns import confs
from tests.vm.card import ip
from tests.vm.suite.attach import MAC, attached, sent_settings, sriov

if TYPE_CHECKING:
    from pathlib import Path

    from tests.netns.confs import Conf
    from tests.netns.node import Node
    from tests.vm.card import Pf

V4, V6 = "10.1.2.3/24", "fd00:1::3/64"


def test_result_of_each_version(cards: list[Pf], machine: Node) -> None:
    for version in ("0.1.0", "0.2.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"):
        vf, pod = cards[0].vfs[2], machine.pod()
        ipam = confs.static(V4, gateway="10.1.2.1", dns={"nameservers": ["10.0.0.1"]})
        interface: Conf = {"name": "net1", "mac": vf.mac, "sandbox": pod.path}
        address: Conf = {"address": V4, "gateway": "10.1.2.1", "interface": 0}
        expected: Conf = {"cniVersion": version, "dns": {"nameservers": ["10.0.0.1"]}}
        if version < "0.3":
            expected["ip4"] = {"ip": V4, "gateway": "10.1.2.1"}
        elif version < "1":
            expected |= {"interfaces": [interface], "ips": [{"version": "4", **address}]}
        else:
            told = {"mtu": 1500} | ({"pciID": vf.address} if version == "1.1.0" else {})
            expected |= {"interfaces": [interface | told], "ips": [address]}
        with attached(machine, sriov(vf, version=version, ipam=ipam), pod) as result:
            assert result == expected


def test_the_vf_is_the_pods_interface(cards: list[Pf], machine: Node) -> None:
    vf, pod = cards[1].vfs[4], machine.pod()
    with attached(machine, sriov(vf), pod) as result:
        assert vf.netdev == "" and vf.name not in machine.links()
        link = pod.link("net1")
        assert (link["address"], link["parentdev"]) == (vf.mac, vf.address)
        assert "UP" in link["flags"]
        assert pod.addresses("net1") == []  # no ipam: a network without addresses
        assert "ips" not in result


@pytest.mark.parametrize("held", [[V4], [V6], [V4, V6]])
def test_addresses_and_routes(cards: list[Pf], machine: Node, held: list[str]) -> None:
    pod = machine.pod()
    far = {"10.9.0.0/16": "10.1.2.1", "fd00:9::/48": "fd00:1::1", "0.0.0.0/0": "10.1.2.2"}
    families = {":" in each for each in held}
    routes = [{"dst": dst, "gw": gw} for dst, gw in far.items() if (":" in dst) in families]
    conf = sriov(cards[0].vfs[0], ipam=confs.static(*held, routes=routes))
    with attached(machine, conf, pod) as result:
        assert [(each["address"], each["interface"]) for each in result["ips"]] == [
            (each, 0) for each in held
        ]
        assert pod.addresses("net1") == held
        assert result["routes"] == routes
        shown = {each["dst"]: each.get("gateway") for each in pod.routes() + pod.routes("-6")}
        for each in routes:
            assert shown[each["dst"].replace("0.0.0.0/0", "default")] == each["gw"]


@pytest.mark.parametrize("subnets", [["10.1.2.0/24"], ["10.1.2.0/24", "fd00:1::/64"]])
def test_leased_addresses(cards: list[Pf], machine: Node, subnets: list[str]) -> None:
    pod = machine.pod()
    ranges = [{"range": each} for each in subnets]
    conf = sriov(cards[0].vfs[0], ipam={"type": "whereabouts", "ipRanges": ranges})
    held = [each.replace("0/", "1/").replace("::/", "::1/") for each in subnets]
    with attached(machine, conf, pod) as result:
        assert [each["address"] for each in result["ips"]] == pod.addresses("net1") == held
        assert len(machine.leases()) == len(subnets)
    assert machine.leases() == []


#: the ways to ask for a MAC address, the strongest first, each in another spelling
WAYS: list[tuple[str, Conf, dict[str, str]]] = [
    ("60:00:00:00:00:e1", {"runtimeConfig": {"mac": "60-00-00-00-00-E1"}}, {}),
    ("60:00:00:00:00:e2", {"args": {"cni": {"mac": "6000.0000.00E2"}}}, {}),
    ("60:00:00:00:00:e3", {}, {"CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAME=x;MAC=60:00:00:00:00:E3"}),
    ("60:00:00:00:00:e4", {"MAC": "60:00:00:00:00:e4"}, {}),
]


def test_a_mac_address_is_asked_for(cards: list[Pf], machine: Node) -> None:
    for strongest in range(len(WAYS)):
        vf, pod = cards[0].vfs[1], machine.pod()
        conf = sriov(vf)
        extra: dict[str, str] = {}
        for _, keys, environ in WAYS[strongest:]:
            conf, extra = conf | keys, extra | environ
        mac = WAYS[strongest][0]
        with attached(machine, conf, pod, **extra) as result:
            assert result["interfaces"][0]["mac"] == mac
            assert pod.link("net1")["address"] == mac
            assert vf.info["address"] == mac


def test_the_vlan_of_a_vf_stays_when_none_is_given_and_goes_with_0(
    cards: list[Pf], machine: Node
) -> None:
    card, vf = cards[0], cards[0].vfs[5]
    ip("link", "set", card.name, "vf", "5", "vlan", "7", "qos", "2")
    before = vf.info
    assert before["vlan_list"] == [{"vlan": 7, "qos": 2}]
    try:
        for conf in (sriov(vf), sriov(vf, vlan=None)):
            with attached(machine, conf, machine.pod()):
                assert vf.info == before
        with attached(machine, sriov(vf, vlan=0, vlanQoS=0, vlanProto="802.1Q"), machine.pod()):
            assert vf.info["vlan_list"] == [{}]
        assert vf.info == before
        with attached(machine, sriov(vf, vlan=100), machine.pod()):
            assert vf.info["vlan_list"] == [{"vlan": 100}]
        assert vf.info == before
    finally:
        ip("link", "set", card.name, "vf", "5", "vlan", "0")


SETTINGS: list[tuple[Conf, dict[str, Any]]] = [
    ({"vlan": 100, "vlanQoS": 3}, {"vlan_list": [{"vlan": 100, "qos": 3}]}),
    ({"Vlan": 4094, "VLANProto": "802.1Q"}, {"vlan_list": [{"vlan": 4094}]}),
    ({"spoofchk": "OFF", "trust": "On"}, {"spoofchk": False, "trust": True}),
    ({"max_tx_rate": 1000}, {"rate": {"max_tx": 1000, "min_tx": 0}, "tx_rate": 1000}),
    # what is so already
    ({"spoofchk": "on", "trust": "off", "link_state": "auto", "min_tx_rate": 0}, {}),
]


def test_a_setting_is_on_the_card(cards: list[Pf], machine: Node) -> None:
    """igb accepts rates and spoof checking, shows them, and here does not enforce them."""
    for keys, told in SETTINGS:
        vf, pod = cards[0].vfs[6], machine.pod()
        before = vf.info
        with attached(machine, sriov(vf, **keys), pod) as result:
            info = vf.info
            assert {key: value for key, value in info.items() if value != before.get(key)} == told
            conf = sriov(vf, **keys, prevResult=result)
            machine.call("CHECK", conf, pod, "net1").ok()


def test_each_setting_is_sent_once_and_in_order(
    cards: list[Pf], machine: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address before trust: who trusts a VF lets it change its address."""
    sent = sent_settings(monkeypatch)
    conf = sriov(cards[0].vfs[3], trust="on", spoofchk="off", max_tx_rate=50, mac=MAC, vlan=100)
    with attached(machine, conf | {"link_state": "auto"}, machine.pod()):
        wishes = [("vlan", Vlan(100)), ("mac", MAC), ("rate", Rate(0, 50)), ("spoofchk", False)]
        assert sent == [(3, *each) for each in [*wishes, ("trust", True)]]


@pytest.mark.parametrize("present", [False, True])
def test_nothing_is_sent_to_the_card_without_need(
    cards: list[Pf], machine: Node, monkeypatch: pytest.MonkeyPatch, present: bool
) -> None:
    """Many a driver refuses even what it has: sriov-cni#285, #291."""
    vf = cards[1].vfs[0]
    wishes: Conf = {"vlan": 0, "spoofchk": "on", "trust": "off", "max_tx_rate": 0, "mac": vf.mac}
    conf = sriov(vf, ipam=confs.static(V4), **(wishes if present else {}))
    sent = sent_settings(monkeypatch)
    pod = machine.pod()
    with attached(machine, conf, pod) as result:
        machine.call("CHECK", conf | {"prevResult": result}, pod, "net1").ok()
    assert sent == []


def test_the_mtu_is_the_pods_while_it_has_the_vf(cards: list[Pf], machine: Node) -> None:
    pod = machine.pod()
    with attached(machine, sriov(cards[0].vfs[0], mtu=9000), pod) as result:
        assert pod.link("net1")["mtu"] == result["interfaces"][0]["mtu"] == 9000


def test_the_runtime_chooses_the_vf(cards: list[Pf], machine: Node) -> None:
    """The device plugin's choice, by way of multus; the key in the configuration is a leftover."""
    vf, pod = cards[0].vfs[1], machine.pod()
    for choice in ({"deviceID": cards[0].vfs[2].address}, {"deviceID": "0000:ff:1f.7"}, {}):
        conf = sriov(vf) | choice
        if not choice:
            conf |= {"deviceID": None}
        with attached(machine, conf | {"runtimeConfig": {"DeviceID": vf.address}}, pod):
            assert pod.link("net1")["parentdev"] == vf.address


def test_keys_may_be_in_any_case(cards: list[Pf], machine: Node) -> None:
    vf, pod = cards[0].vfs[1], machine.pod()
    conf = sriov(vf, VLAN=100, Mac=MAC, vlanqos=1, TRUST="on", Max_Tx_Rate=7, unknown=True)
    conf["DEVICEID"] = conf.pop("deviceID")
    with attached(machine, conf, pod):
        info = vf.info
        assert (info["address"], info["trust"], info["rate"]["max_tx"]) == (MAC, True, 7)
        assert info["vlan_list"] == [{"vlan": 100, "qos": 1}]
        assert pod.link("net1")["address"] == MAC


def test_one_pod_has_vfs_of_both_cards(cards: list[Pf], machine: Node) -> None:
    pod = machine.pod()
    first, second = cards[0].vfs[0], cards[1].vfs[0]
    with attached(machine, sriov(first, vlan=10), pod), attached(machine, sriov(second), pod, "b"):
        devices = {each["ifname"]: each.get("parentdev") for each in pod.ip("link")}
        assert devices == {"lo": None, "net1": first.address, "b": second.address}


def test_the_new_name_was_an_alternative_name_of_the_vf(cards: list[Pf], machine: Node) -> None:
    """The kernel refuses to rename a device to its own alternative name (sriov-cni#445).

    In the pod it has none: there another interface may have such a name.
    """
    vf, pod = cards[0].vfs[2], machine.pod()
    ip("link", "property", "add", "dev", vf.name, "altname", "net1", "altname", "another")
    try:
        with attached(machine, sriov(vf), pod):
            assert "altnames" not in pod.link("net1")
        assert sorted(machine.link(vf.name)["altnames"]) == ["another", "net1"]
    finally:
        ip("link", "property", "del", "dev", vf.name, "altname", "net1", "altname", "another")


def test_a_file_for_the_log(
    cards: list[Pf], machine: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("_file", "_threshold"):  # they would outlast the test
        monkeypatch.setattr(log, name, getattr(log, name))
    file = tmp_path / "sriov.log"
    keys: Conf = {"logFile": str(file), "logLevel": "debug", "max-tx-rate": 5}
    with attached(machine, sriov(cards[0].vfs[0], **keys), machine.pod()):
        assert "key=max-tx-rate meant=max_tx_rate" in file.read_text()


def test_the_record_can_be_read_by_the_original(cards: list[Pf], machine: Node) -> None:
    """Its own keys, and what the VF was; what it does not know stands under `x`."""
    vf, pod = cards[0].vfs[0], machine.pod()
    with attached(machine, sriov(vf, vlan=100, mac=MAC, spoofchk="OFF"), pod):
        record = json.loads((machine.state / "sriov" / f"{pod.name}-net1").read_text())
        allocation = (machine.state / "sriov/pci" / vf.address).read_text()
    assert allocation == pod.path
    assert (record["deviceID"], record["Master"], record["VFID"]) == (vf.address, "pf0", 0)
    assert (record["vlan"], record["vlanQoS"], record["MAC"]) == (100, 0, MAC)
    assert (record["spoofchk"], "trust" in record) == ("off", False)
    assert record["OrigVfState"] == {
        "HostIFName": vf.name, "EffectiveMAC": vf.mac, "AdminMAC": vf.mac, "MTU": 1500,
        "Vlan": 0, "VlanQoS": 0, "VlanProto": 0x8100, "MinTxRate": 0, "MaxTxRate": 0,
        "SpoofChk": True, "Trust": False, "LinkState": 0,
    }  # fmt: skip


def test_a_vf_of_a_program(cards: list[Pf], machine: Node) -> None:
    """There is no interface: its entry says what the program will find, the addresses are told."""
    card, vf = cards[0], cards[0].vfs[4]
    vf.bind("vfio-pci")
    before = vf.info
    assert before["address"] == vf.mac
    routes = [{"dst": "10.9.0.0/16", "gw": "10.1.2.1"}]
    ipam = confs.static(V4, V6, routes=routes)
    try:
        for keys in ({}, {"mac": MAC, "vlan": 100, "trust": "on", "mtu": 9000}):
            pod = machine.pod()
            conf = sriov(vf, version="1.1.0", ipam=ipam, **keys)
            with attached(machine, conf, pod) as result:
                interface = {"name": "net1", "mac": keys.get("mac", vf.mac), "mtu": 1500}
                interface |= {"sandbox": pod.path, "pciID": vf.address}
                assert result["interfaces"] == [interface]
                assert [each["address"] for each in result["ips"]] == [V4, V6]
                assert result["routes"] == routes
                assert pod.links() == ["lo"] and pod.routes() == []
                assert vf.info["address"] == interface["mac"]
                assert vf.info["vlan_list"] == ([{"vlan": 100}] if keys else [{}])
                assert vf.info["trust"] == bool(keys)
                machine.call("CHECK", conf | {"prevResult": result}, pod, "net1").ok()
            assert vf.info == before
        ip("link", "set", card.name, "vf", "4", "mac", "00:00:00:00:00:00")
        with attached(machine, sriov(vf), machine.pod()) as result:
            assert "mac" not in result["interfaces"][0]  # the program makes one up
    finally:
        ip("link", "set", card.name, "vf", "4", "mac", vf.mac)
        vf.bind("igbvf")
