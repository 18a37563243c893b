"""`plait ipam reconcile` of the pools that all nodes of a cluster share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.unit.ctl.leased import plugin
from tests.unit.ctl.reconciled import done

if TYPE_CHECKING:
    from tests.apiserver.server import ApiServer
    from tests.unit.ctl.leased import Node, Said

API = "/apis/whereabouts.cni.cncf.io/v1alpha1/namespaces/kube-system"


def pool(api: ApiServer, allocations: dict[str, Any]) -> None:
    spec = {"range": "10.0.0.0/24", "allocations": allocations}
    api.put_object(f"{API}/ippools/10.0.0.0-24", {"spec": spec})


def offsets(api: ApiServer) -> list[str]:
    found = api.get(f"{API}/ippools/10.0.0.0-24")
    assert found
    return sorted(found["spec"]["allocations"])


def cluster_conf(node: Node) -> str:
    kubeconfig = {"kubeconfig": str(node.path / "kubeconfig")}
    return node.conf(plugin(range="10.0.0.0/24", kubernetes=kubeconfig))


def test_entries_of_nodes_of_the_original(node: Node, api: ApiServer) -> None:
    api.pod("default", "p1")
    entries = {
        "1": {"id": "c1", "podref": "default/p1", "ifname": "net1"},
        "2": {"id": "c2", "podref": "default/p2", "ifname": "net1"},
        "3": {"id": "hold:reserved:0:default/p3:", "podref": ""},
        "4": {"id": "c4", "podref": "", "ifname": "net1"},
        "garbage": {"id": "c5", "podref": "default/p5"},
    }
    pool(api, entries)
    for name, podref in (("10.0.0.1", "default/p1"), ("10.0.0.2", "default/p2")):
        spec = {"podref": podref, "ifname": "net1"}
        api.put_object(f"{API}/overlappingrangeipreservations/{name}", {"spec": spec})
    asked = ("--conf", cluster_conf(node))
    assert done(node, *asked) == {"10.0.0.1": "kept", "10.0.0.2": "waiting", "10.0.0.4": "kept"}
    assert done(node, *asked)["10.0.0.2"] == "waiting"
    assert offsets(api) == sorted(entries)
    assert done(node, *asked)["10.0.0.2"] == "released"
    assert offsets(api) == sorted({*entries} - {"2"})
    assert api.get(f"{API}/overlappingrangeipreservations/10.0.0.1")
    assert not api.get(f"{API}/overlappingrangeipreservations/10.0.0.2")


def test_grace_of_what_is_of_unknown_age(node: Node, api: ApiServer) -> None:
    api.pod("default", "p1")
    pool(api, {"2": {"id": "c2", "podref": "default/p2", "ifname": "net1"}})
    asked = ("--conf", cluster_conf(node), "--strikes", "1")
    assert done(node, *asked, grace=3600) == {"10.0.0.2": "waiting"}
    file = node.state / "plait/strikes.json"
    document = json.loads(file.read_text())
    document["strikes"][0]["first"] -= 3600
    file.write_text(json.dumps(document))
    assert done(node, *asked, grace=3600) == {"10.0.0.2": "released"}


def test_a_pod_that_comes_while_pools_are_read(node: Node, api: ApiServer) -> None:
    """Pools first, pods then: whoever has an address was there before."""
    api.pod("default", "p1")
    pool(api, {"1": {"id": "c1", "podref": "default/p1", "ifname": "net1"}})
    done(node, "--conf", cluster_conf(node))
    listed = [each.path.partition("?")[0].rpartition("/")[2] for each in api.requests]
    assert listed == ["nodeslicepools", "ippools", "pods"]


def test_a_store_of_all_nodes_needs_all_pods(node: Node, api: ApiServer) -> None:
    failed = node.run("ipam", "reconcile", "--conf", cluster_conf(node), "--node", "node1")
    assert failed.status == 2


def test_leases_usage_and_release_in_a_cluster(node: Node, api: ApiServer) -> None:
    pool(api, {"2": {"id": "c2", "podref": "default/p2", "ifname": "net1"}})
    conf = cluster_conf(node)
    assert node.ok("leases", "--conf", conf).lines[1] == (
        "10.0.0.2 leased 10.0.0.0/24 - default/p2 c2 net1 - -"
    )
    (found,) = node.ok("leases", "usage", "--conf", conf, "--json").json["ranges"]
    assert (found["capacity"], found["used"]) == (254, 1)
    said: Said = node.ok("ipam", "reserve", "10.0.0.9", "--pod", "a/b", "--conf", conf)
    assert "is reserved for a/b" in said.out and offsets(api) == ["2", "9"]
    failed = node.run("ipam", "release", "10.0.0.2", "--conf", conf)
    assert failed.status == 1 and "node (not known) would have to say" in failed.err
    node.ok("ipam", "release", "10.0.0.2", "--conf", conf, "--force")
    node.ok("ipam", "release", "10.0.0.9", "--conf", conf)
    assert offsets(api) == []
