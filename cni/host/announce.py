"""Announce an interface's IPv4 addresses: who knew another MAC address for one forgets it.

An ARP announcement (RFC 5227 section 2.3): a broadcast request with the address as sender and as
target. Only neighbours that know the address take note. IPv6 needs none of this: with ndisc_notify
(cni.configure.prepare) the kernel itself advertises an address once it is known to be nobody
else's. Earlier it must not be (RFC 4862 section 5.4): a switch or a card that reflects the
advertisement would make the kernel give the address up.
"""

from __future__ import annotations

import _socket as socket
import fcntl
import struct
import time
from contextlib import closing
from typing import TYPE_CHECKING

from cni.core import log, signals
from cni.host import link as links

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni.host.link import Link
    from cni.host.netns import Sandbox
    from cni.host.rtnl import Rtnl

_WAIT = 0.2  #: seconds
_FIRST_PAUSE, _GROWTH = 0.002, 1.5
_IFF_RUNNING = 0x40  # linux/if.h
_READY = links.IFF_UP | _IFF_RUNNING
_SIOCGIFHWADDR, _ARPHRD_ETHER = 0x8927, 1
_ETH_P_IP, _ETH_P_ARP = 0x0800, 0x0806
_BROADCAST = b"\xff" * 6


def announce(sandbox: Sandbox, ifname: str, ips: Iterable[str]) -> None:
    """Announce those of the addresses (in CIDR notation) that are IPv4, if the interface can send
    within 200 ms.

    A courtesy: what cannot be sent is logged. Only a signal ends it early, as Interrupted.
    """
    addresses = [ip.partition("/")[0] for ip in ips if ":" not in ip]
    if not addresses:
        return
    try:
        link = _ready(sandbox.nl, ifname)
        if link is not None:
            _announce(sandbox, link, addresses)
    except OSError as error:
        log.warning("addresses not announced", interface=ifname, reason=error)


def _ready(nl: Rtnl, ifname: str) -> Link | None:
    """The link once it can send; None when it cannot in time, or is gone."""
    deadline = time.monotonic() + _WAIT
    pause = _FIRST_PAUSE
    while True:
        link = links.find(nl, ifname)
        if link is None:
            return None
        # a carrier is not enough: until the kernel says "running" its queue may drop all unseen
        if link.flags & _READY == _READY:
            return link
        left = deadline - time.monotonic()
        if left <= 0:
            log.debug("addresses not announced: no carrier yet", interface=ifname)
            return None
        signals.sleep(min(pause, left))
        pause *= _GROWTH


def _announce(sandbox: Sandbox, link: Link, addresses: list[str]) -> None:
    with sandbox.entered():
        # stays there, and hears nothing
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    with closing(sock):
        mac = _ethernet_address(sock, link)
        for each in addresses if mac else ():
            _send(sock, link, mac, each)


def _ethernet_address(sock: socket.socket, link: Link) -> bytes:
    """The MAC address; empty when there is none that a neighbour could use (so with loopback).

    Not `link.mac`, which may be the beginning of a longer one (InfiniBand's).
    """
    answer = fcntl.ioctl(sock, _SIOCGIFHWADDR, struct.pack("16s24x", link.name.encode()))
    kind, mac = struct.unpack_from("=H6s", answer, 16)
    return mac if kind == _ARPHRD_ETHER and mac not in (bytes(6), _BROADCAST) else b""


def _send(sock: socket.socket, link: Link, mac: bytes, ip: str) -> None:
    address = socket.inet_pton(socket.AF_INET, ip)
    head = struct.pack("!HHBBH", _ARPHRD_ETHER, _ETH_P_IP, len(mac), len(address), 1)  # a request
    message = head + mac + address + _BROADCAST + address
    sock.sendto(message, (link.name, _ETH_P_ARP, 0, 0, _BROADCAST))
