"""What every store of leases promises (see ipam.stores): tests that any of them has to pass.

A module that imports them gives the fixture `opened`, a function that opens the store as the next
process of the same node does; nothing is leased in it yet. More of them: store_suite_kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cni.core.types import Attachment
from ipam.stores import COOLING, Ask, Owner
from tests.unit.ipam.store_world import (
    NET,
    NET6,
    SMALL,
    fill,
    held,
    ip,
    lease,
    leased,
    owner,
    place_text,
    pool,
    refused,
    release,
    reservation,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipam.stores import Store
    from tests.unit.ipam.store_world import Clock


class TestFirstFit:
    def test_the_lowest_that_is_free(self, store: Store) -> None:
        assert [lease(store, f"c{i}", Ask(NET))[0] for i in range(4)] == [
            "10.0.0.1",
            "10.0.0.2",
            "10.0.0.3",
            "10.0.0.4",
        ]

    def test_holes_first(self, store: Store) -> None:
        for i in range(1, 8):
            lease(store, f"c{i}", Ask(NET))
        for i in (5, 2, 3):
            assert release(store, f"c{i}") == 1
        assert lease(store, "x", Ask(NET)) == ["10.0.0.2"]
        assert lease(store, "y", Ask(NET)) == ["10.0.0.3"]
        assert lease(store, "z", Ask(NET)) == ["10.0.0.5"]
        assert lease(store, "last", Ask(NET)) == ["10.0.0.8"]

    def test_not_what_is_excluded(self, store: Store) -> None:
        wanted = pool("10.0.0.0/27", exclude=("10.0.0.0/30", "10.0.0.5", "10.0.0.6/31"))
        given = [lease(store, f"c{i}", Ask(wanted))[0] for i in range(3)]
        assert given == ["10.0.0.4", "10.0.0.8", "10.0.0.9"]

    def test_only_of_the_window(self, store: Store) -> None:
        wanted = pool("10.0.0.0/24", "10.0.0.100", "10.0.0.101")
        assert lease(store, "c1", Ask(wanted)) == ["10.0.0.100"]
        assert lease(store, "c2", Ask(wanted)) == ["10.0.0.101"]
        text = refused(store, "c3", Ask(wanted))
        assert "ip: 10.0.0.100 / - 10.0.0.101 / range: 10.0.0.0/24" in text

    def test_windows_of_one_pool_see_each_other(self, store: Store) -> None:
        assert lease(store, "c1", Ask(pool("10.0.0.0/24", "10.0.0.2"))) == ["10.0.0.2"]
        assert lease(store, "c2", Ask(NET)) == ["10.0.0.1"]
        assert lease(store, "c3", Ask(NET)) == ["10.0.0.3"]

    def test_behind_many_runs_and_holes(self, store: Store) -> None:
        """Between leases that others asked for by name."""
        for i in (1, 2, 3, 5, 6, 8, 9, 10, 12):
            lease(store, f"c{i}", Ask(NET, wanted=NET.base + i))
        given = [lease(store, f"x{i}", Ask(NET))[0] for i in range(5)]
        assert given == ["10.0.0.4", "10.0.0.7", "10.0.0.11", "10.0.0.13", "10.0.0.14"]

    def test_full(self, store: Store) -> None:
        assert fill(store, SMALL) == [f"10.0.0.{i}" for i in range(1, 7)]
        refused(store, "late", Ask(SMALL))
        assert release(store, "full3") == 1
        assert lease(store, "late", Ask(SMALL)) == ["10.0.0.4"]

    def test_a_64_of_ipv6(self, store: Store) -> None:
        assert lease(store, "c1", Ask(NET6)) == ["fd00::1"]
        assert lease(store, "c2", Ask(NET6)) == ["fd00::2"]

    def test_a_window_of_ipv6(self, store: Store) -> None:
        wanted = pool("fd00::/64", "fd00::7fff:ffff:ffff:fffe")
        assert lease(store, "c1", Ask(wanted)) == ["fd00::7fff:ffff:ffff:fffe"]
        assert lease(store, "c2", Ask(wanted)) == ["fd00::7fff:ffff:ffff:ffff"]

    def test_ipv4_in_one_pool_is_not_ipv6_of_the_same_number(self, store: Store) -> None:
        six = pool("::a00:0/120")
        assert lease(store, "c1", Ask(NET), Ask(six)) == ["10.0.0.1", "::a00:1"]


class TestPools:
    """A pool is a network_name and a CIDR; `unique` asks look at all pools of the name."""

    def test_unique_over_the_pools_of_a_name(self, store: Store) -> None:
        assert lease(store, "a", Ask(NET)) == ["10.0.0.1"]
        assert lease(store, "b", Ask(SMALL)) == ["10.0.0.2"]
        assert lease(store, "c", Ask(NET)) == ["10.0.0.3"]
        assert release(store, "b") == 1
        assert lease(store, "d", Ask(NET)) == ["10.0.0.2"]

    def test_wanted_in_another_pool_is_taken(self, store: Store) -> None:
        lease(store, "a", Ask(NET))
        text = refused(store, "b", Ask(SMALL, wanted=ip("10.0.0.1")))
        assert "requested IP address 10.0.0.1 is not available in range 10.0.0.0/29" in text

    def test_not_unique(self, store: Store) -> None:
        assert lease(store, "a", Ask(NET, unique=False)) == ["10.0.0.1"]
        assert lease(store, "b", Ask(SMALL, unique=False)) == ["10.0.0.1"]
        assert lease(store, "c", Ask(NET, unique=False)) == ["10.0.0.2"]
        assert release(store, "a") == 1
        assert lease(store, "d", Ask(SMALL, unique=False)) == ["10.0.0.2"]
        assert lease(store, "e", Ask(NET, unique=False)) == ["10.0.0.1"]
        assert sorted(leased(store)) == [
            ("b", "10.0.0.1"),
            ("c", "10.0.0.2"),
            ("d", "10.0.0.2"),
            ("e", "10.0.0.1"),
        ]

    def test_names_keep_pools_apart(self, store: Store) -> None:
        assert lease(store, "a", Ask(NET, "blue")) == ["10.0.0.1"]
        assert lease(store, "b", Ask(NET, "green")) == ["10.0.0.1"]
        assert lease(store, "c", Ask(NET)) == ["10.0.0.1"]
        assert release(store, "a") == 1
        assert lease(store, "d", Ask(NET, "blue")) == ["10.0.0.1"]
        assert lease(store, "e", Ask(NET, "green")) == ["10.0.0.2"]


class TestSeveralAsks:
    def test_in_the_order_of_the_asks(self, store: Store) -> None:
        asks = Ask(NET), Ask(NET6), Ask(NET)
        assert lease(store, "c1", *asks) == ["10.0.0.1", "fd00::1", "10.0.0.2"]
        found = store.leases(owner("c1").attachment)
        assert [place_text(each) for each in found] == ["10.0.0.1", "fd00::1", "10.0.0.2"]
        assert release(store, "c1") == 3
        assert store.every() == []

    def test_all_or_none(self, store: Store) -> None:
        fill(store, SMALL)
        refused(store, "late", Ask(NET6), Ask(SMALL))
        refused(store, "late", Ask(SMALL), Ask(NET6))
        assert store.leases(owner("late").attachment) == []
        assert lease(store, "other", Ask(NET6)) == ["fd00::1"]
        assert release(store, "late") == 0

    def test_none_at_all(self, store: Store) -> None:
        assert lease(store, "c1") == []
        assert store.every() == []


class TestAgain:
    """What the attachment holds comes again, whatever else would be given by now."""

    def test_the_same_addresses(self, opened: Callable[[], Store]) -> None:
        asks = Ask(NET), Ask(NET6)
        lease(opened(), "before", *asks)
        assert lease(opened(), "c1", *asks) == ["10.0.0.2", "fd00::2"]
        release(opened(), "before")
        assert lease(opened(), "c1", *asks) == ["10.0.0.2", "fd00::2"]
        assert len(opened().every()) == 2

    def test_more_than_before(self, store: Store) -> None:
        assert lease(store, "c1", Ask(NET)) == ["10.0.0.1"]
        assert lease(store, "c1", Ask(NET), Ask(NET6)) == ["10.0.0.1", "fd00::1"]
        assert lease(store, "c1", Ask(NET), Ask(NET)) == ["10.0.0.1", "10.0.0.2"]

    def test_another_interface_is_another_owner(self, store: Store) -> None:
        assert lease(store, owner("c1"), Ask(NET)) == ["10.0.0.1"]
        assert lease(store, owner("c1", ifname="net1"), Ask(NET)) == ["10.0.0.2"]
        assert lease(store, owner("c1", network="other"), Ask(NET)) == ["10.0.0.3"]
        assert release(store, owner("c1")) == 1
        assert [address for _, address in leased(store)] == ["10.0.0.2", "10.0.0.3"]

    def test_what_the_range_offers_no_more_does_not(self, store: Store) -> None:
        assert lease(store, "c1", Ask(NET)) == ["10.0.0.1"]
        assert lease(store, "c1", Ask(pool("10.0.0.0/24", "10.0.0.9"))) == ["10.0.0.9"]


class TestWanted:
    def test_this_one_or_none(self, store: Store) -> None:
        wish = Ask(NET, wanted=ip("10.0.0.7"))
        assert lease(store, "c1", wish) == ["10.0.0.7"]
        assert lease(store, "c1", wish) == ["10.0.0.7"]
        text = refused(store, "c2", wish)
        assert "requested IP address 10.0.0.7 is not available in range 10.0.0.0/24" in text
        assert lease(store, "c2", Ask(NET)) == ["10.0.0.1"]

    def test_beside_another_that_it_holds(self, store: Store) -> None:
        assert lease(store, "c1", Ask(NET)) == ["10.0.0.1"]
        assert lease(store, "c1", Ask(NET, wanted=ip("10.0.0.9"))) == ["10.0.0.9"]

    def test_preferred_if_it_is_free(self, store: Store) -> None:
        wish = Ask(NET, preferred=ip("10.0.0.7"))
        assert lease(store, "c1", wish) == ["10.0.0.7"]
        assert lease(store, "c2", wish) == ["10.0.0.1"]
        assert lease(store, "c3", Ask(NET, preferred=ip("10.9.9.9"))) == ["10.0.0.2"]

    def test_strict_rather_none_than_another(self, store: Store) -> None:
        wish = Ask(NET, preferred=ip("10.0.0.7"), strict=True)
        assert lease(store, "c1", wish) == ["10.0.0.7"]
        assert "10.0.0.7 is not available" in refused(store, "c2", wish)
        assert release(store, "c1") == 1
        assert lease(store, "c2", wish) == ["10.0.0.7"]


class TestRelease:
    def test_of_nothing(self, store: Store) -> None:
        assert release(store, "nobody") == 0
        assert store.leases(owner("nobody").attachment) == []

    def test_twice(self, store: Store) -> None:
        lease(store, "c1", Ask(NET), Ask(NET6))
        assert release(store, "c1") == 2
        assert release(store, "c1") == 0

    def test_keep_only(self, store: Store) -> None:
        for name in ("c1", "c2", "c3"):
            lease(store, name, Ask(NET), Ask(NET6))
        lease(store, owner("c1", ifname="net1"), Ask(NET))
        lease(store, owner("foreign", network="other"), Ask(NET))
        assert store.keep_only("net", {("c2", "eth0"), ("unknown", "eth0")}) == 5
        assert sorted({name for name, _ in leased(store)}) == ["c2", "foreign"]
        assert store.keep_only("net", set()) == 2
        assert leased(store) == [("foreign", "10.0.0.5")]
        assert store.keep_only("net", set()) == 0

    def test_keep_only_heeds_what_is_to_rest(self, store: Store, clock: Clock) -> None:
        lease(store, "c1", Ask(NET, cooldown=60))
        assert store.keep_only("net", set()) == 1
        assert held(store) == {(COOLING, "10.0.0.1")}

    def test_drop(self, store: Store) -> None:
        lease(store, "c1", Ask(NET), Ask(NET6))
        first, _ = store.every()
        assert store.drop(first) is True
        assert store.drop(first) is False
        assert leased(store) == [("c1", "fd00::1")]
        assert [place_text(each) for each in store.leases(owner("c1").attachment)] == ["fd00::1"]
        assert release(store, "c1") == 1

    def test_drop_what_is_anothers_by_now(self, store: Store) -> None:
        lease(store, "c1", Ask(NET))
        (old,) = store.every()
        release(store, "c1")
        lease(store, "c2", Ask(NET))
        assert store.drop(old) is False
        assert leased(store) == [("c2", "10.0.0.1")]


class TestListing:
    def test_a_lease(self, store: Store, clock: Clock) -> None:
        who = owner("c1", "web-0")
        lease(store, who, Ask(NET, "blue"), Ask(NET6))
        both = store.leases(who.attachment)
        assert sorted(store.every()) == sorted(both)
        for each in both:
            assert each.attachment == who.attachment
            assert each[5:] == (
                "default",
                "web-0",
                "uid-of-c1",
                "node-1",
                "/run/netns/c1",
                int(clock.now),
            )
        assert both[0][1:5] == ("blue", "10.0.0.0/24", 4, ip("10.0.0.1"))
        assert both[1][1:5] == ("", "fd00::/64", 6, ip("fd00::1"))

    def test_by_address(self, store: Store) -> None:
        for address in ("10.0.0.9", "10.0.0.10", "10.0.0.100"):
            lease(store, address, Ask(NET, wanted=ip(address)))
        lease(store, "six", Ask(pool("::/120")))
        expected = ["10.0.0.9", "10.0.0.10", "10.0.0.100", "::1"]
        assert [place_text(each) for each in store.every()] == expected

    def test_holds_by_address(self, store: Store) -> None:
        for address in ("10.0.0.5", "10.0.0.3"):
            store.reserve(reservation(address, "web-0"))
        assert [place_text(each) for each in store.holds()] == ["10.0.0.3", "10.0.0.5"]

    def test_odd_names(self, store: Store) -> None:
        """Whatever a runtime and a configuration may say comes back as it was."""
        odd = 'ä/b%2f"\\ \n\x7f☃'
        who = Owner(Attachment("net.1-x_", "c1", "eth0.1@x"), odd, odd, odd, odd, odd)
        lease(store, who, Ask(NET, cooldown=60))
        (found,) = store.every()
        assert found.attachment == who.attachment
        assert (found.pod_namespace, found.pod_name, found.pod_uid) == (odd, odd, odd)
        release(store, who)
        (hold,) = store.holds()
        assert hold.holder == f"{odd}/{odd}"

    def test_nothing(self, store: Store) -> None:
        assert store.every() == []
        assert store.holds() == []

    def test_probe(self, store: Store) -> None:
        store.probe()
        lease(store, "c1", Ask(NET))
        store.probe()
        assert leased(store) == [("c1", "10.0.0.1")]
