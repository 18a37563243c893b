"""What the file store keeps for whom: cases beyond those that every store has to pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ipam.stores import RESERVED, STICKY, Ask
from ipam.stores.file import FileStore
from tests.unit.ipam import ledger_state
from tests.unit.ipam.store_world import (
    NET,
    SMALL,
    clock,
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
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.ipam.store_world import Clock

__all__ = ["clock"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FileStore]:
    yield FileStore(str(tmp_path))
    ledger_state.check(tmp_path / "plait/leases.db")


class TestDrop:
    def test_that_very_lease(self, store: FileStore, clock: Clock) -> None:
        """podman starts a container again, with the same ID: the lease is a new one then."""
        who = owner("c1", "web-0")
        lease(store, who, Ask(NET))
        (old,) = store.every()
        for renewed in (who._replace(netns="/run/netns/other"), who):
            release(store, who)
            if renewed is who:
                clock.pass_by(1)
            lease(store, renewed, Ask(NET))
            assert store.drop(old) is False
            assert leased(store) == [("c1", "10.0.0.1")]
        (new,) = store.every()
        assert store.drop(new) is True
        assert store.every() == []

    def test_not_one_that_was_renewed(self, store: FileStore, clock: Clock) -> None:
        who = owner("c1", "web-0")
        lease(store, who, Ask(NET))
        (old,) = store.every()
        clock.pass_by(10)
        assert lease(store, who._replace(netns="/run/netns/other"), Ask(NET)) == ["10.0.0.1"]
        assert store.drop(old) is False
        (new,) = store.every()
        assert new == old._replace(netns="/run/netns/other", created=old.created + 10)

    def test_a_repeated_call_renews_nothing(self, store: FileStore, clock: Clock) -> None:
        who = owner("c1", "web-0")
        lease(store, who, Ask(NET))
        (old,) = store.every()
        clock.pass_by(10)
        lease(store, who, Ask(NET))
        assert store.every() == [old]
        assert store.drop(old) is True


def test_this_node_has_leased_it(store: FileStore) -> None:
    lease(store, "c1", Ask(NET))
    assert store.leased_here(owner("c1").attachment) is True


class TestStrict:
    def test_what_the_range_no_longer_offers(self, store: FileStore) -> None:
        who = owner("c1", "web-0")
        lease(store, who, Ask(NET, sticky=60))
        release(store, who)
        narrow = pool("10.0.0.0/24", exclude=("10.0.0.1",))
        text = refused(store, owner("c2", "web-0"), Ask(narrow, sticky=60, strict=True))
        assert "strict" in text and "10.0.0.1" in text and "sticky" in text
        assert held(store) == {(STICKY, "10.0.0.1")}
        assert lease(store, owner("c3", "web-0"), Ask(narrow, sticky=60)) == ["10.0.0.2"]

    def test_a_reservation(self, store: FileStore) -> None:
        store.reserve(reservation("10.0.0.3", "web-0"))
        narrow = pool("10.0.0.0/29", "10.0.0.5")
        text = refused(store, owner("c1", "web-0"), Ask(narrow, strict=True))
        assert "10.0.0.3" in text and "reserved" in text
        assert lease(store, owner("c2", "web-1"), Ask(narrow, strict=True)) == ["10.0.0.5"]
        wish = Ask(narrow, strict=True, wanted=ip("10.0.0.6"))
        assert lease(store, owner("c3", "web-0"), wish) == ["10.0.0.6"]

    def test_another_range_of_the_call_offers_it(self, store: FileStore) -> None:
        low, high = pool("10.0.0.0/24", "", "10.0.0.9"), pool("10.0.0.0/24", "10.0.0.10")
        who = owner("c1", "web-0")
        lease(store, who, Ask(low, sticky=60))
        release(store, who)
        asks = [Ask(each, sticky=60, strict=True) for each in (high, low)]
        assert lease(store, owner("c2", "web-0"), *asks) == ["10.0.0.10", "10.0.0.1"]

    def test_what_only_rests_binds_nobody(self, store: FileStore, clock: Clock) -> None:
        who = owner("c1", "web-0")
        lease(store, who, Ask(NET, cooldown=60))
        release(store, who)
        narrow = pool("10.0.0.0/24", exclude=("10.0.0.1",))
        assert lease(store, owner("c2", "web-0"), Ask(narrow, strict=True)) == ["10.0.0.2"]

    def test_of_the_earlier_container(self, store: FileStore) -> None:
        lease(store, owner("old", "web-0"), Ask(NET, sticky=60))
        narrow = pool("10.0.0.0/24", exclude=("10.0.0.1",))
        text = refused(store, owner("new", "web-0"), Ask(narrow, sticky=60, strict=True))
        assert "10.0.0.1" in text
        assert leased(store) == [("old", "10.0.0.1")]


class TestReservations:
    def test_wanted_in_another_range(self, store: FileStore) -> None:
        store.reserve(reservation("10.0.0.3", "web-0"))
        who = owner("c1", "web-0")
        assert lease(store, who, Ask(NET, wanted=ip("10.0.0.3"))) == ["10.0.0.3"]
        assert store.holds() == []
        release(store, who)
        assert held(store) == {(RESERVED, "10.0.0.3")}
        refused(store, owner("c2", "web-1"), Ask(NET, wanted=ip("10.0.0.3")))
        assert lease(store, owner("c3", "web-0"), Ask(NET)) == ["10.0.0.3"]

    def test_of_a_pool_that_is_not_asked(self, store: FileStore) -> None:
        """Pools that are not unique have nothing to do with each other."""
        store.reserve(reservation("10.0.0.3", "web-0"))
        who = owner("c1", "web-0")
        wish = Ask(NET, unique=False, wanted=ip("10.0.0.3"))
        assert lease(store, who, wish) == ["10.0.0.3"]
        assert store.holds() == [reservation("10.0.0.3", "web-0")]
        release(store, who)
        assert store.holds() == [reservation("10.0.0.3", "web-0")]
        assert lease(store, owner("c2", "web-0"), Ask(SMALL)) == ["10.0.0.3"]

    def test_cancelled_while_the_pod_has_it(self, store: FileStore) -> None:
        who = owner("c1", "web-0")
        lease(store, who, Ask(SMALL))
        store.reserve(reservation("10.0.0.1", "web-0"))
        assert store.unreserve("", 4, ip("10.0.0.1")) is True
        assert store.unreserve("", 4, ip("10.0.0.1")) is False
        assert leased(store) == [("c1", "10.0.0.1")]
        release(store, who)
        assert store.holds() == []

    def test_cancelled_after_it_became_a_lease(self, store: FileStore) -> None:
        store.reserve(reservation("10.0.0.1", "web-0"))
        who = owner("c1", "web-0")
        lease(store, who, Ask(SMALL))
        assert store.unreserve("", 4, ip("10.0.0.1")) is True
        release(store, who)
        assert store.holds() == []


class TestPoolsThatAreNotUnique:
    @pytest.mark.parametrize("strict", [False, True])
    def test_have_leased_what_waits(self, store: FileStore, strict: bool) -> None:
        who = owner("c1", "web-0")
        lease(store, who, Ask(NET, sticky=60))
        release(store, who)
        assert lease(store, "other", Ask(SMALL, unique=False)) == ["10.0.0.1"]
        wish = Ask(NET, sticky=60, strict=strict)
        if strict:
            assert "10.0.0.1" in refused(store, owner("c2", "web-0"), wish)
        else:
            assert lease(store, owner("c2", "web-0"), wish) == ["10.0.0.2"]
