"""What the cluster's store keeps for a pod, where pools overlap or ranges have changed since."""

# ruff: noqa: F811 (fixtures that are imported)
from __future__ import annotations

from typing import TYPE_CHECKING

from ipam.stores import FOR_EVER, Ask
from tests.unit.ipam.pools import RESERVATIONS, cluster, started  # noqa: F401
from tests.unit.ipam.store_world import (
    NET,
    SMALL,
    clock,  # noqa: F401
    held,
    ip,
    lease,
    owner,
    pool,
    refused,
    release,
    reservation,
)

if TYPE_CHECKING:
    from tests.unit.ipam.pools import Cluster
    from tests.unit.ipam.store_world import Clock

WEB = owner("c1", "web-0")
STRICT = Ask(SMALL, strict=True, sticky=FOR_EVER)


class TestStrict:
    """Rather none than another than the pod's own, also where its own is not offered any more."""

    def test_what_is_excluded_by_now(self, cluster: Cluster) -> None:
        store = cluster.store()
        store.reserve(reservation("10.0.0.3", "web-0"))
        without = pool("10.0.0.0/29", exclude=("10.0.0.3",))
        text = refused(store, WEB, Ask(without, strict=True))
        assert "10.0.0.3" in text
        assert "reserved" in text
        assert cluster.ids("10.0.0.0-29").keys() == {"3"}
        assert lease(store, WEB, Ask(without)) == ["10.0.0.1"]

    def test_what_is_outside_of_the_window_by_now(self, cluster: Cluster) -> None:
        store = cluster.store()
        lease(store, WEB, STRICT)
        release(store, WEB)
        narrow = pool("10.0.0.0/29", "10.0.0.2")
        text = refused(store, owner("c2", "web-0"), STRICT._replace(range=narrow))
        assert "10.0.0.1" in text
        assert "sticky" in text
        other = owner("c3", "web-1")
        assert lease(store, other, STRICT._replace(range=narrow)) == ["10.0.0.2"]
        assert lease(store, owner("c2", "web-0"), STRICT) == ["10.0.0.1"]

    def test_what_waits_for_another_ask_of_the_pod(self, cluster: Cluster) -> None:
        """Two windows of one pool: each is asked for what is in it."""
        store = cluster.store()
        store.reserve(reservation("10.0.0.5", "web-0"))
        lower, upper = pool("10.0.0.0/29", "", "10.0.0.3"), pool("10.0.0.0/29", "10.0.0.4")
        asks = Ask(lower, strict=True), Ask(upper, strict=True)
        assert lease(store, WEB, *asks) == ["10.0.0.1", "10.0.0.5"]

    def test_what_another_pool_has(self, cluster: Cluster) -> None:
        store = cluster.store()
        store.reserve(reservation("10.0.0.3", "web-0"))
        cluster.api.delete(f"{RESERVATIONS}/10.0.0.3")
        cluster.reserve("10.0.0.3", podref="default/other")
        assert "10.0.0.3" in refused(store, WEB, Ask(SMALL, strict=True))
        assert lease(store, WEB, Ask(SMALL)) == ["10.0.0.1"]

    def test_what_only_rests_or_has_ended_or_is_not_its_own(
        self, cluster: Cluster, clock: Clock
    ) -> None:
        store = cluster.store()
        lease(store, WEB, Ask(SMALL, cooldown=60))
        lease(store, owner("c1", "web-0", ifname="net1"), Ask(SMALL, sticky=600))
        release(store, WEB)
        release(store, owner("c1", "web-0", ifname="net1"))
        store.reserve(reservation("10.0.0.3", "web-0")._replace(until=int(clock.now) + 9))
        clock.pass_by(10)
        upper = Ask(pool("10.0.0.0/29", "10.0.0.4"), strict=True)
        assert lease(store, owner("c2", "web-0"), upper) == ["10.0.0.4"]

    def test_a_wish_comes_first(self, cluster: Cluster) -> None:
        store = cluster.store()
        store.reserve(reservation("10.0.0.3", "web-0"))
        upper = Ask(pool("10.0.0.0/29", "10.0.0.4"), wanted=ip("10.0.0.5"), strict=True)
        assert lease(store, WEB, upper) == ["10.0.0.5"]


