"""`plait ipam reconcile` on a node's store, and on the pools of a cluster."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from cni.ctl.ipam import reconcile
from cni.kube import client
from tests.unit.ctl.leased import plugin

if TYPE_CHECKING:
    from ipam.stores import Lease
    from ipam.stores.file import FileStore
    from tests.apiserver.server import ApiServer
    from tests.unit.ctl.leased import Node, Said

HERE = "/proc/self/ns/net"
API = "/apis/whereabouts.cni.cncf.io/v1alpha1/namespaces/kube-system"


def run(node: Node, *options: str, grace: int = 0) -> dict[str, tuple[str, str]]:
    """Address -> what was done, and why."""
    said = node.ok("ipam", "reconcile", "--json", "--grace", str(grace), *options).json
    return {each["address"]: (each["decision"], each["reason"]) for each in said["leases"]}


def done(node: Node, *options: str, grace: int = 0) -> dict[str, str]:
    return {address: what for address, (what, _) in run(node, *options, grace=grace).items()}


# on a node alone


def test_nothing_to_judge(node: Node) -> None:
    assert node.ok("ipam", "reconcile").out == "no leases\n"


def test_leases_whose_namespace_is_gone(node: Node) -> None:
    node.lease(1, netns=HERE)
    node.lease(2, netns=str(node.path / "gone"))
    node.lease(3, netns=str(node.path / "not mounted/gone"))
    node.lease(4)
    rehearsed = node.ok("ipam", "reconcile", "--grace", "0", "--dry-run")
    assert rehearsed.out == (
        "would be released: 10.0.0.2 of range 10.0.0.0/24, default/p2, container c2 eth0: "
        "its network namespace is gone\n4 leases: 1 to be released, 3 kept\n"
    )
    assert len(node.addresses()) == 4
    said = node.ok("ipam", "reconcile", "--grace", "0")
    assert said.lines[-1] == "4 leases: 1 released, 3 kept"
    assert node.addresses() == ["10.0.0.1", "10.0.0.3", "10.0.0.4"]


def test_a_young_lease_is_left_alone(node: Node) -> None:
    node.lease(1, netns=str(node.path / "gone"))
    assert done(node, grace=3600) == {"10.0.0.1": "waiting"}
    assert node.addresses() == ["10.0.0.1"]
    with closing(sqlite3.connect(node.database)) as connection, connection:
        connection.execute("UPDATE lease SET created = created - 3600")
    assert done(node, grace=3600) == {"10.0.0.1": "released"}


@pytest.mark.parametrize(("uptime", "what"), [(599, "kept"), (601, "released")])
def test_leases_of_an_earlier_boot(
    node: Node, monkeypatch: pytest.MonkeyPatch, uptime: int, what: str
) -> None:
    node.lease(1, netns=HERE)
    node.lease(2, netns=HERE)
    with closing(sqlite3.connect(node.database)) as connection, connection:
        connection.execute("UPDATE lease SET boot_id = 'old' WHERE container_id = 'c1'")
    monkeypatch.setattr(time, "clock_gettime", lambda _: float(uptime))
    assert done(node) == {"10.0.0.1": what, "10.0.0.2": "kept"}


def test_what_is_another_lease_by_now_stays(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """podman has started the container again, after the leases were read."""
    node.lease(1, netns=str(node.path / "gone"))
    read = type(node.store).every

    def every(store: FileStore) -> list[Lease]:
        found = read(store)
        node.lease(1, netns=str(node.path / "there"))
        return found

    monkeypatch.setattr(type(node.store), "every", every)
    assert run(node) == {"10.0.0.1": ("kept", "it is another's by now")}
    monkeypatch.undo()
    assert [each.netns for each in node.store.every()] == [str(node.path / "there")]


def test_a_namespace_that_another_node_may_have(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hosts have one name and one etcd: who has not leased it cannot see its namespace."""
    node.lease(1, netns=str(node.path / "gone"))
    monkeypatch.setattr(type(node.store), "leased_here", lambda *_: False)
    assert done(node) == {"10.0.0.1": "kept"}
    said = node.run("ipam", "release", "10.0.0.1")
    assert said.status == 1 and "node node1 would have to say" in said.err
    assert node.addresses() == ["10.0.0.1"]


def test_a_failure_is_told(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.lease(1, netns=str(node.path / "gone"))

    def fail(*_: object) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(node.store), "drop", fail)
    failed = node.run("ipam", "reconcile", "--grace", "0")
    assert failed.status == 1 and failed.lines[-1] == "1 leases: 1 failed"
    assert "1 leases could not be released" in failed.err and "ENOSPC" in failed.err


# on a node of a cluster


