"""Linux bridges, their ports and the VLANs of a port."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NamedTuple

from cni.host import codecs, link
from cni.host.codecs import Message
from cni.host.rtnl import RTM_DELLINK, RTM_GETLINK, RTM_SETLINK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni.host.link import Link
    from cni.host.rtnl import Rtnl

_AF_BRIDGE = 7
_MASTER = 1  #: IFLA_BRIDGE_FLAGS: meant for the bridge, not the port's own driver
_PVID, _UNTAGGED, _RANGE_BEGIN, _RANGE_END = 0x2, 0x4, 0x8, 0x10
_RTEXT_FILTER_BRVLAN = 2


class Vlan(NamedTuple):
    """A VLAN of a bridge port; `native` is the PVID, sent untagged."""

    vid: int
    native: bool = False


def create(nl: Rtnl, name: str, *, mtu: int = 0, vlan_filtering: bool = False) -> None:
    """A new bridge; mtu 0 is the kernel's. Raises FileExistsError when the name is taken."""
    attributes = [("IFLA_MTU", mtu)] if mtu else []
    data = codecs.BRIDGE.encode([("IFLA_BR_VLAN_FILTERING", 1)]) if vlan_filtering else None
    link.create(nl, name, "bridge", *attributes, data=data)


def require(found: Link) -> Link:
    """The link, if it is a bridge; raises OSError EEXIST otherwise."""
    if found.kind != "bridge":
        error = OSError(errno.EEXIST, f'"{found.name}" already exists but is not a bridge')
        error.add_note(f'create bridge "{found.name}"')
        raise error
    return found


def filters_vlans(nl: Rtnl, bridge: Link) -> bool:
    """Whether the bridge keeps its VLANs apart."""
    message = Message(codecs.LINK)
    message["index"] = bridge.ifindex
    what = f'read VLAN filtering of "{bridge.name}"'
    found = nl.request(message, RTM_GETLINK, what=what)[0]["attrs"]
    data = found.get("IFLA_LINKINFO", {}).get("IFLA_INFO_DATA", b"")
    return bool(codecs.BRIDGE.decode(data).get("IFLA_BR_VLAN_FILTERING"))


def set_vlan_filtering(nl: Rtnl, bridge: Link, *, on: bool) -> None:
    data = codecs.BRIDGE.encode([("IFLA_BR_VLAN_FILTERING", int(on))])
    info = [("IFLA_INFO_KIND", "bridge"), ("IFLA_INFO_DATA", data)]
    what = f"set VLAN filtering {'on' if on else 'off'}"
    link.change(nl, bridge, ("IFLA_LINKINFO", info), what=what)


def set_port(nl: Rtnl, port: Link, *, hairpin: bool, isolated: bool) -> None:
    """Set the port's flags; without isolation the kernel need not know about it."""
    settings = [("IFLA_BRPORT_MODE", int(hairpin))]
    if isolated:
        settings.append(("IFLA_BRPORT_ISOLATED", 1))
    message = _port_message(port.ifindex, ("IFLA_PROTINFO", settings))
    what = f"set hairpin {'on' if hairpin else 'off'}"
    if isolated:
        what += " and isolation on"
    nl.request(message, RTM_SETLINK, what=f'{what} for bridge port "{port.name}"')


def set_vlans(nl: Rtnl, port: Link, vlans: Iterable[Vlan], *, keep: bool) -> None:
    """Make `vlans` the VLANs of the port; with `keep` the ones it has stay (the default VLAN 1)."""
    if not keep:
        for each in get_vlans(nl, port):
            _change(nl, port, RTM_DELLINK, each.vid, 0, "remove")
    for each in vlans:
        _change(nl, port, RTM_SETLINK, each.vid, _PVID | _UNTAGGED if each.native else 0, "add")


def get_vlans(nl: Rtnl, port: Link) -> list[Vlan]:
    """The VLANs of the port, in ascending order; none on a kernel without VLAN filtering."""
    message = _port_message(0, ("IFLA_EXT_MASK", _RTEXT_FILTER_BRVLAN))
    vlans: list[Vlan] = []
    for each in nl.dump(message, RTM_GETLINK, what=f'list the VLANs of "{port.name}"'):
        spec = each["attrs"].get("IFLA_AF_SPEC", b"") if each["index"] == port.ifindex else b""
        begin = 0
        for _, info in codecs.BRIDGE_VLANS.pairs(spec):
            if info["flags"] & _RANGE_BEGIN:
                begin = info["vid"]
                continue
            first = begin if info["flags"] & _RANGE_END else info["vid"]
            native = bool(info["flags"] & _PVID)
            vlans += [Vlan(vid, native) for vid in range(first, info["vid"] + 1)]
    return vlans


def _change(nl: Rtnl, port: Link, kind: int, vid: int, flags: int, verb: str) -> None:
    vlan = ("IFLA_BRIDGE_VLAN_INFO", {"vid": vid, "flags": flags})
    spec = codecs.BRIDGE_FLAGS.encode([("IFLA_BRIDGE_FLAGS", _MASTER)])
    spec += codecs.BRIDGE_VLANS.encode([vlan])
    nl.request(
        _port_message(port.ifindex, ("IFLA_AF_SPEC", spec)), kind,
        what=f'{verb} VLAN {vid} of bridge port "{port.name}"',
    )  # fmt: skip


def _port_message(index: int, *attributes: tuple[str, object]) -> Message:
    message = Message(codecs.LINK)
    message["family"] = _AF_BRIDGE
    message["index"] = index
    message["attrs"] = list(attributes)
    return message
