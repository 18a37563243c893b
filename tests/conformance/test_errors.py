"""What a plugin answers to calls that are wrong: code, one JSON object, exit status 1, no trace."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.conformance.networks import NETWORKS
from tests.conformance.node import OURS, execute

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.conformance.node import Node


class Call(NamedTuple):
    """A call with one thing wrong: what replaces a sound environment, keys or standard input."""

    what: str
    code: int  #: 0: any
    said: str = ""  #: the message or the details must hold it
    command: str = "ADD"
    environ: Mapping[str, str | None] = {}
    conf: Mapping[str, Any] = {}
    stdin: bytes | None = None


#: of every plugin: the skeleton's own part
EVERYWHERE = [
    Call("no container", 4, "CNI_CONTAINERID", environ={"CNI_CONTAINERID": None}),
    Call("empty container", 4, "CNI_CONTAINERID", environ={"CNI_CONTAINERID": ""}),
    Call("no netns", 4, "CNI_NETNS", environ={"CNI_NETNS": None}),
    Call("no ifname", 4, "CNI_IFNAME", environ={"CNI_IFNAME": None}),
    Call("no path", 4, "CNI_PATH", environ={"CNI_PATH": None}),
    Call("no path to DEL", 4, "CNI_PATH", "DEL", {"CNI_PATH": None}),
    Call("no path to STATUS", 4, "CNI_PATH", "STATUS", {"CNI_PATH": None}),
    Call("no path to GC", 4, "CNI_PATH", "GC", {"CNI_PATH": None}),
    Call("container with a slash", 4, "../x", environ={"CNI_CONTAINERID": "../x"}),
    Call("container with a newline", 4, "containerID", environ={"CNI_CONTAINERID": "c1\n"}),
    Call("ifname too long", 4, "CNI_IFNAME", environ={"CNI_IFNAME": "e" * 16}),
    Call("ifname too long in bytes", 4, "CNI_IFNAME", environ={"CNI_IFNAME": "é" * 8}),
    Call("ifname with a slash", 4, "CNI_IFNAME", environ={"CNI_IFNAME": "e/0"}),
    Call("ifname of dots", 4, "CNI_IFNAME", environ={"CNI_IFNAME": ".."}),
    Call("verb in lower case", 4, "add", "add"),
    Call("unknown verb", 4, "UPDATE", "UPDATE"),
    Call("nothing on stdin", 6, stdin=b""),
    Call("no JSON", 6, stdin=b"{"),
    Call("two documents", 6, stdin=b'{"name":"a"}{}'),
    Call("a list", 6, stdin=b"[]"),
    Call("no UTF-8", 6, stdin=b'{"name":"\xff"}'),
    Call("NaN", 6, stdin=b'{"name":"life","mtu":NaN}'),
    Call("a NUL in a string", 6, stdin=b'{"name":"a\\u0000b"}'),
    Call("half a surrogate", 6, stdin=b'{"name":"life","x":"\\ud800"}'),
    Call("a deep nest", 6, stdin=b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    Call("megabytes", 6, stdin=b'{"x":"' + b"x" * (2 << 20) + b'"}'),
    Call("no network name", 7, "name", conf={"name": ""}),
    Call("network name with a slash", 7, "../x", conf={"name": "../x"}),
    Call("version of the future", 1, "9.9.9", conf={"cniVersion": "9.9.9"}),
    Call("version of two parts", 1, "1.0", conf={"cniVersion": "1.0"}),
    Call("version no string", 6, "cniVersion", conf={"cniVersion": 1}),
    Call("CHECK too early", 1, "CHECK", "CHECK", conf={"cniVersion": "0.3.1"}),
    Call("GC too early", 1, "GC", "GC", conf={"cniVersion": "1.0.0"}),
    Call("STATUS too early", 1, "STATUS", "STATUS", conf={"cniVersion": "1.0.0"}),
    Call("own namespace", 8, "CNI_NETNS", environ={"CNI_NETNS": "/proc/self/ns/net"}),
    Call("own namespace to DEL", 8, "", "DEL", {"CNI_NETNS": "/proc/self/ns/net"}),
    Call("prevResult no object", 6, "prevResult", conf={"prevResult": []}),
    Call("prevResult with bad types", 6, "ips", conf={"prevResult": {"ips": "10.0.0.1"}}),
    Call("runtimeConfig no object", 6, "runtimeConfig", conf={"runtimeConfig": "mac"}),
]

#: of one plugin: keys that cannot be used are named
BY_TYPE = {
    "bridge": [
        Call("mtu a string", 7, '"mtu"', conf={"mtu": "big"}),
        Call("mtu negative", 7, '"mtu"', conf={"mtu": -1}),
        Call("vlan too high", 7, '"vlan"', conf={"vlan": 4095}),
        Call("trunk of no VLAN", 7, "vlanTrunk", conf={"vlanTrunk": [{"id": 5000}]}),
        Call("trunk without an end", 7, "maxID", conf={"vlanTrunk": [{"minID": 10}]}),
        Call("bridge name too long", 7, "bridge", conf={"bridge": "b" * 16}),
        Call("unknown backend", 7, "ipMasqBackend", conf={"ipMasqBackend": "pf"}),
        Call("hairpin and promiscuous", 7, "", conf={"hairpinMode": True, "promiscMode": True}),
        Call("mac is none", 7, "mac", conf={"args": {"cni": {"mac": "zz"}}}),
        Call("unknown IPAM", 7, "nosuch", conf={"ipam": {"type": "nosuch"}}),
        Call("unknown IPAM to STATUS", 7, "nosuch", "STATUS", conf={"ipam": {"type": "nosuch"}}),
        Call("path as IPAM", 7, "../static", conf={"ipam": {"type": "../static"}}),
        Call("unknown argument", 4, "X=1", environ={"CNI_ARGS": "X=1"}),
        Call("broken argument", 4, "X", environ={"CNI_ARGS": "X"}),
        Call("namespace that is a file", 0, "/etc/passwd", environ={"CNI_NETNS": "/etc/passwd"}),
        Call("namespace that is not", 0, "nope", environ={"CNI_NETNS": "/run/netns/nope"}),
        Call("interface in the way", 4, "lo", environ={"CNI_IFNAME": "lo"}),
        Call("CHECK without prevResult", 7, "prevResult", "CHECK"),
    ],
    "host-device": [
        Call("no device", 7, "device", conf={"device": ""}),
        Call("device that is not", 7, "nope", conf={"device": "nope"}),
        Call("hwaddr that is none", 7, "hwaddr", conf={"device": "", "hwaddr": "zz"}),
        Call("pciBusID that is none", 7, "pciBusID", conf={"device": "", "pciBusID": "../../x"}),
        Call("CHECK without prevResult", 7, "prevResult", "CHECK"),
    ],
    "static": [
        Call("no ipam", 7, "ipam", conf={"ipam": None}),
        Call("address without prefix", 7, "10.0.0.1",
             conf={"ipam": {"type": "static", "addresses": [{"address": "10.0.0.1"}]}}),
        Call("CHECK without prevResult", 7, "prevResult", "CHECK"),
    ],
    "whereabouts": [
        Call("no ipam", 7, "ipam", conf={"ipam": None}),
        Call("range that is none", 7, "10.0.0/x",
             conf={"ipam": {"type": "whereabouts", "range": "10.0.0/x"}}),
        Call("range too small", 7, "10.0.0.4/31",
             conf={"ipam": {"type": "whereabouts", "range": "10.0.0.4/31"}}),
        Call("range full", 100, "10.0.0.0/30",
             conf={"ipam": {"type": "whereabouts", "range": "10.0.0.0/30",
                            "exclude": ["10.0.0.0/30"]}}),
        Call("exclude that is none", 7, "10.0.0.1/123",
             conf={"ipam": {"type": "whereabouts", "range": "10.0.0.0/24",
                            "exclude": ["10.0.0.1/123"]}}),
        Call("CHECK without prevResult", 7, "prevResult", "CHECK"),
    ],
    "multus": [
        Call("no delegates", 7, "delegate", conf={"delegates": []}),
        Call("a delegate without type", 7, "type", conf={"delegates": [{"name": "a"}]}),
        Call("an empty list of plugins", 7, "plugins",
             conf={"delegates": [{"name": "a", "plugins": []}]}),
        Call("itself as delegate", 7, "multus",
             conf={"delegates": [{"name": "a", "type": "multus"}]}),
        Call("a delegate that is not", 7, "nosuch",
             conf={"delegates": [{"name": "a", "type": "nosuch"}]}),
    ],
    "loopback": [],
}  # fmt: skip

CASES = [
    *((plugin_type, call) for plugin_type in sorted(NETWORKS) for call in EVERYWHERE),
    *((plugin_type, call) for plugin_type, calls in BY_TYPE.items() for call in calls),
]


@pytest.mark.parametrize(
    ("plugin_type", "call"), CASES, ids=[f"{t}-{c.what.replace(' ', '_')}" for t, c in CASES]
)
def test_error(node: Node, plugin_type: str, call: Call) -> None:
    network = NETWORKS[plugin_type]
    network.prepare(node)
    pod = node.pod("cid")
    before = node.traces(pod)
    environ: dict[str, str | None] = {**node.environ(call.command, pod, network.ifname)}
    environ |= call.environ
    conf = {"cniVersion": "1.1.0", "name": "life", **network.conf, **call.conf}
    reply = execute(
        OURS / plugin_type,
        {key: value for key, value in environ.items() if value is not None},
        json.dumps(conf).encode() if call.stdin is None else call.stdin,
    )
    error = reply.error(call.code or None)
    assert call.said in error["msg"] + error.get("details", ""), error
    if conf["cniVersion"] in ("0.3.1", "1.0.0", "1.1.0"):
        assert error["cniVersion"] == (conf["cniVersion"] if call.stdin is None else "1.1.0")
    assert node.traces(pod) == before


@pytest.mark.parametrize("plugin_type", sorted(NETWORKS))
def test_del_needs_no_namespace_and_no_add(node: Node, plugin_type: str) -> None:
    network = NETWORKS[plugin_type]
    conf = {"cniVersion": "1.0.0", "name": "life", **network.conf}
    pod = node.pod()
    pod.destroy()
    before = node.traces()
    for netns in (pod.path, ""):
        node.call("DEL", conf, pod, ifname="eth9", extra={"CNI_NETNS": netns}).silent()
    assert node.traces() == before


@pytest.mark.parametrize("plugin_type", ["bridge", "host-device", "multus"])
def test_failed_add_leaves_nothing(node: Node, plugin_type: str) -> None:
    """The last address is refused: everything before it is undone by the ADD itself."""
    network = NETWORKS[plugin_type]
    network.prepare(node)
    full = {"type": "whereabouts", "range": "10.0.0.0/30", "exclude": ["10.0.0.0/30"]}
    conf: dict[str, Any] = {"cniVersion": "1.0.0", "name": "life", **network.conf, "ipam": full}
    if plugin_type == "multus":
        last = {**network.conf["delegates"][-1], "ipam": full}
        conf["delegates"] = [*network.conf["delegates"][:-1], last]
    pod = node.pod()
    before = node.traces(pod)
    node.call("ADD", conf, pod).error(100)
    assert node.traces(pod) == before
