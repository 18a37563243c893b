"""Beside the original: its files are ours and ours its, and its known faults are not ours.

What it does is in the docstrings, with the number of the issue of sriov-cni where there is one.
The emulated card refuses link states and minimal rates, which some of the tests make use of.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.netns import confs
from tests.vm.card import ip
from tests.vm.suite import original
from tests.vm.suite.around import (
    POD_MAC,
    allocation_of,
    die,
    inside,
    of_vf,
    plain,
    record_of,
    refused,
    tell,
    traces,
    unusual,
)
from tests.vm.suite.attach import MAC, sriov

if TYPE_CHECKING:
    from pathlib import Path

    from tests.netns.confs import Conf
    from tests.netns.node import Node
    from tests.vm.card import Pf

TOLD: Conf = {"vlan": 100, "vlanQoS": 3, "mac": MAC, "trust": "off", "spoofchk": "on"}


# its files


@pytest.mark.parametrize("end", ["pod", "dead", "forgotten", "other spelling"])
def test_delete_of_what_the_original_added(
    cards: list[Pf], machine: Node, end: str, tmp_path: Path
) -> None:
    """Its record does not tell flags, alias and alternative names: these stay as they are. Nor does
    it tell the namespace, but the allocation does."""
    vf, pod = cards[0].vfs[5], machine.pod()
    path = tmp_path / "netns"
    path.symlink_to(pod.path)
    with unusual(vf):
        before = vf.pf.snapshot()
        original.add(machine, vf, pod, max_tx_rate=50, **TOLD)
        assert of_vf(vf)["vlan"] == 100
        pod.ip("link", "set", "net1", "mtu", "4444")
        netns = {"forgotten": "", "other spelling": str(path)}.get(end, pod.path)
        if end == "dead":
            die(pod, vf)
        machine.call("DEL", sriov(vf, **TOLD), pod, "net1", CNI_NETNS=netns).ok()
        assert traces(machine) == []
        changes = ("alias", "rack 7", "promisc", "on", "allmulticast", "on", "up")
        ip("link", "set", vf.name, *changes)
        assert vf.pf.snapshot() == before


def test_delete_of_a_program_s_vf_that_the_original_added(cards: list[Pf], machine: Node) -> None:
    vf, pod = cards[0].vfs[6], machine.pod()
    vf.bind("vfio-pci")
    before = vf.pf.snapshot()
    original.add(machine, vf, pod, vlan=100, trust="on", mac=MAC)
    assert vf.pf.snapshot() != before
    machine.call("DEL", sriov(vf, vlan=100), pod, "net1").ok()
    assert vf.pf.snapshot() == before
    assert traces(machine) == []
    vf.bind("igbvf")


def test_what_the_original_s_record_does_not_tell_is_left_alone(
    cards: list[Pf], machine: Node
) -> None:
    """No MAC and no MTU, no setting that was not asked for; but the address on the card always."""
    vf, pod = cards[0].vfs[1], machine.pod()
    record = original.add(machine, vf, pod)
    record["OrigVfState"] |= {"EffectiveMAC": "", "MTU": 0, "Vlan": 7, "Trust": True}
    original.write(machine, vf, pod, record)
    tell(vf, "mac", MAC)
    pod.ip("link", "set", "net1", "mtu", "1300")
    machine.call("DEL", sriov(vf), pod, "net1").ok()
    assert machine.link(vf.name)["mtu"] == 1300
    assert (of_vf(vf)["vlan"], of_vf(vf)["trust"], of_vf(vf)["mac"]) == (0, False, vf.mac)
    plain(vf.name)


def test_add_honours_the_original_s_allocation(cards: list[Pf], machine: Node) -> None:
    """And restores what its record says when the pod is dead, before it looks what is there."""
    vf, old, new = cards[0].vfs[2], machine.pod("old"), machine.pod("new")
    before = vf.pf.snapshot()
    original.add(machine, vf, old, vlan=100, trust="on", max_tx_rate=50)
    old.ip("link", "set", "net1", "mtu", "4444")
    held = vf.pf.snapshot()
    error = machine.call("ADD", sriov(vf, vlan=200), new, "net1").error(11)
    assert f"pci address {vf.address} is already allocated" in error["msg"]
    assert vf.pf.snapshot() == held
    die(old, vf)
    machine.call("ADD", sriov(vf, vlan=200), new, "net1").ok()
    assert new.link("net1")["mtu"] == 1500
    assert of_vf(vf) | {"vlan": 200, "trust": False, "max": 0} == of_vf(vf)
    assert not record_of(machine, old).exists()
    machine.call("DEL", sriov(vf, vlan=200), new, "net1").ok()
    assert vf.pf.snapshot() == before


@pytest.mark.parametrize("driver", ["igbvf", "vfio-pci"])
def test_an_allocation_without_record(cards: list[Pf], machine: Node, driver: str) -> None:
    """Of a living pod it counts, if the VF is not here; of a dead one not; it is released by the
    pod's own DEL alone."""
    vf, pod, owner = cards[0].vfs[3], machine.pod(), machine.pod("owner")
    conf = sriov(vf)
    if driver == "igbvf":
        machine.ip("link", "set", vf.name, "netns", owner.path)
    else:
        vf.bind(driver)
    path = allocation_of(machine, vf)
    path.parent.mkdir(parents=True)
    path.write_text(owner.path)
    machine.call("ADD", conf, pod, "net1").error(11)
    machine.call("DEL", conf, pod, "net1").ok()
    assert path.read_text() == owner.path
    machine.call("DEL", conf, owner, "net1").ok()
    assert not path.exists()
    path.write_text(owner.path)
    die(owner, vf)
    machine.call("ADD", conf, pod, "net1").ok()
    assert path.read_text() == pod.path
    machine.call("DEL", conf, pod, "net1").ok()
    if driver != "igbvf":
        vf.bind("igbvf")


