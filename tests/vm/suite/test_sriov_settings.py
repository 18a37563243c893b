"""The PF's side of an attachment: what is set there, what is refused, and that nothing stays.

igb refuses link states, guaranteed rates and 802.1ad; netdevsim, which has no PCI devices, takes
them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cni.core.errors import CniError
from cni.host import link, vf
from cni.host.rtnl import Rtnl
from cni.host.vf import Rate, Settings, Vlan
from cni.sriov import settings
from cni.sriov.settings import Port
from tests.netns import confs
from tests.vm.card import ip
from tests.vm.suite.around import traces
from tests.vm.suite.attach import MAC, attached, sriov

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cni.host.link import Link
    from tests.netns.confs import Conf
    from tests.netns.node import Node
    from tests.vm.card import Pf

NETDEVSIM = Path("/sys/bus/netdevsim")
NUMBER = 40  #: of the simulated card; others have others
VFS = 3
AD = {"vlan": 7, "qos": 1, "protocol": "802.1ad"}


@pytest.fixture(scope="module")
def simulated() -> Iterator[str]:
    """The name of a PF that takes every setting."""
    (NETDEVSIM / "new_device").write_text(f"{NUMBER} 1")
    try:
        device = NETDEVSIM / f"devices/netdevsim{NUMBER}"
        (device / "sriov_numvfs").write_text(str(VFS))
        yield next(each.name for each in (device / "net").iterdir())
    finally:
        (NETDEVSIM / "del_device").write_text(str(NUMBER))


@pytest.fixture
def port(simulated: str) -> Port:
    with Rtnl() as nl:
        return Port("0000:ff:1f.1", "0000:ff:1f.0", link.get(nl, simulated), 1)


def infos(name: str) -> list[dict[str, Any]]:
    return list(ip("link", "show", name)[0]["vfinfo_list"])


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (Settings(vlan=Vlan(100, 3)), {"vlan_list": [{"vlan": 100, "qos": 3}]}),
        (Settings(vlan=Vlan(7, 1, "802.1ad")), {"vlan_list": [AD]}),
        (Settings(mac=MAC), {"address": MAC}),
        (Settings(rate=Rate(10, 20)), {"rate": {"max_tx": 20, "min_tx": 10}, "tx_rate": 20}),
        (Settings(rate=Rate(10, 0)), {"rate": {"max_tx": 0, "min_tx": 10}}),
        (Settings(spoofchk=True, trust=True), {"spoofchk": True, "trust": True}),
        (Settings(link_state="enable"), {"link_state": "enable"}),
        (Settings(link_state="disable"), {"link_state": "disable"}),
        (
            Settings(Vlan(4094, 7, "802.1ad"), MAC, Rate(1, 65535), True, True, "enable"),
            {
                "vlan_list": [{"vlan": 4094, "qos": 7, "protocol": "802.1ad"}],
                "address": MAC,
                "rate": {"max_tx": 65535, "min_tx": 1},
                "tx_rate": 65535,
                "spoofchk": True,
                "trust": True,
                "link_state": "enable",
            },
        ),
    ],
)
def test_a_setting_is_made_and_taken_back(
    port: Port, machine: Node, wanted: Settings, told: dict[str, Any]
) -> None:
    before = infos(port.uplink.name)
    state = str(machine.state)
    with Rtnl() as nl:
        held = settings.read(nl, port)
        assert settings.differing(wanted, held) == wanted.known()
        settings.change(nl, state, port, wanted, held)
        after = infos(port.uplink.name)
        changed = {key: value for key, value in after[1].items() if value != before[1].get(key)}
        assert changed == told
        assert [after[0], after[2]] == [before[0], before[2]]
        assert settings.differing(wanted, settings.read(nl, port)) == {}
        settings.restore(nl, state, port, held)
    assert infos(port.uplink.name) == before


def test_from_one_protocol_of_the_vlan_to_the_other(port: Port, machine: Node) -> None:
    """Equal in id and priority, yet another setting."""
    ad, q = Settings(vlan=Vlan(7, 1, "802.1ad")), Settings(vlan=Vlan(7, 1))
    with Rtnl() as nl:
        before = settings.read(nl, port)
        for wanted, told in ((ad, AD), (q, {"vlan": 7, "qos": 1}), (ad, AD)):
            held = settings.read(nl, port)
            assert settings.differing(wanted, held) == wanted.known()
            settings.change(nl, str(machine.state), port, wanted, held)
            assert infos(port.uplink.name)[1]["vlan_list"] == [told]
        settings.restore(nl, str(machine.state), port, before)
        assert settings.read(nl, port) == before


def test_vlan_info_has_the_padding_that_kernels_ask_for(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    """16 bytes, the protocol in network order; kernels since 6.9 refuse fewer (CVE-2024-36017)."""
    requests = []
    with Rtnl() as nl:
        monkeypatch.setattr(nl, "request", lambda message, *_, **__: requests.append(message))
        vf.put(nl, port.uplink, 2, "vlan", Vlan(4094, 5, "802.1ad"))
    (message,) = requests
    info = b"\x02\0\0\0" + b"\xfe\x0f\0\0" + b"\x05\0\0\0" + b"\x88\xa8" + bytes(2)
    assert message.encode().endswith(b"\x14\0\x01\0" + info)


def test_a_vf_that_is_being_reset_is_asked_again(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel leaves it out of the list meanwhile (ice, i40e)."""
    misses = iter(range(2))
    entries = vf._entries

    def some(nl: Rtnl, pf: Link, expected: int | None = None) -> Iterator[tuple[int, Any]]:
        return iter(()) if next(misses, None) is not None else entries(nl, pf, expected)

    monkeypatch.setattr(vf, "_entries", some)
    with Rtnl() as nl:
        assert settings.read(nl, port).vlan == Vlan(0)


