"""Our rtnetlink messages beside pyroute2's: the same bytes out, the same values in."""

from __future__ import annotations

import struct
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg, state_by_code
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from cni.host import codecs, veth
from cni.host.attributes import RAW, TEXT, Table, number
from cni.host.codecs import ADDRESS, LINK, NEIGHBOUR, ROUTE, Message, Shape

NESTED = 0x8000
HEADER = 16  #: bytes
CLASSES = {id(LINK): ifinfmsg, id(ADDRESS): ifaddrmsg, id(ROUTE): rtmsg, id(NEIGHBOUR): ndmsg}

NAME = ("IFLA_IFNAME", "eth0")
MAC = ("IFLA_ADDRESS", "02:00:5e:10:00:01")
MTU = ("IFLA_MTU", 9000)
VF_MAC = {"vf": 7, "mac": "02:00:5e:10:00:01"}
VF_VLAN = {"vf": 7, "vlan": 100, "qos": 3}
VF_QINQ = {**VF_VLAN, "proto": 0x88A8}


def others(shape: Shape, members: dict[str, int], attributes: list[Any]) -> Any:
    """The message as pyroute2 makes it."""
    message = CLASSES[id(shape)]()
    for name, value in members.items():
        message[name] = value
    message["attrs"] = deepcopy(attributes)  # it writes into them
    message["header"] = {"type": 16, "flags": 1, "sequence_number": 1, "pid": 0}
    message.encode()
    return message


def ours(shape: Shape, members: dict[str, int], attributes: list[Any]) -> Message:
    message = Message(shape)
    message.update(members)
    message["attrs"] = attributes
    return message


def info(kind: str, *data: Any) -> tuple[str, Any]:
    return "IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", kind), *data]}


def vf(name: str, value: Any) -> tuple[str, Any]:
    return "IFLA_VFINFO_LIST", {"attrs": [("IFLA_VF_INFO", {"attrs": [(name, value)]})]}


def our_vf(name: str, value: Any) -> tuple[str, Any]:
    return "IFLA_VFINFO_LIST", [("IFLA_VF_INFO", [(name, value)])]