# our files


@pytest.mark.parametrize("driver", ["igbvf", "vfio-pci"])
@pytest.mark.parametrize("keys", [{}, TOLD | {"max_tx_rate": 50, "link_state": "auto"}])
def test_our_files_are_the_original_s(
    cards: list[Pf], machine: Node, driver: str, keys: Conf
) -> None:
    vf, pod = cards[1].vfs[5], machine.pod()
    if driver != "igbvf":
        vf.bind(driver)
    tell(vf, "vlan", "7", "qos", "2", "spoofchk", "off")
    conf = sriov(vf, version="1.1.0", ipam=confs.static("10.1.2.3/24"), **keys)
    machine.call("ADD", conf, pod, "net1").ok()
    record, allocation = record_of(machine, pod), allocation_of(machine, vf)
    fields = original.read(record.read_text())
    assert fields["OrigVfState"] == {
        "HostIFName": vf.name if driver == "igbvf" else "",
        "EffectiveMAC": vf.mac if driver == "igbvf" else "",
        "MTU": 1500 if driver == "igbvf" else 0,
        "AdminMAC": vf.mac,
        "Vlan": 7,
        "VlanQoS": 2,
        "VlanProto": 0x8100,
        "MinTxRate": 0,
        "MaxTxRate": 0,
        "SpoofChk": False,
        "Trust": False,
        "LinkState": 0,
    }
    wanted = {
        "vlan": keys.get("vlan"),
        "vlanQoS": keys.get("vlanQoS"),
        "vlanProto": "802.1q" if keys else None,
        "min_tx_rate": 0 if keys else None,
        "max_tx_rate": keys.get("max_tx_rate"),
        "Master": "pf1",
        "VFID": vf.index,
        "deviceID": vf.address,
        "name": "net",
        "type": "sriov",
        "ipam": {"type": "static"},
        "cniVersion": "1.1.0",
    }
    assert fields | wanted == fields
    for key, ours in (("MAC", "mac"), ("trust",) * 2, ("spoofchk",) * 2, ("link_state",) * 2):
        assert fields.get(key, "") == keys.get(ours, "")
    assert allocation.read_text() == pod.path
    assert {each.stat().st_mode & 0o777 for each in (record, allocation)} == {0o600}
    directories = (record.parent, allocation.parent, allocation.parent / "vf_lock")
    assert {each.stat().st_mode & 0o777 for each in directories} == {0o700}
    machine.call("DEL", conf, pod, "net1").ok()
    tell(vf, "vlan", "0", "spoofchk", "on")
    if driver != "igbvf":
        vf.bind("igbvf")


