"""The guest is what the other tests take it for."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from tests.vm.card import VFS, Pf, ip, wait_for

ADDRESSES = {"pf0": "0000:21:00.0", "pf1": "0000:41:00.0"}
ETHERTYPE = 0x88B5  #: for experiments
NETDEVSIM = Path("/sys/bus/netdevsim")


def test_kernel() -> None:
    assert os.uname().release.startswith("6.12.")
    assert os.geteuid() == 0


def test_each_card_has_its_vfs_and_a_numa_node_of_its_own(cards: list[Pf]) -> None:
    assert {card.name: card.address for card in cards} == ADDRESSES
    assert [card.numa_node for card in cards] == [0, 1]
    for card in cards:
        assert int((card.path / "sriov_totalvfs").read_text()) == VFS
        assert [vf.netdev for vf in card.vfs] == [f"{card.name}v{index}" for index in range(VFS)]
        assert {vf.driver for vf in card.vfs} == {"igbvf"}
        assert [info["address"] for info in card.vf_infos()] == [vf.mac for vf in card.vfs]


def test_each_vf_has_an_iommu_group_of_its_own(cards: list[Pf]) -> None:
    vfs = [vf for card in cards for vf in card.vfs]
    assert len({vf.iommu_group for vf in vfs}) == len(vfs) == 2 * VFS


def test_a_vf_goes_to_a_program_and_back(cards: list[Pf]) -> None:
    vf = cards[0].vfs[3]
    vf.bind("vfio-pci")
    assert (vf.driver, vf.netdev) == ("vfio-pci", "")
    assert Path(f"/dev/vfio/{vf.iommu_group}").is_char_device()
    vf.bind("igbvf")
    assert (vf.driver, vf.netdev) == ("igbvf", vf.name)


def test_the_card_tags_what_goes_out_to_the_wire(cards: list[Pf]) -> None:
    card, vf = cards[0], cards[0].vfs[0]
    ip("link", "set", card.name, "vf", "0", "vlan", "100")
    ip("link", "set", card.wire, "up")
    ip("link", "add", "link", card.wire, "name", "tagged", "type", "vlan", "id", "100")
    ip("link", "set", "tagged", "up")
    ip("link", "set", vf.name, "up")
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as sender:
            arrived = Path("/sys/class/net/tagged/statistics/rx_packets")
            broadcast = (vf.name, ETHERTYPE, 0, 0, b"\xff" * 6)

            def sent_arrives() -> bool:
                sender.sendto(bytes(46), broadcast)
                return arrived.read_text() != "0\n"

            wait_for("packet in VLAN 100", sent_arrives)
    finally:
        ip("link", "set", vf.name, "down")
        ip("link", "delete", "tagged")
        ip("link", "set", card.name, "vf", "0", "vlan", "0")


def test_cards_fixture_tells_what_changed(cards: list[Pf]) -> None:
    before = cards[1].snapshot()
    ip("link", "set", "pf1", "vf", "2", "trust", "on")
    try:
        (changed,) = set(cards[1].snapshot()) - set(before)
        assert changed.startswith("pf1 vf 2: told ") and '"trust": true' in changed
    finally:
        ip("link", "set", "pf1", "vf", "2", "trust", "off")


def test_netdevsim_takes_what_igb_refuses() -> None:
    (NETDEVSIM / "new_device").write_text("10 1")
    try:
        device = NETDEVSIM / "devices/netdevsim10"
        (device / "sriov_numvfs").write_text("2")
        name = next(each.name for each in (device / "net").iterdir())
        ip("link", "set", name, "vf", "1", "state", "enable", "min_tx_rate", "1")
        ip("link", "set", name, "vf", "1", "vlan", "7", "qos", "1", "proto", "802.1ad")
        info = ip("link", "show", name)[0]["vfinfo_list"][1]
        assert info["link_state"] == "enable" and info["rate"]["min_tx"] == 1
        assert info["vlan_list"] == [{"vlan": 7, "qos": 1, "protocol": "802.1ad"}]
    finally:
        (NETDEVSIM / "del_device").write_text("10")
