"""A VF that is worth restoring, an attachment of it that changes all there is, and what is seen."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cni.host.link import IFF_PROMISC, IFF_UP
from cni.sriov.interface import IFF_ALLMULTI
from tests.vm.card import ip, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.netns.node import Node, Pod, Reply
    from tests.vm.card import Pf, Vf

MAC = "02:aa:00:00:00:01"
KERNEL, PROGRAM = "igbvf", "vfio-pci"


class Scene:
    """One VF between the host and pods."""

    def __init__(self, machine: Node, card: Pf, vf: Vf) -> None:
        self.machine = machine
        self.card = card
        self.vf = vf
        self.conf = rich(vf)
        self.before = self.traces()
        self.original: Any = None  #: what an ADD takes for the VF's own state

    @property
    def is_kernels(self) -> bool:
        return self.vf.driver == KERNEL

    def call(self, verb: str, pod: Pod | None, **keys: Any) -> Reply:
        return self.machine.call(verb, self.conf | keys, pod, "net1")

    def collect(self) -> Reply:
        """The GC of a runtime that knows of no attachment."""
        return self.call("GC", None, **{"cni.dev/valid-attachments": []})

    def destroy(self, pod: Pod) -> None:
        """The end of the pod; a VF that was in it is on the host again, somehow."""
        pod.destroy()
        if self.is_kernels:
            wait_for(f"{self.vf} on the host", lambda: self.vf.netdev)

    def traces(self) -> list[str]:
        """The card with its VFs, the records and allocations, the leases."""
        files = (f"file {each.name}" for each in self.machine._records())
        leases = (f"lease {each}" for each in self.machine.leases())
        return [*self.card.snapshot(), *sorted(files), *leases]

    def faults(self, when: str) -> list[str]:
        """What is not as it was before any ADD."""
        now = self.traces()
        lost = [f"{when}: lost: {line}" for line in self.before if line not in now]
        return lost + [f"{when}: left: {line}" for line in now if line not in self.before]

    def assert_restored(self, when: str) -> None:
        assert not (found := self.faults(when)), "\n".join(found)

    def snapshot_of(self, pod: Pod) -> Any:
        """What the record of its attachment takes for the VF's own state."""
        path = self.machine.state / "sriov" / f"{pod.name}-net1"
        record = json.loads(path.read_text())
        more = record["x"]
        flags = more["flags"] & (IFF_UP | IFF_PROMISC | IFF_ALLMULTI)
        return record["OrigVfState"], flags, more["alias"], more["altNames"]

    def assert_free(self) -> None:
        """Another pod gets the VF as if nothing had been, and nothing is left of it either."""
        pod = self.machine.pod("another")
        self.call("ADD", pod).ok()
        if self.original is None:
            self.original = self.snapshot_of(pod)
        assert self.snapshot_of(pod) == self.original
        self.call("DEL", pod).ok()
        self.assert_restored("DEL of another pod")


def rich(vf: Vf) -> dict[str, Any]:
    """All that this card can be told; it refuses link state and minimum rate."""
    return {
        "cniVersion": "1.1.0",
        "name": "rich",
        "type": "sriov",
        "deviceID": vf.address,
        "vlan": 100,
        "vlanQoS": 3,
        "mac": MAC,
        "trust": "on",
        "spoofchk": "off",
        "max_tx_rate": 100,
        "mtu": 1700,
        "ipam": {
            "type": "whereabouts",
            "range": "10.1.2.0/24",
            "gateway": "10.1.2.1",
            "routes": [{"dst": "192.0.2.0/24"}],
        },
    }


@contextmanager
def scene(machine: Node, card: Pf, driver: str) -> Iterator[Scene]:
    """A VF with a VLAN, a rate and, in the kernel's hands, an interface full of peculiarities."""
    vf = card.vfs[2]
    _told(vf, vlan="7", qos="1", rate="50")
    if driver == PROGRAM:
        vf.bind(PROGRAM)
    else:
        _link(vf, "mtu", "1600", "allmulticast", "on", "alias", "rack 7", "up")
        ip("link", "property", "add", "dev", vf.name, "altname", "nic-a")
    found = Scene(machine, card, vf)
    try:
        yield found
    finally:
        if vf.driver == PROGRAM:
            vf.bind(KERNEL)
        elif vf.netdev == vf.name:
            ip("link", "property", "del", "dev", vf.name, "altname", "nic-a")
            _link(vf, "mtu", "1500", "allmulticast", "off", "alias", "", "down")
        _told(vf, vlan="0", qos="0", rate="0")


def _told(vf: Vf, *, vlan: str, qos: str, rate: str) -> None:
    ip("link", "set", vf.pf.name, "vf", str(vf.index), "vlan", vlan, "qos", qos)
    ip("link", "set", vf.pf.name, "vf", str(vf.index), "max_tx_rate", rate)


def _link(vf: Vf, *how: str) -> None:
    ip("link", "set", "dev", vf.name, *how)
