"""What a pod's annotations, a network's configuration and the API server may say, as strategies.

Texts hold short names in place of what is long, or is no document of Python's: `written` puts the
real thing there.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from tests.netns.confs import bridge, static, whereabouts

NETWORKS = "k8s.v1.cni.cncf.io/networks"
DEFAULT_NETWORK = "v1.multus-cni.io/default-network"
STATUS = "k8s.v1.cni.cncf.io/network-status"
NADS = "/apis/k8s.cni.cncf.io/v1/namespaces/{}/network-attachment-definitions"
PODS = "/api/v1/namespaces/default/pods"
POD = f"{PODS}/web"
UID = "11111111-2222-3333-4444-555555555555"

#: short names, as long as texts are made, of what is long, or no document of Python's
RAW = {
    '"@deep@"': "[" * 400 + "]" * 400,
    '"@deeper@"': '{"a":' * 970 + "1" + "}" * 970,
    '"@abyss@"': "[" * 60_000,
    '"@digits@"': "9" * 5000,
    '"@infinite@"': "1e999",
    '"@nan@"': "NaN",
    '"@half@"': '"\\ud800"',
    "@label@": "x" * 254,
    "@64K@": "x" * 65_536,
}
LONGEST = 200_000  #: bytes; the API server takes 256 KiB of annotations

UGLY = [
    "", " ", "\0", "\n", ".", "..", "/", "../../../etc/passwd", "/etc/cni/net.d/x.conf", "a/b/c",
    "lo", "eth0", "net1", "br0", "all", "default", "br%d", "a b", "a=b;c=d", "-", "--help", "*",
    "\ud800", "é", "١", "a\u0301", "\u202e", "xxxxxxxxxxxxxxxx", "@label@", "@64K@", "@", "a@",
    "10.7.0.9/24", "999.1.1.1/33", "0.0.0.0/0", "::", "fd00::1%lo", "00:00:00:00:00:00",
    "ff:ff:ff:ff:ff:ff", "true", "null", "0x10", "1e3", "${HOME}", "`id`", "%s%n",
]  # fmt: skip

texts = st.sampled_from(UGLY) | st.text(st.characters(), max_size=12)
numbers = st.sampled_from([0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 0.5, -0.0])
scalars = (
    st.none() | st.booleans() | numbers | texts | st.sampled_from([each.strip('"') for each in RAW])
)
junk = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def mostly(*usual: Any) -> st.SearchStrategy[Any]:
    """One of these, now and then anything."""
    return st.integers(0, 11).flatmap(lambda n: junk if n == 7 else st.sampled_from(usual))


def written(text: str) -> str:
    """A text as an object of the API server can have it."""
    for name, raw in RAW.items():
        text = text.replace(name, raw)
    return text.encode(errors="replace")[:LONGEST].decode(errors="ignore")


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[str]) -> str:
    """A text, now and then with something cut out of it or put into it."""
    text = draw(whole)
    if draw(st.integers(0, 9)) != 7:
        return text
    start = draw(st.integers(0, min(len(text), 2000)))
    end = start + draw(st.integers(0, 5))
    return text[:start] + draw(st.sampled_from(["", '"', "{", "]", ",", "\0", "\\"])) + text[end:]


elements = st.fixed_dictionaries(
    {"name": mostly("good", "good", "fuzzed", "fuzzed", "leased", "missing")},
    optional={
        "namespace": mostly("default", "kube-system"),
        "interface": mostly("net1", "net2", "fast0", "eth0"),
        "interfaceRequest": mostly("net3"),
        "ips": mostly(["10.7.0.9/24"], ["10.7.0.9", "fd00:7::9"], []),
        "mac": mostly("c2:b0:57:49:47:f1", "c2-b0-57-49-47-f1"),
        "infiniband-guid": mostly("02:00:00:00:00:00:00:01"),
        "portMappings": mostly([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}], []),
        "bandwidth": mostly({"ingressRate": 1000, "ingressBurst": 1000}, {}),
        "deviceID": mostly("0000:00:1f.6"),
        "cni-args": mostly({"a": 1}, {}, None),
        "default-route": mostly(["10.7.0.1"], ["10.7.0.1", "fd00:7::1"], []),
        "surprise": junk,
    },
)
names = st.sampled_from(["good", "fuzzed", "leased", "missing", "default/good"]) | texts
short_items = st.builds(
    lambda name, ifname: name + ifname, names, mostly("", "", "@net1", "@x").map(str)
)
selections = damaged(
    st.lists(short_items, max_size=3).map(",".join)
    | st.lists(elements, max_size=3).map(json.dumps)
    | st.lists(elements | junk, max_size=3).map(json.dumps)
    | junk.map(json.dumps)
)
default_networks = damaged(
    st.sampled_from(["cluster", "kube-system/cluster", "cluster@eth0", "default/good"])
    | st.lists(st.fixed_dictionaries({"name": mostly("cluster")}), max_size=2).map(json.dumps)
    | junk.map(json.dumps)
)

ipams = mostly(
    static("10.7.0.5/24", gateway="10.7.0.1"),
    static("10.7.0.5/24", "fd00:7::5/64", routes=[{"dst": "0.0.0.0/0"}], dns={"search": ["a"]}),
    whereabouts("10.8.0.0/24"),
    whereabouts("10.8.0.0/30", ipRanges=[{"range": "fd00:8::/64"}]),
    {},
)
#: keys of configurations, as they are right; each may be replaced
KEYS = {
    "cniVersion": mostly("1.0.0", "0.3.1", "1.1.0"),
    "name": mostly("fuzz", "other"),
    "type": mostly("bridge", "bridge", "bridge", "static", "loopback", "host-device", "multus"),
    "bridge": mostly("brf0", "brf1"),
    "ipam": ipams,
    "isGateway": mostly(True, False),
    "isDefaultGateway": mostly(True, "true"),
    "ipMasq": mostly(False, False, True),
    "macspoofchk": mostly(False, False, True),
    "hairpinMode": mostly(True),
    "promiscMode": mostly(True),
    "forceAddress": mostly(False),
    "mtu": mostly(1400, 1500),
    "vlan": mostly(0, 100),
    "vlanTrunk": mostly([{"minID": 1, "maxID": 5}], [{"id": 7}]),
    "portIsolation": mostly(True),
    "device": mostly("dev0", "br0", "lo"),
    "capabilities": mostly({"ips": True, "mac": True}, {"portMappings": True}),
    "args": mostly({"cni": {"ips": ["10.7.0.8/24"]}}, {}),
    "dns": mostly({"nameservers": ["10.0.0.53"]}),
    "prevResult": mostly({"cniVersion": "1.0.0", "ips": []}),
    "runtimeConfig": mostly({"mac": "c2:b0:57:49:47:f2"}),
}
plugins = st.fixed_dictionaries(
    {key: KEYS[key] for key in ("type", "bridge")},
    optional={key: each for key, each in KEYS.items() if key not in ("type", "bridge")},
)
chains = st.fixed_dictionaries(
    {"plugins": st.lists(plugins, min_size=1, max_size=2) | junk},
    optional={
        **{key: KEYS[key] for key in ("cniVersion", "name")},
        "cniVersions": mostly(["1.0.0"], ["9.9.9"]),
        "disableCheck": mostly(True, "true"),
        "disableGC": mostly("false"),
    },
)
configs = damaged(plugins.map(json.dumps) | chains.map(json.dumps) | junk.map(json.dumps))

#: objects as the API server has them, and with something else in any place
metas = st.fixed_dictionaries(
    {"name": mostly("web", "good"), "uid": mostly(UID, UID, UID)},
    optional={
        "namespace": mostly("default"),
        "resourceVersion": mostly("7"),
        "annotations": mostly(
            {NETWORKS: "good"}, {}, {NETWORKS: [1]}, {DEFAULT_NETWORK: "cluster"}
        ),
        "labels": junk,
    },
)
objects = st.fixed_dictionaries(
    {"kind": mostly("Pod"), "metadata": metas | junk},
    optional={
        "spec": mostly({"nodeName": "node1"}, {"config": json.dumps(bridge(bridge="brf0"))}, {}),
        "status": junk,
    },
)
statuses = st.fixed_dictionaries(
    {"kind": mostly("Status"), "message": mostly("no"), "reason": mostly("Conflict", "NotFound")},
    optional={"code": mostly(409, 404), "details": mostly({"name": "web", "causes": [{}]})},
)
bodies = damaged(objects.map(json.dumps) | statuses.map(json.dumps) | junk.map(json.dumps))
faults = st.fixed_dictionaries(
    {"method": st.sampled_from(["GET", "GET", "PATCH", "PUT", "POST", None])},
    optional={
        "path": st.sampled_from([POD, NADS.format("default"), f"{POD}/status"]),
        "times": st.sampled_from([1, None]),
        "status": st.sampled_from(
            [200, 201, 204, 302, 401, 403, 404, 409, 410, 422, 429, 503, 599]
        ),
        "body": bodies,
        "kind": st.sampled_from(["cut", "cut-body", "html", "garbage", "length", "lost-answer"]),
        "headers": st.dictionaries(
            st.sampled_from(["Retry-After", "Location", "Content-Type", "Content-Encoding"]),
            st.sampled_from(["", "1", "-1", "99999999999", "gzip", "/", "http://[", "x" * 300]),
            max_size=1,
        ),
    },
)
