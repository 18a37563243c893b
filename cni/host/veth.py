"""veth pairs with one end in a sandbox."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from cni.host import link
from cni.host.codecs import VETH

if TYPE_CHECKING:
    from cni.host.link import Link
    from cni.host.netns import Sandbox
    from cni.host.rtnl import Rtnl


def create(
    nl: Rtnl, host_name: str, sandbox: Sandbox, peer_name: str, *, mtu: int = 0, mac: str = ""
) -> tuple[Link, Link]:
    """A pair: `host_name` here, `peer_name` in the sandbox; mtu 0 and mac "" are the kernel's.

    One request makes both ends in place, so that neither is ever seen under another name.
    Raises FileExistsError, naming the end whose name is taken.
    """
    other: list[tuple[str, Any]] = [("IFLA_IFNAME", peer_name), ("IFLA_NET_NS_FD", sandbox.fd)]
    host: list[tuple[str, Any]] = [("IFLA_TXQLEN", 0)]
    if mtu:
        other.append(("IFLA_MTU", mtu))
        host.append(("IFLA_MTU", mtu))
    if mac:
        other.append(("IFLA_ADDRESS", mac))
    try:
        link.create(nl, host_name, "veth", *host, data=peer(other))
    except FileExistsError as error:
        where = "in the container" if link.find(sandbox.nl, peer_name) else "on the host"
        name = peer_name if where == "in the container" else host_name
        taken = FileExistsError(errno.EEXIST, f'interface "{name}" already exists {where}')
        for note in getattr(error, "__notes__", []):
            taken.add_note(note)
        raise taken from None
    return link.get(nl, host_name), link.get(sandbox.nl, peer_name)


def peer(attributes: list[tuple[str, Any]]) -> bytes:
    """IFLA_INFO_DATA of a pair: what its other end is to be."""
    return VETH.encode([("VETH_INFO_PEER", attributes)])
