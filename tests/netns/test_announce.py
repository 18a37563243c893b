"""Announcements of addresses: what is on the wire, where it leaves, and what neighbours make of it.

A tap in the pod sees what leaves it before the call that sent it returns: nothing has to be waited
for where nothing should come. What arrives is seen by a tap on the host, a little later.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from cni.core import errors, log, signals
from cni.host import announce as announcing
from cni.host import link as links
from cni.host.announce import announce
from cni.host.netns import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.netns.node import Node, Pod

BOUND = 30  #: seconds: what is not seen by then does not come
MAC = "02:00:00:00:00:05"
OLD_MAC = "02:00:00:00:00:99"
MAC_BYTES = bytes.fromhex(MAC.replace(":", ""))
IPV4 = ("10.9.0.5/24", "192.0.2.7/32")
IPV6 = ("fd00:9::5/64", "2001:db8::7/128")
_ETH_P_ALL = 3
_TUNSETIFF, _TUNSETLINK = 0x400454CA, 0x400454CD
_IFF_TUN, _IFF_TAP, _IFF_NO_PI = 1, 2, 0x1000
_ARPHRD_IEEE802154 = 804  # its addresses are longer, as InfiniBand's are, which tun cannot play


class Frame(NamedTuple):
    """A frame that an interface of the tapped namespace received, or sent."""

    ifname: str
    data: bytes
    outgoing: bool

    @property
    def is_arp(self) -> bool:
        return self.data[12:14] == b"\x08\x06"

    @property
    def is_advertisement(self) -> bool:
        return self.data[12:14] == b"\x86\xdd" and self.data[20] == 58 and self.data[54] == 136


class Tap:
    """Sees the ARP packets and neighbour advertisements of a namespace; None is the process's."""

    def __init__(self, sandbox: Sandbox | None = None) -> None:
        if sandbox is None:
            self.socket = self._opened()
        else:
            with sandbox.entered():
                self.socket = self._opened()

    @staticmethod
    def _opened() -> socket.socket:
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        opened.setblocking(False)
        return opened

    def frames(self) -> Iterator[Frame]:
        """What has come since the last time."""
        while True:
            try:
                data, address = self.socket.recvfrom(2048)
            except BlockingIOError:
                return
            frame = Frame(address[0], data, address[2] == socket.PACKET_OUTGOING)
            if frame.is_arp or frame.is_advertisement:
                yield frame

    def sent(self) -> list[Frame]:
        return [each for each in self.frames() if each.outgoing]

    def received(self, count: int) -> list[Frame]:
        """Waits for so many."""
        found: list[Frame] = []

        def look() -> list[Frame]:
            found.extend(each for each in self.frames() if not each.outgoing)
            return found

        wait_for(look, lambda seen: len(seen) >= count)
        return found


class Waits:
    """What cni.core.signals.sleep was asked for; `then` is done in each."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self.then: Callable[[], object] = lambda: None

    def sleep(self, seconds: float) -> None:
        assert not signals._blocked
        self.pauses.append(seconds)
        self.then()
        time.sleep(seconds)


class World(NamedTuple):
    """A pod whose net1 is at the host's peer1."""

    node: Node
    pod: Pod
    sandbox: Sandbox
    inside: Tap
    outside: Tap


def wait_for(look: Callable[[], Any], right: Callable[[Any], bool]) -> None:
    deadline = time.monotonic() + BOUND
    while not right(last := look()):
        assert time.monotonic() < deadline, last
        time.sleep(0.01)


def attach(node: Node, pod: Pod, ifname: str, peer: str, mac: str, *ips: str) -> None:
    """A veth that is up; IPv6 addresses are usable at once, fe80:: among them."""
    node.ip(
        "link", "add", peer, "type", "veth",
        "peer", "name", ifname, "address", mac, "netns", pod.path,
    )  # fmt: skip
    pod.run("sh", "-c", f"echo 0 > /proc/sys/net/ipv6/conf/{ifname}/accept_dad")
    node.ip("link", "set", peer, "up")
    pod.ip("link", "set", ifname, "up")
    for ip in ips:
        pod.ip("address", "add", ip, "dev", ifname, *(["nodad"] if ":" in ip else []))
    wait_for(lambda: pod.link(ifname)["operstate"], lambda state: state == "UP")
    wait_for(
        lambda: pod.ip("-6", "address", "show", ifname),
        lambda shown: "fe80" in str(shown) and "tentative" not in str(shown),
    )


