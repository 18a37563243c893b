"""What the store says to the API server, and what it makes of what others have written there."""

# ruff: noqa: F811 (fixtures that are imported)
from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from cni.core.errors import CniError, Code
from cni.core.types import Attachment
from ipam.ranges import Range, text
from ipam.stores import COOLING, Ask, Owner
from ipam.stores.pool import Allocation, hold_id, hold_of, key, reservation_name
from tests.unit.ipam.pools import POOLS, RESERVATIONS, cluster, started  # noqa: F401
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

NAME = "10.0.0.0-24"
WEB = owner("c1", "web-0")
OF_GO = {"id": "go1", "podref": "default/go", "ifname": "eth0"}


# names


@pytest.mark.parametrize(
    ("network_name", "node", "cidr", "name"),
    [
        ("", "", "10.0.0.0/8", "10.0.0.0-8"),
        ("test", "", "10.0.0.0/8", "test-10.0.0.0-8"),
        ("", "testnode", "10.0.0.0/8", "testnode-10.0.0.0-8"),
        ("testnetwork", "testnode", "10.0.0.0/8", "testnetwork-testnode-10.0.0.0-8"),
        ("", "", "2001:db8:480:603d::/64", "2001-db8-480-603d---64"),
        ("", "", "caa5::/64", "caa5---64"),
    ],
)
def test_names_of_pools(network_name: str, node: str, cidr: str, name: str) -> None:
    assert key(network_name, pool(cidr), node).name == name


@pytest.mark.parametrize(
    ("network_name", "address", "name"),
    [
        ("", "10.0.0.5", "10.0.0.5"),
        ("net-a", "10.0.0.5", "net-a-10.0.0.5"),
        ("", "2001:db8::5", "2001-db8--5"),
        ("", "fd00::", "fd00--0"),
    ],
)
def test_names_of_reservations(network_name: str, address: str, name: str) -> None:
    assert reservation_name(network_name, 6 if ":" in address else 4, ip(address)) == name


@pytest.mark.parametrize("cidr", ["2001:db8::/30", "2001:db8::/63", "::/64"])
def test_ranges_that_cannot_be_shared(cluster: Cluster, cidr: str) -> None:
    with pytest.raises(CniError, match=f"range {re.escape(cidr)} cannot be shared") as caught:
        cluster.store().lease(WEB, [Ask(pool(cidr))])
    assert caught.value.code == Code.INVALID_CONFIG
    assert cluster.api.requests == []


def test_the_upper_half_of_a_64_is_not_handed_out(cluster: Cluster) -> None:
    store = cluster.store()
    both = pool("fd00::/64", "fd00::7fff:ffff:ffff:ffff")
    assert lease(store, "c1", Ask(both)) == ["fd00::7fff:ffff:ffff:ffff"]
    refused(store, "c2", Ask(both))
    refused(store, "c2", Ask(both, wanted=ip("fd00::8000:0:0:0")))
    with pytest.raises(CniError, match="lower half") as caught:
        store.lease(WEB, [Ask(pool("fd00::/64", "fd00::8000:0:0:0"))])
    assert caught.value.code == Code.INVALID_CONFIG


def test_a_hold_as_text() -> None:
    where = key("", NET)
    odd = reservation("10.0.0.3", "we:b", NET, ifname="e:0")._replace(until=7)
    assert hold_of(where, odd.address, Allocation(hold_id(odd), "", "")) == odd
    assert hold_id(reservation("10.0.0.3", "web-0", NET)) == "hold:reserved:0:default/web-0:"
    for foreign in ("hold:", "hold:a:b:c:d", "c1", ""):
        assert hold_of(where, 1, Allocation(foreign, "", "")) is None


# what is written


