"""bridge with isGateway: addresses on the bridge, defaults in the pod, forwarding, MAC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.netns import confs
from tests.netns.faults import failing

if TYPE_CHECKING:
    from tests.netns.node import Node


def defaults(routes: list[dict[str, object]]) -> list[object]:
    return [r.get("gateway") for r in routes if r["dst"] == "default"]


@pytest.mark.parametrize(
    ("addresses", "on_bridge", "gateways"),
    [
        (["10.1.2.3/24"], ["10.1.2.1/24"], ["10.1.2.1"]),
        (["2001:db8::5/64"], ["2001:db8::1/64"], ["2001:db8::1"]),
        (
            ["192.168.0.5/24", "fd00::5/64"],
            ["192.168.0.1/24", "fd00::1/64"],
            ["192.168.0.1", "fd00::1"],
        ),
        (
            ["192.168.0.5/24", "2001:db8:1::5/64", "2001:db8:2::5/64"],
            ["192.168.0.1/24", "2001:db8:1::1/64", "2001:db8:2::1/64"],
            ["192.168.0.1", "2001:db8:1::1"],
        ),
        (["10.8.0.77/20"], ["10.8.0.1/20"], ["10.8.0.1"]),
        (["fd00:88::77/60"], ["fd00:88::1/60"], ["fd00:88::1"]),
        (["10.10.1.0/31"], ["10.10.1.1/31"], ["10.10.1.1"]),
    ],
)
def test_gateways(
    node: Node, addresses: list[str], on_bridge: list[str], gateways: list[str]
) -> None:
    pod = node.pod()
    conf = confs.bridge(isDefaultGateway=True, ipam=confs.static(*addresses))
    result = node.call("ADD", conf, pod).ok()
    assert sorted(node.addresses("br0")) == sorted(on_bridge)
    assert sorted(pod.addresses("eth0")) == sorted(addresses)
    found = defaults(pod.routes()) + defaults(pod.routes("-6"))
    assert found == gateways
    assert [ip["gateway"] for ip in result["ips"]] == [each.split("/")[0] for each in on_bridge]
    assert [ip["interface"] for ip in result["ips"]] == [2] * len(addresses)
    assert len(result["routes"]) == len(gateways)


def test_the_gateway_answers(node: Node) -> None:
    pod = node.pod()
    ipam = confs.static("10.1.2.3/24", "fd00:1::3/64")
    node.call("ADD", confs.bridge(isDefaultGateway=True, ipam=ipam), pod).ok()
    pod.run("ping", "-c1", "-W5", "10.1.2.1")
    pod.run("ping", "-c1", "-W5", "fd00:1::1")


def test_pods_of_one_bridge_reach_each_other_at_once(node: Node) -> None:
    """Also over IPv6: an address that is still tentative would not answer."""
    pods = [node.pod(), node.pod()]
    for number, pod in enumerate(pods, start=2):
        ipam = confs.static(f"10.1.2.{number}/24", f"fd00:1::{number}/64")
        node.call("ADD", confs.bridge(ipam=ipam), pod).ok()
        flags = [a for a in pod.ip("address", "show", "eth0")[0]["addr_info"] if "tentative" in a]
        assert [a for a in flags if a["scope"] == "global"] == []
    pods[1].run("ping", "-c1", "-W5", "10.1.2.2")
    pods[1].run("ping", "-c1", "-W5", "fd00:1::2")


def test_gateway_of_ipam_is_used(node: Node) -> None:
    pod = node.pod()
    ipam = confs.static("10.1.2.3/24", gateway="10.1.2.254")
    node.call("ADD", confs.bridge(isDefaultGateway=True, ipam=ipam), pod).ok()
    assert node.addresses("br0") == ["10.1.2.254/24"]
    assert defaults(pod.routes()) == ["10.1.2.254"]


@pytest.mark.parametrize(
    "address", ["10.1.2.1/24", "fd00:1::1/64", "10.10.1.1/31", "255.255.255.255/32"]
)
def test_pod_with_the_address_of_the_gateway(node: Node, address: str) -> None:
    """The original gives both the same IPv4 address, and neither works."""
    pod = node.pod()
    before = node.snapshot(pod)
    conf = confs.bridge(isGateway=True, ipam=confs.static(address))
    assert "isGateway" in node.call("ADD", conf, pod).error(7)["msg"]
    assert node.snapshot(pod) == before


def test_without_is_gateway_the_bridge_has_no_address(node: Node) -> None:
    pod = node.pod()
    before = node.sysctl("net/ipv4/ip_forward")
    result = node.call("ADD", confs.bridge(ipam=confs.static("10.1.2.3/24")), pod).ok()
    assert node.addresses("br0") == []
    assert defaults(pod.routes()) == []
    assert "gateway" not in result["ips"][0]
    assert node.sysctl("net/ipv4/ip_forward") == before


def test_is_gateway_alone_gives_no_default_route(node: Node) -> None:
    pod = node.pod()
    node.call("ADD", confs.bridge(isGateway=True, ipam=confs.static("10.1.2.3/24")), pod).ok()
    assert node.addresses("br0") == ["10.1.2.1/24"]
    assert defaults(pod.routes()) == []


@pytest.mark.parametrize(
    ("address", "default"), [("10.1.2.3/24", "0.0.0.0/0"), ("fd00:1::3/64", "::/0")]
)
@pytest.mark.parametrize("with_gateway", [False, True])
def test_default_route_from_ipam_and_from_the_key(
    node: Node, address: str, default: str, with_gateway: bool
) -> None:
    """The original adds the same route twice, and fails with `file exists`."""
    pod = node.pod()
    gateway = "fd00:1::9" if ":" in address else "10.1.2.9"
    route = {"dst": default} | ({"gw": gateway} if with_gateway else {})
    conf = confs.bridge(isDefaultGateway=True, ipam=confs.static(address, routes=[route]))
    node.call("ADD", conf, pod).ok()
    family = "-6" if ":" in address else "-4"
    first = "fd00:1::1" if ":" in address else "10.1.2.1"
    assert defaults(pod.routes(family)) == [gateway if with_gateway else first]


def test_route_given_twice(node: Node) -> None:
    pod = node.pod()
    routes = [{"dst": "10.9.0.0/16"}, {"dst": "10.9.0.0/16"}, {"dst": "10.9.1.1/16"}]
    conf = confs.bridge(isGateway=True, ipam=confs.static("10.1.2.3/24", routes=routes))
    node.call("ADD", conf, pod).ok()
    assert [r["dst"] for r in pod.routes() if r["dst"].startswith("10.9")] == ["10.9.0.0/16"]


@pytest.mark.parametrize(
    ("address", "key"),
    [("10.1.2.3/24", "net/ipv4/ip_forward"), ("fd00:1::3/64", "net/ipv6/conf/all/forwarding")],
)
def test_forwarding_of_the_family_is_enabled(node: Node, address: str, key: str) -> None:
    keys = {"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"}
    for each in keys:
        with open(f"/proc/sys/{each}", "w") as file:
            file.write("0")
    conf = confs.bridge(isGateway=True, ipam=confs.static(address))
    node.call("ADD", conf, node.pod()).ok()
    assert node.sysctl(key) == "1"
    assert node.sysctl((keys - {key}).pop()) == "0"


@pytest.mark.parametrize(
    ("present", "wanted", "conflict"),
    [
        ("10.0.0.1/8", "10.1.2.3/16", True),
        ("10.1.2.1/16", "10.1.2.3/24", True),
        ("192.168.0.1/24", "10.1.2.3/24", True),
        ("2001:db8:1::1/48", "2001:db8:1:2::5/64", True),
        ("2001:db8:1:2::1/64", "fd00:1234::5/64", False),
        ("10.1.2.1/24", "10.1.2.3/24", False),
        ("fd00:1::9/64", "10.1.2.3/24", False),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_bridge_has_another_address(
    node: Node, present: str, wanted: str, conflict: bool, force: bool
) -> None:
    pod = node.pod()
    node.ip("link", "add", "br0", "address", "02:00:00:00:00:b0", "type", "bridge")
    node.ip("link", "set", "br0", "up")
    node.ip("address", "add", present, "dev", "br0", *(["nodad"] if ":" in present else []))
    before = node.snapshot(pod)
    conf = confs.bridge(isGateway=True, forceAddress=force, ipam=confs.static(wanted))
    reply = node.call("ADD", conf, pod)
    if conflict and not force:
        error = reply.error(101)
        assert present in error["details"]
        assert node.snapshot(pod) == before
        return
    gateway = reply.ok()["ips"][0]["gateway"] + "/" + wanted.split("/")[1]
    assert set(node.addresses("br0")) == ({gateway} if conflict else {gateway, present})


def test_forced_address_comes_back_when_the_add_fails(node: Node) -> None:
    pod = node.pod()
    node.ip("link", "add", "br0", "address", "02:00:00:00:00:b0", "type", "bridge")
    node.ip("link", "set", "br0", "up")
    node.ip("address", "add", "10.0.0.1/8", "dev", "br0")
    node.ip("link", "add", "uplink", "type", "veth", "peer", "name", "switch")
    before = node.snapshot(pod)
    routes = [{"dst": "10.99.0.0/16", "gw": "192.0.2.1"}]  # fails last: no such neighbour
    ipam = confs.static("10.1.2.3/24", routes=routes)
    conf = confs.bridge(isGateway=True, forceAddress=True, ipMasq=True, ipam=ipam)
    node.call("ADD", conf, pod).error(101)
    assert node.snapshot(pod) == before


def test_two_gateways_of_one_family_in_one_add(node: Node) -> None:
    """The original refuses its own second IPv4 gateway as a conflicting address."""
    ipam = confs.static("10.1.2.3/24", "10.7.2.3/24")
    node.call("ADD", confs.bridge(isGateway=True, ipam=ipam), node.pod()).ok()
    assert sorted(node.addresses("br0")) == ["10.1.2.1/24", "10.7.2.1/24"]


def test_two_networks_with_one_bridge_and_one_gateway(node: Node) -> None:
    for number in (3, 4):
        conf = confs.bridge(isGateway=True, ipam=confs.static(f"10.1.2.{number}/24"))
        node.call("ADD", conf, node.pod()).ok()
    assert node.addresses("br0") == ["10.1.2.1/24"]


@pytest.mark.parametrize("address", ["10.1.2.{}/24", "fd00:1::{}/64"])
def test_mac_of_a_gateway_does_not_follow_its_ports(node: Node, address: str) -> None:
    conf = confs.bridge(isGateway=True, ipam=confs.static(address.format(3)))
    first, second = node.pod(), node.pod()
    result = node.call("ADD", conf, first).ok()
    mac = node.link("br0")["address"]
    assert result["interfaces"][0]["mac"] == mac
    node.call(
        "ADD", confs.bridge(isGateway=True, ipam=confs.static(address.format(4))), second
    ).ok()
    node.ip("link", "set", node.port(second)["ifname"], "address", "02:00:00:00:00:01")
    assert node.link("br0")["address"] == mac
    node.call("DEL", conf, first).ok()
    assert node.link("br0")["address"] == mac
    assert node.addresses("br0") == [address.format(1)]


def test_gateway_route_attributes_reach_the_kernel(node: Node) -> None:
    """The original ignores mtu and advmss (containernetworking/plugins#971)."""
    pod = node.pod()
    routes = [
        {"dst": "10.5.0.0/16", "gw": "10.1.2.9", "mtu": 1300, "advmss": 1200, "priority": 50},
        {"dst": "10.6.0.0/16", "table": 77},
        {"dst": "10.7.0.0/16", "scope": 253},
        {"dst": "fd00:5::/64", "gw": "fd00:1::9", "mtu": 1350, "priority": 70, "table": 1000},
    ]
    ipam = confs.static("10.1.2.3/24", "fd00:1::3/64", routes=routes)
    conf = confs.bridge(version="1.1.0", isGateway=True, ipam=ipam)
    result = node.call("ADD", conf, pod).ok()
    assert result["routes"] == routes
    by_dst = {r["dst"]: r for r in pod.ip("route", "show", "table", "all")}
    assert by_dst["10.5.0.0/16"]["gateway"] == "10.1.2.9"
    assert by_dst["10.5.0.0/16"]["metric"] == 50
    assert by_dst["10.5.0.0/16"]["metrics"] == [{"mtu": 1300, "advmss": 1200}]
    assert by_dst["10.6.0.0/16"]["table"] == "77"
    assert by_dst["10.6.0.0/16"]["gateway"] == "10.1.2.1"
    assert by_dst["10.7.0.0/16"]["scope"] == "link"
    assert "gateway" not in by_dst["10.7.0.0/16"]
    v6 = next(r for r in pod.ip("-6", "route", "show", "table", "1000"))
    assert (v6["dst"], v6["gateway"], v6["metric"]) == ("fd00:5::/64", "fd00:1::9", 70)
    assert v6["metrics"] == [{"mtu": 1350}]
    node.call("CHECK", conf | {"prevResult": result}, pod).ok()


def test_neighbour_entry_of_an_address_that_got_a_new_owner(node: Node) -> None:
    """The original leaves the old MAC in the host's table (containernetworking/plugins#756)."""
    conf = confs.bridge(isGateway=True, ipam=confs.static("10.1.2.3/24", "fd00:1::3/64"))
    first, second = node.pod(), node.pod()
    node.call("ADD", conf, first).ok()
    node.run("ping", "-c1", "-W5", "10.1.2.3")
    node.run("ping", "-c1", "-W5", "fd00:1::3")
    node.call("DEL", conf, first).ok()
    for ip in ("10.1.2.3", "fd00:1::3"):  # what a runtime that skips DEL would leave
        args = ["dev", "br0", "lladdr", "02:00:00:00:00:99", "nud", "reachable"]
        node.ip("neighbour", "replace", ip, *args)
    node.call("ADD", conf, second).ok()
    stale = [n for n in node.ip("neighbour") if n.get("lladdr") == "02:00:00:00:00:99"]
    assert stale == []
    node.run("ping", "-c1", "-W5", "10.1.2.3")
    node.run("ping", "-c1", "-W5", "fd00:1::3")


def test_host_end_and_bridge_take_no_router_advertisements(node: Node) -> None:
    pod = node.pod()
    node.call("ADD", confs.bridge(ipam=confs.static("fd00:1::3/64")), pod).ok()
    assert node.sysctl("net/ipv6/conf/br0/accept_ra") == "0"
    assert node.sysctl(f"net/ipv6/conf/{node.port(pod)['ifname']}/accept_ra") == "0"


@pytest.mark.parametrize("force", [False, True])
def test_failed_add_takes_its_address_off_a_bridge_with_an_uplink(node: Node, force: bool) -> None:
    """A card of the host in the bridge is no container that could depend on the address."""
    pod = node.pod()
    node.ip("link", "add", "br0", "address", "02:00:00:00:00:b0", "type", "bridge")
    node.ip("link", "add", "low", "type", "veth", "peer", "name", "switch")
    node.ip("link", "add", "link", "low", "name", "uplink", "type", "macvlan")
    node.ip("link", "set", "uplink", "master", "br0")
    for name in ("br0", "low", "switch", "uplink"):
        node.ip("link", "set", name, "up")
    if force:
        node.ip("address", "add", "10.0.0.1/8", "dev", "br0")
    before = node.snapshot(pod)
    conf = confs.bridge(isGateway=True, forceAddress=force, ipam=confs.static("10.1.2.3/24"))
    failed = 0
    for nth in range(1, 200):
        with failing(nth, after=True) as fault:
            reply = node.call("ADD", conf, pod)
        if not fault.hit:
            break
        failed += reply.status
        if reply.status:
            assert node.snapshot(pod) == before, fault.hit
        else:
            node.call("DEL", conf, pod).ok()
            node.ip("address", "flush", "dev", "br0")
            if force:
                node.ip("address", "add", "10.0.0.1/8", "dev", "br0")
    assert failed > 10
