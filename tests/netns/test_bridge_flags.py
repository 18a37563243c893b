"""bridge: mtu, hairpin, promiscuous mode, isolation, a container end that stays down, IPv6."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.netns import confs
from tests.netns.node import down_and_up

if TYPE_CHECKING:
    from typing import Any

    from tests.netns.node import Node, Pod

STATIC = confs.static("10.1.2.3/24")


def port_data(node: Node, pod: Pod) -> Any:
    return node.port(pod)["linkinfo"]["info_slave_data"]


def test_mtu_and_promiscuous_mode(node: Node) -> None:
    pod = node.pod()
    conf = confs.bridge(promiscMode=True, mtu=5000)
    conf["prevResult"] = node.call("ADD", conf, pod).ok()
    assert node.link("br0")["promiscuity"] == 1
    assert [x["mtu"] for x in (node.link("br0"), node.port(pod), pod.link("eth0"))] == [5000] * 3
    node.call("CHECK", conf, pod).ok()
    node.ip("link", "set", "br0", "promisc", "off")
    assert "promiscuous" in node.call("CHECK", conf, pod).error(102)["msg"]


@pytest.mark.parametrize("hairpin", [False, True])
@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize("quoted", [False, True])
def test_port_flags(node: Node, hairpin: bool, isolated: bool, quoted: bool) -> None:
    """The documentation of the originals shows the values quoted, which they do not take."""
    pod = node.pod()

    def flag(value: bool) -> bool | str:
        return str(value).lower() if quoted else value

    conf = confs.bridge(hairpinMode=flag(hairpin), portIsolation=flag(isolated))
    conf["prevResult"] = node.call("ADD", conf, pod).ok()
    data = port_data(node, pod)
    assert (data["hairpin"], data["isolated"]) == (hairpin, isolated)
    node.call("CHECK", conf, pod).ok()
    conf |= {"hairpinMode": not hairpin}
    assert "hairpin" in node.call("CHECK", conf, pod).error(102)["msg"]


def test_isolated_pods_reach_the_host_and_not_each_other(node: Node) -> None:
    pods = [node.pod(), node.pod()]
    for number, pod in enumerate(pods, start=2):
        ipam = confs.static(f"10.1.2.{number}/24")
        node.call("ADD", confs.bridge(portIsolation=True, isGateway=True, ipam=ipam), pod).ok()
    pods[0].run("ping", "-c1", "-W5", "10.1.2.1")
    with pytest.raises(AssertionError):
        pods[0].run("ping", "-c1", "-W1", "10.1.2.3")


def test_hairpin_lets_a_pod_reach_itself_through_the_bridge(node: Node) -> None:
    """As a service address does that leads back to the pod which asks."""
    pod = node.pod()
    conf = confs.bridge(hairpinMode=True, isDefaultGateway=True, ipam=STATIC)
    node.call("ADD", conf, pod).ok()
    node.run("nft", "add table ip t; add chain ip t p { type nat hook prerouting priority -100; };"
             "add rule ip t p ip daddr 192.0.2.7 dnat to 10.1.2.3;"
             "add chain ip t q { type nat hook postrouting priority 99; };"
             "add rule ip t q ip saddr 10.1.2.3 ip daddr 10.1.2.3 masquerade")  # fmt: skip
    pod.run("ping", "-c1", "-W5", "192.0.2.7")


def test_hairpin_with_promiscuous_mode_is_refused(node: Node) -> None:
    before = node.snapshot()
    error = node.call("ADD", confs.bridge(hairpinMode=True, promiscMode=True), node.pod()).error(7)
    assert "hairpin mode and promiscuous mode at the same time" in error["msg"]
    assert node.snapshot() == before


def test_disabled_container_interface(node: Node) -> None:
    """It stays down, and nothing waits for it."""
    pod = node.pod()
    conf = confs.bridge(disableContainerInterface=True)
    conf["prevResult"] = node.call("ADD", conf, pod).ok()
    assert "UP" not in pod.link("eth0")["flags"]
    assert "UP" in node.port(pod)["flags"]
    node.call("CHECK", conf, pod).ok()
    node.call("DEL", conf, pod).ok()
    assert pod.links() == ["lo"]


def test_disabled_container_interface_has_no_addresses(node: Node) -> None:
    before = node.snapshot()
    conf = confs.bridge(disableContainerInterface=True, ipam=confs.whereabouts("10.1.2.0/24"))
    error = node.call("ADD", conf, node.pod()).error(7)
    assert "cannot use IPAM" in error["msg"]
    assert node.snapshot() == before


def test_port_forwards_when_add_returns(node: Node) -> None:
    """What a pod sends before that is lost."""
    pod = node.pod()
    node.call("ADD", confs.bridge(ipam=STATIC), pod).ok()
    assert node.port(pod)["operstate"] == "UP"
    assert port_data(node, pod)["state"] == "forwarding"


@pytest.mark.parametrize("dad", [False, True])
def test_duplicate_address_detection_on_demand(node: Node, dad: bool) -> None:
    pod = node.pod()
    conf = confs.bridge(enabledad=dad, isGateway=True, ipam=confs.static("fd00:1::3/64"))
    node.call("ADD", conf, pod).ok()
    assert pod.sysctl("net/ipv6/conf/eth0/accept_dad") == str(int(dad))
    tentative = [a for a in pod.ip("address", "show", "eth0")[0]["addr_info"] if "tentative" in a]
    assert [a for a in tentative if a["scope"] == "global"] == []


def test_duplicate_address_is_found(node: Node) -> None:
    conf = confs.bridge(enabledad=True, isGateway=True, ipam=confs.static("fd00:1::3/64"))
    first, second = node.pod(), node.pod()
    node.call("ADD", conf, first).ok()
    before = node.snapshot(first, second)
    error = node.call("ADD", conf, second).error(101)
    assert "duplicate address fd00:1::3/64" in error["details"]
    assert node.snapshot(first, second) == before
    first.run("ping", "-c1", "-W5", "fd00:1::1")


def test_ipv6_is_switched_on_where_the_pod_has_it_off(node: Node) -> None:
    pod = node.pod()
    for name in ("all", "default", "lo"):
        pod.run("sh", "-c", f"echo 1 > /proc/sys/net/ipv6/conf/{name}/disable_ipv6")
    conf = confs.bridge(isDefaultGateway=True, ipam=confs.static("10.1.2.3/24", "fd00:1::3/64"))
    node.call("ADD", conf, pod).ok()
    assert pod.sysctl("net/ipv6/conf/eth0/disable_ipv6") == "0"
    assert pod.sysctl("net/ipv6/conf/lo/disable_ipv6") == "0"
    pod.run("ping", "-c1", "-W5", "fd00:1::1")


def test_ipv6_stays_off_where_only_ipv4_is_given(node: Node) -> None:
    pod = node.pod()
    pod.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6")
    node.call("ADD", confs.bridge(ipam=STATIC), pod).ok()
    assert pod.sysctl("net/ipv6/conf/eth0/disable_ipv6") == "1"


def test_addresses_are_announced_and_survive_a_link_that_goes_down(node: Node) -> None:
    pod = node.pod()
    ipam = confs.static("10.1.2.3/24", "fd00:1::3/64")
    node.call("ADD", confs.bridge(ipam=ipam), pod).ok()
    assert pod.sysctl("net/ipv4/conf/eth0/arp_notify") == "1"
    assert pod.sysctl("net/ipv6/conf/eth0/ndisc_notify") == "1"
    down_and_up(pod, "eth0")
    assert pod.addresses("eth0") == ["10.1.2.3/24", "fd00:1::3/64"]


def test_mtu_that_the_kernel_refuses(node: Node) -> None:
    pod = node.pod()
    before = node.snapshot(pod)
    error = node.call("ADD", confs.bridge(mtu=70000, ipam=STATIC), pod).error(101)
    assert "br0" in error["msg"]
    assert node.snapshot(pod) == before
