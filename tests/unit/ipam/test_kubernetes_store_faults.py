"""Answers that are lost, refused, cut short or somebody else's: nothing is given twice or lost."""

# ruff: noqa: F811 (fixtures that are imported)
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cni.core.errors import CniError, Code
from ipam.stores import FOR_EVER, Ask
from ipam.stores.journal import LEASED, LEASING, RELEASING
from tests.unit.ipam.pools import POOLS, RESERVATIONS, ROOT, cluster, started  # noqa: F401
from tests.unit.ipam.store_world import (
    NET,
    NET6,
    clock,  # noqa: F401
    lease,
    leased,
    owner,
    refused,
    release,
)

if TYPE_CHECKING:
    from tests.unit.ipam.pools import Cluster
    from tests.unit.ipam.store_world import Clock

WEB = owner("c1", "web-0")
MOMENTARY: list[dict[str, Any]] = [
    {"kind": "lost-answer"},
    {"kind": "cut"},
    {"kind": "cut-body"},
    {"kind": "length"},
    {"status": 500},
    {"status": 503, "headers": {"Retry-After": "0"}},
    {"status": 429, "headers": {"Retry-After": "0"}},
]
#: of others, which we take for a change that came between
CONFLICTS: list[dict[str, Any]] = [{"status": 409}, {"status": 422}]
REQUESTS = [
    ("GET", POOLS), ("POST", POOLS), ("PATCH", POOLS), ("GET", RESERVATIONS), ("POST", RESERVATIONS)
]  # fmt: skip


def is_clean(cluster: Cluster) -> bool:
    ids = {**cluster.ids(), **cluster.ids("fd00---64")}
    return not ids and not cluster.reservations() and not cluster.journal().every()


@pytest.mark.parametrize("fault", MOMENTARY, ids=str)
@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_an_add_gets_over_it(
    cluster: Cluster,
    method: str,
    path: str,
    fault: dict[str, Any],
) -> None:
    cluster.api.fail(2, method=method, path=path, **fault)
    store = cluster.store()
    given = lease(store, WEB, Ask(NET), Ask(NET6))
    assert leased(store) == [("c1", given[0]), ("c1", given[1])]
    assert len(cluster.reservations()) == 2
    assert lease(store, WEB, Ask(NET), Ask(NET6)) == given
    assert release(store, WEB) == 2
    assert is_clean(cluster)


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("fault", CONFLICTS, ids=str)
@pytest.mark.parametrize("request_", [("PATCH", POOLS), ("POST", POOLS), ("POST", RESERVATIONS)])
def test_an_add_gets_over_a_conflict(
    cluster: Cluster,
    request_: tuple[str, str],
    fault: dict[str, Any],
    times: int,
) -> None:
    method, path = request_
    if method == "POST" and fault["status"] == 422:
        pytest.skip("a POST that is invalid stays so")
    cluster.api.fail(times, method=method, path=path, **fault)
    store = cluster.store()
    (given,) = lease(store, WEB, Ask(NET))
    assert leased(store) == [("c1", given)]
    assert cluster.reservations() == [given]
    assert release(store, WEB) == 1
    assert is_clean(cluster)


@pytest.mark.parametrize("fault", MOMENTARY + CONFLICTS, ids=str)
@pytest.mark.parametrize("request_", [("PATCH", POOLS), ("DELETE", RESERVATIONS)])
def test_a_del_gets_over_it(
    cluster: Cluster,
    request_: tuple[str, str],
    fault: dict[str, Any],
) -> None:
    store = cluster.store()
    lease(store, WEB, Ask(NET), Ask(NET6))
    cluster.api.fail(2, method=request_[0], path=request_[1], **fault)
    store.release(WEB.attachment)
    assert is_clean(cluster)


@pytest.mark.parametrize(
    "fault", [{"kind": "lost-answer"}, {"kind": "cut"}, {"status": 500}], ids=str
)
@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_an_add_that_fails_leaves_nothing(
    cluster: Cluster,
    method: str,
    path: str,
    fault: dict[str, Any],
    clock: Clock,
) -> None:
    """The server answers nothing of the kind any more; as soon as it does, all is given back."""
    lease(cluster.store("other"), "first", Ask(NET, "blue"))
    cluster.api.fail(None, method=method, path=path, **fault)
    with pytest.raises(CniError) as caught:
        lease(cluster.store(), WEB, Ask(NET), Ask(NET6))
    assert caught.value.code == Code.TRY_AGAIN_LATER
    cluster.api.heal()
    clock.pass_by(100)
    assert lease(cluster.store(), "c2", Ask(NET), Ask(NET6)) == ["10.0.0.1", "fd00::1"]
    assert release(cluster.store(), "c2") == 2
    release(cluster.store("other"), "first")
    assert is_clean(cluster)