def test_a_record_that_the_original_wrote_again_is_ours_still(
    cards: list[Pf], machine: Node
) -> None:
    """Without our key, as after a way through Go's structures: what both know is restored."""
    vf, pod = cards[1].vfs[6], machine.pod()
    before = vf.pf.snapshot()
    conf = sriov(vf, vlan=100, trust="on", mtu=2000)
    machine.call("ADD", conf, pod, "net1").ok()
    path = record_of(machine, pod)
    path.write_text(json.dumps(original.read(path.read_text())))
    machine.call("DEL", conf, pod, "net1").ok()
    assert vf.pf.snapshot() == before
    assert traces(machine) == []


# its faults


@pytest.mark.parametrize(
    ("keys", "culprit"),
    [
        ({"link_state": "enable"}, '"link_state": "enable"'),
        ({"min_tx_rate": 10}, '"min_tx_rate": 10'),
        ({"max_tx_rate": 5000}, '"max_tx_rate": 5000'),
    ],
)
def test_a_setting_that_the_card_refuses_leaves_none_behind(
    cards: list[Pf], machine: Node, keys: Conf, culprit: str
) -> None:
    """#119, #212, #115: what was set before the refused one stays for ever, without a record."""
    vf, pod = cards[0].vfs[4], machine.pod()
    with unusual(vf):
        before = vf.pf.snapshot(), pod.ip("link")
        error = machine.call("ADD", sriov(vf, **TOLD | keys), pod, "net1").error()
        assert culprit in str(error) and "pf0" in str(error) and "igb" in str(error)
        assert (vf.pf.snapshot(), pod.ip("link")) == before
        assert traces(machine) == []


def test_an_interface_of_the_pod_is_not_mistaken_for_the_vf(cards: list[Pf], machine: Node) -> None:
    """The original, whose ADD fails for it, takes it down, renames it, gives it the VF's MAC."""
    vf, pod = cards[0].vfs[5], machine.pod()
    pod.ip("link", "add", "net1", "address", POD_MAC, "type", "dummy")
    conf = sriov(vf, vlan=100, mac=MAC)
    for altname in (False, True):
        if altname:
            pod.ip("link", "set", "net1", "name", "other")
            pod.ip("link", "property", "add", "dev", "other", "altname", "net1")
        before = vf.pf.snapshot(), pod.ip("link")
        error = machine.call("ADD", conf, pod, "net1").error(4)
        assert '"net1" already exists' in error["msg"]
        assert (vf.pf.snapshot(), pod.ip("link")) == before
        machine.call("DEL", conf, pod, "net1").ok()
        assert (vf.pf.snapshot(), pod.ip("link")) == before


@pytest.mark.parametrize("what", ["move to another namespace", "set MTU"])
def test_a_failed_delete_keeps_the_record(cards: list[Pf], machine: Node, what: str) -> None:
    """The original drops it: its second DEL succeeds, with the VF in the pod."""
    vf, pod = cards[0].vfs[6], machine.pod()
    conf = sriov(vf, vlan=100, mtu=2000, mac=MAC)
    before = vf.pf.snapshot()
    machine.call("ADD", conf, pod, "net1").ok()
    held = traces(machine)
    with refused(what):
        machine.call("DEL", conf, pod, "net1").error()
    assert traces(machine) == held
    # as long as the pod has the VF, it must not be on another network
    assert of_vf(vf)["vlan"] == (0 if what == "set MTU" else 100)
    other = machine.pod()
    if what.startswith("move"):
        assert inside(pod, vf)
        machine.call("ADD", conf, other, "net1").error(11)
    machine.call("DEL", conf, pod, "net1").ok()
    assert vf.pf.snapshot() == before
    assert traces(machine) == []


def test_equal_settings_are_not_sent_to_the_card(cards: list[Pf], machine: Node) -> None:
    """#285, #291, #208: `"vlan": 0`, which says nothing, is "operation not supported" to some."""
    vf, pod = cards[0].vfs[0], machine.pod()
    conf = sriov(vf, vlan=0, trust="off", spoofchk="on", link_state="auto", max_tx_rate=0)
    with refused("set vlan"), refused("set trust"), refused("set rate"), refused("set link_state"):
        machine.call("ADD", conf, pod, "net1").ok()
        machine.call("DEL", conf, pod, "net1").ok()
