"""The cluster's store keeps what every store promises, but for what the original does otherwise."""

# ruff: noqa: F811 (fixtures that are imported)
from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ipam.stores import Ask
from tests.unit.ipam import store_suite, store_suite_kept
from tests.unit.ipam.pools import cluster, started  # noqa: F401
from tests.unit.ipam.store_suite import (  # noqa: F401
    TestAgain,
    TestPools,
    TestRelease,
    TestSeveralAsks,
    TestWanted,
)
from tests.unit.ipam.store_suite_kept import TestCooling, TestReservations  # noqa: F401
from tests.unit.ipam.store_world import NET, clock, ip, lease, owner, place_text, pool  # noqa: F401

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipam.stores import Store
    from tests.unit.ipam.pools import Cluster


@pytest.fixture
def opened(cluster: Cluster) -> Callable[[], Store]:
    return cluster.store


@pytest.fixture
def store(opened: Callable[[], Store]) -> Store:
    return opened()


class TestFirstFit(store_suite.TestFirstFit):
    def test_ipv4_in_one_pool_is_not_ipv6_of_the_same_number(self, store: Store) -> None:
        """A range that begins with "::" needs a network_name: pools are called after it."""
        six = pool("::a00:0/120")
        assert lease(store, "c1", Ask(NET), Ask(six, "blue")) == ["10.0.0.1", "::a00:1"]


class TestListing(store_suite.TestListing):
    def test_by_address(self, store: Store) -> None:
        for address in ("10.0.0.9", "10.0.0.10", "10.0.0.100"):
            lease(store, address, Ask(NET, wanted=ip(address)))
        lease(store, "six", Ask(pool("1::/120")))
        expected = ["10.0.0.9", "10.0.0.10", "10.0.0.100", "1::1"]
        assert [place_text(each) for each in store.every()] == expected


class TestSticky(store_suite_kept.TestSticky):
    def test_without_sticky_there_is_no_taking_over(self, store: Store) -> None:
        """The original always takes over what is its pod's by name."""
        assert lease(store, owner("old", "web-0"), Ask(NET)) == ["10.0.0.1"]
        assert lease(store, owner("new", "web-0"), Ask(NET)) == ["10.0.0.1"]
