"""`plait ipam reconcile` of a node's own leases, beside the pods of a cluster."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from cni.kube import client
from tests.unit.ctl.reconciled import done, run

if TYPE_CHECKING:
    from tests.apiserver.server import ApiServer
    from tests.unit.ctl.leased import Node

HERE = "/proc/self/ns/net"


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
