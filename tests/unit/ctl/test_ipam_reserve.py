"""`plait ipam reserve` and `plait ipam release`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cni.core import syncing
from tests.unit.ctl.leased import RANGE, plugin

if TYPE_CHECKING:
    from tests.unit.ctl.leased import Node

HERE = "/proc/self/ns/net"


def held(node: Node) -> list[tuple[str, str, str]]:
    found = node.ok("leases", "--json").json["holds"]
    return [(each["address"], each["kind"], each["holder"]) for each in found]


def test_a_reserved_address_is_its_pods(node: Node) -> None:
    node.lease(1)
    said = node.ok("ipam", "reserve", "10.0.0.2", "--pod", "default/p2")
    assert said.out == "done: 10.0.0.2 of range 10.0.0.0/24 is reserved for default/p2\n"
    assert node.lease(3) == "10.0.0.3"
    assert node.lease(2) == "10.0.0.2"
    node.release(2)
    assert held(node) == [("10.0.0.2", "reserved", "default/p2")]


def test_an_address_that_the_pod_has(node: Node) -> None:
    node.lease(1)
    said = node.ok("ipam", "reserve", "10.0.0.1", "--pod", "default/p1")
    assert "is leased to default/p1, and reserved for it when that has ended" in said.out
    node.release(1)
    assert held(node) == [("10.0.0.1", "reserved", "default/p1")]


def test_on_an_empty_node(node: Node) -> None:
    asked = ("ipam", "reserve", "10.0.0.2", "--pod", "a/b")
    failed = node.run(*asked)
    assert failed.status == 1 and "Name it with --range" in failed.err
    assert not node.state.exists()
    node.ok(*asked, "--range", "10.0.0.77/24", "--network-name", "x", "--ifname", "net1")
    (hold,) = node.store.holds()
    assert (hold.cidr, hold.network_name, hold.ifname) == (RANGE, "x", "net1")


def test_the_range_of_a_configuration(node: Node) -> None:
    conf = node.conf(plugin(range=RANGE, exclude=["10.0.0.0/28"], network_name="x"))
    node.ok("ipam", "reserve", "10.0.0.16", "--pod", "a/b", "--conf", conf)
    (hold,) = node.store.holds()
    assert (hold.cidr, hold.network_name, hold.ifname) == (RANGE, "x", "")
    failed = node.run("ipam", "reserve", "10.0.0.15", "--pod", "a/b", "--conf", conf)
    assert failed.status == 1 and "the range does not hand it out" in failed.err


def test_what_is_said_is_durable(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin's call has more to do meanwhile; here SQLite waits in the transaction."""

    def later(path: str, **_: str) -> None:
        pytest.fail(f"{path} is to be synced when nobody waits for it")

    monkeypatch.setattr(syncing, "begin", later)
    conf = node.conf(plugin(range="10.0.0.0/24"))
    node.ok("ipam", "reserve", "10.0.0.9", "--pod", "default/p1", "--conf", conf)
    node.ok("ipam", "release", "10.0.0.9", "--conf", conf)


@pytest.mark.parametrize("address", ["10.0.0.0", "10.0.0.255"])
def test_what_no_range_hands_out(node: Node, address: str) -> None:
    said = node.run("ipam", "reserve", address, "--pod", "a/b", "--range", RANGE)
    assert said.status == 1 and not node.store.holds()


def test_several_ranges(node: Node) -> None:
    node.lease(1)
    node.lease(2, "10.0.0.0/28", network_name="x")
    failed = node.run("ipam", "reserve", "10.0.0.9", "--pod", "a/b")
    assert failed.status == 1 and "10.0.0.0/28 of x" in failed.err
    node.ok("ipam", "reserve", "10.0.0.9", "--pod", "a/b", "--network-name", "x")
    assert node.store.holds()[0].network_name == "x"