def test_a_vf_that_the_card_does_not_have(port: Port) -> None:
    with Rtnl() as nl, pytest.raises(BlockingIOError) as refusal:
        vf.read(nl, port.uplink, VFS)
    assert f'"{port.uplink.name}" tells nothing about VF {VFS}' in str(refusal.value)
    with Rtnl() as nl:
        assert list(vf.read_all(nl, port.uplink)) == [0, 1, 2]
        lo = link.get(nl, "lo")
        assert vf.read_all(nl, lo) == {}
        with pytest.raises(OSError, match="Operation not supported"):
            vf.put(nl, lo, 0, "trust", value=True)


def test_what_fails_does_not_keep_the_rest_from_being_restored(
    cards: list[Pf], machine: Node
) -> None:
    """igb refuses the link state; trust, which comes before it, and all before that are back."""
    with Rtnl() as nl:
        port = settings.find_port(nl, cards[0].vfs[4].address)
        before = settings.read(nl, port)
        ip("link", "set", "pf0", "vf", "4", "vlan", "9", "spoofchk", "off", "trust", "on")
        words = r'"link_state": "enable" on PF pf0 \(igb, up\).*Operation not supported'
        with pytest.raises(CniError, match=words):
            settings.restore(nl, str(machine.state), port, before._replace(link_state="enable"))
        assert settings.read(nl, port) == before


REFUSALS: list[tuple[Conf, str]] = [
    (
        {"vlan": 100, "mac": MAC, "spoofchk": "off", "trust": "on", "link_state": "enable"},
        '"link_state": "enable" on PF pf0 (igb, up)',
    ),
    ({"link_state": "disable"}, '"link_state": "disable" on PF pf0 (igb, up)'),
    ({"max_tx_rate": 1001, "vlan": 5}, '"min_tx_rate": 0, "max_tx_rate": 1001 on PF pf0 (igb, up)'),
    (
        {"min_tx_rate": 10, "max_tx_rate": 100, "mac": MAC},
        '"min_tx_rate": 10, "max_tx_rate": 100 on PF pf0 (igb, up)',
    ),
    (
        {"vlan": 100, "vlanProto": "802.1AD"},
        '"vlan": 100, "vlanQoS": 0, "vlanProto": "802.1ad" on PF pf0 (igb, up)',
    ),
]


def test_what_the_card_refuses(cards: list[Pf], machine: Node) -> None:
    """The error tells key, value, PF and driver; what was set before is taken back."""
    for keys, words in REFUSALS:
        card, pod = cards[0], machine.pod()
        chosen = card.vfs[3]
        ip("link", "set", card.name, "vf", "3", "vlan", "7", "spoofchk", "off")
        told = chosen.info
        try:
            conf = sriov(chosen, ipam=confs.whereabouts("10.1.2.0/24"), **keys)
            error = machine.call("ADD", conf, pod, "net1").error(101)
            assert words in error["msg"] + error["details"]
            assert chosen.info == told
            assert chosen.netdev == chosen.name and pod.links() == ["lo"]
            assert traces(machine) == []
            machine.call("DEL", conf, pod, "net1").ok()
            assert chosen.info == told
        finally:
            ip("link", "set", card.name, "vf", "3", "vlan", "0", "spoofchk", "on")


def test_two_attachments_of_one_card_keep_their_settings_apart(
    cards: list[Pf], machine: Node
) -> None:
    first, second = cards[0].vfs[0], cards[0].vfs[6]
    with attached(machine, sriov(first, vlan=10, trust="on"), machine.pod()):
        with attached(machine, sriov(second, vlan=20, spoofchk="off"), machine.pod()):
            held = [each.get("vlan_list") for each in cards[0].vf_infos()]
            assert held == [[{"vlan": 10}], *[[{}]] * 5, [{"vlan": 20}]]
        assert first.info["vlan_list"] == [{"vlan": 10}] and first.info["trust"]