@pytest.fixture
def asked(node: Node, api: ApiServer) -> tuple[str, ...]:
    """The options that name the cluster, in which there is one pod of another namespace."""
    api.pod("kube-system", "dns", uid="dns")
    return ("--kubeconfig", str(node.path / "kubeconfig"))


def test_pods_are_judged_by_their_uid(node: Node, api: ApiServer, asked: tuple[str, ...]) -> None:
    api.pod("default", "p1", uid="u1")
    api.pod("default", "p2", uid="new")
    api.pod("default", "p4", uid="u4")
    for number in (1, 2, 3):
        node.lease(number, uid=f"u{number}")
    node.lease(4)
    node.lease(5)
    node.lease(6, uid="u6", netns=HERE)
    for strike in (1, 2):
        found = run(node, *asked)
        assert found["10.0.0.2"] == (
            "waiting",
            f"its pod was replaced, the present one has another UID: strike {strike} of 3",
        )
        assert found["10.0.0.3"] == ("waiting", f"its pod does not exist: strike {strike} of 3")
    assert done(node, *asked, "--dry-run")["10.0.0.3"] == "released"
    assert done(node, *asked) == {
        "10.0.0.1": "kept", "10.0.0.2": "released", "10.0.0.3": "released",
        "10.0.0.4": "kept", "10.0.0.5": "kept", "10.0.0.6": "kept",
    }  # fmt: skip
    assert node.addresses() == ["10.0.0.1", "10.0.0.4", "10.0.0.5", "10.0.0.6"]
    assert json.loads((node.state / "plait/strikes.json").read_text())["strikes"] == []


def test_a_namespace_is_gone_whose_pod_lives(
    node: Node, api: ApiServer, asked: tuple[str, ...]
) -> None:
    """It may be that we do not see it."""
    api.pod("default", "p1", uid="u1")
    node.lease(1, uid="u1", netns=str(node.path / "gone"))
    assert run(node, *asked)["10.0.0.1"] == (
        "waiting",
        "its network namespace is gone, though its pod exists: strike 1 of 3",
    )
    assert [done(node, *asked)["10.0.0.1"] for _ in range(2)] == ["waiting", "released"]


def test_strikes_have_to_be_in_a_row(node: Node, api: ApiServer, asked: tuple[str, ...]) -> None:
    node.lease(1, uid="u1")
    assert [done(node, *asked)["10.0.0.1"] for _ in range(2)] == ["waiting"] * 2
    api.pod("default", "p1", uid="u1")
    assert done(node, *asked) == {"10.0.0.1": "kept"}
    api.delete("/api/v1/namespaces/default/pods/p1")
    assert [done(node, *asked)["10.0.0.1"] for _ in range(3)] == ["waiting", "waiting", "released"]


def test_the_next_lease_of_the_address_has_no_strikes(
    node: Node, api: ApiServer, asked: tuple[str, ...]
) -> None:
    node.lease(1, uid="u1")
    assert [done(node, *asked)["10.0.0.1"] for _ in range(2)] == ["waiting"] * 2
    node.release(1)
    assert node.lease(2, uid="u2") == "10.0.0.1"
    assert done(node, *asked) == {"10.0.0.1": "waiting"}


def test_static_pods_have_two_uids(node: Node, api: ApiServer, asked: tuple[str, ...]) -> None:
    api.pod("default", "p1", {"kubernetes.io/config.hash": "u1"}, uid="mirror")
    node.lease(1, uid="u1")
    assert run(node, *asked)["10.0.0.1"] == ("kept", "its pod exists")


def test_an_annotation_says_nothing(node: Node, api: ApiServer, asked: tuple[str, ...]) -> None:
    status = '[{"name": "x", "interface": "net1", "ips": ["10.9.9.9"]}]'
    api.pod("default", "p1", {"k8s.v1.cni.cncf.io/network-status": status}, uid="u1")
    api.pod("default", "p2", uid="u2")
    node.lease(1, uid="u1")
    node.lease(2, uid="u2")
    assert set(done(node, *asked, "--strikes", "1").values()) == {"kept"}


