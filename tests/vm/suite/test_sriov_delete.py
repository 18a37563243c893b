"""sriov DEL: the VF comes back as it was, whatever has become of the pod."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cni.sriov import release
from tests.netns import confs
from tests.vm.card import ip
from tests.vm.suite.around import (
    POD_MAC,
    allocation_of,
    die,
    fetch,
    inside,
    ipam_script,
    of_vf,
    record_of,
    refused,
    tell,
    traces,
    untell_mac,
    unusual,
)
from tests.vm.suite.attach import MAC, sriov

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.netns.confs import Conf
    from tests.netns.node import Node, Pod
    from tests.vm.card import Pf, Vf


def all_keys(vf: Vf) -> Conf:
    """Everything other than `unusual` has it."""
    told: Conf = {"vlan": 100, "vlanQoS": 3, "trust": "off", "spoofchk": "on", "max_tx_rate": 50}
    ipam = confs.whereabouts("10.1.2.0/24")
    return sriov(vf, mac=MAC, mtu=2000, ipam=ipam, **told)


def nothing(pod: Pod, vf: Vf, tmp_path: Path) -> str:
    return pod.path


def namespace_forgotten(pod: Pod, vf: Vf, tmp_path: Path) -> str:
    return ""


def path_gone(pod: Pod, vf: Vf, tmp_path: Path) -> str:
    """The namespace lives on, for another path leads to it."""
    return str(tmp_path / "gone")


def dead(pod: Pod, vf: Vf, tmp_path: Path) -> str:
    """The kernel gives the VF back a little later, under the pod's name and with its address."""
    pod.destroy()
    return str(tmp_path / "gone")


def dead_leaving_a_file(pod: Pod, vf: Vf, tmp_path: Path) -> str:
    """/run/netns/x stays when what was mounted there is gone."""
    pod.destroy()
    (tmp_path / "plain").touch()
    return str(tmp_path / "plain")


def dead_and_forgotten(pod: Pod, vf: Vf, tmp_path: Path) -> str:
    pod.destroy()
    return ""


def renamed(pod: Pod, vf: Vf, tmp_path: Path) -> str:
    """And the altname is what the pod's interface was called: sriov-cni#445."""
    pod.ip("link", "set", "net1", "down")
    pod.ip("link", "set", "net1", "name", "data0")
    pod.ip("link", "property", "add", "dev", "data0", "altname", "net1")
    return pod.path


def with_altnames(pod: Pod, vf: Vf, tmp_path: Path) -> str:
    """sriov-cni#445, #250: "file exists", and a DEL that fails for ever."""
    for name in (vf.name, "of-the-pod"):
        pod.ip("link", "property", "add", "dev", "net1", "altname", name)
    return pod.path


def configured_anew(pod: Pod, vf: Vf, tmp_path: Path) -> str:
    pod.ip("link", "set", "net1", "down")
    pod.ip("link", "set", "net1", "mtu", "1300", "alias", "mine", "promisc", "off")
    pod.ip("link", "set", "net1", "allmulticast", "off")
    pod.ip("address", "add", "192.0.2.1/24", "dev", "net1")
    return pod.path


HAPPENINGS = [
    nothing, namespace_forgotten, path_gone, dead, dead_leaving_a_file, dead_and_forgotten,
    renamed, with_altnames, configured_anew,
]  # fmt: skip


@pytest.mark.parametrize("happens", HAPPENINGS)
def test_the_vf_is_as_before_when_the_pod_is(
    cards: list[Pf], machine: Node, happens: Callable[[Pod, Vf, Path], str], tmp_path: Path
) -> None:
    """The original: sriov-cni#126 for the dead ones, and CNI_NETNS="" resets nothing at all."""
    vf, pod = cards[0].vfs[1], machine.pod()
    conf = all_keys(vf)
    with unusual(vf, "enp33s0f0v1", "net1"):
        before = vf.pf.snapshot()
        machine.call("ADD", conf, pod, "net1").ok()
        assert of_vf(vf) == {
            "vlan": 100, "qos": 3, "mac": MAC, "max": 50, "spoofchk": True, "trust": False,
        }  # fmt: skip
        environ = machine.environ("DEL", pod, "net1")
        environ["CNI_NETNS"] = happens(pod, vf, tmp_path)
        for _ in range(2):
            assert machine.raw("sriov", environ, confs.encoded(conf)).ok() is None
            assert vf.pf.snapshot() == before
            assert traces(machine) == []


