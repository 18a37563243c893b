"""Which address a pod gets from etcd when its own cannot be had, or is kept in another pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ipam.stores import RESERVED, STICKY, Ask
from ipam.stores.etcd_claim import Claim
from tests.unit.ipam.etcd_fixtures import *  # noqa: F403
from tests.unit.ipam.store_world import (
    NET,
    SMALL,
    held,
    ip,
    lease,
    leased,
    owner,
    pool,
    refused,
    release,
    reservation,
)

if TYPE_CHECKING:
    from tests.unit.ipam.etcd_cluster import Cluster

WEB = owner("c1", "web-0")


class TestBesidePoolsThatAreNotUnique:
    """What waits for a pod, and is leased in another pool meanwhile."""

    @staticmethod
    def lease_elsewhere(cluster: Cluster) -> None:
        assert lease(cluster.store(), "x", Ask(NET, unique=False)) == ["10.0.0.1"]

    def test_what_was_its_own(self, cluster: Cluster) -> None:
        lease(cluster.store(), WEB, Ask(SMALL, sticky=60))
        release(cluster.store(), WEB)
        self.lease_elsewhere(cluster)
        assert lease(cluster.store(), owner("c2", "web-0"), Ask(SMALL)) == ["10.0.0.2"]
        assert held(cluster.store()) == {(STICKY, "10.0.0.1")}

    def test_what_is_reserved(self, cluster: Cluster) -> None:
        cluster.store().reserve(reservation("10.0.0.1", "web-0"))
        self.lease_elsewhere(cluster)
        assert lease(cluster.store(), WEB, Ask(SMALL)) == ["10.0.0.2"]

    def test_what_its_former_container_has(self, cluster: Cluster) -> None:
        lease(cluster.store(), owner("old", "web-0"), Ask(SMALL, sticky=60))
        self.lease_elsewhere(cluster)
        assert lease(cluster.store(), WEB, Ask(SMALL, sticky=60)) == ["10.0.0.2"]

    def test_who_does_not_mind(self, cluster: Cluster) -> None:
        lease(cluster.store(), WEB, Ask(SMALL, sticky=60))
        release(cluster.store(), WEB)
        self.lease_elsewhere(cluster)
        wish = Ask(SMALL, unique=False)
        assert lease(cluster.store(), owner("c2", "web-0"), wish) == ["10.0.0.1"]


def test_a_former_lease_that_is_anothers_by_now(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index has said that it is the pod's; before it is read, the DEL and another pod come."""
    wish = Ask(NET, sticky=1)
    lease(cluster.store(), owner("old", "web-0"), wish)
    hear = Claim.hear

    def late(claim: Claim, *heard: Any) -> None:
        monkeypatch.undo()
        cluster.store().drop(cluster.store().every()[0])
        cluster.store().unreserve("", 4, NET.first)
        assert lease(cluster.store(), owner("c2", "web-1"), wish) == ["10.0.0.1"]
        hear(claim, *heard)

    monkeypatch.setattr(Claim, "hear", late)
    assert lease(cluster.store(), WEB, wish) == ["10.0.0.2"]
    assert leased(cluster.store()) == [("c2", "10.0.0.1"), ("c1", "10.0.0.2")]


