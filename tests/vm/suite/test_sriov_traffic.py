"""What attached pods send to each other, and what the card lets through.

The card is QEMU's igb: it tags and separates VLANs, and it answers an untrusted VF's wish for
another address as real ones do. It neither checks source addresses nor limits rates.
"""

from __future__ import annotations

import socket
import struct
import subprocess
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from cni.host.netns import Sandbox
from tests.netns import confs
from tests.vm.card import PATIENCE, ip, wait_for
from tests.vm.suite.attach import MAC, attached, sriov

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.netns.confs import Conf
    from tests.netns.node import Node, Pod
    from tests.vm.card import Pf

FIRST, SECOND = ("10.1.2.3/24", "fd00:1::3/64"), ("10.1.2.4/24", "fd00:1::4/64")
OWN_MAC = "02:00:00:00:99:99"
ETHERTYPE = 0x88B5  #: for experiments
BROADCAST = b"\xff" * 6
_SOL_PACKET, _PACKET_AUXDATA = 263, 8  # linux/if_packet.h
_AUXDATA = struct.Struct("=IIIHHHH")
_VLAN_VALID = 0x10


def wait_for_answers(pod: Pod, *held: str) -> None:
    for each in held:
        wait_for(f"{each} answers", partial(hears, pod, address(each)))


def address(cidr: str) -> str:
    return cidr.partition("/")[0]


def hears(pod: Pod, ip_address: str) -> bool:
    """Whether anything that has the address answers the pod."""
    argv = ["nsenter", f"--net={pod.path}", "ping", "-c1", "-W1", ip_address]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def can_change_its_address(pod: Pod) -> bool:
    try:
        pod.run("ip", "link", "set", "net1", "address", OWN_MAC)
    except AssertionError as refusal:
        assert "Cannot assign requested address" in str(refusal)
        return False
    return True


def frame(source: str, payload: bytes) -> bytes:
    mac = bytes.fromhex(source.replace(":", ""))
    return BROADCAST + mac + struct.pack("!H", ETHERTYPE) + payload.ljust(46, b"\0")


def send(pod: Pod, packet: bytes) -> None:
    with Sandbox(pod.path) as sandbox, sandbox.entered():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        with sock:
            sock.bind(("net1", 0))
            sock.send(packet)


@contextmanager
def listening(interface: str) -> Iterator[socket.socket]:
    """A socket with what comes to that interface of the machine, which is up, tags included."""
    # the emulated card drops the VLANs that nobody has told it; promiscuous, it does not
    ip("link", "set", interface, "up", "promisc", "on")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        sock.bind((interface, 3))  # ETH_P_ALL
        sock.settimeout(1)
        yield sock
    ip("link", "set", interface, "promisc", "off")