FOUR = [
    *(("RTA_TABLE", 254), ("RTA_OIF", 3), ("RTA_DST", "10.0.0.0"), ("RTA_GATEWAY", "10.1.2.1")),
    *(("RTA_PREFSRC", "10.1.2.3"), ("RTA_PRIORITY", 100)),
]
#: what is sent: shape, members, pyroute2's attributes, and ours where they are written otherwise
SENT: dict[str, tuple[Shape, dict[str, int], list[Any], list[Any] | None]] = {
    "find by name": (LINK, {}, [("IFLA_EXT_MASK", 8), NAME], None),
    "find by long name": (LINK, {}, [("IFLA_ALT_IFNAME", "a-name-of-more-than-fifteen")], None),
    "names of odd lengths": (LINK, {}, [("IFLA_IFNAME", "a"), ("IFLA_IFALIAS", "über")], None),
    "change": (
        LINK,
        {"index": 3},
        [MAC, MTU, ("IFLA_MASTER", 2), ("IFLA_IFALIAS", "net/a b"), ("IFLA_TXQLEN", 0)],
        None,
    ),
    "flags": (LINK, {"index": 3, "flags": 0x100, "change": 0x100}, [], None),
    "move": (LINK, {"index": 3}, [("IFLA_NET_NS_FD", 9), NAME], None),
    "bridge": (
        LINK,
        {},
        [NAME, info("bridge", ("IFLA_INFO_DATA", {"attrs": [("IFLA_BR_VLAN_FILTERING", 1)]}))],
        [
            NAME,
            (
                "IFLA_LINKINFO",
                [
                    ("IFLA_INFO_KIND", "bridge"),
                    ("IFLA_INFO_DATA", codecs.BRIDGE.encode([("IFLA_BR_VLAN_FILTERING", 1)])),
                ],
            ),
        ],
    ),
    "dummy": (
        LINK,
        {},
        [NAME, info("dummy")],
        [NAME, ("IFLA_LINKINFO", [("IFLA_INFO_KIND", "dummy")])],
    ),
    "veth": (
        LINK,
        {},
        [
            NAME,
            info(
                "veth",
                (
                    "IFLA_INFO_DATA",
                    {"attrs": [("VETH_INFO_PEER", {"attrs": [NAME, ("IFLA_NET_NS_FD", 9), MAC]})]},
                ),
            ),
        ],
        [
            NAME,
            (
                "IFLA_LINKINFO",
                [
                    ("IFLA_INFO_KIND", "veth"),
                    ("IFLA_INFO_DATA", veth.peer([NAME, ("IFLA_NET_NS_FD", 9), MAC])),
                ],
            ),
        ],
    ),
    "alternative names": (
        LINK,
        {"index": 3},
        [
            (
                "IFLA_PROP_LIST",
                {"attrs": [("IFLA_ALT_IFNAME", "one"), ("IFLA_ALT_IFNAME", "another")]},
            )
        ],
        [("IFLA_PROP_LIST", [("IFLA_ALT_IFNAME", "one"), ("IFLA_ALT_IFNAME", "another")])],
    ),
    "bridge port": (
        LINK,
        {"family": 7, "index": 3},
        [
            (
                "IFLA_PROTINFO",
                {"attrs": [("IFLA_BRPORT_MODE", 1), ("IFLA_BRPORT_ISOLATED", 1)]},
                NESTED,
            )
        ],
        [("IFLA_PROTINFO", [("IFLA_BRPORT_MODE", 1), ("IFLA_BRPORT_ISOLATED", 1)])],
    ),
    "VLAN of a port": (
        LINK,
        {"family": 7, "index": 3},
        [
            (
                "IFLA_AF_SPEC",
                {
                    "attrs": [
                        ("IFLA_BRIDGE_FLAGS", 1),
                        ("IFLA_BRIDGE_VLAN_INFO", {"vid": 100, "flags": 6}),
                    ]
                },
            )
        ],
        [
            (
                "IFLA_AF_SPEC",
                codecs.BRIDGE_FLAGS.encode([("IFLA_BRIDGE_FLAGS", 1)])
                + codecs.BRIDGE_VLANS.encode(
                    [("IFLA_BRIDGE_VLAN_INFO", {"vid": 100, "flags": 6})]
                ),
            )
        ],
    ),
    **{
        name: (LINK, {"index": 3}, [vf(name, value)], [our_vf(name, value)])
        for name, value in {
            "IFLA_VF_MAC": VF_MAC,
            "IFLA_VF_VLAN": VF_VLAN,
            "IFLA_VF_RATE": {"vf": 7, "min_tx_rate": 10, "max_tx_rate": 1000},
            "IFLA_VF_SPOOFCHK": {"vf": 7, "spoofchk": 1},
            "IFLA_VF_TRUST": {"vf": 7, "trust": 1},
            "IFLA_VF_LINK_STATE": {"vf": 7, "link_state": 2},
        }.items()
    },
    "IPv4 address": (
        ADDRESS,
        {"family": 2, "prefixlen": 24, "index": 3},
        [("IFA_LOCAL", "10.1.2.3"), ("IFA_ADDRESS", "10.1.2.3"), ("IFA_BROADCAST", "10.1.2.255")],
        None,
    ),
    "IPv6 address": (
        ADDRESS,
        {"family": 10, "prefixlen": 64, "index": 3, "flags": 2},
        [("IFA_LOCAL", "fd00::3"), ("IFA_ADDRESS", "fd00::3")],
        None,
    ),
    "IPv4 route": (
        ROUTE,
        {"family": 2, "dst_len": 8, "table": 254, "proto": 3, "type": 1, "scope": 253},
        [
            *FOUR,
            ("RTA_METRICS", {"attrs": [("RTAX_MTU", 1400), ("RTAX_ADVMSS", 1360)]}),
        ],
        [
            *FOUR,
            ("RTA_METRICS", [("RTAX_MTU", 1400), ("RTAX_ADVMSS", 1360)]),
        ],
    ),
    "IPv6 route": (
        ROUTE,
        {"family": 10, "dst_len": 0, "table": 252, "proto": 3, "type": 1, "scope": 0},
        [("RTA_TABLE", 1000), ("RTA_OIF", 3), ("RTA_GATEWAY", "fe80::1")],
        None,
    ),
    "neighbour": (NEIGHBOUR, {"family": 10, "ifindex": 3}, [("NDA_DST", "fd00::3")], None),
}  # fmt: skip


@pytest.mark.parametrize("name", SENT)
def test_what_is_sent(name: str) -> None:
    shape, members, theirs, mine = SENT[name]
    data = ours(shape, members, theirs if mine is None else mine).encode()
    assert data == bytes(others(shape, members, theirs).data[HEADER:])


def test_the_vlan_of_a_vf_with_its_protocol() -> None:
    """pyroute2 does not count the padding, and is right in all else."""
    data = ours(LINK, {}, [our_vf("IFLA_VF_VLAN_LIST", [("IFLA_VF_VLAN_INFO", VF_QINQ)])]).encode()
    assert data.endswith(struct.pack("=HHIII", 20, 1, 7, 100, 3) + b"\x88\xa8\0\0")
    theirs = [vf("IFLA_VF_VLAN_LIST", {"attrs": [("IFLA_VF_VLAN_INFO", VF_QINQ)]})]
    head = struct.pack("=HH", 18, 1)
    assert bytes(others(LINK, {}, theirs).data[-20:]) == head + data[-16:]
    ((_, entry),) = codecs.LINK.table.decode(data[16:])["IFLA_VFINFO_LIST"]
    assert codecs.VF.decode(entry) == {"IFLA_VF_VLAN_LIST": [("IFLA_VF_VLAN_INFO", VF_QINQ)]}


