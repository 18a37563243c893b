"""Killed at every step: the next call finds what is left, and nothing is leaked or given twice.

A step is a request to the API server, before it and after its answer, and each write of the
journal. The child that is killed has been forked: it leaves what a SIGKILL leaves.
"""

# ruff: noqa: F811 (fixtures that are imported)
from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from ipam.stores import FOR_EVER, STICKY, Ask
from ipam.stores.journal import LEASED
from tests.unit.ipam.pools import cluster, started  # noqa: F401
from tests.unit.ipam.store_world import (
    NET,
    NET6,
    SMALL,
    clock,  # noqa: F401
    held,
    ip,
    lease,
    leased,
    owner,
    release,
    reservation,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipam.stores.kubernetes import KubernetesStore
    from tests.unit.ipam.pools import Cluster
    from tests.unit.ipam.store_world import Clock

    Act = Callable[[KubernetesStore], object]

_ENOUGH = 60  #: more steps than any call has
WHO = owner("doomed", "web-0")


@pytest.fixture(autouse=True)
def no_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that is not answered is over: here all of them are."""
    monkeypatch.setattr("ipam.stores.kubernetes._DOUBT", 0)


def killed_at(step: int, act: Act, cluster: Cluster) -> bool:
    """Run `act` in a child that ends at the step; whether it came so far."""
    pid = os.fork()
    if pid == 0:
        try:
            _count_down(step)
            act(cluster.store())
            os._exit(0)
        finally:
            os._exit(2)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 9), code
    return code == 9


def _count_down(step: int) -> None:
    from cni.kube.client import Client
    from ipam.stores import journal

    left = [step]

    def tick() -> None:
        left[0] -= 1
        if left[0] == 0:
            os._exit(9)

    def ticking(holder: Any, name: str) -> None:
        real = getattr(holder, name)

        def with_ticks(*args: Any, **kwargs: Any) -> Any:
            tick()
            result = real(*args, **kwargs)
            tick()
            return result

        setattr(holder, name, with_ticks)

    ticking(Client, "call")
    ticking(Client, "once")
    ticking(journal, "_write")
    ticking(journal.os, "rename")  # type: ignore[attr-defined]
    ticking(journal.files, "remove")  # type: ignore[attr-defined]


def at_every_step(cluster: Cluster, act: Act, check: Callable[[], None]) -> None:
    """`check` finds the world as after `act` or before, and leaves it as before."""
    for step in range(1, _ENOUGH):
        is_dead = killed_at(step, act, cluster)
        check()
        if not is_dead:
            assert step > 4
            return
    pytest.fail("it never came to an end")


def settled(cluster: Cluster) -> KubernetesStore:
    """The store after a call of somebody else."""
    store = cluster.store()
    assert release(store, "somebody") == 0
    assert all(each.state == LEASED for each in cluster.journal().every())
    return store


def nothing(cluster: Cluster) -> None:
    assert cluster.ids() == {}
    assert cluster.ids("fd00---64") == {}
    assert cluster.reservations() == []
    assert cluster.journal().every() == []


def test_an_add_and_then_its_del(cluster: Cluster) -> None:
    def check() -> None:
        release(cluster.store(), WHO)
        nothing(cluster)

    at_every_step(cluster, lambda store: lease(store, WHO, Ask(NET), Ask(NET6)), check)


def test_an_add_and_then_anothers(cluster: Cluster) -> None:
    """Whoever comes next gets the address, unless the ADD was done."""

    def check() -> None:
        given = lease(cluster.store(), "other", Ask(NET), Ask(NET6))
        if cluster.journal().read(WHO.attachment) is None:
            assert given == ["10.0.0.1", "fd00::1"]
            assert cluster.reservations() == ["10.0.0.1", "fd00--1"]
        else:
            assert given == ["10.0.0.2", "fd00::2"]
        assert release(cluster.store(), "other") == 2
        release(cluster.store(), WHO)
        nothing(cluster)

    at_every_step(cluster, lambda store: lease(store, WHO, Ask(NET), Ask(NET6)), check)


def test_an_add_and_the_same_again(cluster: Cluster) -> None:
    def check() -> None:
        store = cluster.store()
        assert lease(store, WHO, Ask(NET), Ask(NET6)) == ["10.0.0.1", "fd00::1"]
        assert leased(store) == [("doomed", "10.0.0.1"), ("doomed", "fd00::1")]
        assert cluster.reservations() == ["10.0.0.1", "fd00--1"]
        assert release(store, WHO) == 2
        nothing(cluster)

    at_every_step(cluster, lambda store: lease(store, WHO, Ask(NET), Ask(NET6)), check)


def test_an_add_to_more(cluster: Cluster) -> None:
    """What the attachment had before stays its own."""
    lease(cluster.store(), WHO, Ask(NET))

    def check() -> None:
        store = settled(cluster)
        found = store.leases(WHO.attachment)
        assert [each.address for each in found][:1] == [ip("10.0.0.1")]
        assert len(found) == len(cluster.reservations())
        for each in found[1:]:
            assert store.drop(each)
        assert cluster.ids("fd00---64") == {}
        assert lease(store, WHO, Ask(NET)) == ["10.0.0.1"]

    at_every_step(cluster, lambda store: lease(store, WHO, Ask(NET), Ask(NET6)), check)


def test_a_del(cluster: Cluster) -> None:
    lease(cluster.store(), WHO, Ask(NET), Ask(NET6))

    def check() -> None:
        store = settled(cluster)
        if cluster.journal().read(WHO.attachment) is None:
            nothing(cluster)
        assert lease(store, WHO, Ask(NET), Ask(NET6)) == ["10.0.0.1", "fd00::1"]
        assert cluster.reservations() == ["10.0.0.1", "fd00--1"]

    at_every_step(cluster, lambda store: release(store, WHO), check)


def test_a_del_of_what_is_sticky(cluster: Cluster) -> None:
    wish = Ask(NET, sticky=FOR_EVER)
    lease(cluster.store(), WHO, wish)

    def check() -> None:
        store = settled(cluster)
        if cluster.journal().read(WHO.attachment) is None:
            assert held(store) == {(STICKY, "10.0.0.1")}
            assert cluster.reservations() == ["10.0.0.1"]
        assert lease(store, "other", wish) == ["10.0.0.2"]
        release(store, "other")
        assert store.unreserve("", 4, ip("10.0.0.2"))
        assert lease(store, WHO, wish) == ["10.0.0.1"]

    at_every_step(cluster, lambda store: release(store, WHO), check)


def test_an_add_of_what_is_reserved(cluster: Cluster) -> None:
    """A reservation survives the call that was to use it up."""
    kept = reservation("10.0.0.3", "web-0")
    cluster.store().reserve(kept)

    def check() -> None:
        store = settled(cluster)
        release(store, WHO)
        assert store.holds() == [kept]
        assert leased(store) == []
        assert lease(store, WHO, Ask(SMALL)) == ["10.0.0.3"]
        release(store, WHO)
        assert store.holds() == [kept]

    at_every_step(cluster, lambda store: lease(store, WHO, Ask(SMALL)), check)


def test_an_add_of_two_that_are_kept(cluster: Cluster) -> None:
    """Both are kept again, also when the lease itself is not to be."""
    wishes = Ask(NET, sticky=FOR_EVER), Ask(NET6, sticky=FOR_EVER)
    lease(cluster.store(), WHO, *wishes)
    release(cluster.store(), WHO)
    kept = {(STICKY, "10.0.0.1"), (STICKY, "fd00::1")}
    assert held(cluster.store()) == kept

    def check() -> None:
        store = settled(cluster)
        if cluster.journal().read(WHO.attachment) is None:
            assert held(store) == kept
        assert lease(store, WHO, *wishes) == ["10.0.0.1", "fd00::1"]
        assert release(store, WHO) == 2
        if held(store) != kept:  # the ADD was done
            lease(store, WHO, *wishes)
            store.release(WHO.attachment)

    at_every_step(cluster, lambda store: lease(store, WHO, Ask(NET), Ask(NET6)), check)


def test_an_add_of_what_another_pool_reserves(cluster: Cluster) -> None:
    kept = reservation("10.0.0.3", "web-0", NET)
    cluster.store().reserve(kept)
    before = cluster.reservation("10.0.0.3")
    wish = Ask(SMALL, wanted=ip("10.0.0.3"))

    def check() -> None:
        store = settled(cluster)
        release(store, WHO)
        assert cluster.reservation("10.0.0.3") == before
        assert cluster.reservations() == ["10.0.0.3"]
        assert store.holds() == [kept]
        assert leased(store) == []

    at_every_step(cluster, lambda store: lease(store, WHO, wish), check)


def test_a_del_of_what_another_pool_reserves(cluster: Cluster) -> None:
    cluster.store().reserve(reservation("10.0.0.3", "web-0", NET))
    before = cluster.reservation("10.0.0.3")
    wish = Ask(SMALL, wanted=ip("10.0.0.3"))
    lease(cluster.store(), WHO, wish)

    def check() -> None:
        store = settled(cluster)
        if cluster.journal().read(WHO.attachment) is None:
            assert cluster.reservation("10.0.0.3") == before
        assert lease(store, WHO, wish) == ["10.0.0.3"]

    at_every_step(cluster, lambda store: release(store, WHO), check)


def test_an_add_that_clears_what_has_run_out(cluster: Cluster, clock: Clock) -> None:
    """First the reservation: the pool's entry is what tells of both."""
    old = owner("old", "web-1")

    def keep() -> None:
        lease(cluster.store(), old, Ask(NET, sticky=60, wanted=ip("10.0.0.7")))
        release(cluster.store(), old)
        clock.pass_by(61)

    def check() -> None:
        lease(cluster.store(), "other", Ask(NET))
        release(cluster.store(), "other")
        release(cluster.store(), WHO)
        nothing(cluster)
        keep()

    keep()
    at_every_step(cluster, lambda store: lease(store, WHO, Ask(NET)), check)


def test_an_add_that_takes_over(cluster: Cluster) -> None:
    """The pod's next container, while the DEL of the one before has not come."""
    old = owner("old", "web-0")

    def act(store: KubernetesStore) -> None:
        lease(store, WHO, Ask(NET))

    def check() -> None:
        store = settled(cluster)
        assert lease(store, WHO, Ask(NET)) == ["10.0.0.1"]
        release(store, old)
        assert leased(store) == [("doomed", "10.0.0.1")]
        assert cluster.reservation("10.0.0.1")["containerid"] == "doomed"
        assert release(store, WHO) == 1
        nothing(cluster)
        lease(store, old, Ask(NET))

    lease(cluster.store(), old, Ask(NET))
    at_every_step(cluster, act, check)


def test_gc(cluster: Cluster) -> None:
    lease(cluster.store(), "kept", Ask(NET))
    lease(cluster.store(), WHO, Ask(NET), Ask(NET6))

    def check() -> None:
        store = cluster.store()
        store.keep_only("net", {("kept", "eth0")})
        assert leased(store) == [("kept", "10.0.0.1")]
        assert cluster.reservations() == ["10.0.0.1"]
        assert lease(store, WHO, Ask(NET), Ask(NET6)) == ["10.0.0.2", "fd00::1"]

    at_every_step(cluster, lambda store: store.keep_only("net", {("kept", "eth0")}), check)