@pytest.mark.parametrize("fault", [{"kind": "lost-answer"}, {"kind": "cut"}], ids=str)
@pytest.mark.parametrize("request_", [("PATCH", POOLS), ("DELETE", RESERVATIONS)])
def test_a_del_that_fails_is_made_up_for(
    cluster: Cluster,
    request_: tuple[str, str],
    fault: dict[str, Any],
) -> None:
    """It says nothing of it to the runtime: the next call of the node does it."""
    lease(cluster.store(), WEB, Ask(NET), Ask(NET6))
    cluster.api.fail(None, method=request_[0], path=request_[1], **fault)
    cluster.store().release(WEB.attachment)
    (left,) = cluster.journal().every()
    assert left.state == RELEASING
    cluster.api.heal()
    release(cluster.store(), "somebody")
    assert is_clean(cluster)


def test_a_del_while_the_server_is_gone(
    cluster: Cluster,
    capfd: pytest.CaptureFixture[str],
) -> None:
    lease(cluster.store(), WEB, Ask(NET))
    store = cluster.store()
    cluster.api.stop()
    assert store.release(WEB.attachment) == 0
    assert store.release(owner("unknown").attachment, [("", NET)]) == 0
    assert "not released yet" in capfd.readouterr().err
    cluster.api.start()
    cluster.store().keep_only("other", set())
    assert is_clean(cluster)


def test_an_answer_that_comes_too_late(cluster: Cluster, clock: Clock) -> None:
    """The server carries a request out after we have given up and looked: so we look again."""
    lease(cluster.store(), "first", Ask(NET, unique=False))
    cluster.api.fail(None, method="PATCH", path=POOLS, kind="cut")
    with pytest.raises(CniError):
        lease(cluster.store(), WEB, Ask(NET, unique=False))
    cluster.api.heal()
    release(cluster.store(), "somebody")
    (left,) = [each for each in cluster.journal().every() if each.owner == WEB]
    assert left.state == LEASING
    late = {"id": "c1", "podref": "default/web-0", "ifname": "eth0"}
    cluster.pool({**cluster.allocations(), "2": late})
    clock.pass_by(70)
    release(cluster.store(), "somebody")
    assert cluster.ids() == {"1": "first"}
    clock.pass_by(10)
    release(cluster.store(), "somebody")
    assert [each.owner.attachment.container_id for each in cluster.journal().every()] == ["first"]


def test_a_reservation_that_comes_too_late(cluster: Cluster, clock: Clock) -> None:
    """When the pool's entry, which tells of it, has been given back already."""
    cluster.api.fail(None, method="POST", path=RESERVATIONS, kind="cut")
    with pytest.raises(CniError):
        lease(cluster.store(), WEB, Ask(NET))
    cluster.api.heal()
    assert cluster.ids() == {}
    cluster.reserve("10.0.0.1", podref="default/web-0", ifname="eth0", containerid="c1")
    clock.pass_by(100)
    release(cluster.store(), "somebody")
    assert is_clean(cluster)


def test_an_answer_that_comes_after_another_try(cluster: Cluster, clock: Clock) -> None:
    cluster.api.fail(None, method="PATCH", path=POOLS, kind="cut")
    with pytest.raises(CniError):
        lease(cluster.store(), WEB, Ask(NET))
    cluster.api.heal()
    assert lease(cluster.store(), WEB, Ask(NET)) == ["10.0.0.1"]
    late = {"id": "c1", "podref": "default/web-0", "ifname": "eth0"}
    cluster.pool({**cluster.allocations(), "2": late})
    assert [each.state for each in cluster.journal().every()] == [LEASED]
    assert lease(cluster.store(), WEB, Ask(NET)) == ["10.0.0.1"]
    clock.pass_by(100)
    assert release(cluster.store(), WEB) == 2
    assert is_clean(cluster)


