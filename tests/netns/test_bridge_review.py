"""Harm to others: what the review of the bridge found, each case with who would be hurt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.netns.confs import bridge, static

if TYPE_CHECKING:
    import pytest

    from tests.netns.confs import Conf
    from tests.netns.node import Node, Pod

FIRST = bridge(name="first", macspoofchk=True, isGateway=True, ipam=static("10.1.0.5/24"))
#: refused late: after the gateway is on the bridge
FAILING = bridge(
    name="second", isGateway=True, ipMasq=True, ipMasqBackend="iptables",
    ipam=static("10.2.0.5/24"),
)  # fmt: skip


def test_the_del_after_a_refused_add_spares_the_other_network(node: Node) -> None:
    """The runtime sends DEL for the network that was refused because `eth0` is another's."""
    pod = node.pod()
    result = node.call("ADD", FIRST, pod).ok()
    other = bridge(name="second", macspoofchk=True, ipam=static("10.2.0.5/24"))
    assert "already exists" in node.call("ADD", other, pod).error(4)["msg"]
    node.call("DEL", other, pod).ok()
    assert pod.addresses("eth0") == ["10.1.0.5/24"]
    node.call("CHECK", FIRST | {"prevResult": result}, pod).ok()
    node.call("DEL", FIRST, pod).ok()
    assert pod.links() == ["lo"]


def fails_without_iptables(
    node: Node, conf: Conf, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        context.setenv("PATH", "/nonexistent")
        assert "tables" in node.call("ADD", conf, pod).error(101)["msg"]


def test_an_add_that_fails_takes_back_its_gateway_beside_living_pods(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    living, failing = node.pod(), node.pod()
    node.call("ADD", FIRST, living).ok()
    before = node.snapshot(living, failing)
    conf = {**FAILING, "ipam": static("fd00:2::5/64")}
    fails_without_iptables(node, conf, failing, monkeypatch)
    assert node.snapshot(living, failing) == before


def test_a_forced_gateway_that_fails_gives_back_the_living_pods(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    living, failing = node.pod(), node.pod()
    node.call("ADD", FIRST, living).ok()
    before = node.snapshot(living, failing)
    fails_without_iptables(node, {**FAILING, "forceAddress": True}, failing, monkeypatch)
    assert node.addresses("br0") == ["10.1.0.1/24"]
    assert node.snapshot(living, failing) == before


def test_a_default_route_of_a_private_table_is_not_the_default(node: Node) -> None:
    pod = node.pod()
    ipam = static("10.1.0.5/24", routes=[{"dst": "0.0.0.0/0", "table": 100}])
    node.call("ADD", bridge(isDefaultGateway=True, ipam=ipam), pod).ok()
    defaults = [each for each in pod.routes() if each["dst"] == "default"]
    assert [each["gateway"] for each in defaults] == ["10.1.0.1"]


def test_a_node_keeps_the_default_that_a_router_advertised(node: Node) -> None:
    """Forwarding makes a router of it, which by itself takes no advertisement any more."""
    node.ip("link", "add", "uplink0", "type", "veth", "peer", "name", "router0")
    for name in ("uplink0", "router0"):
        node.ip("link", "set", name, "up")
    advertised = ("default", "via", "fe80::1", "dev", "uplink0", "proto", "ra")
    node.ip("-6", "route", "add", *advertised)
    conf = bridge(isGateway=True, ipam=static("fd00::2/64"))
    node.call("ADD", conf, node.pod()).ok()
    assert node.sysctl("net/ipv6/conf/all/forwarding") == "1"
    defaults = [r for r in node.ip("-6", "route") if r["dst"] == "default"]
    assert [r["gateway"] for r in defaults] == ["fe80::1"]
    assert node.sysctl("net/ipv6/conf/uplink0/accept_ra") == "2"
    assert node.sysctl("net/ipv6/conf/router0/accept_ra") == "1"


def test_a_host_without_ipv6_by_default_gets_it_on_the_bridge(node: Node) -> None:
    with open("/proc/sys/net/ipv6/conf/default/disable_ipv6", "w") as file:
        file.write("1")
    pod = node.pod()
    node.call("ADD", bridge(isGateway=True, ipam=static("fd00::2/64")), pod).ok()
    assert node.addresses("br0") == ["fd00::1/64"]
    assert pod.addresses("eth0") == ["fd00::2/64"]


def test_del_does_without_a_prev_result_that_nobody_can_read(node: Node) -> None:
    pod = node.pod()
    node.call("ADD", FIRST, pod).ok()
    told = {"prevResult": {"cniVersion": "9.9.9", "ips": 7}}
    node.call("DEL", FIRST | told, pod).ok()
    assert pod.links() == ["lo"]