@pytest.mark.parametrize("name", SENT)
def test_what_is_read(name: str) -> None:
    shape, members, theirs, _ = SENT[name]
    encoded = others(shape, members, theirs)
    again = type(encoded)(bytes(encoded.data))
    again.decode()
    mine = Message(shape).decoded(bytes(encoded.data[HEADER:]))
    assert {key: mine[key] for key in shape.members} == {key: again[key] for key in shape.members}
    simple = {str, int}
    assert {key: value for key, value in mine["attrs"].items() if type(value) in simple} == {
        slot[0]: slot[1] for slot in again["attrs"] if type(slot[1]) in simple
    }


def test_metrics_and_alternative_names_are_read() -> None:
    for name in ("IPv4 route", "alternative names"):
        shape, members, theirs, mine = SENT[name]
        assert mine is not None
        found = Message(shape).decoded(bytes(others(shape, members, theirs).data[HEADER:]))
        key, value = mine[-1]
        assert found["attrs"][key] == (dict(value) if key == "RTA_METRICS" else value)


def test_the_hops_of_a_multipath_route() -> None:
    gateway = struct.pack("=HH4B", 8, 5, 10, 0, 0, 1)
    hops = struct.pack("=HBBi", 16, 0, 0, 3) + gateway + struct.pack("=HBBi", 8, 0, 0, 4)
    data = bytes(12) + struct.pack("=HH", 4 + len(hops), 9) + hops
    assert Message(ROUTE).decoded(data)["attrs"] == {"RTA_MULTIPATH": [(3, "10.0.0.1"), (4, "")]}


def test_the_states_of_a_link() -> None:
    for code, name in state_by_code.items():
        data = bytes(16) + struct.pack("=HHB3x", 5, 16, code)
        assert Message(LINK).decoded(data)["attrs"] == {"IFLA_OPERSTATE": name}
    unheard_of = bytes(16) + struct.pack("=HHB3x", 5, 16, len(state_by_code))
    assert Message(LINK).decoded(unheard_of)["attrs"] == {"IFLA_OPERSTATE": "UNKNOWN"}


def test_a_name_that_is_no_text_survives() -> None:
    assert TEXT.encode(TEXT.decode(b"caf\xe9\0")) == b"caf\xe9\0"


TABLE = Table({"TEXT": (1, TEXT), "NUMBER": (2, number("=I"))})


PLAIN = st.characters(codec="utf-8", exclude_characters="\0")


@given(st.lists(st.tuples(st.just("TEXT"), st.text(PLAIN))))
def test_lists_come_back(attributes: list[tuple[str, str]]) -> None:
    assert list(TABLE.pairs(TABLE.encode(attributes))) == attributes


@given(st.binary())
def test_attributes_end(data: bytes) -> None:
    """Whatever the lengths say, reading comes to an end."""
    assert len(list(Table({"RAW": (1, RAW)}).pairs(data))) <= len(data) // 4


def received(name: str) -> dict[str, Any]:
    """The attributes of a message that pyroute2 has made."""
    shape, members, theirs, _ = SENT[name]
    found: dict[str, Any] = Message(shape).decoded(
        bytes(others(shape, members, theirs).data[HEADER:])
    )["attrs"]
    return found


@pytest.mark.parametrize("name", [each for each in SENT if each.startswith("IFLA_VF_")])
def test_the_settings_of_a_vf_are_read(name: str) -> None:
    mine = SENT[name][3]
    assert mine is not None
    ((_, [(_, [(_, value)])]),) = mine
    ((_, entry),) = received(name)["IFLA_VFINFO_LIST"]
    assert codecs.VF.decode(entry) == {name: value}


def test_the_vlans_of_a_port_are_read() -> None:
    spec = received("VLAN of a port")["IFLA_AF_SPEC"]
    assert list(codecs.BRIDGE_VLANS.pairs(spec)) == [
        ("IFLA_BRIDGE_VLAN_INFO", {"vid": 100, "flags": 6})
    ]


def test_what_a_bridge_says_is_read() -> None:
    info = received("bridge")["IFLA_LINKINFO"]
    assert info["IFLA_INFO_KIND"] == "bridge"
    assert codecs.BRIDGE.decode(info["IFLA_INFO_DATA"]) == {"IFLA_BR_VLAN_FILTERING": 1}
    port = {"IFLA_BRPORT_MODE": 1, "IFLA_BRPORT_ISOLATED": 1}
    assert received("bridge port")["IFLA_PROTINFO"] == port
