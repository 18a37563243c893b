"""What the cluster's store does as the original does, and not as the other stores."""

# ruff: noqa: F811 (fixtures that are imported)
from __future__ import annotations

from typing import TYPE_CHECKING

from ipam.stores import Ask
from tests.unit.ipam.pools import cluster, started  # noqa: F401
from tests.unit.ipam.store_world import NET, ip, lease, owner, place_text, pool

if TYPE_CHECKING:
    from tests.unit.ipam.pools import Cluster


def test_ipv4_in_one_pool_is_not_ipv6_of_the_same_number(cluster: Cluster) -> None:
    """A range that begins with "::" needs a network_name: pools are called after it."""
    six = pool("::a00:0/120")
    assert lease(cluster.store(), "c1", Ask(NET), Ask(six, "blue")) == ["10.0.0.1", "::a00:1"]


def test_by_address(cluster: Cluster) -> None:
    store = cluster.store()
    for address in ("10.0.0.9", "10.0.0.10", "10.0.0.100"):
        lease(store, address, Ask(NET, wanted=ip(address)))
    lease(store, "six", Ask(pool("1::/120")))
    expected = ["10.0.0.9", "10.0.0.10", "10.0.0.100", "1::1"]
    assert [place_text(each) for each in store.every()] == expected


def test_what_is_its_pods_by_name_is_taken_over(cluster: Cluster) -> None:
    assert lease(cluster.store(), owner("old", "web-0"), Ask(NET)) == ["10.0.0.1"]
    assert lease(cluster.store(), owner("new", "web-0"), Ask(NET)) == ["10.0.0.1"]