@pytest.fixture
def world(node: Node) -> Iterator[World]:
    pod = node.pod()
    attach(node, pod, "net1", "peer1", MAC, *IPV4, *IPV6)
    with Sandbox(pod.path) as sandbox:
        made = World(node, pod, sandbox, Tap(sandbox), Tap())
        with made.inside.socket, made.outside.socket:
            yield made


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    made = Waits()
    monkeypatch.setattr(signals, "sleep", made.sleep)
    return made


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    made: list[dict[str, object]] = []
    monkeypatch.setattr(log, "warning", lambda _, **fields: made.append(fields))
    return made


def packed(ip: str) -> bytes:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    return socket.inet_pton(family, ip.split("/")[0])


def arp(ip: str, mac: bytes = MAC_BYTES) -> bytes:
    """The whole frame."""
    head = bytes.fromhex("0806 0001 0800 06 04 0001")
    return b"\xff" * 6 + mac + head + mac + packed(ip) + b"\xff" * 6 + packed(ip)


def check_advertisement(frame: Frame, ip: str, mac: bytes = MAC_BYTES) -> None:
    ethernet, header, icmp = frame.data[:14], frame.data[14:54], frame.data[54:]
    assert ethernet == bytes.fromhex("333300000001") + mac + b"\x86\xdd"
    length, following, hops = struct.unpack_from("!HBB", header, 4)
    assert (length, following, hops) == (32, 58, 255)
    assert header[24:] == packed("ff02::1")
    assert header[8:10] == b"\xfe\x80"
    assert icmp[:2] == bytes([136, 0])
    assert icmp[4:] == bytes.fromhex("20000000") + packed(ip) + b"\x02\x01" + mac
    pseudo = header[8:] + struct.pack("!II", length, following)
    total = sum(struct.unpack(f"!{(len(pseudo) + len(icmp)) // 2}H", pseudo + icmp))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF


def neighbour(node: Node, ip: str) -> str:
    return str(node.ip("neigh", "show", ip.split("/")[0], "dev", "peer1")[0]["lladdr"])


def test_frames(world: World, warnings: list[dict[str, object]]) -> None:
    """One for each address, in the order given within its family; both ends see the same."""
    announce(world.sandbox, "net1", iter([IPV6[0], IPV4[0], IPV4[1], IPV6[1]]))
    sent = world.inside.sent()
    assert [each.data for each in sent[:2]] == [arp(ip) for ip in IPV4]
    assert len(sent) == 4
    for frame, ip in zip(sent[2:], IPV6, strict=True):
        check_advertisement(frame, ip)
    received = world.outside.received(4)
    assert sorted(each.data for each in received) == sorted(each.data for each in sent)
    assert {each.ifname for each in received} == {"peer1"}
    assert warnings == []


@pytest.mark.parametrize("ips", [IPV4[:1], IPV6[:1]])
def test_one_family(world: World, monkeypatch: pytest.MonkeyPatch, ips: tuple[str, ...]) -> None:
    """No socket is opened for the other: closing a packet socket takes the kernel 10 ms."""
    opened = []
    enter = world.sandbox.entered

    def entered() -> AbstractContextManager[None]:
        opened.append(1)
        return enter()

    monkeypatch.setattr(world.sandbox, "entered", entered)
    announce(world.sandbox, "net1", ips)
    assert (len(world.inside.sent()), len(opened)) == (1, 1)


def test_no_address(world: World, waits: Waits) -> None:
    """There is nothing to wait for."""
    announce(world.sandbox, "net1", [])
    carrier(world, "down")
    announce(world.sandbox, "net1", iter(()))
    assert (waits.pauses, world.inside.sent()) == ([], [])


@pytest.mark.parametrize(("ifname", "mac"), [("net1", MAC), ("eth0", "02:00:00:00:00:06")])
def test_two_interfaces(world: World, ifname: str, mac: str) -> None:
    """The original's advertisements all leave by eth0, which has the default route."""
    attach(world.node, world.pod, "eth0", "peer0", "02:00:00:00:00:06", "fd00:8::5/64")
    world.pod.ip("-6", "route", "add", "default", "via", "fd00:8::1", "dev", "eth0")
    own = bytes.fromhex(mac.replace(":", ""))
    list(world.inside.frames())
    announce(world.sandbox, ifname, [*IPV4[:1], *IPV6[:1]])
    sent = world.inside.sent()
    assert {each.ifname for each in sent} == {ifname}
    assert sent[0].data == arp(IPV4[0], own)
    check_advertisement(sent[1], IPV6[0], own)
    assert len(sent) == 2