def test_of_another(node: Node) -> None:
    node.lease(1)
    assert "leased to container c1" in node.run("ipam", "reserve", "10.0.0.1", "--pod", "a/b").err
    node.ok("ipam", "reserve", "10.0.0.9", "--pod", "a/b")
    assert "kept for a/b" in node.run("ipam", "reserve", "10.0.0.9", "--pod", "c/d").err
    node.ok("ipam", "reserve", "10.0.0.9", "--pod", "a/b")


@pytest.mark.parametrize(
    "arguments",
    [
        ("reserve", "10.0.0.1"), ("reserve", "--pod", "a/b"),
        ("reserve", "10.0.0.1/24", "--pod", "a/b"), ("reserve", "10.0.0.1", "--pod", "b"),
        ("reserve", "10.0.0.1", "--pod", ""), ("reserve", "", "--pod", "a/b"),
        ("reserve", "10.0.0.1", "--pod", "a/b", "--range", "10.0.0.0"),
        ("reserve", "10.0.0.1", "--pod", "a/b", "--ifname", "a/b"),
        ("release",), ("release", "x"), ("release", "--pod", "x"),
        ("reconcile", "--strikes", "0"), ("reconcile", "--grace", "-1"),
        ("import",), ("import", "--network", "net"), ("nothing",),
        ("import", "--network", "a/b", "--host-local", "/x"),
        ("import", "--network", "net", "--whereabouts"),
    ],
)  # fmt: skip
def test_wrongly_called(node: Node, arguments: tuple[str, ...]) -> None:
    said = node.run("ipam", *arguments)
    assert said.status == 2 and "Usage: plait ipam" in said.err and "Traceback" not in said.err


def test_a_hold_is_forgotten(node: Node) -> None:
    node.reserve("10.0.0.9", "a/b")
    said = node.ok("ipam", "release", "10.0.0.9")
    assert said.out == "done: 10.0.0.9 of range 10.0.0.0/24 is free, it was reserved for a/b\n"
    assert node.ok("ipam", "release", "10.0.0.9").out.startswith("nothing to do: ")
    assert not node.store.holds()


@pytest.mark.parametrize(("netns", "reason"), [(HERE, f"{HERE} lives"), ("", "nothing is known")])
def test_a_lease_that_may_be_in_use_stays(node: Node, netns: str, reason: str) -> None:
    node.lease(1, netns=netns)
    node.reserve("10.0.0.9", "default/p1")
    for selected in (("10.0.0.1",), ("--container", "c1"), ("--pod", "default/p1")):
        failed = node.run("ipam", "release", *selected)
        assert failed.status == 1 and reason in failed.err and "--force" in failed.err
    assert node.addresses() == ["10.0.0.1"] and held(node)
    node.ok("ipam", "release", "10.0.0.1", "--force")
    assert node.addresses() == []


def test_all_of_a_container_or_pod(node: Node) -> None:
    gone = str(node.path / "gone")
    node.lease(1, netns=gone)
    node.lease(1, "fd00::/64", network="six", netns=gone)
    node.lease(2, netns=gone, pod="")
    node.reserve("10.0.0.9", "default/p1")
    said = node.ok("ipam", "release", "--pod", "default/p1")
    assert said.out.count("done: ") == 3 and "default/p1, container c1 eth0" in said.out
    assert node.addresses() == ["10.0.0.2"] and not held(node)
    node.ok("ipam", "release", "--container", "c2")
    assert node.addresses() == []
    assert node.lease(5) == "10.0.0.1"


def test_only_of_one_network(node: Node) -> None:
    gone = str(node.path / "gone")
    node.lease(1, netns=gone)
    node.lease(1, "10.1.0.0/24", network="other", netns=gone)
    node.ok("ipam", "release", "--pod", "default/p1", "--network", "other")
    assert node.addresses() == ["10.0.0.1"]


def test_what_the_network_keeps_is_said(node: Node) -> None:
    node.lease(1, netns=str(node.path / "gone"), sticky=-1)
    said = node.ok("ipam", "release", "10.0.0.1")
    assert "sticky for ever: release it again to free it" in said.out
    assert held(node) == [("10.0.0.1", "sticky", "default/p1")]
    node.ok("ipam", "release", "10.0.0.1")
    assert held(node) == []