def test_an_address_that_the_pod_gave_is_not_kept(cards: list[Pf], machine: Node) -> None:
    """sriov-cni#125, #214: two VFs with one address, later, on one network. Nor is anything told to
    the card, for it would forbid the next pod to do the same."""
    vf = cards[0].vfs[2]
    untell_mac(vf)
    for trust in ("off", "off", "on"):
        tell(vf, "trust", trust)
        before = vf.pf.snapshot()
        pod = machine.pod()
        machine.call("ADD", sriov(vf), pod, "net1").ok()
        pod.ip("link", "set", "net1", "address", POD_MAC)
        assert of_vf(vf)["mac"] == POD_MAC
        if trust == "on":
            die(pod, vf)
        machine.call("DEL", sriov(vf), pod, "net1").ok()
        assert vf.pf.snapshot() == before
    tell(vf, "trust", "off")


def test_a_vf_that_was_down_is_down_again_and_untold_settings_stay(
    cards: list[Pf], machine: Node
) -> None:
    """What the configuration does not name is not the attachment's to restore: somebody may have
    changed it meanwhile."""
    vf, pod = cards[0].vfs[3], machine.pod()
    conf = sriov(vf, vlan=100)
    machine.call("ADD", conf, pod, "net1").ok()
    tell(vf, "max_tx_rate", "70", "trust", "on")
    machine.call("DEL", conf, pod, "net1").ok()
    assert of_vf(vf) | {"vlan": 0, "max": 70, "trust": True} == of_vf(vf)
    assert "UP" not in machine.link(vf.name)["flags"]
    tell(vf, "max_tx_rate", "0", "trust", "off")


def test_a_program_s_vf_is_reset_whatever_has_become_of_the_pod(
    cards: list[Pf], machine: Node, tmp_path: Path
) -> None:
    """The original fails, looking for an interface that never was, and forgets the VF."""
    vf = cards[1].vfs[0]
    vf.bind("vfio-pci")
    tell(vf, "vlan", "7", "trust", "on")
    before = vf.pf.snapshot()
    for happens in (nothing, namespace_forgotten, path_gone, dead, dead_leaving_a_file):
        pod = machine.pod()
        conf = all_keys(vf)
        machine.call("ADD", conf, pod, "net1").ok()
        assert vf.pf.snapshot() != before
        environ = machine.environ("DEL", pod, "net1")
        environ["CNI_NETNS"] = happens(pod, vf, tmp_path)
        for _ in range(2):
            machine.raw("sriov", environ, confs.encoded(conf)).ok()
            assert vf.pf.snapshot() == before
            assert traces(machine) == []
    tell(vf, "vlan", "0", "trust", "off")
    vf.bind("igbvf")


# names and what else is in the way


@pytest.mark.parametrize("alive", [True, False])
def test_another_interface_of_the_host_has_the_vf_s_name(
    cards: list[Pf], machine: Node, alive: bool
) -> None:
    """sriov-cni#445, #111: "file exists", with the VF left in the pod. Here it gets a free name."""
    vf, pod = cards[0].vfs[4], machine.pod()
    before = vf.pf.snapshot()
    machine.call("ADD", sriov(vf, vlan=100), pod, "net1").ok()
    # an altname is a name, and "net1" is what the kernel would give the VF of a dead pod
    ip("link", "add", "other", "type", "dummy")
    ip("link", "property", "add", "dev", "other", "altname", vf.name, "altname", f"{vf.name}_1")
    ip("link", "add", "net1", "type", "dummy")
    other = machine.link("other"), machine.link("net1")
    if not alive:
        pod.destroy()
    try:
        machine.call("DEL", sriov(vf, vlan=100), pod, "net1").ok()
        assert (vf.netdev, traces(machine)) == (f"{vf.name}_2", [])
        assert (machine.link("other"), machine.link("net1")) == other
    finally:
        for name in ("other", "net1"):
            ip("link", "delete", name)
    ip("link", "set", vf.netdev, "name", vf.name)
    assert vf.pf.snapshot() == before