@pytest.mark.parametrize("state", ["stale", "reachable"])
def test_neighbours_learn(world: World, state: str) -> None:
    """Who held another MAC address for an address holds the new one."""
    world.node.ip("address", "add", "10.9.0.1/24", "dev", "peer1")
    world.node.ip("address", "add", "fd00:9::1/64", "dev", "peer1", "nodad")
    ips = (IPV4[0], IPV6[0])
    for ip in ips:
        held = (ip.split("/")[0], "lladdr", OLD_MAC, "dev", "peer1", "nud", state)
        world.node.ip("neigh", "replace", *held)
    assert [neighbour(world.node, ip) for ip in ips] == [OLD_MAC, OLD_MAC]
    announce(world.sandbox, "net1", ips)
    wait_for(lambda: [neighbour(world.node, ip) for ip in ips], lambda held: held == [MAC, MAC])


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine, what is to be waited for comes in time."""
    monkeypatch.setattr(announcing, "_WAIT", float(BOUND))


@pytest.mark.usefixtures("patient")
def test_carrier_that_comes_later(world: World, waits: Waits) -> None:
    carrier(world, "down")
    timer = threading.Timer(0.08, world.node.ip, ("link", "set", "peer1", "up"))
    timer.start()
    announce(world.sandbox, "net1", [*IPV4[:1], *IPV6[:1]])
    timer.join()
    assert waits.pauses
    assert len(world.outside.received(2)) == 2
    sent = world.inside.sent()
    assert [each.is_arp for each in sent] == [True, False]
    assert sent[0].data == arp(IPV4[0])


@pytest.mark.usefixtures("patient")
def test_interface_that_comes_up_later(world: World, waits: Waits) -> None:
    world.pod.ip("link", "set", "net1", "down")
    waits.then = lambda: len(waits.pauses) == 3 and world.pod.ip("link", "set", "net1", "up")
    announce(world.sandbox, "net1", IPV4)
    assert waits.pauses[:3] == pytest.approx([0.002, 0.003, 0.0045])
    assert [each.data for each in world.inside.sent()] == [arp(ip) for ip in IPV4]


@pytest.mark.usefixtures("patient")
def test_carrier_that_the_kernel_has_not_acted_upon(world: World, waits: Waits) -> None:
    """A link with a carrier, and addresses, but not running: its frames would go, and must not."""
    dormant(world)

    def settle() -> None:
        assert world.inside.sent() == []
        if len(waits.pauses) == 2:
            world.pod.ip("link", "set", "net1", "state", "up")

    waits.then = settle
    announce(world.sandbox, "net1", [*IPV4[:1], *IPV6[:1]])
    assert len(waits.pauses) >= 2
    assert len(world.inside.sent()) == 2


@pytest.mark.parametrize("state", ["no carrier", "down", "dormant"])
def test_interface_that_stays_down(
    world: World, waits: Waits, warnings: list[dict[str, object]], state: str
) -> None:
    if state == "no carrier":
        carrier(world, "down")
    elif state == "down":
        world.pod.ip("link", "set", "net1", "down")
    else:
        dormant(world)
    began = time.monotonic()
    announce(world.sandbox, "net1", [*IPV4, *IPV6])
    assert time.monotonic() - began >= 0.2
    assert waits.pauses[0] == 0.002
    assert sum(waits.pauses) <= 0.2
    assert world.inside.sent() == []
    assert warnings == []


def test_signal_ends_the_wait(world: World, waits: Waits) -> None:
    carrier(world, "down")

    def interrupt() -> None:
        raise errors.Interrupted("SIGTERM")

    waits.then = interrupt
    with pytest.raises(errors.Interrupted):
        announce(world.sandbox, "net1", IPV4)
    assert len(waits.pauses) == 1


@pytest.mark.parametrize("moment", ["before", "in the wait", "before the first frame"])
def test_interface_that_goes(
    world: World, waits: Waits, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def remove() -> None:
        world.pod.ip("link", "delete", "net1")

    def find_and_remove(*arguments: Any) -> links.Link | None:
        found = links.get(*arguments)
        remove()
        return found

    if moment == "before":
        remove()
    elif moment == "in the wait":
        carrier(world, "down")
        waits.then = remove
    else:
        monkeypatch.setattr(links, "find", find_and_remove)
    announce(world.sandbox, "net1", [*IPV4, *IPV6])
    assert len(waits.pauses) == (moment == "in the wait")
    assert world.inside.sent() == []


def test_loopback(world: World, waits: Waits, warnings: list[dict[str, object]]) -> None:
    world.pod.ip("link", "set", "lo", "up")
    announce(world.sandbox, "lo", ["127.0.0.1/8", "::1/128"])
    assert (waits.pauses, world.inside.sent(), warnings) == ([], [], [])


@pytest.mark.skipif(not os.path.exists("/dev/net/tun"), reason="needs the tun driver")
@pytest.mark.parametrize(("mode", "kind"), [(_IFF_TUN, 0), (_IFF_TAP, _ARPHRD_IEEE802154)])
def test_no_ethernet(world: World, warnings: list[dict[str, object]], mode: int, kind: int) -> None:
    """A tunnel without any address, and a card with one of 8 bytes."""
    with world.sandbox.entered():
        fd = os.open("/dev/net/tun", os.O_RDWR)
        try:
            fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", b"odd0", mode | _IFF_NO_PI))
            if kind:
                fcntl.ioctl(fd, _TUNSETLINK, kind)
        except OSError:
            os.close(fd)
            raise
    try:
        world.pod.ip("link", "set", "odd0", "up")
        world.pod.ip("address", "add", "10.8.0.5/24", "dev", "odd0")
        wait_for(lambda: links.get(world.sandbox.nl, "odd0").flags, lambda flags: flags & 0x40)
        announce(world.sandbox, "odd0", ["10.8.0.5/24", *IPV6])
        assert (world.inside.sent(), warnings) == ([], [])
    finally:
        os.close(fd)


@pytest.mark.parametrize("mac", [bytes(6), b"\xff" * 6])
def test_no_usable_mac(world: World, monkeypatch: pytest.MonkeyPatch, mac: bytes) -> None:
    """The drivers here refuse such a one; a VF whose card gave it none has it."""
    answer = struct.pack("=16sH6s16x", b"net1", 1, mac)
    monkeypatch.setattr(fcntl, "ioctl", lambda *_: answer)
    announce(world.sandbox, "net1", [*IPV4, *IPV6])
    assert world.inside.sent() == []


@pytest.mark.parametrize("reason", ["tentative", "IPv6 is off"])
def test_no_ipv6_source(world: World, warnings: list[dict[str, object]], reason: str) -> None:
    """Without an address to send from there is no advertisement; IPv4 does not suffer."""
    pod = world.pod
    if reason == "tentative":
        # a detection that lasts
        pod.run("sh", "-c", "cd /proc/sys/net/ipv6/conf/net1; echo 9999 > dad_transmits")
        pod.run("sh", "-c", "cd /proc/sys/net/ipv6/conf/net1; echo 1 > accept_dad")
        pod.ip("-6", "address", "flush", "dev", "net1")
        pod.ip("address", "add", IPV6[0], "dev", "net1")
    else:
        pod.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/net1/disable_ipv6")
    announce(world.sandbox, "net1", [IPV6[0], IPV4[0]])
    assert [each.data for each in world.inside.sent()] == [arp(IPV4[0])]
    assert [x["reason"].errno for x in warnings] == [errno.EADDRNOTAVAIL]  # type: ignore[attr-defined]


def test_tentative_link_local(world: World, warnings: list[dict[str, object]]) -> None:
    """Another address of the interface is the source then."""
    pod = world.pod
    pod.run("sh", "-c", "cd /proc/sys/net/ipv6/conf/net1; echo 9999 > dad_transmits")
    pod.run("sh", "-c", "cd /proc/sys/net/ipv6/conf/net1; echo 1 > accept_dad")
    pod.ip("-6", "address", "flush", "dev", "net1", "scope", "link")
    pod.ip("address", "add", "fe80::5/64", "dev", "net1")
    announce(world.sandbox, "net1", IPV6[:1])
    (sent,) = world.inside.sent()
    assert sent.data[22:38] in [packed(ip) for ip in IPV6]
    assert warnings == []


def test_sockets_are_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, warnings: list[dict[str, object]]
) -> None:
    """No right to raw sockets, or no IPv6 in the kernel: not the pod's affair."""

    def refuse(*_: object) -> socket.socket:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", refuse)
    announce(world.sandbox, "net1", [*IPV4, *IPV6])
    assert [each["interface"] for each in warnings] == ["net1", "net1"]


def test_kernel_refuses_the_look(world: World, warnings: list[dict[str, object]]) -> None:
    world.sandbox.nl.close()
    announce(world.sandbox, "net1", IPV4)
    assert [each["interface"] for each in warnings] == ["net1"]


def carrier(world: World, state: str) -> None:
    world.node.ip("link", "set", "peer1", state)
    wait_for(
        lambda: world.pod.link("net1")["operstate"], lambda now: (now == "UP") == (state == "up")
    )
    list(world.inside.frames())


def dormant(world: World) -> None:
    """The link has a carrier; a supplicant, say, has not yet let it run."""
    carrier(world, "down")
    world.pod.ip("link", "set", "net1", "mode", "dormant")
    world.node.ip("link", "set", "peer1", "up")
    wait_for(lambda: world.pod.link("net1")["operstate"], lambda now: bool(now == "DORMANT"))
    assert links.get(world.sandbox.nl, "net1").has_carrier