def test_an_add_and_a_del(cluster: Cluster) -> None:
    store = cluster.store()
    lease(store, "first", Ask(NET))
    cluster.api.clear()
    assert lease(store, WEB, Ask(NET)) == ["10.0.0.2"]
    assert cluster.asked() == [
        ("GET", f"ippools/{NAME}", 200),
        ("GET", "overlappingrangeipreservations/10.0.0.2", 404),
        ("PATCH", f"ippools/{NAME}", 200),
        ("POST", "overlappingrangeipreservations", 201),
    ]
    assert cluster.allocations()["2"] == {
        "id": "c1", "podref": "default/web-0", "ifname": "eth0",
    }  # fmt: skip
    assert cluster.reservation("10.0.0.2") == {
        "podref": "default/web-0", "ifname": "eth0", "containerid": "c1",
    }  # fmt: skip
    found = cluster.api.get(f"{POOLS}/{NAME}")
    assert found is not None
    assert found["spec"]["range"] == "10.0.0.0/24"
    cluster.api.clear()
    assert release(cluster.store(), WEB) == 1
    assert cluster.asked() == [
        ("PATCH", f"ippools/{NAME}", 200),
        ("DELETE", "overlappingrangeipreservations/10.0.0.2", 200),
    ]
    assert cluster.ids() == {"1": "first"}
    assert cluster.reservations() == ["10.0.0.1"]


def test_without_overlap_nothing_is_reserved(cluster: Cluster) -> None:
    lease(cluster.store(), WEB, Ask(NET, unique=False))
    assert not any("overlapping" in path for _, path, _ in cluster.asked())
    assert cluster.reservations() == []


def test_the_same_again_is_one_request(cluster: Cluster) -> None:
    lease(cluster.store(), WEB, Ask(NET))
    cluster.api.clear()
    assert lease(cluster.store(), WEB, Ask(NET)) == ["10.0.0.1"]
    assert cluster.asked() == [("GET", f"ippools/{NAME}", 200)]


def test_a_container_of_no_pod_has_no_podref(cluster: Cluster) -> None:
    lease(cluster.store(), "c1", Ask(NET))
    assert cluster.allocations()["1"]["podref"] == ""


def test_what_rests_is_an_allocation_of_no_pod(cluster: Cluster, clock: Clock) -> None:
    store = cluster.store()
    lease(store, WEB, Ask(NET, cooldown=60))
    release(store, WEB)
    until = int(clock.now) + 60
    said = {"id": f"hold:cooling:{until}:default/web-0:eth0", "podref": "", "ifname": ""}
    assert cluster.allocations() == {"1": said}
    assert cluster.reservations() == []
    clock.pass_by(60)
    lease(store, "c2", Ask(NET, wanted=ip("10.0.0.9")))
    assert cluster.ids() == {"9": "c2"}


# what others have written


def test_a_pod_has_its_address_again(cluster: Cluster) -> None:
    """What the original does too: by the pod's name and the interface."""
    cluster.pool({"7": {"id": "old", "podref": "default/web-0", "ifname": "eth0"}})
    cluster.reserve("10.0.0.7", podref="default/web-0", ifname="eth0")
    store = cluster.store()
    assert lease(store, WEB, Ask(NET)) == ["10.0.0.7"]
    assert cluster.ids() == {"7": "c1"}
    assert cluster.reservation("10.0.0.7")["containerid"] == "c1"
    assert release(store, WEB) == 1
    assert cluster.ids() == {}
    assert cluster.reservations() == []


def test_entries_without_an_interface_are_nobodys_again(cluster: Cluster) -> None:
    cluster.pool({"1": {"id": "old", "podref": "default/web-0"}})
    assert lease(cluster.store(), WEB, Ask(NET)) == ["10.0.0.2"]


def test_the_pool_of_a_node_of_the_original(cluster: Cluster) -> None:
    cluster.pool({"1": OF_GO, "2": OF_GO | {"id": "go2"}})
    cluster.reserve("10.0.0.3", podref="default/go3")
    store = cluster.store()
    assert lease(store, WEB, Ask(NET)) == ["10.0.0.4"]
    assert [each.pod_name for each in store.every()] == ["go", "go", "web-0"]
    release(store, WEB)
    assert cluster.ids() == {"1": "go1", "2": "go2"}
    assert cluster.reservations() == ["10.0.0.3"]


