"""Whose the VF is: late, repeated and simultaneous calls, pods that died, paths that changed."""

from __future__ import annotations

import fcntl
import json
import os
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cni.store import lock as locks
from tests.netns import confs
from tests.netns.faults import killed
from tests.vm.card import wait_for
from tests.vm.suite.around import (
    allocation_of,
    die,
    fetch,
    inside,
    ipam_script,
    of_vf,
    record_of,
    tell,
    traces,
)
from tests.vm.suite.attach import MAC, sriov

if TYPE_CHECKING:
    from pathlib import Path

    from tests.netns.node import Node
    from tests.vm.card import Pf


@pytest.mark.parametrize("driver", ["igbvf", "vfio-pci"])
@pytest.mark.parametrize("late", ["while another has the VF", "at the end"])
def test_a_pod_that_died_and_the_next_that_has_its_vf(
    cards: list[Pf], machine: Node, driver: str, late: str
) -> None:
    """sriov-cni#219: a late DEL resets the VF in use. #126, #125: what the dead pod left counts as
    the VF's own ever after."""
    vf, old, new = cards[1].vfs[2], machine.pod("old"), machine.pod("new")
    if driver != "igbvf":
        vf.bind(driver)
    tell(vf, "vlan", "7", "qos", "1", "max_tx_rate", "300")
    before = vf.pf.snapshot()
    olds, news = (
        sriov(vf, vlan=number, mac=f"{MAC[:-2]}{number}", trust="on", max_tx_rate=number)
        for number in (11, 22)
    )
    machine.call("ADD", olds, old, "net1").ok()
    if driver == "igbvf":
        old.ip("link", "set", "net1", "mtu", "1300", "alias", "dead")
    die(old, vf)
    machine.call("ADD", news, new, "net1").ok()
    held, link = vf.pf.snapshot(), new.ip("link")
    assert of_vf(vf)["vlan"] == 22
    if late == "while another has the VF":
        for _ in range(2):
            machine.call("DEL", olds, old, "net1").ok()
        assert (vf.pf.snapshot(), new.ip("link")) == (held, link)
        assert traces(machine) == sorted([vf.address, record_of(machine, new).name])
    machine.call("DEL", news, new, "net1").ok()
    assert vf.pf.snapshot() == before
    if late == "at the end":
        machine.call("DEL", olds, old, "net1").ok()
        assert vf.pf.snapshot() == before
    assert traces(machine) == []
    tell(vf, "vlan", "0", "max_tx_rate", "0")
    if driver != "igbvf":
        vf.bind("igbvf")


@pytest.mark.parametrize("driver", ["igbvf", "vfio-pci"])
def test_a_vf_in_use_is_refused_and_its_pod_unharmed(
    cards: list[Pf], machine: Node, driver: str
) -> None:
    """Asked by another pod, and by its own once more."""
    vf, pod, other = cards[1].vfs[4], machine.pod(), machine.pod()
    if driver != "igbvf":
        vf.bind(driver)
    before = vf.pf.snapshot()
    conf = sriov(vf, vlan=100, ipam=confs.whereabouts("10.1.2.0/24"))
    machine.call("ADD", conf, pod, "net1").ok()
    held = vf.pf.snapshot(), pod.ip("link"), traces(machine)
    for asking, ifname, code in ((other, "net1", 11), (pod, "net2", 11), (pod, "net1", 11)):
        error = machine.call("ADD", conf | {"vlan": 200}, asking, ifname).error(code)
        assert f"pci address {vf.address} is already allocated" in error["msg"]
        assert (vf.pf.snapshot(), pod.ip("link"), traces(machine)) == held
    machine.call("DEL", conf | {"vlan": 200}, other, "net1").ok()  # a runtime's, after the refusal
    assert (vf.pf.snapshot(), pod.ip("link"), traces(machine)) == held
    machine.call("DEL", conf, pod, "net1").ok()
    assert vf.pf.snapshot() == before
    if driver != "igbvf":
        vf.bind("igbvf")


