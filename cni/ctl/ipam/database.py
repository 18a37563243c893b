"""The file store's database, opened beside the store: for what a Store does not offer.

Always under the store's lock, in one transaction.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cni.core.errors import CniError, Code
from cni.ctl.leases.source import database
from cni.store.lock import locked
from ipam.ranges import merge
from ipam.stores import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

Run = tuple[str, str, bytes, bytes]  #: network_name, scope, first and last address

_LISTED = 5  #: faults of one kind that are told


@contextmanager
def opened(
    state_dir: str, operation: str, *, may_change: bool = False, timeout: float = 60
) -> Iterator[sqlite3.Connection]:
    """One transaction: kept when the body ends and `may_change`, else undone.

    Raises CniError 5 when the database cannot be used, 11 while another process has it.
    """
    path = database(state_dir)
    try:
        with locked(os.path.join(os.path.dirname(path), "leases.lock"), timeout):
            connection = sqlite3.connect(path, timeout=10, isolation_level=None)
            try:
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("BEGIN IMMEDIATE" if may_change else "BEGIN")
                yield connection
                connection.execute("COMMIT" if may_change else "ROLLBACK")
            finally:
                connection.close()
    except sqlite3.Error as error:
        raise _failure(operation, path, str(error)) from None
    except OSError as error:
        where = error.filename or path
        raise _failure(operation, where, str(error.strerror)) from None


def boots(connection: sqlite3.Connection) -> dict[tuple[str, str, bytes, str], str]:
    """The boot of each lease, by network_name, CIDR, address and container ID."""
    rows = connection.execute(
        "SELECT network_name, cidr, address, container_id, boot_id FROM lease"
    )
    return {
        (name, cidr, bytes(blob), container): boot for name, cidr, blob, container, boot in rows
    }


def faults(connection: sqlite3.Connection, path: str) -> list[str]:
    """What is wrong: the file's own structure, then whether the runs say what leases and holds do.

    Raises CniError 5 for the tables of another version, sqlite3.Error for a file that is too
    damaged to be looked at.
    """
    rows = connection.execute("PRAGMA integrity_check(20)").fetchall()
    found = [f"file: {text}" for (text,) in rows if text != "ok"]
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 1 and version in schema.UPGRADES:
        return found  # the next ADD makes the tables that are missing
    if version != schema.VERSION:
        raise CniError(
            Code.IO_FAILURE,
            f"cannot check the leases of another version: {path}",
            f"its schema version is {version}, this version knows {schema.VERSION}",
        )
    has = set(connection.execute("SELECT network_name, scope, first, last FROM run"))
    wants = set(_wanted(connection))
    found += _told("run that no lease or hold explains", has - wants)
    found += _told("run that is missing", wants - has)
    return found


def repair(connection: sqlite3.Connection) -> None:
    """Make the indexes and the runs anew, from leases and holds."""
    connection.execute("REINDEX")
    wanted = _wanted(connection)
    connection.execute("DELETE FROM run")
    connection.executemany("INSERT INTO run VALUES (?, ?, ?, ?)", wanted)


def _wanted(connection: sqlite3.Connection) -> list[Run]:
    """The runs that leases and holds make, of each pool and of each family of a network_name."""
    scopes: dict[tuple[str, str, int], set[int]] = {}
    for name, cidr, blob in connection.execute(
        "SELECT network_name, cidr, address FROM lease"
        " UNION SELECT network_name, cidr, address FROM hold"
    ):
        family = "ipv4" if len(blob) == 4 else "ipv6"
        for scope in (cidr, family):
            scopes.setdefault((name, scope, len(blob)), set()).add(int.from_bytes(blob))
    return [
        (name, scope, first.to_bytes(size), last.to_bytes(size))
        for (name, scope, size), addresses in scopes.items()
        for first, last in merge((each, each) for each in addresses)
    ]


def _told(what: str, runs: set[Run]) -> list[str]:
    found = [
        f"{what}: {_text(first)} to {_text(last)} of {scope}, network_name {name or '-'}"
        for name, scope, first, last in sorted(runs)[:_LISTED]
    ]
    return [*found, f"{what}: {len(runs) - _LISTED} more"] if len(runs) > _LISTED else found


def _text(blob: bytes) -> str:
    from ipaddress import ip_address

    try:
        return str(ip_address(blob))
    except ValueError:
        return blob.hex()


def _failure(operation: str, path: str, reason: str) -> CniError:
    return CniError(Code.IO_FAILURE, f"cannot {operation}: {path}", reason)
