"""sriov CHECK and STATUS: what is noticed, and by which words it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.netns import confs
from tests.vm.suite.around import record_of, tell, untell_mac
from tests.vm.suite.attach import MAC, attached, sriov

if TYPE_CHECKING:
    from tests.netns.confs import Conf
    from tests.netns.node import Node
    from tests.vm.card import Pf

V4, V6 = "10.1.2.3/24", "fd00:1::3/64"
ROUTE = "10.9.0.0/16"
WISHES: Conf = {
    "vlan": 100, "vlanQoS": 3, "mac": MAC, "max_tx_rate": 50, "spoofchk": "off", "trust": "on",
    "link_state": "auto", "mtu": 1400,
    "ipam": confs.static(V4, V6, routes=[{"dst": ROUTE, "gw": "10.1.2.1"}]),
}  # fmt: skip

#: words for the card, those that take them back, and those of the refusal
ON_THE_CARD = [
    ("vlan 101 qos 3", "vlan 100 qos 3", '"vlan": 101, "vlanQoS": 3, "vlanProto": "802.1q"'),
    ("vlan 100 qos 4", "vlan 100 qos 3", '"vlanQoS": 4'),
    ("vlan 0", "vlan 100 qos 3", '"vlan": 0'),
    ("trust off", "trust on", '"trust": "off", expected "trust": "on"'),
    ("spoofchk on", "spoofchk off", '"spoofchk": "on", expected "spoofchk": "off"'),
    ("max_tx_rate 60", "max_tx_rate 50", '"max_tx_rate": 60, expected "min_tx_rate": 0'),
    (f"mac {MAC[:-1]}2", f"mac {MAC}", f'"mac": "{MAC[:-1]}2", expected "mac": "{MAC}"'),
]

#: the same of commands in the pod
IN_THE_POD = [
    (f"route del {ROUTE}", f"route add {ROUTE} via 10.1.2.1", f"route {ROUTE} via 10.1.2.1"),
    ("link set net1 mtu 1300", "link set net1 mtu 1400", "net1 has MTU 1300, not 1400"),
    (f"address del {V6} dev net1", f"address add {V6} dev net1", f"{V6} on interface net1"),
    # takes the routes along
    (f"address del {V4} dev net1", f"address add {V4} dev net1", f"{V4} on interface net1"),
]


def test_what_the_card_holds_is_checked(cards: list[Pf], machine: Node) -> None:
    vf, pod = cards[0].vfs[0], machine.pod()
    conf = sriov(vf, **WISHES)
    with attached(machine, conf, pod) as result:
        conf["prevResult"] = result
        machine.call("CHECK", conf, pod, "net1").ok()
        for change, back, words in ON_THE_CARD:
            tell(vf, *change.split())
            message = machine.call("CHECK", conf, pod, "net1").error(102)["msg"]
            assert words in message and "VF 0 of pf0 has" in message
            tell(vf, *back.split())
        # an address that the pod gives itself is the card's, too, while the VF is trusted
        machine.call("CHECK", conf, pod, "net1").ok()


def test_what_the_pod_has_is_checked(cards: list[Pf], machine: Node) -> None:
    vf, pod = cards[0].vfs[0], machine.pod()
    conf = sriov(vf, **WISHES)
    with attached(machine, conf, pod) as result:
        conf["prevResult"] = result
        for change, back, words in IN_THE_POD:
            pod.ip(*change.split())
            assert words in machine.call("CHECK", conf, pod, "net1").error(102)["msg"]
            pod.ip(*back.split())
        pod.ip("link", "set", "net1", "down")
        assert "net1 is down" in machine.call("CHECK", conf, pod, "net1").error(102)["msg"]
        pod.ip("link", "set", "net1", "name", "other")
        assert "net1 not found" in machine.call("CHECK", conf, pod, "net1").error(102)["msg"]


def test_the_mac_address_is_checked(cards: list[Pf], machine: Node) -> None:
    """The one of the result when the configuration wants none; the card would not mind it."""
    vf, pod, own = cards[1].vfs[3], machine.pod(), "02:00:00:00:99:99"
    conf = sriov(vf, trust="on")
    with attached(machine, conf, pod) as result:
        pod.ip("link", "set", "net1", "address", own)
        message = machine.call("CHECK", conf | {"prevResult": result}, pod, "net1").error(102)[
            "msg"
        ]
        assert f"net1 Mac {vf.mac}" in message and own in message


def test_another_interface_of_that_name_and_address_is_not_the_vf(
    cards: list[Pf], machine: Node
) -> None:
    vf, other, pod = cards[0].vfs[0], cards[0].vfs[1], machine.pod()
    untell_mac(other)
    conf = sriov(vf, ipam=confs.static(V4))
    with attached(machine, conf, pod) as result:
        conf["prevResult"] = result
        pod.ip("link", "set", "net1", "down")
        pod.ip("link", "set", "net1", "name", "away")
        machine.ip("link", "set", other.name, "netns", pod.path)
        pod.ip("link", "add", "veth", "type", "veth", "peer", "name", "peer")
        for name, mac in (("veth", "02:00:00:00:99:99"), (other.name, other.mac)):
            pod.ip("link", "set", name, "name", "net1", "address", vf.mac)
            pod.ip("link", "set", "net1", "up")
            pod.ip("address", "add", V4, "dev", "net1")
            message = machine.call("CHECK", conf, pod, "net1").error(102)["msg"]
            assert f"net1 is not VF {vf.address}" in message
            pod.ip("address", "flush", "dev", "net1")
            pod.ip("link", "set", "net1", "down")
            pod.ip("link", "set", "net1", "name", name, "address", mac)
        pod.ip("link", "set", other.name, "netns", "1")


def test_without_record_or_result(cards: list[Pf], machine: Node) -> None:
    vf, pod = cards[0].vfs[0], machine.pod()
    conf = sriov(vf)
    with attached(machine, conf, pod) as result:
        assert (
            machine.call("CHECK", conf, pod, "net1")
            .error(7)["msg"]
            .endswith("Required prevResult missing")
        )
        conf["prevResult"] = result
        other = conf | {"deviceID": cards[0].vfs[1].address}
        message = machine.call("CHECK", other, pod, "net1").error(102)["msg"]
        assert f"no record that VF {cards[0].vfs[1].address} belongs to net1" in message
        record = record_of(machine, pod)
        text = record.read_text()
        record.unlink()
        message = machine.call("CHECK", conf, pod, "net1").error(102)["msg"]
        assert f"no record that VF {vf.address} belongs to net1" in message
        record.write_text(text)
        machine.call("CHECK", conf, pod, "net1").ok()
    machine.call("CHECK", conf, pod, "net1").error(102)


def test_a_vf_of_a_program_is_checked_on_the_card_alone(cards: list[Pf], machine: Node) -> None:
    vf, pod = cards[0].vfs[2], machine.pod()
    vf.bind("vfio-pci")
    try:
        conf = sriov(vf, vlan=100, trust="on", ipam=confs.static(V4))
        with attached(machine, conf, pod) as result:
            conf["prevResult"] = result
            machine.call("CHECK", conf, pod, "net1").ok()
            tell(vf, "trust", "off")
            message = machine.call("CHECK", conf, pod, "net1").error(102)["msg"]
            assert '"trust": "off"' in message
    finally:
        vf.bind("igbvf")


def test_a_vf_that_has_another_driver_than_it_had(cards: list[Pf], machine: Node) -> None:
    """Rebound while the pod has it: the pod's interface is gone, and another is on the host."""
    vf, pod = cards[0].vfs[2], machine.pod()
    conf = sriov(vf)
    with attached(machine, conf, pod) as result:
        conf["prevResult"] = result
        vf.bind("vfio-pci")
        try:
            machine.call("CHECK", conf, pod, "net1").error(102)
        finally:
            vf.bind("igbvf")
        assert "net1 not found" in machine.call("CHECK", conf, pod, "net1").error(102)["msg"]


def test_status(machine: Node) -> None:
    conf = {"cniVersion": "1.1.0", "name": "net", "type": "sriov"}
    machine.call("STATUS", conf).ok()
    lease = conf | {"ipam": confs.whereabouts("10.1.2.0/33")}
    machine.call("STATUS", lease).error()
    (machine.state / "sriov").rename(machine.state / "away")
    (machine.state / "sriov").write_text("")  # no directory: no record can be written
    error = machine.call("STATUS", conf).error(50)
    assert str(machine.state) in error["msg"]
    machine.call("STATUS", conf | {"cniVersion": "1.0.0"}).error(1)
