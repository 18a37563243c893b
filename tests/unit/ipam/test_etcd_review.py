"""What an attachment has at etcd survives whatever befalls a later call about it."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

import pytest

from cni.core.errors import Code
from ipam.stores import Ask
from ipam.stores import etcd_changes as changes
from ipam.stores.etcd_gateway import Gateway
from ipam.stores.journal import release_later
from tests.unit.ipam.etcd_cluster import SHORT, Cluster, code_of, run_until
from tests.unit.ipam.etcd_fixtures import *  # noqa: F403
from tests.unit.ipam.etcd_proxy import CUT, PASS, REFUSE, Proxy, is_change
from tests.unit.ipam.store_world import (
    NET,
    NET6,
    lease,
    leased,
    owner,
    pool,
    refused,
    release,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ipam.stores.etcd_draft import Draft
    from ipam.stores.etcd_keys import Spot

WEB = owner("c1", "web-0")


class TestAskedForMore:
    """A live attachment's ADD comes again, with a range more than before."""

    def test_killed_at_every_step(self, cluster: Cluster) -> None:
        for step in itertools.count():
            lease(cluster.store(), "c1", Ask(NET))
            status = run_until(step, lambda: lease(cluster.store(), "c1", Ask(NET), Ask(NET6)))
            assert lease(cluster.store(), "c2", Ask(NET)) == ["10.0.0.2"]
            assert ("c1", "10.0.0.1") in leased(cluster.store()), step
            assert cluster.intents() == ["leased", "leased"]
            # once more, for certain
            assert lease(cluster.store(), "c1", Ask(NET), Ask(NET6)) == ["10.0.0.1", "fd00::1"]
            assert release(cluster.store(), "c1") == 2
            release(cluster.store(), "c2")
            assert cluster.remains() == [], step
            assert cluster.intents() == [], step
            if status == 0:
                break
        assert step >= 6

    @pytest.mark.parametrize("fate", [CUT, REFUSE])
    def test_without_an_answer(self, cluster: Cluster, proxy: Proxy, fate: str) -> None:
        lost = False

        def plan(request: bytes) -> str:
            nonlocal lost
            lost = lost or is_change(request)
            return fate if lost else PASS

        lease(cluster.store(), "c1", Ask(NET))
        proxy.plan = plan
        store = cluster.store(url=proxy.url, limits=SHORT)
        assert code_of(lambda: lease(store, "c1", Ask(NET), Ask(NET6))) == Code.TRY_AGAIN_LATER
        assert lease(cluster.store(), "c2", Ask(NET)) == ["10.0.0.2"]
        assert leased(cluster.store()) == [("c1", "10.0.0.1"), ("c2", "10.0.0.2")]
        assert cluster.intents() == ["leased", "leased"]

    def test_which_is_full(self, cluster: Cluster) -> None:
        full = pool("10.1.0.0/30", "10.1.0.1", "10.1.0.1")
        lease(cluster.store(), "c0", Ask(full))
        lease(cluster.store(), "c1", Ask(NET))
        refused(cluster.store(), "c1", Ask(NET), Ask(NET6), Ask(full))
        lease(cluster.store(), "c2", Ask(NET))
        assert leased(cluster.store())[:2] == [("c1", "10.0.0.1"), ("c2", "10.0.0.2")]
        assert cluster.intents() == ["leased"] * 3

    @pytest.mark.parametrize("then", ["full", "DEL", "DEL of another store"])
    def test_after_it_was_killed(self, cluster: Cluster, tmp_path: Path, then: str) -> None:
        """The new address came true, and nobody heard of it."""
        full = pool("10.1.0.0/30", "10.1.0.1", "10.1.0.1")
        lease(cluster.store(), "c0", Ask(full))
        lease(cluster.store(), "c1", Ask(NET))
        asks = Ask(NET), Ask(NET6)
        for step in itertools.count():
            assert run_until(step, lambda: lease(cluster.store(), "c1", *asks))
            if len(leased(cluster.store())) == 3:
                break
        assert sorted(cluster.intents()) == ["leased", "leasing"]
        if then == "full":
            refused(cluster.store(), "c1", Ask(NET), Ask(full))
            lease(cluster.store(), "c2", Ask(NET))
            assert leased(cluster.store())[:2] == [("c1", "10.0.0.1"), ("c2", "10.0.0.2")]
            assert len(leased(cluster.store())) == 3
            assert release(cluster.store(), "c1") == 1
        elif then == "DEL":
            assert release(cluster.store(), "c1") == 2
        else:
            assert release_later(str(tmp_path / "node-1"), owner("c1").attachment) == 1
            assert release_later(str(tmp_path / "node-1"), owner("c1").attachment) == 0
            assert lease(cluster.store(), "c2", Ask(NET)) == ["10.0.0.1"]
            assert len(leased(cluster.store())) == 2

    def test_by_another_namespace(self, cluster: Cluster) -> None:
        """The container was started again, without a DEL: the lease is of the new namespace."""
        lease(cluster.store(), WEB, Ask(NET), Ask(NET6))
        before = cluster.store().every()
        again = WEB._replace(netns="/run/netns/another")
        assert lease(cluster.store(), again, Ask(NET), Ask(NET6)) == ["10.0.0.1", "fd00::1"]
        assert {each.netns for each in cluster.store().every()} == {"/run/netns/another"}
        assert not any(map(cluster.store().drop, before))
        assert release(cluster.store(), again) == 2
        assert cluster.remains() == []