@pytest.mark.parametrize(
    ("driver", "same_path"),
    [("igbvf", "same number"), ("vfio-pci", "same number"), ("vfio-pci", "link to another")],
)
def test_a_path_that_leads_to_another_namespace_does_not_block_the_vf(
    cards: list[Pf], machine: Node, driver: str, same_path: str, tmp_path: Path
) -> None:
    """/proc/<pid>/ns/net, when the process is another by now: the original refuses the VF as long
    as that process lives. Even the namespace's number may be the old one's."""
    vf, pod = cards[0].vfs[0], machine.pod()
    if driver != "igbvf":
        vf.bind(driver)
    before = vf.pf.snapshot()
    path = tmp_path / "netns"
    path.symlink_to(pod.path)
    conf = sriov(vf, vlan=100)
    machine.call("ADD", conf, pod, "net1", CNI_NETNS=str(path)).ok()
    number = os.stat(path).st_ino
    keeper = machine.pod("keeper") if same_path == "link to another" else None
    die(pod, vf)
    later = keeper or machine.pod("later")
    if not keeper:
        # the kernel gives the lowest free number: soon that of the namespace which it cleans up
        for _ in range(100):
            if os.stat(later.path).st_ino == number:
                break
            later.destroy()
            machine.pods.remove(later)
            later = machine.pod("later")
    path.unlink()
    path.symlink_to(later.path)
    machine.call("ADD", conf, later, "net1", CNI_NETNS=str(path)).ok()
    machine.call("DEL", conf, pod, "net1", CNI_NETNS=str(path)).ok()
    assert of_vf(vf)["vlan"] == 100
    assert inside(later, vf) == ("net1" if driver == "igbvf" else "")
    machine.call("DEL", conf, later, "net1", CNI_NETNS=str(path)).ok()
    assert vf.pf.snapshot() == before
    assert traces(machine) == []
    if driver != "igbvf":
        vf.bind("igbvf")


def test_an_add_that_was_killed_is_begun_anew(cards: list[Pf], machine: Node) -> None:
    """For the same container, without a DEL between, and with all that is half done."""
    vf, pod = cards[0].vfs[1], machine.pod()
    conf = sriov(vf, vlan=100, mac=MAC, trust="on", max_tx_rate=50, mtu=2000)
    before = vf.pf.snapshot()
    for step in (8, 12, 16, 20):
        with killed(step) as fault:
            machine.call("ADD", conf, pod, "net1")
        assert fault.hit
        machine.call("ADD", conf, pod, "net1").ok()
        assert inside(pod, vf) == "net1"
        machine.call("DEL", conf, pod, "net1").ok()
        assert vf.pf.snapshot() == before
        assert traces(machine) == []


def test_the_allocation_is_lost(cards: list[Pf], machine: Node) -> None:
    """The original fails twice, and succeeds without the VF."""
    vf, pod = cards[0].vfs[1], machine.pod()
    conf = sriov(vf, vlan=100, ipam=confs.whereabouts("10.1.2.0/24"))
    before = vf.pf.snapshot()
    machine.call("ADD", conf, pod, "net1").ok()
    allocation_of(machine, vf).unlink()
    machine.call("DEL", conf, pod, "net1").ok()
    assert vf.pf.snapshot() == before
    assert traces(machine) == []


def test_the_allocation_names_another_pod(cards: list[Pf], machine: Node) -> None:
    """Then nothing of the VF is ours to touch."""
    vf, pod, other = cards[0].vfs[2], machine.pod(), machine.pod()
    conf = sriov(vf, vlan=100, ipam=confs.whereabouts("10.1.2.0/24"))
    machine.call("ADD", conf, pod, "net1").ok()
    allocation_of(machine, vf).write_text(other.path)
    machine.call("DEL", conf, pod, "net1").ok()
    assert inside(pod, vf) == "net1" and of_vf(vf)["vlan"] == 100
    assert traces(machine) == [vf.address]
    assert allocation_of(machine, vf).read_text() == other.path
    fetch(pod, vf)
    tell(vf, "vlan", "0")


@pytest.mark.parametrize("whose", ["ours", "the original's"])
def test_a_record_of_an_earlier_boot_is_about_another_vf(
    cards: list[Pf], machine: Node, whose: str
) -> None:
    """VFs do not survive a boot, the files do: nothing is restored, and they are cleared away."""
    vf, old, pod = cards[1].vfs[6], machine.pod("old"), machine.pod()
    conf = sriov(vf, version="1.1.0")
    record, allocation = record_of(machine, old), allocation_of(machine, vf)
    state = {"HostIFName": "eth7", "EffectiveMAC": MAC, "MTU": 1300, "AdminMAC": MAC, "Vlan": 7}
    fields: dict[str, Any] = {
        "name": "net",
        "deviceID": vf.address,
        "Master": "pf1",
        "VFID": 6,
        "vlan": 100,
    }
    fields["OrigVfState"] = state
    if whose == "ours":
        fields["x"] = {"phase": "done", "bootID": "another", "netns": old.path}
    allocation.parent.mkdir(parents=True)
    before = vf.pf.snapshot()
    for command in ("DEL", "ADD", "GC"):
        record.write_text(json.dumps(fields))
        allocation.write_text("/run/netns/gone")
        if whose != "ours":
            os.utime(record, (10**9, 10**9))
        if command == "ADD":
            machine.call("ADD", conf, pod, "net1").ok()
            assert traces(machine) == sorted([vf.address, record_of(machine, pod).name])
            machine.call("DEL", conf, pod, "net1").ok()
        else:
            machine.call(command, conf | {"cni.dev/valid-attachments": []}, old, "net1").ok()
        assert vf.pf.snapshot() == before
        assert traces(machine) == []


