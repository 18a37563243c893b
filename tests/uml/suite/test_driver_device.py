"""host-device with a device of a driver, which outlives the namespace that it was in.

The kernel gives it back to the machine's first namespace, under any name and a little later. So
the machine is the host of these tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.netns.confs import host_device, static, whereabouts
from tests.netns.faults import killed
from tests.netns.node import Node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.netns.confs import Conf
    from tests.netns.node import Pod

KERNELPATH = "/sys/devices/platform/uml-vector.0"
CONF = host_device(device="vec0", ipam=whereabouts("10.4.0.0/24"))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Node]:
    """The guest itself, its device with all that could be lost."""
    machine = Node(tmp_path)
    found = next(x["ifname"] for x in machine.ip("link") if x.get("parentdev") == "uml-vector.0")
    machine.ip("link", "set", found, "down")
    machine.ip("link", "set", found, "name", "vec0")
    machine.ip("link", "set", "vec0", "mtu", "1400", "alias", "rack 7", "up")
    if "altnames" not in machine.link("vec0"):
        machine.ip("link", "property", "add", "dev", "vec0", "altname", "enp1s0")
    yield machine
    for pod in machine.pods:
        if pod.fd >= 0:
            pod.destroy()


@pytest.mark.parametrize(
    "choice", [{"device": "vec0"}, {"kernelpath": KERNELPATH}, {"device": "enp1s0"}]
)
def test_there_and_back(machine: Node, choice: Conf) -> None:
    pod = machine.pod()
    before = machine.snapshot(pod)
    conf = host_device(ipam=static("10.4.0.5/24"), **choice)
    machine.call("ADD", conf, pod, "net1").ok()
    assert "vec0" not in machine.links()
    renamed(machine, pod)
    machine.call("DEL", conf, pod, "net1").ok()
    assert machine.snapshot(pod) == before


def untouched(machine: Node, pod: Pod) -> None:
    pass


def renamed(machine: Node, pod: Pod) -> None:
    pod.ip("link", "set", "net1", "down")
    pod.ip("link", "set", "net1", "name", "data0", "mtu", "1300")
    pod.ip("link", "set", "data0", "address", "02:00:00:00:00:66")


def without_our_mark(machine: Node, pod: Pod) -> None:
    pod.ip("link", "set", "net1", "alias", "of the pod")


def with_its_old_name(machine: Node, pod: Pod) -> None:
    pod.ip("link", "set", "net1", "down")
    pod.ip("link", "set", "net1", "name", "vec0")


@pytest.mark.parametrize("change", [untouched, renamed, without_our_mark, with_its_old_name])
@pytest.mark.parametrize("verb", ["DEL", "GC"])
def test_namespace_died(machine: Node, change: Callable[[Node, Pod], None], verb: str) -> None:
    """The original fails for ever, and the device keeps the pod's name and settings."""
    before = machine.snapshot()
    pod = machine.pod()
    machine.call("ADD", CONF, pod, "net1").ok()
    change(machine, pod)
    pod.destroy()
    if verb == "DEL":
        machine.call("DEL", CONF, pod, "net1").ok()
    else:
        conf = CONF | {"cniVersion": "1.1.0", "cni.dev/valid-attachments": []}
        machine.call("GC", conf).ok()
    assert machine.snapshot() == before


def test_namespace_died_and_the_runtime_forgot_its_path(machine: Node) -> None:
    before = machine.snapshot()
    pod = machine.pod()
    machine.call("ADD", CONF, pod, "net1").ok()
    pod.destroy()
    machine.call("DEL", CONF, pod, "net1", CNI_NETNS="").ok()
    assert machine.snapshot() == before


def test_host_has_a_link_of_the_pod_s_name(machine: Node) -> None:
    """The kernel returns ours as dev<n> then."""
    machine.ip("link", "add", "net1", "type", "dummy")
    try:
        before = machine.snapshot()
        pod = machine.pod()
        machine.call("ADD", CONF, pod, "net1").ok()
        pod.destroy()
        machine.call("DEL", CONF, pod, "net1").ok()
        assert machine.snapshot() == before
    finally:
        machine.ip("link", "delete", "net1")


def test_its_name_was_taken_meanwhile(machine: Node) -> None:
    before = machine.snapshot()
    pod = machine.pod()
    machine.call("ADD", CONF, pod, "net1").ok()
    machine.ip("link", "add", "vec0", "type", "dummy")
    pod.destroy()
    try:
        error = machine.call("DEL", CONF, pod, "net1").error(101)
        assert "vec0" in error["msg"]
    finally:
        machine.ip("link", "delete", "vec0")
    machine.call("DEL", CONF, pod, "net1").ok()
    assert machine.snapshot() == before


def test_back_and_given_another_purpose(machine: Node) -> None:
    """A DEL that comes late, with the record still there, must not undo the user's work."""
    pod = machine.pod()
    machine.call("ADD", CONF, pod, "net1").ok()
    record = next(machine.state.glob("host-device/*")).read_bytes()
    machine.call("DEL", CONF, pod, "net1").ok()
    (machine.state / "host-device" / f"{pod.name}-net1").write_bytes(record)
    machine.ip("link", "set", "vec0", "mtu", "1000", "alias", "storage")
    before = machine.link("vec0")
    machine.call("DEL", CONF, pod, "net1").ok()
    assert machine.link("vec0") == before


def test_add_killed_at_every_call_and_the_namespace_dies(machine: Node) -> None:
    before = machine.snapshot()
    for nth in range(1, 100):
        pod = machine.pod()
        with killed(nth, after=True) as fault:
            machine.call("ADD", CONF, pod, "net1").ok()
        pod.destroy()
        machine.call("DEL", CONF, pod, "net1").ok()
        assert machine.snapshot() == before, fault.hit
        if not fault.hit:
            return
    pytest.fail("the ADD never came to its end")


def test_vrf_cannot_be_moved(node: Node) -> None:
    node.ip("link", "add", "vrf0", "type", "vrf", "table", "100")
    node.ip("link", "set", "vrf0", "alias", "rack 7", "up")
    pod = node.pod()
    before = node.snapshot(pod)
    error = node.call("ADD", host_device(device="vrf0"), pod, "net1").error(101)
    assert '"vrf0"' in error["msg"]
    assert node.snapshot(pod) == before
