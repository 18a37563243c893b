"""A database that an older Plait has left: its leases are those of pods that live."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from ipam.stores import file, schema
from tests.unit.ipam import ledger_state

if TYPE_CHECKING:
    import pytest

    from tests.unit.ipam.harness import Host

NET = {"type": "whereabouts", "range": "10.0.0.0/24"}

#: as version 1 made it, with the leases of two pods
VERSION_1 = """
CREATE TABLE lease (
    network_name TEXT NOT NULL, address BLOB NOT NULL, cidr TEXT NOT NULL, network TEXT NOT NULL,
    container_id TEXT NOT NULL, ifname TEXT NOT NULL, slot INTEGER NOT NULL,
    pod_namespace TEXT NOT NULL, pod_name TEXT NOT NULL, pod_uid TEXT NOT NULL,
    created INTEGER NOT NULL, PRIMARY KEY (network_name, address, cidr)
) WITHOUT ROWID;
CREATE INDEX lease_attachment ON lease (network, container_id, ifname);
CREATE TABLE run (
    network_name TEXT NOT NULL, scope TEXT NOT NULL, first BLOB NOT NULL, last BLOB NOT NULL,
    PRIMARY KEY (network_name, scope, first)
) WITHOUT ROWID;
INSERT INTO lease VALUES ('', x'0a000001', '10.0.0.0/24', 'net', 'c1', 'eth0', 0, '', '', '', 1);
INSERT INTO lease VALUES ('', x'0a000002', '10.0.0.0/24', 'net', 'c2', 'eth0', 0, '', '', '', 1);
INSERT INTO run VALUES ('', '10.0.0.0/24', x'0a000001', x'0a000002');
INSERT INTO run VALUES ('', 'ipv4', x'0a000001', x'0a000002');
PRAGMA user_version = 1;
"""


def version_1(host: Host) -> None:
    host.database.parent.mkdir(parents=True)
    connection = sqlite3.connect(host.database)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(VERSION_1)
    connection.close()


def test_leases_of_version_1_stay(host: Host) -> None:
    version_1(host)
    assert host.add(NET, "c3") == ["10.0.0.3/24"]
    first = host.store.every()[0]
    assert (first.node, first.netns) == ("", "")  # nobody wrote them down then
    assert host.add(NET, "c1") == ["10.0.0.1/24"]
    assert host.store.every()[0].netns == "/nonexistent/netns"
    host.delete(NET, "c2")
    assert host.add(NET, "c4") == ["10.0.0.2/24"]
    ledger_state.check(host.database)


def test_its_leases_end_with_this_boot(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who leased before boots were written down; after the next boot no container is left."""
    version_1(host)
    host.delete(NET, "nobody")
    monkeypatch.setattr(file, "boot_id", lambda: "another")
    assert host.add(NET, "c3") == ["10.0.0.3/24"]
    assert list(ledger_state.leases(host.database).values()) == ["c3"]
    assert {each.address & 0xFF for each in host.store.holds()} == {1, 2}  # podman's may come again
    assert host.add(NET, "c1") == ["10.0.0.1/24"]
    ledger_state.check(host.database)


def test_it_is_what_a_new_one_is(host: Host) -> None:
    version_1(host)
    host.delete(NET, "c1")
    old = sqlite3.connect(host.database)
    new = sqlite3.connect(":memory:")
    new.executescript(schema.CREATE)
    for table in ("lease", "hold", "run"):
        columns = [
            [row[1:] for row in each.execute(f"PRAGMA table_info({table})")] for each in (old, new)
        ]
        assert columns[0] == columns[1]
    indexes = "SELECT name FROM sqlite_master WHERE type = 'index' ORDER BY name"
    assert old.execute(indexes).fetchall() == new.execute(indexes).fetchall()
    assert old.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
    for each in (old, new):
        each.close()


def test_a_delete_is_enough_to_bring_it_up_to_date(host: Host) -> None:
    version_1(host)
    host.delete(NET, "nobody")
    assert len(ledger_state.leases(host.database)) == 2
