"""`plait leases`: list, filters, watch, and what it says of a database that cannot be read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cni.core.errors import CniError, Code, Interrupted
from cni.ctl.leases import watch
from cni.ctl.leases.advice import advice
from cni.ctl.leases.selection import Found
from tests.unit.ctl.leased import RANGE

if TYPE_CHECKING:
    from tests.unit.ctl.leased import Node

REPOSITORY = Path(__file__).parents[3]
LATER = 4102444800  #: a time that these tests will not see


def test_nothing_is_leased(node: Node) -> None:
    assert node.ok("leases").out == "no leases\n"
    assert node.ok("leases", "list", "--json").json == {"leases": [], "holds": []}
    assert not node.state.exists()


def test_leases_and_holds_by_address(node: Node) -> None:
    for number in (1, 2, 3):
        node.lease(number, sticky=-1 if number == 2 else 0, netns=f"/run/netns/n{number}")
    node.release(2)
    node.reserve("10.0.0.9", "prod/db-0")
    lines = node.ok("leases").lines
    assert lines[0] == "ADDRESS STATE RANGE NETWORK POD CONTAINER INTERFACE NODE TIME"
    assert lines[1].startswith("10.0.0.1 leased 10.0.0.0/24 net default/p1 c1 eth0 node1 since 2")
    assert lines[2] == "10.0.0.2 sticky 10.0.0.0/24 - default/p2 - eth0 - for ever"
    assert lines[3].startswith("10.0.0.3 leased ")
    assert lines[4:] == ["10.0.0.9 reserved 10.0.0.0/24 - prod/db-0 - - - for ever"]


def test_json_has_all_that_is_known(node: Node) -> None:
    node.lease(1, uid="u1", netns="/run/netns/n1", network_name="shared")
    node.reserve("10.0.0.9", "prod/db-0")
    found = node.ok("leases", "list", "--json").json
    (lease,) = found["leases"]
    assert abs(lease.pop("created") - time.time()) < 3600
    assert lease == {
        "address": "10.0.0.1", "range": RANGE, "networkName": "shared", "network": "net",
        "containerID": "c1", "ifName": "eth0", "podNamespace": "default", "podName": "p1",
        "podUID": "u1", "node": "node1", "netns": "/run/netns/n1",
    }  # fmt: skip
    assert found["holds"] == [
        {
            "address": "10.0.0.9", "range": RANGE, "networkName": "", "kind": "reserved",
            "holder": "prod/db-0", "ifName": "", "until": None,
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ((), "10.0.0.1 10.0.0.2 10.0.0.9 10.1.0.1 fd00::1"),
        (("--network", "net"), "10.0.0.1 10.0.0.2 10.0.0.9"),  # the hold is of its pool
        (("--network", "other"), "10.1.0.1"),
        (("--network", "shared"), "fd00::1"),
        (("--pod", "default/p2"), "10.0.0.2 10.0.0.9"),
        (("--pod", "default/p9"), ""),
        (("--address", "fd00:0::1"), "fd00::1"),
        (("--address", "10.0.0.9"), "10.0.0.9"),
        (("--node", "node1"), "10.0.0.1 10.0.0.2 10.1.0.1 fd00::1"),
        (("--node", "node2"), ""),
        (("--network", "net", "--pod", "default/p1"), "10.0.0.1"),
    ],
)
def test_filters(node: Node, options: tuple[str, ...], found: str) -> None:
    node.lease(1)
    node.lease(2)
    node.reserve("10.0.0.9", "default/p2")
    node.lease(3, "10.1.0.0/24", network="other")
    node.lease(4, "fd00::/64", network="six", network_name="shared")
    said = node.ok("leases", *options, "--json").json
    every = [each["address"] for each in (*said["leases"], *said["holds"])]
    assert sorted(every) == sorted(found.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("leases", "--pod", "p1"), ("leases", "--pod", "a/b/c"), ("leases", "--pod", "/b"),
        ("leases", "--address", "10.0.0.0/24"), ("leases", "nothing"), ("leases", "--nothing"),
        ("leases", "watch", "--interval", "0"),
    ],
)  # fmt: skip
def test_wrongly_called(node: Node, arguments: tuple[str, ...]) -> None:
    said = node.run(*arguments)
    assert said.status == 2 and "Usage: plait leases" in said.err


def test_what_a_terminal_would_obey_is_not_shown(node: Node) -> None:
    node.lease(1, network="a\x1b[31m\nb", pod="x\r\u202e")
    lines = node.ok("leases").lines
    assert len(lines) == 2 and " a?[31m?b " in lines[1] and "/x?? " in lines[1]
    found = node.ok("leases", "--json").out
    assert "\x1b" not in found and "\u202e" not in found


def damage(database: Path) -> None:
    database.write_bytes(b"no database at all, but some text" * 200)


def foreign(database: Path) -> None:
    import sqlite3

    connection = sqlite3.connect(database)
    connection.execute("PRAGMA user_version = 77")
    connection.close()


@pytest.mark.parametrize(
    ("harm", "way"),
    [(damage, "move it aside together with its -wal"), (foreign, "use that version")],
)
@pytest.mark.parametrize("command", [("leases",), ("leases", "usage"), ("ipam", "check")])
def test_a_database_that_cannot_be_used(
    node: Node, harm: Any, way: str, command: tuple[str, ...]
) -> None:
    node.lease(1)
    for each in node.database.parent.glob("leases.db-*"):
        each.unlink()
    harm(node.database)
    said = node.run(*command)
    assert said.status == 1
    assert said.err.startswith("plait: cannot ") and said.err.count("\n") == 1
    assert str(node.database) in said.err and way in said.err


@pytest.mark.parametrize(
    ("reason", "way"),
    [
        ("database or disk is full", "free some space"),
        ("No space left on device", "free some space"),
        ("attempt to write a readonly database", "read-only"),
        ("Permission denied", "as root"),
        ("the weather", ""),
    ],
)
def test_advice(reason: str, way: str) -> None:
    error = CniError(Code.IO_FAILURE, "cannot read the leases: /x/leases.db", reason)
    assert way in advice(error) and bool(advice(error)) == bool(way)
    assert advice(CniError(Code.INVALID_CONFIG, "leases", reason)) == ""
    assert advice(CniError(Code.IO_FAILURE, "cannot use /x", reason)) == ""


# watch


def test_changes(node: Node) -> None:
    node.lease(1)
    node.lease(2, sticky=60)
    before = Found(node.store.every(), node.store.holds())
    first = watch.changes(None, before)
    assert [each.kind for each in first] == [watch.THERE] * 2
    assert watch.changes(before, before) == []
    node.release(2)
    now = Found(node.store.every(), node.store.holds())
    gone, come = watch.changes(before, now)
    assert (gone.kind, gone.about) == (watch.REMOVED, before.leases[1])
    assert (come.kind, come.about) == (watch.ADDED, now.holds[0])
    assert watch.changes(Found([], []), now)[0].kind == watch.ADDED


def test_a_store_that_fails_for_a_while(monkeypatch: pytest.MonkeyPatch, node: Node) -> None:
    node.lease(1)
    found = Found(node.store.every(), [])
    failure = CniError(Code.IO_FAILURE, "cannot read the leases")
    answers: list[Found | CniError] = [Found([], []), failure, failure, found]
    warned: list[object] = []
    monkeypatch.setattr("cni.core.log.warning", lambda *_, **fields: warned.append(fields))

    def read() -> Found:
        if not answers:
            raise Interrupted("SIGINT")
        answer = answers.pop(0)
        if isinstance(answer, CniError):
            raise answer
        return answer

    events = []
    with pytest.raises(Interrupted):
        for event in watch.watch(read, 0):
            events.append(event)
    assert [each.kind for each in events] == [watch.ADDED] and len(warned) == 1


def test_a_store_that_fails_at_once() -> None:
    def read() -> Found:
        raise CniError(Code.IO_FAILURE, "no")

    with pytest.raises(CniError):
        next(watch.watch(read, 0))


@pytest.mark.parametrize("as_json", [False, True])
def test_watch_tells_what_happens_until_it_is_interrupted(node: Node, as_json: bool) -> None:
    node.lease(1)
    command = [sys.executable, "-m", "cni", "leases", "watch", "--interval", "0.05"]
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*command, *["--json"][: int(as_json)]],
        cwd=REPOSITORY, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout and process.stderr
        there = process.stdout.readline()
        node.lease(2)
        added = process.stdout.readline()
        node.release(1)
        removed = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert (process.wait(60), process.stdout.read(), process.stderr.read()) == (0, "", "")
    if as_json:
        assert '{"event": "there", "lease": {"address": "10.0.0.1"' in there
        assert '"added"' in added and '"10.0.0.2"' in added and '"removed"' in removed
    else:
        assert there.startswith("  10.0.0.1  leased  ")
        assert added.startswith("+ 10.0.0.2  leased  ") and removed.startswith("- 10.0.0.1  ")