class TestDrop:
    def test_only_that_very_lease(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        store = cluster.store()
        lease(store, WEB, Ask(NET))
        (judged,) = store.every()
        release(store, WEB)
        lease(store, WEB._replace(netns="/run/netns/another"), Ask(NET))
        (renewed,) = store.every()
        assert store.drop(judged) is False
        for other in (
            renewed._replace(created=renewed.created - 1),
            renewed._replace(pod_uid="another"),
            renewed._replace(node="node-2"),
        ):
            assert store.drop(other) is False
        assert store.every() == [renewed]
        assert store.drop(renewed) is True
        assert store.drop(renewed) is False
        assert store.every() == []

    def test_of_which_little_is_known(self, cluster: Cluster) -> None:
        store = cluster.store()
        lease(store, WEB, Ask(NET))
        (judged,) = store.every()
        known = judged._replace(pod_namespace="", pod_name="", pod_uid="", node="", netns="")
        assert store.drop(known._replace(created=0)) is True


class TestCollection:
    def test_not_what_a_call_is_about(self, cluster: Cluster) -> None:
        for name in ("c1", "c2", "c3"):
            lease(cluster.store(), name, Ask(NET))
        with cluster.store()._journal.entry(owner("c2").attachment):
            assert cluster.store().keep_only("net", set()) == 2
        assert leased(cluster.store()) == [("c2", "10.0.0.2")]
        assert cluster.store().keep_only("net", set()) == 1
        assert cluster.intents() == []

    def test_what_a_killed_call_left(self, cluster: Cluster) -> None:
        for step in range(14):
            run_until(step, lambda: lease(cluster.store(), "c1", Ask(NET)))
            assert cluster.store().keep_only("net", set()) in (0, 1)
            assert cluster.remains() == []
            assert cluster.intents() == []


class TestHoldsThatEnd:
    """No ADD fails for them."""

    @pytest.fixture
    def ended(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        """45 of them."""
        for name in ("a", "b", "c"):
            cluster.store().lease(owner(name), [Ask(NET, cooldown=60)] * 15)
        for name in ("a", "b", "c"):
            release(cluster.store(), name)
        now = time.time() + 61
        monkeypatch.setattr(time, "time", lambda: now)

    @pytest.mark.usefixtures("ended")
    def test_more_than_a_transaction_takes(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ipam.stores.etcd._ENDED", 45)
        assert lease(cluster.store(), "c1", Ask(NET)) == ["10.0.0.46"]

    @pytest.mark.usefixtures("ended")
    def test_more_than_there_is_time_for(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ipam.stores.etcd._ENDED", 1)
        removed = []
        remove_ended = changes.remove_ended

        def removing(draft: Draft, spots: list[Spot], now: int) -> None:
            removed.extend(spots)
            remove_ended(draft, spots, now)

        monkeypatch.setattr(changes, "remove_ended", removing)
        remaining = property(lambda _: 60.0 - 10 * len(removed))
        monkeypatch.setattr(Gateway, "remaining", remaining)
        assert lease(cluster.store(), "c1", Ask(NET)) == ["10.0.0.1"]
        assert len(removed) == 3


def test_leased_here(cluster: Cluster) -> None:
    here, there = cluster.store("node-1"), cluster.store("node-2")
    attachment = WEB.attachment
    assert not here.leased_here(attachment)
    lease(here, WEB, Ask(NET))
    assert here.leased_here(attachment)
    assert cluster.store("node-1").leased_here(attachment)
    assert not there.leased_here(attachment)
    assert not here.leased_here(attachment._replace(ifname="net1"))
    release(here, WEB)
    assert not here.leased_here(attachment)
