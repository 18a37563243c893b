"""host-device: devices that come back late, records of other networks, ADDs at the same time."""

from __future__ import annotations

import json
import os
import select
from typing import TYPE_CHECKING, Any

import pytest

from cni import device_return, host_device
from cni.core import signals
from cni.host import link, pci
from tests.netns import confs
from tests.netns.test_host_device import device

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cni.core.types import Request
    from cni.device_record import Record
    from tests.netns.node import Node, Pod, Process, Reply

ADDRESS = "0000:00:09.0"
CONF = confs.host_device(device="hd0", version="1.1.0")
NAMES = ("hd0", "net1", "dev7")


class Card:
    """A driver's device, played by one end of a veth: without a kind, at a PCI address."""

    def __init__(self, node: Node, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.node = node
        self.pci = root / "pci"
        self.net = root / "net"
        self.parent = ADDRESS  #: what the kernel says
        for directory in (self.pci / ADDRESS, self.net):
            directory.mkdir(parents=True)
        self.bind("ixgbe")
        patch.setattr(pci, "PCI", str(self.pci))
        patch.setattr(pci, "NET", str(self.net))
        patch.setattr(device_return, "_RETURN_WAIT", 0.2)
        parse = link._parse

        def as_of_driver(message: Any) -> link.Link:
            found = parse(message)
            if found.name not in NAMES:
                return found
            return found._replace(kind="", parent_device=self.parent)

        patch.setattr(link, "_parse", as_of_driver)
        device(node)
        node.ip("link", "set", "hd0", "mtu", "1400", "alias", "rack7")

    def bind(self, driver: str) -> None:
        target = self.pci / ADDRESS / "driver"
        target.unlink(missing_ok=True)
        if driver:
            target.symlink_to(f"/sys/bus/pci/drivers/{driver}")

    def unplug(self) -> None:
        self.bind("")
        (self.pci / ADDRESS).rmdir()

    def as_old_kernel(self) -> None:
        """Before 5.14: the address is in sysfs alone."""
        self.parent = ""
        for name in NAMES:
            (self.net / name).mkdir()
            (self.net / name / "device").symlink_to(self.pci / ADDRESS)

    def return_as(self, pod: Pod, name: str) -> None:
        """What the kernel does when the namespace dies."""
        pod.ip("link", "set", "net1", "down")
        pod.ip("link", "set", "net1", "netns", str(os.getpid()), "name", name)


@pytest.fixture
def card(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Card:
    return Card(node, tmp_path, monkeypatch)


def records(node: Node) -> list[str]:
    directory = node.state / "host-device"
    return sorted(each.name for each in directory.iterdir()) if directory.exists() else []


def forget_path(node: Node, pod: Pod) -> None:
    """Nobody can enter the namespace any more, which lives, or is slow to die."""
    record = node.state / "host-device" / f"{pod.name}-net1"
    fields = json.loads(record.read_text())
    record.write_text(json.dumps(fields | {"netns": "/proc/999999/ns/net"}))


def delete(node: Node, pod: Pod) -> Reply:
    environ = node.environ("DEL", pod, "net1") | {"CNI_NETNS": ""}
    return node.raw("host-device", environ, confs.encoded(CONF))


def collect(node: Node, pod: Pod) -> Reply:
    return node.call("GC", CONF | {"cni.dev/valid-attachments": []})


@pytest.mark.parametrize("old_kernel", [False, True])
@pytest.mark.parametrize("name", ["net1", "dev7", "hd0"])
@pytest.mark.parametrize("finish", [delete, collect])
def test_device_that_comes_back_late(
    node: Node, card: Card, old_kernel: bool, name: str, finish: Callable[[Node, Pod], Reply]
) -> None:
    """DEL says that it is not done, so that the runtime's next one, or GC, can restore it."""
    if old_kernel:
        card.as_old_kernel()
    pod = node.pod()
    before = node.snapshot()
    node.call("ADD", CONF, pod, "net1").ok()
    forget_path(node, pod)
    error = delete(node, pod).error(11)
    assert error["msg"] == 'device "hd0" is not back from the container yet'
    assert records(node) == [f"{pod.name}-net1"]

    card.return_as(pod, name)
    finish(node, pod).ok()
    assert records(node) == []
    assert sorted(_settled(node)) == sorted(_settled(node, before))


def _settled(node: Node, lines: list[str] | None = None) -> list[str]:
    """The links: what our driver's device is not in sight of, its peer, changes with it."""
    return [x for x in (lines or node.snapshot()) if " hd0 " in x]


def test_device_is_waited_for_without_an_address(
    node: Node, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One on another bus, of which an old kernel tells nothing."""
    card.parent = ""
    pod = node.pod()
    node.call("ADD", CONF, pod, "net1").ok()
    forget_path(node, pod)
    sleep = signals.sleep

    def late(seconds: float) -> None:
        monkeypatch.setattr(signals, "sleep", sleep)
        card.return_as(pod, "dev7")

    monkeypatch.setattr(signals, "sleep", late)
    delete(node, pod).ok()
    assert node.link("hd0")["ifalias"] == "rack7"


@pytest.mark.parametrize("fate", ["unplugged", "unbound", "vfio-pci"])
def test_device_that_will_not_come_back(node: Node, card: Card, fate: str) -> None:
    pod = node.pod()
    node.call("ADD", CONF, pod, "net1").ok()
    pod.ip("link", "delete", "net1")
    if fate == "unplugged":
        card.unplug()
    else:
        card.bind("" if fate == "unbound" else fate)
    delete(node, pod).ok()
    assert records(node) == []


def test_device_that_is_back_under_a_name_of_the_user_s(node: Node, card: Card) -> None:
    """Without a mark of ours, but at its address: there is nothing to wait for."""
    pod = node.pod()
    node.call("ADD", CONF, pod, "net1").ok()
    forget_path(node, pod)
    pod.ip("link", "set", "net1", "alias", "other", "address", "02:00:00:00:0d:77")
    card.return_as(pod, "dev7")
    (card.pci / ADDRESS / "net" / "dev7").mkdir(parents=True)
    delete(node, pod).ok()
    assert records(node) == []
    assert "dev7" in node.links()


def test_device_that_another_pod_got_meanwhile(
    node: Node, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ADD was faster than the DEL that waits for it: there is nothing more to do."""
    first, second = node.pod(), node.pod()
    node.call("ADD", CONF, first, "net1").ok()
    forget_path(node, first)
    sleep = signals.sleep
    taken: list[Reply] = []

    def reassigned(seconds: float) -> None:
        monkeypatch.setattr(signals, "sleep", sleep)
        card.return_as(first, "hd0")
        taken.append(node.call("ADD", CONF, second, "net1"))

    monkeypatch.setattr(signals, "sleep", reassigned)
    delete(node, first).ok()
    assert [each.status for each in taken] == [0]
    assert records(node) == [f"{second.name}-net1"]
    assert second.link("net1")["ifalias"] == "hd0"


def test_device_that_another_pod_got_under_its_name_in_the_first(node: Node, card: Card) -> None:
    """It came back as net1, and was taken again before it could be restored."""
    first, second = node.pod(), node.pod()
    node.call("ADD", CONF, first, "net1").ok()
    forget_path(node, first)
    card.return_as(first, "net1")
    node.call("ADD", CONF | {"device": "net1"}, second, "net1").ok()
    delete(node, first).ok()
    assert records(node) == [f"{second.name}-net1"]


@pytest.mark.parametrize("old_kernel", [False, True])
def test_failed_add_does_not_wait(node: Node, card: Card, old_kernel: bool) -> None:
    if old_kernel:
        card.as_old_kernel()
    pod = node.pod()
    before = node.snapshot(pod)
    node.call("ADD", CONF | {"ipam": {"type": "nosuch"}}, pod, "net1").error(7)
    assert _settled(node) == _settled(node, before)
    assert records(node) == []


def test_delete_of_a_network_that_was_refused_the_name(node: Node) -> None:
    """The runtime sends DEL after an ADD that failed; the interface is another network's."""
    device(node)
    device(node, "hd1", "02:00:00:00:0d:02")
    pod = node.pod()
    before = node.snapshot(pod)
    mine, other = CONF | {"name": "a"}, CONF | {"name": "b", "device": "hd1"}
    node.call("ADD", mine, pod, "net1").ok()
    with_device = node.snapshot(pod)
    node.call("ADD", other, pod, "net1").error(4)
    node.call("DEL", other, pod, "net1").ok()
    assert node.snapshot(pod) == with_device
    node.call("DEL", mine, pod, "net1").ok()
    assert node.snapshot(pod) == before


def test_add_of_a_device_that_another_add_is_taking(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who loses must not touch the winner's record."""
    device(node)
    node.ip("link", "set", "hd0", "mtu", "1400", "alias", "rack7")
    first, second = node.pod(), node.pod()
    before = node.snapshot(first, second)
    describe = host_device.describe
    other: list[Process] = []

    def slow(req: Request, *args: Any) -> Record:
        found = describe(req, *args)
        other.append(waiting_add(node, second))
        return found

    monkeypatch.setattr(host_device, "describe", slow)
    node.call("ADD", CONF, first, "net1").ok()
    other[0].finish().error(7)
    assert records(node) == [f"{first.name}-net1"]
    for pod in (second, first):
        node.call("DEL", CONF, pod, "net1").ok()
    assert node.snapshot(first, second) == before


def waiting_add(node: Node, pod: Pod) -> Process:
    process = node.start("ADD", CONF, pod, "net1")
    process.feed()
    ended = os.pidfd_open(process.pid)
    try:
        assert not select.select([ended], [], [], 1.5)[0], "it did not wait"
    finally:
        os.close(ended)
    return process


def test_add_of_a_device_that_a_delete_is_restoring(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not take what the pod has made of the device for the device's own."""
    device(node)
    node.ip("link", "set", "hd0", "mtu", "1400", "alias", "rack7")
    first, second = node.pod(), node.pod()
    before = node.snapshot(first, second)
    node.call("ADD", CONF, first, "net1").ok()
    first.ip("link", "set", "net1", "mtu", "1300")
    restore = device_return.restore
    other: list[Process] = []

    def slow(*args: Any) -> None:
        other.append(waiting_add(node, second))
        restore(*args)

    monkeypatch.setattr(device_return, "restore", slow)
    node.call("DEL", CONF, first, "net1").ok()
    monkeypatch.setattr(device_return, "restore", restore)
    other[0].finish().ok()
    node.call("DEL", CONF, second, "net1").ok()
    assert node.snapshot(first, second) == before


def test_many_adds_of_one_device(node: Node) -> None:
    device(node)
    before = node.snapshot()
    for _ in range(3):
        pods = [node.pod() for _ in range(4)]
        processes = [node.start("ADD", CONF, pod, "net1") for pod in pods]
        for each in processes:
            each.feed()
        replies = [each.finish() for each in processes]
        winners = [pod for pod, each in zip(pods, replies, strict=True) if each.status == 0]
        assert len(winners) == 1, replies
        assert records(node) == [f"{winners[0].name}-net1"]
        for pod in pods:
            node.call("DEL", CONF, pod, "net1").ok()
        assert node.snapshot() == before
