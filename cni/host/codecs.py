"""rtnetlink's messages as the kernel has them: those that we send, and of its answers what we read.

Kernel: include/uapi/linux/{if_link,if_addr,rtnetlink,neighbour}.h. A test holds each of them
against pyroute2, which knows them all and takes 10 ms to be imported.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from cni.host.attributes import (
    IP,
    MAC,
    RAW,
    TEXT,
    U8,
    U16,
    U32,
    Kind,
    Table,
    fields,
    flagged,
    listed,
    nested,
)


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


_STATES = ("UNKNOWN", "NOTPRESENT", "DOWN", "LOWERLAYERDOWN", "TESTING", "DORMANT", "UP")


def _decode_state(data: bytes) -> str:
    return _STATES[data[0]] if data[0] < len(_STATES) else _STATES[0]


def _encode_vf_mac(value: dict[str, Any]) -> bytes:
    return struct.pack("=I32s", value["vf"], MAC.encode(value["mac"]))


def _decode_vf_mac(data: bytes) -> dict[str, Any]:
    return {"vf": struct.unpack_from("=I", data)[0], "mac": MAC.decode(data[4:])}


def _encode_vf_vlan(value: dict[str, Any]) -> bytes:
    # kernels since 6.9 refuse it without the two bytes of padding at the end
    return struct.pack("=III", *(value[name] for name in ("vf", "vlan", "qos"))) + struct.pack(
        ">H2x", value["proto"]
    )


def _decode_vf_vlan(data: bytes) -> dict[str, Any]:
    vf, vlan, qos = struct.unpack_from("=III", data)
    return {"vf": vf, "vlan": vlan, "qos": qos, "proto": struct.unpack_from(">H", data, 12)[0]}


VF = Table(
    {
        "IFLA_VF_MAC": (1, Kind(_encode_vf_mac, _decode_vf_mac)),
        "IFLA_VF_VLAN": (2, fields("=III", "vf", "vlan", "qos")),
        "IFLA_VF_SPOOFCHK": (4, fields("=II", "vf", "spoofchk")),
        "IFLA_VF_LINK_STATE": (5, fields("=II", "vf", "link_state")),
        "IFLA_VF_RATE": (6, fields("=III", "vf", "min_tx_rate", "max_tx_rate")),
        "IFLA_VF_TRUST": (9, fields("=II", "vf", "trust")),
        "IFLA_VF_VLAN_LIST": (
            12,
            listed(Table({"IFLA_VF_VLAN_INFO": (1, Kind(_encode_vf_vlan, _decode_vf_vlan))})),
        ),
    }
)

#: IFLA_PROTINFO of a bridge port, and IFLA_INFO_SLAVE_DATA
BRIDGE_PORT = Table({"IFLA_BRPORT_MODE": (4, U8), "IFLA_BRPORT_ISOLATED": (33, U8)})
#: IFLA_INFO_DATA of a bridge
BRIDGE = Table({"IFLA_BR_VLAN_FILTERING": (7, U8)})

_ALTNAMES = Table({"IFLA_ALT_IFNAME": (53, TEXT)})
_INFO = Table(
    {
        "IFLA_INFO_KIND": (1, TEXT),
        "IFLA_INFO_DATA": (2, RAW),
        "IFLA_INFO_SLAVE_KIND": (4, TEXT),
        "IFLA_INFO_SLAVE_DATA": (5, RAW),
    }
)
#: IFLA_AF_SPEC of a bridge port (family AF_BRIDGE; with others it has another content)
BRIDGE_FLAGS = Table({"IFLA_BRIDGE_FLAGS": (0, U16)})
BRIDGE_VLANS = Table({"IFLA_BRIDGE_VLAN_INFO": (2, fields("=HH", "flags", "vid"))})
LINK = Shape(
    "=BxHiII",
    ("family", "ifi_type", "index", "flags", "change"),
    Table(
        {
            "IFLA_ADDRESS": (1, MAC),
            "IFLA_IFNAME": (3, TEXT),
            "IFLA_MTU": (4, U32),
            "IFLA_LINK": (5, U32),
            "IFLA_MASTER": (10, U32),
            "IFLA_PROTINFO": (12, flagged(nested(BRIDGE_PORT))),
            "IFLA_TXQLEN": (13, U32),
            "IFLA_OPERSTATE": (16, Kind(RAW.encode, _decode_state)),
            "IFLA_LINKINFO": (18, nested(_INFO)),
            "IFLA_IFALIAS": (20, TEXT),
            "IFLA_VFINFO_LIST": (22, listed(Table({"IFLA_VF_INFO": (1, Kind(VF.encode, bytes))}))),
            "IFLA_AF_SPEC": (26, RAW),
            "IFLA_NET_NS_FD": (28, U32),
            "IFLA_EXT_MASK": (29, U32),
            "IFLA_PROMISCUITY": (30, U32),
            "IFLA_PROP_LIST": (52, flagged(listed(_ALTNAMES))),
            "IFLA_ALT_IFNAME": (53, TEXT),
            "IFLA_PARENT_DEV_NAME": (56, TEXT),
        }
    ),
)


def _encode_peer(attributes: list[tuple[str, Any]]) -> bytes:
    message = Message(LINK)
    message["attrs"] = attributes
    return message.encode()


#: IFLA_INFO_DATA of a veth pair; what the peer is to be
VETH = Table({"VETH_INFO_PEER": (1, Kind(_encode_peer, bytes))})

ADDRESS = Shape(
    "=BBBBI",
    ("family", "prefixlen", "flags", "scope", "index"),
    Table(
        {
            "IFA_ADDRESS": (1, IP),
            "IFA_LOCAL": (2, IP),
            "IFA_BROADCAST": (4, IP),
            "IFA_FLAGS": (8, U32),
        }
    ),
)

_GATEWAY = {"RTA_GATEWAY": (5, IP)}
_HOP = Table(_GATEWAY)


def _decode_hops(data: bytes) -> list[tuple[int, str]]:
    """Of each hop the index of the link, and the gateway or an empty string."""
    hops = []
    offset = 0
    while offset + 8 <= len(data):
        length, oif = struct.unpack_from("=H2xi", data, offset)
        if length < 8:
            break
        found = _HOP.decode(data[offset + 8 : offset + length])
        hops.append((oif, found.get("RTA_GATEWAY", "")))
        offset += (length + 3) & ~3
    return hops


ROUTE = Shape(
    "=BBBBBBBBI",
    ("family", "dst_len", "src_len", "tos", "table", "proto", "scope", "type", "flags"),
    Table(
        {
            "RTA_DST": (1, IP),
            "RTA_OIF": (4, U32),
            **_GATEWAY,
            "RTA_PRIORITY": (6, U32),
            "RTA_PREFSRC": (7, IP),
            "RTA_METRICS": (8, nested(Table({"RTAX_MTU": (2, U32), "RTAX_ADVMSS": (8, U32)}))),
            "RTA_MULTIPATH": (9, Kind(RAW.encode, _decode_hops)),
            "RTA_TABLE": (15, U32),
        }
    ),
)

NEIGHBOUR = Shape(
    "=B3xiHBB", ("family", "ifindex", "state", "flags", "ndm_type"), Table({"NDA_DST": (1, IP)})
)
