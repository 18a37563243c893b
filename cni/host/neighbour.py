"""Neighbour entries (ARP and NDP)."""

from __future__ import annotations

import _socket as socket
import errno
from typing import TYPE_CHECKING

from cni.host.codecs import NEIGHBOUR, Message
from cni.host.rtnl import RTM_DELNEIGH

if TYPE_CHECKING:
    from cni.host.link import Link
    from cni.host.rtnl import Rtnl


def forget(nl: Rtnl, link: Link, ip: str) -> None:
    """Drop what the link remembers of an address; nothing remembered is fine.

    An address given to a new pod has a new MAC, and the host would keep sending to the old one
    until the entry goes stale (containernetworking/plugins#756).
    """
    message = Message(NEIGHBOUR)
    message["family"] = socket.AF_INET6 if ":" in ip else socket.AF_INET
    message["ifindex"] = link.ifindex
    message["attrs"] = [("NDA_DST", ip)]
    try:
        nl.request(message, RTM_DELNEIGH, what=f'forget neighbour {ip} on "{link.name}"')
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise
