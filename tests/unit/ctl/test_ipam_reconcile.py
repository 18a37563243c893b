"""`plait ipam reconcile` on a node without a cluster."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from cni.ctl.ipam import reconcile
from tests.unit.ctl.reconciled import done, run

if TYPE_CHECKING:
    from ipam.stores import Lease
    from ipam.stores.file import FileStore
    from tests.unit.ctl.leased import Node

HERE = "/proc/self/ns/net"


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