@pytest.mark.parametrize(
    "body", ["{}", '{"kind":"Status"}', '{"kind":"IPPool","metadata":{"name":"x"},"spec":{}}', "[]"]
)
@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_an_answer_of_somebody_else(
    cluster: Cluster,
    method: str,
    path: str,
    body: str,
    clock: Clock,
) -> None:
    """A proxy's page with status 200 is no lease."""
    cluster.api.fail(None, method=method, path=path, status=200, body=body)
    with pytest.raises(CniError) as caught:
        lease(cluster.store(), WEB, Ask(NET))
    assert caught.value.code == Code.TRY_AGAIN_LATER
    cluster.api.heal()
    clock.pass_by(100)
    assert release(cluster.store(), "somebody") == 0
    assert is_clean(cluster)


def test_a_404_of_a_proxy_is_no_pool_that_is_gone(cluster: Cluster) -> None:
    lease(cluster.store(), WEB, Ask(NET))
    cluster.api.fail(None, path=ROOT, status=404, body="<html>no such page</html>")
    assert cluster.store().release(WEB.attachment) == 0
    with pytest.raises(CniError):
        lease(cluster.store(), "c2", Ask(NET))
    cluster.api.heal()
    assert release(cluster.store(), "somebody") == 0
    assert is_clean(cluster)


def test_who_may_not(cluster: Cluster, clock: Clock) -> None:
    lease(cluster.store(), WEB, Ask(NET))
    cluster.api.forbid(cluster.api.user, "create", "overlappingrangeipreservations")
    with pytest.raises(CniError, match="forbidden") as caught:
        lease(cluster.store(), "c2", Ask(NET))
    assert caught.value.code == Code.INVALID_CONFIG
    assert cluster.ids() == {"1": "c1"}
    clock.pass_by(100)
    release(cluster.store(), "somebody")
    assert len(cluster.journal().every()) == 1


def test_who_may_not_even_look(cluster: Cluster) -> None:
    """Nothing was asked for that could come later."""
    cluster.api.forbid(cluster.api.user, "get", "ippools")
    with pytest.raises(CniError, match="forbidden"):
        lease(cluster.store(), WEB, Ask(NET))
    assert is_clean(cluster)


def test_a_try_that_is_late_and_one_that_is_refused(cluster: Cluster, clock: Clock) -> None:
    """The refusal is the second try's: the first may still be carried out."""
    lease(cluster.store(), "first", Ask(NET, unique=False))
    cluster.api.fail(1, method="PATCH", path=POOLS, status=503)
    cluster.api.fail(1, method="PATCH", path=POOLS, status=403)
    with pytest.raises(CniError):
        lease(cluster.store(), WEB, Ask(NET, unique=False))
    late = {"id": "c1", "podref": "default/web-0", "ifname": "eth0"}
    cluster.pool({**cluster.allocations(), "2": late})
    clock.pass_by(70)
    release(cluster.store(), "somebody")
    assert cluster.ids() == {"1": "first"}
    clock.pass_by(10)
    release(cluster.store(), "somebody")
    assert len(cluster.journal().every()) == 1


def test_a_full_range_gives_back_the_others(cluster: Cluster) -> None:
    """And what the pod's earlier container has stays with that."""
    old = owner("old", "web-0")
    lease(cluster.store(), old, Ask(NET6, sticky=FOR_EVER))
    taken = Ask(NET, wanted=NET.base + 7)
    lease(cluster.store(), "c7", taken)
    refused(cluster.store(), WEB, Ask(NET6, sticky=FOR_EVER), Ask(NET), taken)
    assert cluster.ids() == {"7": "c7"}
    assert cluster.ids("fd00---64") == {"1": "old"}
    assert cluster.reservation("fd00--1")["containerid"] == "old"
    assert cluster.reservations() == ["10.0.0.7", "fd00--1"]


def test_pools_that_are_deleted(cluster: Cluster) -> None:
    """An administrator's kubectl delete: nothing of ours fails for it."""
    store = cluster.store()
    lease(store, WEB, Ask(NET))
    cluster.api.delete(f"{POOLS}/10.0.0.0-24")
    assert store.leases(WEB.attachment) == []
    assert release(store, WEB) == 0
    assert is_clean(cluster)
    lease(store, WEB, Ask(NET))
    cluster.api.delete(f"{POOLS}/10.0.0.0-24")
    assert lease(store, WEB, Ask(NET)) == ["10.0.0.1"]
    assert release(store, WEB) == 1
    assert is_clean(cluster)