class TestReservedElsewhere:
    """An address that is reserved for the pod in one pool, and leased to it in another."""

    def test_it_is_reserved_again(self, cluster: Cluster) -> None:
        store, kept = cluster.store(), reservation("10.0.0.3", "web-0", NET)
        store.reserve(kept)
        before = cluster.reservation("10.0.0.3")
        assert lease(store, WEB, Ask(SMALL, wanted=ip("10.0.0.3"))) == ["10.0.0.3"]
        assert release(cluster.store(), WEB) == 1
        assert cluster.reservation("10.0.0.3") == before
        assert store.holds() == [kept]
        text = refused(store, "c2", Ask(SMALL, wanted=ip("10.0.0.3")))
        assert "not available" in text

    def test_after_a_cool_down(self, cluster: Cluster) -> None:
        store, kept = cluster.store(), reservation("10.0.0.3", "web-0", NET)
        store.reserve(kept)
        before = cluster.reservation("10.0.0.3")
        lease(store, WEB, Ask(SMALL, wanted=ip("10.0.0.3"), cooldown=60))
        release(store, WEB)
        assert cluster.reservation("10.0.0.3") == before

    def test_unless_it_was_given_up_meanwhile(self, cluster: Cluster) -> None:
        store = cluster.store()
        store.reserve(reservation("10.0.0.3", "web-0", NET))
        lease(store, WEB, Ask(SMALL, wanted=ip("10.0.0.3")))
        assert store.unreserve("", 4, ip("10.0.0.3")) is True
        release(store, WEB)
        assert cluster.reservations() == []

    def test_also_where_pools_cannot_be_listed(self, cluster: Cluster) -> None:
        store = cluster.store()
        store.reserve(reservation("10.0.0.3", "web-0", NET))
        before = cluster.reservation("10.0.0.3")
        lease(store, WEB, Ask(SMALL, wanted=ip("10.0.0.3")))
        cluster.api.forbid(cluster.api.user, "list", "ippools")
        assert release(store, WEB) == 1
        assert cluster.reservation("10.0.0.3") == before


class TestEnded:
    """A hold that has run out is cleared by whoever leases in the pool: all that there is of it."""

    def test_with_its_reservation(self, cluster: Cluster, clock: Clock) -> None:
        store = cluster.store()
        lease(store, WEB, Ask(NET, sticky=60))
        release(store, WEB)
        assert cluster.reservations() == ["10.0.0.1"]
        clock.pass_by(61)
        lease(store, "c2", Ask(NET, wanted=ip("10.0.0.9")))
        assert cluster.ids() == {"9": "c2"}
        assert cluster.reservations() == ["10.0.0.9"]

    def test_but_not_what_is_anothers_by_now(self, cluster: Cluster, clock: Clock) -> None:
        store = cluster.store()
        lease(store, WEB, Ask(NET, sticky=60))
        release(store, WEB)
        clock.pass_by(61)
        lease(store, "c2", Ask(SMALL, wanted=ip("10.0.0.1")))
        lease(store, "c3", Ask(NET, wanted=ip("10.0.0.9")))
        assert cluster.ids() == {"9": "c3"}
        assert cluster.reservation("10.0.0.1")["containerid"] == "c2"

    def test_many_in_a_few_calls(self, cluster: Cluster, clock: Clock) -> None:
        store = cluster.store()
        for number in range(6):
            lease(store, owner(f"c{number}", f"web-{number}"), Ask(SMALL, sticky=60))
        for number in range(6):
            release(store, owner(f"c{number}"))
        clock.pass_by(61)
        wish = Ask(SMALL, wanted=ip("10.0.0.6"))
        for number in range(3):
            lease(store, f"x{number}", wish)
            release(store, f"x{number}")
        assert cluster.ids("10.0.0.0-29") == {}
        assert cluster.reservations() == []
        assert held(store) == set()

    def test_a_server_that_refuses_fails_nobody(self, cluster: Cluster, clock: Clock) -> None:
        store = cluster.store()
        lease(store, WEB, Ask(NET, sticky=60))
        release(store, WEB)
        clock.pass_by(61)
        cluster.api.fail(1, method="DELETE", path=RESERVATIONS, status=403)
        assert lease(store, "c2", Ask(NET, wanted=ip("10.0.0.9"))) == ["10.0.0.9"]
        assert set(cluster.ids()) == {"1", "9"}
        lease(store, "c3", Ask(NET, wanted=ip("10.0.0.8")))
        assert cluster.reservations() == ["10.0.0.8", "10.0.0.9"]


def test_a_reservation_that_is_cancelled_before_the_del(cluster: Cluster) -> None:
    store = cluster.store()
    lease(store, WEB, Ask(SMALL))
    store.reserve(reservation("10.0.0.1", "web-0"))
    assert store.unreserve("", 4, ip("10.0.0.1")) is True
    assert store.unreserve("", 4, ip("10.0.0.1")) is False
    assert release(store, WEB) == 1
    assert held(store) == set()
    assert cluster.reservations() == []
