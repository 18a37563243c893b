"""sriov GC: what attachments that are no more have left, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cni.sriov import release
from tests.netns import confs
from tests.vm.suite import original
from tests.vm.suite.around import (
    allocation_of,
    die,
    inside,
    of_vf,
    record_of,
    refused,
    tell,
    traces,
)
from tests.vm.suite.attach import MAC, sriov

if TYPE_CHECKING:
    import pytest

    from tests.netns.confs import Conf
    from tests.netns.node import Node, Pod
    from tests.vm.card import Pf, Vf


def network(vf: Vf, **keys: Any) -> Conf:
    ipam = confs.whereabouts("10.1.2.0/24")
    return sriov(vf, version="1.1.0", vlan=100, mac=MAC[:-1] + str(vf.index), ipam=ipam) | keys


def collect(machine: Node, *valid: Pod, vf: Vf, **keys: Any) -> Conf:
    """What a runtime calls for the network of that name, with these attachments alive."""
    entries = [{"containerID": pod.name, "ifname": "net1"} for pod in valid]
    return network(vf, **{"cni.dev/valid-attachments": entries} | keys)


def test_attachments_that_are_no_more_are_undone_and_others_stay(
    cards: list[Pf], machine: Node
) -> None:
    """The pod of one lives on, that of the other is dead; and twice so, the original's."""
    card = cards[0]
    pods = {name: machine.pod(name) for name in NAMES}
    vfs = dict(zip(NAMES, card.vfs, strict=False))
    configured = {name: network(vf) for name, vf in vfs.items()}
    configured["foreign"]["name"] = "other"
    before = seen(card)
    for name, pod in pods.items():
        if "originals" in name:
            original.add(machine, vfs[name], pod, vlan=100, mac=configured[name]["mac"])
        else:
            machine.call("ADD", configured[name], pod, "net1").ok()
    for name in ("dead", "dead-originals"):
        die(pods[name], vfs[name])
    attached = seen(card)
    machine.call("GC", configured["valid"]).ok()  # without a list: who knows what lives?
    assert seen(card) == attached
    stay = ("valid", "foreign")
    for _ in range(2):
        machine.call("GC", collect(machine, pods["valid"], vf=vfs["valid"])).ok()
        assert seen(card) == before | {name: attached[name] for name in stay}
        kept = [vfs[name].address for name in stay]
        kept += [record_of(machine, pods[name]).name for name in stay]
        assert [each for each in traces(machine) if " " not in each] == sorted(kept)
    assert [inside(pods[name], vfs[name]) for name in stay] == ["net1", "net1"]
    assert {container for container, *_ in machine.leases()} == {pods[name].name for name in stay}
    for name in stay:
        machine.call("DEL", configured[name], pods[name], "net1").ok()
    assert seen(card) == before
    assert traces(machine) == []


NAMES = ("valid", "removed", "dead", "foreign", "originals", "dead-originals")


def seen(card: Pf) -> dict[str, list[str]]:
    """What is to be seen of the VF of each."""
    lines = card.snapshot()
    return {
        name: [line for line in lines if line.startswith(f"{card.name} vf {index}:")]
        for index, name in enumerate(NAMES)
    }


def test_a_program_s_vf(cards: list[Pf], machine: Node) -> None:
    """Its pod lives, is dead, or is valid."""
    pods = [machine.pod(), machine.pod(), machine.pod()]
    vfs = cards[1].vfs[:3]
    for vf in vfs:
        vf.bind("vfio-pci")
    before = cards[1].snapshot()
    for vf, pod in zip(vfs, pods, strict=True):
        machine.call("ADD", network(vf), pod, "net1").ok()
    pods[1].destroy()
    held = of_vf(vfs[2])
    conf = collect(machine, pods[2], vf=vfs[0])
    machine.call("GC", conf).ok()
    assert [of_vf(vf)["vlan"] for vf in vfs] == [0, 0, 100] and of_vf(vfs[2]) == held
    machine.call("DEL", network(vfs[2]), pods[2], "net1").ok()
    assert cards[1].snapshot() == before
    assert traces(machine) == []
    for vf in vfs:
        vf.bind("igbvf")


def test_files_that_belong_to_nothing(cards: list[Pf], machine: Node) -> None:
    """Allocations of dead pods without a record, those of VFs that are gone among them, and what
    killed calls were writing; an allocation of a living pod stays, and so does what is no record.
    """
    alive, gone = cards[0].vfs[:2]
    pod = machine.pod()
    directory = allocation_of(machine, alive).parent
    directory.mkdir(parents=True)
    allocation_of(machine, alive).write_text(pod.path)
    allocation_of(machine, gone).write_text("/run/netns/gone")
    (directory / "0000:ff:10.0").write_text("/run/netns/gone")
    (directory / ".0000:21:10.0.tmp").touch()
    (directory.parent / ".pod-net1.tmp").touch()
    (directory.parent / "pod-net1").write_text("no record")
    machine.call("GC", collect(machine, vf=alive)).ok()
    assert traces(machine) == [alive.address, "pod-net1"]


def test_a_newer_attachment_has_the_vf(cards: list[Pf], machine: Node) -> None:
    """The original leaves a dead pod's record when another pod gets the VF: it is forgotten, and
    the VF not touched."""
    vf, old, new = cards[0].vfs[4], machine.pod("old"), machine.pod("new")
    before = vf.pf.snapshot()
    record = original.add(machine, vf, old, vlan=100)
    die(old, vf)
    machine.ip("link", "set", vf.netdev, "name", vf.name)
    tell(vf, "vlan", "0")
    original.add(machine, vf, new, name="other", vlan=200)
    original_record = record_of(machine, old)
    assert original_record.exists() and record["name"] == "net"
    machine.call("GC", collect(machine, vf=vf)).ok()
    assert of_vf(vf)["vlan"] == 200 and inside(new, vf) == "net1"
    assert traces(machine) == sorted([vf.address, record_of(machine, new).name])
    machine.call("DEL", sriov(vf, name="other"), new, "net1").ok()
    assert vf.pf.snapshot() == before


def test_one_that_cannot_be_undone_does_not_keep_the_others(cards: list[Pf], machine: Node) -> None:
    vfs = cards[1].vfs[4:6]
    pods = [machine.pod(), machine.pod()]
    before = cards[1].snapshot()
    for vf, pod in zip(vfs, pods, strict=True):
        machine.call("ADD", network(vf), pod, "net1").ok()
    conf = collect(machine, vf=vfs[0])
    with refused(f"set vlan of VF {vfs[0].index} "):
        error = machine.call("GC", conf).error()
    assert '"vlan": 0' in str(error)
    assert [vf.netdev for vf in vfs] == [vf.name for vf in vfs]
    assert [of_vf(vf)["vlan"] for vf in vfs] == [100, 0]
    assert traces(machine) == sorted([vfs[0].address, record_of(machine, pods[0]).name])
    machine.call("GC", conf).ok()
    assert cards[1].snapshot() == before
    assert traces(machine) == []


def test_a_vf_that_was_hidden_at_its_delete(
    cards: list[Pf], machine: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record waits for it."""
    monkeypatch.setattr(release, "_RETURN_WAIT", 0.3)
    vf, pod, hidden = cards[0].vfs[5], machine.pod(), machine.pod("hidden")
    before = vf.pf.snapshot()
    machine.call("ADD", network(vf), pod, "net1").ok()
    pod.ip("link", "set", "net1", "netns", hidden.path)
    machine.call("DEL", network(vf), pod, "net1").ok()
    machine.call("GC", collect(machine, vf=vf)).ok()
    assert traces(machine) == [record_of(machine, pod).name]
    die(hidden, vf)
    machine.call("GC", collect(machine, vf=vf)).ok()
    assert vf.pf.snapshot() == before
    assert traces(machine) == []
