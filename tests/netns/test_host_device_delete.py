"""host-device DEL and GC: whatever is gone already; beside the original; when steps fail."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.netns import confs
from tests.netns.faults import failing, killed
from tests.netns.test_host_device import device

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.netns.confs import Conf
    from tests.netns.faults import Fault
    from tests.netns.node import Node, Pod

CONF = confs.host_device(
    device="hd0", ipam=confs.whereabouts("10.1.2.0/24", range_start="10.1.2.10")
)
MOST = 150


def marked_device(node: Node) -> None:
    """One with all that could be lost."""
    device(node)
    node.ip("link", "set", "hd0", "alias", "the user's words", "mtu", "1400")
    node.ip("link", "property", "add", "dev", "hd0", "altname", "enp1s0f0", "altname", "eth0")


@pytest.fixture
def pod(node: Node) -> Pod:
    marked_device(node)
    return node.pod()


def test_delete_twice_and_without_add(node: Node, pod: Pod) -> None:
    """The original's second DEL fails, for ever."""
    before = node.snapshot(pod)
    node.call("DEL", CONF, pod).ok()
    assert node.snapshot(pod) == before
    node.call("ADD", CONF, pod).ok()
    for _ in range(3):
        node.call("DEL", CONF, pod).ok()
        assert node.snapshot(pod) == before


def namespace_empty(node: Node, pod: Pod, tmp_path: Path) -> str:
    """The runtime forgot the path; the record did not."""
    return ""


def namespace_unmounted(node: Node, pod: Pod, tmp_path: Path) -> str:
    plain = tmp_path / "plain"
    plain.touch()
    return str(plain)


def renamed(node: Node, pod: Pod, tmp_path: Path) -> str:
    pod.ip("link", "set", "eth0", "down")
    pod.ip("link", "set", "eth0", "name", "data0")
    return pod.path


def configured_anew(node: Node, pod: Pod, tmp_path: Path) -> str:
    pod.ip("link", "set", "eth0", "address", "02:00:00:00:0d:66", "mtu", "1300")
    pod.ip("address", "add", "192.0.2.1/24", "dev", "eth0")
    return pod.path


@pytest.mark.parametrize("happens", [namespace_empty, renamed, configured_anew])
def test_device_comes_back_after(
    node: Node, pod: Pod, happens: Callable[[Node, Pod, Path], str], tmp_path: Path
) -> None:
    before = node.snapshot(pod)
    node.call("ADD", CONF, pod).ok()
    environ = node.environ("DEL", pod) | {"CNI_NETNS": happens(node, pod, tmp_path)}
    node.raw("host-device", environ, confs.encoded(CONF)).ok()
    assert node.snapshot(pod) == before
    node.raw("host-device", environ, confs.encoded(CONF)).ok()


def died(node: Node, pod: Pod, tmp_path: Path) -> str:
    """A virtual device dies with the namespace."""
    pod.destroy()
    return "/nonexistent"


def deleted(node: Node, pod: Pod, tmp_path: Path) -> str:
    pod.ip("link", "delete", "eth0")
    return pod.path


@pytest.mark.parametrize("happens", [died, deleted])
def test_delete_when_the_device_is_gone(
    node: Node, pod: Pod, happens: Callable[[Node, Pod, Path], str], tmp_path: Path
) -> None:
    """The address is released all the same: the original keeps it when the namespace is gone."""
    node.call("ADD", CONF, pod).ok()
    environ = node.environ("DEL", pod) | {"CNI_NETNS": happens(node, pod, tmp_path)}
    for _ in range(2):
        node.raw("host-device", environ, confs.encoded(CONF)).ok()
    assert node.leases() == []
    assert not list(node.state.glob("host-device/*"))


def test_delete_needs_no_configuration_that_is_right(node: Node, pod: Pod) -> None:
    """The original looks for the PCI device first, and fails when it is unplugged."""
    before = node.snapshot(pod)
    for later in (
        {"device": "", "pciBusID": "0000:ff:1f.7"},
        {"device": "", "runtimeConfig": {"deviceID": "0000:ff:1f.7"}},
        {"device": "other"},
        {"device": ""},
    ):
        node.call("ADD", CONF, pod).ok()
        node.call("DEL", CONF | later, pod).ok()
        assert node.snapshot(pod) == before