def test_its_pods_are_released_here(cluster: Cluster) -> None:
    """A node that has changed to Plait: the pools to search are the configuration's."""
    cluster.pool({"1": OF_GO, "2": OF_GO | {"ifname": "net1"}})
    for address in ("10.0.0.1", "10.0.0.2"):
        cluster.reserve(address, podref="default/go")
    gone = Attachment("net", "go1", "eth0")
    store = cluster.store()
    assert store.release(gone) == 0
    assert [each.address for each in store.leases(gone, [("", NET)])] == [ip("10.0.0.1")]
    assert store.release(gone, [("", NET), ("", SMALL)]) == 1
    assert store.release(gone, [("", NET)]) == 0
    assert cluster.ids() == {"2": "go1"}
    assert cluster.reservations() == ["10.0.0.2"]


def test_what_is_no_offset_stays(cluster: Cluster) -> None:
    odd: dict[str, Any] = dict.fromkeys(("18446463705355360228", "-1", "x", "01", "256"), OF_GO)
    cluster.pool(dict(odd))
    store = cluster.store()
    lease(store, WEB, Ask(NET))
    assert len(store.every()) == 1
    release(store, WEB)
    assert cluster.allocations() == odd


def test_a_pool_of_another_range_is_not_used(cluster: Cluster) -> None:
    cluster.pool({}, "10.0.0.0/16", NAME)
    with pytest.raises(CniError, match=f"IPPool {NAME}: its range is 10.0.0.0/16") as caught:
        lease(cluster.store(), WEB, Ask(NET))
    assert caught.value.code == Code.INVALID_CONFIG
    assert cluster.journal().every() == []


def test_a_range_as_others_may_write_it(cluster: Cluster) -> None:
    spec = {"range": "10.0.0.9/24", "allocations": {}}
    cluster.api.put_object(f"{POOLS}/{NAME}", {"spec": spec})
    assert lease(cluster.store(), WEB, Ask(NET)) == ["10.0.0.1"]


def test_an_orphan_costs_one_request(cluster: Cluster) -> None:
    for number in range(1, 8):
        cluster.reserve(f"10.0.0.{number}", podref=f"default/gone-{number}")
    store = cluster.store()
    lease(store, "c0", Ask(NET, wanted=ip("10.0.0.8")))
    cluster.api.clear()
    assert lease(store, WEB, Ask(NET)) == ["10.0.0.9"]
    assert len(cluster.api.requests) == 4 + 7


def test_a_reservation_of_the_same_pod_for_another_interface(cluster: Cluster) -> None:
    """The original would hand the address out twice: it looks at the pod alone."""
    store = cluster.store()
    assert lease(store, WEB, Ask(NET)) == ["10.0.0.1"]
    assert lease(store, owner("c1", "web-0", ifname="net1"), Ask(SMALL)) == ["10.0.0.2"]
    assert lease(store, owner("c2", "web-2"), Ask(NET), Ask(SMALL)) == ["10.0.0.3", "10.0.0.4"]


def test_a_reservation_that_comes_between(cluster: Cluster) -> None:
    """Between our look and our claim: the pool's entry is taken back."""
    store = cluster.store()
    lease(store, "c0", Ask(NET))
    cluster.reserve("10.0.0.2", podref="default/other")
    cluster.api.fail(
        1, method="GET", path=f"{RESERVATIONS}/10.0.0.2", status=404,
        body='{"kind":"Status","reason":"NotFound","message":"no","details":{"name":"10.0.0.2"}}',
    )  # fmt: skip
    assert lease(store, WEB, Ask(NET)) == ["10.0.0.3"]
    assert cluster.ids() == {"1": "c0", "3": "c1"}
    assert cluster.reservation("10.0.0.2") == {"podref": "default/other"}


