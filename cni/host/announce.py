"""Announce an interface's addresses: who knew another MAC address for one forgets it.

IPv4: an ARP announcement (RFC 5227 section 2.3), a broadcast request with the address as sender
and as target. IPv6: an unsolicited neighbour advertisement to all nodes (RFC 4861 section 7.2.6),
with the override flag, the target's link-layer address, and the hop limit without which receivers
drop it (section 7.1.2). Only neighbours that know the address take note.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import time
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
_ALL_NODES = "ff02::1"
_NEIGHBOUR_ADVERTISEMENT, _OVERRIDE, _TARGET_ADDRESS_OPTION = 136, 0x20000000, 2

_ARP = (socket.AF_PACKET, socket.SOCK_DGRAM, 0)  # protocol 0: receives nothing
_ICMP6 = (socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)


def announce(sandbox: Sandbox, ifname: str, ips: Iterable[str]) -> None:
    """Announce addresses (in CIDR notation) of an interface that is up within 200 ms.

    A courtesy: what cannot be sent is logged. Only a signal ends it early, as Interrupted.
    IPv6 addresses should be through duplicate address detection (`address.wait_dad`).
    """
    addresses = [ip.partition("/")[0] for ip in ips]
    try:
        link = _ready(sandbox.nl, ifname) if addresses else None
    except OSError as error:
        log.warning("addresses not announced", interface=ifname, reason=error)
        return
    if link is not None:
        _announce(sandbox, link, _ARP, [ip for ip in addresses if ":" not in ip])
        _announce(sandbox, link, _ICMP6, [ip for ip in addresses if ":" in ip])


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


def _announce(sandbox: Sandbox, link: Link, kind: tuple[int, int, int], ips: list[str]) -> None:
    """Announce addresses of one family."""
    if not ips:
        return
    try:
        with sandbox.entered():
            sock = socket.socket(*kind)  # stays there
        with sock:
            mac = _ethernet_address(sock, link)
            for ip in ips if mac else ():
                (_send_arp if kind == _ARP else _send_advertisement)(sock, link, mac, ip)
    except OSError as error:  # what stops one of a family stops all
        log.warning("addresses not announced", interface=link.name, ips=ips, reason=error)


def _ethernet_address(sock: socket.socket, link: Link) -> bytes:
    """The MAC address; empty when there is none that a neighbour could use (so with loopback).

    Not `link.mac`, which may be the beginning of a longer one (InfiniBand's).
    """
    answer = fcntl.ioctl(sock, _SIOCGIFHWADDR, struct.pack("16s24x", link.name.encode()))
    kind, mac = struct.unpack_from("=H6s", answer, 16)
    return mac if kind == _ARPHRD_ETHER and mac not in (bytes(6), _BROADCAST) else b""


def _send_arp(sock: socket.socket, link: Link, mac: bytes, ip: str) -> None:
    address = socket.inet_pton(socket.AF_INET, ip)
    head = struct.pack("!HHBBH", _ARPHRD_ETHER, _ETH_P_IP, len(mac), len(address), 1)  # a request
    message = head + mac + address + _BROADCAST + address
    sock.sendto(message, (link.name, _ETH_P_ARP, 0, 0, _BROADCAST))


def _send_advertisement(sock: socket.socket, link: Link, mac: bytes, ip: str) -> None:
    """The kernel fills in the checksum, and as source an address of this interface, link-local
    rather than global. A tentative one does not count: with no other, it says EADDRNOTAVAIL.
    """
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, link.ifindex)
    head = struct.pack("!BBHI", _NEIGHBOUR_ADVERTISEMENT, 0, 0, _OVERRIDE)
    option = struct.pack("!BB", _TARGET_ADDRESS_OPTION, 1) + mac  # length in units of 8 bytes
    message = head + socket.inet_pton(socket.AF_INET6, ip) + option
    sock.sendto(message, (_ALL_NODES, 0, 0, link.ifindex))
