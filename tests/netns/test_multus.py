"""multus with our own delegates on a real kernel: three networks, default routes, rollback."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.netns.confs import bridge, host_device, static, whereabouts
from tests.netns.faults import failing

if TYPE_CHECKING:
    from tests.netns.confs import Conf
    from tests.netns.node import Node, Pod

GATEWAYS = {4: "10.7.0.1", 6: "fd00:7::1"}


def multus(node: Node, *attachments: Conf, **keys: Any) -> Conf:
    """A default bridge that has default routes, and NADs `second` and `device` to choose from."""
    nads = node.root / "nads"
    nads.mkdir(exist_ok=True)
    second = bridge(
        name="second", bridge="br1", isGateway=True, ipam=static("10.7.0.5/24", "fd00:7::5/64")
    )
    device = host_device(name="device", device="dev0", ipam=whereabouts("10.8.0.0/24"))
    for each in (second, device):
        (nads / f"{each['name']}.conf").write_text(json.dumps(each))
    pods = bridge(
        name="pods", isDefaultGateway=True, ipMasq=True, macspoofchk=True,
        ipam=whereabouts("10.6.0.0/24", ipRanges=[{"range": "fd00:6::/64"}]),
    )  # fmt: skip
    return {
        "cniVersion": "1.1.0",
        "name": "node",
        "type": "multus",
        "confDir": str(nads),
        "binDir": node.bin_path,
        "delegates": [pods],
        "attachments": list(attachments),
        **keys,
    }


@pytest.fixture
def device(node: Node) -> str:
    node.ip("link", "add", "dev0", "type", "veth", "peer", "name", "cable0")
    node.ip("link", "set", "cable0", "up")
    return "dev0"


def with_bridges(node: Node) -> None:
    """Bridges outlive their pods: have them there before a snapshot is taken."""
    pod = node.pod("early")
    node.call("ADD", multus(node, {"name": "second"}), pod).ok()
    node.call("DEL", multus(node, {"name": "second"}), pod).ok()


def defaults(pod: Pod) -> dict[int, list[tuple[str, str]]]:
    found = {}
    for version in (4, 6):
        routes = [each for each in pod.routes(f"-{version}") if each["dst"] == "default"]
        found[version] = sorted((each["dev"], each["gateway"]) for each in routes)
    return found


def test_three_networks_and_nothing_left(node: Node, device: str) -> None:
    pod = node.pod()
    before = node.snapshot(pod)
    conf = multus(node, {"name": "second"}, {"name": "device", "interface": "fast0"})
    result = node.call("ADD", conf, pod).ok()
    assert [each["address"] for each in result["ips"]] == ["10.6.0.2/24", "fd00:6::2/64"]
    assert set(pod.links()) == {"lo", "eth0", "net1", "fast0"}
    assert pod.addresses("net1") == ["10.7.0.5/24", "fd00:7::5/64"]
    assert pod.addresses("fast0") == ["10.8.0.1/24"]
    node.call("CHECK", conf | {"prevResult": result}, pod).ok()
    node.call("DEL", conf, pod).ok()
    node.call("DEL", conf, pod).ok()
    for name in ("br0", "br1"):
        node.ip("link", "delete", name)
    assert node.snapshot(pod) == before


@pytest.mark.parametrize("families", [(), (4,), (6,), (4, 6)])
def test_default_route_moves_the_families_that_are_asked_for(
    node: Node, families: tuple[int, ...]
) -> None:
    """The original strips both families, an empty list included (multus-cni#847, #1444)."""
    pod = node.pod()
    chosen = [GATEWAYS[each] for each in families]
    conf = multus(node, {"name": "second", "default-route": chosen})
    result = node.call("ADD", conf, pod).ok()
    own = {4: ("eth0", "10.6.0.1"), 6: ("eth0", "fd00:6::1")}
    expected = {v: [("net1", GATEWAYS[v]) if v in families else own[v]] for v in (4, 6)}
    assert defaults(pod) == expected
    told = {":" in route["dst"] for route in result.get("routes", [])}
    assert told == {version == 6 for version in (4, 6) if version not in families}
    node.call("CHECK", conf | {"prevResult": result}, pod).ok()


def test_a_gateway_that_cannot_be_reached_undoes_all(node: Node) -> None:
    with_bridges(node)
    pod = node.pod()
    before = node.snapshot(pod)
    conf = multus(node, {"name": "second", "default-route": ["192.0.2.1"]})
    error = node.call("ADD", conf, pod).error(101)
    assert "192.0.2.1" in error["msg"]
    assert node.snapshot(pod) == before


def test_a_taken_interface_name_is_refused_before_anything(node: Node) -> None:
    """The original deletes the working eth0 on its way back."""
    pod = node.pod()
    pod.ip("link", "add", "net1", "type", "veth", "peer", "name", "other")
    before = node.snapshot(pod)
    error = node.call("ADD", multus(node, {"name": "second"}), pod).error()
    assert "net1" in error["msg"]
    assert node.snapshot(pod) == before


def test_a_repeated_add_does_not_harm_the_pod(node: Node) -> None:
    pod = node.pod()
    conf = multus(node, {"name": "second"})
    node.call("ADD", conf, pod).ok()
    before = node.snapshot(pod)
    assert "already attached" in node.call("ADD", conf, pod).error(7)["msg"]
    assert node.snapshot(pod) == before


def test_gc_collects_the_dead_and_spares_the_living(node: Node, device: str) -> None:
    dead, living = node.pod(), node.pod()
    conf = multus(node, {"name": "device"})
    node.call("ADD", conf, dead).ok()
    node.call("ADD", multus(node), living).ok()
    valid = [{"containerID": living.name, "ifname": "eth0"}]
    node.call("GC", multus(node) | {"cni.dev/valid-attachments": valid}).ok()
    assert {(cid, ifname) for cid, ifname, _ in node.leases()} == {(living.name, "eth0")}
    assert device in node.links()
    assert "eth0" in living.links()
    assert dead.links() == ["lo"]


def test_status_asks_the_networks(node: Node) -> None:
    node.call("STATUS", multus(node)).ok()
    broken = multus(node)
    broken["delegates"] = [bridge(version="1.1.0", ipam={"type": "no-such-ipam"})]
    node.call("STATUS", broken).error()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_add_that_fails_at_any_call_leaves_nothing(node: Node, device: str, after: bool) -> None:
    with_bridges(node)
    pod = node.pod()
    conf = multus(node, {"name": "second", "default-route": ["10.7.0.1"]}, {"name": "device"})
    before = node.snapshot(pod)
    for nth in range(1, 400):
        with failing(nth, after=after) as fault:
            reply = node.call("ADD", conf, pod)
        if not fault.hit:
            assert nth > 60
            reply.ok()
            return
        if reply.status == 0:  # a hint, an announcement: nothing that the pod needs
            node.call("DEL", conf, pod).ok()
        assert node.snapshot(pod) == before, f"call {nth}: {fault.hit}"
    pytest.fail("the ADD never came to its end")
