"""bridge: the bridge, the pair and the result; what happens when something is in the way."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.netns import confs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.netns.node import Node

STATIC = confs.static("10.1.2.3/24")


def test_add_makes_bridge_and_pair(node: Node) -> None:
    pod = node.pod()
    conf = confs.bridge(isDefaultGateway=True, ipam=STATIC)
    result = node.call("ADD", conf, pod).ok()

    bridge, host, eth0 = node.link("br0"), node.port(pod), pod.link("eth0")
    assert bridge["linkinfo"]["info_kind"] == "bridge"
    assert host["master"] == "br0"
    for link in (bridge, host, eth0):
        assert "UP" in link["flags"]
    assert result == {
        "cniVersion": "1.0.0",
        "interfaces": [
            {"name": "br0", "mac": bridge["address"]},
            {"name": host["ifname"], "mac": host["address"]},
            {"name": "eth0", "mac": eth0["address"], "sandbox": pod.path},
        ],
        "ips": [{"address": "10.1.2.3/24", "gateway": "10.1.2.1", "interface": 2}],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.2.1"}],
    }
    assert pod.addresses("eth0") == ["10.1.2.3/24"]


def test_default_bridge_is_cni0(node: Node) -> None:
    conf = confs.bridge()
    del conf["bridge"]
    node.call("ADD", conf, node.pod()).ok()
    cni0 = node.link("cni0")
    assert "UP" in cni0["flags"]
    assert cni0["promiscuity"] == 0


def test_present_bridge_is_used_as_it_is(node: Node) -> None:
    node.ip("link", "add", "br0", "mtu", "1400", "type", "bridge")
    before = node.link("br0")["ifindex"]
    pod = node.pod()
    node.call("ADD", confs.bridge(mtu=1300), pod).ok()
    bridge = node.link("br0")
    assert bridge["ifindex"] == before
    assert bridge["mtu"] == 1400 or bridge["mtu"] == 1300  # the kernel follows the smallest port
    assert pod.link("eth0")["mtu"] == 1300
    assert node.port(pod)["mtu"] == 1300


def test_present_bridge_is_as_it_was_after_an_add_that_failed(node: Node) -> None:
    node.ip("link", "add", "br0", "address", "02:00:00:00:00:b0", "type", "bridge")
    pod = node.pod()
    before = node.snapshot(pod)
    ipam = confs.static("10.1.2.3/24", routes=[{"dst": "192.0.2.0/24", "gw": "198.51.100.1"}])
    node.call("ADD", confs.bridge(isGateway=True, promiscMode=True, ipam=ipam), pod).error(101)
    assert node.snapshot(pod) == before


@pytest.mark.parametrize("kind", ["veth", "macvlan"])
def test_link_of_another_kind_under_the_bridge_name(node: Node, kind: str) -> None:
    lower = ["link", "lo"] if kind == "macvlan" else []
    if kind == "macvlan":
        node.ip("link", "add", "low0", "type", "veth", "peer", "name", "low1")
        lower = ["link", "low0"]
    node.ip("link", "add", *lower, "name", "br0", "type", kind)
    pod = node.pod()
    before = node.snapshot(pod)
    error = node.call("ADD", confs.bridge(ipam=STATIC), pod).error()
    assert "already exists but is not a bridge" in error["details"]
    assert node.snapshot(pod) == before


def test_l2_network_has_no_addresses(node: Node) -> None:
    pod = node.pod()
    result = node.call("ADD", confs.bridge(ipam={}), pod).ok()
    assert "ips" not in result
    assert "UP" in pod.link("eth0")["flags"]
    assert pod.addresses("eth0") == []


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
@pytest.mark.parametrize("ipam", [{}, None])
def test_l2_network_cannot_be_told_in_old_versions(
    node: Node, version: str, ipam: dict[str, str] | None
) -> None:
    """The original answers with an error, and leaves the container attached."""
    pod = node.pod()
    before = node.snapshot(pod)
    error = node.call("ADD", confs.bridge(version=version, ipam=ipam), pod).error(1)
    assert "no valid IP addresses" in error["details"]
    assert node.snapshot(pod) == before


@pytest.mark.parametrize("version", ["", "0.1.0", "0.2.0"])
def test_result_in_the_oldest_shape(node: Node, version: str) -> None:
    ipam = confs.static(
        "10.1.2.3/24", routes=[{"dst": "10.5.0.0/16", "gw": "10.1.2.9"}], dns={"search": ["a.b"]}
    )
    conf = confs.bridge(version=version, isDefaultGateway=True, ipam=ipam)
    if not version:
        del conf["cniVersion"]
    assert node.call("ADD", conf, node.pod()).ok() == {
        "cniVersion": version or "0.1.0",
        "ip4": {
            "ip": "10.1.2.3/24",
            "gateway": "10.1.2.1",
            "routes": [
                {"dst": "10.5.0.0/16", "gw": "10.1.2.9"},
                {"dst": "0.0.0.0/0", "gw": "10.1.2.1"},
            ],
        },
        "dns": {"search": ["a.b"]},
    }


@pytest.mark.parametrize("version", ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_result_of_each_version(node: Node, version: str) -> None:
    pod = node.pod()
    conf = confs.bridge(version=version, ipam=STATIC)
    result = node.call("ADD", conf, pod).ok()
    assert result["cniVersion"] == version
    assert [each["name"] for each in result["interfaces"]][::2] == ["br0", "eth0"]
    old = version.startswith("0.")
    assert result["ips"][0].get("version") == ("4" if old else None)
    assert result.get("dns") == ({} if old else None)


@pytest.mark.parametrize("conf_version", ["0.4.0", "1.1.0"])
@pytest.mark.parametrize("result_version", ["0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_prev_result_of_another_version_is_understood(
    node: Node, conf_version: str, result_version: str
) -> None:
    pod = node.pod()
    prev = node.call("ADD", confs.bridge(version=result_version, ipam=STATIC), pod).ok()
    conf = confs.bridge(version=conf_version, ipam=STATIC, prevResult=prev)
    node.call("CHECK", conf, pod).ok()


def test_dns_of_the_configuration_beats_that_of_ipam(node: Node) -> None:
    ipam = confs.static("10.1.2.3/24", dns={"nameservers": ["10.0.0.1"], "search": ["a"]})
    kept = node.call("ADD", confs.bridge(ipam=ipam), node.pod()).ok()
    assert kept["dns"] == {"nameservers": ["10.0.0.1"], "search": ["a"]}
    conf = confs.bridge(ipam=ipam, dns={"nameservers": ["10.0.0.2"]})
    assert node.call("ADD", conf, node.pod()).ok()["dns"] == {"nameservers": ["10.0.0.2"]}


def test_name_taken_in_the_pod(node: Node) -> None:
    """The original takes an address first; and whoever cleans up must not take the present one."""
    pod = node.pod()
    conf = confs.bridge(
        isDefaultGateway=True, ipMasq=True, macspoofchk=True, ipam=confs.whereabouts("10.1.2.0/29")
    )
    node.call("ADD", conf, pod).ok()
    before, leases = node.snapshot(pod), node.leases()
    error = node.call("ADD", conf, pod).error(4)
    assert 'CNI_IFNAME "eth0" already exists' in error["msg"]
    assert node.snapshot(pod) == before
    assert node.leases() == leases


def test_name_taken_in_the_pod_by_another_kind(node: Node) -> None:
    pod = node.pod()
    pod.ip("link", "add", "eth0", "type", "bridge")
    before = node.snapshot(pod)
    node.call("ADD", confs.bridge(ipam=STATIC), pod).error(4)
    assert node.snapshot(pod) == before


def test_add_again_after_the_link_was_renamed(node: Node) -> None:
    """The host's end bears the attachment's name: a second ADD must not undo the first."""
    pod = node.pod()
    conf = confs.bridge(ipMasq=True, macspoofchk=True, ipam=STATIC)
    node.call("ADD", conf, pod).ok()
    pod.ip("link", "set", "eth0", "down")
    pod.ip("link", "set", "eth0", "name", "data0")
    before = node.snapshot(pod)
    error = node.call("ADD", conf, pod).error()
    assert "already exists" in error["msg"] + error.get("details", "")
    assert node.snapshot(pod) == before


def test_host_end_left_by_a_killed_add_does_not_block_the_next(node: Node) -> None:
    """A namespace that dies takes its end along, and the host's with it."""
    conf = confs.bridge(ipam=STATIC)
    first = node.pod()
    node.call("ADD", conf, first).ok()
    name = first.name
    first.destroy()
    second = node.pod()
    second.name = name
    node.call("ADD", conf, second).ok()