class TestStrict:
    NARROW = pool("10.0.0.0/29", "10.0.0.3")
    WITHOUT = pool("10.0.0.0/29", exclude=("10.0.0.1/32",))

    @pytest.fixture(params=[NARROW, WITHOUT])
    def wish(self, request: pytest.FixtureRequest) -> Ask:
        return Ask(request.param, sticky=60, strict=True)

    def test_what_is_sticky(self, cluster: Cluster, wish: Ask) -> None:
        lease(cluster.store(), WEB, Ask(SMALL, sticky=60))
        release(cluster.store(), WEB)
        again = owner("c2", "web-0")
        text = refused(cluster.store(), again, wish)
        assert "no other address of range 10.0.0.0/29 than 10.0.0.1" in text
        assert "it is sticky for this pod" in text
        assert cluster.intents() == []
        # others, other interfaces, and who does not insist
        assert lease(cluster.store(), owner("c3", "web-1"), wish)
        assert lease(cluster.store(), owner("c2", "web-0", "net1"), wish)
        assert lease(cluster.store(), again, wish._replace(strict=False))

    def test_what_is_reserved(self, cluster: Cluster, wish: Ask) -> None:
        cluster.store().reserve(reservation("10.0.0.1", "web-0"))
        assert "it is reserved for this pod" in refused(
            cluster.store(), WEB, wish._replace(preferred=ip("10.0.0.5"))
        )
        # one that the range offers is enough; what the pod asks for comes first
        assert lease(cluster.store(), WEB, wish._replace(wanted=ip("10.0.0.5"))) == ["10.0.0.5"]
        release(cluster.store(), WEB)
        cluster.store().reserve(reservation("10.0.0.4", "web-0"))
        assert lease(cluster.store(), WEB, wish) == ["10.0.0.4"]

    def test_what_another_pool_has(self, cluster: Cluster) -> None:
        cluster.store().reserve(reservation("10.0.0.1", "web-0"))
        lease(cluster.store(), "x", Ask(NET, unique=False))
        wish = Ask(SMALL, strict=True)
        assert "than 10.0.0.1; it is reserved" in refused(cluster.store(), WEB, wish)
        assert lease(cluster.store(), WEB, wish._replace(unique=False)) == ["10.0.0.1"]

    def test_what_its_former_container_has(self, cluster: Cluster, wish: Ask) -> None:
        lease(cluster.store(), owner("old", "web-0"), Ask(SMALL, sticky=60))
        assert "it is sticky for this pod" in refused(cluster.store(), WEB, wish)
        assert lease(cluster.store(), WEB, wish._replace(sticky=0))

    def test_what_only_rests(self, cluster: Cluster, wish: Ask) -> None:
        lease(cluster.store(), WEB, Ask(SMALL, cooldown=60))
        release(cluster.store(), WEB)
        assert lease(cluster.store(), WEB, wish)

    def test_what_another_of_its_ranges_offers(self, cluster: Cluster) -> None:
        asks = [
            Ask(pool("10.0.0.0/29", "10.0.0.1", "10.0.0.3"), strict=True),
            Ask(pool("10.0.0.0/29", "10.0.0.4"), strict=True),
        ]
        cluster.store().reserve(reservation("10.0.0.5", "web-0"))
        assert lease(cluster.store(), WEB, *asks) == ["10.0.0.1", "10.0.0.5"]


def test_a_reservation_that_is_cancelled_before_the_del(cluster: Cluster) -> None:
    cluster.store().reserve(reservation("10.0.0.1", "web-0"))
    lease(cluster.store(), WEB, Ask(SMALL))
    assert cluster.store().unreserve("", 4, ip("10.0.0.1")) is True
    assert cluster.store().unreserve("", 4, ip("10.0.0.1")) is False
    assert leased(cluster.store()) == [("c1", "10.0.0.1")]
    release(cluster.store(), WEB)
    assert cluster.remains() == []


def test_what_is_reserved_in_another_pool(cluster: Cluster) -> None:
    """Who it is reserved for wants it from a range with another CIDR: it stays reserved."""
    wish = Ask(NET, wanted=ip("10.0.0.1"), sticky=5)
    cluster.store().reserve(reservation("10.0.0.1", "web-0"))
    for _ in range(2):
        assert lease(cluster.store(), WEB, wish) == ["10.0.0.1"]
        assert cluster.store().holds() == []
        release(cluster.store(), WEB)
        assert held(cluster.store()) == {(RESERVED, "10.0.0.1")}
        assert [each.until for each in cluster.store().holds()] == [0]
    for each in (NET, SMALL):
        assert lease(cluster.store(), "x", Ask(each)) == ["10.0.0.2"]
        release(cluster.store(), "x")
    assert "it is kept for default/web-0" in refused(cluster.store(), owner("x"), wish)
    assert lease(cluster.store(), WEB, Ask(NET)) == ["10.0.0.1"]
