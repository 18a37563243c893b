"""One network per plugin of the suite: its configuration, and what its ADD must answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.conformance.shapes import full

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conformance.kernel import Json
    from tests.conformance.node import Node


class Network(NamedTuple):
    """`golden` gives the anonymous result of a version; `prepare` makes what the node must have."""

    conf: Json
    golden: Callable[[str], Json]
    prepare: Callable[[Node], object] = lambda node: None
    ifname: str = "eth0"


_ROUTES: list[Json] = [
    {"dst": "0.0.0.0/0"},
    {
        "dst": "10.5.0.0/16", "gw": "10.1.2.9", "mtu": 1300, "advmss": 1200,
        "priority": 50, "table": 77, "scope": 0,
    },
    {"dst": "fd00:5::/64", "gw": "fd00:1::9"},
]  # fmt: skip
_DNS: Json = {"nameservers": ["8.8.8.8"], "search": ["a.b"]}
_STATIC: Json = {
    "type": "static",
    "addresses": [
        {"address": "10.1.2.3/24", "gateway": "10.1.2.1"},
        {"address": "fd00:1::3/64", "gateway": "fd00:1::1"},
    ],
    "routes": _ROUTES,
    "dns": _DNS,
}
_IPS: list[Json] = [
    {"address": "10.1.2.3/24", "gateway": "10.1.2.1"},
    {"address": "fd00:1::3/64", "gateway": "fd00:1::1"},
]
_WHEREABOUTS: Json = {
    "type": "whereabouts",
    "ipRanges": [{"range": "10.7.0.0/24", "exclude": ["10.7.0.0/30"]}, {"range": "fd00:7::/64"}],
    "routes": [{"dst": "0.0.0.0/0", "gw": "10.7.0.1"}],
}
_HOST_LOCAL: Json = {
    "type": "host-local",
    "ranges": [[{"subnet": "10.8.0.0/24"}], [{"subnet": "fd00:8::/64", "gateway": "fd00:8::9"}]],
    "routes": _ROUTES,
}
_IN_TURN: list[Json] = [
    {"address": "10.8.0.2/24", "gateway": "10.8.0.1"},
    {"address": "fd00:8::1/64", "gateway": "fd00:8::9"},
]
_LEASED: list[Json] = [{"address": "10.7.0.4/24"}, {"address": "fd00:7::1/64"}]


def whereabouts(subnet: str = "10.9.0.0/16") -> Json:
    """An `ipam` section: the lowest address is .2, the gateway .1."""
    gateway = subnet.replace(".0/", ".1/").partition("/")[0]
    return {
        "type": "whereabouts",
        "range": subnet,
        "exclude": [f"{gateway}/32"],
        "gateway": gateway,
    }


def _on(ips: list[Json], interface: int) -> list[Json]:
    return [{**each, "interface": interface} for each in ips]


def _bridged(version: str, bridge: str, ifname: str = "eth0") -> Json:
    interfaces = [
        {"name": bridge, "mac": "MAC"},
        {"name": "HOST-END", "mac": "MAC"},
        {"name": ifname, "mac": "MAC", "sandbox": "SANDBOX"},
    ]
    return full(version, interfaces, _on(_IPS, 2), _ROUTES, _DNS)


def _moved(version: str) -> Json:
    interface = {"name": "eth0", "mac": "MAC", "mtu": 1400, "sandbox": "SANDBOX"}
    return full(version, [interface], _on(_LEASED, 0), _WHEREABOUTS["routes"])


def _loopback(version: str) -> Json:
    interface = {"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": "SANDBOX"}
    ips = [{"address": "127.0.0.1/8"}, {"address": "::1/128"}]
    return full(version, [interface], _on(ips, 0))


NETWORKS = {
    "bridge": Network(
        {"type": "bridge", "bridge": "br0", "isGateway": True, "ipMasq": True, "ipam": _STATIC},
        lambda version: _bridged(version, "br0"),
    ),
    "host-device": Network(
        {"type": "host-device", "device": "dev0", "ipam": _WHEREABOUTS},
        _moved,
        lambda node: node.device("dev0", mtu="1400"),
    ),
    "host-local": Network(
        {"type": "host-local", "ipam": _HOST_LOCAL},
        lambda version: full(version, [], _IN_TURN, _ROUTES),
    ),
    "loopback": Network({"type": "loopback"}, _loopback, ifname="lo"),
    "static": Network(
        {"type": "static", "ipam": _STATIC}, lambda version: full(version, [], _IPS, _ROUTES, _DNS)
    ),
    "whereabouts": Network(
        {"type": "whereabouts", "ipam": _WHEREABOUTS},
        lambda version: full(version, [], _LEASED, _WHEREABOUTS["routes"]),
    ),
    "multus": Network(
        {
            "type": "multus",
            "delegates": [
                {"name": "first", "type": "bridge", "bridge": "br0", "ipam": _STATIC},
                {"name": "second", "type": "bridge", "bridge": "br1", "ipam": whereabouts()},
                {
                    "name": "third", "type": "host-device", "device": "dev0",
                    "ipam": whereabouts("10.10.0.0/16"),
                },
            ],
        },
        lambda version: _bridged(version, "br0"),
        lambda node: node.device("dev0", mtu="1400"),
    ),
}  # fmt: skip