def receive(sock: socket.socket, is_meant: Callable[[bytes], bool]) -> tuple[int, bytes]:
    """The next packet that is meant, without its tag, and the tag: priority and VLAN."""
    while True:
        data, ancillary, _, _ = sock.recvmsg(2048, 256)
        tag = 0
        for level, kind, value in ancillary:  # the kernel takes a tag out of the packet
            if (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
                status, *_, tci, _ = _AUXDATA.unpack_from(value)
                tag = tci if status & _VLAN_VALID else 0
        if is_meant(data):
            return tag, data


def arrival(pod: Pod, sock: socket.socket, packet: bytes) -> int:
    """The tag that a packet of the pod has when it comes; sent until it does."""
    for _ in range(100):
        send(pod, packet)
        try:
            return receive(sock, packet.__eq__)[0]
        except TimeoutError:
            pass  # the VF has no carrier yet
    raise AssertionError("no packet came")


@contextmanager
def pair(
    machine: Node, card: Pf, first: Conf | None = None, second: Conf | None = None
) -> Iterator[tuple[Pod, Pod]]:
    """Two pods with addresses on two VFs of the card."""
    with ExitStack() as stack:
        pods = []
        for vf, held, keys in ((card.vfs[0], FIRST, first), (card.vfs[1], SECOND, second)):
            pods.append(machine.pod())
            conf = sriov(vf, ipam=confs.static(*held), **(keys or {}))
            stack.enter_context(attached(machine, conf, pods[-1]))
        yield pods[0], pods[1]


def test_two_pods_of_one_card_reach_each_other(cards: list[Pf], machine: Node) -> None:
    """One with an address from the PF, which igb's VFs take only when they start anew."""
    with pair(machine, cards[0], {"mac": MAC}, {}) as (one, other):
        wait_for_answers(one, *SECOND)
        wait_for_answers(other, *FIRST)


def test_a_vlan_separates(cards: list[Pf], machine: Node) -> None:
    with pair(machine, cards[0], {"vlan": 100}, {"vlan": 100}) as (one, other):
        wait_for_answers(one, *SECOND)
        # as it is without a VLAN
        ip("link", "set", "pf0", "vf", "1", "vlan", "0")
        assert not hears(one, address(SECOND[0]))
        assert not hears(other, address(FIRST[0]))


def test_what_leaves_the_card_has_vlan_and_priority(cards: list[Pf], machine: Node) -> None:
    card, vf, pod = cards[0], cards[0].vfs[2], machine.pod()
    with listening(card.wire) as wire:
        with attached(machine, sriov(vf, vlan=100, vlanQoS=3), pod):
            assert arrival(pod, wire, frame(vf.mac, b"one")) == 3 << 13 | 100
        with attached(machine, sriov(vf, vlan=0), pod):
            assert arrival(pod, wire, frame(vf.mac, b"two")) == 0


def test_a_forged_source_address_is_the_cards_concern(cards: list[Pf], machine: Node) -> None:
    """With spoofchk on a real card drops such packets. QEMU's shows the setting, and lets them
    pass: should this test fail one day, then it has learned to.
    """
    card, vf, pod = cards[0], cards[0].vfs[2], machine.pod()
    with listening(card.wire) as wire, attached(machine, sriov(vf, mac=MAC, spoofchk="on"), pod):
        assert vf.info["spoofchk"]
        assert arrival(pod, wire, frame(OWN_MAC, b"forged")) == 0


@pytest.mark.parametrize("keys", [{"mac": MAC}, {"mac": MAC, "trust": "on"}])
def test_an_address_that_the_pod_gives_itself(cards: list[Pf], machine: Node, keys: Conf) -> None:
    """The card refuses one to a VF whose address the PF has set, unless it is trusted."""
    vf, pod = cards[0].vfs[2], machine.pod()
    with attached(machine, sriov(vf, **keys), pod):
        assert can_change_its_address(pod) == ("trust" in keys)
        assert pod.link("net1")["address"] == (OWN_MAC if "trust" in keys else MAC)


def test_a_pods_own_address_leaves_the_vf_free(cards: list[Pf], machine: Node) -> None:
    """An address that is set by way of the PF binds the VF to it, and nothing shows that."""
    vf = cards[0].vfs[5]
    ip("link", "set", "pf0", "vf", "5", "mac", "00:00:00:00:00:00")  # free, whoever had it before
    for mac in (OWN_MAC, vf.mac):  # the kernel drops the wish for an address that is there
        ip("link", "set", vf.name, "address", mac)
    for _ in range(2):
        pod = machine.pod()
        with attached(machine, sriov(vf), pod):
            assert can_change_its_address(pod)
        assert machine.link(vf.name)["address"] == vf.mac


@pytest.mark.parametrize("which", [0, 1])
def test_neighbours_learn_where_an_address_has_gone(
    cards: list[Pf], machine: Node, which: int
) -> None:
    """The new pod is silent; its ADD announces what it was given."""
    card, moving = cards[0], FIRST[which]
    neighbour = machine.pod()
    conf = sriov(card.vfs[6], ipam=confs.static(SECOND[which]))
    with attached(machine, conf, neighbour):

        def knows() -> str:
            entry = neighbour.ip("neigh", "show", address(moving), "dev", "net1")
            return str(entry[0].get("lladdr")) if entry else ""

        with attached(machine, sriov(card.vfs[0], ipam=confs.static(moving)), machine.pod()):
            wait_for_answers(neighbour, moving)
            assert knows() == card.vfs[0].mac
        with attached(machine, sriov(card.vfs[1], ipam=confs.static(moving)), machine.pod()):
            wait_for(f"{moving} is known to have moved", lambda: knows() == card.vfs[1].mac)


def test_what_an_attachment_announces(cards: list[Pf], machine: Node) -> None:
    """Seen on the wire, with the VF's VLAN: each address, and that it is the new MAC address's.

    An IPv6 address is announced by the kernel, when it is known to be nobody else's.
    """
    card, vf, pod = cards[0], cards[0].vfs[3], machine.pod()
    conf = sriov(vf, vlan=100, mac=MAC, ipam=confs.static(*FIRST))
    own, v4 = bytes.fromhex(MAC.replace(":", "")), socket.inet_aton(address(FIRST[0]))
    v6 = socket.inet_pton(socket.AF_INET6, address(FIRST[1]))
    with listening(card.wire) as wire, attached(machine, conf, pod):
        wire.settimeout(PATIENCE)
        tag, arp = receive(wire, lambda frame: frame[12:14] == b"\x08\x06")
        assert (tag, arp[6:12]) == (100, own)
        assert (arp[20:22], arp[28:32], arp[38:42]) == (b"\0\1", v4, v4)
        # ICMPv6: a neighbour advertisement of that address; the link-local one has its own
        tag, na = receive(
            wire,
            lambda frame: frame[12:14] == b"\x86\xdd" and frame[54] == 136 and frame[62:78] == v6,
        )
        assert (tag, na[6:12], na[21]) == (100, own, 255)
        assert na[80:86] == own