@pytest.mark.parametrize(
    "content", [None, b"", b"{", b"[]", b'{"version":1}', b'{"version":1,"mtu":"x"}']
)
def test_delete_without_a_record_that_can_be_read(node: Node, content: bytes | None) -> None:
    """What the alias tells is enough for the way back."""
    device(node)
    pod = node.pod()
    before = node.snapshot(pod)
    node.call("ADD", CONF, pod).ok()
    if content is None:
        shutil.rmtree(node.state)
    else:
        (record,) = node.state.glob("host-device/*")
        record.write_bytes(content)
    node.call("DEL", CONF, pod).ok()
    assert "eth0" not in pod.links()
    node.ip("link", "set", "hd0", "up")  # the alias does not tell that
    assert node.snapshot(pod) == before


def test_delete_leaves_an_interface_with_words_for_an_alias(node: Node) -> None:
    """An ADD refused for a taken name is followed by a DEL: that must not take its owner."""
    pod = node.pod()
    pod.ip("link", "add", "eth0", "alias", "uplink of the pod", "type", "veth", "peer", "name", "x")
    before = node.snapshot(pod)
    node.call("DEL", CONF, pod).ok()
    assert node.snapshot(pod) == before


def test_delete_does_not_touch_a_device_that_is_back(node: Node, pod: Pod) -> None:
    """A DEL that comes late finds the device with a new purpose."""
    node.call("ADD", CONF, pod).ok()
    record = next(node.state.glob("host-device/*")).read_bytes()
    node.call("DEL", CONF, pod).ok()
    (node.state / "host-device" / f"{pod.name}-eth0").write_bytes(record)
    node.ip("link", "set", "hd0", "address", "02:00:00:00:0d:55", "mtu", "1200", "alias", "new")
    before = [line for line in node.snapshot(pod) if not line.startswith("file ")]
    node.call("DEL", CONF, pod).ok()
    assert node.snapshot(pod) == before


def test_delete_does_not_touch_a_stranger_with_the_name_for_an_alias(node: Node, pod: Pod) -> None:
    node.call("ADD", CONF, pod).ok()
    node.ip("link", "add", "stranger", "type", "veth", "peer", "name", "strangerpeer")
    node.ip("link", "set", "stranger", "alias", "hd0")
    before = node.link("stranger")
    environ = node.environ("DEL", pod)
    pod.destroy()
    node.raw("host-device", environ, confs.encoded(CONF)).ok()
    after = node.link("stranger")
    assert (after["ifname"], after["address"]) == ("stranger", before["address"])


def test_next_pod_takes_the_device_of_one_that_was_never_deleted(node: Node, pod: Pod) -> None:
    """Its record is stale then: a late DEL or GC for it must not take the device away."""
    node.call("ADD", CONF, pod).ok()
    record = next(node.state.glob("host-device/*")).read_bytes()
    node.call("DEL", CONF, pod).ok()
    (node.state / "host-device" / f"{pod.name}-eth0").write_bytes(record)
    second = node.pod()
    node.call("ADD", CONF, second).ok()
    before = node.snapshot(pod, second)
    node.call("DEL", CONF, pod).ok()
    assert node.snapshot(pod, second) == before


def test_container_with_a_name_longer_than_a_file_s(node: Node, pod: Pod) -> None:
    pod.name = "c" * 300
    before = node.snapshot(pod)
    node.call("ADD", CONF, pod).ok()
    node.call("DEL", CONF, pod).ok()
    assert node.snapshot(pod) == before


def test_attachments_whose_records_have_one_file_name(node: Node, pod: Pod) -> None:
    """ "a" with "b-c", and "a-b" with "c": neither DEL may take the other's device."""
    pod.name = "a-b"
    node.call("ADD", CONF, pod, "c").ok()
    before = node.snapshot(pod)
    stranger = node.pod()
    stranger.name = "a"
    node.call("DEL", CONF, stranger, "b-c").ok()
    assert node.snapshot(pod) == before


# GC


def gc(*valid: tuple[str, str], **keys: object) -> Conf:
    entries = [{"containerID": cid, "ifname": ifname} for cid, ifname in valid]
    return CONF | {"cniVersion": "1.1.0", "cni.dev/valid-attachments": entries} | keys


