"""rtnetlink's messages as the kernel has them: those that we send, and of its answers what we read.

pyroute2 knows them all and takes 10 ms to be imported: numbers, formats and classes of values come
from it ahead of time (packaging/netlink.py). Here is what it does at run time, as far as we need
it, and what it does not say. Kernel: include/uapi/linux/{if_link,if_addr,rtnetlink,neighbour}.h.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from cni.host.attributes import (
    IP,
    MAC,
    RAW,
    TEXT,
    Kind,
    Table,
    fields,
    flagged,
    listed,
    nested,
    number,
)
from cni.host.messages import ATTRIBUTES, FIXED, NESTED, STATES


class Shape(NamedTuple):
    """A kind of message: its fixed part (a struct format and its members), its attributes."""

    form: str
    members: tuple[str, ...]
    table: Table


class Message(dict[str, Any]):
    """The members of the fixed part by name (absent: 0), and "attrs": pairs of name and value to
    be sent; of an answer a dict.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(attrs=[])
        self.shape = shape

    def encode(self) -> bytes:
        head = struct.pack(self.shape.form, *(self.get(name, 0) for name in self.shape.members))
        return head + self.shape.table.encode(self["attrs"])

    def decoded(self, data: bytes) -> Message:
        """A message of this kind from its bytes, without the netlink header."""
        made = Message(self.shape)
        made.update(zip(self.shape.members, struct.unpack_from(self.shape.form, data), strict=True))
        made["attrs"] = self.shape.table.decode(data[struct.calcsize(self.shape.form) :])
        return made


#: by pyroute2's names of their classes
_KINDS = {"asciiz": TEXT, "ipaddr": IP, "l2addr": MAC, "target": IP} | {
    name: number(form) if members == ("value",) else fields(form, *members)
    for name, (form, members) in FIXED.items()
}


def _table(name: str, **own: Kind) -> Table:
    """The attributes of a class; `own`: kinds of those that hold more than a value in a format."""
    attributes = {}
    for attribute, (code, value) in ATTRIBUTES[name].items():
        kind = own.get(attribute) or _KINDS[value]
        attributes[attribute] = (code, flagged(kind) if attribute in NESTED else kind)
    return Table(attributes)


def _decode_state(data: bytes) -> str:
    return STATES[data[0]] if data[0] < len(STATES) else STATES[0]


_VF_MAC, _VF_VLAN = _KINDS["vf_mac"], _KINDS["vf_vlan"]


def _encode_vf_mac(value: dict[str, Any]) -> bytes:
    return _VF_MAC.encode({**value, "mac": MAC.encode(value["mac"])})


def _decode_vf_mac(data: bytes) -> dict[str, Any]:
    value = _VF_MAC.decode(data)
    return {**value, "mac": MAC.decode(value["mac"])}


def _encode_vlan_info(value: dict[str, Any]) -> bytes:
    # pyroute2 leaves the two bytes of padding out, and kernels since 6.9 refuse it so
    return _VF_VLAN.encode(value) + struct.pack(">H2x", value["proto"])


def _decode_vlan_info(data: bytes) -> dict[str, Any]:
    return {**_VF_VLAN.decode(data), "proto": struct.unpack_from(">H", data, 12)[0]}


_VLAN_LIST = _table("vf_vlist", IFLA_VF_VLAN_INFO=Kind(_encode_vlan_info, _decode_vlan_info))
VF = _table(
    "vfinfo",
    IFLA_VF_MAC=Kind(_encode_vf_mac, _decode_vf_mac),
    IFLA_VF_VLAN_LIST=listed(_VLAN_LIST),
)

#: IFLA_PROTINFO of a bridge port, and IFLA_INFO_SLAVE_DATA
BRIDGE_PORT = _table("protinfo_bridge")
#: IFLA_INFO_DATA of a bridge
BRIDGE = _table("bridge_data")
_BRIDGE_SPEC = _table("af_spec_bridge")
#: IFLA_AF_SPEC of a bridge port (family AF_BRIDGE; with others it has another content)
BRIDGE_FLAGS = _BRIDGE_SPEC.only("IFLA_BRIDGE_FLAGS")
BRIDGE_VLANS = _BRIDGE_SPEC.only("IFLA_BRIDGE_VLAN_INFO")

LINK = Shape(
    *FIXED["ifinfmsg"],
    _table(
        "ifinfmsg",
        IFLA_AF_SPEC=RAW,
        IFLA_LINKINFO=nested(_table("ifinfo", IFLA_INFO_DATA=RAW, IFLA_INFO_SLAVE_DATA=RAW)),
        IFLA_OPERSTATE=Kind(RAW.encode, _decode_state),
        IFLA_PROP_LIST=listed(_table("proplist")),
        # pyroute2 leaves the flag to its caller
        IFLA_PROTINFO=flagged(nested(BRIDGE_PORT)),
        # decoded when one is looked at: a card may have 256
        IFLA_VFINFO_LIST=listed(_table("vflist", IFLA_VF_INFO=Kind(VF.encode, bytes))),
    ),
)


def _encode_peer(attributes: list[tuple[str, Any]]) -> bytes:
    message = Message(LINK)
    message["attrs"] = attributes
    return message.encode()


#: IFLA_INFO_DATA of a veth pair; what the peer is to be
VETH = _table("veth_data", VETH_INFO_PEER=Kind(_encode_peer, bytes))

ADDRESS = Shape(*FIXED["ifaddrmsg"], _table("ifaddrmsg"))

_HOP = Shape(*FIXED["nh"], _table("nh"))


def _decode_hops(data: bytes) -> list[tuple[int, str]]:
    """Of each hop the index of the link, and the gateway or an empty string."""
    size = struct.calcsize(_HOP.form)
    hops = []
    offset = 0
    while offset + size <= len(data):
        length = struct.unpack_from("=H", data, offset)[0]
        if length < size:
            break
        hop = Message(_HOP).decoded(data[offset : offset + length])
        hops.append((hop["oif"], hop["attrs"].get("RTA_GATEWAY", "")))
        offset += (length + 3) & ~3
    return hops


ROUTE = Shape(
    *FIXED["rtmsg"],
    _table(
        "rtmsg",
        RTA_METRICS=nested(_table("metrics")),
        RTA_MULTIPATH=Kind(RAW.encode, _decode_hops),
    ),
)

NEIGHBOUR = Shape(*FIXED["ndmsg"], _table("ndmsg"))
