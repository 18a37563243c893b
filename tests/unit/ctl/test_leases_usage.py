"""`plait leases usage`: the arithmetic against counting one by one, and what a file means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.core.types import Attachment
from cni.ctl.leases import table, usage
from cni.ctl.leases.selection import Found
from cni.ctl.leases.source import Pool, whole
from ipam.ranges import merge
from ipam.stores import COOLING, RESERVED, STICKY, Hold, Lease
from tests.unit.ctl.leased import RANGE, plugin

if TYPE_CHECKING:
    from tests.unit.ctl.leased import Node

BASE = {4: 0x0A000000, 6: 0xFD << 120}
ADDRESS = st.integers(0, 31)
KINDS = (COOLING, STICKY, RESERVED)


@given(
    version=st.sampled_from([4, 6]),
    window=st.tuples(ADDRESS, ADDRESS).map(sorted),
    excludes=st.lists(st.tuples(ADDRESS, ADDRESS).map(sorted), max_size=3),
    taken=st.dictionaries(ADDRESS, st.sampled_from(("lease", *KINDS)), max_size=32),
    other=st.sets(ADDRESS, max_size=8),
    configured=st.sets(ADDRESS, max_size=4),
    unique=st.booleans(),
)
def test_numbers_are_those_of_counting(
    version: int,
    window: list[int],
    excludes: list[list[int]],
    taken: dict[int, str],
    other: set[int],
    configured: set[int],
    unique: bool,
) -> None:
    base = BASE[version]
    bits = 27 if version == 4 else 123
    cidr = whole(f"10.0.0.0/{bits}" if version == 4 else f"fd00::/{bits}")
    wanted = cidr._replace(
        first=base + window[0],
        last=base + window[1],
        exclude=merge((base + low, base + high) for low, high in excludes),
    )
    configured = {each for each in configured if window[0] <= each <= window[1]}
    pool = Pool("n", wanted, unique, reserved=frozenset(base + each for each in configured))
    nobody = Attachment("net", "c", "eth0")
    leases = [
        Lease(nobody, "n", wanted.cidr, version, base + each)
        for each, what in taken.items()
        if what == "lease"
    ]
    leases += [Lease(nobody, "n", "other", version, base + each) for each in other]
    leases += [Lease(nobody, "another", wanted.cidr, version, base + each) for each in range(32)]
    holds = [
        Hold("n", wanted.cidr, version, base + each, what, "a/b")
        for each, what in taken.items()
        if what != "lease"
    ]
    (found,) = usage.of([pool], Found(leases, holds))

    capacity = {
        each
        for each in range(window[0], window[1] + 1)
        if each in configured or not any(low <= each <= high for low, high in excludes)
    }
    state = {each: taken[each] for each in capacity if each in taken}
    for each in configured:
        state.setdefault(each, RESERVED)
        if state[each] in (STICKY, COOLING):
            state[each] = RESERVED
    elsewhere = {each for each in capacity if each not in state and each in other and unique}
    counts = {kind: sum(what == kind for what in state.values()) for kind in ("lease", *KINDS)}
    assert (found.capacity, found.leased) == (len(capacity), counts["lease"])
    assert [getattr(found, kind) for kind in KINDS] == [counts[kind] for kind in KINDS]
    assert found.elsewhere == len(elsewhere)
    assert found.free == len(capacity) - len(state) - len(elsewhere)
    outside = [each for each, what in taken.items() if what == "lease" and each not in capacity]
    assert found.outside == len(outside)
    assert found.capacity == found.leased + found.held + found.elsewhere + found.free


def test_a_network_of_2_to_the_64(node: Node) -> None:
    node.lease(1, "fd00::/64")
    (found,) = node.ok("leases", "usage", "--json").json["ranges"]
    assert (found["capacity"], found["used"]) == (2**64 - 2, 1)
    assert found["free"] == 2**64 - 3
    assert " 1 (<0.1%) " in node.ok("leases", "usage").lines[1]
    assert " (>99.9%) " in node.ok("leases", "usage").lines[1]


def test_ranges_are_those_of_leases_without_a_configuration(node: Node) -> None:
    assert "no range" in node.ok("leases", "usage").out
    node.lease(1, cooldown=3600)
    node.lease(2)
    node.release(1)
    node.lease(3, "10.1.0.0/29", network_name="shared")
    assert node.ok("leases", "usage").lines == [
        "RANGE NETWORK NAME FROM TO SIZE FREE USED STICKY COOLING RESERVED ELSEWHERE",
        "10.0.0.0/24 - 10.0.0.1 10.0.0.254 254 252 (99.2%) 1 (0.4%) 0 1 (0.4%) 0 0",
        "10.1.0.0/29 shared 10.1.0.1 10.1.0.6 6 5 (83.3%) 1 (16.7%) 0 0 0 0",
    ]
    assert len(node.ok("leases", "usage", "--network", "shared").lines) == 2


NARROW = {"range": RANGE, "range_start": "10.0.0.10", "range_end": "10.0.0.19"}
NAD = {
    "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
    "metadata": {"name": "nad", "namespace": "default"},
    "spec": {"config": '{"type": "bridge", "IPAM": {"Type": "whereabouts", "range": "10.0.0.0/24",'
             ' "range_start": "10.0.0.10", "range_end": "10.0.0.19"}}'},
}  # fmt: skip
MULTUS = {"name": "m", "plugins": [{"type": "multus", "delegates": [plugin(**NARROW)]}]}


@pytest.mark.parametrize(
    "document",
    [
        plugin(**NARROW),
        {"cniVersion": "1.0.0", "name": "net", "plugins": [plugin("", **NARROW), {"type": "x"}]},
        MULTUS,
        NAD,
        {"kind": "List", "items": [NAD, NAD]},
        NARROW,  # a flat file
    ],
)
def test_ranges_of_a_configuration(node: Node, document: Any) -> None:
    node.lease(1, wanted="10.0.0.12")
    node.lease(2, wanted="10.0.0.99")
    path = node.conf(document)
    (found,) = node.ok("leases", "usage", "--conf", path, "--json").json["ranges"]
    assert (found["first"], found["last"], found["capacity"]) == ("10.0.0.10", "10.0.0.19", 10)
    assert (found["used"], found["free"], found["outside"]) == (1, 9, 1)
    assert "1 (10.0%) +1 outside" in node.ok("leases", "usage", "--conf", path).out


def test_reservations_and_gateways_of_a_configuration(node: Node) -> None:
    reservations = {"default/p1": ["10.0.0.10"], "default/db": ["10.0.0.11"], "x/y": ["10.9.9.9"]}
    conf = plugin(**NARROW, reservations=reservations, gateway="10.0.0.19", exclude_gateway=True)
    node.lease(1, wanted="10.0.0.10")
    (found,) = node.ok("leases", "usage", "--conf", node.conf(conf), "--json").json["ranges"]
    assert (found["capacity"], found["used"], found["reserved"], found["free"]) == (9, 1, 1, 7)


def test_what_other_ranges_of_the_network_name_have(node: Node) -> None:
    node.lease(1, "10.0.0.0/28")
    conf = plugin(range=RANGE)
    (found,) = node.ok("leases", "usage", "--conf", node.conf(conf), "--json").json["ranges"]
    assert (found["used"], found["elsewhere"], found["free"]) == (0, 1, 253)
    conf = plugin(range=RANGE, enable_overlapping_ranges=False)
    (found,) = node.ok("leases", "usage", "--conf", node.conf(conf), "--json").json["ranges"]
    assert (found["elsewhere"], found["free"]) == (0, 254)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"name": "net", "type": "bridge"}, "no ipam section of type whereabouts"),
        ({"name": "net", "type": "b", "ipam": {"type": "host-local"}}, "no ipam section"),
        (plugin(range="10.0.0.0"), '"ipam.range": invalid CIDR 10.0.0.0'),
        (plugin(range=5), '"ipam.range"'),
        ([], "must be a JSON object"),
        ({"items": [{"spec": {"config": "{"}}]}, "cannot decode"),
        (
            {"a": [plugin(range=RANGE), plugin("e", range=RANGE, datastore="etcd")]},
            "several stores",
        ),
    ],
)
def test_files_that_mean_nothing(node: Node, document: Any, said: str) -> None:
    failed = node.run("leases", "usage", "--conf", node.conf(document))
    assert failed.status == 1 and said in failed.err and failed.err.count("\n") == 1


def test_no_file(node: Node) -> None:
    assert "no file /nowhere" in node.run("leases", "--conf", "/nowhere").err


def test_the_store_of_one_network(node: Node) -> None:
    node.lease(1)
    etcd = plugin("e", range=RANGE, datastore="etcd")
    path = node.conf({"items": [plugin(range=RANGE), etcd]})
    assert len(node.ok("leases", "--conf", path, "--network", "net").lines) == 2
    failed = node.run("leases", "--conf", path, "--network", "e")
    assert 'there is no "etcd_host"' in failed.err


def test_times_that_no_calendar_has() -> None:
    assert table.moment(0) == "1970-01-01T00:00:00Z"
    assert table.moment(10**30) == str(10**30)