def test_gc_returns_devices_of_dead_attachments(node: Node) -> None:
    names = ("hd0", "hd1", "hd2")
    for number, name in enumerate(names):
        device(node, name, f"02:00:00:00:0d:0{number}")
    gone, kept, other = (node.pod() for _ in names)
    before_gone = node.snapshot(gone)
    node.call("ADD", CONF | {"device": "hd1"}, kept).ok()
    node.call("ADD", CONF | {"device": "hd2", "name": "other-net"}, other).ok()
    before = node.snapshot(gone, kept, other)
    node.call("ADD", CONF, gone).ok()
    assert node.snapshot(gone) != before_gone
    node.call("GC", gc((kept.name, "eth0"))).ok()
    assert node.snapshot(gone, kept, other) == before
    node.call("GC", gc((kept.name, "eth0"))).ok()


def test_gc_when_the_namespace_is_gone(node: Node, pod: Pod) -> None:
    node.call("ADD", CONF, pod).ok()
    pod.destroy()
    node.call("GC", gc()).ok()
    assert node.leases() == []
    assert not list(node.state.glob("host-device/*"))


def test_gc_does_not_enter_another_namespace_at_the_recorded_path(node: Node, pod: Pod) -> None:
    """Paths come back: /proc/<pid>/ns/net, or /run/netns/<name>."""
    node.call("ADD", CONF, pod).ok()
    record = next(node.state.glob("host-device/*"))
    other = node.pod()
    other.ip("link", "add", "eth0", "type", "veth", "peer", "name", "x")
    other.ip("link", "set", "eth0", "alias", "hd0")
    record.write_text(record.read_text().replace(pod.path, other.path))
    before = other.link("eth0")["address"]
    node.call("GC", gc()).ok()
    assert other.link("eth0")["address"] == before


def test_gc_without_a_list_takes_nothing(node: Node, pod: Pod) -> None:
    node.call("ADD", CONF, pod).ok()
    before = node.snapshot(pod)
    node.call("GC", CONF | {"cniVersion": "1.1.0"}).ok()
    node.call("GC", gc((pod.name, "eth0"))).ok()
    assert node.snapshot(pod) == before


# beside the original


@pytest.mark.parametrize("ours_adds", [False, True], ids=["original-adds", "we-add"])
def test_either_returns_what_the_other_took(node: Node, ours_adds: bool) -> None:
    device(node)
    node.ip("link", "set", "hd0", "down")
    pod = node.pod()
    before = node.snapshot(pod)
    conf = confs.host_device(device="hd0", ipam=confs.static("10.1.2.3/24"))
    add, delete = (node.call, node.foreign) if ours_adds else (node.foreign, node.call)
    conf["prevResult"] = add("ADD", conf, pod, "net1").ok()
    delete("CHECK", conf, pod, "net1").ok()
    delete("DEL", conf, pod, "net1").ok()
    node.call("DEL", conf, pod, "net1").ok()  # drops our record, where the original did the work
    assert node.snapshot(pod) == before


# every step may fail


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_add_failing_at_every_call(node: Node, pod: Pod, after: bool) -> None:
    before = node.snapshot(pod)
    for nth in range(1, MOST):
        with failing(nth, after=after) as fault:
            reply = node.call("ADD", CONF, pod)
        if reply.status == 0:
            node.call("DEL", CONF, pod).ok()
        assert node.snapshot(pod) == before, fault.hit
        if not fault.hit:
            reply.ok()
            assert nth > 10
            return
    pytest.fail("the ADD never came to its end")


@pytest.mark.parametrize("verb", ["DEL", "GC"])
def test_add_killed_at_every_call(node: Node, pod: Pod, verb: str) -> None:
    before = node.snapshot(pod)
    for nth in range(1, MOST):
        with killed(nth, after=True) as fault:
            node.call("ADD", CONF, pod).ok()
        node.call(verb, gc(), pod if verb == "DEL" else None).ok()
        assert node.snapshot(pod) == before, fault.hit
        if not fault.hit:
            return
    pytest.fail("the ADD never came to its end")


@pytest.mark.parametrize("end", [failing, killed], ids=["failing", "killed"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_delete_that_fails_is_finished_by_the_next(
    node: Node, pod: Pod, end: Callable[..., AbstractContextManager[Fault]], after: bool
) -> None:
    before = node.snapshot(pod)
    for nth in range(1, MOST):
        node.call("ADD", CONF, pod).ok()
        with end(nth, after=after) as fault:
            node.call("DEL", CONF, pod)
        node.call("DEL", CONF, pod).ok()
        assert node.snapshot(pod) == before, fault.hit
        if not fault.hit:
            return
    pytest.fail("the DEL never came to its end")
