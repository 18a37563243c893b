"""What every store promises about addresses that are kept: for a time, for a pod, by somebody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cni.core.errors import CniError, Code
from ipam.stores import COOLING, FOR_EVER, RESERVED, STICKY, Ask
from tests.unit.ipam.store_world import (
    NET,
    SMALL,
    fill,
    held,
    ip,
    lease,
    leased,
    owner,
    refused,
    release,
    reservation,
)

if TYPE_CHECKING:
    from ipam.stores import Store
    from tests.unit.ipam.store_world import Clock


class TestCooling:
    def test_others_get_it_after_its_time(self, store: Store, clock: Clock) -> None:
        wish = Ask(NET, cooldown=30)
        assert lease(store, "c1", wish) == ["10.0.0.1"]
        assert release(store, "c1") == 1
        assert store.every() == []
        assert held(store) == {(COOLING, "10.0.0.1")}
        assert lease(store, "c2", wish) == ["10.0.0.2"]
        clock.pass_by(29)
        assert lease(store, "c3", Ask(NET)) == ["10.0.0.3"]
        clock.pass_by(1)
        assert store.holds() == []
        assert lease(store, "c4", wish) == ["10.0.0.1"]

    def test_its_owner_gets_it_at_once(self, store: Store, clock: Clock) -> None:
        wish = Ask(NET, cooldown=30)
        lease(store, "c0", wish)
        assert lease(store, owner("c1", "web-0"), wish) == ["10.0.0.2"]
        release(store, "c0")
        release(store, owner("c1", "web-0"))
        assert lease(store, owner("c2", "web-0"), wish) == ["10.0.0.2"]
        assert held(store) == {(COOLING, "10.0.0.1")}

    def test_it_fails_nobody(self, store: Store, clock: Clock) -> None:
        """When nothing else is free: what rests, and has for the longest time."""
        wish = Ask(SMALL, cooldown=1000)
        given = [lease(store, f"c{i}", wish)[0] for i in range(6)]
        assert given[0] == "10.0.0.1"
        for i in (4, 1, 2):
            release(store, f"c{i}")
            clock.pass_by(1)
        assert lease(store, "x", wish) == ["10.0.0.5"]
        assert lease(store, "y", wish) == ["10.0.0.2"]
        assert lease(store, "z", wish) == ["10.0.0.3"]
        refused(store, "late", wish)

    def test_a_wish_does_not_wait(self, store: Store, clock: Clock) -> None:
        lease(store, "c1", Ask(NET, cooldown=30))
        release(store, "c1")
        assert lease(store, "c2", Ask(NET, wanted=ip("10.0.0.1"))) == ["10.0.0.1"]
        assert store.holds() == []

    def test_strict_takes_what_only_rests(self, store: Store, clock: Clock) -> None:
        wish = Ask(NET, preferred=ip("10.0.0.7"), strict=True, cooldown=30)
        assert lease(store, "c1", wish) == ["10.0.0.7"]
        release(store, "c1")
        assert lease(store, "c2", wish) == ["10.0.0.7"]

    def test_many_that_ended(self, store: Store, clock: Clock) -> None:
        wish = Ask(NET, cooldown=30)
        for i in range(20):
            lease(store, f"c{i}", wish)
        for i in range(20):
            release(store, f"c{i}")
        clock.pass_by(30)
        given = [lease(store, f"x{i}", wish)[0] for i in range(3)]
        assert given == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


class TestSticky:
    def test_it_waits_for_its_pod(self, store: Store, clock: Clock) -> None:
        wish = Ask(NET, sticky=3600)
        assert lease(store, owner("c1", "web-0"), wish) == ["10.0.0.1"]
        assert release(store, owner("c1", "web-0")) == 1
        assert lease(store, owner("c2", "web-1"), wish) == ["10.0.0.2"]
        clock.pass_by(3599)
        assert held(store) == {(STICKY, "10.0.0.1")}
        assert lease(store, owner("c3", "web-0"), wish) == ["10.0.0.1"]
        assert store.holds() == []

    def test_for_its_time(self, store: Store, clock: Clock) -> None:
        wish = Ask(NET, sticky=3600)
        lease(store, owner("c1", "web-0"), wish)
        release(store, owner("c1", "web-0"))
        clock.pass_by(3600)
        assert store.holds() == []
        assert lease(store, owner("c2", "web-1"), wish) == ["10.0.0.1"]

    def test_for_ever(self, store: Store, clock: Clock) -> None:
        wish = Ask(SMALL, sticky=FOR_EVER)
        lease(store, owner("c1", "web-0"), wish)
        release(store, owner("c1", "web-0"))
        clock.pass_by(10 * 365 * 86400)
        assert fill(store, SMALL) == [f"10.0.0.{i}" for i in range(2, 7)]
        refused(store, "late", Ask(SMALL))
        text = refused(store, "late", Ask(SMALL, wanted=ip("10.0.0.1")))
        assert "it is kept for default/web-0" in text
        assert lease(store, owner("c2", "web-0"), wish) == ["10.0.0.1"]

    def test_its_pod_may_want_it(self, store: Store, clock: Clock) -> None:
        lease(store, owner("c1", "web-0"), Ask(NET, sticky=60))
        release(store, owner("c1", "web-0"))
        wish = Ask(NET, wanted=ip("10.0.0.1"))
        refused(store, owner("c2", "web-1"), wish)
        assert lease(store, owner("c3", "web-0"), wish) == ["10.0.0.1"]

    def test_each_interface_has_its_own(self, store: Store) -> None:
        wish = Ask(NET, sticky=60)
        first, second = owner("c1", "web-0"), owner("c1", "web-0", ifname="net1")
        assert lease(store, first, wish) == ["10.0.0.1"]
        assert lease(store, second, wish) == ["10.0.0.2"]
        release(store, first)
        release(store, second)
        assert lease(store, owner("c2", "web-0", ifname="net1"), wish) == ["10.0.0.2"]
        assert lease(store, owner("c2", "web-0"), wish) == ["10.0.0.1"]

    def test_the_next_container_before_the_del(self, store: Store) -> None:
        """A StatefulSet's pod is there again, and the DEL of its old container has not come."""
        wish = Ask(NET, sticky=60)
        assert lease(store, owner("old", "web-0"), wish) == ["10.0.0.1"]
        assert lease(store, owner("new", "web-0"), wish) == ["10.0.0.1"]
        assert leased(store) == [("new", "10.0.0.1")]
        assert release(store, owner("old", "web-0")) == 0
        assert leased(store) == [("new", "10.0.0.1")]
        assert store.holds() == []

    def test_without_sticky_there_is_no_taking_over(self, store: Store) -> None:
        assert lease(store, owner("old", "web-0"), Ask(NET)) == ["10.0.0.1"]
        assert lease(store, owner("new", "web-0"), Ask(NET)) == ["10.0.0.2"]

    def test_before_what_is_preferred(self, store: Store) -> None:
        lease(store, owner("c1", "web-0"), Ask(NET, sticky=60))
        release(store, owner("c1", "web-0"))
        wish = Ask(NET, sticky=60, preferred=ip("10.0.0.9"), strict=True)
        assert lease(store, owner("c2", "web-0"), wish) == ["10.0.0.1"]


