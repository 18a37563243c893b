"""What a review of the cluster's store found: crowded overlapping pools, and renewed leases."""

# ruff: noqa: F811 (fixtures that are imported)
from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cni.core.errors import CniError, Code
from cni.ctl.ipam import reconcile
from cni.ctl.ipam.judge import RELEASED, Rules
from cni.ctl.leases import source
from ipam.stores import Ask
from ipam.stores import pool as shapes
from ipam.stores.journal import LEASED, RELEASING
from ipam.stores.pool import reservation_name
from tests.unit.ipam.pools import (  # noqa: F401
    NAMESPACE,
    RESERVATIONS,
    SLICES,
    cluster,
    started,
)
from tests.unit.ipam.store_world import (
    NET,
    SMALL,
    clock,  # noqa: F401
    fill,
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
    from tests.unit.ipam.pools import Cluster
    from tests.unit.ipam.store_world import Clock

WEB = owner("c1", "web-0")
WIDE = pool("10.0.0.0/16")


def orphans(cluster: Cluster, last: int, name: str = "") -> None:
    """Reservations of 10.0.0.1 to 10.0.0.<last> by pods that another pool knows."""
    for number in range(1, last + 1):
        cluster.reserve(f"{name}10.0.0.{number}", podref=f"default/other-{number}")


class TestCrowded:
    """Overlapping pools, of which others have the lowest addresses."""

    def test_one_list_instead_of_many_requests(self, cluster: Cluster) -> None:
        orphans(cluster, 230)
        orphans(cluster, 254, "blue-")
        cluster.reserve("fd00--1", podref="default/six")
        assert lease(cluster.store(), WEB, Ask(NET)) == ["10.0.0.231"]
        asked = [path for method, path, _ in cluster.asked() if method == "GET"]
        assert len([each for each in asked if "reservations/" in each]) == 9
        assert len([each for each in asked if "reservations?" in each]) == 1
        assert release(cluster.store(), WEB) == 1

    def test_a_range_that_they_have_used_up_is_full(self, cluster: Cluster) -> None:
        orphans(cluster, 254)
        text = refused(cluster.store(), WEB, Ask(NET))
        assert "Could not allocate IP in range" in text
        assert "254 of its addresses" in text
        assert cluster.ids() == {}
        assert cluster.journal().every() == []

    def test_who_may_not_list_asks_one_by_one(
        self, cluster: Cluster, capfd: pytest.CaptureFixture[str]
    ) -> None:
        orphans(cluster, 230)
        cluster.api.forbid(cluster.api.user, "list", "overlappingrangeipreservations")
        assert lease(cluster.store(), WEB, Ask(NET)) == ["10.0.0.231"]
        assert "cannot be listed" in capfd.readouterr().err
        orphans(cluster, 254)
        refused(cluster.store(), "c2", Ask(NET))

    def test_what_is_kept_for_the_pod_is_not_others(self, cluster: Cluster) -> None:
        orphans(cluster, 9)
        cluster.store().reserve(reservation("10.0.0.20", "web-0", WIDE))
        inside = pool(
            "10.0.0.0/24", "10.0.0.1", "10.0.0.20", ("10.0.0.10/31", "10.0.0.12/30", "10.0.0.16/30")
        )
        assert lease(cluster.store(), WEB, Ask(inside)) == ["10.0.0.20"]

    @pytest.mark.parametrize(
        ("network_name", "name", "address"),
        [
            ("", "10.0.0.5", "10.0.0.5"),
            ("net-a", "net-a-10.0.0.5", "10.0.0.5"),
            ("net", "net-a-10.0.0.5", ""),
            ("", "net-10.0.0.5", ""),
            ("net", "10.0.0.5", ""),
            ("", "2001-db8--5", "2001:db8::5"),
            ("net-a", "net-a-fd00--0", "fd00::"),
            ("", "fd00-0000--1", ""),
            ("", "", ""),
        ],
    )
    def test_the_address_of_a_name(self, network_name: str, name: str, address: str) -> None:
        found = {
            version: shapes.reserved_address(network_name, version, name) for version in (4, 6)
        }
        version = 6 if ":" in address else 4
        assert found[10 - version] is None
        assert found[version] == (ip(address) if address else None)
        if address:
            assert reservation_name(network_name, version, ip(address)) == name


class TestDrop:
    """The tool's: exactly the lease that was listed."""

    def test_not_one_that_was_renewed(self, cluster: Cluster, clock: Clock) -> None:
        """podman starts a container again under the ID that it had."""
        store = cluster.store()
        lease(store, WEB, Ask(NET))
        (old,) = store.every()
        assert release(store, WEB) == 1
        clock.pass_by(5)
        assert lease(cluster.store(), WEB, Ask(NET)) == ["10.0.0.1"]
        assert store.drop(old) is False
        assert cluster.store().drop(old) is False
        assert leased(store) == [("c1", "10.0.0.1")]
        (new,) = store.every()
        assert store.drop(new) is True
        assert cluster.reservations() == []

    def test_not_one_of_another_namespace(self, cluster: Cluster, clock: Clock) -> None:
        """ADD again without a DEL: what the attachment had comes again, and is renewed."""
        store = cluster.store()
        lease(store, WEB, Ask(NET))
        (old,) = store.every()
        clock.pass_by(5)
        again = WEB._replace(netns="/run/netns/another")
        assert lease(store, again, Ask(NET)) == ["10.0.0.1"]
        assert store.drop(old) is False
        (new,) = store.every()
        assert (new.netns, new.created) == (again.netns, int(clock.now))
        assert [each.state for each in cluster.journal().every()] == [LEASED]
        assert release(store, again) == 1

    def test_not_one_that_this_node_has_by_now(self, cluster: Cluster) -> None:
        """Listed as another node's, or the original's; then leased here, by the same container."""
        lease(cluster.store("node2"), WEB, Ask(NET))
        store = cluster.store()
        (old,) = store.every()
        release(cluster.store("node2"), WEB)
        lease(cluster.store(), WEB, Ask(NET))
        assert store.drop(old) is False
        assert leased(store) == [("c1", "10.0.0.1")]

    def test_not_one_that_another_container_has(self, cluster: Cluster) -> None:
        lease(cluster.store("node2"), WEB, Ask(NET))
        store = cluster.store()
        (old,) = store.every()
        lease(cluster.store("node3"), owner("c2", "web-0"), Ask(NET))
        assert store.drop(old) is False
        assert cluster.ids() == {"1": "c2"}
        assert cluster.reservation("10.0.0.1")["containerid"] == "c2"

    def test_what_was_taken_over_on_this_node(self, cluster: Cluster) -> None:
        """The old container's DEL has not come, and its record names the address too."""
        for name in ("c2", "c1", "c3"):
            lease(cluster.store(), owner(name, "web-0"), Ask(NET))
            (found,) = cluster.store().every()
            assert found.attachment == owner(name).attachment
        assert cluster.store().drop(found) is True
        assert cluster.ids() == {}

    def test_one_list_for_all(self, cluster: Cluster) -> None:
        fill(cluster.store("node2"), SMALL)
        store = cluster.store()
        found = store.every()
        cluster.api.clear()
        assert [store.drop(each) for each in found] == [True] * 6
        assert not [path for method, path, _ in cluster.asked() if path in ("ippools", "")]
        assert cluster.ids("10.0.0.0-29") == {}
        assert cluster.reservations() == []

    def test_by_another_process(self, cluster: Cluster) -> None:
        lease(cluster.store("node2"), WEB, Ask(NET, "blue"))
        (found,) = cluster.store().every()
        assert cluster.store().drop(found) is True
        assert cluster.store().drop(found) is False
        assert cluster.ids("blue-10.0.0.0-24") == {}


@pytest.mark.parametrize("key", ["", '"node_slice_size": "/26", "network_name": "net", '])
def test_the_reconciler_of_the_cluster(cluster: Cluster, key: str) -> None:
    """As packaging/kubernetes/reconcile.yaml runs it: with a flat file, and no node's journal."""
    allocations = [
        {"nodeName": "node1", "sliceRange": "10.20.0.0/26"},
        {"nodeName": "node2.example.org", "sliceRange": "10.20.0.64/26"},
    ]
    spec = {"range": "10.20.0.0/16", "sliceSize": "/26"}
    cluster.api.put_object(f"{SLICES}/net", {"spec": spec, "status": {"allocations": allocations}})
    whole = Ask(pool("10.20.0.0/16"), "net")
    for node in ("node1", "node2"):
        for pod in ("gone", "here"):
            who = owner(f"{pod}-{node}", f"{pod}-{node}")
            lease(cluster.store(node, "net"), who, whole)
    lease(cluster.store("node3"), owner("gone", "gone"), Ask(NET))
    conf = cluster.path / "whereabouts.conf"
    kubeconfig = json.dumps(str(cluster.path / "kubeconfig"))
    conf.write_text(
        f'{{{key}"datastore": "kubernetes", "kubernetes": {{"kubeconfig": {kubeconfig}}}}}'
    )
    cluster.api.kubeconfig(cluster.path / "kubeconfig", form="json", namespace=NAMESPACE)
    found = source.read(str(conf), {"PLAIT_STATE_DIR": str(cluster.path / "pod")})
    pods = {f"default/here-{node}": frozenset({"uid"}) for node in ("node1", "node2")}
    cluster.api.clear()
    outcomes = reconcile.run(found, lambda: pods, Rules(strikes=1, grace=0))
    released = [each.lease.pod_name for each in outcomes if each.what == RELEASED]
    assert sorted(released) == ["gone", "gone-node1", "gone-node2"], outcomes
    asked = {(method, path.partition("/")[0]) for method, path, _ in cluster.asked()}
    assert asked == {  # what its role allows
        ("GET", "ippools"),
        ("PATCH", "ippools"),
        ("GET", "nodeslicepools"),
        ("DELETE", "overlappingrangeipreservations"),
        ("GET", "overlappingrangeipreservations"),
    }
    assert cluster.ids("net-node1-10.20.0.0-26") == {"2": "here-node1"}
    assert cluster.ids("net-node2.example.org-10.20.0.64-26") == {"2": "here-node2"}
    assert cluster.reservations() == ["net-10.20.0.2", "net-10.20.0.66"]


class TestCollection:
    def test_not_what_a_call_has_just_now(self, cluster: Cluster) -> None:
        """The ADD of a second runtime with the same configuration, say: GC does not wait for it."""
        for name in ("busy", "stale"):
            lease(cluster.store(), name, Ask(NET))
        with cluster.journal().entry(owner("busy").attachment):
            assert cluster.store().keep_only("net", set()) == 1
        assert leased(cluster.store()) == [("busy", "10.0.0.1")]
        assert cluster.store().keep_only("net", set()) == 1

    def test_what_it_could_not_release_is_told(self, cluster: Cluster) -> None:
        for name in ("c1", "c2"):
            lease(cluster.store(), name, Ask(NET))
        cluster.api.fail(None, method="PATCH", status=500)
        with pytest.raises(CniError) as caught:
            cluster.store().keep_only("net", set())
        assert caught.value.code == Code.TRY_AGAIN_LATER
        cluster.api.heal()
        assert {each.state for each in cluster.journal().every()} == {RELEASING}
        assert cluster.store().keep_only("net", set()) == 2


def test_a_del_of_what_nobody_knows_while_slices_cannot_be_read(
    cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster.api.fail(None, path=SLICES, status=403)
    assert cluster.store("node1", "net").release(WEB.attachment, [("", NET)]) == 0
    assert "is not sought" in capfd.readouterr().err
    assert cluster.journal().every() == []


def test_leased_here(cluster: Cluster) -> None:
    lease(cluster.store(), WEB, Ask(NET))
    assert cluster.store().leased_here(WEB.attachment) is True
    assert cluster.store("node2").leased_here(WEB.attachment) is False
    assert cluster.store().leased_here(owner("c2").attachment) is False
    release(cluster.store(), WEB)
    assert cluster.store().leased_here(WEB.attachment) is False


def test_the_journal_of_an_earlier_version(cluster: Cluster) -> None:
    """Its places do not tell of other pools' holds."""
    lease(cluster.store(), WEB, Ask(NET))
    (file,) = (cluster.path / "node1" / "plait" / "intents").glob("*/leased/*")
    file.write_text(file.read_text().replace('"held": "", ', ""))
    assert "held" not in file.read_text()
    assert release(cluster.store(), WEB) == 1
    assert cluster.reservations() == []
