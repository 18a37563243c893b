"""Addresses of a link, in CIDR notation ("10.1.2.3/24")."""

from __future__ import annotations

import _socket as socket
import errno
import ipaddress
import time
from typing import TYPE_CHECKING, NamedTuple

from cni.core import signals
from cni.host import link as links
from cni.host.codecs import ADDRESS, Message
from cni.host.rtnl import NLM_F_CREATE, NLM_F_EXCL, RTM_DELADDR, RTM_GETADDR, RTM_NEWADDR

if TYPE_CHECKING:
    from cni.host.link import Link
    from cni.host.rtnl import Rtnl

_SCOPE_GLOBAL = 0
_NODAD, _DADFAILED, _TENTATIVE = 0x02, 0x08, 0x40
_POLL = 0.02  #: seconds between two looks at duplicate address detection


class Address(NamedTuple):
    """An address on a link; `scope` 0 is global, 253 link, 254 host."""

    cidr: str
    scope: int = _SCOPE_GLOBAL
    flags: int = 0
    ifindex: int = 0

    @property
    def is_global(self) -> bool:
        return self.scope == _SCOPE_GLOBAL

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.cidr


def add(nl: Rtnl, link: Link, cidr: str, *, dad: bool = True) -> None:
    """Add the address; raises FileExistsError when the link has it.

    Without duplicate address detection an IPv6 address can be used at once.
    """
    message = _message(link, cidr)
    if not dad:
        message["flags"] = _NODAD
    nl.request(
        message, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL,
        what=f'add address {cidr} to "{link.name}"',
    )  # fmt: skip


def ensure(nl: Rtnl, link: Link, cidr: str, *, dad: bool = True) -> bool:
    """Add the address; whether it was not there before."""
    try:
        add(nl, link, cidr, dad=dad)
    except FileExistsError:
        return False
    return True


def remove(nl: Rtnl, link: Link, cidr: str) -> None:
    """Remove the address; gone is fine, and so is a link that is gone."""
    try:
        nl.request(
            _message(link, cidr), RTM_DELADDR, what=f'remove address {cidr} from "{link.name}"'
        )
    except OSError as error:
        if error.errno not in (errno.EADDRNOTAVAIL, errno.ENODEV):
            raise


def list_addresses(nl: Rtnl, link: Link) -> list[Address]:
    """All addresses of the link, both families."""
    found = _list(nl, link.ifindex, f'list addresses of "{link.name}"')
    return [each for each in found if each.ifindex == link.ifindex]


def list_all(nl: Rtnl) -> list[Address]:
    """All addresses of all links, both families."""
    return _list(nl, 0, "list addresses")


def _list(nl: Rtnl, ifindex: int, what: str) -> list[Address]:
    message = Message(ADDRESS)
    message["index"] = ifindex  # 0 is any; a kernel before 5.0 ignores it
    found = []
    for each in nl.dump(message, RTM_GETADDR, what=what):
        values = each["attrs"]
        ip = values.get("IFA_LOCAL") or values.get("IFA_ADDRESS")
        flags = values.get("IFA_FLAGS", each["flags"])
        found.append(Address(f"{ip}/{each['prefixlen']}", each["scope"], flags, each["index"]))
    return found


def wait_dad(nl: Rtnl, link: Link, seconds: float = 5) -> None:
    """Wait until no IPv6 address of the link is tentative; not without a carrier, which may come
    much later.

    Raises OSError EADDRINUSE when another host answered for one, ETIMEDOUT after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while True:
        addresses = [each for each in list_addresses(nl, link) if each.is_ipv6]
        for each in addresses:
            if each.flags & _DADFAILED:
                raise _noted(errno.EADDRINUSE, f"duplicate address {each.cidr}", link)
        if not any(each.flags & _TENTATIVE for each in addresses):
            return
        if time.monotonic() > deadline:
            if not links.get(nl, link.name).has_carrier:
                return
            raise _noted(errno.ETIMEDOUT, f"still tentative after {seconds:g} s", link)
        signals.sleep(_POLL)


def _noted(code: int, text: str, link: Link) -> OSError:
    error = OSError(code, text)
    error.add_note(f'wait for the IPv6 addresses of "{link.name}"')
    return error


def _message(link: Link, cidr: str) -> Message:
    address = ipaddress.ip_interface(cidr)
    message = Message(ADDRESS)
    message["family"] = socket.AF_INET if address.version == 4 else socket.AF_INET6
    message["prefixlen"] = address.network.prefixlen
    message["index"] = link.ifindex
    attributes = [("IFA_LOCAL", str(address.ip)), ("IFA_ADDRESS", str(address.ip))]
    if address.version == 4 and address.network.prefixlen < 31:
        attributes.append(("IFA_BROADCAST", str(address.network.broadcast_address)))
    message["attrs"] = attributes
    return message