class TestReservations:
    def test_kept_for_the_pod(self, store: Store) -> None:
        store.reserve(reservation("10.0.0.1", "web-0"))
        assert lease(store, "c1", Ask(SMALL)) == ["10.0.0.2"]
        assert "it is kept for default/web-0" in refused(
            store, "c2", Ask(SMALL, wanted=ip("10.0.0.1"))
        )
        assert lease(store, owner("c3", "web-0"), Ask(SMALL)) == ["10.0.0.1"]
        assert store.holds() == []

    def test_reserved_again_after_the_lease(self, store: Store, clock: Clock) -> None:
        store.reserve(reservation("10.0.0.1", "web-0"))
        for number in range(2):
            who = owner(f"c{number}", "web-0")
            assert lease(store, who, Ask(SMALL, cooldown=5, sticky=5)) == ["10.0.0.1"]
            assert release(store, who) == 1
            assert store.holds() == [reservation("10.0.0.1", "web-0")]
            clock.pass_by(10)

    def test_listed(self, store: Store) -> None:
        store.reserve(reservation("10.0.0.3", "web-0", ifname="net1"))
        assert store.holds() == [reservation("10.0.0.3", "web-0", ifname="net1")]
        assert store.every() == []

    def test_of_one_interface(self, store: Store) -> None:
        store.reserve(reservation("10.0.0.3", "web-0", ifname="net1"))
        assert lease(store, owner("c1", "web-0"), Ask(SMALL)) == ["10.0.0.1"]
        assert lease(store, owner("c1", "web-0", ifname="net1"), Ask(SMALL)) == ["10.0.0.3"]

    def test_forgotten(self, store: Store) -> None:
        store.reserve(reservation("10.0.0.1", "web-0"))
        assert store.unreserve("", 4, ip("10.0.0.1")) is True
        assert store.unreserve("", 4, ip("10.0.0.1")) is False
        assert store.holds() == []
        assert lease(store, "c1", Ask(SMALL)) == ["10.0.0.1"]
        assert store.unreserve("", 4, ip("10.0.0.1")) is False
        assert leased(store) == [("c1", "10.0.0.1")]

    def test_what_is_anothers_cannot_be(self, store: Store) -> None:
        lease(store, "c1", Ask(SMALL))
        store.reserve(reservation("10.0.0.2", "web-0"))
        for address in ("10.0.0.1", "10.0.0.2"):
            with pytest.raises(CniError, match=f"{address} cannot be reserved") as caught:
                store.reserve(reservation(address, "web-1"))
            assert caught.value.code == Code.RANGE_EXHAUSTED
        store.reserve(reservation("10.0.0.2", "web-0", ifname="net1"))
        assert store.holds() == [reservation("10.0.0.2", "web-0", ifname="net1")]

    def test_of_what_the_pod_has(self, store: Store, clock: Clock) -> None:
        """It stays the pod's lease, and waits for it after the DEL."""
        lease(store, owner("c1", "web-0"), Ask(SMALL))
        store.reserve(reservation("10.0.0.1", "web-0"))
        assert leased(store) == [("c1", "10.0.0.1")]
        release(store, owner("c1", "web-0"))
        clock.pass_by(10 * 365 * 86400)
        assert lease(store, "c2", Ask(SMALL)) == ["10.0.0.2"]
        assert lease(store, owner("c3", "web-0"), Ask(SMALL)) == ["10.0.0.1"]

    def test_of_what_only_rests(self, store: Store, clock: Clock) -> None:
        lease(store, "c1", Ask(SMALL, cooldown=60))
        release(store, "c1")
        store.reserve(reservation("10.0.0.1", "web-0"))
        assert held(store) == {(RESERVED, "10.0.0.1")}
        clock.pass_by(60)
        assert held(store) == {(RESERVED, "10.0.0.1")}
        assert lease(store, "c1", Ask(SMALL)) == ["10.0.0.2"]

    def test_a_cooling_address_can_be_freed(self, store: Store, clock: Clock) -> None:
        lease(store, "c1", Ask(SMALL, cooldown=60))
        release(store, "c1")
        assert store.unreserve("", 4, ip("10.0.0.1")) is True
        assert lease(store, "c2", Ask(SMALL)) == ["10.0.0.1"]

    def test_of_what_waited_long_enough(self, store: Store, clock: Clock) -> None:
        lease(store, owner("c1", "web-0"), Ask(SMALL, sticky=60))
        release(store, owner("c1", "web-0"))
        clock.pass_by(60)
        assert store.unreserve("", 4, ip("10.0.0.1")) is False
        store.reserve(reservation("10.0.0.1", "web-1"))
        assert held(store) == {(RESERVED, "10.0.0.1")}

    def test_until_a_time(self, store: Store, clock: Clock) -> None:
        until = int(clock.now) + 60
        store.reserve(reservation("10.0.0.1", "web-0")._replace(until=until))
        assert lease(store, "c1", Ask(SMALL)) == ["10.0.0.2"]
        clock.pass_by(60)
        assert lease(store, "c2", Ask(SMALL)) == ["10.0.0.1"]
