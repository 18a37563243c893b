"""host-device with real cards: a VF or a whole card, driven by the kernel or by a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance import node as processes
from tests.netns.confs import host_device, static, whereabouts
from tests.vm.card import ip, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.netns.confs import Conf
    from tests.netns.node import Node, Pod
    from tests.vm.card import Pf, Vf


@pytest.fixture
def vf(cards: list[Pf]) -> Iterator[Vf]:
    """One with all that could be lost on the way."""
    found = cards[0].vfs[1]
    change = ("mtu", "1400", "alias", "rack 7")
    ip("link", "set", found.name, *change, "up")
    ip("link", "property", "add", "dev", found.name, "altname", "enp33s0f0v1")
    yield found
    if found.netdev:
        ip("link", "set", found.netdev, "mtu", "1500", "alias", "", "down")
        ip("link", "property", "del", "dev", found.netdev, "altname", "enp33s0f0v1")


def by_bus(vf: Vf) -> Conf:
    return {"pciBusID": vf.address}


def by_runtime(vf: Vf) -> Conf:
    return {"runtimeConfig": {"deviceID": vf.address}, "pciBusID": "0000:00:00.0"}


def by_kernel_path(vf: Vf) -> Conf:
    return {"kernelpath": str(vf.path)}


def of(vf: Vf, **keys: Any) -> Conf:
    """A configuration that leases an address, so that a leak shows."""
    return host_device(pciBusID=vf.address, ipam=whereabouts("10.4.0.0/24"), **keys)


@pytest.mark.parametrize("choice", [by_bus, by_runtime, by_kernel_path])
def test_there_and_back(machine: Node, vf: Vf, choice: Callable[[Vf], Conf]) -> None:
    pod = machine.pod()
    before = machine.snapshot(pod)
    conf = host_device(version="1.1.0", ipam=static("10.4.0.5/24"), **choice(vf))
    result = machine.call("ADD", conf, pod, "net1").ok()
    expected = {"name": "net1", "mac": vf.mac, "mtu": 1400, "sandbox": pod.path}
    if choice is not by_kernel_path:
        expected["pciID"] = vf.address
    assert result["interfaces"] == [expected]
    assert not vf.netdev
    assert pod.addresses("net1") == ["10.4.0.5/24"]
    machine.call("CHECK", conf | {"prevResult": result}, pod, "net1").ok()
    renamed(pod)
    machine.call("DEL", conf, pod, "net1").ok()
    machine.call("DEL", conf, pod, "net1").ok()
    assert machine.snapshot(pod) == before


def untouched(pod: Pod) -> None:
    pass


def renamed(pod: Pod) -> None:
    pod.ip("link", "set", "net1", "down")
    pod.ip("link", "set", "net1", "name", "data0", "mtu", "1300")
    pod.ip("link", "set", "data0", "address", "02:00:00:00:00:66")


@pytest.mark.parametrize("change", [untouched, renamed])
def test_namespace_died(machine: Node, vf: Vf, change: Callable[[Pod], None]) -> None:
    before = machine.snapshot()
    pod = machine.pod()
    machine.call("ADD", of(vf), pod, "net1").ok()
    change(pod)
    pod.destroy()
    machine.call("DEL", of(vf), pod, "net1").ok()
    machine.call("DEL", of(vf), pod, "net1").ok()
    assert machine.snapshot() == before


def test_failed_add(machine: Node, vf: Vf) -> None:
    pod = machine.pod()
    before = machine.snapshot(pod)
    conf = host_device(pciBusID=vf.address, ipam={"type": "nosuch"})
    machine.call("ADD", conf, pod, "net1").error(7)
    assert machine.snapshot(pod) == before


def test_whole_card(machine: Node, cards: list[Pf]) -> None:
    """Its VFs stay on the host."""
    card = cards[1]
    pod = machine.pod()
    before = machine.snapshot(pod)
    conf = host_device(pciBusID=card.address, ipam=static("10.4.0.5/24"))
    machine.call("ADD", conf, pod, "net1").ok()
    assert pod.link("net1")["vfinfo_list"][6]["address"] == card.vfs[6].mac
    assert card.vfs[6].netdev == "pf1v6"
    machine.call("DEL", conf, pod, "net1").ok()
    assert machine.snapshot(pod) == before
    card.wait_for_carrier()


def test_two_pods_reach_each_other_through_the_card(machine: Node, cards: list[Pf]) -> None:
    pods = [machine.pod(), machine.pod()]
    vfs = cards[0].vfs[2:4]
    before = machine.snapshot(*pods)
    confs = [
        host_device(pciBusID=vf.address, ipam=static(f"10.4.0.{number}/24"))
        for number, vf in enumerate(vfs, 1)
    ]
    for pod, conf in zip(pods, confs, strict=True):
        machine.call("ADD", conf, pod, "net1").ok()
    ping = ("sh", "-c", "ping -q -c 1 -W 1 10.4.0.2 || true")
    wait_for("answer to a ping", lambda: " 1 received" in pods[0].run(*ping))
    for pod, conf in zip(pods, confs, strict=True):
        machine.call("DEL", conf, pod, "net1").ok()
    assert machine.snapshot(*pods) == before


def test_two_vfs_in_one_pod(machine: Node, cards: list[Pf]) -> None:
    """One of either card; the pod dies with both."""
    before = machine.snapshot()
    pod = machine.pod()
    confs = {f"net{number}": of(card.vfs[5]) for number, card in enumerate(cards, 1)}
    for name, conf in confs.items():
        machine.call("ADD", conf, pod, name).ok()
    assert [pod.link(name)["address"] for name in confs] == [card.vfs[5].mac for card in cards]
    pod.destroy()
    for name, conf in confs.items():
        machine.call("DEL", conf, pod, name).ok()
    assert machine.snapshot() == before


# a VF that a program drives


@pytest.fixture
def program_s(cards: list[Pf]) -> Iterator[Vf]:
    vf = cards[1].vfs[4]
    vf.bind("vfio-pci")
    yield vf
    vf.bind("igbvf")


def test_vf_of_a_program(machine: Node, program_s: Vf) -> None:
    """There is no interface: nothing is moved, and the result names the device instead."""
    pod = machine.pod()
    before = machine.snapshot(pod)
    conf = of(program_s, version="1.1.0")
    result = machine.call("ADD", conf, pod, "net1").ok()
    (interface,) = result["interfaces"]
    assert interface == {"name": "net1", "sandbox": pod.path, "pciID": program_s.address}
    assert [each["address"] for each in result["ips"]] == ["10.4.0.1/24"]
    assert pod.links() == ["lo"]
    machine.call("CHECK", conf | {"prevResult": result}, pod, "net1").ok()
    machine.call("DEL", conf, pod, "net1").ok()
    assert program_s.driver == "vfio-pci"
    assert machine.snapshot(pod) == before


# what happens to a VF while a pod has it


@pytest.mark.parametrize("driver", ["vfio-pci", "igbvf"])
def test_vf_was_bound_anew(machine: Node, cards: list[Pf], driver: str) -> None:
    """Its interface in the pod is gone; a new one is on the host, and none of the pod's."""
    vf = cards[0].vfs[6]
    before = machine.snapshot()
    pod = machine.pod()
    machine.call("ADD", of(vf), pod, "net1").ok()
    vf.bind(driver)
    try:
        assert pod.links() == ["lo"]
        machine.call("DEL", of(vf), pod, "net1").ok()
        assert vf.driver == driver
    finally:
        if driver != "igbvf":
            vf.bind("igbvf")
    assert machine.snapshot() == before


def test_card_lost_its_vfs(machine: Node, cards: list[Pf]) -> None:
    card = cards[1]
    before = machine.snapshot()
    pod = machine.pod()
    machine.call("ADD", of(card.vfs[0]), pod, "net1").ok()
    (card.path / "sriov_numvfs").write_text("0")
    try:
        assert pod.links() == ["lo"]
        machine.call("DEL", of(card.vfs[0]), pod, "net1").ok()
    finally:
        card.provision()
    assert machine.snapshot() == before


# the executables


def test_frozen(cards: list[Pf], vf: Vf, tmp_path: Path) -> None:
    assert (processes.OURS / "host-device").exists(), f"{processes.OURS}: make build"
    host = processes.Node(tmp_path)
    pod = host.pod()
    before = host.traces(pod)
    try:
        result = host.call("ADD", of(vf), pod, ifname="net1").result()
        assert result["interfaces"][0]["mac"] == vf.mac
        assert not vf.netdev
        pod.destroy()
        host.call("DEL", of(vf), pod, ifname="net1").silent()
        assert host.traces() | {"links": None} == before | {"links": None}
    finally:
        host.close()