# at once


def test_the_lock_of_the_vf_is_the_original_s(
    cards: list[Pf], machine: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held by another, it is waited for, and nothing is done before; held during ADD, and DEL."""
    vf, pod = cards[0].vfs[2], machine.pod()
    lock = machine.state / f"sriov/pci/vf_lock/{vf.address}.lock"
    out = machine.root / "out"
    probe = f"flock --nonblock {lock} true; echo $? > {out}"
    conf = sriov(vf, ipam=ipam_script(machine, on_add=probe))
    lock.parent.mkdir(parents=True)
    before = vf.pf.snapshot()
    pauses: list[float] = []
    fd = -1

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) <= 3:
            assert traces(machine) == held
        if len(pauses) == 3:
            os.close(fd)

    for command in ("ADD", "DEL"):
        held = traces(machine)
        fd = os.open(lock, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        pauses.clear()
        with monkeypatch.context() as patch:
            patch.setattr(locks, "time", SimpleNamespace(sleep=pause, monotonic=time.monotonic))
            machine.call(command, conf, pod, "net1").ok()
        assert len(pauses) >= 3
    assert out.read_text() == "1\n"
    assert lock.stat().st_mode & 0o777 == 0o600
    assert vf.pf.snapshot() == before


def test_of_two_adds_at_once_one_gets_the_vf(cards: list[Pf], machine: Node) -> None:
    """The other waits for the first, which is slow, and learns then that the VF is taken."""
    vf, pods = cards[0].vfs[3], [machine.pod(), machine.pod()]
    begun, go = machine.root / "begun", machine.root / "go"
    slow = f"echo >> {begun}; until [ -e {go} ]; do sleep 0.1; done"
    conf = sriov(vf, vlan=100, ipam=ipam_script(machine, on_add=slow))
    before = vf.pf.snapshot()
    calls = [machine.start("ADD", conf, pod, "net1") for pod in pods]
    for each in calls:
        each.feed()
    wait_for("first ADD", begun.exists)
    wait_for("other ADD", lambda: any(sleeps(each.pid) for each in calls))
    assert begun.read_text() == "\n"
    go.touch()
    replies = [each.finish() for each in calls]
    winner = [reply.status for reply in replies].index(0)
    error = replies[1 - winner].error(11)
    assert "already allocated" in error["msg"]
    assert [inside(pod, vf) for pod in pods] == [
        ("net1" if pod is pods[winner] else "") for pod in pods
    ]
    machine.call("DEL", conf, pods[1 - winner], "net1").ok()
    assert inside(pods[winner], vf) == "net1"
    machine.call("DEL", conf, pods[winner], "net1").ok()
    assert vf.pf.snapshot() == before


def sleeps(pid: int) -> bool:
    """Whether the process is in a pause."""
    with open(f"/proc/{pid}/wchan") as file:
        return "nanosleep" in file.read()


def test_a_del_that_is_slow_does_not_undo_the_next_add(cards: list[Pf], machine: Node) -> None:
    """sriov-cni#219: its pod dies meanwhile, and another gets the VF."""
    vf, old, new = cards[0].vfs[4], machine.pod("old"), machine.pod("new")
    begun, go = machine.root / "begun", machine.root / "go"
    slow = f"touch {begun}; until [ -e {go} ]; do sleep 0.1; done"
    olds = sriov(vf, vlan=100, ipam=ipam_script(machine, on_del=slow))
    news = sriov(vf, vlan=1234)
    before = vf.pf.snapshot()
    machine.call("ADD", olds, old, "net1").ok()
    deleting = machine.start("DEL", olds, old, "net1")
    deleting.feed()
    wait_for("slow DEL", begun.exists)
    die(old, vf)
    machine.call("ADD", news, new, "net1").ok()
    go.touch()
    deleting.finish().ok()
    assert of_vf(vf)["vlan"] == 1234 and inside(new, vf) == "net1"
    assert allocation_of(machine, vf).read_text() == new.path
    machine.call("DEL", news, new, "net1").ok()
    assert vf.pf.snapshot() == before
