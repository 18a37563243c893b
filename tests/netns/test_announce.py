"""Announcements of addresses: what is on the wire, where it leaves, and what neighbours make of it.

A tap in the pod sees what leaves it before the call that sent it returns: nothing has to be waited
for where nothing should come. What arrives is seen by a tap on the host, a little later.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import os
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from cni import configure
from cni.core import errors, log, signals
from cni.core.types import IPConfig, Result
from cni.host import announce as announcing
from cni.host import link as links
from cni.host.announce import announce
from cni.host.netns import Sandbox
from tests.netns.tap import Tap, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.netns.node import Node, Pod
    from tests.netns.tap import Frame

MAC = "02:00:00:00:00:05"
OTHER_MAC = "02:00:00:00:00:06"
OLD_MAC = "02:00:00:00:00:99"
MAC_BYTES = bytes.fromhex(MAC.replace(":", ""))
IPV4 = ("10.9.0.5/24", "192.0.2.7/32")
IPV6 = ("fd00:9::5/64", "2001:db8::7/128")
_TUNSETIFF, _TUNSETLINK = 0x400454CA, 0x400454CD
_IFF_TUN, _IFF_TAP, _IFF_NO_PI = 1, 2, 0x1000
_ARPHRD_IEEE802154 = 804  # its addresses are longer, as InfiniBand's are, which tun cannot play


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


def neighbour(node: Node, ip: str) -> str:
    return str(node.ip("neigh", "show", ip.split("/")[0], "dev", "peer1")[0]["lladdr"])


def test_frames(world: World, warnings: list[dict[str, object]]) -> None:
    """One for each IPv4 address, in the order given; both ends see the same."""
    announce(world.sandbox, "net1", iter([IPV6[0], IPV4[0], IPV4[1], IPV6[1]]))
    sent = world.inside.sent()
    assert [each.data for each in sent] == [arp(ip) for ip in IPV4]
    received = world.outside.received(2)
    assert [each.data for each in received] == [each.data for each in sent]
    assert {each.ifname for each in received} == {"peer1"}
    assert warnings == []


def test_no_address(world: World, waits: Waits) -> None:
    """There is nothing to wait for."""
    announce(world.sandbox, "net1", [])
    carrier(world, "down")
    announce(world.sandbox, "net1", iter(()))
    announce(world.sandbox, "net1", IPV6)
    assert (waits.pauses, world.inside.sent()) == ([], [])


@pytest.mark.parametrize(("ifname", "mac"), [("net1", MAC), ("eth0", OTHER_MAC)])
def test_two_interfaces(world: World, ifname: str, mac: str) -> None:
    attach(world.node, world.pod, "eth0", "peer0", OTHER_MAC)
    announce(world.sandbox, ifname, IPV4[:1])
    (sent,) = world.inside.sent()
    assert (sent.ifname, sent.data) == (ifname, arp(IPV4[0], bytes.fromhex(mac.replace(":", ""))))


@pytest.mark.parametrize("ifname", ["net1", "eth0"])
def test_the_kernel_advertises_ipv6_by_the_right_interface(world: World, ifname: str) -> None:
    """The original's advertisements all leave by eth0, which has the default route."""
    attach(world.node, world.pod, "eth0", "peer0", OTHER_MAC, "fd00:8::5/64")
    world.pod.ip("-6", "route", "add", "default", "via", "fd00:8::1", "dev", "eth0")
    list(world.inside.frames())
    result = Result(ips=(IPConfig("2001:db8:1::9/64"),))
    configure.prepare(world.sandbox, ifname, result)
    configure.apply(world.sandbox, links.get(world.sandbox.nl, ifname), result)
    sent: list[Frame] = []
    target = packed("2001:db8:1::9")

    def look() -> list[Frame]:
        sent.extend(each for each in world.inside.sent() if each.data[62:78] == target)
        return sent

    wait_for(look, bool)
    assert {each.ifname for each in sent} == {ifname}


@pytest.mark.parametrize("state", ["stale", "reachable"])
def test_neighbours_learn(world: World, state: str) -> None:
    """Who held another MAC address for an address holds the new one."""
    world.node.ip("address", "add", "10.9.0.1/24", "dev", "peer1")
    address = IPV4[0].split("/")[0]
    world.node.ip("neigh", "replace", address, "lladdr", OLD_MAC, "dev", "peer1", "nud", state)
    assert neighbour(world.node, address) == OLD_MAC
    announce(world.sandbox, "net1", IPV4[:1])
    wait_for(lambda: neighbour(world.node, address), lambda held: bool(held == MAC))


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine, what is to be waited for comes in time."""
    monkeypatch.setattr(announcing, "_WAIT", 30.0)


@pytest.mark.usefixtures("patient")
def test_carrier_that_comes_later(world: World, waits: Waits) -> None:
    carrier(world, "down")
    timer = threading.Timer(0.08, world.node.ip, ("link", "set", "peer1", "up"))
    timer.start()
    announce(world.sandbox, "net1", IPV4[:1])
    timer.join()
    assert waits.pauses
    assert len(world.outside.received(1)) == 1
    assert [each.data for each in world.inside.sent()] == [arp(IPV4[0])]


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
    announce(world.sandbox, "net1", IPV4)
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
    announce(world.sandbox, "net1", IPV4)
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
    announce(world.sandbox, "net1", IPV4)
    assert len(waits.pauses) == (moment == "in the wait")
    assert world.inside.sent() == []


def test_loopback(world: World, waits: Waits, warnings: list[dict[str, object]]) -> None:
    world.pod.ip("link", "set", "lo", "up")
    announce(world.sandbox, "lo", ["127.0.0.1/8"])
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
        announce(world.sandbox, "odd0", ["10.8.0.5/24"])
        assert (world.inside.sent(), warnings) == ([], [])
    finally:
        os.close(fd)


@pytest.mark.parametrize("mac", [bytes(6), b"\xff" * 6])
def test_no_usable_mac(world: World, monkeypatch: pytest.MonkeyPatch, mac: bytes) -> None:
    """The drivers here refuse such a one; a VF whose card gave it none has it."""
    answer = struct.pack("=16sH6s16x", b"net1", 1, mac)
    monkeypatch.setattr(fcntl, "ioctl", lambda *_: answer)
    announce(world.sandbox, "net1", IPV4)
    assert world.inside.sent() == []


def test_sockets_are_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, warnings: list[dict[str, object]]
) -> None:
    """No right to raw sockets: not the pod's affair."""

    def refuse(*_: object) -> socket.socket:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(_socket, "socket", refuse)
    announce(world.sandbox, "net1", IPV4)
    assert [each["interface"] for each in warnings] == ["net1"]


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