def test_a_late_del_of_what_a_node_of_the_original_has(cluster: Cluster) -> None:
    """Its node has taken the pool's entry over for the pod; the reservation is as we wrote it."""
    store = cluster.store()
    lease(store, WEB, Ask(NET))
    cluster.pool({"1": {"id": "new", "podref": "default/web-0", "ifname": "eth0"}})
    assert release(store, WEB) == 0
    assert cluster.ids() == {"1": "new"}
    assert cluster.reservations() == ["10.0.0.1"]


def test_a_large_pool_is_warned_of(cluster: Cluster, capfd: pytest.CaptureFixture[str]) -> None:
    wide = pool("10.0.0.0/16")
    entries = {str(n): {"id": f"c{n}", "podref": f"d/p{n}"} for n in range(1, 4001)}
    cluster.pool(entries, "10.0.0.0/16")
    assert lease(cluster.store(), WEB, Ask(wide)) == ["10.0.15.161"]
    assert "node slices or smaller ranges" in capfd.readouterr().err


def test_no_list_and_no_lease(cluster: Cluster) -> None:
    store = cluster.store()
    fill(store, SMALL)
    release(store, "full3")
    store.keep_only("net", set())
    assert {path for _, path, _ in cluster.asked()}.isdisjoint({"ippools"}) or all(
        method == "POST" for method, path, _ in cluster.asked() if path == "ippools"
    )
    assert not any("leases" in path for _, path, _ in cluster.asked())


# who has left


@pytest.mark.parametrize(("cooldown", "rest"), [(0, 600), (5, 600), (900, 900)])
def test_the_longer_rest_counts_after_a_boot(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, clock: Clock, cooldown: int, rest: int
) -> None:
    for boot in ("before", "now"):
        for module in ("journal", "kubernetes"):
            monkeypatch.setattr(f"ipam.stores.{module}.boot_id", lambda boot=boot: boot)
        lease(cluster.store(), owner(boot), Ask(NET, cooldown=cooldown))
    (hold,) = cluster.store().holds()
    assert (hold.holder, hold.until - int(clock.now)) == ("before", rest)


def test_after_a_boot(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier boot has leased is given back, and rests for its own pods."""
    monkeypatch.setattr("ipam.stores.journal.boot_id", lambda: "before")
    monkeypatch.setattr("ipam.stores.kubernetes.boot_id", lambda: "before")
    store = cluster.store()
    lease(store, WEB, Ask(NET, cooldown=0))
    lease(store, owner("c2", "web-1"), Ask(NET))
    monkeypatch.setattr("ipam.stores.journal.boot_id", lambda: "now")
    monkeypatch.setattr("ipam.stores.kubernetes.boot_id", lambda: "now")
    assert lease(store, "c3", Ask(NET)) == ["10.0.0.3"]
    assert {hold.kind for hold in store.holds()} == {COOLING}
    assert lease(store, owner("c4", "web-1"), Ask(NET)) == ["10.0.0.2"]
    assert release(store, WEB) == 0
    assert leased(store) == [("c4", "10.0.0.2"), ("c3", "10.0.0.3")]


def test_probe_says_what_is_wrong(cluster: Cluster) -> None:
    store = cluster.store()
    cluster.api.forbid(cluster.api.user, "*", "ippools")
    with pytest.raises(CniError, match="ippools"):
        store.probe()
    cluster.api.permit()
    (cluster.path / "node1" / "plait").parent.mkdir(exist_ok=True)
    (cluster.path / "node2").write_text("in the way")
    with pytest.raises(CniError, match="cannot write an intent"):
        cluster.store("node2").probe()


def test_ranges_of_any_kind_have_a_name() -> None:
    whole = Range(4, 0, 0, 1, 2**32 - 2)
    assert key("", whole).name == f"{text(4, 0)}-0"
    assert Owner(Attachment("n", "c", "i")).holder == "c"