def test_missing_namespace(node: Node) -> None:
    """The original makes the bridge before it looks."""
    before = node.snapshot()
    environ = node.environ("ADD", node.pod()) | {"CNI_NETNS": "/run/netns/nowhere"}
    error = node.raw("bridge", environ, confs.encoded(confs.bridge(ipam=STATIC))).error(8)
    assert error["msg"] == 'CNI_NETNS "/run/netns/nowhere" cannot be opened'
    assert "ENOENT" in error["details"]
    assert node.snapshot() == before


def test_path_that_is_no_namespace(node: Node, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    for path in (str(plain), "/proc/self/ns/mnt", "/dev/null", str(tmp_path)):
        before = node.snapshot()
        environ = node.environ("ADD", node.pod()) | {"CNI_NETNS": path}
        error = node.raw("bridge", environ, confs.encoded(confs.bridge(ipam=STATIC))).error(8)
        assert path in error["msg"]
        assert "not a network namespace" in error["details"]
        assert node.snapshot() == before


@pytest.mark.parametrize("command", ["ADD", "DEL"])
def test_own_namespace_is_refused_before_any_work(node: Node, command: str) -> None:
    """The original works first: a DEL takes an interface of the host, then complains."""
    node.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0peer")
    before = node.snapshot()
    environ = node.environ(command, node.pod()) | {"CNI_NETNS": "/proc/self/ns/net"}
    node.raw("bridge", environ, confs.encoded(confs.bridge(ipam=STATIC))).error(8)
    assert node.snapshot() == before


@pytest.mark.parametrize(("override", "status"), [("1", 0), ("TRUE", 0), ("true", 0), ("yes", 1)])
def test_own_namespace_with_override(node: Node, override: str, status: int) -> None:
    environ = node.environ("ADD", node.pod(), "pod0", CNI_NETNS_OVERRIDE=override)
    environ["CNI_NETNS"] = f"/proc/{os.getpid()}/ns/net"
    reply = node.raw("bridge", environ, confs.encoded(confs.bridge(ipam=STATIC)))
    assert reply.status == status
    assert ("pod0" in node.links()) == (status == 0)


def test_two_interfaces_of_one_container(node: Node) -> None:
    pod = node.pod()
    for number, ifname in enumerate(("eth0", "eth1"), start=1):
        conf = confs.bridge(
            name=f"net{number}", bridge=f"br{number}", isDefaultGateway=True,
            ipam=confs.static(f"10.{number}.0.5/24", f"fd00:{number}::5/64"),
        )  # fmt: skip
        node.call("ADD", conf, pod, ifname).ok()
    gateways = [r["gateway"] for r in pod.routes() if r["dst"] == "default"]
    assert gateways[0] == "10.2.0.1"  # the newest comes first
    assert sorted(gateways) == ["10.1.0.1", "10.2.0.1"]


def test_a_name_that_the_kernel_would_expand(node: Node) -> None:
    """`br%d` is a pattern for the kernel: it would make br0, and nobody would find it again."""
    pod = node.pod()
    before = node.snapshot(pod)
    node.call("ADD", confs.bridge(bridge="br%d", ipam=STATIC), pod).error(7)
    node.call("ADD", confs.bridge(ipam=STATIC), pod, "eth%d").error(4)
    assert node.snapshot(pod) == before
