"""sriov: MAC addresses go back, though PF and VF each have a say, and some orders are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.vm.card import ip
from tests.vm.suite.around import POD_MAC, tell, traces, untell_mac
from tests.vm.suite.attach import MAC, sriov

if TYPE_CHECKING:
    from tests.netns.node import Node, Pod
    from tests.vm.card import Pf, Vf

OTHER = "02:11:00:00:00:01"


def take(pod: Pod, mac: str) -> None:
    """The pod gives its VF another address, as bonding does."""
    pod.ip("link", "set", "net1", "down")
    pod.ip("link", "set", "net1", "address", mac, "up")


@pytest.mark.parametrize("mac", ["", MAC])
def test_a_trusted_pod_has_changed_the_address_that_the_pf_had_set(
    cards: list[Pf], machine: Node, mac: str
) -> None:
    """The operator sets the PF's to the VF's own: without trust the VF could not go back."""
    vf, pod = cards[0].vfs[3], machine.pod()
    tell(vf, "mac", vf.mac)
    before = vf.pf.snapshot()
    conf = sriov(vf, trust="on", **({"mac": mac} if mac else {}))
    machine.call("ADD", conf, pod, "net1").ok()
    take(pod, POD_MAC)
    assert vf.info["address"] == POD_MAC
    machine.call("DEL", conf, pod, "net1").ok()
    assert vf.pf.snapshot() == before
    untell_mac(vf)


@pytest.mark.parametrize("mac", ["", MAC])
def test_an_address_that_the_pf_overrules_is_given_up(
    cards: list[Pf], machine: Node, mac: str
) -> None:
    """The VF would have taken the PF's at its next reset anyway."""
    vf, pod = cards[0].vfs[2], machine.pod()
    tell(vf, "mac", OTHER)
    conf = sriov(vf, **({"mac": mac} if mac else {}))
    machine.call("ADD", conf, pod, "net1").ok()
    machine.call("DEL", conf, pod, "net1").ok()
    assert (address_of(vf), vf.info["address"]) == (OTHER, OTHER)
    assert traces(machine) == []
    untell_mac(vf)


def test_the_settings_stay_as_long_as_the_pod_has_the_vf(cards: list[Pf], machine: Node) -> None:
    """In a namespace that the pod made: without its VLAN it would be on another network."""
    vf, pod, inner = cards[0].vfs[1], machine.pod(), machine.pod("inner")
    conf = sriov(vf, vlan=100)
    machine.call("ADD", conf, pod, "net1").ok()
    pod.ip("link", "set", "net1", "netns", inner.path)
    machine.call("DEL", conf, pod, "net1").ok()
    assert vf.info["vlan_list"] == [{"vlan": 100}]
    machine.call("DEL", conf, pod, "net1", CNI_NETNS=inner.path).ok()
    assert traces(machine) == []


@pytest.mark.parametrize("told", [True, False])
def test_a_bonded_vf_is_found_by_its_device(
    cards: list[Pf], machine: Node, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have one address, and maybe another name; kernels before 5.14 do not tell the device."""
    if not told:
        from cni.host import link

        parse = link._parse
        monkeypatch.setattr(link, "_parse", lambda said: parse(said)._replace(parent_device=""))
    first, second, pod = cards[0].vfs[5], cards[0].vfs[6], machine.pod()
    confs = {"net1": sriov(first, trust="on", vlan=9), "net2": sriov(second, trust="on", vlan=9)}
    for ifname, conf in confs.items():
        machine.call("ADD", conf, pod, ifname).ok()
    pod.ip("link", "add", "bond0", "type", "bond", "mode", "active-backup", "miimon", "100")
    for ifname in confs:
        pod.ip("link", "set", ifname, "down")
        pod.ip("link", "set", ifname, "master", "bond0")
    for ifname, conf in confs.items():
        machine.call("DEL", conf, pod, ifname).ok()
    assert sorted(pod.links()) == ["bond0", "lo"]
    assert traces(machine) == []


def test_alternative_names_are_in_nobodys_way(cards: list[Pf], machine: Node) -> None:
    """Of the VF while it moves, when another has one of them; it gets back what is free."""
    vf, pod = cards[0].vfs[0], machine.pod()
    ip("link", "property", "add", "dev", vf.name, "altname", "eth0", "altname", "nic-a")
    pod.ip("link", "add", "eth0", "type", "dummy")
    conf = sriov(vf)
    machine.call("ADD", conf, pod, "net1").ok()
    machine.ip("link", "add", "other", "type", "dummy")
    machine.ip("link", "property", "add", "dev", "other", "altname", "nic-a")
    machine.call("DEL", conf, pod, "net1").ok()
    assert ip("link", "show", vf.name)[0]["altnames"] == ["eth0"]
    machine.ip("link", "delete", "other")
    ip("link", "property", "del", "dev", vf.name, "altname", "eth0")


def address_of(vf: Vf) -> str:
    return str(ip("link", "show", vf.name)[0]["address"])
