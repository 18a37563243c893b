"""Links: find, create, change, move, delete. MTU in bytes, MAC addresses in lower case."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from cni.host.codecs import BRIDGE_PORT, LINK, Message
from cni.host.rtnl import (
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_EXCL,
    RTM_DELLINK,
    RTM_DELLINKPROP,
    RTM_GETLINK,
    RTM_NEWLINK,
    RTM_NEWLINKPROP,
    Rtnl,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

IFF_UP, IFF_PROMISC, IFF_LOWER_UP = 0x1, 0x100, 0x10000
_IFLA_EXT_MASK_SKIP_STATS = 8
_NLMSG_HDRLEN = 16  #: bytes
_IFINFOMSG_INDEX = struct.Struct("=4xi")  #: behind the family and the type of device
_IFNAME_MAX = 15  #: bytes; alternative names may be longer


class Link(NamedTuple):
    """A link as the kernel describes it."""

    ifindex: int
    name: str
    kind: str = ""  #: "veth", "bridge"; empty for a device of a driver
    mac: str = ""
    mtu: int = 0
    flags: int = 0
    master: int = 0  #: index of the bridge or bond it is a port of
    parent: int = 0  #: IFLA_LINK: the lower device, or the peer of a veth
    alias: str = ""
    altnames: tuple[str, ...] = ()
    operstate: str = ""
    promiscuity: int = 0
    parent_device: str = ""  #: PCI address of the device behind it (kernel 5.14)
    hairpin: bool = False  #: of a bridge port
    isolated: bool = False  #: of a bridge port

    @property
    def is_up(self) -> bool:
        return bool(self.flags & IFF_UP)

    @property
    def has_carrier(self) -> bool:
        return bool(self.flags & IFF_LOWER_UP)


def find(nl: Rtnl, name: str) -> Link | None:
    """The link of that name, None when there is none."""
    try:
        return get(nl, name)
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.ERANGE):  # no name can be as long
            return None
        raise


def get(nl: Rtnl, name: str) -> Link:
    """The link of that name, or alternative name; raises OSError ENODEV when there is none."""
    long = len(name.encode()) > _IFNAME_MAX
    return _get(nl, f'find link "{name}"', 0, ("IFLA_ALT_IFNAME" if long else "IFLA_IFNAME", name))


def get_index(nl: Rtnl, index: int) -> Link:
    return _get(nl, f"find link {index}", index)


def find_index(nl: Rtnl, index: int) -> Link | None:
    try:
        return get_index(nl, index)
    except OSError as error:
        if error.errno == errno.ENODEV:
            return None
        raise


def _get(nl: Rtnl, what: str, index: int, *attributes: tuple[str, Any]) -> Link:
    message = _message(index, ("IFLA_EXT_MASK", _IFLA_EXT_MASK_SKIP_STATS), *attributes)
    return _parse(nl.request(message, RTM_GETLINK, what=what)[0])


def list_links(nl: Rtnl) -> list[Link]:
    message = _message(0, ("IFLA_EXT_MASK", _IFLA_EXT_MASK_SKIP_STATS))
    return [_parse(each) for each in nl.dump(message, RTM_GETLINK, what="list links")]


def ports(nl: Rtnl, master: int) -> list[Link]:
    """The links enslaved to `master`."""
    found = nl.dump(_of_master(master), RTM_GETLINK, what=f"list the ports of link {master}")
    return [each for each in map(_parse, found) if each.master == master]


def port_indices(nl: Rtnl, master: int) -> set[int]:
    """The indices of those links; of all links on a kernel before 4.20, which does not select."""
    what = f"list the ports of link {master}"
    found = nl.dump_undecoded(_of_master(master), RTM_GETLINK, what=what)
    return {_IFINFOMSG_INDEX.unpack_from(data, _NLMSG_HDRLEN)[0] for data in found}


def _of_master(index: int) -> Message:
    return _message(0, ("IFLA_EXT_MASK", _IFLA_EXT_MASK_SKIP_STATS), ("IFLA_MASTER", index))


def create(
    nl: Rtnl, name: str, kind: str, *attributes: tuple[str, Any], data: bytes | None = None
) -> None:
    """Create a link; `data` is IFLA_INFO_DATA. Raises FileExistsError when the name is taken."""
    info: list[tuple[str, Any]] = [("IFLA_INFO_KIND", kind)]
    if data is not None:
        info.append(("IFLA_INFO_DATA", data))
    message = _message(0, ("IFLA_IFNAME", name), ("IFLA_LINKINFO", info), *attributes)
    nl.request(message, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, what=f'create {kind} "{name}"')


def delete(nl: Rtnl, index: int, name: str) -> None:
    """Delete the link; gone is fine. `name` is for the error."""
    try:
        nl.request(_message(index), RTM_DELLINK, what=f'delete link "{name}"')
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


def remove(nl: Rtnl, name: str) -> None:
    """Delete the link of that name; gone is fine."""
    found = find(nl, name)
    if found:
        delete(nl, found.ifindex, name)


def change(nl: Rtnl, link: Link, *attributes: tuple[str, Any], what: str) -> None:
    """Set attributes of a link in one request."""
    nl.request(_message(link.ifindex, *attributes), RTM_NEWLINK, what=f'{what} of "{link.name}"')


def set_flags(nl: Rtnl, link: Link, flags: int, mask: int, what: str) -> None:
    message = _message(link.ifindex)
    message["flags"], message["change"] = flags, mask
    nl.request(message, RTM_NEWLINK, what=f'{what} "{link.name}"')


def set_up(nl: Rtnl, link: Link) -> None:
    set_flags(nl, link, IFF_UP, IFF_UP, "bring up")


def set_down(nl: Rtnl, link: Link) -> None:
    set_flags(nl, link, 0, IFF_UP, "bring down")


def set_promiscuous(nl: Rtnl, link: Link) -> None:
    set_flags(nl, link, IFF_PROMISC, IFF_PROMISC, "set promiscuous mode of")


def set_mac(nl: Rtnl, link: Link, mac: str) -> None:
    change(nl, link, ("IFLA_ADDRESS", mac), what=f"set MAC address {mac}")


def set_mtu(nl: Rtnl, link: Link, mtu: int) -> None:
    change(nl, link, ("IFLA_MTU", mtu), what=f"set MTU {mtu}")


def enslave(nl: Rtnl, link: Link, master: Link, *, alias: str) -> None:
    """Make the link a port of the master, and say by its alias whose it is."""
    change(
        nl, link, ("IFLA_MASTER", master.ifindex), ("IFLA_IFALIAS", alias),
        what=f'set master "{master.name}"',
    )  # fmt: skip


def set_alias(nl: Rtnl, link: Link, alias: str) -> None:
    change(nl, link, ("IFLA_IFALIAS", alias), what=f'set alias "{alias}"')


def rename(nl: Rtnl, link: Link, name: str) -> None:
    change(nl, link, ("IFLA_IFNAME", name), what=f'set name "{name}"')


def move(nl: Rtnl, link: Link, netns_fd: int, name: str) -> None:
    """Move the link into the namespace under a new name, in one step that no udev sees.

    Raises FileExistsError when the name is taken there. The kernel may then already have moved
    the link under its old name: look for it on both sides. It arrives down.
    """
    change(
        nl, link, ("IFLA_NET_NS_FD", netns_fd), ("IFLA_IFNAME", name),
        what=f'move to another namespace as "{name}"',
    )  # fmt: skip


def add_altnames(nl: Rtnl, link: Link, names: Iterable[str]) -> None:
    """Give the link those alternative names that it has not."""
    missing = [name for name in names if name not in link.altnames]
    if missing:
        properties = [("IFLA_ALT_IFNAME", name) for name in missing]
        message = _message(link.ifindex, ("IFLA_PROP_LIST", properties))
        nl.request(
            message, RTM_NEWLINKPROP, NLM_F_CREATE | NLM_F_EXCL | NLM_F_APPEND,
            what=f'add alternative names {" ".join(missing)} to "{link.name}"',
        )  # fmt: skip


def drop_altnames(nl: Rtnl, link: Link, names: Iterable[str]) -> None:
    """Take those alternative names away from the link that it has."""
    held = [name for name in names if name in link.altnames]
    if held:
        properties = [("IFLA_ALT_IFNAME", name) for name in held]
        nl.request(
            _message(link.ifindex, ("IFLA_PROP_LIST", properties)), RTM_DELLINKPROP,
            what=f'drop alternative names {" ".join(held)} of "{link.name}"',
        )  # fmt: skip


def _message(index: int, *attributes: tuple[str, Any]) -> Message:
    message = Message(LINK)
    message["index"] = index
    message["attrs"] = list(attributes)
    return message


def _parse(message: Message) -> Link:
    attributes = message["attrs"]
    info = attributes.get("IFLA_LINKINFO", {})
    is_port = info.get("IFLA_INFO_SLAVE_KIND") == "bridge"
    port = BRIDGE_PORT.decode(info.get("IFLA_INFO_SLAVE_DATA", b"")) if is_port else {}
    return Link(
        ifindex=message["index"],
        name=attributes.get("IFLA_IFNAME", ""),
        kind=info.get("IFLA_INFO_KIND", ""),
        mac=attributes.get("IFLA_ADDRESS", ""),
        mtu=attributes.get("IFLA_MTU", 0),
        flags=message["flags"],
        master=attributes.get("IFLA_MASTER", 0),
        parent=attributes.get("IFLA_LINK", 0),
        alias=attributes.get("IFLA_IFALIAS", ""),
        altnames=tuple(name for _, name in attributes.get("IFLA_PROP_LIST", ())),
        operstate=attributes.get("IFLA_OPERSTATE", ""),
        promiscuity=attributes.get("IFLA_PROMISCUITY", 0),
        parent_device=attributes.get("IFLA_PARENT_DEV_NAME", ""),
        hairpin=bool(port.get("IFLA_BRPORT_MODE")),
        isolated=bool(port.get("IFLA_BRPORT_ISOLATED")),
    )
