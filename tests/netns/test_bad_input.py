"""What users get wrong: one error that names key and value, and a node that is unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.netns import confs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.netns.confs import Conf
    from tests.netns.node import Node


class Case(NamedTuple):
    """`conf` on top of a good one of that plugin; `words` must all be in the error."""

    conf: Conf
    code: int
    words: tuple[str, ...]
    environ: dict[str, str] = {}  # noqa: RUF012

    def __str__(self) -> str:
        return " ".join(self.words)


def bad(conf: Conf, code: int, *words: str, **environ: str) -> Case:
    return Case(conf, code, words, environ)


def ipam(**keys: Any) -> Conf:
    return {"ipam": keys}


def static(**keys: Any) -> Conf:
    return ipam(type="static", **keys)


def lease(**keys: Any) -> Conf:
    return ipam(type="whereabouts", **keys)


ONE = {"addresses": [{"address": "10.1.2.3/24"}]}

BRIDGE = [
    bad({"name": "a b"}, 7, '"name"', '"a b"'),
    bad({"name": ""}, 7, "network name"),
    bad({"name": 7}, 6, '"name"', "7"),
    bad({"cniVersion": "1.2.3"}, 1, "1.2.3"),
    bad({"cniVersion": 1}, 6, '"cniVersion"', "1"),
    bad({"bridge": ""}, 7, '"bridge"', "empty"),
    bad({"bridge": "a" * 16}, 7, '"bridge"', "a" * 16, "longer than 15"),
    bad({"bridge": "a/b"}, 7, '"bridge"', "a/b"),
    bad({"bridge": ".."}, 7, '"bridge"', '".."'),
    bad({"bridge": "br%d"}, 7, '"bridge"', "br%d"),
    bad({"bridge": 7}, 7, '"bridge"', "7"),
    bad({"mtu": "1500"}, 7, '"mtu"', '"1500"'),
    bad({"mtu": -1}, 7, '"mtu"', "-1"),
    bad({"mtu": 1500.5}, 7, '"mtu"', "1500.5"),
    bad({"mtu": 10**30}, 7, '"mtu"', "1000000000"),
    bad({"mtu": 2**31 - 1}, 101, "br0", "mtu greater than"),
    bad({"isGateway": "perhaps"}, 7, '"isGateway"', '"perhaps"'),
    bad({"isDefaultGateway": 2}, 7, '"isDefaultGateway"', "2"),
    bad({"ipMasq": []}, 7, '"ipMasq"', "[]"),
    bad({"ipMasqBackend": "ipfw"}, 7, '"ipMasqBackend"', '"ipfw"'),
    bad({"hairpinMode": True, "promiscMode": True}, 7, '"hairpinMode"', '"promiscMode"'),
    bad({"vlan": 4095}, 7, '"vlan"', "4095"),
    bad({"vlan": -100}, 7, '"vlan"', "-100"),
    bad({"vlan": "100"}, 7, '"vlan"', '"100"'),
    bad({"vlanTrunk": [{"id": 5000}]}, 7, '"vlanTrunk.0.id"', "5000"),
    bad({"vlanTrunk": [{"id": 1}, {"id": -1}]}, 7, '"vlanTrunk.1.id"', "-1"),
    bad({"vlanTrunk": [{"minID": -1, "maxID": 2}]}, 7, '"vlanTrunk.0.minID"', "-1"),
    bad({"vlanTrunk": [{"minID": 1, "maxID": 5000}]}, 7, '"vlanTrunk.0.maxID"', "5000"),
    bad({"vlanTrunk": [{"minID": 100}]}, 7, '"vlanTrunk"', "maxID is missing"),
    bad({"vlanTrunk": [{"maxID": 105}]}, 7, '"vlanTrunk"', "minID is missing"),
    bad({"vlanTrunk": [{"minID": 1000, "maxID": 100}]}, 7, "minID 1000", "maxID 100"),
    bad({"vlanTrunk": {"id": 7}}, 7, '"vlanTrunk"', '{"id": 7}'),
    bad(
        {"bridge": "a-long-bridge", "vlan": 100, "isGateway": True},
        7, '"bridge"', "a-long-bridge.100",
    ),
    bad({"runtimeConfig": {"mac": "zz"}}, 7, "runtimeConfig.mac", "zz"),
    bad({"runtimeConfig": "zz"}, 6, '"runtimeConfig"', "zz"),
    bad({"args": {"cni": {"mac": "ff:ff:ff:ff:ff:ff"}}}, 7, "args.cni.mac", "ff:ff:ff:ff:ff:ff"),
    bad({"dns": "8.8.8.8"}, 6, '"dns"', "8.8.8.8"),
    bad({"dns": {"nameservers": "8.8.8.8"}}, 6, "dns.nameservers", "8.8.8.8"),
    bad({"prevResult": []}, 6, '"prevResult"', "[]"),
    bad({"ipam": "static"}, 6, '"ipam"', '"static"'),
    bad(ipam(type=7), 7, '"ipam.type"', "7"),
    bad(ipam(type="../static"), 7, "../static"),
    bad(ipam(type="nosuch"), 7, '"nosuch"'),
    bad(ipam(type="bridge"), 7, '"ipam.type"', '"bridge"'),
    bad({"disableContainerInterface": True}, 7, '"disableContainerInterface"', '"static"'),
    bad({}, 4, '"MAC"', CNI_ARGS="MAC"),
    bad({}, 7, "CNI_ARGS MAC", '"zz"', CNI_ARGS="IgnoreUnknown=1;MAC=zz"),
    bad({}, 4, "K8S_POD_NAME=x", CNI_ARGS="K8S_POD_NAME=x"),
    bad({}, 4, "IgnoreUnknown", "maybe", CNI_ARGS="IgnoreUnknown=maybe"),
    bad({}, 4, "CNI_IFNAME", "a:b", CNI_IFNAME="a:b"),
    bad({}, 4, "CNI_IFNAME", "a" * 16, CNI_IFNAME="a" * 16),
    bad({}, 4, "CNI_CONTAINERID", "a/b", CNI_CONTAINERID="a/b"),
    bad({}, 4, "CNI_CONTAINERID", CNI_CONTAINERID=""),
    bad({}, 8, "CNI_NETNS", "/run/netns/nowhere", CNI_NETNS="/run/netns/nowhere"),
    bad({}, 8, "CNI_NETNS", "/etc/passwd", CNI_NETNS="/etc/passwd"),
    bad({}, 4, "CNI_NETNS", CNI_NETNS=""),
]  # fmt: skip

STATIC = [
    bad(static(addresses=[{"address": "10.1.2.3"}]), 7, "ipam.addresses", "10.1.2.3"),
    bad(static(addresses=[{"address": "10.1.2.3/33"}]), 7, "ipam.addresses", "10.1.2.3/33"),
    bad(static(addresses=[{"address": "10.1.2.3/255.255.255.0"}]), 7, "255.255.255.0"),
    bad(static(addresses=[{"address": "fe80::1%eth0/64"}]), 7, "fe80::1%eth0/64"),
    bad(static(addresses=[{"address": 7}]), 7, '"ipam.addresses.0.address"', "7"),
    bad(static(addresses=[{}]), 7, '"ipam.addresses.0.address"', "required"),
    bad(static(addresses="10.1.2.3/24"), 7, '"ipam.addresses"', "10.1.2.3/24"),
    bad(static(addresses=[{"address": "10.1.2.3/24", "gateway": "x"}]), 7, "gateway", "x"),
    bad(static(**ONE, routes=[{"dst": "x"}]), 7, "ipam.routes", "x"),
    bad(static(**ONE, routes=[{"dst": "10.0.0.0/8", "gw": "y"}]), 7, "ipam.routes", "y"),
    bad(static(**ONE, routes=[{"gw": "10.1.2.1"}]), 7, '"ipam.routes.0.dst"', "required"),
    bad(static(**ONE, routes=[{"dst": "10.0.0.0/8", "mtu": -1}]), 7, "ipam.routes.0.mtu", "-1"),
    bad(static(**ONE, routes=[{"dst": "10.0.0.0/8", "table": 2**32}]), 7, "table", "4294967296"),
    bad(static(**ONE, routes=[{"dst": "10.0.0.0/8", "scope": 256}]), 7, "scope", "256"),
    bad(static(**ONE, routes=[{"dst": "10.0.0.0/8", "gw": "fd00::1"}]), 7, "fd00::1"),
    bad(static(**ONE, dns=[]), 7, '"ipam.dns"', "[]"),
    bad(static(), 103, "static", "IP"),
]  # fmt: skip

WHEREABOUTS = [
    bad(lease(), 103, "whereabouts", "IP"),
    bad(lease(range="x"), 7, "range", "x"),
    bad(lease(range="10.1.2.0/33"), 7, "range", "10.1.2.0/33"),
    bad(lease(range=7), 7, '"ipam.range"', "7"),
    bad(lease(range="10.1.2.9-x/24"), 7, "range", "x/24"),
    bad(lease(range="10.1.2.0/24", range_start=7), 7, '"ipam.range_start"', "7"),
    bad(lease(ipRanges=[{"range": "10.1.2.0/24", "range_start": "x"}]), 7, "range_start", "x"),
    bad(lease(range="10.1.2.0/24", exclude=["x"]), 7, "exclude", "x"),
    bad(lease(range="10.1.2.0/24", exclude="x"), 7, '"ipam.exclude"', "x"),
    bad(lease(range="10.1.2.0/24", gateway="x"), 7, "gateway", "x"),
    bad(lease(ipRanges=[{}]), 7, '"ipam.ipRanges.0.range"', "required"),
    bad(lease(ipRanges={"range": "10.1.2.0/24"}), 7, '"ipam.ipRanges"', "10.1.2.0/24"),
    bad(
        lease(range="10.1.2.0/24", configuration_path="/nonexistent/x"),
        7, "configuration_path", "/nonexistent/x",
    ),
    bad(lease(range="10.1.2.0/30", exclude=["10.1.2.0/30"]), 100, "10.1.2.0/30"),
]  # fmt: skip

HOST_DEVICE = [
    bad({"device": ""}, 7, '"device"'),
    bad({"device": "nope"}, 7, '"device"', "nope"),
    bad({"device": 7}, 7, '"device"', "7"),
    bad({"device": "", "hwaddr": "zz"}, 7, '"hwaddr"', "zz"),
    bad({"device": "", "hwaddr": "02:00:00:00:0d:99"}, 7, '"hwaddr"', "02:00:00:00:0d:99"),
    bad({"device": "", "kernelpath": "/etc"}, 7, '"kernelpath"', "/etc"),
    bad({"device": "", "pciBusID": "x y"}, 7, '"pciBusID"', "x y"),
    bad({"device": "", "pciBusID": "0000:ff:1f.7"}, 7, '"pciBusID"', "0000:ff:1f.7"),
    bad({"runtimeConfig": {"deviceID": "../x"}}, 7, '"runtimeConfig.deviceID"', "../x"),
    bad({"runtimeConfig": {"deviceID": 7}}, 7, '"runtimeConfig.deviceID"', "7"),
    bad({"runtimeConfig": {"deviceID": "0000:ff:1f.7"}}, 7, "deviceID", "0000:ff:1f.7"),
    bad({"cniVersion": "0.2.0"}, 1, "0.2.0"),
    bad(ipam(type="nosuch"), 7, '"nosuch"'),
    bad(static(addresses=[{"address": "x"}]), 7, "x"),
    bad({}, 8, "CNI_NETNS", "/run/netns/nowhere", CNI_NETNS="/run/netns/nowhere"),
]  # fmt: skip

LOOPBACK = [
    bad({"name": None}, 7, "network name"),
    bad({"prevResult": {"ips": 7}}, 6, "prevResult.ips", "7"),
    bad({"prevResult": {"interfaces": [{"name": 7}]}}, 6, "prevResult.interfaces[0].name", "7"),
    bad({}, 8, "CNI_NETNS", "/run/netns/nowhere", CNI_NETNS="/run/netns/nowhere"),
    bad({"cniVersion": "2.0.0"}, 1, "2.0.0"),
]

MULTUS = [
    bad({"delegates": []}, 7, "delegate"),
    bad({"delegates": {}}, 7, '"delegates"', "{}"),
    bad({"delegates": [7]}, 7, '"delegates.0"', "7"),
    bad({"delegates": [{"name": "d"}]}, 7, "type"),
    bad({"delegates": [{"type": "nosuch", "name": "d"}]}, 7, "nosuch"),
    bad({"delegates": [{"type": "multus", "name": "d"}]}, 7, "multus"),
    bad({"delegates": [{"type": "bridge", "name": "d e"}]}, 7, "d e"),
    bad({"delegates": [{"type": "bridge", "name": "d", "cniVersion": "9"}]}, 1, "9"),
    bad({"delegates": [{"type": "bridge", "name": "d", "mtu": -1}]}, 7, '"mtu"', "-1"),
    bad({"delegates": [{"type": "bridge", "name": "d", "ipam": 7}]}, 6, '"ipam"', "7"),
    bad({"confDir": 7}, 7, '"confDir"', "7"),
    bad({"kubeconfig": "/nonexistent"}, 5, "kubeconfig", "/nonexistent"),
    bad({"readinessindicatorfile": 7}, 7, '"readinessindicatorfile"', "7"),
    bad({"attachments": [{"name": 7}]}, 7, '"attachments.0.name"', "7"),
    bad({"attachments": [{"name": "nosuch"}]}, 7, '"attachments.0"', "No networks found in"),
    bad({"attachments": "x"}, 7, '"attachments"', "x"),
    bad({}, 4, "CNI_ARGS", '"K8S"', CNI_ARGS="K8S"),
]

GOOD: dict[str, Conf] = {
    "bridge": confs.bridge(isGateway=True, ipMasq=True, ipam=confs.static("10.1.2.3/24")),
    "host-device": confs.host_device(device="hd0"),
    "loopback": {"cniVersion": "1.0.0", "name": "lo", "type": "loopback"},
    "multus": {
        "cniVersion": "1.0.0", "name": "multi", "type": "multus",
        "delegates": [confs.bridge(ipam=confs.static("10.1.2.3/24"))],
    },
}  # fmt: skip

TABLE = [
    (plugin, case)
    for plugin, cases in {
        "bridge": BRIDGE + STATIC + WHEREABOUTS,
        "host-device": HOST_DEVICE,
        "loopback": LOOPBACK,
        "multus": MULTUS,
    }.items()
    for case in cases
]


def files(directory: Path) -> list[str]:
    """All that is on the disk but locks, which say nothing, and an empty lease database."""
    found = [each for each in directory.rglob("*") if each.is_file()]
    return sorted(str(p) for p in found if p.suffix != ".lock" and p.name != "lock")


@pytest.mark.parametrize(("plugin", "case"), TABLE, ids=[f"{p}-{c}" for p, c in TABLE])
def test_one_clear_error(node: Node, plugin: str, case: Case) -> None:
    node.ip("link", "add", "hd0", "type", "veth", "peer", "name", "hd0peer")
    pod = node.pod()
    environ = node.environ("ADD", pod) | case.environ
    conf = GOOD[plugin] | case.conf
    if plugin == "multus":
        conf |= {
            "binDir": node.bin_path,
            "confDir": case.conf.get("confDir", str(node.root / "nads")),
        }
    before, disk = node.snapshot(pod), files(node.state)
    error = node.raw(plugin, environ, confs.encoded(conf)).error(case.code)
    said = f"{error['msg']} {error.get('details', '')}"
    for words in case.words:
        assert words in said
    assert error["msg"].strip()
    assert error["cniVersion"]
    assert len(said) < 1500
    assert node.snapshot(pod) == before
    assert [x for x in files(node.state) if "leases.db" not in x] == disk
    # a DEL follows, and must not fail for ever over what only ADD needs
    if plugin in ("bridge", "host-device") and case.code not in (1, 4, 6) and "name" not in said:
        node.raw(plugin, environ | {"CNI_COMMAND": "DEL"}, confs.encoded(conf)).ok()
        assert node.snapshot(pod) == before
    # and it goes as soon as it is right
    if plugin != "multus":
        good = GOOD[plugin] | {"cniVersion": "1.0.0"}
        node.call("ADD", good, pod).ok()
        node.call("DEL", good, pod).ok()
