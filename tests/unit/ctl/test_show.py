"""The inventory as a table and as a JSON document."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from cni.ctl.vf import table
from cni.ctl.vf.document import document
from cni.host.vf import Rate, Settings, Vlan
from tests.unit.ctl.cards import OWNER, away, for_programs, pf, vf

if TYPE_CHECKING:
    from cni.ctl.vf.inventory import Pf

LONG = OWNER._replace(network="a-network-with-a-long-name", container_id="f" * 64)


def shown(*cards: Pf) -> list[str]:
    out = io.StringIO()
    table.show(cards, out)
    return out.getvalue().splitlines()


def test_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole lines in a narrow terminal too, and no colours where there is none."""
    monkeypatch.setenv("COLUMNS", "40")
    card = pf(
        vf(0, settings=Settings(vlan=Vlan(100, 3), mac="02:00:00:00:00:00")),
        away(1, owner=LONG, settings=Settings(vlan=Vlan(7, 0, "802.1ad"))),
        for_programs(2, numa_node=None, iommu_group=None),
        away(3, owner=LONG._replace(phase="stale", netns="")),
    )
    lines = shown(card, pf(address="0000:41:00.0", interface="", driver="", mtu=0, numa_node=None))
    assert lines[0] == "pf0  0000:21:00.0  igb  4 of 7 VFs  NUMA node 0  MTU 1500  up"
    owner = f"a-network-with-a-long-name/{'f' * 64}/net1"
    assert [" ".join(line.split()) for line in lines[1:5]] == [
        "VF ADDRESS DRIVER INTERFACE OWNER ADMIN MAC VLAN NUMA IOMMU",
        "0 0000:21:10.0 igbvf eth0 - 02:00:00:00:00:00 100 qos 3 0 30",
        f"1 0000:21:10.1 igbvf in /run/netns/a {owner} - 7 802.1ad 0 31",
        "2 0000:21:10.2 vfio-pci - - 02:00:00:00:00:02 - - -",
    ]
    assert f"in another namespace  {owner} (stale)" in lines[5]
    assert lines[6:] == ["", "-  0000:41:00.0  -  0 of 7 VFs"]
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"is_up": False, "state": "down"}, "down"),
        ({"state": "down"}, "up, no carrier"),
        ({"state": "lowerlayerdown"}, "up, no carrier"),
    ],
)
def test_state_of_a_card(changes: dict[str, object], state: str) -> None:
    assert table.headline(pf(**changes)).endswith(f"  {state}")


def test_markup_in_a_name_is_text() -> None:
    (_, _, line) = shown(pf(vf(0, interface="[red]:x:")))
    assert " [red]:x: " in line


def test_what_a_terminal_would_obey_is_not_shown() -> None:
    hostile = OWNER._replace(network="a\nb\x1b[31m", netns="/x\r\udcff")
    lines = shown(pf(away(0, owner=hostile)))
    assert len(lines) == 3 and "in /x??    a?b?[31m/c1/net1  " in lines[2]


def test_no_cards() -> None:
    assert shown() == ["no SR-IOV network card"]


def test_document() -> None:
    told = Settings(Vlan(5, 1), "02:00:00:00:00:09", Rate(0, 50), True, False, "auto")
    card = pf(vf(0, settings=told, owner=OWNER), for_programs(1, settings=Settings()))
    (found,) = document([card])["pfs"]
    first, second = found.pop("vfs")
    assert found == {
        "address": "0000:21:00.0", "interface": "pf0", "driver": "igb", "numaNode": 0,
        "totalVFs": 7, "numVFs": 2, "mtu": 1500, "up": True, "operState": "up",
    }  # fmt: skip
    assert first == {
        "index": 0, "address": "0000:21:10.0", "driver": "igbvf", "interface": "eth0",
        "numaNode": 0, "iommuGroup": 30, "mtu": 1500, "mac": "02:00:00:00:00:09",
        "vlan": {"id": 5, "qos": 1, "proto": "802.1q"}, "spoofchk": True, "trust": False,
        "linkState": "auto", "minTxRate": 0, "maxTxRate": 50,
        "owner": {"network": "net", "containerID": "c1", "ifName": "net1",
                  "netns": "/run/netns/a", "phase": "done"},
    }  # fmt: skip
    unknown = ("mtu", "mac", "vlan", "spoofchk", "trust", "linkState", "minTxRate", "owner")
    assert {key: second[key] for key in unknown} == dict.fromkeys(unknown)
    assert list(first) == list(second)