def test_the_list_is_read_once_and_in_pages(
    node: Node, api: ApiServer, asked: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cni.ctl.ipam.pods._PAGE", 2)
    for number in range(1, 6):
        api.pod("default", f"p{number}", uid=f"u{number}")
        node.lease(number, uid=f"u{number}")
    node.lease(6, uid="u6")
    found = done(node, *asked, "--strikes", "1")
    assert [found[f"10.0.0.{number}"] for number in range(1, 7)] == ["kept"] * 5 + ["released"]
    assert len(api.requests) == 3


def refuse(api: ApiServer) -> None:
    api.forbid(api.user, "list", "pods")


def lose_a_page(api: ApiServer) -> None:
    api.fail(path="/api/v1/pods?limit=2&continue", status=410, body="{}")


def cut(api: ApiServer) -> None:
    api.fail(times=None, path="/api/v1/pods", kind="cut-body")


def show_nothing(api: ApiServer) -> None:
    api.fail(path="/api/v1/pods", status=200, body='{"kind": "PodList", "items": []}')


def show_something_else(api: ApiServer) -> None:
    api.fail(path="/api/v1/pods", status=200, body='{"items": [{"metadata": {"name": "x"}}]}')


def show_a_page_of_a_proxy(api: ApiServer) -> None:
    api.fail(times=None, path="/api/v1/pods", kind="html")


def stop(api: ApiServer) -> None:
    api.stop()


@pytest.mark.parametrize(
    "harm",
    [refuse, lose_a_page, cut, show_nothing, show_something_else, show_a_page_of_a_proxy, stop],
)
def test_a_cluster_that_does_not_say_all_says_nothing(
    node: Node,
    api: ApiServer,
    asked: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    harm: Any,
) -> None:
    monkeypatch.setattr("cni.ctl.ipam.pods._PAGE", 2)
    patience = client.Limits(connect=30, call=30, total=60, attempts=3)
    monkeypatch.setattr("cni.ctl.ipam.pods._PATIENT", patience)
    for number in range(5):
        api.pod("other", f"p{number}")
    node.lease(1, uid="u1")
    node.lease(2, netns=str(node.path / "gone"))
    harm(api)
    failed = node.run("ipam", "reconcile", *asked, "--strikes", "1", "--grace", "0")
    assert failed.status == 1 and failed.out == "" and failed.err.count("\n") == 1
    assert len(node.addresses()) == 2
    assert not (node.state / "plait/strikes.json").exists()


def test_only_the_pods_of_this_node(node: Node, api: ApiServer, asked: tuple[str, ...]) -> None:
    api.pod("default", "p1", uid="u1")
    node.lease(1, uid="u1")
    assert done(node, *asked, "--strikes", "1", "--node", "node1") == {"10.0.0.1": "kept"}
    assert "fieldSelector=spec.nodeName%3Dnode1" in api.requests[-1].path
    failed = node.run("ipam", "reconcile", *asked, "--strikes", "1", "--node", "node9")
    assert failed.status == 1 and "lists no pods" in failed.err


def test_the_pods_of_another_node(node: Node, api: ApiServer, asked: tuple[str, ...]) -> None:
    """A wrong --node: by its list all leases of this one would be dead."""
    api.pod("default", "p1", uid="new")  # a StatefulSet's, which has moved there
    node.lease(1, uid="u1")
    node.lease(2, uid="u2")
    mine = "UPDATE lease SET node = 'node1' WHERE container_id = 'c2'"
    others = "UPDATE lease SET node = 'host7'"
    options = (*asked, "--strikes", "1", "--grace", "0", "--node", "node1")
    with closing(sqlite3.connect(node.database)) as connection, connection:
        connection.execute(others)
    failed = node.run("ipam", "reconcile", *options)
    assert failed.status == 1 and failed.out == ""
    assert "--node node1" in failed.err and "host7" in failed.err
    assert len(node.addresses()) == 2
    # one lease of that node, or one of its pods, is enough
    with closing(sqlite3.connect(node.database)) as connection, connection:
        connection.execute(mine)
    assert set(done(node, *options, "--dry-run").values()) == {"released"}
    with closing(sqlite3.connect(node.database)) as connection, connection:
        connection.execute(others)
    api.pod("default", "p2", uid="u2")
    assert done(node, *options) == {"10.0.0.1": "released", "10.0.0.2": "kept"}


def test_no_pod_is_needed_where_none_is_named(
    node: Node, api: ApiServer, asked: tuple[str, ...]
) -> None:
    node.lease(1, pod="", netns=str(node.path / "gone"))
    with closing(sqlite3.connect(node.database)) as connection, connection:
        connection.execute("UPDATE lease SET node = 'host7'")
    assert done(node, *asked, "--node", "node1") == {"10.0.0.1": "released"}


def test_all_strikes_in_one_run(node: Node, asked: tuple[str, ...]) -> None:
    node.lease(1, uid="u1")
    node.lease(2)
    assert done(node, *asked, "--interval", "0.01") == {"10.0.0.1": "released", "10.0.0.2": "kept"}


def test_one_at_a_time(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    from cni.core.errors import CniError, Code

    seen: list[object] = []

    def refuse_lock(path: str, *_: object, **__: object) -> None:
        seen.append(path)
        raise CniError(Code.TRY_AGAIN_LATER, "the reconciler is in use by another call")

    monkeypatch.setattr(reconcile, "locked", refuse_lock)
    assert node.run("ipam", "reconcile").status == 1
    assert seen == [str(node.state / "plait/reconcile.lock")]
    node.ok("ipam", "reconcile", "--dry-run")


# the pools of a cluster


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
