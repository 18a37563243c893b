"""`plait ipam check`: a database that does not agree with itself, and its repair."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.unit.ipam import ledger_state

if TYPE_CHECKING:
    from tests.unit.ctl.leased import Node


def change(node: Node, *statements: str) -> None:
    with closing(sqlite3.connect(node.database)) as connection, connection:
        for each in statements:
            connection.execute(each)


@pytest.fixture
def filled(node: Node) -> Node:
    for number in range(1, 8):
        node.lease(number)
        node.lease(number, "fd00::/64", network="six", network_name="x", sticky=-1)
    node.release(3)
    node.release(4, "six")
    node.reserve("10.0.0.99", "a/b")
    ledger_state.check(node.database)
    return node


def test_nothing_to_check(node: Node) -> None:
    assert node.ok("ipam", "check").out.startswith("nothing to check: there is no ")
    assert not node.state.exists()


def test_fine(filled: Node) -> None:
    assert filled.ok("ipam", "check").out == f"fine: {filled.database}\n"
    assert filled.ok("ipam", "check", "--repair").out == f"fine: {filled.database}\n"


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM run",
        "DELETE FROM run WHERE scope = 'ipv6'",
        "DELETE FROM lease WHERE container_id = 'c2'",
        "DELETE FROM hold",
        "UPDATE run SET last = x'0a000004' WHERE last = x'0a000002'",
        "INSERT INTO run VALUES ('', '10.9.0.0/24', x'0a090001', x'0a090002')",
    ],
)
def test_runs_that_disagree(filled: Node, statement: str) -> None:
    change(filled, statement)
    with closing(sqlite3.connect(filled.database)) as connection:
        leases = connection.execute("SELECT * FROM lease").fetchall()
    failed = filled.run("ipam", "check")
    assert failed.status == 1 and failed.out.startswith("run ") and "--repair" in failed.err
    assert filled.run("ipam", "check").status == 1
    repaired = filled.ok("ipam", "check", "--repair")
    assert repaired.lines[-1] == f"repaired: {filled.database}"
    ledger_state.check(filled.database)
    with closing(sqlite3.connect(filled.database)) as connection:
        assert connection.execute("SELECT * FROM lease").fetchall() == leases
    assert filled.ok("ipam", "check").out.startswith("fine: ")


def test_an_index_that_lost_rows_is_made_anew(filled: Node) -> None:
    with closing(sqlite3.connect(filled.database)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        (definition,) = connection.execute(
            "SELECT sql FROM sqlite_schema WHERE name = 'lease_attachment'"
        ).fetchone()
        connection.execute(
            "UPDATE sqlite_schema SET sql = sql || ' WHERE container_id <> ''c2'''"
            " WHERE name = 'lease_attachment'"
        )
    with closing(sqlite3.connect(filled.database)) as connection, connection:
        connection.execute("REINDEX lease_attachment")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = ? WHERE name = 'lease_attachment'", (definition,)
        )
    failed = filled.run("ipam", "check")
    assert failed.status == 1 and "file: " in failed.out and "lease_attachment" in failed.out
    filled.ok("ipam", "check", "--repair")
    ledger_state.check(filled.database)


def test_many_faults_are_not_all_told(node: Node) -> None:
    for number in range(1, 20):
        node.lease(number, wanted=f"10.0.0.{2 * number}")
    change(node, "DELETE FROM run")
    said = node.run("ipam", "check").lines
    assert len(said) == 6 and said[-1] == "run that is missing: 33 more"
    assert said[0] == "run that is missing: 10.0.0.2 to 10.0.0.2 of 10.0.0.0/24, network_name -"


def test_another_version(node: Node) -> None:
    node.lease(1)
    change(node, "PRAGMA user_version = 9")
    failed = node.run("ipam", "check", "--repair")
    assert failed.status == 1 and "its schema version is 9" in failed.err


def test_a_page_of_garbage(filled: Node) -> None:
    with closing(sqlite3.connect(filled.database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(filled.database.read_bytes())
    data[4096 * 2 : 4096 * 3] = b"\xa5" * 4096
    filled.database.write_bytes(data)
    for options in ((), ("--repair",)):
        failed = filled.run("ipam", "check", *options)
        assert failed.status == 1 and str(filled.database) in failed.err
    assert filled.database.read_bytes()[4096 * 2 : 4096 * 3] == b"\xa5" * 4096