def test_a_vf_that_the_pod_has_hidden_is_restored_when_it_is_back(
    cards: list[Pf], machine: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a namespace that the pod made; DEL need not fail for it. The next ADD finds it."""
    monkeypatch.setattr(release, "_RETURN_WAIT", 0.3)
    vf, pod, hidden = cards[0].vfs[5], machine.pod(), machine.pod("hidden")
    conf = all_keys(vf)
    before = vf.pf.snapshot()
    machine.call("ADD", conf, pod, "net1").ok()
    pod.ip("link", "set", "net1", "netns", hidden.path)
    for _ in range(2):
        machine.call("DEL", conf, pod, "net1").ok()
        assert inside(hidden, vf) == "net1"
        assert traces(machine) == [record_of(machine, pod).name]
    later = machine.pod("later")
    error = machine.call("ADD", conf, later, "net1").error(11)
    assert vf.address in error["msg"]
    die(hidden, vf)
    assert vf.pf.snapshot() != before
    machine.call("ADD", conf, later, "net1").ok()
    machine.call("DEL", conf, later, "net1").ok()
    assert vf.pf.snapshot() == before
    assert traces(machine) == []


# files


UNREADABLE = (b"", b"{", b"\xff\xfe", b"[]", b'{"OrigVfState": 7}', b'{"deviceID": "../../x"}')


@pytest.mark.parametrize("content", [None, b'{"name": "net", "OrigVfState": {"MTU": "1500"}}'])
def test_a_record_that_tells_nothing(cards: list[Pf], machine: Node, content: bytes | None) -> None:
    """The address and the allocation are released; the VF comes back with the namespace's end,
    and the next pod gets it."""
    vf, pod, other = cards[0].vfs[6], machine.pod(), machine.pod()
    conf = sriov(vf, ipam=confs.whereabouts("10.1.2.0/24"))
    machine.call("ADD", conf, pod, "net1").ok()
    record = record_of(machine, pod)
    record.unlink()
    for each in (content, *UNREADABLE) if content else (content,):
        if each is not None:
            record.write_bytes(each)
        machine.call("DEL", conf, pod, "net1").ok()
        assert machine.leases() == []
        assert not allocation_of(machine, vf).exists()
    fetch(pod, vf)
    machine.call("ADD", conf, other, "net1").ok()
    machine.call("DEL", conf, other, "net1").ok()


# the card changes under the pods


def test_the_vf_is_gone_and_another_has_its_address(cards: list[Pf], machine: Node) -> None:
    """The number of VFs was changed: the next ones are new."""
    card = cards[1]
    pods = [machine.pod(), machine.pod()]
    settings = [sriov(vf, vlan=100, trust="on") for vf in card.vfs[1:3]]
    before = card.snapshot()
    for conf, pod in zip(settings, pods, strict=True):
        machine.call("ADD", conf, pod, "net1").ok()
    card.provision(0)
    for _ in range(2):
        machine.call("DEL", settings[0], pods[0], "net1").ok()
    assert traces(machine) == sorted([card_address(settings[1]), record_of(machine, pods[1]).name])
    card.provision()
    machine.call("DEL", settings[1], pods[1], "net1").ok()
    assert traces(machine) == []
    assert card.snapshot() == before


def card_address(conf: Conf) -> str:
    return str(conf["deviceID"])


def test_the_vf_got_another_driver(cards: list[Pf], machine: Node) -> None:
    """Its interface is gone, or a new one that the kernel named; the card was not told so."""
    vf = cards[1].vfs[3]
    conf = sriov(vf, vlan=100, mac=MAC)
    before = vf.pf.snapshot()
    for driver in ("vfio-pci", "", "igbvf"):
        pod = machine.pod()
        machine.call("ADD", conf, pod, "net1").ok()
        (vf.path / "driver/unbind").write_text(vf.address)
        if driver:
            vf.bind(driver)
        machine.call("DEL", conf, pod, "net1").ok()
        assert (of_vf(vf)["vlan"], of_vf(vf)["mac"]) == (0, vf.mac)
        assert traces(machine) == []
        if driver != "igbvf":
            vf.bind("igbvf")
        assert vf.pf.snapshot() == before


# when a step fails


def test_what_could_not_be_restored_is_tried_again(cards: list[Pf], machine: Node) -> None:
    """The original forgets the VF when its first DEL fails. All else is done at once."""
    vf, pod = cards[0].vfs[3], machine.pod()
    conf = sriov(vf, max_tx_rate=50, vlan=100)
    before = vf.pf.snapshot()
    machine.call("ADD", conf, pod, "net1").ok()
    with refused("set rate "):
        error = machine.call("DEL", conf, pod, "net1").error()
    assert '"max_tx_rate": 0' in str(error) and "pf0" in str(error)
    assert traces(machine) == sorted([vf.address, record_of(machine, pod).name])
    assert (vf.netdev, of_vf(vf)["vlan"], of_vf(vf)["max"]) == (vf.name, 0, 50)
    machine.call("DEL", conf, pod, "net1").ok()
    assert vf.pf.snapshot() == before
    assert traces(machine) == []


def test_the_vf_is_released_though_its_address_is_not(
    cards: list[Pf], machine: Node, tmp_path: Path
) -> None:
    vf, pod = cards[0].vfs[4], machine.pod()
    refuse = tmp_path / "refuse"
    refuse.touch()
    conf = sriov(
        vf,
        vlan=100,
        ipam=ipam_script(
            machine,
            on_del=f"""
        if [ -e {refuse} ]; then echo '{{"code": 117, "msg": "no lease file"}}'; exit 1; fi""",
        ),
    )
    before = vf.pf.snapshot()
    machine.call("ADD", conf, pod, "net1").ok()
    error = machine.call("DEL", conf, pod, "net1").error(117)
    assert error["msg"] == "no lease file"
    assert vf.pf.snapshot() == before
    refuse.unlink()
    machine.call("DEL", conf, pod, "net1").ok()
    assert traces(machine) == []
