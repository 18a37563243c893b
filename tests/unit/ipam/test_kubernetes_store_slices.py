"""Node slices: each node leases from a pool of its own, and nobody collides with another."""

# ruff: noqa: F811 (fixtures that are imported)
from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cni.core.errors import CniError, Code
from ipam.stores import Ask
from ipam.stores.pool import slice_of
from tests.unit.ipam.pools import SLICES, cluster, started  # noqa: F401
from tests.unit.ipam.store_world import fill, ip, lease, owner, pool, refused, release, reservation

if TYPE_CHECKING:
    from tests.unit.ipam.pools import Cluster

WEB = owner("c1", "web-0")


def _slices(cluster: Cluster, **nodes: str) -> None:
    cluster.api.put_object(f"{SLICES}/slices", {
        "spec": {"range": "10.20.0.0/16", "sliceSize": "/26"},
        "status": {"allocations": [
            {"nodeName": name.replace("_", "."), "sliceRange": part}
            for name, part in nodes.items()
        ] + [{"nodeName": "", "sliceRange": "10.20.9.0/26"}]},
    })  # fmt: skip


def test_each_node_has_a_pool_of_its_slice(cluster: Cluster) -> None:
    _slices(cluster, node1="10.20.0.0/26", node2_example_org="10.20.0.64/26")
    whole = pool("10.20.0.0/16", exclude=("10.20.0.1", "10.20.0.64/31"))
    one, two = cluster.store("node1", "slices"), cluster.store("node2", "slices")
    assert lease(one, "c1", Ask(whole, "net")) == ["10.20.0.2"]
    assert lease(two, "c2", Ask(whole, "net")) == ["10.20.0.66"]
    assert lease(two, "c2", Ask(whole, "net")) == ["10.20.0.66"]
    assert cluster.ids("net-node1-10.20.0.0-26") == {"2": "c1"}
    assert cluster.ids("net-node2.example.org-10.20.0.64-26") == {"2": "c2"}
    assert cluster.reservations() == ["net-10.20.0.2", "net-10.20.0.66"]
    (mine,) = two.leases(owner("c2").attachment)
    assert (mine.cidr, mine.network_name) == ("10.20.0.0/16", "net")
    found = {each.attachment.container_id: each.network_name for each in one.every()}
    assert found == {"c1": "net", "c2": "net"}
    refused(one, "c3", Ask(whole, "net", wanted=ip("10.20.0.66")))
    for each in one.every():
        assert one.drop(each)
    assert cluster.ids("net-node1-10.20.0.0-26") == {}
    assert cluster.ids("net-node2.example.org-10.20.0.64-26") == {}
    kept = reservation("10.20.0.70", "web-0", whole)._replace(network_name="net")
    one.reserve(kept)
    assert lease(two, owner("c4", "web-0"), Ask(whole, "net")) == ["10.20.0.70"]
    assert release(two, "c2") == 0


def test_a_slice_is_full(cluster: Cluster) -> None:
    _slices(cluster, node1="10.20.0.0/29")
    store = cluster.store("node1", "slices")
    assert fill(store, pool("10.20.0.0/16")) == [f"10.20.0.{n}" for n in range(1, 7)]


@pytest.mark.parametrize("node", ["stranger", "node1.other.org.stranger", ""])
def test_no_slice(cluster: Cluster, node: str) -> None:
    _slices(cluster, node1_a="10.20.0.0/26", node1_b="10.20.0.64/26")
    with pytest.raises(CniError, match="no allocated node slice for node") as caught:
        lease(cluster.store(node, "slices"), WEB, Ask(pool("10.20.0.0/16")))
    assert caught.value.code == Code.INVALID_CONFIG
    with pytest.raises(CniError, match="no NodeSlicePool others"):
        lease(cluster.store(node, "others"), WEB, Ask(pool("10.20.0.0/16")))


@pytest.mark.parametrize("said", ["10.30.0.0/26", "x", "10.20.0.0/31", "fd00::/64", "10.0.0.0/8"])
def test_a_slice_that_is_none(said: str) -> None:
    document = {"status": {"allocations": [{"nodeName": "n", "sliceRange": said}]}}
    with pytest.raises(CniError, match="is no part of") as caught:
        slice_of(document, "n", pool("10.20.0.0/16"))
    assert caught.value.code == Code.INVALID_CONFIG
